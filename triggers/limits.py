"""How much an app does at once: the executor's slots, the machine's resources, the bound of the backlog."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triggers.routing import COROUTINE, PROCESS, THREAD


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a dispatcher does at once. `resources` are what `needs=` draws on, beyond the machine's own."""

    threads: int = 32
    processes: int | None = None
    coroutines: int = 1000
    backlog: int = 100_000
    retention: float = 30.0
    """Days that an event and its runs are kept after they ended."""
    resources: Mapping[str, float] = field(default_factory=dict)

    def capacity(self) -> dict[str, float]:
        """Return every resource by name, the slots of the executor among them."""
        machine = machine_resources()
        processes = float(self.processes or max(1, int(machine["cpu"])))
        slots = {COROUTINE: float(self.coroutines), THREAD: float(self.threads), PROCESS: processes}
        return {**machine, **self.resources, **slots}


def machine_resources() -> dict[str, float]:
    """Return what this process may use: `cpu` in cores and `memory` in bytes, cgroup limits included."""
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            memory = min(memory, float(Path(limit).read_text()))
        except (OSError, ValueError):
            continue
    return {"cpu": float(len(os.sched_getaffinity(0))), "memory": memory}

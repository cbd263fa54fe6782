"""What isolated attempts use: a thread that looks at their processes while there are any, and at nothing else.

An attempt that has more memory than its run may have is ended. `RLIMIT_AS` would not do: it bounds the addresses that a
process reserves, not the memory that it has (CUDA, arenas and mapped files reserve far more), and for each process by
itself, not for a tree. A handler that takes more than there is between two looks is left to the kernel, which is told
to end workers before anything else (`oom_score_adj`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf

from triggers import kernel
from triggers.attempt import Usage
from triggers.cgroup import ControlGroup, Events

INTERVAL = 0.25
"""Seconds between two looks."""

CLOSE = 0.02
"""The same while an attempt has most of the memory that it may have."""

MOST = 0.75
"""What part of it is most."""

COST = 0.02
"""What part of its time the thread may spend on looking,"""

LONGEST = 1.0
"""unless so many seconds have passed since the last look: one that took long, as the machine was busy, is no reason to
look away for a minute."""


Measured = Callable[[Mapping[int, float], float], None]
"""What is told of memory: the bytes that the processes of each run have, and those that are left on the machine."""


def unmeasured(held: Mapping[int, float], left: float) -> None:
    """Take no note of it."""


@dataclass(slots=True, eq=False)
class Reading:
    """What the processes of an attempt have used so far."""

    process: int
    limit: float | None
    """How many bytes they may have; None is not bounded."""
    exceed: Callable[[], object]
    """What ends the attempt, called on the loop."""
    control: ControlGroup | None = None
    """The control group of the process, whose memory the kernel then keeps to the limit."""
    held: float = 0.0
    most: float = 0.0
    exceeded: bool = False
    _shortage: Events = field(init=False)
    """What want of memory had led to before."""
    _anew: bool = False
    _cpu: float = 0.0
    _before: float = 0.0
    _plain: float = 0.0
    _ratio: float = 1.0

    def __post_init__(self) -> None:
        self._anew = kernel.forget_most(self.process)
        self._before = kernel.cpu_of(self.process)
        self._shortage = self._short()
        if self.control:
            self.control.limit(self.limit)

    def look(self) -> None:
        """Look at the processes. Where they have ended, what was seen before stands."""
        processes = kernel.tree(self.process)
        seen = [memory for memory in map(kernel.memory_of, processes) if memory]
        if not seen:
            return
        held = self.control.held() if self.control else None
        self.held = self._shared_out(processes, sum(memory.held for memory in seen)) if held is None else held
        self.most = max(self.most, self.held, seen[0].most if self._anew and len(seen) == 1 else 0.0)
        self._cpu = max(self._cpu, sum(map(kernel.cpu_of, processes)) - self._before)

    def usage(self) -> Usage | None:
        """Return what was seen, or None if the processes had ended before anybody looked."""
        return Usage(self.most, self._cpu) if self.most else None

    def too_much(self) -> bool:
        """Say whether the attempt has more than it may have."""
        return self.limit is not None and self.held > self.limit

    def used_up(self) -> bool:
        """Say whether the kernel has kept the attempt from having more than it may have."""
        return self.limit is not None and self._short().oom > self._shortage.oom

    def ran_out(self) -> bool:
        """Say whether the kernel has ended a process meanwhile, as memory had run out: of this attempt where its group
        tells, else anywhere."""
        return self._short().oom_kill > self._shortage.oom_kill

    def _short(self) -> Events:
        return self.control.events() if self.control else Events(0, kernel.oom_kills())

    def near(self) -> bool:
        """Say whether the attempt had most of what it may have, now or before."""
        return self.limit is not None and self.most > MOST * self.limit

    def _shared_out(self, processes: list[int], plain: float) -> float:
        """Return what processes hold together. What they share counts once, which takes long to find out: so only
        where what they hold has changed by much, or would be too much."""
        if len(processes) == 1:
            return plain
        changed = abs(plain - self._plain) > 0.05 * self._plain
        if changed or (self.limit is not None and plain * self._ratio > self.limit):
            self._plain, self._ratio = plain, sum(map(kernel.share_of, processes)) / plain if plain else 1.0
        return plain * self._ratio


class Meter:
    """The attempts that are looked at. `measured` is called on the loop, while there are any and once there is none."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._readings: dict[int, Reading] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, run: int, reading: Reading) -> Reading:
        """Look at an attempt's processes from now on, and end it once they have more than they may have."""
        self._loop = asyncio.get_running_loop()
        self._readings[run] = reading
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="triggers-meter", daemon=True)
            self._thread.start()
        self._awake.set()
        return reading

    def end(self, run: int) -> Usage | None:
        """Look a last time, and no more."""
        reading = self._readings.pop(run)
        reading.look()
        if not self._readings:
            self._measured({}, inf)
        return reading.usage()

    def _exceeded(self, run: int, reading: Reading) -> None:
        """End an attempt, unless it has ended and another one has its process."""
        if self._readings.get(run) is reading and not reading.exceeded:
            reading.exceeded = True
            reading.exceed()

    def close(self) -> None:
        """Let the thread end."""
        self._closed = True
        self._awake.set()

    def _work(self) -> None:
        told = -inf
        while not self._closed:
            begun = time.monotonic()
            readings = list(self._readings.items())
            if not readings:
                self._awake.clear()
                if not self._readings:  # else one has come between the two
                    self._awake.wait()
                continue
            for run, reading in readings:
                reading.look()
                if reading.too_much():
                    self._call(partial(self._exceeded, run, reading))
            if begun - told >= INTERVAL:
                told, held = begun, {run: reading.held for run, reading in readings}
                self._call(partial(self._measured, held, kernel.available_memory()))
            near = any(reading.near() for _, reading in readings)
            time.sleep(min(LONGEST, max(CLOSE if near else INTERVAL, (time.monotonic() - begun) / COST)))

    def _call(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has been closed
            if self._loop:
                self._loop.call_soon_threadsafe(function)

"""What the kernel tells of this machine and of processes, read from `/proc` and `/sys/fs/cgroup`.

psutil knows most of it, too. It finds the children of a process by reading all processes: 4.2 ms where 140 run. The
list of children that the kernel keeps is read in 0.1 ms (two cores, Linux 6.18), and importing psutil takes 38 ms.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from pathlib import Path, PurePosixPath
from typing import NamedTuple

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")

UNLIMITED = 2.0**62
"""What version 1 of the control groups says in bytes where there is no limit, or less."""

TICKS = os.sysconf("SC_CLK_TCK")


def machine_resources() -> dict[str, float]:
    """Return what this process may use: `cpu` in cores and `memory` in bytes, cgroup limits included."""
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    cores = float(len(os.sched_getaffinity(0)))
    return {
        "cpu": min([cores, *cgroup_cores(CGROUP, membership())]),
        "memory": min([memory, *(limit for limit, _ in cgroup_memory(CGROUP, membership()))]),
    }


def available_memory() -> float:
    """Return how many bytes could still be taken without swapping: of the machine, and of the control groups."""
    machine = _bytes(_read(f"{PROC}/meminfo"), "MemAvailable") or inf
    return min([machine, *(limit - used for limit, used in cgroup_memory(CGROUP, membership()))])


class Strain(NamedTuple):
    """How much is asked of this machine."""

    load: float
    """Processes that run or wait to, for each core that there is, the mean of the last minute."""
    memory: float
    """The part of the memory that could still be taken."""
    stall: float
    """The part of the last ten seconds in which everything stood still for want of memory or of a disk; 0 where the
    kernel does not say."""


def strain() -> Strain:
    """Return how much is asked of this machine."""
    load = float(_read(f"{PROC}/loadavg").split()[0]) / (os.cpu_count() or 1)
    stalls = [_stalled(PROC / "pressure" / kind) for kind in ("memory", "io")]
    return Strain(load, available_memory() / machine_resources()["memory"], max(stalls))


def _stalled(file: Path) -> float:
    with suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith("full avg10="):
                return float(line.split()[1].partition("=")[2]) / 100
    return 0.0


def oom_kills() -> int:
    """Return how many processes the kernel has killed since it started, because memory had run out somewhere."""
    with suppress(OSError):
        _, _, rest = _read("/proc/vmstat").partition("\noom_kill ")
        return int(rest.partition("\n")[0] or 0)
    return 0


def membership(process: int | None = None) -> str:
    """Return which control groups a process is in, this one if none is named, as the kernel writes it."""
    with suppress(OSError):
        return _read(f"/proc/{process or 'self'}/cgroup")
    return ""


def cgroup_cores(root: Path, groups: str = "") -> list[float]:
    """Return the cores that the quotas of the control groups amount to, of version 2 or 1; nothing without a quota."""
    cores = []
    for folder in _folders(root, "cpu", groups):
        quota = _numbers(folder / "cpu.max")
        quota = quota or _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and quota[0] > 0:
            cores.append(quota[0] / quota[1])
    return cores


def cgroup_memory(root: Path, groups: str = "") -> list[tuple[float, float]]:
    """Return for each control group with a limit of memory (the limit, what is in use and cannot be given back)."""
    found = []
    for folder in _folders(root, "memory", groups):
        for limit, usage, inactive in _MEMORY:
            if (most := _numbers(folder / limit)) and most[0] < UNLIMITED:
                used = sum(_numbers(folder / usage))
                found.append((most[0], used - _stat(folder / "memory.stat", inactive)))
    return found


_MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""The files of version 2 and of version 1: the limit, what is in use, and what of it is a cache of files."""


def _folders(root: Path, controller: str, groups: str) -> Iterator[Path]:
    """Yield the folders of the control groups that bound this process: its own, and all that they lie in.

    Where it sees its own group as the root, as in a container, the path that it is told leads nowhere.
    """
    places = {root: {"/"}, root / controller: {"/"}}
    for line in groups.splitlines():
        _, kinds, path = line.split(":", 2)
        if not kinds or controller in kinds.split(","):
            place = PurePosixPath(path)
            places[root / controller if kinds else root].update(map(str, (place, *place.parents)))
    for top, paths in places.items():
        yield from (top / path.lstrip("/") for path in sorted(paths))


def _numbers(file: Path) -> list[float]:
    """Return the numbers that a file of the kernel's holds; none where it is missing or says `max`."""
    try:
        return [float(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []


def _stat(file: Path, name: str) -> float:
    with suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
    return 0.0


class Memory(NamedTuple):
    """What a process has in memory and can't give back (its own pages, shared memory, swapped ones), in bytes."""

    held: float
    most: float
    """The most since `forget_most`, what was mapped of files then counted at what it is now."""


def tree(process: int) -> list[int]:
    """Return a process and all that descend from it; one whose parent has ended descends from nobody any more."""
    found = [process]
    for one in found:
        with suppress(OSError):  # it has ended meanwhile
            for task in os.listdir(f"/proc/{one}/task"):
                found.extend(map(int, _read(f"/proc/{one}/task/{task}/children").split()))
    return found


def memory_of(process: int) -> Memory | None:
    """Return what a process has in memory, pages that it shares with others counted whole; None if it has ended."""
    with suppress(OSError):
        said = _read(f"/proc/{process}/status")
        if "\nRssAnon:" in said:  # else it has ended, and nobody has waited for it
            high, own, file, shared, swapped = (_bytes(said, name) for name in _HELD)
            return Memory(own + shared + swapped, high - file + swapped)
    return None


_HELD = ("VmHWM", "RssAnon", "RssFile", "RssShmem", "VmSwap")


def share_of(process: int) -> float:
    """Return the same, of shared pages only its part. It takes some 25 ms for each GiB; 0 if the process has ended."""
    with suppress(OSError):
        said = _read(f"/proc/{process}/smaps_rollup")
        return sum(_bytes(said, name) for name in ("Pss_Anon", "Pss_Shmem", "SwapPss"))
    return 0.0


def forget_most(process: int) -> bool:
    """Have the kernel begin anew with the most that a process has had in memory; say whether it does."""
    try:
        with open(f"/proc/{process}/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def cpu_of(process: int) -> float:
    """Return the seconds of CPU that a process and those children of it that have ended have had; 0 if it is gone."""
    with suppress(OSError):
        fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()  # the name before it may hold anything
        return sum(map(int, fields[11:15])) / TICKS
    return 0.0


def birth_of(process: int) -> int | None:
    """Return when a process began, in ticks since the boot: with its number, it names one process only. None if it is
    gone."""
    with suppress(OSError):
        return int(_read(f"/proc/{process}/stat").rpartition(")")[2].split()[19])
    return None


async def end_of(process: int) -> None:
    """Wait for the end of a child that nobody has waited for yet. Raises `OSError` where the kernel can't tell."""
    import asyncio  # who only reads figures has no use for it

    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    file = os.pidfd_open(process)
    try:
        loop.add_reader(file, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(file)
        os.close(file)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _bytes(said: str, name: str) -> float:
    """Return what a line `Name:  17 kB` says, in bytes; 0 where there is none."""
    _, found, rest = f"\n{said}".partition(f"\n{name}:")
    return 1024.0 * int(rest[: rest.index("k")]) if found else 0.0

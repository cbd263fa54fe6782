"""A control group for each process of isolated handlers, where the kernel's control groups are ours to make.

The kernel itself then keeps a run to its memory, with all that it has started, and says in which group it has ended
something for want of it. Who may make groups where is a matter between managers: systemd owns the tree, and hands parts
of it over (https://systemd.io/CGROUP_DELEGATION). So groups are made in two places only: in the group that this process
was started in, where that bears systemd's mark of delegation, and in the root of a container's view of the tree. All
else is left alone, and memory is watched, which the meter does anyway.

A group that hands memory on to others may have no processes of its own, the kernel's rule of "no internal processes"
(https://docs.kernel.org/admin-guide/cgroup-v2.html). So this process moves to a group below, with its descendants.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from triggers import kernel

log = logging.getLogger("triggers.dispatcher")

DISPATCHERS = "triggers.dispatcher"
"""The group that dispatchers move to."""

WORKER = "triggers.worker"
"""How the names of workers' groups begin: the dispatcher's number and birth, and a number of the group's follow."""

MARKS = ("user.delegate", "trusted.delegate")
"""The extended attributes that systemd marks with what it has handed over; the second is older and for root's eyes."""

_numbers = count()


class Delegation(NamedTuple):
    """The control group that was handed over to a process, or why there is none."""

    folder: Path | None
    said: str


def delegation(groups: str, process: int) -> Delegation:
    """Return what was handed over to a process that is in `groups`, which is as `kernel.membership` says it.

    A group that others are in, a shell for instance, is not ours to rearrange.
    """
    root = kernel.CGROUP
    path = next((line[3:] for line in groups.splitlines() if line.startswith("0::")), None)
    if path is None or not (root / "cgroup.controllers").exists():
        return Delegation(None, f"{root} holds no control groups of version 2")
    own = root / path.lstrip("/")
    folder = own.parent if own.name == DISPATCHERS else own
    if not (_marked(folder) or _root_of_container(folder)):
        return Delegation(
            None, f"control group {path} is not handed over to it (a systemd unit does with Delegate=memory)"
        )
    if "memory" not in _words(folder / "cgroup.controllers"):
        return Delegation(None, f"control group {folder} comes without the memory controller")
    written = (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control")
    if not all(os.access(file, os.W_OK) for file in written):
        return Delegation(None, f"control group {folder} may not be written")
    if others := _members(folder) - set(kernel.tree(process)):
        numbers = ", ".join(map(str, sorted(others)[:3]))
        return Delegation(None, f"control group {folder} holds other processes, too ({numbers})")
    return Delegation(folder, f"in control group {folder}")


def _marked(folder: Path) -> bool:
    for mark in MARKS:
        with suppress(OSError):  # there is none, or it is not for us to see
            if os.getxattr(folder, mark) == b"1":
                return True
    return False


def _root_of_container(folder: Path) -> bool:
    """Say whether a group is the root of what this process sees of the tree, and not that of the tree itself, which
    alone has no type."""
    return folder == kernel.CGROUP and (folder / "cgroup.type").exists()


class ControlGroups:
    """The groups of a dispatcher's workers. The place for them is taken with the first worker."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._taken = False
        self._ended: set[Path] = set()

    def make(self, process: int) -> ControlGroup | None:
        """Put a process that has just begun into a group of its own. Return None where that can't be."""
        if not self._taken:
            self._taken, self._folder = True, _take()
        if self._folder is None:
            return None
        self.sweep()
        owner = os.getpid()
        folder = self._folder / f"{WORKER}.{owner}.{kernel.birth_of(owner)}.{next(_numbers)}"
        group = ControlGroup(folder, self._ended)
        try:
            folder.mkdir()
            group.take(process)
        except OSError as error:
            log.warning(
                "memory of process %d is watched, as control group %s can't be made: %s", process, folder, error
            )
            self._ended.add(folder)
            return None
        return group

    def sweep(self) -> None:
        """Remove the groups that have ended, and those whose dispatcher has died, with all that is left in them.

        A group whose processes are still about to end is removed the next time.
        """
        for folder in self._folder.glob(f"{WORKER}.*") if self._folder else ():
            if folder in self._ended or _orphaned(folder.name):
                _kill(folder)
                with suppress(OSError):
                    folder.rmdir()
        gone = {folder for folder in list(self._ended) if not folder.exists()}  # or could not be made
        self._ended -= gone


def _take() -> Path | None:
    """Make the group that was handed over fit for workers' groups, and return it; None where there is none."""
    folder, said = delegation(kernel.membership(), os.getpid())
    if folder is None:
        log.debug("memory of isolated handlers is watched: %s", said)
        return None
    try:
        _clear(folder)
        _write(folder / "cgroup.subtree_control", "+memory")
    except OSError as error:
        log.warning("memory of isolated handlers is watched, as control group %s can't be used: %s", folder, error)
        return None
    log.info("memory of isolated handlers is kept by the kernel, %s", said)
    return folder


def _clear(folder: Path) -> None:
    """Move this process, and what descends from it, out of a group that is to have none."""
    below = folder / DISPATCHERS
    below.mkdir(exist_ok=True)
    for process in _members(folder).intersection(kernel.tree(os.getpid())):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            _write(below / "cgroup.procs", str(process))


def _orphaned(name: str) -> bool:
    """Say whether the dispatcher that has made a group is gone. What is not named as ours is nobody's orphan."""
    owner, _, birth = name.removeprefix(f"{WORKER}.").rpartition(".")[0].partition(".")
    return owner.isdecimal() and birth.isdecimal() and kernel.birth_of(int(owner)) != int(birth)


class Events(NamedTuple):
    """How often a group has run out of memory, and how many of its processes the kernel has ended for want of it."""

    oom: int
    oom_kill: int


class ControlGroup:
    """The group of one worker, and of all that this has started."""

    def __init__(self, folder: Path, ended: set[Path]) -> None:
        self._folder = folder
        self._ended = ended

    def take(self, process: int) -> None:
        """Take a process in. What it had in memory before stays with the group that it was in."""
        _write(self._folder / "memory.oom.group", "1")  # one that is left without the others is of no use
        with suppress(FileNotFoundError):  # a kernel that can't swap
            _write(self._folder / "memory.swap.max", "0")
        _write(self._folder / "cgroup.procs", str(process))

    def limit(self, memory: float | None) -> None:
        """Bound the group, in bytes. Where the kernel refuses, the meter watches on."""
        with suppress(OSError):
            _write(self._folder / "memory.max", "max" if memory is None else str(int(memory)))

    def held(self) -> float | None:
        """Return how many bytes the group has and can't give back; None where it is gone.

        `memory.peak` would not do for the most that there was: it counts what the kernel has kept of files that were
        read, until the limit is reached, and gives back then.
        """
        with suppress(OSError, ValueError):
            stat = dict(line.split() for line in (self._folder / "memory.stat").read_text().splitlines())
            back = int(stat["file"]) - int(stat["shmem"]) + int(stat["slab_reclaimable"])
            swapped = sum(map(int, _words(self._folder / "memory.swap.current")))
            return max(0.0, int((self._folder / "memory.current").read_text()) - back + swapped)
        return None

    def events(self) -> Events:
        """Return what memory has led to."""
        words = _words(self._folder / "memory.events")
        said = dict(zip(words[::2], words[1::2], strict=False))
        return Events(int(said.get("oom", 0)), int(said.get("oom_kill", 0)))

    def kill(self) -> None:
        """End all that is in the group, and give the group up."""
        _kill(self._folder)
        self._ended.add(self._folder)


def _kill(folder: Path) -> None:
    try:
        _write(folder / "cgroup.kill", "1")
    except OSError:  # a kernel before 5.14
        for process in _members(folder):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _members(folder: Path) -> set[int]:
    """Return the processes that a group itself has."""
    return set(map(int, _words(folder / "cgroup.procs")))


def _words(file: Path) -> list[str]:
    """Return the words in one of the kernel's files; none where it is gone."""
    try:
        return file.read_text().split()
    except OSError:
        return []


def _write(file: Path, text: str) -> None:
    """Tell the kernel something. It is no file to be made where there is none."""
    number = os.open(file, os.O_WRONLY)
    try:
        os.write(number, text.encode())
    finally:
        os.close(number)

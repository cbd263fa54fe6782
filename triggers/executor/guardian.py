"""A process that outlives the app by a moment, to kill what isolated handlers have started: `guardian.py PARENT`.

The kernel kills a worker when the app dies, but not the worker's children, and a handler that is deep in C code can't
be asked to. So this process keeps the list of the workers' process groups, as the app tells it on stdin, and kills them
when the app is gone. It looks at the app itself, too: a fork of the app would keep the pipe open.

It is run by its path and imports next to nothing, because every app with isolated handlers pays for it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress

NUMBER = 4
"""Bytes of a message: the number of a group, negative when it is gone, and 0 for the end."""


def main(parent: int) -> None:
    """Keep the list until the app ends or says so, and kill the groups that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the app decides what they mean
        signal.signal(number, signal.SIG_IGN)
    os.set_blocking(0, False)
    watched, groups = [0], set[int]()
    with suppress(OSError):  # a kernel without it: the end of the pipe must do
        watched.append(os.pidfd_open(parent))
    while _listen(groups) and os.getppid() == parent:
        select.select(watched, [], [])
    _listen(groups)  # what it said between our last look and its death
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _listen(groups: set[int]) -> bool:
    """Take in what was said, and say whether more may come."""
    with suppress(BlockingIOError):
        while said := os.read(0, 1024 * NUMBER):
            for start in range(0, len(said), NUMBER):
                number = int.from_bytes(said[start : start + NUMBER], "little", signed=True)
                if number == 0:
                    return False
                if number > 0:
                    groups.add(number)
                else:
                    groups.discard(-number)
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]))

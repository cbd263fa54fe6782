"""The process groups of isolated workers: none of them outlives this process, even if it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from contextlib import suppress

from triggers.executor import guardian


class Groups:
    """The list that the guardian keeps. It is started with the first group, and again if somebody kills it."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._guardian: _Guardian | None = None

    def add(self, number: int) -> None:
        """Have a group killed when this process ends. Raises `OSError` where no guardian can be started."""
        self._numbers.add(number)
        if not self._say(number):
            self._guardian = _Guardian()
            for each in self._numbers:
                self._say(each)

    def discard(self, number: int) -> None:
        """Forget a group that has been killed."""
        self._numbers.discard(number)
        self._say(-number)

    def close(self) -> None:
        """Kill the groups that are left, and end the guardian."""
        if self._guardian:
            self._guardian.end()
        self._guardian = None

    def _say(self, number: int) -> bool:
        """Tell the guardian, and say whether it is there."""
        if self._guardian is None:
            return False
        try:
            self._guardian.say(number)
        except BrokenPipeError:
            self.close()
        return self._guardian is not None


class _Guardian:
    """This process' end of the guardian's pipe."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", guardian.__file__, str(os.getpid())]
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True
        )
        assert process.stdin
        self._pipe = process.stdin
        self.end = weakref.finalize(self, _end, process, os.getpid())

    def say(self, number: int) -> None:
        """Send a message. It is so short that the pipe takes all of it or, where nobody listens, raises."""
        self._pipe.write(_message(number))


def _message(number: int) -> bytes:
    return number.to_bytes(guardian.NUMBER, "little", signed=True)


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the guardian, unless this is a fork of the process that it belongs to."""
    if os.getpid() != owner:
        return
    with suppress(BrokenPipeError), process:  # leaving it closes the pipe and waits
        assert process.stdin
        process.stdin.write(_message(0))

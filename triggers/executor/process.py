"""One warm process for isolated handlers, as its parent sees it.

The parent and a worker speak frames of JSON over a socket pair: a length of four bytes, then the text. A worker leads a
process group of its own, so whatever ends it ends what it has started.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from triggers.attempt import Run
from triggers.cgroup import ControlGroup, ControlGroups
from triggers.errors import HandlerError
from triggers.executor.groups import Groups
from triggers.kernel import end_of, memory_of

ENDING = 1.0
"""Seconds that are given to a process that is about to end, before its run is settled without knowing how it ended."""


class Worker:
    """One warm process and the parent's end of its socket."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        groups: Groups,
        control: ControlGroup | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._groups = groups
        self.control = control
        """The control group that keeps it to its memory, where there is one."""
        self._reader = reader
        self._writer = writer
        self.number = process.pid
        self.route = ""
        """What it ran last, and may have kept something for."""
        self.run: Run | None = None
        """The one that it is at."""
        self.fate: int | None = None
        """How it ended before anybody here has ended it: a negative one is the signal."""

    @classmethod
    async def spawn(cls, groups: Groups, control_groups: ControlGroups) -> Worker:
        """Start a process and connect to it. Raises `OSError` where the machine has no room for one."""
        process, ours = _start_process()
        control = None
        try:
            control = control_groups.make(process.pid)  # at once, so that all that it takes counts
            groups.add(process.pid)
            worker = cls(process, groups, control, *await asyncio.open_connection(sock=ours))
        except BaseException:
            ours.close()
            _kill_all(process.pid, groups, control)
            process.wait()
            raise
        worker._send({"path": sys.path, "level": logging.getLogger().getEffectiveLevel()})
        return worker

    async def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Send a job and return the first reply: that the handler is loaded, or what went wrong."""
        self._send(job)
        return await self.answer(job["name"])

    async def answer(self, route: str) -> dict[str, Any]:
        """Return the next reply; raises `HandlerError` (lost) if the process dies instead of answering."""
        try:
            while not {"log", "checkpoint"}.isdisjoint(reply := await self._receive()):
                self._hear(**reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise HandlerError(await self._epitaph(route), lost=True) from None
        return reply

    def _hear(self, log: Sequence[Any] = (), checkpoint: Sequence[Any] = ()) -> None:
        """Take in what the process tells meanwhile."""
        if log:
            name, level, message, extra = log
            logging.getLogger(name).log(level, "%s", message, extra=extra)
        elif self.run and self.run.keeper:
            value, done, total = checkpoint
            self.run.keeper.put(self.run.route.name, value, done, total)

    def held(self) -> float | None:
        """Return how many bytes it has and can't give back, what it has started included where a control group knows;
        None if it is gone."""
        if self.control:
            return self.control.held()
        memory = memory_of(self.number)
        return memory.held if memory else None

    def alive(self) -> bool:
        """Say whether the process is there and listens."""
        return self._process.poll() is None and not self._reader.at_eof()

    def gone(self) -> bool:
        """Say whether the process has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process and everything that it started, at once."""
        _kill_all(self._process.pid, self._groups, self.control)
        self._writer.close()

    async def ended(self) -> int | None:
        """Return the exit code once the process has ended, or None if that takes longer than `ENDING`."""
        if self._process.poll() is None:
            with suppress(OSError):  # out of time, or a kernel without pidfd: it is looked at later
                async with asyncio.timeout(ENDING):
                    await end_of(self._process.pid)
        return self._process.poll()

    def wait(self) -> None:
        """Block until a killed process has ended, or `ENDING` is over."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING)

    def _send(self, message: object) -> None:
        text = json.dumps(message).encode()
        self._writer.write(len(text).to_bytes(4, "big") + text)

    async def _receive(self) -> dict[str, Any]:
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        message: dict[str, Any] = json.loads(await self._reader.readexactly(size))
        return message

    async def _epitaph(self, route: str) -> str:
        code = self.fate = await self.ended()
        if code is None:  # the handler closed the socket under us; kill() ends what is left
            return f"the process of handler {route!r} closed its connection"
        if code >= 0:
            return f"the process of handler {route!r} ended with exit code {code}"
        name = signal.Signals(-code).name
        hint = "; the kernel does that when memory runs out" if name == "SIGKILL" else ""
        return f"the process of handler {route!r} was killed by {name}{hint}"


def _start_process() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the process from the loop's own thread: the worker's death signal is tied to the thread that spawned it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "triggers.executor.worker", str(theirs.fileno()), str(os.getpid())]
    with theirs:
        try:
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        except BaseException:
            ours.close()
            raise
    return process, ours


def _kill_all(number: int, groups: Groups, control: ControlGroup | None) -> None:
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
    groups.discard(number)
    if control:
        control.kill()

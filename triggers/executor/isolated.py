"""Handlers in processes of their own: warm, killed by a time-out, and dead with their parent.

The parent and a worker speak frames of JSON over a socket pair: a length of four bytes, then the text. A worker that
dies, by memory or by a signal, ends one attempt; the next run gets a new worker.
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
from contextlib import suppress
from typing import Any

from triggers.context import Emitted
from triggers.errors import HandlerError, Later
from triggers.executor.attempt import GIVEN_BACK, Done, Finished, Outcome, Run, judge, timed_out

STARTING = 120.0
"""Seconds in which a process must have started and imported its handler; `timeout=` begins after that."""


class Worker:
    """One warm process and the parent's end of its socket."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def spawn(cls) -> Worker:
        """Start a process and connect to it."""
        process, ours = _start_process()
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer)
        worker._send({"path": sys.path, "level": logging.getLogger().getEffectiveLevel()})
        return worker

    async def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Send a job and return the first reply: that the handler is loaded, or what went wrong."""
        self._send(job)
        return await self.answer(job["name"])

    async def answer(self, route: str) -> dict[str, Any]:
        """Return the next reply; raises `HandlerError` (lost) if the process dies instead of answering."""
        try:
            while "log" in (reply := await self._receive()):
                name, level, message, extra = reply["log"]
                logging.getLogger(name).log(level, "%s", message, extra=extra)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise HandlerError(self._epitaph(route), lost=True) from None
        return reply

    def alive(self) -> bool:
        """Say whether the process is there and listens."""
        return self._process.poll() is None and not self._reader.at_eof()

    def kill(self) -> None:
        """End the process and everything that it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._writer.close()

    def _send(self, message: object) -> None:
        text = json.dumps(message).encode()
        self._writer.write(len(text).to_bytes(4, "big") + text)

    async def _receive(self) -> dict[str, Any]:
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        message: dict[str, Any] = json.loads(await self._reader.readexactly(size))
        return message

    def _epitaph(self, route: str) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:  # the handler closed the socket under us; kill() ends what is left
            return f"the process of handler {route!r} closed its connection"
        if code >= 0:
            return f"the process of handler {route!r} ended with exit code {code}"
        name = signal.Signals(-code).name
        hint = "; the kernel does that when memory runs out" if name == "SIGKILL" else ""
        return f"the process of handler {route!r} was killed by {name}{hint}"


class Isolated:
    """A pool of warm processes, started as they are needed."""

    def __init__(self, finished: Finished) -> None:
        self._finished = finished
        self._idle: list[Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, run: Run) -> None:
        """Run the handler in a warm process, or in a new one if none is idle."""
        task = asyncio.get_running_loop().create_task(self._work(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Kill what still runs; each run is given back, no attempt used."""
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """End the idle processes."""
        while self._idle:
            self._idle.pop().kill()

    def _take(self) -> Worker | None:
        """Return an idle process that has not died meanwhile."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive():
                return worker
            worker.kill()
        return None

    async def _work(self, run: Run) -> None:
        try:
            outcome = await self._attempt(run)
        except asyncio.CancelledError:
            outcome = GIVEN_BACK
        self._finished(run, outcome)

    async def _attempt(self, run: Run) -> Outcome:
        worker, ready = None, False
        try:
            async with asyncio.timeout(STARTING):
                worker = self._take() or await Worker.spawn()
                reply = await worker.ask(_job(run))
            if ready := "ready" in reply:
                async with asyncio.timeout(run.route.policy.timeout):
                    reply = await worker.answer(run.route.name)
            outcome = _outcome(run, reply)
            self._idle.append(worker)
            return outcome
        except TimeoutError:
            _kill(worker)
            return judge(run, timed_out(run.route) if ready else _never_ready(run.route.name))
        except asyncio.CancelledError:
            _kill(worker)
            raise
        except Exception as error:  # whatever went wrong with the process or its answer ends the attempt
            _kill(worker)
            return judge(run, error)


def _start_process() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the process from the loop's own thread: the worker's death signal is tied to the thread that spawned it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "triggers.executor.worker", str(theirs.fileno()), str(os.getpid())]
    with theirs:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
    return process, ours


def _never_ready(route: str) -> HandlerError:
    return HandlerError(f"the process of handler {route!r} had not imported it after {STARTING:g} s", lost=True)


def _kill(worker: Worker | None) -> None:
    if worker:
        worker.kill()


def _job(run: Run) -> dict[str, Any]:
    route = run.route
    return {
        "name": route.name,
        "handler": route.target,
        "trigger": f"{route.trigger.__module__}:{route.trigger.__qualname__}",
        "emits": sorted(route.emits),
        "takes_context": route.takes_context,
        "coroutine": route.coroutine,
        "timeout": route.policy.timeout,
        "max_depth": route.policy.max_depth,
        "reads": sorted(route.policy.reads),
        "writes": sorted(route.policy.writes),
        "places": {name: str(path) for name, path in run.places.items()},
        "run": [run.number, run.attempt, run.started, run.journal],
        "event": list(run.event),
    }


def _outcome(run: Run, reply: dict[str, Any]) -> Outcome:
    match reply:
        case {"emitted": emitted}:
            return Done([Emitted(*item) for item in emitted])
        case {"later": seconds, "reason": reason}:
            return judge(run, Later(reason, seconds=seconds))
        case _:
            kinds, original = reply["kinds"], reply["original"]
            return judge(run, HandlerError(original[1], kinds=tuple(kinds), original=tuple(original)))

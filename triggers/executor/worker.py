"""The process that runs isolated handlers: `python -m triggers.executor.worker SOCKET PARENT`.

It asks the kernel to be killed when its parent dies (the guardian kills what it has started), reads one job at a time,
and answers it. It keeps what it has imported, so only the first run of a handler pays for that.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from contextvars import Context
from typing import Any

from triggers.attempt import Run, call_coroutine, call_plain, describe, without_exit
from triggers.checkpoints import INTERVAL
from triggers.errors import Later
from triggers.events import Event
from triggers.lineage import EventRow
from triggers.options import Policy
from triggers.places import Place
from triggers.retry import kinds_of
from triggers.routing import Route

_PR_SET_PDEATHSIG = 1  # prctl(2)

FIRST = "500"
"""Where memory runs out, the kernel ends isolated handlers and what they start before our parent; see proc(5)."""


def main(descriptor: int, parent: int) -> None:
    """Serve jobs until the parent closes the socket or dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        return
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(FIRST)
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group, they are the parent's to handle
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which what a handler starts would inherit
    os.set_inheritable(descriptor, False)
    os.register_at_fork(after_in_child=lambda: os.close(descriptor))  # the parent must see that *we* died
    with socket.socket(fileno=descriptor) as link, link.makefile("rwb") as stream:
        hello = _receive(stream) or {"path": sys.path, "level": logging.INFO}
        sys.path[:] = hello["path"]
        logging.basicConfig(level=hello["level"], handlers=[Forward(stream)])
        teller = Teller(stream)
        while (job := _receive(stream)) is not None:
            _send(stream, _answer(job, stream, teller))


class Forward(logging.Handler):
    """Hands log records to the parent, whose format and level they then have."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))  # level and logger go beside it
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; its traceback becomes a part of the message."""
        extra = {name: str(getattr(record, name)) for name in ("run", "event", "route") if hasattr(record, name)}
        try:
            _send(self._stream, {"log": [record.name, record.levelno, self.format(record), extra]})
        except Exception:  # a record that cannot be written must not fail the handler
            self.handleError(record)


_sending = threading.Lock()


def _send(stream: Any, message: object) -> None:
    text = json.dumps(message).encode()
    with _sending:  # a handler's threads may log while it answers
        stream.write(len(text).to_bytes(4, "big") + text)
        stream.flush()


def _receive(stream: Any) -> Any:
    header = stream.read(4)
    return json.loads(stream.read(int.from_bytes(header, "big"))) if len(header) == 4 else None


class Teller:
    """Tells the parent of checkpoints: the newest one, now and then, by a thread that is there once there is one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._run: Run | None = None
        self._new = threading.Event()
        self._thread: threading.Thread | None = None
        self._telling = threading.Lock()

    def begin(self, run: Run) -> None:
        """Tell of a run's checkpoints from now on."""
        run.told = self._told
        self._run = run

    def tell(self) -> None:
        """Tell of the newest checkpoint, if the parent does not know it."""
        with self._telling, suppress(OSError):  # the parent is gone, or the handler has closed the socket
            if self._run and self._run.keeper and (kept := self._run.keeper.take()):
                _send(self._stream, {"checkpoint": [json.loads(kept.value), kept.done, kept.total]})

    def _told(self, run: Run) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="triggers-checkpoints", daemon=True)
            self._thread.start()
        self._new.set()

    def _work(self) -> None:
        while self._new.wait():
            self._new.clear()
            self.tell()
            time.sleep(INTERVAL)


def _answer(job: dict[str, Any], stream: Any, teller: Teller) -> dict[str, Any]:
    try:
        return _attempt(job, stream, teller)
    finally:
        teller.tell()  # before the answer, so that it counts for this run


def _attempt(job: dict[str, Any], stream: Any, teller: Teller) -> dict[str, Any]:
    try:
        run = _load(job)
        teller.begin(run)
        _send(stream, {"ready": True})  # from here on the handler's time counts
        done = asyncio.run(call_coroutine(run)) if run.route.coroutine else Context().run(call_plain, run)
    except Later as later:
        return {"later": later.delay, "reason": str(later)}
    except BaseException as raised:  # SystemExit too: it ends the attempt, not the warm process
        error = without_exit(raised, job["name"])
        failure = describe(error)
        return {"kinds": kinds_of(error), "original": [failure.error, failure.message, failure.traceback]}
    return {"emitted": done.emitted, "failed": done.failed}


def _load(job: dict[str, Any]) -> Run:
    number, attempt, started, journal = job["run"]
    policy = Policy(
        timeout=job["timeout"],
        reads=frozenset(job["reads"]),
        writes=frozenset(job["writes"]),
        max_depth=job["max_depth"],
    )
    route = Route(
        name=job["name"],
        handler=_find(job["handler"]),
        trigger=_find(job["trigger"]),
        emits=dict.fromkeys(job["emits"], Event),
        policy=policy,
        coroutine=job["coroutine"],
        takes_context=job["takes_context"],
        takes=[_find(name) for name in job["takes"]],
        shape=job["shape"],
    )
    places = {name: Place(where, name=name) for name, where in job["places"].items()}
    members = [EventRow(*row) for row in job["members"]]
    run = Run(number, attempt, route, EventRow(*job["event"]), started, journal, places, members=members)
    run.restored = job["restored"]
    return run


def _find(target: str) -> Any:
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

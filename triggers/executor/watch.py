"""A look-out for handlers that block the event loop: everything stands still then, and nothing says so."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback

log = logging.getLogger("triggers.dispatcher")

PATIENCE = 1.0
"""Seconds that the loop may be silent before it is reported."""

LOOKS = 10
"""How often it is looked at meanwhile: a machine that stands still uses up one look, not all the time."""


class LoopWatch:
    """A thread that asks the loop for a sign of life once a second, only while coroutine handlers run."""

    def __init__(self) -> None:
        self._awake = threading.Event()
        self._answered = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch, if nobody watches yet. Called on the loop."""
        if self._thread is None:
            arguments = (loop, threading.get_ident())
            self._thread = threading.Thread(target=self._watch, args=arguments, name="triggers-watch", daemon=True)
            self._thread.start()
        self._awake.set()

    def rest(self) -> None:
        """Stop watching: no coroutine handler runs any more."""
        self._awake.clear()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._awake.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while self._awake.wait() and not self._closed.is_set() and not loop.is_closed():
            self._answered.clear()
            loop.call_soon_threadsafe(self._answered.set)
            if self._silent() and loop.is_running():  # one that a test runs in turns may just rest
                where = user_frame(thread)
                log.warning(
                    "the event loop has been blocked for %g s at %s; nothing else can run meanwhile:"
                    " await there, or make the handler a plain `def`, which gets a thread",
                    PATIENCE,
                    where,
                )
                self._answered.wait()
            self._closed.wait(PATIENCE)

    def _silent(self) -> bool:
        return not any(self._answered.wait(PATIENCE / LOOKS) for _ in range(LOOKS))


def user_frame(thread: int) -> str:
    """Return the outermost frame of a thread that is neither ours nor asyncio's, as `file:line in function`."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "an unknown place"
    stack = traceback.extract_stack(frame)
    ours = ("/asyncio/", "/triggers/executor/", "/triggers/attempt.py", "/triggers/engine.py", "/triggers/commands/")
    handlers = [entry for entry in stack if any(part in entry.filename for part in ours)]
    after = stack[stack.index(handlers[-1]) + 1 :] if handlers else stack
    entry = (after or stack)[0]
    return f"{entry.filename}:{entry.lineno} in {entry.name}"

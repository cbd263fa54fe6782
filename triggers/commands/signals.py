"""The signals that stop `triggers run`. They are heard also while a handler blocks the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Self

from triggers.executor.watch import PATIENCE, user_frame

log = logging.getLogger("triggers.run")

SILENCE = 5.0
"""Seconds for which the loop must have been silent before a stop whose time is up ends without it."""
LAST_WORDS = 1.0
"""Seconds that the last words may take: who reads them may have stopped reading."""
_CLOSED = 0


class Signals:
    """Has the first signal call `told` on the loop, and a second one end the process.

    SIGINT, SIGTERM and SIGHUP are heard, the last one unless the process was started to ignore it (`nohup`). A closed
    terminal sends SIGHUP more than once, so it is never the second signal.

    Python itself calls handlers of signals between two steps of the main thread, and asyncio between two turns of the
    loop. Here a thread reads the pipe that the system's own handler writes to, so that neither a loop that never awaits
    nor C code that has released the interpreter lock is in the way. (C code that keeps the lock is.)
    """

    def __init__(self, told: Callable[[int], None], last_words: Callable[[], None], grace: float) -> None:
        self._told = told
        self._last_words = last_words
        self._grace = grace
        self._answered = threading.Event()
        self._silent = 0
        """How many times in a row the loop did not answer for `PATIENCE`."""

    def __enter__(self) -> Self:
        """Begin to listen. Called on the running loop, in the main thread."""
        self._loop, self._main = asyncio.get_running_loop(), threading.get_ident()
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        heard = [signal.SIGINT, signal.SIGTERM] + [signal.SIGHUP] * (not ignored)
        self._before = {number: signal.signal(number, lambda *_: None) for number in heard}
        self._pipe_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, name="triggers-signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more, and let the signals do what they did before."""
        signal.set_wakeup_fd(self._pipe_before)
        for number, before in self._before.items():
            signal.signal(number, before)
        self._mouth.send(bytes([_CLOSED]))
        self._thread.join()
        self._ear.close()
        self._mouth.close()

    def _listen(self) -> None:
        if (first := self._ear.recv(1)[0]) == _CLOSED:
            return
        self._loop.call_soon_threadsafe(self._told, first)
        due = time.monotonic() + self._grace
        self._ear.settimeout(PATIENCE)
        while True:
            self._answered.clear()
            self._loop.call_soon_threadsafe(self._answered.set)
            try:
                number = self._ear.recv(1)[0]
            except TimeoutError:
                self._look(first, due)
                continue
            if number == _CLOSED:
                return
            if number in self._before and number != signal.SIGHUP:
                self._end(number)

    def _look(self, first: int, due: float) -> None:
        """Report a loop that does not answer; end the process where the time of the stop is up."""
        self._silent = 0 if self._answered.is_set() else self._silent + 1
        if self._silent == 1:
            _say("the stop waits: the event loop is blocked at %s; once more to end at once", self._place())
        if self._silent * PATIENCE >= SILENCE and time.monotonic() >= due:
            said = "ended although the event loop is blocked at %s; the next start runs again what was at work"
            _say(said, self._place()).join(LAST_WORDS)
            self._end(first)

    def _place(self) -> str:
        return user_frame(self._main)

    def _end(self, number: int) -> NoReturn:
        """End the process. What is committed is durable."""
        words = threading.Thread(target=self._last_words, daemon=True)
        words.start()
        words.join(LAST_WORDS)
        os._exit(128 + number)


def _say(text: str, place: str) -> threading.Thread:
    """Log a warning without waiting for whoever may hold the log's lock."""
    saying = threading.Thread(target=log.warning, args=(text, place), daemon=True)
    saying.start()
    return saying

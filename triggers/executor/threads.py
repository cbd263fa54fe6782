"""Our own pool of threads for plain functions, of the configured size.

asyncio's default executor has at most `cores + 4` threads, which leaves blocking handlers waiting for one another; and
every result that wakes the loop on its own costs a system call, so results are handed over in batches.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from triggers.executor.attempt import Outcome, Run, run_plain

Finished = Callable[[Run, Outcome], None]


class Threads:
    """Daemon threads, started as they are needed. A thread can't be killed: a stuck one keeps its slot."""

    def __init__(self, size: int, finished: Finished) -> None:
        self._size = size
        self._finished = finished
        self._queue: SimpleQueue[Run | None] = SimpleQueue()
        self._results: deque[tuple[Run, Outcome]] = deque()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._waking = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, run: Run) -> None:
        """Run the handler in the next free thread. Called on the loop, never for more than `size` runs at once."""
        self._loop = asyncio.get_running_loop()
        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < self._size:
            thread = threading.Thread(target=self._work, name=f"triggers-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._queue.put(run)

    def close(self) -> None:
        """Let the idle threads end. A busy one ends after its handler, or with the process."""
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        while (run := self._queue.get()) is not None:
            outcome = run_plain(run)
            self._results.append((run, outcome))
            if not self._waking and self._loop and not self._loop.is_closed():
                self._waking = True
                self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._waking = False  # before the look, so that a result that comes after it wakes the loop again
        while self._results:
            run, outcome = self._results.popleft()
            self._busy -= 1
            self._finished(run, outcome)

"""Our own pool of threads for plain functions, of the configured size.

asyncio's default executor has at most `cores + 4` threads, which leaves blocking handlers waiting for one another; and
every result that wakes the loop on its own costs a system call, so results are handed over in batches.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextvars import Context
from queue import SimpleQueue

from triggers.attempt import Finished, Outcome, Run, run_plain
from triggers.clock import Clock
from triggers.executor.stuck import Lookout, Slow


class Threads:
    """Daemon threads, started as they are needed. A thread can't be killed: a stuck one keeps its slot."""

    def __init__(self, size: int, finished: Finished, clock: Clock) -> None:
        self._size = size
        self._finished = finished
        self._clock = clock
        self._queue: SimpleQueue[Run | None] = SimpleQueue()
        self._results: deque[tuple[Run, Outcome]] = deque()
        self._threads: list[threading.Thread] = []
        self._at_work: list[tuple[Run, float] | None] = []
        """For each thread, the run in it and the moment of its start."""
        self._busy = 0
        self._waking = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slow = Slow()
        self._lookout = Lookout(clock, self._look)

    def start(self, run: Run) -> None:
        """Run the handler in the next free thread. Called on the loop, never for more than `size` runs at once."""
        self._loop = asyncio.get_running_loop()
        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < self._size:
            self._add_thread()
        self._queue.put(run)
        self._lookout.wake()

    def close(self) -> None:
        """Let the idle threads end. A busy one ends after its handler, or with the process."""
        self._lookout.close()
        for _ in self._threads:
            self._queue.put(None)

    def _add_thread(self) -> None:
        slot = len(self._threads)
        thread = threading.Thread(target=self._work, args=[slot], name=f"triggers-{slot}", daemon=True)
        self._at_work.append(None)
        self._threads.append(thread)
        thread.start()

    def _work(self, slot: int) -> None:
        while (run := self._queue.get()) is not None:
            self._at_work[slot] = run, self._clock.monotonic()
            outcome = Context().run(run_plain, run)  # context variables of one run are not the next one's
            self._at_work[slot] = None
            self._results.append((run, outcome))
            if not self._waking and self._loop and not self._loop.is_closed():
                self._waking = True
                self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._waking = False  # before the look, so that a result that comes after it wakes the loop again
        while self._results:
            run, outcome = self._results.popleft()
            self._busy -= 1
            if self._slow.reported:
                self._slow.ended(run, outcome, self._clock.monotonic())
            self._finished(run, outcome)

    def _look(self, now: float) -> float | None:
        """Report the runs that take long, and say when to look again: not at all if no other is at work."""
        again = self._slow.report([item for item in self._at_work if item], now)
        return again if self._busy > len(self._slow.reported) else None

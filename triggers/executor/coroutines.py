"""Coroutine handlers, on the loop.

A task for every run would cost more than most handlers do. So a worker task carries out one run after the other; when a
handler suspends it, or its time is up, another worker goes on with those that are left.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, copy_context

from triggers.attempt import GIVEN_BACK, Finished, Run, cancelled
from triggers.clock import Clock
from triggers.executor.deadline import run_coroutine
from triggers.executor.stuck import Late
from triggers.executor.watch import LoopWatch

AT_A_TIME = 0.02
"""Seconds after which a worker begins no other run, so that the loop turns: others wait for it, too. What ends
meanwhile is committed together, so that a shorter time makes more commits, each of fewer runs."""


class Coroutines:
    """The worker tasks of running coroutine handlers."""

    def __init__(self, finished: Finished, clock: Clock) -> None:
        self._finished = finished
        self._clock = clock
        self._waiting: deque[Run] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._stopping = False
        self._watch = LoopWatch()
        self._late = Late(clock)

    def start(self, run: Run) -> None:
        """Run the handler as soon as the loop gets to it."""
        self._waiting.append(run)
        self._schedule()

    def cancel(self) -> None:
        """Cancel what still runs; each is given back, no attempt used."""
        self._stopping = True
        while self._waiting:
            self._finished(self._waiting.popleft(), GIVEN_BACK)
        for worker in self._workers:
            worker.cancel()

    def close(self) -> None:
        """Let go of the look-outs for handlers that block the loop and for those that can't be cancelled."""
        self._watch.close()
        self._late.close()

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not self._workers:
            self._watch.rest()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._spawn)

    def _spawn(self) -> None:
        self._scheduled = False
        if self._waiting:
            worker = asyncio.get_running_loop().create_task(self._work(), context=Context())
            if not self._workers:
                self._watch.wake(asyncio.get_running_loop())
            self._workers.add(worker)
            worker.add_done_callback(self._ended)

    async def _work(self) -> None:
        late, task, awake = self._late.add, asyncio.current_task(), self._clock.awake
        until = awake() + AT_A_TIME
        while self._waiting:
            run = self._waiting.popleft()
            if self._waiting:
                self._schedule()  # gets its turn only if this handler suspends us, or our time is up
            try:
                outcome = await run_coroutine(run, late)
            except asyncio.CancelledError:
                outcome = GIVEN_BACK if self._stopping else cancelled(run)
            self._finished(run, outcome)
            if awake() > until or copy_context() or (task and task.cancelling()):
                self._schedule()
                return  # what the handler left behind, context variables or a cancellation, the next run must not see

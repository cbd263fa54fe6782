"""Coroutine handlers: one task each, on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from triggers.executor.attempt import Again, Outcome, Run, run_coroutine

Finished = Callable[[Run, Outcome], None]


class Coroutines:
    """The tasks of running coroutine handlers."""

    def __init__(self, finished: Finished) -> None:
        self._finished = finished
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, run: Run) -> None:
        """Run the handler as a task of its own."""
        task = asyncio.get_running_loop().create_task(self._work(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Cancel what still runs; each is given back, no attempt used."""
        for task in self._tasks:
            task.cancel()

    async def _work(self, run: Run) -> None:
        try:
            outcome = await run_coroutine(run)
        except asyncio.CancelledError:
            outcome = Again(0.0, "given back", counted=False)
        self._finished(run, outcome)

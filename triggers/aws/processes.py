"""Handlers of a job in a process of their own, as a dispatcher has them: it is killed at the handler's `timeout=`.

A process that dies ends one attempt, and the job goes on. Apart from the rest, as no function needs this.
"""

from __future__ import annotations

import asyncio

from triggers.attempt import Outcome, Run
from triggers.executor.isolated import Isolated


class Processes:
    """A warm process, which the next handler is called in, too, unless it has died."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool = Isolated(lambda run, outcome: self._ended.set_result(outcome))
        self._ended: asyncio.Future[Outcome]

    def carry_out(self, run: Run) -> Outcome:
        """Call a handler, within its route's `timeout=`, and return what came of it."""
        return self._loop.run_until_complete(self._outcome(run))

    def close(self) -> None:
        """End the process."""
        self._pool.close()
        self._loop.close()

    async def _outcome(self, run: Run) -> Outcome:
        self._ended = self._loop.create_future()
        self._pool.start(run)
        return await self._ended


__all__ = ["Processes"]

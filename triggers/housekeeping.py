"""Retention: what ended long ago is deleted, a little at a time, so that a journal does not grow for ever."""

from __future__ import annotations

import asyncio

from triggers.dispatcher import Dispatcher
from triggers.journal import prune
from triggers.limits import FORGET

EVERY = 3600.0
"""Seconds between two rounds."""
AT_ONCE = 500
"""Rows to one transaction: events that arrive meanwhile are not kept waiting."""

_DAY = 86_400.0


class Housekeeping:
    """A task that prunes the journal once an hour."""

    def __init__(self, dispatcher: Dispatcher, retention: float) -> None:
        self._dispatcher = dispatcher
        self._retention = retention * _DAY
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. The first round is due at once."""
        self._task = asyncio.get_running_loop().create_task(self._rounds())

    def stop(self) -> None:
        """Stop between two transactions."""
        if self._task:
            self._task.cancel()

    async def _rounds(self) -> None:
        clock, pipeline = self._dispatcher.clock, self._dispatcher.pipeline
        while not pipeline.fatal:
            before = clock.now() - self._retention
            try:
                while await pipeline.ordered(prune(before, before - FORGET * _DAY, AT_ONCE)):
                    pass
            except Exception:
                if not pipeline.fatal:  # of which those hear who wait for the app
                    raise
            await clock.sleep(EVERY)

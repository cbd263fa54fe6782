"""Checkpoints of the runs at work, on their way to the journal: each run's at most twice a second, the newest one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from triggers.attempt import Done, Outcome, Run
from triggers.checkpoints import INTERVAL
from triggers.clock import Clock
from triggers.journal import CheckpointRow
from triggers.pipeline import Pipeline


class Keeping:
    """Puts what runs tell of themselves into the pending turn."""

    def __init__(self, pipeline: Pipeline, running: Mapping[int, Run], clock: Clock, epoch: int) -> None:
        self._pipeline = pipeline
        self._running = running
        self._clock = clock
        self._epoch = epoch
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, run: Run) -> None:
        """Have a run's checkpoints kept from now on. Called on the loop."""
        self._loop = asyncio.get_running_loop()
        run.told = self._told

    def end(self, run: Run, outcome: Outcome) -> None:
        """Keep the last checkpoint of an attempt together with its end; that of a run that is done is not needed."""
        if not isinstance(outcome, Done):
            self._save(run)
        elif run.restored is not None or (run.keeper and run.keeper.used):
            change = self._pipeline.turn.change
            change.checkpoints.pop(run.number, None)
            change.over.append(run.number)

    def _told(self, run: Run) -> None:
        """Called in the handler's thread."""
        with suppress(RuntimeError):  # the loop has been closed, and the run given back
            if self._loop:
                self._loop.call_soon_threadsafe(self._due, run)

    def _due(self, run: Run) -> None:
        assert self._loop
        assert run.keeper
        wait = run.keeper.saved + INTERVAL - self._loop.time()
        if wait > 0:
            self._loop.call_later(wait, self._look, run)
        else:
            self._look(run)

    def _look(self, run: Run) -> None:
        if self._running.get(run.number) is run:
            self._save(run)

    def _save(self, run: Run) -> None:
        if run.keeper is None or (kept := run.keeper.take()) is None:
            return
        assert self._loop
        run.keeper.saved = self._loop.time()
        row = CheckpointRow(run.number, run.attempt, self._epoch, *kept, run.origin, self._clock.now())
        self._pipeline.turn.change.checkpoints[run.number] = row
        self._pipeline.touch()

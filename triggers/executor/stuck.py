"""A look-out for handlers that can't be stopped where they are: each is reported once, by itself.

Two kinds of them are told apart:

- A coroutine that its `timeout=` has cancelled and that goes on is wrong by its own declaration. It is reported when it
  has not ended `LAST_WORDS` later.
- A plain function in a thread has declared nothing (`timeout=` would have given it a process), and one that trains for
  an hour is as good as one that hangs, for all that can be seen from here. So it is reported neutrally, after
  `PATIENCE`, for the operator who will wonder what holds the slot. A route whose reported run then ends well is a slow
  one: its later runs are reported only if they take twice as long, so that a daily training does not warn every day.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from triggers.attempt import Done, Outcome, Run
from triggers.clock import Clock
from triggers.executor.deadline import Deadline

log = logging.getLogger("triggers.dispatcher")

PATIENCE = 60.0
"""Seconds that a plain function may be in its thread before it is reported, where its route is not known to be slow."""

LAST_WORDS = 5.0
"""Seconds that a coroutine may go on after its `timeout=` has cancelled it."""


class Lookout:
    """One timer for all that may be stuck. It is set while there is something to look after, and never otherwise.

    `look` is given the clock's monotonic seconds and returns when to look again, or None where there is no need.
    """

    def __init__(self, clock: Clock, look: Callable[[float], float | None]) -> None:
        self._clock = clock
        self._look = look
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def wake(self) -> None:
        """Begin to look, if nobody does yet. Called on the loop."""
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._keep())

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        if self._task:
            self._task.cancel()

    async def _keep(self) -> None:
        while (again := self._look(self._clock.monotonic())) is not None:
            await self._clock.sleep(again - self._clock.monotonic())
        self._task = None


class Slow:
    """The runs that have been in their threads for long: which were reported, and how long their routes took before."""

    def __init__(self) -> None:
        self.reported: dict[int, float] = {}
        """The runs that were reported and have not ended, each with the moment of its start."""
        self._longest: dict[str, float] = {}

    def report(self, at_work: Iterable[tuple[Run, float]], now: float) -> float:
        """Report the runs that have been at work for too long, and return when one of the others may be.

        Each comes with the moment of its start.
        """
        due = now + PATIENCE
        for run, since in at_work:
            if run.number in self.reported:
                continue
            patience = max(PATIENCE, 2 * self._longest.get(run.route.name, 0.0))
            if now - since < patience:
                due = min(due, since + patience)
            else:
                self.reported[run.number] = since
                _report_slow(run, now - since)
        return due

    def ended(self, run: Run, outcome: Outcome, now: float) -> None:
        """Forget a run that was reported, and remember how long its route takes if it ended well."""
        since = self.reported.pop(run.number, None)
        if since is not None and isinstance(outcome, Done):
            self._longest[run.route.name] = now - since


class Late:
    """The coroutines that their `timeout=` has cancelled, until they end or are reported."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cancelled: list[tuple[Deadline, float]] = []
        self._lookout = Lookout(clock, self._look)

    def add(self, deadline: Deadline) -> None:
        """Look after a run that has just been cancelled. Called on the loop."""
        self._cancelled.append((deadline, self._clock.monotonic()))
        self._lookout.wake()

    def close(self) -> None:
        """Look no more."""
        self._lookout.close()

    def _look(self, now: float) -> float | None:
        waiting = []
        for deadline, since in self._cancelled:
            if not deadline.over and now - since < LAST_WORDS:
                waiting.append((deadline, since))
            elif not deadline.over:
                _report_late(deadline.run, now - since)
        self._cancelled = waiting
        return waiting[0][1] + LAST_WORDS if waiting else None


def _report_slow(run: Run, seconds: float) -> None:
    log.warning(
        "route %r r%d has been in its thread for %.0f s and can't be stopped there;"
        " if it may hang, give it timeout= or isolate=True, which run it in a process",
        run.route.name,
        run.number,
        seconds,
    )


def _report_late(run: Run, seconds: float) -> None:
    log.warning(
        "route %r r%d runs on %.0f s after its timeout of %g s cancelled it, and keeps its slot;"
        " let CancelledError pass, and end soon after it",
        run.route.name,
        run.number,
        seconds,
        run.route.policy.timeout,
    )

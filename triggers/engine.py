"""The engine: an app at work over a state folder. It puts journal, dispatcher and sources together.

::

    async with Engine(app, StateFolder(".triggers/churn")) as engine:
        await engine.drained()
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from triggers.app import App
from triggers.check.graph import refuse
from triggers.clock import Clock, SystemClock
from triggers.dispatcher import Dispatcher
from triggers.errors import TriggersError
from triggers.executor import Executor
from triggers.housekeeping import Housekeeping
from triggers.intake import OPERATORS, Intake
from triggers.journal import Journal, Stranded, declare
from triggers.journal.dues import Held
from triggers.journal.groups import Left
from triggers.rejections import Rejections
from triggers.resource import close_all
from triggers.routing import Router, describe_route
from triggers.scheduling.preference import name_of
from triggers.scheduling.regulation import regulated
from triggers.sources import Source
from triggers.sources.inbox import Inbox
from triggers.sources.timer import Timer
from triggers.state import StateFolder
from triggers.waits import Wait, held, waits

SWITCH_INTERVAL = 0.0005
"""Seconds a thread may keep Python's interpreter lock from another one; the default is 5 ms. The journal's writer wants
the lock back after every statement, and a busy loop would make each of them wait that long."""


class Engine:
    """Owns a state folder while it is entered. Raises `StateHeld` where another engine does, `WiringError` where the
    app cannot work, `StateError` where the folder is that of another app, unless `adopt` says that it is to be its.

    `target` is `module:app`, by which the app was loaded: the journal keeps it for who writes tests of the app.
    `durable`, `threaded` and `watches` are for tests: see `Journal` and `Site`.
    """

    _executor: Callable[..., Executor] = Executor

    def __init__(
        self,
        app: App,
        state: StateFolder,
        *,
        clock: Clock | None = None,
        durable: bool = True,
        threaded: bool = True,
        watches: bool = True,
        grace: float = 0.0,
        adopt: bool = False,
        target: str | None = None,
    ) -> None:
        self.app = app
        self.state = state
        self.grace = grace
        self._adopt = adopt
        self._target = target
        self._clock = clock or SystemClock()
        self._durable = durable
        self._threaded = threaded
        self._watches = watches

    async def __aenter__(self) -> Self:
        refuse(self.app, self.state.path)
        self.state.create().acquire()
        with ExitStack() as taken:  # what fails in here frees what was taken before it
            taken.callback(self.state.release)
            self.journal = self._open()
            taken.callback(self.journal.close)
            self._compose()
            self._start()
            self._taken = taken.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Read nothing more, let what runs finish for `grace` seconds, and free the folder."""
        with self._taken:
            self.housekeeping.stop()
            await self.intake.stop()
            await self.dispatcher.stop(self.grace)
            await close_all(self.app.made_once)

    @property
    def rejected(self) -> int:
        """Return how many batches and messages that came were not valid, so that nothing of them was taken in."""
        batches = sum(source.rejected for source in self.intake.sources.values() if isinstance(source, Inbox))
        return batches + self.intake.rejections.count

    @property
    def left(self) -> Sequence[Left | Stranded]:
        """Return what waits to come together for routes that do not gather any more, or for routes that are gone."""
        return [*self.dispatcher.reception.gathering.left, *self.dispatcher.stranded]

    async def quiet(self) -> None:
        """Wait until the sources have told all they know and nothing runs or can start. What is delayed waits on.

        Raises `TriggersError` when a source fails: it may know of more.
        """
        while not (self.intake.idle_all() and self.dispatcher.quiet()):
            await self._changed()
            for source, why in self.intake.failing.items():
                raise TriggersError(f"source {source!r} fails, so nobody knows what is still to come: {why}")

    async def drained(self, tell: Callable[[Sequence[Wait]], None] | None = None) -> Sequence[Held]:
        """Wait until there is nothing left to do: `quiet`, and nothing that waits for its moment either.

        `tell` is called with what is waited for, whenever that is for another moment. Returned is what waits for ever.
        """
        told: Sequence[float] = ()
        await self.quiet()
        while moments := self.dispatcher.moments():
            if tell and moments != told:
                told = moments
                tell(await waits(self.dispatcher))
            else:
                await self._changed()
            await self.quiet()
        return await held(self.dispatcher)

    async def forever(self) -> None:
        """Wait until something makes it impossible to go on, and raise it."""
        while True:
            await self._changed()

    async def _changed(self) -> None:
        if error := await self.intake.error():
            raise error
        await self.dispatcher.pipeline.changed()

    def _open(self) -> Journal:
        options = {"adopt": self._adopt, "durable": self._durable, "threaded": self._threaded}
        return Journal(self.state, self._clock, app=self.app.name, **options)

    def _compose(self) -> None:
        router = Router(self.app.routes.values())
        app = self.app
        self.dispatcher = Dispatcher(
            app.name, router, self.journal, app.limits, app.places(), app.expectations, self._executor
        )
        rejections = Rejections(self.state.rejected)
        ways = {"watches": self._watches, "traces": self.app.writes_objects()}
        self.intake = Intake(self.dispatcher, self._sources(), rejections, **ways)
        self.housekeeping = Housekeeping(self.dispatcher, self.app.limits.retention)
        self._routes = declare([describe_route(route) for route in self.app.routes.values()], self._described())

    def _described(self) -> dict[str, Any]:
        """Return what the journal keeps of the app besides its routes, see `AppView`."""
        limits = self.app.limits
        own = {"name": self.app.name, "sources": sorted(self.intake.sources)}
        policy = None if limits.policy is None else name_of(limits.policy)
        decided_by = {"aging": limits.aging, "policy": policy, "shares": dict(limits.shares)}
        found_out = regulated(limits, self.app.routes.values())
        expected = {name: one.described() for name, one in self.app.expectations.items()}
        told = {"target": self._target, "regulated": found_out, "expected": expected}
        return {**own, "capacity": limits.capacity(), **decided_by, **told}

    def _start(self) -> None:
        sys.setswitchinterval(min(SWITCH_INTERVAL, sys.getswitchinterval()))
        self.dispatcher.pipeline.order(self._routes, lambda _: None)
        self.dispatcher.start(asked=self.state.asked())
        self.housekeeping.start()
        self.intake.start()

    def _sources(self) -> list[Source]:
        schedules = {route.name: route.schedule for route in self.app.routes.values() if route.schedule}
        timers = [Timer(schedules, self.dispatcher.paused, self.dispatcher.resumed)] if schedules else []
        awaited, watches = self.dispatcher.awaited, []
        if awaited:
            from triggers.sources.absence import AbsenceWatch  # an app that expects nothing need not load it

            watches = [AbsenceWatch(self.app.expectations, awaited.last)]
        doors = [Inbox(self.state.inbox), Inbox(self.state.requests, OPERATORS)]
        return [*self.app.sources.values(), *timers, *watches, *doors]

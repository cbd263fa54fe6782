"""From an event to its runs: each is claimed at once, waits, is delayed, or is yet to be gathered."""

from __future__ import annotations

from collections.abc import Callable

from triggers.awaited import Awaited
from triggers.events import GATHERED
from triggers.gathering import Gathering
from triggers.journal import DELAYED, Journal, RunRow
from triggers.journal.punctuality import postpone
from triggers.lineage import EventRow
from triggers.pipeline import Pipeline
from triggers.routing import Route, Router
from triggers.scheduling.admission import Admission
from triggers.scheduling.alarm import Alarm
from triggers.scheduling.appraisal import first_start, terms_of
from triggers.scheduling.claims import Claims
from triggers.scheduling.punctuality import Punctuality


class Reception:
    """Takes events in, those from outside and those that handlers emit. `delayed` rings when a delayed run is due."""

    def __init__(
        self,
        app: str,
        router: Router,
        journal: Journal,
        pipeline: Pipeline,
        admission: Admission,
        claims: Claims,
        punctuality: Punctuality,
        aging: float,
        delayed: Alarm,
        awaited: Awaited | None = None,
    ) -> None:
        self.gathering = Gathering(app, router.routes, journal, pipeline, aging, self.take)
        self._router = router
        self._later = {name: route for name, route in router.routes.items() if route.policy.not_before}
        """The routes whose runs do not start as soon as they could."""
        self._journal = journal
        self._clock = journal.clock
        self._pipeline = pipeline
        self._admission = admission
        self._claims = claims
        self._punctuality = punctuality
        self._delayed = delayed
        self._aging = aging
        self._awaited = awaited

    def add(self, event: EventRow, now: float) -> None:
        """Put an event that comes now, and a run for each route that it triggers, into the pending turn."""
        self._pipeline.turn.change.events.append(event)
        if self._awaited:
            self._awaited.see(event)
        for run in self.new_runs(event, now, self.gathering.take):
            self._put(event, run, now)

    def take(self, event: EventRow, run: RunRow) -> None:
        """Put a run into the pending turn that was made of several events; its event, too, where it is new."""
        if event.type == GATHERED:
            self._pipeline.turn.change.events.append(event)
        self._put(event, run, self._clock.now())
        self._pipeline.touch()

    def new_runs(
        self, event: EventRow, now: float, gather: Callable[[Route, EventRow], None], only: str | None = None
    ) -> list[RunRow]:
        """Return a run, made now, for each route that the event triggers, or for `only` that route of them.

        `gather` takes it for the routes that make one run of several events.
        """
        runs = []
        for route in self._router.match(event.type, event.source, event.subject, event.data):
            if only is None or route.name == only:
                if route.rule and event.type != GATHERED:
                    gather(route, event)
                    continue
                terms = terms_of(route, event, now, self._aging)
                runs.append(RunRow(self._journal.number_run(), event.number, route.name, terms))
        return runs

    def _put(self, event: EventRow, run: RunRow, now: float) -> None:
        """Put a run into the pending turn: it is claimed at once, waits, or is delayed until it may start at all."""
        turn = self._pipeline.turn
        turn.change.runs.append(run)
        start = first_start(self._later[run.route], run.terms, now) if run.route in self._later else None
        if start is None:
            self._claims.take(turn, run, event, now)
        else:
            self._postpone(run, start, now)
        if run.terms.expires is not None or run.terms.deadline is not None:
            self._punctuality.watch(run.terms)

    def _postpone(self, run: RunRow, start: float, now: float) -> None:
        """Insert a run as one that is delayed until a moment of the wall clock."""
        run.state, due = DELAYED, self._clock.monotonic() + start - now
        flow = self._admission.flows[run.route]

        def postponed(there: bool) -> None:
            if there:
                flow.hold(run.number, run.terms.key)
                self._delayed.set(due)

        self._pipeline.order(postpone(run.number, due, start), postponed)

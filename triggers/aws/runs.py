"""One run in a function: claim it, carry it out, settle it, publish what it emitted, mark it.

A function may end at any point. What is given the same event afterwards finds the record and goes on from there::

    before the claim                nothing has happened
    until it is settled             the lease passes, and the attempt is made again; it has been counted
    until it is published           the kept events are published; the handler is not called again
    until it is marked              they are published once more, as the same events: their runs know their identities
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING

from triggers.app import App
from triggers.attempt import NOTHING, Again, Dead, Done, Failure, Outcome, Run, run_plain
from triggers.aws import wire
from triggers.aws.bus import Bus, Entry
from triggers.aws.logs import JsonLines, about, ended
from triggers.aws.records import DEAD, DONE, KNOWN, WAITING, Claim, Records, Sighting, Standing, Superseded
from triggers.emission import emissions, emitted, within_bounds
from triggers.errors import EventError, TriggersError, WiringError
from triggers.events import ObjectCreated
from triggers.lineage import EventRow, bounded, continued
from triggers.routing import PROCESS, Route, Router
from triggers.sources.bucket import Bucket

if TYPE_CHECKING:
    from triggers.aws.coroutines import Coroutines
    from triggers.aws.lineages import Refusals
    from triggers.aws.processes import Processes

log = logging.getLogger("triggers.run")

RESERVE = 2.0
"""Seconds before the end of an invocation that are kept for settling and publishing."""
PAUSE = 0.5
"""Seconds after which a settlement that AWS did not take is tried again; then twice as many, and so on."""
LONGEST_PAUSE = 8.0
LONGEST_SETTLING = 900.0
"""Seconds for which that is done at most, where no invocation ends: in a job."""
SKEW = 5.0
"""Seconds by which the clocks of two functions may differ: no lease is taken over earlier after its end."""
_OF_KEY = {"key", "uri"}
"""Fields of an `ObjectCreated` that are those of its key, whatever that holds."""


class Runs:
    """Carries out runs of an app's routes. `journal` names the deployment in the handlers' idempotency keys.

    `processes` are where handlers are called that are to have one; without, they are called in this one.
    """

    def __init__(
        self,
        app: App,
        router: Router,
        records: Records,
        bus: Bus,
        journal: str,
        lines: JsonLines | None = None,
        now: Callable[[], float] = time.time,
        processes: Processes | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._app = app.name
        self._places = app.places()
        self._traced = _buckets(app) if app.writes_objects() else {}
        self._refusals: Refusals | None = None
        self._leading = router.leading
        self._max_events = app.limits.max_events
        self._records = records
        self._bus = bus
        self._journal = journal
        self._lines = lines or JsonLines()
        self._now = now
        self._processes = processes
        self._sleep = sleep
        self._coroutines: Coroutines | None = None

    def carry_out(
        self,
        event: EventRow,
        route: Route,
        request: str,
        until: float,
        lease: float | None = None,
        sighting: Sighting | None = None,
    ) -> Standing:
        """Bring the run of a route on an event as far as it gets, and return where it stands then.

        `request` names the invocation, `until` is the Unix time at which it is killed. From then on the run is
        free for others, or from the end of a `lease`, which is renewed. The `sighting` is what an `ObjectCreated` was
        made of: where the route was told of that content before, and hears of all, no run begins.
        """
        begins = sighting is None or self._is_new(event, route, sighting)
        event, now = self._traced_back(event) if begins else event, self._now()
        event = bounded(event, self._max_events)
        number, text = wire.run_number(event, route.name), wire.write(event)
        lease = (lease or until) + SKEW
        claim = self._records.claim(number, route.name, event, text, request, now, lease, begins=begins)
        if isinstance(claim, Standing):
            return self._caught_up(claim)
        if claim.event != text:
            event = wire.read(claim.event.encode(), now)
        run = Run(number, claim.attempt, route, event, now, self._journal, self._places, claim.first)
        run.restored = claim.left or None
        self._lines.about = about(run, request)
        try:
            outcome = self._attempt(run, until)
            if run.keeper and (kept := run.keeper.take()):
                claim = claim._replace(left=kept.value)
            return self._settled(run, claim, outcome, until)
        finally:
            self._lines.about = {"request": request}

    def hand_on(self, event: EventRow) -> None:
        """Put what no run emitted on the bus, for the routes that hear of it there.

        Whoever puts it there again puts the same event. Raises `EventError` where the bus could not carry it, and
        `TriggersError` where it does not take it.
        """
        self._bus.publish([self._bus.entry(event.type, wire.write(event))])

    def close(self) -> None:
        """Let go of the event loop and of the processes, if there are any."""
        if self._coroutines:
            self._coroutines.close()
        if self._processes:
            self._processes.close()

    def _is_new(self, event: EventRow, route: Route, sighting: Sighting) -> bool:
        return not _hears_all(route) or self._records.is_new(route.name, event, sighting, self._now())

    def _traced_back(self, event: EventRow) -> EventRow:
        """Return an event as what goes on with the chain whose run wrote its object, where it seems to begin one.

        Raises `TriggersError` where S3 may say later whether it does.
        """
        bucket = self._traced.get(event.source)
        if bucket is None or event.depth or event.type != ObjectCreated.__event_type__:
            return event
        from triggers.aws.lineages import Refusals, question  # both are there already, with the app's places
        from triggers.aws.objects import lineage_of

        self._refusals = self._refusals or Refusals()
        asked = question(event.data, bucket)
        lineage = lineage_of(asked, self._refusals) if asked else None
        return event if lineage is None else continued(event, lineage, self._journal)

    def _attempt(self, run: Run, until: float) -> Outcome:
        allowed = run.route.policy.retry.attempts
        if run.attempt > allowed:
            run.attempt = allowed
            message = (
                f"the function ended in attempt {allowed} of {allowed}: killed at its time-out, for its memory, or by"
                " the handler; give it more time or memory (timeout=, needs=)"
            )
            return Dead(Failure("HandlerError", message, ""))
        if self._processes and run.route.kind == PROCESS:
            return self._processes.carry_out(run)
        if not run.route.coroutine:
            return Context().run(run_plain, run)  # context variables of one run are not the next one's
        if self._coroutines is None:
            from triggers.aws.coroutines import Coroutines  # loads asyncio

            self._coroutines = Coroutines()
        return self._coroutines.carry_out(run, until - self._now() - RESERVE)

    def _settled(self, run: Run, claim: Claim, outcome: Outcome, until: float) -> Standing:
        """Settle a run, and publish what it emitted, before the process is killed at `until`."""
        now = self._now()
        outcome, entries = self._emitted(run, claim, outcome, now)
        pause = PAUSE
        while True:
            try:
                self._record(run, claim, outcome, entries, now)
                break
            except TriggersError as error:
                pause = self._paused(error, pause, min(until, now + LONGEST_SETTLING) - RESERVE / 2)
        if isinstance(outcome, Again):
            _log_again(outcome)
            return Standing(run.number, WAITING, claim.start, now + outcome.delay)
        if isinstance(outcome, Done):
            ended("done", outcome=DONE, seconds=round(now - run.started, 6))
        else:
            log.error("dead after attempt %d: %s", run.attempt, outcome.failure, extra={"outcome": DEAD})
        if entries:
            self._publish(run.number, claim.start, entries)
        return Standing(run.number, DONE if isinstance(outcome, Done) else DEAD, claim.start)

    def _paused(self, error: TriggersError, pause: float, last: float) -> float:
        """Wait before a settlement is tried again, and return how long to wait the next time: the work has been done.

        Raises the error where trying again is of no use, or comes after the moment `last`.
        """
        if isinstance(error, Superseded | WiringError) or self._now() + pause > last:
            raise error
        log.warning("what came of the attempt could not be recorded, and is tried again: %s", error)
        self._sleep(pause)
        return min(2 * pause, LONGEST_PAUSE)

    def _record(self, run: Run, claim: Claim, outcome: Outcome, entries: Sequence[Entry], now: float) -> None:
        """Record what came of an attempt. By its moment `now` it is one settlement, however often it is tried."""
        if isinstance(outcome, Again):
            self._records.wait(claim, outcome.failure, now + outcome.delay, now, counted=outcome.counted)
            return
        parts = self._records.keep(claim, [entry["Detail"] for entry in entries], now) if entries else 0
        if isinstance(outcome, Done):
            self._records.done(claim, parts, now)
        elif claim.attempt > run.attempt:  # the attempt before this one was the last
            ended = min(claim.lost[1] - SKEW, now)
            self._records.give_up(claim._replace(attempt=run.attempt), outcome.failure, parts, now, ended)
        else:
            self._records.dead(claim, outcome.failure, parts, now)

    def _emitted(self, run: Run, claim: Claim, outcome: Outcome, now: float) -> tuple[Outcome, Sequence[Entry]]:
        """Return what becomes of a run after an attempt, and what it emits as entries of the bus."""
        if outcome is NOTHING:
            return outcome, ()
        return self._entries(run, claim, within_bounds(run, outcome, self._max_events, now), now)

    def _entries(self, run: Run, claim: Claim, outcome: Outcome, now: float) -> tuple[Outcome, Sequence[Entry]]:
        """Return what the run emits as entries of the bus; the run is dead where the bus could not carry one."""
        if not (events := emissions(run, outcome)):
            return outcome, ()
        rows = emitted(run, f"{self._app}/{run.route.name}", events, lambda: claim.start, now, self._leading)
        try:
            return outcome, [self._bus.entry(row.type, wire.write(row)) for row in rows]
        except EventError as error:
            return self._entries(run, claim, Dead(Failure("EventError", str(error), "")), now)

    def _caught_up(self, standing: Standing) -> Standing:
        """Publish what a run emitted that ended before it was published."""
        if standing.state == KNOWN:
            log.info("no run begins: this content was told before, or was overwritten by what was")
        if standing.state not in (DONE, DEAD) or standing.published:
            return standing
        texts = self._records.emitted(standing.run, standing.start)
        entries = [self._bus.entry(wire.type_of(text), text) for text in texts]
        log.warning("publishing again what r%d emitted: it ended, and nobody marked it", standing.run)
        self._publish(standing.run, standing.start, entries)
        return standing._replace(published=True)

    def _publish(self, run: int, start: int, entries: Sequence[Entry]) -> None:
        self._bus.publish(entries)
        self._records.published(run, start, self._now())


def _buckets(app: App) -> dict[str, Bucket]:
    """Return the buckets that the app hears of, by their names as sources."""
    return {name: source for name, source in app.sources.items() if isinstance(source, Bucket)}


def _hears_all(route: Route) -> bool:
    """Say whether a route hears of all that a key holds one after the other. One that asks for the size hears of no
    content that is too small, so the same one told again may be back after another."""
    return route.where is None or route.where.fields <= _OF_KEY


def _log_again(outcome: Again) -> None:
    fields = {"outcome": outcome.word, "again_in": round(outcome.delay, 3)}
    why = f": {outcome.failure}" if outcome.failure else ""
    log.warning("%s, again in %.3g s%s", outcome.word, outcome.delay, why, extra=fields)


__all__ = ["RESERVE", "SKEW", "Runs"]

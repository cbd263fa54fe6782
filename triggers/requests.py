"""Requests: what an operator asks of a running app, handed in as events like any other.

So a request is durable when the command returns, is carried out once, and stands in the journal as a decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from triggers.dispatcher import Dispatcher
from triggers.errors import EventError
from triggers.events import Event, decode
from triggers.journal import Promoted, drop, event_rows, insert, redrive
from triggers.journal.pauses import pause, pause_routes, resume, resume_routes
from triggers.lineage import EventRow
from triggers.pipeline import Question
from triggers.routing import Route
from triggers.sources import Delivery
from triggers.sources.timer import backfilled

log = logging.getLogger("triggers.requests")

NAMED = 5
"""How many events a warning names."""

Order = tuple[Question, Callable[[Any], None]]
"""A change of the journal by hand, and what is told of its outcome."""

Number = Annotated[int, Field(ge=1, lt=2**63)]
"""Of a run or an event, as SQLite can hold it."""


class Redrive(Event, type="triggers.redrive"):
    """Run dead, dropped or delayed runs again, now, with all their attempts before them."""

    runs: list[Number] = Field(max_length=10_000)


class Drop(Event, type="triggers.drop"):
    """Take dead letters off the list; they stay in the journal as dropped."""

    runs: list[Number] = Field(max_length=10_000)


class Replay(Event, type="triggers.replay"):
    """Give events to their routes again, or to one of them, as new runs with effect keys of their own."""

    events: list[Number] = Field(max_length=10_000)
    route: str | None = None


class Pause(Event, type="triggers.pause"):
    """Let a schedule not fire until it is resumed. What comes due meanwhile is not missed."""

    schedule: str


class Resume(Event, type="triggers.resume"):
    """Let a paused schedule fire again, from now on."""

    schedule: str


class PauseRoutes(Event, type="triggers.pause-routes"):
    """Let nothing of some routes start, or without any nothing of the app, until they are resumed."""

    routes: list[str] = Field(max_length=10_000)
    by: str
    """Who asks for it."""


class ResumeRoutes(Event, type="triggers.resume-routes"):
    """End the pauses of some routes, or without any that of the whole app."""

    routes: list[str] = Field(max_length=10_000)


class Backfill(Event, type="triggers.backfill"):
    """Fire a schedule for past instants (Unix seconds). One that has fired does not fire again, but with `again`."""

    schedule: str
    instants: list[float] = Field(max_length=10_000)
    again: bool = False


REQUESTS: dict[str, type[Event]] = {
    kind.__event_type__: kind for kind in (Redrive, Drop, Replay, Pause, Resume, PauseRoutes, ResumeRoutes, Backfill)
}


async def accept(dispatcher: Dispatcher, batch: Sequence[Delivery]) -> None:
    """Append a batch and carry out the requests in it, in one commit; return when it is durable."""
    requests = [(delivery, _read(delivery)) for delivery in batch if delivery.type in REQUESTS]
    orders = [await _order(dispatcher, delivery, request) for delivery, request in requests if request]
    firings = [tick for delivery, request in requests for tick in _firings(dispatcher, delivery, request)]
    durable = dispatcher.append([*batch, *firings] if firings else batch)
    for order in orders:
        if order:
            dispatcher.pipeline.order(*order)
    await durable


def _read(delivery: Delivery) -> Event | None:
    """Return the request, or None where it cannot be read, and say so."""
    try:
        return decode(REQUESTS[delivery.type], delivery.data, delivery.version)
    except EventError as error:
        log.error("a request cannot be carried out: %s", error)
        return None


async def _order(dispatcher: Dispatcher, delivery: Delivery, request: Event) -> Order | None:
    """Return what carries out a request in the commit that holds it, and what its answer is given to."""
    identity = f"{delivery.source}\0{delivery.id}"
    now = dispatcher.clock.now()
    match request:
        case Redrive(runs=runs):
            return redrive(identity, runs), dispatcher.take_back
        case Drop(runs=runs):
            return drop(identity, runs), dispatcher.turns.dropped
        case Pause(schedule=schedule):
            return pause(identity, schedule, now), dispatcher.pause
        case Resume(schedule=schedule):
            return resume(identity, schedule, now), partial(dispatcher.pause, now=now)
        case PauseRoutes(routes=routes, by=by):
            return pause_routes(identity, routes, by, now), dispatcher.pauses.set
        case ResumeRoutes(routes=routes):
            return resume_routes(identity, routes), dispatcher.pauses.set
        case Replay(events=events, route=only):
            found: list[EventRow] = await dispatcher.pipeline.asked(event_rows(events))
            if gone := sorted(set(events) - {event.number for event in found}):
                _miss(gone)
            return _replayed(dispatcher, identity, found, only)
    return None


def _replayed(dispatcher: Dispatcher, identity: str, events: Sequence[EventRow], only: str | None) -> Order:
    """Return what makes new runs for events; where a route makes one run of several, they are gathered once more."""
    together: list[tuple[Route, EventRow]] = []

    def gather(route: Route, event: EventRow) -> None:
        together.append((route, event))

    now = dispatcher.clock.now()
    runs = [run for event in events for run in dispatcher.reception.new_runs(event, now, gather, only)]
    again = dispatcher.reception.gathering.again(together, runs)

    def resume(promoted: Sequence[Promoted]) -> None:
        dispatcher.take_back(promoted)
        dispatcher.reception.gathering.replayed()

    return insert(identity, runs, again), resume


def _firings(dispatcher: Dispatcher, delivery: Delivery, request: Event | None) -> list[Delivery]:
    """Return the ticks of a backfill. Each has the identity of its firing; one more time, that of the request too."""
    if not isinstance(request, Backfill):
        return []
    route = dispatcher.router.routes.get(request.schedule)
    if route is None or route.schedule is None:
        log.error("a request cannot be carried out: the app has no schedule %r to backfill", request.schedule)
        return []
    suffix = f"#{delivery.id}" if request.again else ""
    return [backfilled(request.schedule, due, suffix) for due in request.instants]


def _miss(events: Sequence[int]) -> None:
    """Say which events cannot be replayed: they may have been deleted since they were asked for."""
    names = ", ".join(f"e{number}" for number in events[:NAMED])
    more = f" and {len(events) - NAMED:,} more" if len(events) > NAMED else ""
    log.warning("not replayed, since the journal does not have them (any more): %s%s", names, more)

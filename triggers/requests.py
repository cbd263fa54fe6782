"""Requests: what an operator asks of a running app, handed in as events like any other.

So a request is durable when the command returns, is carried out once, and stands in the journal as a decision.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from triggers.dispatcher import Dispatcher
from triggers.errors import EventError
from triggers.events import Event, decode
from triggers.journal import EventRow, drop, event_rows, insert, redrive
from triggers.pipeline import Question
from triggers.sources import Delivery

log = logging.getLogger("triggers.requests")

NAMED = 5
"""How many events a warning names."""

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


REQUESTS: dict[str, type[Event]] = {kind.__event_type__: kind for kind in (Redrive, Drop, Replay)}


async def accept(dispatcher: Dispatcher, batch: Sequence[Delivery]) -> None:
    """Append a batch and carry out the requests in it, in one commit; return when it is durable."""
    orders = [await _order(dispatcher, delivery) for delivery in batch if delivery.type in REQUESTS]
    durable = dispatcher.append(batch)
    for order in orders:
        if order:
            dispatcher.pipeline.order(order, dispatcher.resume)
    await durable


async def _order(dispatcher: Dispatcher, delivery: Delivery) -> Question | None:
    identity = f"{delivery.source}\0{delivery.id}"
    try:
        request = decode(REQUESTS[delivery.type], delivery.data, delivery.version)
    except EventError as error:
        log.error("a request cannot be carried out: %s", error)
        return None
    match request:
        case Redrive(runs=runs):
            return redrive(identity, runs)
        case Drop(runs=runs):
            return drop(identity, runs)
        case Replay(events=events, route=only):
            found: list[EventRow] = await dispatcher.pipeline.asked(event_rows(events))
            if gone := sorted(set(events) - {event.number for event in found}):
                _miss(gone)
            return insert(identity, [run for event in found for run in dispatcher.new_runs(event, only)])
    return None


def _miss(events: Sequence[int]) -> None:
    """Say which events cannot be replayed: they may have been deleted since they were asked for."""
    names = ", ".join(f"e{number}" for number in events[:NAMED])
    more = f" and {len(events) - NAMED:,} more" if len(events) > NAMED else ""
    log.warning("not replayed, since the journal does not have them (any more): %s%s", names, more)

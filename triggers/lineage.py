"""An event with its envelope as flat fields: the form in which it is kept, and handed to the run of a route.

The lineage (`cause`, `root`, `depth`, `budget`) says what chain the event belongs to, and how much that may still lead
to.
"""

from __future__ import annotations

from typing import NamedTuple

from triggers.sources import Delivery

BUDGET = 1_000_000
"""How many events one source event may lead to in all."""

LAST = 1
"""What is left for an event whose routes emit nothing: the news that one of them failed."""


class EventRow(NamedTuple):
    """An event as it is kept. `cause` is the number of the run that emitted it, `root` that of its chain's first."""

    number: int
    id: str
    source: str
    type: str
    version: int
    subject: str | None
    time: float
    recorded: float
    data: str
    cause: int | None
    root: int
    depth: int
    budget: int


def arrived(delivery: Delivery, number: int, now: float) -> EventRow:
    """Return the row of an event that a source delivered: the root of a chain."""
    d = delivery
    return EventRow(number, d.id, d.source, d.type, d.version, d.subject, d.time, now, d.data, None, number, 0, BUDGET)

"""An event with its envelope as flat fields: the form in which it is kept, and handed to the run of a route.

The lineage (`cause`, `root`, `depth`, `budget`) says what chain the event belongs to, and how much that may still lead
to.
"""

# without annotations as text, each of which a named tuple would compile

from typing import NamedTuple

from triggers.sources import Delivery, Lineage

BUDGET = 1_000_000
"""How many events one source event may lead to in all, where the app does not say less."""

LAST = 1
"""What is left for an event whose routes emit and write nothing: the news that one of them failed."""


class EventRow(NamedTuple):
    """An event as it is kept. `cause` is the number of the run that emitted it, or wrote the object that it tells of;
    `root` that of its chain's first."""

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


def arrived(delivery: Delivery, number: int, now: float, journal: str = "") -> EventRow:
    """Return the row in a journal of an event that a source delivered: the root of a chain, or part of one."""
    d = delivery
    row = EventRow(number, d.id, d.source, d.type, d.version, d.subject, d.time, now, d.data, None, number, 0, BUDGET)
    return row if d.lineage is None else continued(row, d.lineage, journal)


def continued(event: EventRow, lineage: Lineage, journal: str) -> EventRow:
    """Return the root of a chain as what goes on with another one.

    Of a chain in another journal it has the depth and the budget alone: it is still the first that is known here.
    """
    known = event._replace(depth=lineage.depth, budget=lineage.budget)
    return known._replace(cause=lineage.cause, root=lineage.root) if lineage.journal == journal else known


def bounded(event: EventRow, most: int) -> EventRow:
    """Return an event that leads to no more events than the app allows a chain (`max_events=`)."""
    return event if event.budget <= most else event._replace(budget=most)

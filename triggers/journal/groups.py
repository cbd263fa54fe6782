"""Which groups events belong to, as people ask for it: those that wait to come together, and those that did, or that
never will as their routes are declared now."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import apsw

GATHERED: Final = "triggers.gathered"
"""The type of an event that stands for several (`triggers.gather`, which loads pydantic)."""

NAMED: Final = 5
"""How many events are named where there are more."""


class Group(NamedTuple):
    """A group that an event belongs to. Moments are in Unix seconds."""

    route: str
    wanted: int
    """How many events it takes to be whole, as far as that is fixed."""
    there: int
    """How many it has."""
    due: float
    """When it ends at the latest."""
    ended: bool
    whole: int | None
    """The event that was made of it."""


class Left(NamedTuple):
    """Events that wait to come together for a route that does not gather any more."""

    route: str
    events: int
    """How many they are."""
    first: Sequence[int]
    """The first few of them."""
    gone: bool
    """Whether the app has the route no more."""

    def __str__(self) -> str:
        waits = "1 event waits" if self.events == 1 else f"{self.events:,} events wait"
        names = ", ".join(f"e{number}" for number in self.first)
        more = f" and {self.events - len(self.first):,} more" if self.events > len(self.first) else ""
        said = f"{waits} to come together for route {self.route!r}, which "
        if self.gone:
            return f"{said}this app does not have any more: {names}{more}; declare it as it was"
        alone = f"triggers replay --route {self.route} --event e{self.first[0]} --yes"
        return f"{said}does not gather any more: {names}{more}; declare it as it was, or run it on each, `{alone}`"


def left_over(connection: apsw.Connection, gathering: Mapping[str, bool]) -> list[Left]:
    """Return which events wait to come together for routes that do not gather, by the names of those that there are."""
    counts = [(route, count) for route, count in connection.execute(_LEFT) if not gathering.get(route)]
    return [Left(route, count, _first(connection, route), route not in gathering) for route, count in counts]


def _first(connection: apsw.Connection, route: str) -> list[int]:
    return [event for (event,) in connection.execute(_FIRST, (route, NAMED))]


def groups(connection: apsw.Connection, events: Iterable[int]) -> Mapping[int, list[Group]]:
    """Return the groups that events belong to, by the events' numbers."""
    found: defaultdict[int, list[Group]] = defaultdict(list)
    for event, *row in connection.execute(_GROUPS, (json.dumps(list(events)),)):
        found[event].append(Group(*row))
    return found


# Each half is answered by its own partial index.
_LEFT = """
SELECT route, count(*) FROM (
    SELECT route FROM gathered WHERE ended IS NULL
    UNION ALL SELECT route FROM gathered WHERE ended IS NOT NULL AND whole IS NULL)
GROUP BY route ORDER BY route"""

_FIRST = "SELECT event FROM gathered WHERE route = ? AND whole IS NULL ORDER BY event LIMIT ?"

# What was dropped from a group, and so is in none, has a run that says so.
_GROUPS = """
SELECT mine.event, mine.route, mine.wanted, count(*), mine.due, mine.ended IS NOT NULL, mine.whole
FROM gathered AS mine JOIN gathered AS other
    ON other.route = mine.route AND other.key IS mine.key AND other.first = mine.first
    AND other.ended IS mine.ended AND other.whole IS mine.whole
WHERE mine.event IN (SELECT value FROM json_each(?)) GROUP BY mine.number ORDER BY mine.event, mine.number"""

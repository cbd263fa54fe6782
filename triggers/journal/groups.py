"""Which groups events belong to, as people ask for it: those that wait to come together, and those that did."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import apsw

GATHERED: Final = "triggers.gathered"
"""The type of an event that stands for several (`triggers.gather`, which loads pydantic)."""


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


def groups(connection: apsw.Connection, events: Iterable[int]) -> Mapping[int, list[Group]]:
    """Return the groups that events belong to, by the events' numbers."""
    found: defaultdict[int, list[Group]] = defaultdict(list)
    for event, *row in connection.execute(_GROUPS, (json.dumps(list(events)),)):
        found[event].append(Group(*row))
    return found


# What was dropped from a group, and so is in none, has a run that says so.
_GROUPS = """
SELECT mine.event, mine.route, mine.wanted, count(*), mine.due, mine.ended IS NOT NULL, mine.whole
FROM gathered AS mine JOIN gathered AS other
    ON other.route = mine.route AND other.key IS mine.key AND other.first = mine.first
    AND other.ended IS mine.ended AND other.whole IS mine.whole
WHERE mine.event IN (SELECT value FROM json_each(?)) GROUP BY mine.number ORDER BY mine.event, mine.number"""

"""How long runs took that ended well, as the journal has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import apsw

from triggers.journal.schema import DONE


class Took(NamedTuple):
    """A run that ended well: the size of its input in bytes, and the seconds that its last attempt took."""

    route: str
    size: int | None
    started: float
    ended: float
    seconds: float


def last_ended(
    routes: Collection[str], most: int
) -> Callable[[apsw.Connection], dict[str, list[tuple[int | None, float]]]]:
    """Return a question for size and seconds of the last runs that ended well, in order, of each route that has any."""

    def ask(connection: apsw.Connection) -> dict[str, list[tuple[int | None, float]]]:
        ended = [route for (route,) in connection.execute(_ENDED, (json.dumps(list(routes)),))]
        return {route: list(connection.execute(_LAST, (route, most)))[::-1] for route in ended}

    return ask


def all_ended(connection: apsw.Connection, route: str | None) -> Iterator[Took]:
    """Yield the runs (of a route) that ended well, in the order in which they began."""
    return (Took(*row) for row in connection.execute(_ALL, {"route": route}))


def newest_began(connection: apsw.Connection, route: str | None, most: int) -> float:
    """Return when the first of the newest runs (of a route) began that ended well; 0 where there are no more."""
    return float(connection.execute(_BEGAN, {"route": route, "most": most - 1}).get or 0.0)


# What slept, or was set, is no time that a run took.
_SECONDS = "max(0.0, ifnull(took, ended - started))"

_ENDED = f"""
SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM run WHERE route = value AND state = {DONE})"""

_LAST = f"""
SELECT size, {_SECONDS} FROM run WHERE route = ? AND state = {DONE} AND started IS NOT NULL
ORDER BY number DESC LIMIT ?"""

_ALL = f"""
SELECT route, size, started, ended, {_SECONDS} FROM run
WHERE state = {DONE} AND started IS NOT NULL AND (:route IS NULL OR route = :route) ORDER BY started, number"""

_BEGAN = f"""
SELECT started FROM run WHERE state = {DONE} AND started IS NOT NULL AND (:route IS NULL OR route = :route)
ORDER BY number DESC LIMIT 1 OFFSET :most"""

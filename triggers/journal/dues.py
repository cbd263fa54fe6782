"""What waits for a moment, and what waits for ever: delayed runs, open groups, and runs that a dead one holds up."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import apsw

from triggers.journal.schema import DEAD, DELAYED, ENDLESS


class Due(NamedTuple):
    """Delayed runs of a route, or groups of its events that are to end, by the one that is due first."""

    route: str
    many: int
    at: float
    """In Unix seconds."""
    run: int | None
    """The run; None of a group."""
    tried: bool
    """Whether the run has been tried: `Later` gives its attempt back."""


class Held(NamedTuple):
    """Runs that wait for ever, as one before them in the order of their data is dead."""

    route: str
    dead: int
    runs: list[int]
    """The first of them."""
    many: int
    """How many there are."""


class Forming(NamedTuple):
    """Events that come together, and are not all there yet. Moments are in Unix seconds."""

    route: str
    events: int
    wanted: int
    """How many make it whole; 1 of a burst, of which the last one runs."""
    opened: float
    due: float
    """When it ends at the latest."""


def forming(connection: apsw.Connection, most: int) -> list[Forming]:
    """Return the groups that are open, those first that end first, so many at most."""
    return [Forming(*row) for row in connection.execute(_FORMING, (most,))]


def dues(connection: apsw.Connection) -> list[Due]:
    """Return what is due at a moment, route by route."""
    return [Due(*row) for sql in (_DELAYED, _GROUPS) for row in connection.execute(sql)]


def held_up(routes: Collection[str], most: int) -> Callable[[apsw.Connection], list[Held]]:
    """Return a question for what dead runs of some routes hold up, as far as `most` of them go, and so many of each."""

    def ask(connection: apsw.Connection) -> list[Held]:
        marks = ",".join("?" * len(routes))
        rows = list(connection.execute(_DEAD.replace("$", marks), (*routes, most)))
        return [Held(route, dead, *_behind(connection, dead, most)) for dead, route in rows]

    return ask


def _behind(connection: apsw.Connection, dead: int, most: int) -> tuple[list[int], int]:
    """Return the first runs that a dead one holds up, and how many there are."""
    runs = [
        int(run)
        for (run,) in connection.execute(
            f"SELECT later.run {_BEHIND} ORDER BY later.at, later.run LIMIT ?", (dead, most)
        )
    ]
    return runs, int(connection.execute(f"SELECT count(*) {_BEHIND}", (dead,)).get)


# Of bare columns beside min() SQLite takes those of the row that has it.
_DELAYED = f"""
SELECT route, count(*), min(due_time), number, started IS NOT NULL FROM run WHERE state = {DELAYED} AND due < {ENDLESS}
GROUP BY route ORDER BY route"""

_GROUPS = """
SELECT route, count(DISTINCT first), min(due), NULL, 0 FROM gathered WHERE ended IS NULL
GROUP BY route ORDER BY route"""

_FORMING = """
SELECT route, count(*), max(wanted), min(opened), max(due) AS ends FROM gathered WHERE ended IS NULL
GROUP BY route, key, first ORDER BY ends, first LIMIT ?"""

_LATER = f"""
place AS later JOIN run AS parked ON parked.number = later.run AND parked.state = {DELAYED} AND parked.due = {ENDLESS}
WHERE later.route = own.route AND later.key IS own.key AND later.at > own.at"""

_DEAD = f"""
SELECT own.run, own.route FROM place AS own JOIN run ON run.number = own.run AND run.state = {DEAD}
WHERE own.route IN ($) AND EXISTS (SELECT 1 FROM {_LATER}) ORDER BY own.run LIMIT ?"""

_BEHIND = f"FROM place AS own JOIN {_LATER} AND own.run = ?"

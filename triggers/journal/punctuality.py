"""Runs by the clock on the wall: what starts later, what was not started in time, what has not ended in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import apsw

from triggers.journal.schema import DELAYED, DROPPED, EXPIRING, OVERDUE


class Untimely(NamedTuple):
    """A run that was not started, or has not ended, by its moment."""

    number: int
    route: str
    moment: float
    """That moment, in Unix seconds."""


def postpone(run: int, due: float, due_time: float) -> Callable[[apsw.Connection], bool]:
    """Return the order that says when a new run that is delayed is due, by the boot's monotonic clock and the wall's.

    It returns False where there is no such run: its event was a duplicate.
    """

    def apply(connection: apsw.Connection) -> bool:
        connection.execute(_POSTPONE, (due, due_time, run))
        return connection.changes() == 1

    return apply


def expire(now: float, limit: int) -> Callable[[apsw.Connection], list[Untimely]]:
    """Return the order that drops runs, so many at most, which have not been started by the moment they expire."""

    def apply(connection: apsw.Connection) -> list[Untimely]:
        return [Untimely(*row) for row in connection.execute(_EXPIRE, (now, now, limit))]

    return apply


def overdue(after: float, until: float, limit: int) -> Callable[[apsw.Connection], list[Untimely]]:
    """Return a question for open runs whose deadline lies in (after, until], so many at most."""

    def ask(connection: apsw.Connection) -> list[Untimely]:
        return [Untimely(*row) for row in connection.execute(_OVERDUE, (after, until, limit))]

    return ask


def next_moment(now: float) -> Callable[[apsw.Connection], float | None]:
    """Return a question for the next moment, by the wall clock, at which a run expires or misses its deadline."""

    def ask(connection: apsw.Connection) -> float | None:
        found = [moment for (moment,) in connection.execute(_NEXT, (now,)) if moment is not None]
        return min(found, default=None)

    return ask


_POSTPONE = f"UPDATE run SET due = ?, due_time = ? WHERE number = ? AND state = {DELAYED}"

_EXPIRE = f"""
UPDATE run SET state = {DROPPED}, ended = ?, due = NULL, due_time = NULL,
    error = 'not started by ' || strftime('%Y-%m-%dT%H:%M:%SZ', expires, 'unixepoch') || ', when it expired (expires=)'
WHERE number IN (SELECT number FROM run WHERE {EXPIRING} AND expires <= ? ORDER BY expires LIMIT ?)
RETURNING number, route, expires"""

_OVERDUE = f"""
SELECT number, route, deadline FROM run WHERE {OVERDUE} AND deadline > ? AND deadline <= ? ORDER BY deadline LIMIT ?"""

_NEXT = f"""
SELECT min(expires) FROM run WHERE {EXPIRING}
UNION ALL SELECT min(deadline) FROM run WHERE {OVERDUE} AND deadline > ?"""

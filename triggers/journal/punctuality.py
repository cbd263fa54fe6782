"""Runs by the clock on the wall: what starts later, what was not started in time, what has not ended in time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import apsw

from triggers.journal.schema import DELAYED, DROPPED, RUNNING, WAITING
from triggers.scheduling.terms import Terms

DEADLINE: Final = "deadline"
EXPIRES: Final = "expires"


class Untimely(NamedTuple):
    """A run that was not started, or has not ended, by its moment."""

    route: str
    key: str | None
    number: int
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


def moments(runs: Iterable[tuple[int, Terms]]) -> list[tuple[float, int, str]]:
    """Return the rows of the table `moment` for new runs."""
    return [
        (at, number, kind)
        for number, terms in runs
        for kind, at in ((DEADLINE, terms.deadline), (EXPIRES, terms.expires))
        if at is not None
    ]


def due(now: float, limit: int) -> Callable[[apsw.Connection], tuple[list[Untimely], list[Untimely]]]:
    """Return the order that sees to the moments that have come, so many at most: what has expired, and what is late.

    It drops the runs which have not been started by when they expire, and finds the open ones whose deadline is over.
    Each moment comes once, since it is deleted.
    """

    def apply(connection: apsw.Connection) -> tuple[list[Untimely], list[Untimely]]:
        come = list(connection.execute(_COME, (now, limit)))
        by_kind = {kind: json.dumps([run for _, run, its in come if its == kind]) for kind in (EXPIRES, DEADLINE)}
        expired = [Untimely(*row) for row in connection.execute(_EXPIRE, (now, by_kind[EXPIRES], now))]
        late = [Untimely(*row) for row in connection.execute(_LATE, (by_kind[DEADLINE],))]
        connection.executemany("DELETE FROM moment WHERE at = ? AND run = ? AND kind = ?", come)
        return expired, late

    return apply


def next_moment(connection: apsw.Connection) -> float | None:
    """Return the next moment, by the wall clock, at which a run expires or misses its deadline."""
    at = connection.execute("SELECT min(at) FROM moment").get
    return None if at is None else float(at)


INSERT = "INSERT OR IGNORE INTO moment (at, run, kind)"

_POSTPONE = f"UPDATE run SET due = ?, due_time = ? WHERE number = ? AND state = {DELAYED}"

_COME = "SELECT at, run, kind FROM moment WHERE at <= ? ORDER BY at LIMIT ?"

_EXPIRE = f"""
UPDATE run SET state = {DROPPED}, ended = ?, due = NULL, due_time = NULL,
    error = 'not started by ' || strftime('%Y-%m-%dT%H:%M:%SZ', expires, 'unixepoch') || ', when it expired (expires=)'
WHERE number IN (SELECT value FROM json_each(?)) AND expires <= ? AND started IS NULL
    AND state IN ({WAITING}, {DELAYED})
RETURNING route, key, number, expires"""

_LATE = f"""
SELECT route, key, number, deadline FROM run
WHERE number IN (SELECT value FROM json_each(?)) AND state IN ({WAITING}, {RUNNING}, {DELAYED})
ORDER BY deadline, number"""

"""What is open, with the terms that rank it, for whoever asks why something waits and when it will run."""

from __future__ import annotations

from typing import NamedTuple

import apsw

from triggers.journal.schema import DELAYED, ENDLESS, RUNNING, WAITING
from triggers.scheduling.terms import COLUMNS, Terms


class OpenRun(NamedTuple):
    """A run that is at work, or waits for its next attempt. Moments are in Unix seconds."""

    number: int
    route: str
    attempt: int
    epoch: int
    started: float | None
    due: float | None
    """When it is to be tried again, where it waits for that."""
    terms: Terms


def at_work(connection: apsw.Connection, epoch: int) -> list[OpenRun]:
    """Return the runs whose handlers are at work under an epoch, in order."""
    return _read(connection, f"state < 2 AND state = {RUNNING} AND epoch = ? ORDER BY number", epoch)


def delayed(connection: apsw.Connection, most: int) -> list[OpenRun]:
    """Return the runs that are delayed, those first that are due first."""
    return _read(connection, f"state = {DELAYED} AND due < {ENDLESS} ORDER BY due LIMIT ?", most)


def run(connection: apsw.Connection, number: int) -> OpenRun:
    """Return a run, which must be there."""
    return _read(connection, "number = ?", number)[0]


def counts(connection: apsw.Connection, epoch: int) -> dict[str, int]:
    """Return how many runs of each route wait."""
    return dict(connection.execute(_COUNTS, (epoch,)))


def delayed_counts(connection: apsw.Connection) -> dict[str, int]:
    """Return how many runs of each route are delayed."""
    return dict(connection.execute(f"SELECT route, count(*) FROM run WHERE state = {DELAYED} GROUP BY route"))


def before(connection: apsw.Connection, one: OpenRun, epoch: int) -> int:
    """Return how many runs that wait rank before another of their route."""
    return int(connection.execute(_BEFORE, (one.route, epoch, one.terms.rank, one.number)).get)


def _read(connection: apsw.Connection, where: str, value: int) -> list[OpenRun]:
    sql = f"SELECT number, route, attempt, epoch, started, due_time, {COLUMNS} FROM run WHERE {where}"
    return [
        OpenRun(number, route, attempt, epoch, started, due, Terms(*terms))
        for number, route, attempt, epoch, started, due, *terms in connection.execute(sql, (value,))
    ]


# A claim of an older epoch is void: such a run waits.
_WAIT = f"state < 2 AND (state = {WAITING} OR epoch < ?)"
_COUNTS = f"SELECT route, count(*) FROM run WHERE {_WAIT} GROUP BY route"
_BEFORE = f"SELECT count(*) FROM run WHERE route = ? AND {_WAIT} AND (rank, number) < (?, ?)"

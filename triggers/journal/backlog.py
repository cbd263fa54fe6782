"""What is open, with the terms that rank it, for whoever asks why something waits and when it will run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw

from triggers.journal.schema import DEAD, DELAYED, DONE, DROPPED, ENDLESS, RUNNING, WAITING
from triggers.scheduling.terms import Terms


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


class Parked(NamedTuple):
    """A run that waits for its turn in the order of its data."""

    run: OpenRun
    before: int | None
    """The last run before it; 0 where one there is dead, and holds it up; None where its turn has come."""


def at_work(connection: apsw.Connection, epoch: int) -> list[OpenRun]:
    """Return the runs whose handlers are at work under an epoch, in order."""
    return _read(connection, f"state < 2 AND state = {RUNNING} AND epoch = ? ORDER BY number", epoch)


def delayed(connection: apsw.Connection, most: int) -> list[OpenRun]:
    """Return the runs that are delayed, those first that are due first."""
    return _read(connection, f"state = {DELAYED} AND due < {ENDLESS} ORDER BY due LIMIT ?", most)


def parked(connection: apsw.Connection, holding: Iterable[str], most: int) -> list[Parked]:
    """Return the runs that wait for their turn, in the order of their data.

    `holding` are the routes of which a dead run holds up those behind it.
    """
    sql = _PARKED.replace("$", ",".join(f"run.{name}" for name in _COLUMNS))
    return [Parked(_open(row), before) for before, *row in connection.execute(sql, (json.dumps([*holding]), most))]


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
    sql = f"SELECT {','.join(_COLUMNS)} FROM run WHERE {where}"
    return [_open(row) for row in connection.execute(sql, (value,))]


def _open(row: Sequence[Any]) -> OpenRun:
    number, route, attempt, epoch, started, due, *terms = row
    return OpenRun(number, route, attempt, epoch, started, due, Terms(*terms))


_COLUMNS = ("number", "route", "attempt", "epoch", "started", "due_time", *Terms._fields)

# Those of one place go at the same time. A process that died with the end of one may have left its place.
_PARKED = f"""
SELECT before, $ FROM (
    SELECT place.run, place.route, place.key, place.at,
        min(run.state <> {DEAD}) OVER last * max(place.run) OVER last AS before
    FROM place JOIN run ON run.number = place.run
    WHERE run.state NOT IN ({DONE}, {DROPPED})
        AND (run.state <> {DEAD} OR place.route IN (SELECT value FROM json_each(?)))
    WINDOW last AS (PARTITION BY place.route, place.key ORDER BY place.at GROUPS BETWEEN 1 PRECEDING AND 1 PRECEDING)
) AS own
JOIN run ON run.number = own.run WHERE run.state = {DELAYED} AND run.due = {ENDLESS}
ORDER BY own.route, own.key, own.at, own.run LIMIT ?"""


# A claim of an older epoch is void: such a run waits.
_WAIT = f"state < 2 AND (state = {WAITING} OR epoch < ?)"
_COUNTS = f"SELECT route, count(*) FROM run WHERE {_WAIT} GROUP BY route"
_BEFORE = f"SELECT count(*) FROM run WHERE route = ? AND {_WAIT} AND (rank, number) < (?, ?)"

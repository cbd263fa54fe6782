"""What has run, for whoever replays it: the runs that ended well, and what else took room."""

from __future__ import annotations

from typing import NamedTuple

import apsw

from triggers.journal.schema import DONE, RUNNING
from triggers.scheduling.terms import COLUMNS, Terms


class PastRun(NamedTuple):
    """A run that ended well in its first attempt, or one that was at work for a while without that."""

    number: int
    route: str
    recorded: float
    """When its event was committed, in Unix seconds."""
    started: float
    ended: float
    terms: Terms


def ended_well(connection: apsw.Connection, most: int) -> list[PastRun]:
    """Return the newest runs that ended well in their only attempt, in order."""
    return _read(connection, _WELL, (most,))[::-1]


def others(connection: apsw.Connection, since: int, now: float) -> list[PastRun]:
    """Return what else was at work of the runs from a number on: attempts that failed or came after one that did, and
    those that are at work now."""
    return sorted(_read(connection, _FAILED, (since,)) + _read(connection, _LATER, (now, since)))


def _read(connection: apsw.Connection, sql: str, values: tuple[float, ...]) -> list[PastRun]:
    return [
        PastRun(number, route, recorded, started, max(started, ended), Terms(*terms))
        for number, route, recorded, started, ended, *terms in connection.execute(sql, values)
    ]


_TERMS = ",".join(f"run.{name}" for name in COLUMNS.split(","))
_RUN = "run.number, run.route, ifnull(event.recorded, run.started)"
_EVENT = "LEFT JOIN event ON event.number = run.event"
_FIRST = "NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.run = run.number)"

_WELL = f"""
SELECT {_RUN}, run.started, run.ended, {_TERMS} FROM run {_EVENT}
WHERE run.state = {DONE} AND run.started IS NOT NULL AND run.ended IS NOT NULL AND run.attempt = 1 AND {_FIRST}
ORDER BY run.number DESC LIMIT ?"""

_FAILED = f"""
SELECT {_RUN}, attempt.started, attempt.ended, {_TERMS} FROM attempt JOIN run ON run.number = attempt.run {_EVENT}
WHERE attempt.run >= ? AND attempt.started IS NOT NULL AND attempt.ended IS NOT NULL"""

_LATER = f"""
SELECT {_RUN}, run.started, ifnull(run.ended, ?), {_TERMS} FROM run {_EVENT}
WHERE run.number >= ? AND run.started IS NOT NULL
    AND (run.state = {RUNNING} AND run.ended IS NULL OR run.state = {DONE} AND NOT (run.attempt = 1 AND {_FIRST}))"""

"""A journal in memory, of rows that were kept elsewhere, so that it can be asked what a journal is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

from triggers.journal.change import COLUMNS, AttemptRow
from triggers.journal.orders import declare
from triggers.journal.schema import MIGRATIONS, STATES
from triggers.journal.views import RunView
from triggers.lineage import EventRow

_EVENT = f"INSERT INTO event ({COLUMNS}) VALUES ({','.join('?' * len(EventRow._fields))})"
_RUN = """INSERT INTO run (number, event, route, priority, state, attempt, epoch, started, ended, due_time, error)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ATTEMPT = """INSERT INTO attempt (run, attempt, epoch, started, ended, outcome, error, traceback)
              VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


def mirror(
    events: Iterable[EventRow],
    runs: Iterable[RunView],
    attempts: Iterable[AttemptRow],
    routes: Sequence[Sequence[str | None]],
    app: Mapping[str, Any],
) -> apsw.Connection:
    """Return a connection to a journal that holds these rows, in the order in which they are given.

    Their numbers need not say anything about that order, as they do in a journal of one's own.
    """
    connection = apsw.Connection(":memory:")
    for script in MIGRATIONS:  # the rowid, by which readers order, is then not the number but counts the rows
        connection.execute(script.replace("number INTEGER PRIMARY KEY", "number INT PRIMARY KEY"))
    declare(routes, app)(connection)
    connection.executemany(_EVENT, events)
    connection.executemany(_RUN, (_row(run) for run in runs))
    connection.executemany(_ATTEMPT, attempts)
    return connection


def _row(run: RunView) -> tuple[object, ...]:
    return (
        *(run.number, run.event, run.route, run.priority, STATES.index(run.state), run.attempt, run.epoch),
        *(run.started, run.ended, run.due_time, run.error),
    )

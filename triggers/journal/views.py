"""What people ask of a journal: events, runs and their causes, read by anyone at any time.

Readers use a connection of their own that never writes and never checkpoints, so the one writer stays the only one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import apsw

from triggers.errors import StateError
from triggers.journal import schema
from triggers.journal.schema import STATES
from triggers.state import StateFolder


@dataclass(frozen=True, slots=True)
class EventView:
    """An event as people see it. `id` is its identity, `number` is what commands take (`e12`)."""

    number: int
    id: str
    source: str
    type: str
    version: int
    subject: str | None
    time: float
    recorded: float
    data: str
    cause: int | None
    root: int
    depth: int


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as people see it. `attempt` counts the starts so far; times are Unix seconds."""

    number: int
    event: int
    route: str
    state: str
    attempt: int
    epoch: int
    priority: int
    started: float | None
    ended: float | None
    due_time: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt that did not simply end well."""

    run: int
    attempt: int
    started: float | None
    ended: float | None
    outcome: str
    error: str | None
    traceback: str | None


def open_reader(state: StateFolder) -> apsw.Connection:
    """Return a read-only connection to a state folder's journal, or raise `StateError`."""
    state.require()
    try:
        connection = apsw.Connection(str(state.journal), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5000)
        schema.check(connection)
    except apsw.CantOpenError as error:
        raise StateError(f"the journal {state.journal} cannot be opened for reading: {error}") from error
    return connection


def runs(
    connection: apsw.Connection,
    *,
    route: str | None = None,
    state: str | None = None,
    event: int | None = None,
    limit: int | None = None,
) -> list[RunView]:
    """Return runs in order, the newest `limit` of them where one is given."""
    terms = {"route = ?": route, "state = ?": None if state is None else STATES.index(state), "event = ?": event}
    where, values = _where(terms)
    sql = f"""SELECT number, event, route, state, attempt, epoch, priority, started, ended, due_time, error
              FROM run {where} ORDER BY number DESC LIMIT ?"""  # noqa: S608  # terms are our own, values are bound
    rows = list(connection.execute(sql, (*values, -1 if limit is None else limit)))
    return [RunView(n, event, route, STATES[state], *rest) for n, event, route, state, *rest in reversed(rows)]


def events(
    connection: apsw.Connection,
    *,
    type: str | None = None,
    source: str | None = None,
    root: int | None = None,
    limit: int | None = None,
) -> list[EventView]:
    """Return events in order, the newest `limit` of them where one is given."""
    where, values = _where({"type = ?": type, "source = ?": source, "root = ?": root})
    sql = f"""SELECT number, id, source, type, version, subject, time, recorded, data, cause, root, depth
              FROM event {where} ORDER BY number DESC LIMIT ?"""  # noqa: S608
    rows = list(connection.execute(sql, (*values, -1 if limit is None else limit)))
    return [EventView(*row) for row in reversed(rows)]


def attempts(connection: apsw.Connection, run: int) -> list[AttemptView]:
    """Return the attempts of a run that did not simply end well, in order."""
    sql = "SELECT run, attempt, started, ended, outcome, error, traceback FROM attempt WHERE run = ? ORDER BY rowid"
    return [AttemptView(*row) for row in connection.execute(sql, (run,))]


def _where(terms: dict[str, Any]) -> tuple[str, Iterable[Any]]:
    given = {term: value for term, value in terms.items() if value is not None}
    return ("WHERE " + " AND ".join(given) if given else ""), list(given.values())

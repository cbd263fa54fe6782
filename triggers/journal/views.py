"""What people ask of a journal: events, runs and their causes, read by anyone at any time.

Readers use a connection of their own that never writes and never checkpoints, so the one writer stays the only one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import apsw

from triggers.errors import StateError
from triggers.journal import schema
from triggers.journal.change import COLUMNS
from triggers.journal.groups import GATHERED
from triggers.journal.orders import Shut
from triggers.journal.pauses import Pause, pause_of, paused_routes
from triggers.journal.schema import STATES
from triggers.lineage import EventRow
from triggers.progress import Progress
from triggers.state import StateFolder


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
    memory: float | None = None
    """Bytes that an attempt may have, where an earlier one died of less than it needed."""


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


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route as the app's last owner declared it. `pattern` is EventBridge JSON text, `policy` the policy's words."""

    name: str
    trigger: str
    source: str | None
    pattern: str | None
    policy: dict[str, Any]
    emits: list[str]

    @property
    def gathers(self) -> bool:
        """Say whether it makes one run of several events."""
        return bool(self.policy.get("gathers"))

    @property
    def takes(self) -> list[str]:
        """Return the types of the events that it listens to."""
        together = self.policy.get("gathers") or {}
        return together.get("takes") or [self.trigger]

    @property
    def runs_on(self) -> str:
        """Return the type of the events that its runs are for: of groups, where it makes one run of several events."""
        together = self.policy.get("gathers") or {}
        return self.trigger if together.get("kind") in (None, "debounce") else GATHERED


@dataclass(frozen=True, slots=True)
class AppView:
    """The app as its last owner declared it: how much there is of each resource, what its sources are called, how many
    seconds of waiting make up for a level of priority, the policy if it has one of its own, and the weights of shares.

    Its own name is the source of the events that its handlers emit.
    """

    name: str
    capacity: dict[str, float]
    sources: list[str]
    aging: float = 600.0
    policy: str | None = None
    shares: dict[str, float] = field(default_factory=dict)
    target: str | None = None
    """`module:app`, as `triggers run` loaded it, or None."""
    regulated: list[str] = field(default_factory=list)
    """What bounds its starts by what happens at work, in words: a breaker, say."""
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is expected to come, by name: `kind`, the type of the event, `grace`, and `every` or `by`."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a journal holds. `integrity` is SQLite's own verdict, `ok` where all is well; `newest` a Unix time."""

    id: str
    epoch: int
    schema: int
    events: int
    runs: dict[str, int]
    newest: float | None
    integrity: str
    pauses: Sequence[Pause] = ()
    """What nothing starts of."""


def open_reader(state: StateFolder) -> apsw.Connection:
    """Return a read-only connection to a state folder's journal, or raise `StateError`.

    SQLite makes files beside a journal that nobody has open, so one that is not for this code is refused before.
    """
    state.require()
    if not Path(f"{state.journal}-wal").exists():
        state.has_journal()
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
    number: int | None = None,
    type: str | None = None,
    root: int | None = None,
    since: float | None = None,
    after: int | None = None,
    limit: int | None = None,
) -> list[RunView]:
    """Return runs in order, the newest `limit` of them where one is given.

    `type` and `root` are those of the run's event, `since` is when that event was recorded, `after` a run's number.
    """
    terms = {
        "run.route = ?": route,
        "run.state = ?": None if state is None else STATES.index(state),
        "run.event = ?": event,
        "run.number = ?": number,
        "run.number > ?": after,
        "event.type = ?": type,
        "event.root = ?": root,
        "event.recorded >= ?": since,
    }
    where, values = _where(terms)
    join = "" if (type, root, since) == (None, None, None) else "JOIN event ON event.number = run.event"
    sql = f"""SELECT run.number, run.event, route, state, attempt, epoch, priority, started, ended, due_time, error,
                     memory
              FROM run {join} {where} ORDER BY run.rowid DESC LIMIT ?"""  # terms are ours, values bound
    rows = list(connection.execute(sql, (*values, -1 if limit is None else limit)))
    return [RunView(n, event, route, STATES[state], *rest) for n, event, route, state, *rest in reversed(rows)]


def events(
    connection: apsw.Connection,
    *,
    type: str | None = None,
    source: str | None = None,
    root: int | None = None,
    number: int | None = None,
    cause: int | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int | None = None,
    oldest: bool = False,
) -> list[EventRow]:
    """Return events in order, the newest (or the `oldest`) `limit` of them where one is given.

    `since` and `until` (exclusive) are Unix times between which an event was recorded, `cause` the run that emitted it.
    """
    terms = {
        "type = ?": type,
        "source = ?": source,
        "root = ?": root,
        "number = ?": number,
        "cause = ?": cause,
        "recorded >= ?": since,
        "recorded < ?": until,
    }
    where, values = _where(terms)
    sql = f"""SELECT {COLUMNS} FROM event {where} ORDER BY rowid {"ASC" if oldest else "DESC"} LIMIT ?"""
    rows = [EventRow(*row) for row in connection.execute(sql, (*values, -1 if limit is None else limit))]
    return rows if oldest else rows[::-1]


def numbers_of(connection: apsw.Connection, id: str) -> list[int]:
    """Return the numbers of the events with this identity. An identity is unique within its source only."""
    return [number for (number,) in connection.execute("SELECT number FROM event WHERE id = ? ORDER BY number", (id,))]


def delivered(connection: apsw.Connection, source: str, id: str) -> int | None:
    """Return the number of the event that a source delivered under an identity, or None if it is not here (yet)."""
    found = connection.execute("SELECT event FROM identity WHERE key = ?", (f"{source}\0{id}",)).get
    return None if found is None else int(found)


def duplicates(connection: apsw.Connection, events: Sequence[EventRow]) -> dict[int, int]:
    """Return how many duplicates of these events were dropped, by the events' numbers; those without any are absent.

    Only what was delivered under an identity is counted: a file whose content is known is no new delivery.
    """
    found: dict[int, int] = {}
    for start in range(0, len(events), 500):
        keys = [f"{event.source}\0{event.id}" for event in events[start : start + 500] if event.cause is None]
        marks = ",".join("?" * len(keys))
        sql = f"SELECT event, duplicates FROM identity WHERE duplicates > 0 AND key IN ({marks})"
        found.update(connection.execute(sql, keys))
    return found


def progress(connection: apsw.Connection, runs: Iterable[RunView]) -> dict[int, Progress]:
    """Return what these runs have told of their progress, by their numbers; those that told nothing are absent."""
    numbers = json.dumps([run.number for run in runs])
    sql = "SELECT run, done, total, at, origin FROM checkpoint WHERE run IN (SELECT value FROM json_each(?))"
    return {run: Progress(*told) for run, *told in connection.execute(sql, (numbers,))}


def newest_run(connection: apsw.Connection) -> int:
    """Return the highest number of a run, 0 where there is none."""
    return int(connection.execute("SELECT ifnull(max(number), 0) FROM run").get)


def attempts(connection: apsw.Connection, run: int) -> list[AttemptView]:
    """Return the attempts of a run that did not simply end well, in order."""
    sql = "SELECT run, attempt, started, ended, outcome, error, traceback FROM attempt WHERE run = ? ORDER BY rowid"
    return [AttemptView(*row) for row in connection.execute(sql, (run,))]


def closed(connection: apsw.Connection) -> list[Shut]:
    """Return what holds back what waits: the routes that are paused, and of others the gates as last seen."""
    known = paused_routes(connection)
    names = [name for (name,) in connection.execute("SELECT name FROM route ORDER BY name")]
    paused = {name: str(pause) for name in names if (pause := pause_of(name, known))}
    rows = connection.execute("SELECT route, every, key, until, reason, scale FROM closed ORDER BY rowid")
    return [Shut(name, True, None, inf, reason) for name, reason in paused.items()] + [
        Shut(route, bool(every), key, inf if until is None else until, reason, scale)
        for route, every, key, until, reason, scale in rows
        if route not in paused
    ]


def routes(connection: apsw.Connection) -> dict[str, RouteView]:
    """Return the routes of the app as it last ran, by name."""
    sql = "SELECT name, trigger, source, pattern, policy, emits FROM route ORDER BY name"
    return {
        name: RouteView(name, trigger, source, pattern, json.loads(policy), json.loads(emits))
        for name, trigger, source, pattern, policy, emits in connection.execute(sql)
    }


def app(connection: apsw.Connection) -> AppView | None:
    """Return the app as it last ran, or None where a version of this package ran it that did not keep it."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'app'").get
    return None if found is None else AppView(**json.loads(str(found)))


def failing(connection: apsw.Connection) -> dict[str, str]:
    """Return why sources do not deliver, by their names, as the journal's last owner last had it."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'failing'").get
    return {} if found is None else json.loads(str(found))


def epoch(connection: apsw.Connection) -> int:
    """Return the epoch of the journal's last owner: what runs in an older one was interrupted."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").get
    return int(found or 0)


def summary(connection: apsw.Connection) -> Summary:
    """Return what the journal holds, and whether SQLite finds it whole. Reads all of the file."""
    states = dict(connection.execute("SELECT state, count(*) FROM run GROUP BY state"))
    events, newest = connection.execute("SELECT count(*), max(recorded) FROM event").get
    verdicts = [verdict for (verdict,) in connection.execute("PRAGMA integrity_check(3)")]
    return Summary(
        id=str(connection.execute("SELECT value FROM meta WHERE name = 'id'").get),
        epoch=epoch(connection),
        schema=schema.read_pragma(connection, "user_version"),
        events=int(events),
        runs={word: int(states.get(number, 0)) for number, word in enumerate(STATES)},
        newest=newest,
        integrity="; ".join(verdicts),
        pauses=list(paused_routes(connection).values()),
    )


def _where(terms: dict[str, Any]) -> tuple[str, Iterable[Any]]:
    given = {term: value for term, value in terms.items() if value is not None}
    return ("WHERE " + " AND ".join(given) if given else ""), list(given.values())

"""One change: what a commit must hold together, or not at all, and the SQL that applies it.

A change is filled on the event loop and applied on the writer thread, many rows to a statement: every statement gives
up Python's interpreter lock and must win it back, so the number of statements, not of rows, is what a busy loop makes
expensive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import apsw

from triggers.journal.punctuality import INSERT, moments
from triggers.journal.schema import DELAYED, DONE, RUNNING, WAITING
from triggers.lineage import EventRow
from triggers.scheduling.terms import COLUMNS as TERMS
from triggers.scheduling.terms import Terms

_T = TypeVar("_T")

ROWS = 128  # rows to one statement at most; a power of two


COLUMNS = ",".join(EventRow._fields)

BACK = f"number, event, route, attempt, {TERMS}"
"""What is told of a run that is put back among those that wait."""


@dataclass(slots=True)
class RunRow:
    """A new row of the table `run`; until the change is handed over it may still turn from waiting into claimed."""

    number: int
    event: int
    route: str
    terms: Terms
    state: int = WAITING
    attempt: int = 0
    epoch: int = 0
    started: float | None = None


class SettleRow(NamedTuple):
    """How a run left its attempt. It counts only if (run, attempt, epoch) is still the claim that the journal knows."""

    run: int
    attempt: int
    epoch: int
    state: int
    counted: int
    """The attempts used after this one: `attempt`, or one less where this one does not count."""
    ended: float | None
    due: float | None = None
    due_time: float | None = None
    error: str | None = None
    memory: float | None = None
    """Bytes that the attempts from now on may have, where this one died of too little."""


class AttemptRow(NamedTuple):
    """A row of the table `attempt`."""

    run: int
    attempt: int
    epoch: int
    started: float | None
    ended: float | None
    outcome: str
    error: str | None
    traceback: str | None


class UsageRow(NamedTuple):
    """A row of the table `usage`."""

    run: int
    attempt: int
    memory: float
    cpu: float


class CheckpointRow(NamedTuple):
    """A row of the table `checkpoint`. It counts only if (run, attempt, epoch) is the claim that the journal knows."""

    run: int
    attempt: int
    epoch: int
    value: str
    done: float | None
    total: float | None
    origin: float | None
    """How much had been done when the attempt began."""
    at: float


class Promoted(NamedTuple):
    """A run that is back among those that wait: its time has come, or somebody asked for it."""

    run: int
    event: int
    route: str
    attempt: int
    """The attempts that it has used."""
    terms: Terms
    opened: bool = False
    """Whether it was not open before."""


def promoted(row: Sequence[Any]) -> Promoted:
    """Return what a statement has put back among the runs that wait, from the columns of `BACK`."""
    number, event, route, attempt, *terms = row
    return Promoted(number, event, route, attempt, Terms(*terms))


@dataclass(slots=True)
class Result:
    """What the commit found: duplicates among the deliveries, void claims, and the rows that were asked for."""

    duplicates: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    """Runs that were to be settled, but whose claim the journal does not know any more."""
    void: set[int] = field(default_factory=set)
    """Events that were not inserted: the duplicates, and what such runs emitted."""
    gone: set[int] = field(default_factory=set)
    """Runs that were to be claimed, but no longer wait: they were dropped by hand."""
    members: dict[int, list[EventRow]] = field(default_factory=dict)
    """The events of the groups that were to be read, by the number of the event that stands for each."""
    read: dict[int, EventRow] = field(default_factory=dict)
    """The events that were to be read, by number."""
    left: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    """Of runs that are claimed the last checkpoints: the value, and how much was done."""
    begun: dict[int, float] = field(default_factory=dict)
    """When the first attempt of each run began that was asked about."""
    promoted: list[Promoted] = field(default_factory=list)
    replies: list[object] = field(default_factory=list)


@dataclass(slots=True)
class Change:
    """Rows to be committed as one transaction, and questions to be asked right after it."""

    epoch: int
    identities: list[tuple[str, int, float]] = field(default_factory=list)
    memories: list[tuple[str, bytes, bytes, int]] = field(default_factory=list)
    done: dict[int, list[int]] = field(default_factory=dict)
    """Runs that ended well, by their attempt: most of all settles, and cheaper than the rest."""
    took: list[tuple[float, int]] = field(default_factory=list)
    """How long some of them took, in seconds, and which: where `ended - started` does not say so."""
    settles: list[SettleRow] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    usages: list[UsageRow] = field(default_factory=list)
    """What runs used that are settled here."""
    checkpoints: dict[int, CheckpointRow] = field(default_factory=dict)
    over: list[int] = field(default_factory=list)
    """Runs that end well here and have left checkpoints."""
    events: list[EventRow] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    claims: dict[int, list[int]] = field(default_factory=dict)
    """Runs that are claimed, by the attempt that they are in from then on."""
    interrupted: list[int] = field(default_factory=list)
    """Those of the claims that an older epoch held."""
    resumed: list[int] = field(default_factory=list)
    """Those of the claims whose handlers can ask for their last checkpoint."""
    unread: list[int] = field(default_factory=list)
    """Events that are to be read."""
    groups: list[int] = field(default_factory=list)
    """Events that stand for several, which are to be read."""
    again: list[int] = field(default_factory=list)
    """Runs of which it is asked when their first attempt began."""
    at: float = 0.0
    """The wall clock when the change is handed over: when its claims start, and when its `done` ended."""
    forgiven: list[int] = field(default_factory=list)
    """Interrupted claims whose attempt is not counted."""
    promote: tuple[float, int] | None = None
    orders: list[Callable[[apsw.Connection], object]] = field(default_factory=list)
    """Rare changes by hand (redrive, drop, prune), each a function of the connection, inside the transaction."""
    questions: list[Callable[[apsw.Connection], object]] = field(default_factory=list)

    def writes(self) -> bool:
        """Say whether there is anything to commit."""
        return bool(
            self.identities or self.memories or self.done or self.settles or self.attempts or self.events
            or self.runs or self.claims or self.promote or self.orders or self.checkpoints
        )  # fmt: skip

    def empty(self) -> bool:
        """Say whether there is nothing to do at all."""
        return not (self.writes() or self.questions)

    def apply(self, connection: apsw.Connection) -> Result:
        """Write everything, inside the caller's transaction."""
        result = Result()
        self._drop_duplicates(connection, result)
        self._settle(connection, result)
        self._insert(connection, result)
        self._claim(connection, result)
        if self.promote:
            result.promoted.extend(map(promoted, connection.execute(_PROMOTE, self.promote)))
        result.replies.extend(order(connection) for order in self.orders)
        if self.groups:
            for whole, *row in connection.execute(_MEMBERS, {"events": _listed(self.groups)}):
                result.members.setdefault(whole, []).append(EventRow(*row))
        return result

    def _drop_duplicates(self, connection: apsw.Connection, result: Result) -> None:
        """Keep the identities and memories that are new; the others' events are not inserted."""
        if self.identities:
            before = connection.total_changes()
            list(_many(connection, _IDENTITY, self.identities))
            if connection.total_changes() - before < len(self.identities):
                result.duplicates.update(_duplicates(connection, self.identities))
        if self.memories:
            changed = {number for (number,) in _many(connection, _MEMORY, self.memories)}
            result.duplicates.update(row[3] for row in self.memories if row[3] not in changed)

    def _settle(self, connection: apsw.Connection, result: Result) -> None:
        if self.checkpoints:
            list(_many(connection, _CHECKPOINT, list(self.checkpoints.values())))
        for attempt, runs in self.done.items():
            claim = {"runs": _listed(runs), "attempt": attempt, "epoch": self.epoch, "at": self.at}
            result.stale.update(run for (run,) in connection.execute(_STALE, claim))
            connection.execute(_DONE, claim)
        if self.took:
            connection.executemany(_TOOK, [(*row, self.epoch) for row in self.took])
        if self.settles:
            settled = {run for (run,) in _many(connection, _SETTLE, self.settles)}
            result.stale.update(row.run for row in self.settles if row.run not in settled)
        if self.attempts:
            list(_many(connection, _ATTEMPT, [row for row in self.attempts if row.run not in result.stale]))
        if self.usages:
            list(_many(connection, _USAGE, self.usages))
        if self.over:
            connection.execute(_OVER, {"runs": _listed(self.over)})

    def _insert(self, connection: apsw.Connection, result: Result) -> None:
        events, runs = self.events, self.runs
        if result.duplicates or result.stale:
            result.void = result.duplicates | self._emitted_by(result.stale)
            events = [row for row in events if row.number not in result.void]
            runs = [row for row in runs if row.event not in result.void]
        list(_many(connection, _EVENT, events))
        if runs:
            list(_many(connection, _RUN, [
                (r.number, r.event, r.route, r.state, r.attempt, r.epoch, r.started, *r.terms)
                for r in runs
            ]))  # fmt: skip
            if timed := [
                (r.number, r.terms) for r in runs if r.terms.deadline is not None or r.terms.expires is not None
            ]:
                list(_many(connection, _MOMENT, moments(timed)))

    def _emitted_by(self, runs: set[int]) -> set[int]:
        """Return the events that some runs emitted. What a source delivered is none of them, whichever run wrote it."""
        delivered = {number for _, number, _ in self.identities} | {number for *_, number in self.memories}
        return {row.number for row in self.events if row.cause in runs and row.number not in delivered}

    def _claim(self, connection: apsw.Connection, result: Result) -> None:
        if self.interrupted:
            connection.execute(_INTERRUPTED, {"runs": _listed(self.interrupted), "epoch": self.epoch})
        if self.forgiven:
            connection.execute(_FORGIVE, {"runs": _listed(self.forgiven), "epoch": self.epoch})
        for attempt, runs in self.claims.items():
            claim = {"runs": _listed(runs), "attempt": attempt, "epoch": self.epoch, "at": self.at}
            result.gone.update(run for (run,) in connection.execute(_GONE, claim))
            connection.execute(_CLAIM, claim)
        if self.unread:
            found = connection.execute(_READ, {"events": _listed(self.unread)})
            result.read.update((row[0], EventRow(*row)) for row in found)
        if self.resumed:
            found = connection.execute(_LEFT, {"runs": _listed(self.resumed)})
            result.left.update((run, (value, done)) for run, value, done in found)
        if self.again:
            result.begun.update(connection.execute(_BEGUN, {"runs": _listed(self.again)}))


def _many(connection: apsw.Connection, sql: str, rows: Sequence[Sequence[object]]) -> Iterator[tuple[int, ...]]:
    """Run a statement with `$` in place of its VALUES over all rows, and yield what it returns."""
    for chunk in _chunks(rows):
        statement = _statement(sql, len(chunk[0]), len(chunk))
        yield from connection.execute(statement, list(chain.from_iterable(chunk)))


@cache
def _statement(sql: str, columns: int, rows: int) -> str:
    """Return a statement with so many rows of VALUES in it. There are few: see `_chunks`."""
    marks = f"({','.join('?' * columns)})"
    return sql.replace("$", "VALUES " + ",".join([marks] * rows))


def _listed(numbers: Sequence[int]) -> str:
    """Return numbers as one parameter, for SQLite's `json_each`: one statement takes them all."""
    return f"[{','.join(map(str, numbers))}]"


def _duplicates(connection: apsw.Connection, identities: Sequence[tuple[str, int, float]]) -> Iterator[int]:
    """Yield the events whose identities were there before, having counted each."""
    for key, event, _ in identities:
        connection.execute(_COUNT, (key, event))
        if connection.changes():
            yield event


def _chunks(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Cut rows into pieces whose lengths are powers of two: few enough for all statements to stay prepared."""
    start = 0
    while start < len(rows):
        size = min(ROWS, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + size]
        start += size


_IDENTITY = "INSERT INTO identity (key, event, at) $ ON CONFLICT (key) DO NOTHING"

_COUNT = "UPDATE identity SET duplicates = duplicates + 1 WHERE key = ? AND event <> ?"

_MEMORY = """
INSERT INTO ledger (source, key, value, event) $
ON CONFLICT (source, key) DO UPDATE SET value = excluded.value, event = excluded.event
WHERE value IS NOT excluded.value RETURNING event"""

_RUNS = "number IN (SELECT value FROM json_each(:runs))"

_HELD = f"attempt = :attempt AND epoch = :epoch AND state = {RUNNING}"
_STALE = f"SELECT value FROM json_each(:runs) WHERE NOT EXISTS (SELECT 1 FROM run WHERE number = value AND {_HELD})"
_DONE = f"UPDATE run SET state = {DONE}, ended = :at WHERE {_RUNS} AND {_HELD}"

_TOOK = f"UPDATE run SET took = ? WHERE number = ? AND epoch = ? AND state = {DONE}"

_SETTLE = f"""
WITH new (run, attempt, epoch, state, counted, ended, due, due_time, error, memory) AS ($)
UPDATE run SET state = new.state, attempt = new.counted, ended = new.ended, due = new.due,
               due_time = new.due_time, error = new.error, memory = coalesce(new.memory, run.memory)
FROM new WHERE run.number = new.run AND run.attempt = new.attempt AND run.epoch = new.epoch AND run.state = {RUNNING}
RETURNING run.number"""

_ATTEMPT = "INSERT INTO attempt (run, attempt, epoch, started, ended, outcome, error, traceback) $"

_USAGE = """
INSERT INTO usage (run, attempt, memory, cpu) SELECT * FROM ($) WHERE true
ON CONFLICT (run) DO UPDATE SET attempt = excluded.attempt, memory = excluded.memory, cpu = excluded.cpu"""

_CHECKPOINT = f"""
WITH new (run, attempt, epoch, value, done, total, origin, at) AS ($)
INSERT INTO checkpoint (run, value, done, total, origin, at)
SELECT new.run, new.value, new.done, new.total, new.origin, new.at FROM new JOIN run ON run.number = new.run
WHERE run.attempt = new.attempt AND run.epoch = new.epoch AND run.state = {RUNNING}
ON CONFLICT (run) DO UPDATE SET value = excluded.value, done = excluded.done, total = excluded.total,
                                origin = excluded.origin, at = excluded.at"""

_OVER = f"""
DELETE FROM checkpoint WHERE run IN (SELECT value FROM json_each(:runs))
    AND EXISTS (SELECT 1 FROM run WHERE run.number = checkpoint.run AND run.state = {DONE})"""

_LEFT = "SELECT run, value, done FROM checkpoint WHERE run IN (SELECT value FROM json_each(:runs))"

_MOMENT = f"{INSERT} $"

_EVENT = f"INSERT INTO event ({COLUMNS}) $"

_RUN = f"INSERT INTO run (number, event, route, state, attempt, epoch, started, {TERMS}) $"

# A claim of an older epoch is void: its owner is gone. That it was interrupted is recorded before it is claimed anew.
_INTERRUPTED = f"""
INSERT INTO attempt (run, attempt, epoch, started, ended, outcome, error, traceback)
SELECT number, attempt, epoch, started, NULL, 'interrupted', NULL, NULL FROM run
WHERE {_RUNS} AND state = {RUNNING} AND epoch < :epoch"""

_FORGIVE = f"UPDATE run SET attempt = attempt - 1 WHERE {_RUNS} AND state = {RUNNING} AND epoch < :epoch"

# What has expired is not claimed, however late it is dropped.
_FREE = f"""attempt = :attempt - 1 AND (state = {WAITING} OR state = {RUNNING} AND epoch < :epoch)
AND (expires IS NULL OR expires > :at OR started IS NOT NULL)"""
_GONE = f"SELECT value FROM json_each(:runs) WHERE NOT EXISTS (SELECT 1 FROM run WHERE number = value AND {_FREE})"
_CLAIM = f"""
UPDATE run SET state = {RUNNING}, attempt = :attempt, epoch = :epoch, started = :at, ended = NULL, error = NULL
WHERE {_RUNS} AND {_FREE}"""

_READ = f"SELECT {COLUMNS} FROM event WHERE number IN (SELECT value FROM json_each(:events))"

_MEMBERS = f"""
SELECT whole, {",".join(f"event.{name}" for name in EventRow._fields)} FROM gathered
JOIN event ON event.number = gathered.event
WHERE whole IN (SELECT value FROM json_each(:events)) ORDER BY whole, place"""

_BEGUN = """
SELECT run, max(started) FROM attempt
WHERE attempt = 1 AND run IN (SELECT value FROM json_each(:runs)) GROUP BY run"""

_PROMOTE = f"""
UPDATE run SET state = {WAITING}, due = NULL, due_time = NULL
WHERE number IN (SELECT number FROM run WHERE state = {DELAYED} AND due <= ? ORDER BY due LIMIT ?)
RETURNING {BACK}"""

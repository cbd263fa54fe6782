"""What the dispatcher asks of the journal, each as a function of the connection, asked on the writer's thread."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import apsw

from triggers.journal.change import COLUMNS
from triggers.journal.schema import DELAYED, DONE, ENDLESS, WAITING
from triggers.lineage import EventRow
from triggers.scheduling.terms import COLUMNS as TERMS
from triggers.scheduling.terms import Terms


class WaitingRow(NamedTuple):
    """An open run that no living claim holds."""

    number: int
    event: int
    state: int
    attempt: int
    epoch: int
    terms: Terms


def waiting(
    route: str, epoch: int, rank: tuple[float, int], limit: int
) -> Callable[[apsw.Connection], list[WaitingRow]]:
    """Return a question for the next waiting runs of a route behind a rank, in order of rank."""

    def ask(connection: apsw.Connection) -> list[WaitingRow]:
        found = connection.execute(_WAITING, (route, epoch, *rank, limit))
        return [
            WaitingRow(number, event, state, attempt, epoch, Terms(*terms))
            for number, event, state, attempt, epoch, *terms in found
        ]

    return ask


class Ended(NamedTuple):
    """A run that is done; moments are in Unix seconds."""

    route: str
    key: str | None
    started: float
    ended: float


def ended_since(since: float, most: int = 200_000) -> Callable[[apsw.Connection], list[Ended]]:
    """Return a question for the runs that were done since a moment, among the `most` youngest of all."""

    def ask(connection: apsw.Connection) -> list[Ended]:
        return [Ended(*row) for row in connection.execute(_ENDED, (most, since))]

    return ask


class Stranded(NamedTuple):
    """How many runs wait for a route that is gone."""

    route: str
    runs: int

    def __str__(self) -> str:
        waits = "1 run waits" if self.runs == 1 else f"{self.runs:,} runs wait"
        return f"{waits} for route {self.route!r}, which this app does not have; nothing is done until it does"


def stranded(known: Collection[str]) -> Callable[[apsw.Connection], list[Stranded]]:
    """Return a question for the runs that wait for routes which are not known."""

    def ask(connection: apsw.Connection) -> list[Stranded]:
        return [Stranded(route, runs) for route, runs in connection.execute(_BY_ROUTE) if route not in known]

    return ask


def next_due(connection: apsw.Connection) -> float | None:
    """Return when the next delayed run is due, in the boot's monotonic seconds."""
    due = connection.execute(f"SELECT min(due) FROM run WHERE state = {DELAYED} AND due < {ENDLESS}").get
    return None if due is None else float(due)


def event_rows(numbers: Sequence[int]) -> Callable[[apsw.Connection], list[EventRow]]:
    """Return a question for several events."""

    def ask(connection: apsw.Connection) -> list[EventRow]:
        sql = f"SELECT {COLUMNS} FROM event WHERE number IN ({','.join('?' * len(numbers))})"
        return [EventRow(*row) for row in connection.execute(sql, tuple(numbers))]

    return ask


def event_row(number: int) -> Callable[[apsw.Connection], EventRow]:
    """Return a question for one event."""

    def ask(connection: apsw.Connection) -> EventRow:
        return EventRow(*connection.execute(f"SELECT {COLUMNS} FROM event WHERE number = ?", (number,)).get)

    return ask


def memories(source: str, keys: Sequence[bytes]) -> Callable[[apsw.Connection], dict[bytes, bytes]]:
    """Return a question for what a source remembers under these keys."""

    def ask(connection: apsw.Connection) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            sql = f"SELECT key, value FROM ledger WHERE source = ? AND key IN ({','.join('?' * len(some))})"
            known.update(connection.execute(sql, (source, *some)))
        return known

    return ask


def memories_below(
    source: str, folder: bytes, after: bytes, most: int
) -> Callable[[apsw.Connection], dict[bytes, bytes]]:
    """Return a question for what a source remembers under the keys below a folder, as `Site.remembered` has it."""

    def ask(connection: apsw.Connection) -> dict[bytes, bytes]:
        end = folder + b"0" if folder else None  # what follows the slash
        return dict(connection.execute(_BELOW, {"source": source, "after": after, "end": end, "most": most}))

    return ask


_BELOW = """
SELECT key, value FROM ledger WHERE source = :source AND key > :after AND (:end IS NULL OR key < :end) AND value <> x''
ORDER BY key LIMIT :most"""

# Each half is answered by its own partial index.
_BY_ROUTE = f"""
SELECT route, count(*) FROM
    (SELECT route FROM run WHERE state < 2 UNION ALL SELECT route FROM run WHERE state = {DELAYED}) GROUP BY route"""

_ENDED = f"""
SELECT route, key, started, ended FROM (SELECT * FROM run ORDER BY number DESC LIMIT ?)
WHERE state = {DONE} AND ended > ?"""

_WAITING = f"""
SELECT number, event, state, attempt, epoch, {TERMS} FROM run
WHERE route = ? AND state < 2 AND (state = {WAITING} OR epoch < ?) AND (rank, number) > (?, ?)
ORDER BY rank, number LIMIT ?"""

"""Rare changes, each an order: a function of the connection, carried out inside the transaction of a turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import apsw

from triggers.journal.change import BACK, Promoted, RunRow, promoted
from triggers.journal.punctuality import INSERT, moments
from triggers.journal.schema import DEAD, DELAYED, DONE, DROPPED, WAITING
from triggers.journal.turns import Ended
from triggers.scheduling.terms import COLUMNS as TERMS
from triggers.scheduling.terms import Terms


def remember(source: str, known: Mapping[bytes, bytes]) -> Callable[[apsw.Connection], None]:
    """Return an order that keeps what a source wants to remember although it delivers nothing."""

    def apply(connection: apsw.Connection) -> None:
        rows = [(source, key, value) for key, value in known.items()]
        connection.executemany("INSERT OR REPLACE INTO ledger (source, key, value, event) VALUES (?, ?, ?, 0)", rows)

    return apply


def declare(routes: Sequence[Sequence[str | None]], app: Mapping[str, Any]) -> Callable[[apsw.Connection], None]:
    """Return an order that keeps what the app consists of, for those who read the journal without its code."""

    def apply(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM route")
        connection.execute("DELETE FROM closed")  # those of the last owner
        connection.execute("DELETE FROM meta WHERE name = 'failing'")  # the same
        connection.executemany("INSERT INTO route VALUES (?, ?, ?, ?, ?, ?)", routes)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('app', ?)", (json.dumps(app),))

    return apply


def failing(sources: Mapping[str, str]) -> Callable[[apsw.Connection], None]:
    """Return an order that keeps which sources do not deliver at present, and why, in place of those that did not."""
    told = json.dumps(sources)

    def apply(connection: apsw.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('failing', ?)", (told,))

    return apply


class Shut(NamedTuple):
    """A gate that holds back what waits of a route: every run or those of a key, all of them or those of one scale."""

    route: str
    every: bool
    key: str | None
    until: float
    """Unix seconds; infinite where no moment opens it."""
    reason: str
    scale: int | None = None
    """About how large the inputs are (`triggers.scheduling.terms.scale`); None where it holds all of them back."""


def shut(gates: Sequence[Shut]) -> Callable[[apsw.Connection], None]:
    """Return an order that keeps which gates are closed now, in place of those that were."""

    def apply(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM closed")
        rows = [(*gate[:3], gate.until if gate.until < inf else None, *gate[4:]) for gate in gates]
        columns = "route, every, key, until, reason, scale"
        connection.executemany(f"INSERT INTO closed ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)

    return apply


def redrive(request: str, runs: Sequence[int]) -> Callable[[apsw.Connection], list[Promoted]]:
    """Return the order that lets dead, dropped or delayed runs wait again, with all their attempts before them.

    `request` is the identity of the request; nothing is done where it was a duplicate.
    """

    def apply(connection: apsw.Connection) -> list[Promoted]:
        if not first_time(connection, request):
            return []
        back: list[Promoted] = []
        for states, opened in (((DEAD, DROPPED), True), ((DELAYED, DELAYED), False)):
            rows = connection.execute(_REDRIVE.replace("$", ",".join("?" * len(runs))), (*states, *runs))
            back.extend(promoted(row)._replace(opened=opened) for row in rows)
        return back

    return apply


def drop(request: str, runs: Sequence[int]) -> Callable[[apsw.Connection], list[Ended]]:
    """Return the order that takes dead runs off the dead letters, and returns which they were."""

    def apply(connection: apsw.Connection) -> list[Ended]:
        if not first_time(connection, request):
            return []
        return list(connection.execute(_DROP.replace("$", ",".join("?" * len(runs))), tuple(runs)))

    return apply


def insert(
    request: str, runs: Sequence[RunRow], also: Callable[[apsw.Connection], object]
) -> Callable[[apsw.Connection], list[Promoted]]:
    """Return the order that adds new runs for events that are in the journal already; `also` is done with it."""

    def apply(connection: apsw.Connection) -> list[Promoted]:
        if not first_time(connection, request):
            return []
        rows = [(run.number, run.event, run.route, *run.terms, run.event) for run in runs]
        inserted = list(connection.executemany(_REPLAYED, rows))
        connection.executemany(f"{INSERT} VALUES (?, ?, ?)", moments((run.number, run.terms) for run in runs))
        also(connection)
        return [promoted(row)._replace(opened=True) for row in inserted]

    return apply


def prune(before: float, forget: float, limit: int) -> Callable[[apsw.Connection], int]:
    """Return the order that deletes up to `limit` runs that ended well, or were dropped, before a moment.

    An event goes with its last run; an event that matched nothing goes by its age. Dead letters and what is open
    stay. Identities older than `forget` go too, and with an identity what is remembered of the request. The order
    returns how many rows went, and takes note of the event before which something may be missing.
    """

    def apply(connection: apsw.Connection) -> int:
        for table in ("attempt", "usage", "checkpoint"):
            connection.execute(_PRUNE_OF_RUNS.replace("$", table), (before, limit))
        connection.execute(_PRUNE_RUNS, (before, limit))
        gone = connection.changes()
        connection.execute(_PRUNE_GROUPS, (before, limit))
        connection.execute(_PRUNE_EVENTS, (before, limit))
        gone += connection.changes()
        connection.execute("DELETE FROM identity WHERE key IN (SELECT key FROM identity WHERE at < ? LIMIT ?)",
                           (forget, limit))  # fmt: skip
        gone += connection.changes()
        connection.execute(_PRUNE_REQUESTS, (limit,))
        gone += connection.changes()
        if gone:
            connection.execute(_PRUNED, (before,))
        return gone

    return apply


def first_time(connection: apsw.Connection, request: str) -> bool:
    """Take note of a request, and say whether it has not been carried out before."""
    note = "INSERT INTO ledger (source, key, value, event) VALUES ('requests', ?, x'', 0) ON CONFLICT DO NOTHING"
    connection.execute(note, (request.encode(),))
    return connection.changes() == 1


_REDRIVE = f"""
UPDATE run SET state = {WAITING}, attempt = 0, ended = NULL, due = NULL, due_time = NULL, expires = NULL
WHERE state IN (?, ?) AND number IN ($)
RETURNING {BACK}"""

# The event may have been pruned since it was read.
_REPLAYED = f"""
INSERT INTO run (number, event, route, state, attempt, epoch, {TERMS})
SELECT ?, ?, ?, {WAITING}, 0, 0, {",".join("?" * len(Terms._fields))}
WHERE EXISTS (SELECT 1 FROM event WHERE number = ?)
RETURNING {BACK}"""

_DROP = f"""
UPDATE run SET state = {DROPPED} WHERE number IN ($) AND state = {DEAD}
RETURNING route, key, number"""

# Rows are numbered in the order of time, so the oldest are found at the front without an index on `ended`. The newest
# run and event stay whatever their age: their numbers, and the effect keys made of them, must never be given out again.
_BORDER = "ifnull((SELECT number FROM event WHERE recorded >= ?1 ORDER BY number LIMIT 1), 1 << 62)"
_OLD_RUNS = f"""
SELECT run.number FROM run JOIN event ON event.number = run.event
WHERE run.event < {_BORDER} AND event.recorded < ?1 AND run.state IN ({DONE}, {DROPPED}) AND run.ended < ?1
      AND run.number < (SELECT max(number) FROM run)
ORDER BY run.event LIMIT ?2"""
_PRUNE_OF_RUNS = f"DELETE FROM $ WHERE run IN ({_OLD_RUNS})"
_PRUNE_RUNS = f"DELETE FROM run WHERE number IN ({_OLD_RUNS})"
_OLD_EVENTS = f"""
SELECT number FROM event WHERE number < {_BORDER} AND recorded < ?1
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.event = event.number)
    AND NOT EXISTS (SELECT 1 FROM gathered WHERE gathered.event = event.number)
    AND number < (SELECT max(number) FROM event)
ORDER BY number LIMIT ?2"""
_PRUNE_GROUPS = f"DELETE FROM gathered WHERE whole IN ({_OLD_EVENTS})"  # its events stay for as long as a group
_PRUNE_EVENTS = f"DELETE FROM event WHERE number IN ({_OLD_EVENTS})"

_PRUNED = f"""
INSERT INTO meta SELECT 'pruned', min({_BORDER}, ifnull((SELECT max(number) FROM event), 0)) WHERE true
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"""

# A request is remembered under the very key of its identity, and no longer than that.
_PRUNE_REQUESTS = """
DELETE FROM ledger WHERE source = 'requests' AND key IN (
    SELECT key FROM ledger WHERE source = 'requests'
        AND NOT EXISTS (SELECT 1 FROM identity WHERE identity.key = CAST(ledger.key AS TEXT)) LIMIT ?)"""

"""Runs that must not overlap: what becomes of a new one while an earlier run of its route is open.

It is decided inside the commit that inserts the run, from the rows themselves. So it is as durable as the run, holds
across restarts, and never rests on a delivery that turns out to be a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import apsw

from triggers.journal.schema import DELAYED, DROPPED, RUNNING, WAITING


@dataclass(slots=True)
class Verdict:
    """What was decided about new runs of a route, all by their numbers."""

    passed: list[int] = field(default_factory=list)
    """New runs that may start when their turn comes."""
    dropped: list[int] = field(default_factory=list)
    """Runs, new or older, that do not run any more."""
    ended: list[int] = field(default_factory=list)
    """Those of the dropped that were at work: their attempts are to be ended."""


def skip(route: str, runs: Sequence[int], now: float) -> Callable[[apsw.Connection], Verdict]:
    """Return the order that drops each of the new runs that finds an earlier one open."""

    def apply(connection: apsw.Connection) -> Verdict:
        verdict = Verdict()
        for run in _inserted(connection, runs):
            blocker = next(_open(connection, route, run), None)
            if blocker is None:
                verdict.passed.append(run)
            else:
                error = f"r{blocker[0]} was still open (overlap='skip')"
                connection.execute(_DROP, (now, error, run))
                verdict.dropped.append(run)
        return verdict

    return apply


def replace(route: str, runs: Sequence[int], now: float, epoch: int) -> Callable[[apsw.Connection], Verdict]:
    """Return the order that drops every open run that is older than the newest of the new ones, unless backfilled.

    The claim of one that is at work is void from then on: what its attempt comes to is not settled any more.
    """

    def apply(connection: apsw.Connection) -> Verdict:
        verdict = Verdict(passed=_inserted(connection, runs)[-1:])
        for newest in verdict.passed:
            for run, state, held in list(_open(connection, route, newest)):
                if connection.execute(_BACKFILLED, (run,)).get:
                    continue
                if state == RUNNING:
                    connection.execute(_ENDED, (now, run))
                    verdict.ended += [run] if held == epoch else []
                connection.execute(_DROP, (now, f"r{newest} has taken its place (overlap='replace')", run))
                verdict.dropped.append(run)
        return verdict

    return apply


def delayed(routes: Sequence[str]) -> Callable[[apsw.Connection], list[tuple[str, int]]]:
    """Return a question for the delayed runs of some routes: (route, run)."""

    def ask(connection: apsw.Connection) -> list[tuple[str, int]]:
        sql = f"SELECT route, number FROM run WHERE state = {DELAYED} AND route IN ({','.join('?' * len(routes))})"
        return [(str(route), int(run)) for route, run in connection.execute(sql, tuple(routes))]

    return ask


def _inserted(connection: apsw.Connection, runs: Sequence[int]) -> list[int]:
    """Return those of the runs that are there: the event of another was a duplicate."""
    marks = ",".join("?" * len(runs))
    found = connection.execute(f"SELECT number FROM run WHERE number IN ({marks}) ORDER BY number", tuple(runs))
    return [int(number) for (number,) in found]


def _open(connection: apsw.Connection, route: str, before: int) -> Iterator[tuple[int, int, int]]:
    """Yield the open runs of a route that are older than a run: (number, state, epoch)."""
    yield from connection.execute(_OPEN, (route, before))


_OPEN = f"""
SELECT number, state, epoch FROM run WHERE route = ?1 AND state < {DELAYED} AND number < ?2
UNION ALL SELECT number, state, epoch FROM run WHERE state = {DELAYED} AND route = ?1 AND number < ?2"""

_BACKFILLED = """
SELECT json_extract(event.data, '$.backfill') FROM run JOIN event ON event.number = run.event
WHERE run.number = ? AND event.type = 'Tick'"""

_DROP = f"""
UPDATE run SET state = {DROPPED}, ended = ?, error = ?, due = NULL, due_time = NULL
WHERE number = ? AND state IN ({WAITING}, {RUNNING}, {DELAYED})"""

_ENDED = """
INSERT INTO attempt (run, attempt, epoch, started, ended, outcome, error, traceback)
SELECT number, attempt, epoch, started, ?, 'replaced', NULL, NULL FROM run WHERE number = ?"""

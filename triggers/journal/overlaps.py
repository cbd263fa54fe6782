"""Runs that must not overlap: what becomes of a new one while an earlier run of its route, and of its key, is open.

It is decided inside the commit that inserts the run, from the rows themselves. So it is as durable as the run, holds
across restarts, and never rests on a delivery that turns out to be a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import apsw

from triggers.journal.schema import DELAYED, DROPPED, ENDLESS, RUNNING, WAITING


@dataclass(slots=True)
class Verdict:
    """What was decided about new runs of a route, all by their numbers."""

    passed: list[int] = field(default_factory=list)
    """New runs that may start when their turn comes."""
    dropped: list[int] = field(default_factory=list)
    """Runs, new or older, that do not run any more."""
    ended: list[int] = field(default_factory=list)
    """Those of the dropped that were at work: their attempts are to be ended."""
    parked: list[int] = field(default_factory=list)
    """Earlier runs that wait for a new one now."""


Decision = Callable[[apsw.Connection, Sequence[int], float], Verdict]
"""From new runs, and the moment, to what becomes of them: made in the transaction that inserts them."""


def decided(decisions: Sequence[Decision], runs: Sequence[int], now: float) -> Callable[[apsw.Connection], Verdict]:
    """Return the order that decides about new runs: each decision about those that the one before has let pass."""

    def apply(connection: apsw.Connection) -> Verdict:
        verdict = Verdict(passed=list(runs))
        for decide in decisions:
            one = decide(connection, verdict.passed, now)
            verdict = Verdict(
                one.passed, verdict.dropped + one.dropped, verdict.ended + one.ended, verdict.parked + one.parked
            )
        return verdict

    return apply


def skip(route: str) -> Decision:
    """Return what drops each of the new runs that finds an earlier one open."""

    def decide(connection: apsw.Connection, runs: Sequence[int], now: float) -> Verdict:
        verdict = Verdict()
        for run, key in inserted(connection, runs):
            blocker = next(_open(connection, route, run, key), None)
            if blocker is None:
                verdict.passed.append(run)
            else:
                connection.execute(DROP, (now, f"r{blocker[0]} was still open (overlap='skip')", run))
                verdict.dropped.append(run)
        return verdict

    return decide


def replace(route: str, epoch: int) -> Decision:
    """Return what drops what is open of a key and older than its newest new run, unless it is backfilled.

    The claim of one that is at work is void from then on: what its attempt comes to is not settled any more.
    """
    return _newest(route, epoch, "replace", at_work=True)


def newest(route: str, epoch: int) -> Decision:
    """Return what drops what waits of a key, or is to be tried again, and is older than its newest new run.

    What is backfilled stays, and what is at work.
    """
    return _newest(route, epoch, "newest", at_work=False)


def _newest(route: str, epoch: int, overlap: str, *, at_work: bool) -> Decision:
    def decide(connection: apsw.Connection, runs: Sequence[int], now: float) -> Verdict:
        newest_of = {key: run for run, key in inserted(connection, runs)}
        verdict = Verdict(passed=list(newest_of.values()))
        for key, newest in newest_of.items():
            for run, state, held in list(_open(connection, route, newest, key)):
                alive = state == RUNNING and held == epoch
                if (alive and not at_work) or connection.execute(_BACKFILLED, (run,)).get:
                    continue
                if state == RUNNING:
                    connection.execute(_ENDED, (now, run))
                verdict.ended += [run] if alive else []
                connection.execute(DROP, (now, f"r{newest} has taken its place (overlap={overlap!r})", run))
                verdict.dropped.append(run)
        return verdict

    return decide


def delayed(routes: Sequence[str]) -> Callable[[apsw.Connection], list[tuple[str, int, str | None]]]:
    """Return a question for the delayed runs of some routes: (route, run, key)."""

    def ask(connection: apsw.Connection) -> list[tuple[str, int, str | None]]:
        marks = ",".join("?" * len(routes))
        sql = f"SELECT route, number, key FROM run WHERE state = {DELAYED} AND due < {ENDLESS} AND route IN ({marks})"
        return [(str(route), int(run), key) for route, run, key in connection.execute(sql, tuple(routes))]

    return ask


def inserted(connection: apsw.Connection, runs: Sequence[int]) -> list[tuple[int, str | None]]:
    """Return those of the runs that are there, with their keys: the event of another was a duplicate."""
    marks = ",".join("?" * len(runs))
    found = connection.execute(f"SELECT number, key FROM run WHERE number IN ({marks}) ORDER BY number", tuple(runs))
    return [(int(number), key) for number, key in found]


def _open(connection: apsw.Connection, route: str, before: int, key: str | None) -> Iterator[tuple[int, int, int]]:
    """Yield the open runs of a route and a key that are older than a run: (number, state, epoch)."""
    yield from connection.execute(_OPEN, (route, before, key))


_OPEN = f"""
SELECT number, state, epoch FROM run WHERE route = ?1 AND state < {DELAYED} AND number < ?2 AND key IS ?3
UNION ALL SELECT number, state, epoch FROM run WHERE state = {DELAYED} AND route = ?1 AND number < ?2 AND key IS ?3"""

_BACKFILLED = """
SELECT json_extract(event.data, '$.backfill') FROM run JOIN event ON event.number = run.event
WHERE run.number = ? AND event.type = 'Tick'"""

DROP = f"""
UPDATE run SET state = {DROPPED}, ended = ?, error = ?, due = NULL, due_time = NULL
WHERE number = ? AND state IN ({WAITING}, {RUNNING}, {DELAYED})"""

_ENDED = """
INSERT INTO attempt (run, attempt, epoch, started, ended, outcome, error, traceback)
SELECT number, attempt, epoch, started, ?, 'replaced', NULL, NULL FROM run WHERE number = ?"""

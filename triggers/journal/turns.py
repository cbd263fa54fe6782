"""Runs that go in the order of their data (`in_order=`): each waits until those before it in its key are done.

It is decided from the rows. `place` has the place of each such run that is open or dead; one whose turn has not come is
delayed without end. Its turn comes in the commit that ends the last run before it, so that no crash lies between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import apsw

from triggers.journal.change import BACK, Promoted, promoted
from triggers.journal.overlaps import Decision, Verdict, inserted
from triggers.journal.schema import DEAD, DELAYED, DONE, DROPPED, ENDLESS, WAITING

Place = float | str

Ended = tuple[str, str | None, int]
"""A run that has ended: its route, its key, and its number."""


def in_turn(route: str, places: Mapping[int, Place], holds: bool) -> Decision:
    """Return what has each of the new runs wait before which others of its key are to be done.

    `holds` says whether a dead one holds up those behind it. What has begun goes on, whatever comes before it late.
    """

    def decide(connection: apsw.Connection, runs: Sequence[int], now: float) -> Verdict:
        verdict = Verdict()
        for run, key in inserted(connection, runs):
            if run not in places:
                verdict.passed.append(run)
                continue
            at = places[run]
            connection.execute("INSERT OR REPLACE INTO place (run, route, key, at) VALUES (?, ?, ?, ?)",
                               (run, route, key, at))  # fmt: skip
            if connection.execute(_BEFORE, (route, key, at, DEAD if holds else WAITING)).get is not None:
                connection.execute(_PARK, (run,))
                continue
            verdict.passed.append(run)
            for (later,) in connection.execute(_PARK_LATER, (route, key, at)):
                (verdict.passed.remove if later in verdict.passed else verdict.parked.append)(later)
        return verdict

    return decide


def advance(ended: Sequence[Ended], holds: Mapping[str, bool]) -> Callable[[apsw.Connection], list[Promoted]]:
    """Return the order that lets those wait for nothing more whose turn has come, now that some have ended."""

    def apply(connection: apsw.Connection) -> list[Promoted]:
        connection.executemany(_FORGET, [(run,) for *_, run in ended])
        back: list[Promoted] = []
        for route, key in dict.fromkeys((route, key) for route, key, _ in ended):
            back.extend(_due(connection, route, key, holds[route]))
        return back

    return apply


def look(holds: Mapping[str, bool]) -> Callable[[apsw.Connection], list[Promoted]]:
    """Return the order that does so for all that wait, whatever has become of those before them.

    Runs of routes that are in no order any more wait for nothing.
    """

    def apply(connection: apsw.Connection) -> list[Promoted]:
        marks = ",".join("?" * len(holds))
        back = list(map(promoted, connection.execute(_RELEASE.replace("$", marks), tuple(holds))))
        connection.execute(f"DELETE FROM place WHERE route NOT IN ({marks})", tuple(holds))
        connection.execute(_FORGET_ALL)
        for route, key in list(connection.execute("SELECT DISTINCT route, key FROM place")):
            back.extend(_due(connection, str(route), key, holds[str(route)]))
        return back

    return apply


def before(connection: apsw.Connection, run: int) -> tuple[int, int] | None:
    """Return the first run that another one waits for, and its state; None where there is none."""
    found = connection.execute(_FIRST_BEFORE, (run,)).get
    return None if found is None else (int(found[0]), int(found[1]))


def _due(connection: apsw.Connection, route: str, key: str | None, holds: bool) -> list[Promoted]:
    """Put those back among the runs that wait whose turn it is."""
    first = connection.execute(_FIRST, (route, key, DEAD if holds else WAITING)).get
    return [] if first is None else list(map(promoted, connection.execute(_TURN, (route, key, first))))


_OPEN = f"run.state IN ({WAITING}, 1, {DELAYED}, ?)"
"""The last state is that of the dead, where they hold up others."""

_BEFORE = f"""
SELECT 1 FROM place JOIN run ON run.number = place.run
WHERE place.route = ? AND place.key IS ? AND at < ? AND {_OPEN} LIMIT 1"""

_FIRST = f"""
SELECT at FROM place JOIN run ON run.number = place.run
WHERE place.route = ? AND place.key IS ? AND {_OPEN} ORDER BY at LIMIT 1"""

_FIRST_BEFORE = f"""
SELECT run.number, run.state FROM place AS own
JOIN place ON place.route = own.route AND place.key IS own.key AND place.at < own.at
JOIN run ON run.number = place.run AND run.state NOT IN ({DONE}, {DROPPED})
WHERE own.run = ? ORDER BY place.at, place.run LIMIT 1"""

_PARK = f"UPDATE run SET state = {DELAYED}, due = {ENDLESS} WHERE number = ?"

_PARK_LATER = f"""
UPDATE run SET state = {DELAYED}, due = {ENDLESS}
WHERE number IN (SELECT run FROM place WHERE route = ? AND key IS ? AND at > ?)
      AND state = {WAITING} AND started IS NULL
RETURNING number"""

_TURN = f"""
UPDATE run SET state = {WAITING}, due = NULL
WHERE number IN (SELECT run FROM place WHERE route = ? AND key IS ? AND at = ?)
      AND state = {DELAYED} AND due = {ENDLESS}
RETURNING {BACK}"""

_RELEASE = f"""
UPDATE run SET state = {WAITING}, due = NULL
WHERE number IN (SELECT number FROM run WHERE state = {DELAYED} AND due = {ENDLESS} AND route NOT IN ($))
RETURNING {BACK}"""

_CLOSED = f"NOT EXISTS (SELECT 1 FROM run WHERE number = place.run AND state NOT IN ({DONE}, {DROPPED}))"
_FORGET = f"DELETE FROM place WHERE run = ? AND {_CLOSED}"
_FORGET_ALL = f"DELETE FROM place WHERE {_CLOSED}"

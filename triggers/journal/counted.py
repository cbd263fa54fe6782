"""What rates count, each row for as long as it counts: the starts of runs (`throttle=`), and the runs that were taken
in (`rate_limit=`). How many there are is asked of the rows, so that no number can drift from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import apsw

from triggers.journal.overlaps import DROP, Decision, Verdict, inserted
from triggers.journal.schema import RUNNING
from triggers.rate import Rate

THROTTLE: Final = "throttle"
RATE_LIMIT: Final = "rate_limit"


def starts(route: str, runs: Sequence[int], rate: Rate, now: float) -> Callable[[apsw.Connection], None]:
    """Return the order that counts the starts of runs that are claimed in its commit."""

    def apply(connection: apsw.Connection) -> None:
        connection.execute(_FORGET, (now,))
        rows = [(THROTTLE, rate.per, run) for run in runs]
        connection.executemany(_START, rows)

    return apply


def started(routes: Sequence[str]) -> Callable[[apsw.Connection], list[tuple[str, str | None, float]]]:
    """Return a question for the starts that count in some routes: (route, key, until when), in order of that."""

    def ask(connection: apsw.Connection) -> list[tuple[str, str | None, float]]:
        marks = ",".join("?" * len(routes))
        return [
            (str(route), key, float(until))
            for route, key, until in connection.execute(_STARTED.replace("$", marks), (THROTTLE, *routes))
        ]

    return ask


def limit(route: str, rate: Rate) -> Decision:
    """Return what drops each new run that finds so many of its key taken in within the time before its arrival."""

    def decide(connection: apsw.Connection, runs: Sequence[int], now: float) -> Verdict:
        verdict = Verdict()
        for run, key in inserted(connection, runs):
            arrived = float(connection.execute(_ARRIVED, (run,)).get)
            connection.execute(_FORGET, (arrived,))
            connection.execute(
                _SET_BACK, {"route": route, "rate": RATE_LIMIT, "key": key, "latest": arrived + rate.per}
            )
            if int(connection.execute(_COUNT, (route, RATE_LIMIT, key, arrived)).get) < rate.count:
                connection.execute(_TAKE, (route, RATE_LIMIT, key, arrived + rate.per, run))
                verdict.passed.append(run)
            else:
                error = f"{rate.count} had come within {rate.per:g} s before it (rate_limit={rate})"
                connection.execute(DROP, (now, error, run))
                verdict.dropped.append(run)
        return verdict

    return decide


_FORGET = "DELETE FROM counted WHERE until <= ?"

# A clock that was set back holds nothing up for longer than the rate is for.
_SET_BACK = """
UPDATE counted SET until = :latest WHERE route = :route AND rate = :rate AND key IS :key AND until > :latest"""

_START = f"""
INSERT INTO counted (route, rate, key, until, run)
SELECT route, ?, key, started + ?, number FROM run WHERE number = ? AND state = {RUNNING}"""

_STARTED = "SELECT route, key, until FROM counted WHERE rate = ? AND route IN ($) ORDER BY until"

_ARRIVED = "SELECT recorded FROM run JOIN event ON event.number = run.event WHERE run.number = ?"

_COUNT = "SELECT count(*) FROM counted WHERE route = ? AND rate = ? AND key IS ? AND until > ?"

_TAKE = "INSERT INTO counted (route, rate, key, until, run) VALUES (?, ?, ?, ?, ?)"

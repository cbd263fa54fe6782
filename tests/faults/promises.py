"""What routes are promised by what they declare of rates, shares, time and absence, and by what operators pause.

All of it is reckoned from when events were recorded, so where the wall clock was set, little can be said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import apsw

from tests.faults.pipeline import BEAT, DELAY, GRACE, LASTS, OPENS, PUT_OFF, RATED, SHARES
from tests.faults.world import world
from triggers.faults.seeds import Fault
from triggers.harness import START
from triggers.journal import DONE, DROPPED, RUNNING, WAITING, Change
from triggers.journal.pauses import APP, pause_of, paused_routes
from triggers.requests import PauseRoutes, ResumeRoutes

CLOSE = 1e-3
"""Seconds within which moments are the same: some have been text, with fewer digits."""

UNTIMELY = {"fail", "cheat", "slow", "clock"}
"""Faults by which rows say otherwise how long a share had the machine than the process that saw it."""


def promised(connection: apsw.Connection, faults: Sequence[Fault]) -> Iterator[str]:
    """Yield what was promised and did not come about."""
    kinds = {fault.kind for fault in faults}
    yield from _pauses(connection)
    yield from _beats(connection, kinds)
    if "clock" not in kinds:
        for check in (_rate, _starts, _put_off, _fleeting):
            yield from check(connection)


def _rate(connection: apsw.Connection) -> Iterator[str]:
    """Of a limited route a run is dropped if, and only if, one was taken in shortly before; the rows count it once."""
    taken: list[tuple[int, float]] = []
    for run, at, state, error in connection.execute(_LIMITED):
        soon = bool(taken) and at < taken[-1][1] + RATED
        if state == DROPPED and not (soon and "rate_limit=" in error):
            yield f"r{run} was dropped ({error}), and nothing came before it"
        if state != DROPPED and soon:
            yield f"r{run} was taken in {at - taken[-1][1]:.1f} s after r{taken[-1][0]}"
        if state != DROPPED:
            taken.append((run, at))
    counted = Counter(run for (run,) in connection.execute("SELECT run FROM counted WHERE rate = 'rate_limit'"))
    for run, times in counted.items():
        if times > 1 or run not in {run for run, _ in taken}:
            yield f"r{run} is counted {times} times by its rate"


def _starts(connection: apsw.Connection) -> Iterator[str]:
    """Nothing starts before its window opens, or its delay is over."""
    recorded = dict(connection.execute(_RECORDED))
    first: dict[int, float] = {}
    for act in world.acts:
        if first.setdefault(act.run, act.at) != act.at:
            continue
        if act.route == "nightly" and act.at < START.timestamp() + OPENS - CLOSE:
            yield f"r{act.run} starts {act.at - START.timestamp():.1f} s after midnight, out of its window"
        if act.route == "postponed" and act.at < recorded[act.run] + DELAY - CLOSE:
            yield f"r{act.run} starts {act.at - recorded[act.run]:.1f} s after its event"


def _put_off(connection: apsw.Connection) -> Iterator[str]:
    """What a handler has put off is not done before that."""
    for run, ended in connection.execute(_LATER):
        for act in world.acts:
            if act.run == run and ended + CLOSE < act.at < ended + PUT_OFF - CLOSE:
                yield f"r{run} acts {act.at - ended:.1f} s after it was put off by {PUT_OFF:g} s"


def _fleeting(connection: apsw.Connection) -> Iterator[str]:
    """A run expires if, and only if, it has not started by then."""
    for run, at, state, tried, started, ended, error in connection.execute(_EXPIRING):
        if state == DROPPED and not ("expires=" in error and ended > at + LASTS - CLOSE):
            yield f"r{run} was dropped {ended - at:.1f} s after its event: {error}"
        if state == DONE and not tried and started > at + LASTS + CLOSE:
            yield f"r{run} has started {started - at:.1f} s after its event, when it had expired"


def _beats(connection: apsw.Connection, kinds: set[str]) -> Iterator[str]:
    """Each moment at which a beat was missing is told of once, and no other one."""
    came = [(float(at), str(id)) for at, id in connection.execute(_BEATS)]
    told = [_absence(*row) for row in connection.execute(_MISSING)]
    for due, many in Counter(due for due, *_ in told).items():
        if many > 1:
            yield f"that no beat came by {due:.1f} is told {many} times"
    if "clock" in kinds:
        return
    for due, since, count, at in told:
        regular = abs(since + count * BEAT - due) < CLOSE or "slow" in kinds  # one was told of while a beat was written
        if at < due + GRACE - CLOSE or not regular:
            yield f"at {at:.1f} a beat is missing by {due:.1f}, the {count}th since {since:.1f}"
        if late := [id for beat, id in came if since + CLOSE < beat and world.durable.get(id, at) < at]:
            yield f"at {at:.1f} a beat is missing since {since:.1f}, although {late[0]} had come"
    yield from _overlooked(connection, came, told)


def _absence(due: str, since: str, missed: int, recorded: float) -> tuple[float, float, int, float]:
    return datetime.fromisoformat(due).timestamp(), datetime.fromisoformat(since).timestamp(), missed, recorded


def _overlooked(connection: apsw.Connection, came: Sequence[tuple[float, str]], told: Sequence[Any]) -> Iterator[str]:
    """Yield what was missing since the last beat and was not told."""
    known = connection.execute(
        "SELECT value FROM ledger WHERE source = 'expected arrivals' AND key = ?", (b"beat",)
    ).get
    if known is None:
        return
    since, now = float(bytes(known)), world.trial.clock.now()
    if came and abs(since - came[-1][0]) > CLOSE:
        yield f"the last beat came at {came[-1][0]:.1f}, and {since:.1f} is remembered"
    last = max([since, *(due for due, *_ in told)])  # one that was told of while a beat was written is later than that
    if last + BEAT + GRACE + CLOSE < now:
        yield f"a beat is missing by {last + BEAT:.1f}, and at {now:.1f} it is not told of"


def _pauses(connection: apsw.Connection) -> Iterator[str]:
    """What is paused is what operators asked for, in their order."""
    wanted: set[str] = set()
    for kind, routes in connection.execute(_ASKED):
        names = set(routes.split(",")) if routes else {APP}
        wanted = wanted | names if kind == PauseRoutes.__event_type__ else wanted - names
    if wanted != paused_routes(connection).keys():
        yield f"{sorted(paused_routes(connection))} are paused, and {sorted(wanted)} were to be"
    if world.wishes:
        yield f"{len(world.wishes)} wishes of operators were never taken in"


Watch = Callable[[apsw.Connection], Iterator[str]]


def claims_of(change: Change) -> list[int]:
    """Return the runs that a change claims."""
    return [run for runs in change.claims.values() for run in runs] + [
        run.number for run in change.runs if run.state == RUNNING
    ]


def watch(connection: apsw.Connection, change: Change, faults: Sequence[Fault]) -> list[Watch]:
    """Look at the rows before a change that claims runs, and return what is to be looked at after it."""
    runs, found = claims_of(change), list[Watch]()
    if runs and world.halts and (paused := paused_routes(connection)):
        found.append(lambda rows: _started(rows, runs, change.epoch, paused))
    if runs and world.fair and not UNTIMELY & {fault.kind for fault in faults}:
        waited = {run for (run,) in connection.execute(_WAITING)}
        found.append(lambda rows: _unfair(rows, runs, waited))
    return found


def _started(connection: apsw.Connection, runs: Sequence[int], epoch: int, paused: Any) -> Iterator[str]:
    """Yield the runs that were claimed although their routes had been paused in an earlier commit."""
    for run, route in connection.execute(_CLAIMED, (_listed(runs), epoch)):
        if pause := pause_of(route, paused):
            yield f"r{run} of {route} was claimed: {pause}"


def _unfair(connection: apsw.Connection, runs: Sequence[int], waited: set[int]) -> Iterator[str]:
    """Yield the run that was claimed while the share of another one that waited had had less."""
    had: Counter[str] = Counter()
    for share, seconds in connection.execute(_HAD):
        had[share] = seconds / SHARES.get(share, 1.0)
    waiting = {share for run, share in connection.execute(_STILL) if run in waited}
    for run, share in connection.execute(_SHARES, (_listed(runs),)):
        if less := [other for other in waiting if had[other] < had[share] - CLOSE]:
            yield f"r{run} was claimed for {share}, which had {had[share]:.1f}; {less[0]} had {had[less[0]]:.1f}"


def _listed(runs: Sequence[int]) -> str:
    return f"[{','.join(map(str, runs))}]"


_LIMITED = """
SELECT run.number, event.recorded, run.state, run.error FROM run JOIN event ON event.number = run.event
WHERE route = 'limited' ORDER BY run.number"""
_RECORDED = """
SELECT run.number, event.recorded FROM run JOIN event ON event.number = run.event WHERE route = 'postponed'"""
_LATER = "SELECT run, ended FROM attempt WHERE outcome = 'later'"
_EXPIRING = """
SELECT run.number, event.recorded, run.state,
       EXISTS (SELECT 1 FROM attempt WHERE run = run.number), started, ended, run.error
FROM run JOIN event ON event.number = run.event WHERE route = 'fleeting'"""
_BEATS = """
SELECT recorded, id FROM event WHERE type = 'Start' AND data ->> 'kind' = 'beat' ORDER BY number"""
_MISSING = """
SELECT data ->> 'due', data ->> 'since', data ->> 'missed', recorded FROM event
WHERE type = 'Missing' ORDER BY number"""
_ASKED = f"""
SELECT type, (SELECT group_concat(value) FROM json_each(data -> 'routes')) FROM event
WHERE type IN ('{PauseRoutes.__event_type__}', '{ResumeRoutes.__event_type__}') ORDER BY number"""
_CLAIMED = f"""
SELECT number, route FROM run WHERE number IN (SELECT value FROM json_each(?)) AND epoch = ? AND state = {RUNNING}"""
_WAITING = f"SELECT number FROM run WHERE route = 'shared' AND state = {WAITING}"
_STILL = f"SELECT number, key FROM run WHERE route = 'shared' AND state = {WAITING}"
_HAD = f"SELECT key, sum(ended - started) FROM run WHERE route = 'shared' AND state = {DONE} GROUP BY key"
_SHARES = f"""
SELECT number, key FROM run
WHERE number IN (SELECT value FROM json_each(?)) AND route = 'shared' AND state = {RUNNING}"""

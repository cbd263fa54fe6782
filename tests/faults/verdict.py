"""What rows and effects must be after a scenario, reckoned from what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import apsw

from tests.faults.pipeline import EMITS, TRIGGERED, app
from tests.faults.promises import promised
from tests.faults.world import world
from triggers.faults.seeds import Faults
from triggers.gather import Gathered
from triggers.journal import DEAD, DELAYED, DONE, DROPPED, RUNNING, WAITING
from triggers.requests import REQUESTS

OPEN = f"SELECT number FROM run WHERE state IN ({WAITING}, {RUNNING}, {DELAYED})"
APART = "SELECT number FROM gathered WHERE whole IS NULL"

_TOLD = f"""
SELECT run, attempt, epoch FROM attempt WHERE outcome <> 'in part'
UNION ALL SELECT number, attempt, epoch FROM run WHERE state IN ({DONE}, {DROPPED})"""
"""Attempts that failed, were interrupted or put off, and those that runs ended with otherwise."""
_LEFT = f"SELECT run FROM checkpoint JOIN run ON run.number = checkpoint.run WHERE state = {DONE}"

MINUTES = 2
GATHERED = Gathered.__event_type__
SINGLE = ("skipping", "queueing", "replacing")
DROPS = ("skipping", "replacing", "last", "limited", "fleeting")
"""The routes that drop runs."""


def clock_set(faults: Faults) -> bool:
    """Say whether the wall clock was set: what was recorded by it then may rank, and end, hours off."""
    return any(fault.kind == "clock" for fault in faults.taken)


def apart(connection: apsw.Connection, route: str, faults: Faults) -> list[int]:
    """Return the events that may still wait to come together for a route: by a clock that was wrong, for a day."""
    rows = connection.execute(f"SELECT event, route FROM gathered WHERE number IN ({APART})")
    return [number for number, name in rows if name == route and clock_set(faults)]


def judged(connection: apsw.Connection, sent: Mapping[int, str], faults: Faults) -> list[str]:
    """Return what is wrong with rows and effects."""
    return [
        *_events(connection, sent),
        *_runs(connection, faults),
        *_groups(connection, faults),
        *_bursts(connection, faults),
        *_pace(connection, faults),
        *_effects(connection),
        *_history(connection),
        *_files(faults),
        *_ticks(connection, faults),
        *promised(connection, faults.taken),
    ]


def _events(connection: apsw.Connection, sent: Mapping[int, str]) -> Iterator[str]:
    rows = connection.execute("SELECT json_extract(data, '$.n'), count(*) FROM event WHERE type = 'Start' GROUP BY 1")
    counts = dict(rows)
    for n in sent:
        if counts.get(n, 0) != 1:
            yield f"letter {n} is there {counts.get(n, 0)} times as an event"
    if world.letters:
        yield f"{len(world.letters)} letters were never taken in"


def _runs(connection: apsw.Connection, faults: Faults) -> Iterator[str]:
    """Every event has one run of each of its routes, and each has ended, with all that it emits or nothing."""
    emitted = Counter((cause, kind) for cause, kind in connection.execute("SELECT cause, type FROM event"))
    wanted: Counter[tuple[int, str]] = Counter()
    for number, kind, which, subject in connection.execute(
        "SELECT number, type, json_extract(data, '$.kind'), subject FROM event"
    ):
        routes = {"Start": TRIGGERED.get(which, ()), "Cleaned": ("train",), "Trained": ("report", "last"),
                  "RunFailed": ("mourn",), "Tick": ("tick",), "Missing": ("missed",), GATHERED: (subject,),
                  **dict.fromkeys(REQUESTS, ())}[kind]  # fmt: skip
        wanted.update((number, route) for route in routes)
    wanted.subtract((event, "last") for event in apart(connection, "last", faults))
    found: Counter[tuple[int, str]] = Counter()
    for number, event, route, state, attempt, error in connection.execute(
        "SELECT number, event, route, state, attempt, error FROM run"
    ):
        found[event, route] += 1
        yield from _ended(number, route, state, attempt, error, emitted)
    for (event, route), count in ((wanted - found) + (found - wanted)).items():
        yield f"e{event} has {count} runs of {route} too few or too many"


GATHERS = {"together": ("Trained",), "paired": ("Cleaned", "Trained")}


def _groups(connection: apsw.Connection, faults: Faults) -> Iterator[str]:
    """Each event that is to come together with others does so once, and handlers get what the rows say."""
    events = {
        number: (kind, n) for number, kind, n in connection.execute("SELECT number, type, data -> 'n' FROM event")
    }
    given: dict[int, list[tuple[str, int]]] = {}
    for route, kinds in GATHERS.items():
        wanted = Counter(number for number, (kind, _) in events.items() if kind in kinds)
        if route == "together":
            wanted.update(_taken_out(connection, events))
        rows = list(connection.execute("SELECT event, whole FROM gathered WHERE route = ?", (route,)))
        found = Counter(number for number, whole in rows if whole is not None) + Counter(
            apart(connection, route, faults)
        )
        for number in (wanted - found) + (found - wanted):
            yield f"e{number} is in {found[number]} runs of {route}"
        for number, whole in rows:
            given.setdefault(whole, []).append((events[number][0], int(events[number][1])))
    for run, whole in connection.execute(f"SELECT number, event FROM run WHERE state = {DONE}"):
        if whole in given and sorted(world.inputs.get(run, ())) != sorted(given[whole]):
            yield f"r{run} got {world.inputs.get(run)}, and its rows say {given[whole]}"


def _taken_out(connection: apsw.Connection, events: Mapping[int, tuple[str, int]]) -> Iterator[int]:
    """Yield the events that batches said they could not do: each of them is in a batch of its own besides."""
    numbers = {int(n): number for number, (kind, n) in events.items() if kind == "Trained"}
    for (run,) in connection.execute(f"SELECT number FROM run WHERE route = 'together' AND state = {DONE}"):
        yield from (numbers[n] for n in world.failed.get(run, ()))


def _bursts(connection: apsw.Connection, faults: Faults) -> Iterator[str]:
    """Of a burst the last event is acted on."""
    newest = "SELECT number, state FROM run WHERE route = 'last' ORDER BY event DESC LIMIT 1"
    for run, state in connection.execute(newest):
        if state != DONE and not clock_set(faults):
            yield f"r{run} is of the last event of all, and in state {state}"


def _pace(connection: apsw.Connection, faults: Faults) -> Iterator[str]:
    """Runs of a route that is throttled start so far apart, by their claims, whoever makes them."""
    if clock_set(faults):
        return
    starts = [started for (started,) in connection.execute("SELECT started FROM run WHERE route = 'paced' ORDER BY 1")]
    for earlier, later in pairwise(starts):
        if later - earlier < 5 - 1e-6:
            yield f"paced runs start {later - earlier:.3f} s apart"


def _ended(run: int, route: str, state: int, attempt: int, error: str | None, emitted: Counter[Any]) -> Iterator[str]:
    words = f"r{run} of {route}"
    if state not in (DONE, DEAD, DROPPED):
        yield f"{words} has not ended: state {state}, attempt {attempt}"
    if route != "failing" and state == DEAD:
        yield f"{words} is dead: {error}"
    if state == DROPPED and route not in DROPS:
        yield f"{words} was dropped: {error}"
    if error and state == DONE:
        yield f"{words} is done, and has an error: {error}"
    if attempt > app.routes[route].policy.retry.attempts and route != "isolated":
        yield f"{words} has used {attempt} attempts"
    if route in EMITS and emitted[run, EMITS[route]] != (state == DONE):
        yield f"{words} in state {state} has emitted {emitted[run, EMITS[route]]} events"
    if emitted[run, "RunFailed"] != (state == DEAD and route != "mourn"):
        yield f"{words} in state {state} has failed {emitted[run, 'RunFailed']} times"


def _effects(connection: apsw.Connection) -> Iterator[str]:
    """Each run acts under one key, with a new attempt each time, and one that is done has acted."""
    keys: dict[int, set[str]] = {}
    before: dict[int, int] = {}
    for number, act in enumerate(world.acts):
        if number in world.given_back:
            before = {run: attempt - 1 for run, attempt in before.items()}
        keys.setdefault(act.run, set()).add(act.key)
        fresh = act.attempt > before.get(act.run, 0)
        if not fresh and act.route not in ("isolated", "waiting"):
            yield f"r{act.run} of {act.route} has acted in attempt {act.attempt} twice"
        before[act.run] = act.attempt
    for run, used in keys.items():
        if len(used) > 1:
            yield f"r{run} has acted under {len(used)} keys"
    for run, route, state in connection.execute(
        f"SELECT number, route, state FROM run WHERE state IN ({DONE}, {DROPPED})"
    ):
        if state == DONE and run not in keys:
            yield f"r{run} is done and has never acted"
        if state == DROPPED and run in keys and route != "replacing":
            yield f"r{run} of {route} was dropped and has acted"


def _history(connection: apsw.Connection) -> Iterator[str]:
    """Each time that a run acted is one attempt that the rows tell of: none is hidden, and none has acted twice."""
    acted = Counter((act.run, act.attempt, act.epoch) for act in world.acts)
    told = Counter(connection.execute(_TOLD))
    for run, attempt, epoch in acted - told:
        claim = (run, attempt, epoch)
        yield f"r{run} acted {acted[claim]} times in attempt {attempt} of epoch {epoch}; {told[claim]} are told of"
    for (run,) in connection.execute(_LEFT):
        yield f"r{run} is done, and has left a checkpoint"


def _ticks(connection: apsw.Connection, faults: Faults) -> Iterator[str]:
    """Each minute has fired once; where the wall clock was right, none is missing."""
    due = [text for (text,) in connection.execute("SELECT json_extract(data, '$.due') FROM event WHERE type = 'Tick'")]
    if len(due) != len(set(due)):
        yield "a minute has fired twice"
    if len(due) < MINUTES and not clock_set(faults):
        yield f"only {len(due)} minutes have fired"


def _files(faults: Faults) -> Iterator[str]:
    """Runs that must not overlap go one after the other, whatever attempts they take, in the order of their ranks.

    A clock that is set gives a later run an earlier rank.
    """
    if clock_set(faults):
        return
    for route in SINGLE:
        seen: list[int] = []
        for act in world.acts:
            if act.route == route and act.run in seen[:-1]:
                yield f"r{act.run} of {route} has acted after r{seen[-1]} had begun"
            if act.route == route and act.run not in seen:
                seen.append(act.run)

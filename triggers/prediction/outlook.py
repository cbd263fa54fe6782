"""When what waits will start and what runs will end: the policy's own decisions played forward in virtual time.

Each play draws a run time for every run from what its route's runs took, and lets the machine decide. What of all plays
lies in the middle is said, and the range that eight of ten lie in. A run of which nobody knows how long it takes never
ends in a play, so that only what does not depend on it is predicted.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import islice
from statistics import NormalDist
from typing import NamedTuple

from triggers.journal.backlog import OpenRun, Parked
from triggers.journal.orders import Shut
from triggers.policy import order
from triggers.prediction.forecast import UNKNOWN, Prediction, Range
from triggers.scheduling.gates import Closed, Gate
from triggers.scheduling.terms import Terms, scale
from triggers.simulate.declared import Declared
from triggers.simulate.machine import Rules, simulate
from triggers.simulate.workload import Job

MOST = 500
"""How many waiting runs are played, the best-ranked; of what ranks behind them only the number is known."""

DECISIONS = 2500
"""How many runs all plays together decide about, as far as that leaves enough plays."""
FEWEST, PLENTY = 5, 40
"""Plays."""

_NORMAL = NormalDist()
_TENTH = _NORMAL.inv_cdf(0.9)

Times = Callable[[str, int | None], Range | None]
"""From a route and the size of an input to how long its runs take, None where nobody knows."""


class Moments(NamedTuple):
    """When something will be, in Unix seconds: eight of ten times between `low` and `high`."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Expected:
    """When a run will start and end; None is not known. One at work has started."""

    route: str
    start: Moments | None
    end: Moments | None
    running: bool
    after: int | None = None
    """The run that it comes after in the order of its data; 0 where that is dead, and holds it up."""
    expires: float | None = None
    """When it is dropped, where it is not expected to start by then; Unix seconds."""


@dataclass(slots=True)
class Open:
    """What is open: what runs, and of what waits the best-ranked, each route's in order."""

    running: Sequence[OpenRun]
    waiting: Mapping[str, Sequence[OpenRun]]
    delayed: Sequence[OpenRun]
    counts: Mapping[str, int]
    """How many runs of each route wait."""
    parked: Sequence[Parked] = ()
    """What waits for its turn in the order of its data."""


@dataclass(slots=True)
class Outlook:
    """What is expected of the runs that were played, by their numbers."""

    runs: dict[int, Expected] = field(default_factory=dict)
    behind: Counter[str] = field(default_factory=Counter)
    """How many waiting runs of each route rank behind all that were played."""
    unknown: set[str] = field(default_factory=set)
    """Routes of which nobody knows yet how long their runs take."""


class _Barriers:
    """The gates of a route that were closed when somebody looked, each for as long as it was said to be.

    They are one gate, which finds those of a key at once: a play asks for every key at each of its decisions.
    """

    by_run = True

    def __init__(self) -> None:
        self._known: dict[tuple[bool, str | None, int | None], Closed] = {}
        """By whether it is for every key, by the key, and by the scale, which is None where it does not matter."""

    def add(self, shut: Shut) -> None:
        """Take one more; of those for the same runs, that which opens last is all that matters."""
        of = shut.every, shut.key or None, shut.scale
        self._known[of] = _later(self._known.get(of), Closed(shut.until, shut.reason))

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether runs with that key, and inputs of that size, must wait."""
        last, size = None, scale(terms.size)
        for of in ((True, None, None), (True, None, size), (False, terms.key, None), (False, terms.key, size)):
            if own := self._known.get(of):
                last = _later(last, own)
        return last if last and now < last.until else None


def _later(one: Closed | None, other: Closed) -> Closed:
    return one if one and one.until > other.until else other


class _Given:
    """Predicts by what is known now: nothing is learned from what is only played."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._known: dict[tuple[str, int], Prediction] = {}

    def predict(self, job: Job) -> Prediction:
        kind = job.route, job.size
        if kind not in self._known:
            known = self._times(job.route, job.size or None)
            self._known[kind] = Prediction(known.p50, known.p90) if known else UNKNOWN
        return self._known[kind]

    def learn(self, job: Job) -> None:
        """Learn nothing."""


def foresee(open: Open, app: Declared, times: Times, shut: Iterable[Shut], now: float, most: int = MOST) -> Outlook:
    """Return when what is open is expected to start and to end, if nothing else comes that ranks before it."""
    waiting = list(islice(merge(*open.waiting.values(), key=lambda run: (run.terms.rank, run.number)), most))
    after = {run.number: before for run, before in open.parked[:most] if before is not None}
    every = [*open.running, *waiting, *open.delayed[:most], *(run for run, _ in open.parked[:most])]
    runs = sorted((run for run in every if app.knows(run.route)), key=lambda run: run.number)  # which breaks ties
    begun = {run.number: run.started for run in open.running}
    places = {run.number: place for place, run in enumerate(runs)}
    jobs = [
        replace(
            _job(run, app, now, begun.get(run.number)),
            after=places.get(after[run.number], len(runs)) if run.number in after else None,
        )
        for run in runs
    ]
    ranges = [times(run.route, run.terms.size) for run in runs]
    found = Outlook(behind=Counter(open.counts))
    found.behind.subtract(run.route for run in waiting)
    found.unknown = {run.route for run, known in zip(runs, ranges, strict=True) if known is None}
    rules = app.rules(order, lambda: _Given(times))
    rules = replace(rules, gates=_gates(shut, rules.gates))
    plays = [_play(jobs, ranges, app, rules, now, random.Random(seed)) for seed in range(_plays(len(jobs)))]  # noqa: S311
    for place, run in enumerate(runs):
        played, number = [play[place] for play in plays], run.number
        found.runs[number] = _expected(run, played, running=number in begun, after=after.get(number))
    return found


def _expected(run: OpenRun, played: Sequence[tuple[float, float]], *, running: bool, after: int | None) -> Expected:
    """Return what is expected of a run by its starts and ends; that it expires, where it did in most plays."""
    started = [one for one in played if one[0] != math.inf]
    if 2 * len(started) < len(played):
        return Expected(run.route, None, None, running, after, run.terms.expires)
    starts, ends = zip(*started, strict=True)
    return Expected(run.route, moments(starts), moments(ends), running, after)


def moments(drawn: Sequence[float]) -> Moments | None:
    """Return the range that eight of ten lie in, None where some never come."""
    if not all(map(math.isfinite, drawn)):
        return None
    ordered, last = sorted(drawn), len(drawn) - 1
    return Moments(ordered[round(0.1 * last)], ordered[round(0.5 * last)], ordered[round(0.9 * last)])


def _plays(jobs: int) -> int:
    return min(PLENTY, max(FEWEST, DECISIONS // max(1, jobs)))


def _play(
    jobs: Sequence[Job], ranges: Sequence[Range | None], app: Declared, rules: Rules, now: float, drawn: random.Random
) -> list[tuple[float, float]]:
    """Return when each job starts and ends, with run times that are drawn."""
    played = []
    for job, known in zip(jobs, ranges, strict=True):
        elapsed = 0.0 if job.begun is None else max(0.0, now - job.begun)
        seconds = math.inf if known is None else draw(known, elapsed, drawn.random())
        played.append(replace(job, seconds=seconds))
    starts = simulate(played, app.capacity, rules)
    return [(start, start + job.seconds) for job, start in zip(played, starts, strict=True)]


def draw(known: Range, elapsed: float, chance: float) -> float:
    """Return how long a run takes that has run for `elapsed` seconds: lognormal on both sides of the middle."""
    below, above = (max(math.log(x / y), 1e-3) / _TENTH for x, y in ((known.p50, known.p10), (known.p90, known.p50)))
    passed = 0.0
    if elapsed > 0:
        far = math.log(elapsed / known.p50)
        passed = _NORMAL.cdf(far / (above if far > 0 else below))
    if passed > 0.999:  # longer than any that is known: as much again, at most
        return elapsed * (1 + max(chance, 1e-3))
    z = _NORMAL.inv_cdf(min(passed + (1 - passed) * max(chance, 1e-6), 1 - 1e-9))
    return max(known.p50 * math.exp(z * (above if z > 0 else below)), elapsed)


def _job(run: OpenRun, app: Declared, now: float, begun: float | None) -> Job:
    terms = run.terms
    arrival = terms.rank + app.aging * terms.priority
    ready = now if run.due is None else max(now, run.due)
    return Job(
        arrival, run.route, terms.key or "", app.needs(run.route, terms), terms.size or 0, terms.priority, 0.0,
        terms.deadline, ready, begun, expires=math.inf if run.attempt or terms.expires is None else terms.expires,
    )  # fmt: skip


def _gates(shut: Iterable[Shut], declared: Mapping[str, Sequence[Gate]]) -> dict[str, list[Gate]]:
    """Return the gates of each route: its own, and those that were closed when the dispatcher looked."""
    barriers: defaultdict[str, _Barriers] = defaultdict(_Barriers)
    for one in shut:
        barriers[one.route].add(one)
    gates: dict[str, list[Gate]] = {route: list(own) for route, own in declared.items()}
    for route, barrier in barriers.items():
        gates.setdefault(route, []).append(barrier)
    return gates

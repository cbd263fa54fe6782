"""Off-peak work: what is saved where a run starts when all of it is cheapest, by its predicted time, and what without.

Each run is placed by the gate that the dispatcher asks (`triggers.scheduling.gates.Placement`), with the run times that
have been learned until then. Nothing else runs, so that where a run starts is all that makes a difference.
"""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.measure import TRACES, Row, Trials
from triggers import Prices
from triggers.prediction.forecast import RunTimes
from triggers.schedule.series import Series
from triggers.schedule.window import Interval
from triggers.scheduling.gates import Placement
from triggers.scheduling.terms import Terms

HOUR, DAY = 3600.0, 86_400.0
SLOT = 900.0
CARBON = "carbon-germany-2020.csv.gz"
WHOLE = 35_134
"""Lines of it without a gap."""
ROUTES, BEHIND = 10, 30
"""So many kinds of work, and so many runs of each that ended before."""
DAYS = 60
"""So long work arrives, somewhere in the series."""

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """A run to be placed; all in seconds."""

    route: str
    arrival: float
    deadline: float
    seconds: float
    """What it really takes."""


def offpeak(folder: Path, source: str, seeds: int, count: int) -> Result:
    """Place so many runs for each seed; of each way the part that it saves and the deadlines it misses, in per cent."""
    file = _carbon(folder) if source == "carbon" else None
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        prices = Prices(file or _made(folder, seed))
        series = prices.between(0, 0, 0)
        assert series is not None
        work = _work(random.Random(seed), series, count)
        for name, value in _placed(work, prices, series).items():
            found.setdefault(name, []).append(value)
    return found


def _placed(work: Sequence[Work], prices: Prices, series: Series) -> dict[str, float]:
    ours = _by_prediction(work, prices)
    perfect = [_best(series, one, one.seconds, one.deadline - one.seconds) for one in work]
    missed = _missed(work, ours)
    margins = [SLOT * number for number in range(97)]
    tries = [[_best(series, one, SLOT, one.deadline - margin) for one in work] for margin in margins]
    fair = [starts for starts in tries if _missed(work, starts) <= missed]
    slot = max(fair or tries[-1:], key=lambda starts: _saved(series, work, starts))
    return {
        "ours": _saved(series, work, ours),
        "ours missed": missed,
        "slot": _saved(series, work, slot),
        "slot missed": _missed(work, slot),
        "slot at once": _saved(series, work, tries[0]),
        "slot at once missed": _missed(work, tries[0]),
        "perfect": _saved(series, work, perfect),
    }


def _by_prediction(work: Sequence[Work], prices: Prices) -> list[float]:
    """Return when each run starts by the dispatcher's gate, which knows the runs that had ended by its arrival."""
    gates = {name: Placement(name, None, prices, 600.0) for name in {one.route for one in work}}
    times, starts, running = RunTimes(), [], list[tuple[float, str, float]]()
    for one in work:
        while running and running[0][0] <= one.arrival:
            _, route, seconds = heappop(running)
            times.learn(route, None, seconds)
        start = one.arrival
        if one.deadline < math.inf:  # else one of those that ended before
            _, longest = times.predict(one.route, None)
            start = gates[one.route].start(one.arrival, Terms(one.arrival, deadline=one.deadline), longest).at
        starts.append(start)
        heappush(running, (start + one.seconds, one.route, one.seconds))
    return starts


def _best(series: Series, one: Work, seconds: float, latest: float) -> float:
    """Return the start at which so many seconds cost least; where it is too late for any, the arrival."""
    if one.deadline == math.inf:
        return one.arrival
    latest = min(latest, one.arrival + DAY)
    if latest <= one.arrival:
        return one.arrival
    found = series.offers(seconds, [Interval(one.arrival, latest + seconds)]).cheapest(one.arrival, latest)
    return one.arrival if found is None else found


def _missed(work: Sequence[Work], starts: Sequence[float]) -> float:
    late = [
        start + one.seconds > one.deadline for one, start in zip(work, starts, strict=True) if one.deadline < math.inf
    ]
    return 100 * fmean(late)


def _saved(series: Series, work: Sequence[Work], starts: Sequence[float]) -> float:
    placed = [(one, start) for one, start in zip(work, starts, strict=True) if one.deadline < math.inf]
    spent = sum(series.cost(start, one.seconds) for one, start in placed)
    return 100 * (1 - spent / sum(series.cost(one.arrival, one.seconds) for one, _ in placed))


def _work(drawn: random.Random, series: Series, count: int) -> list[Work]:
    """Return work in the order of its arrival: what ended before, and what is to be placed."""
    begin = drawn.uniform(series.start + 10 * DAY, series.end - (DAYS + 10) * DAY)
    kinds = {f"r{n}": (drawn.uniform(0.5, 5) * HOUR, drawn.uniform(0.1, 0.6)) for n in range(ROUTES)}

    def seconds(route: str) -> float:
        typical, spread = kinds[route]
        return min(typical * drawn.lognormvariate(0, spread), 2 * DAY)

    before = [Work(route, begin - 5 * DAY, math.inf, seconds(route)) for route in kinds for _ in range(BEHIND)]
    placed = []
    for _ in range(count):
        route, arrival = drawn.choice(list(kinds)), begin + drawn.uniform(0, DAYS * DAY)
        placed.append(Work(route, arrival, arrival + drawn.uniform(8, 30) * HOUR, seconds(route)))
    return before + sorted(placed, key=lambda one: one.arrival)


def _carbon(folder: Path) -> Path:
    """Write the series up to its first gap."""
    file = folder / "carbon.csv"
    lines = gzip.decompress((TRACES / CARBON).read_bytes()).splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:WHOLE]))
    return file


def _made(folder: Path, seed: int) -> Path:
    """Write a series of 120 days: a price by the hour of the day, less at week-ends, and noise that lasts for hours."""
    drawn, lines, noise = random.Random(seed), [], 0.0
    for number in range(120 * 96):
        moment = number * SLOT
        hour, weekend = moment % DAY / HOUR, moment // DAY % 7 in (2, 3)  # 1970 began on a Thursday
        noise = 0.97 * noise + drawn.gauss(0, 4)
        price = 80 - 15 * weekend + 25 * math.sin((hour - 13) / 12 * math.pi) + 15 * math.sin((hour - 4) / 6 * math.pi)
        lines.append(f"{datetime.fromtimestamp(moment, UTC).isoformat()},{price + noise:.2f}\n")
    file = folder / "made.csv"
    file.write_text("".join(lines))
    return file


def rows(trials: Trials) -> list[Row]:
    """Return what is saved by prediction, as a ratio to what is without, at no more missed deadlines."""
    found = []
    few = trials.setup.few
    sources = ["synthetic", "carbon"] if (TRACES / CARBON).exists() else ["synthetic"]
    for source in sources:
        by = trials.run("placement.offpeak", source=source, seeds=few(20, 3), count=few(300, 100))
        print(f"off-peak, {source}: mean (least to most) in % over the seeds")
        for name, values in by.items():
            print(f"  {name}: {fmean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        ratios = [ours / slot for ours, slot in zip(by["ours"], by["slot"], strict=True)]
        note = f"{min(ratios):.2f} to {max(ratios):.2f}" + "".join(
            f"; {name} {fmean(by[name]):.1f} %" for name in ("ours", "ours missed", "slot", "slot missed", "perfect")
        )
        found.append(
            Row(
                f"off-peak, {source}: saved, to the cheapest slot without prediction", "x", "more", 1, ratios, note=note
            )
        )
    return found

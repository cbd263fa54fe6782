"""Predicted run times against the actual ones, on seeded synthetic handlers; beside the models that were not taken."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from benchmarks.measure import Row, Trials, percentile
from triggers.prediction.forecast import LAST, Ended, Range, RunTimes, fit

Result = dict[str, Any]
Handler = Callable[[random.Random, int], Ended]
"""From a generator and how many runs went before to the size of the next input, and the seconds that it takes."""

PER_HANDLER = 20
"""Predictions for each handler."""


class Model(Protocol):
    """What learns and predicts, see `RunTimes`."""

    def learn(self, route: str, size: int | None, seconds: float) -> None:
        """Take note of a run that ended well."""

    def range(self, route: str, size: int | None) -> Range | None:
        """Return what the next run will take."""


class ByRoute(RunTimes):
    """The quantiles of the route, whatever the size."""

    def learn(self, route: str, size: int | None, seconds: float) -> None:
        """Take note of a run that ended well."""
        super().learn(route, None, seconds)


class ByBucket(ByRoute):
    """The quantiles of inputs about as large, in powers of two; those of the route where they are fewer than eight."""

    def learn(self, route: str, size: int | None, seconds: float) -> None:
        """Take note of a run that ended well."""
        super().learn(route, None, seconds)
        super().learn(f"{route} {(size or 0).bit_length()}", None, seconds)

    def range(self, route: str, size: int | None) -> Range | None:
        """Return what the next run will take."""
        found = super().range(f"{route} {(size or 0).bit_length()}", None)
        return found if found and found.runs >= 8 else super().range(route, None)


class ByNearest:
    """The quantiles of the 24 nearest sizes among the last of one route."""

    def __init__(self) -> None:
        self._ended: list[Ended] = []

    def learn(self, route: str, size: int | None, seconds: float) -> None:
        """Take note of a run that ended well."""
        self._ended = [*self._ended[1 - LAST :], (size, seconds)]

    def range(self, route: str, size: int | None) -> Range | None:
        """Return what the next run will take."""
        wanted = math.log2((size or 0) + 1)
        near = sorted(range(len(self._ended)), key=lambda n: abs(math.log2((self._ended[n][0] or 0) + 1) - wanted))
        found = fit([(None, self._ended[n][1]) for n in sorted(near[:24])])
        return found.range(None) if found else None


MODELS: Mapping[str, Callable[[], Model]] = {
    "line": RunTimes,
    "route": ByRoute,
    "buckets": ByBucket,
    "nearest": ByNearest,
}


def _lognormal(drawn: random.Random, n: int) -> Ended:
    return _size(drawn), drawn.lognormvariate(2, 0.6)


def _by_size(drawn: random.Random, n: int) -> Ended:
    size = _size(drawn)
    return size, 8 * (size / 2**20) ** 0.7 * drawn.lognormvariate(0, 0.3)


def _with_a_start(drawn: random.Random, n: int) -> Ended:
    size = _size(drawn)
    return size, (2 + size * 2e-7) * drawn.lognormvariate(0, 0.3)


def _bimodal(drawn: random.Random, n: int) -> Ended:
    return _size(drawn), drawn.choice((7, 7, 70)) * drawn.lognormvariate(0, 0.25)


def _drifting(drawn: random.Random, n: int) -> Ended:
    size = _size(drawn)
    return size, 8 * 4 ** (n / 200) * (size / 2**20) ** 0.5 * drawn.lognormvariate(0, 0.3)


def _one_size(drawn: random.Random, n: int) -> Ended:
    return 2**20, drawn.lognormvariate(3, 0.4)


def _changed(drawn: random.Random, n: int) -> Ended:
    return _size(drawn), (10 if n < 20 else 30) * drawn.lognormvariate(0, 0.3)


HANDLERS: Mapping[str, Handler] = {
    "lognormal": _lognormal,
    "by size": _by_size,
    "by size, with a start": _with_a_start,
    "bimodal": _bimodal,
    "drifting": _drifting,
    "one size": _one_size,
    "changed": _changed,
}


def _size(drawn: random.Random) -> int:
    return int(2 ** drawn.uniform(10, 30))


def predictions(folder: Path, model: str, seeds: int, handlers: int, behind: int) -> Result:
    """Predict for handlers with so many runs behind them. Of each seed: the share inside, and the pinball loss."""
    shares, losses = [], []
    by: dict[str, list[int]] = {name: [] for name in HANDLERS}
    for seed in range(seeds):
        inside: list[int] = []
        lost: list[float] = []
        for number in range(handlers):
            kind = list(HANDLERS)[number % len(HANDLERS)]
            held = _follow(MODELS[model](), HANDLERS[kind], random.Random(f"{seed} {number}"), behind, lost)
            by[kind] += held
            inside += held
        shares.append(100 * fmean(inside))
        losses.append(fmean(lost))
    return {
        "shares": shares,
        "losses": losses,
        "by": {name: 100 * fmean(held) for name, held in by.items()},
        "count": len(inside),
    }


def _follow(model: Model, handler: Handler, drawn: random.Random, behind: int, lost: list[float]) -> list[int]:
    """Return for each prediction whether it held, and add its losses."""
    held = []
    for n in range(behind + PER_HANDLER):
        size, seconds = handler(drawn, n)
        if n >= behind:
            found = model.range("", size)
            assert found is not None
            held.append(int(found.p10 <= seconds <= found.p90))
            lost.append(sum(_pinball(share, seconds, at) for share, at in zip((0.1, 0.5, 0.9), found, strict=False)))
        model.learn("", size, seconds)
    return held


def _pinball(share: float, actual: float, predicted: float) -> float:
    """Return the loss that a true quantile makes smallest, of the logarithms (Koenker and Bassett 1978)."""
    above = math.log(actual / predicted)
    return max(share * above, (share - 1) * above)


def cost(folder: Path, rounds: int) -> Result:
    """Learn, and predict with all that is remembered, in microseconds: anew after each end, and when nothing ended."""
    drawn, times = random.Random(1), RunTimes()
    fresh: list[float] = []
    again: list[float] = []
    learned: list[float] = []
    for n in range(rounds + LAST):
        size, seconds = _by_size(drawn, n)
        begin = time.perf_counter()
        times.learn("", size, seconds)
        learned.append(1e6 * (time.perf_counter() - begin))
        begin = time.perf_counter()
        times.range("", size)
        (fresh if n % 7 == 0 else again).append(1e6 * (time.perf_counter() - begin))
    return {"learn": percentile(learned, 50), "most": max(percentile(fresh, 99), percentile(again, 99)),
            "again": percentile(again, 50)}  # fmt: skip


def rows(trials: Trials) -> list[Row]:
    """Return how often predictions hold, and what they cost."""
    few = trials.setup.few
    seeds, handlers = few(20, 3), 50
    found = {
        (model, behind): trials.run("forecasts.predictions", model=model, seeds=seeds, handlers=handlers, behind=behind)
        for model in MODELS
        for behind in (30, 200)
    }
    rows = []
    for behind in (30, 200):
        ours = found["line", behind]
        by = ", ".join(f"{name} {share:.0f}" for name, share in ours["by"].items())
        note = f"{ours['count']} of each seed, {min(ours['shares']):.1f} to {max(ours['shares']):.1f}; {by}"
        rows.append(Row(f"predicted range holds, {behind} runs behind", "%", "more", 75, ours["shares"], note=note))
        rows.append(Row("the same, and not too often", "%", "less", 85, ours["shares"]))
        for model in MODELS:
            other = found[model, behind]
            note = f"holds {fmean(other['shares']):.1f} %"
            rows.append(Row(f"loss by {model}, {behind} runs behind", "", "less", None, other["losses"], note=note))
    taken = trials.run("forecasts.cost", rounds=few(2000, 200))
    note = f"p99 {taken['most']:.0f} us where it is reckoned anew; to learn {taken['learn']:.1f} us"
    return [*rows, Row("a prediction", "us", "less", None, [taken["again"]], note=note)]

"""How long runs take, learned from those that ended well: by route, by the size of the input, the recent ones first.

Times are looked at as logarithms, in which a run that takes twice as long is as far off as one that takes half. In them
the time of a route lies on a line that is flat up to some size and straight from there: a start that costs the same for
all, then so much for each byte, or whatever power of it. What is left beside the line gives the quantiles, weighted so
that a run counts half as much as the one `HALF` runs after it. Of four models that were measured (the quantiles of the
route, of buckets of sizes, of the nearest sizes, and beside a line) this one lost least; see `benchmarks/forecasts.py`.

Small samples are not trusted. The share of a run that is still to come is counted in beside those that were seen, so
that the range holds 80 % of what comes and not of what was; below `RANKED` runs it is that of a lognormal distribution
with unknown mean and spread (Student's t), and below `LEAST` nothing is said. What failed is not learned from: how long
it would have taken is not known. Where the long ones fail by their timeout, the range is therefore too low.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter, mul
from typing import NamedTuple

LAST = 100
"""As many runs of a route are remembered."""

HALF = 16.0
"""After so many further runs, one counts half."""

LEAST = 3
"""Runs below which nothing is predicted."""

RANKED = 10
"""Runs from which on the quantiles are taken from the runs themselves; fewer have none at the ends."""

SIZED = 8
"""Runs below which nobody can tell what the size of the input does."""

CUTS = 4
"""At so many of the sizes seen, in equal steps, the time may begin to grow."""

LEVER = 0.5
"""Doublings by which sizes must be spread (their standard deviation) to say anything."""

SURE = 3.0
"""A slope counts when it is so many times its standard error."""

ASKED = 256
"""Sizes for which a route's answer is kept until more is known."""

_WEIGHTS = [0.5 ** (age / HALF) for age in range(LAST - 1, -1, -1)]
"""What the runs count, the latest last."""

_SHORTEST, _GREATEST = 1e-6, 30.0
"""Seconds; and the logarithm of more seconds than anybody waits for."""

_STUDENT: Mapping[int, float] = {2: 1.886, 3: 1.638, 4: 1.533, 5: 1.476, 6: 1.440, 7: 1.415, 8: 1.397}
"""The 90 % quantile of Student's t, by degrees of freedom."""

Ended = tuple[int | None, float]
"""The size of the input in bytes, and the seconds that the run took."""


class Prediction(NamedTuple):
    """The seconds that a run will take, as far as decisions go by it; None is not known."""

    expected: float | None
    """Half take less (p50)."""
    longest: float | None
    """Nine of ten take less (p90)."""


UNKNOWN = Prediction(None, None)


class Range(NamedTuple):
    """The same as people are told it: eight of ten between `p10` and `p90`, half below `p50`."""

    p10: float
    p50: float
    p90: float
    runs: int
    """How many ended runs stand behind it."""


class RunTimes:
    """What is known of the routes. Memory is bounded: the last runs of each, and what they amount to."""

    def __init__(self) -> None:
        self._routes: dict[str, _History] = defaultdict(_History)
        self._predictions: dict[str, dict[int | None, Prediction]] = defaultdict(dict)
        """What was asked for of late, by route and size: each decision asks for all routes."""

    def learn(self, route: str, size: int | None, seconds: float) -> None:
        """Take note of a run that ended well."""
        if self._routes[route].learn(size, seconds):
            self._predictions.pop(route, None)

    def load(self, ended: Mapping[str, Iterable[Ended]]) -> None:
        """Put runs that ended earlier, in their order, before those learned of since."""
        for route, earlier in ended.items():
            since = self._routes.pop(route, _History()).ended
            for size, seconds in [*earlier, *since]:
                self.learn(route, size, seconds)

    def range(self, route: str, size: int | None) -> Range | None:
        """Return how long a run of the route with an input of this size will take, or None where too few have ended."""
        history = self._routes.get(route)
        return history.range(size) if history else None

    def relative(self, route: str, size: int | None) -> float:
        """Return how many times as long as one of the usual size a run with an input of this size takes."""
        history = self._routes.get(route)
        fit = history.fit() if history else None
        return 1.0 if fit is None or size is None else math.exp(fit.line.at(_log2(size)))

    def predict(self, route: str, size: int | None) -> Prediction:
        """Return what the policy asks for: the very prediction of before where it has not changed."""
        predictions = self._predictions[route]
        known = predictions.get(size)
        if known is None:
            found = self.range(route, size)
            if len(predictions) >= ASKED:
                predictions.clear()
            known = predictions[size] = Prediction(found.p50, found.p90) if found else UNKNOWN
        return known


@dataclass(slots=True)
class _History:
    """The last runs of a route, and what they amount to.

    That is due to be reckoned anew with every sixteenth more, so that a busy route pays for few, and done when it is
    asked for, from what had ended when it was due: so it does not depend on when anybody asks.
    """

    ended: deque[Ended] = field(default_factory=lambda: deque(maxlen=LAST + LAST // 16))
    _since: int = 0
    """How many have ended since it was due."""
    _due: bool = False
    _fit: Fit | None = None
    _ranges: dict[int | None, Range | None] = field(default_factory=dict)
    """What was asked for of late, by size."""

    def learn(self, size: int | None, seconds: float) -> bool:
        """Take note of a run, and say whether what they amount to is due to be reckoned anew."""
        self.ended.append((size, seconds))
        self._since += 1
        if self._since > len(self.ended) // 16:
            self._since, self._due = 0, True
        return self._due

    def fit(self) -> Fit | None:
        """Return what they amount to."""
        if self._due:
            self._fit, self._due = fit(list(self.ended)[: len(self.ended) - self._since][-LAST:]), False
            self._ranges.clear()
        return self._fit

    def range(self, size: int | None) -> Range | None:
        """Return how long a run with an input of this size will take: each decision asks for the first that waits."""
        if self._due or size not in self._ranges:
            known = self.fit()
            if len(self._ranges) >= ASKED:
                self._ranges.clear()
            self._ranges[size] = known.range(size) if known else None
        return self._ranges[size]


class Line(NamedTuple):
    """What the size does: nothing up to `cut`, from there `slope` for each doubling (logarithms all of them)."""

    cut: float
    slope: float
    centre: float
    """The mean of what the sizes are above the cut."""
    spread: float
    """The sum of squares around it."""

    def at(self, size: float) -> float:
        """Return how far above its mean the line is at a size."""
        return self.slope * self.beyond(size)

    def beyond(self, size: float) -> float:
        """Return how far a size lies above the cut, less the mean of that."""
        return max(0.0, size - self.cut) - self.centre


_FLAT = Line(0.0, 0.0, 0.0, math.inf)


class Fit(NamedTuple):
    """What the ended runs of a route amount to."""

    quantiles: tuple[float, float, float]
    """Of the logarithms of seconds, where the line is at its mean."""
    line: Line
    runs: int

    def range(self, size: int | None) -> Range:
        """Return the range for a size. The further it is from those seen, the less is the line trusted."""
        if size is None:
            above, wider = 0.0, 1.0
        else:
            above = self.line.at(_log2(size))
            wider = math.sqrt(1 + self.line.beyond(_log2(size)) ** 2 / self.line.spread)
        middle = self.quantiles[1]
        p10, p50, p90 = (
            math.exp(min(middle + (value - middle) * wider + above, _GREATEST)) for value in self.quantiles
        )
        return Range(p10, p50, p90, self.runs)


def fit(ended: Sequence[Ended]) -> Fit | None:
    """Return what runs amount to, the latest last, `LAST` at most; None where they are too few."""
    if len(ended) < LEAST:
        return None
    times = [math.log(max(seconds, _SHORTEST)) for _, seconds in ended]
    weights = _WEIGHTS[-len(ended) :]
    sizes = _telling(ended)
    line = _steady(sizes, times, weights) if sizes else _FLAT
    left = _left(line, sizes, times)
    quantiles = _student(left) if len(left) < RANKED else _ranked(left, weights)
    return Fit(quantiles, line, len(ended))


def _telling(ended: Sequence[Ended]) -> Sequence[float]:
    """Return the logarithms of the sizes; none where they can tell nothing: too few, unknown, or all alike.

    All within one doubling are spread by half of it at most, whatever they count.
    """
    sizes = [size for size, _ in ended if size is not None]
    if len(sizes) < max(SIZED, len(ended)) or max(sizes) < min(sizes) * 2 ** (2 * LEVER):
        return ()
    return list(map(_log2, sizes))


def _log2(size: int) -> float:
    return math.log2(size + 1)


def _left(line: Line, sizes: Sequence[float], times: Sequence[float]) -> Sequence[float]:
    """Return what is left of times beside the line."""
    return times if line is _FLAT else [time - line.at(size) for time, size in zip(times, sizes, strict=True)]


def _steady(sizes: Sequence[float], times: Sequence[float], weights: Sequence[float]) -> Line:
    """Return the line that outliers do not turn: a machine that slept, say, as an old journal has it."""
    line = _line(sizes, _tamed(times), weights)
    left = _left(line, sizes, times)
    if (tamed := _tamed(left)) == left:
        return line
    kept = [weight if a == b else 0.0 for weight, a, b in zip(weights, left, tamed, strict=True)]
    return _line(sizes, times, kept)


def _tamed(values: Sequence[float]) -> Sequence[float]:
    """Return values of which none is further out than three times the distance between the quartiles."""
    ranked = sorted(values)
    low, high = ranked[len(ranked) // 4], ranked[3 * len(ranked) // 4]
    reach = 3 * (high - low)
    return [min(max(value, low - reach), high + reach) for value in values]


def _line(sizes: Sequence[float], times: Sequence[float], weights: Sequence[float]) -> Line:
    """Return the line by weighted least squares, over the cuts; a flat one where none is better than that for sure."""
    ranked = sorted(sizes)
    total = sum(weights)
    mean = _dot(weights, times) / total
    pulls = [weight * (time - mean) for weight, time in zip(weights, times, strict=True)]
    squares = _dot(pulls, times)
    freedom = max(total**2 / _dot(weights, weights) - 2, 1)
    best, least = _FLAT, math.inf
    for cut in {ranked[len(ranked) * n // CUTS] for n in range(CUTS)}:
        line = _through(cut, sizes, weights, pulls)
        left = max(1e-12, squares - line.slope**2 * line.spread)
        sure = line.spread >= total * LEVER**2 and abs(line.slope) >= SURE * math.sqrt(left / freedom / line.spread)
        if sure and left < 0.9 * least:  # a cut is an assumption more: it must be worth it
            best, least = line, left
    return best


def _through(cut: float, sizes: Sequence[float], weights: Sequence[float], pulls: Sequence[float]) -> Line:
    """Return the line with this cut that leaves least; `pulls` are the times above their mean, weighted."""
    beyond = [size - cut if size > cut else 0.0 for size in sizes]
    centre = _dot(weights, beyond) / sum(weights)
    across = [x - centre for x in beyond]
    spread = _dot(map(mul, weights, across), across)
    return Line(cut, _dot(pulls, across) / spread if spread else 0.0, centre, spread)


def _dot(a: Iterable[float], b: Iterable[float]) -> float:
    total: float = sum(map(mul, a, b))
    return total


def _student(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the range in which the next value of a normal distribution lies, of which so many are known."""
    count = len(values)
    mean = sum(values) / count
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    reach = _STUDENT[count - 1] * deviation * math.sqrt(1 + 1 / count)
    return mean - reach, mean, mean + reach


def _ranked(values: Sequence[float], weights: Sequence[float]) -> tuple[float, float, float]:
    """Return weighted quantiles in which the next value has its share (Barber, Candes, Ramdas and Tibshirani 2023)."""
    ranked = sorted(zip(values, weights, strict=True))
    sums: list[float] = list(accumulate(map(itemgetter(1), ranked)))
    whole = sums[-1] + 1.0  # the next one weighs as much as the last one did

    def quantile(share: float) -> float:
        wanted = share * whole
        index = bisect_left(sums, wanted)
        if index == len(sums):
            return ranked[-1][0]
        value, weight = ranked[index]
        before = ranked[index - 1][0] if index else value
        return value - (value - before) * (sums[index] - wanted) / weight

    return quantile(0.1), quantile(0.5), quantile(0.9)

"""How good predictions were: what would have been said when each run began, against how long it took.

Nothing is kept of a prediction. It depends on nothing but the runs that had ended by then, so it is made again, by the
code that the dispatcher uses, and the journal of any version tells how good it would have been.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from statistics import median

from triggers.journal.times import Took
from triggers.prediction.forecast import LEAST, Range, RunTimes

WANTED = (0.75, 0.85)
"""The share of times that should lie between p10 and p90."""

_NORMAL = 1.96
"""Standard errors within which the true share lies, 19 times of 20."""


@dataclass(slots=True)
class Score:
    """How the times of runs lay to what was predicted for them."""

    below: int = 0
    inside: int = 0
    above: int = 0
    ratios: array[float] = field(default_factory=lambda: array("d"))
    """Logarithms of the time by the predicted median."""
    widths: array[float] = field(default_factory=lambda: array("d"))
    """Logarithms of p90 by p10."""

    @property
    def count(self) -> int:
        """Return how many predictions there were."""
        return self.below + self.inside + self.above

    @property
    def share(self) -> float:
        """Return the share of times between p10 and p90."""
        return self.inside / self.count

    @property
    def bias(self) -> float:
        """Return how many times the predicted median a run took, as the median of all: 1 is none."""
        return math.exp(median(self.ratios))

    @property
    def width(self) -> float:
        """Return how many times p10 the p90 was, as the median of all: a range that holds all says nothing."""
        return math.exp(median(self.widths))

    def likely(self) -> tuple[float, float]:
        """Return between which shares the true one lies, 19 times of 20 (Wilson 1927)."""
        square = _NORMAL**2 / self.count
        centre = (self.share + square / 2) / (1 + square)
        reach = math.sqrt(self.share * (1 - self.share) * square + square**2 / 4) / (1 + square)
        return centre - reach, centre + reach

    def verdict(self) -> str:
        """Return what can be said for sure: `too narrow`, `too wide`, `good`, or that it is `too few to tell`."""
        low, high = self.likely()
        if high < WANTED[0]:
            return "too narrow"
        if low > WANTED[1]:
            return "too wide"
        return "good" if WANTED[0] <= low and high <= WANTED[1] else "too few to tell"

    def add(self, seconds: float, predicted: Range) -> None:
        """Take a run and what was predicted for it."""
        if seconds < predicted.p10:
            self.below += 1
        elif seconds > predicted.p90:
            self.above += 1
        else:
            self.inside += 1
        self.ratios.append(math.log(seconds / predicted.p50))
        self.widths.append(math.log(predicted.p90 / predicted.p10))

    def __add__(self, other: Score) -> Score:
        ratios, widths = self.ratios + other.ratios, self.widths + other.widths
        return Score(self.below + other.below, self.inside + other.inside, self.above + other.above, ratios, widths)


def calibrate(ended: Iterable[Took], since: float, least: int = LEAST) -> dict[str, Score]:
    """Return the scores by route of the runs that began `since` a moment. `ended` are all, in the order of beginning.

    A prediction counts where at least so many runs stood behind it.
    """
    times, scores = RunTimes(), defaultdict[str, Score](Score)
    at_work: list[tuple[float, int, Took]] = []
    for number, run in enumerate(ended):
        while at_work and at_work[0][0] <= run.started:
            _, _, over = heappop(at_work)
            times.learn(over.route, over.size, over.seconds)
        heappush(at_work, (run.ended, number, run))
        predicted = times.range(run.route, run.size) if run.started >= since else None
        if predicted is not None and predicted.runs >= least and run.seconds > 0:
            scores[run.route].add(run.seconds, predicted)
    return dict(scores)

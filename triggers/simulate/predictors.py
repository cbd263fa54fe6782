"""How long a job will take, from those that ended before it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Protocol

from triggers.prediction.forecast import UNKNOWN, Prediction, RunTimes
from triggers.simulate.workload import Job

Alike = Callable[[Job], Hashable]
"""From a job to what it has in common with those that take about as long."""


class Predictor(Protocol):
    """Learns from the jobs that end, and predicts those that wait."""

    def predict(self, job: Job) -> Prediction:
        """Return what is known of a job that waits; its own `seconds` are not to be looked at."""

    def learn(self, job: Job) -> None:
        """Take note of a job that ended."""


class Perfect:
    """Knows. It is there to tell what better predictions could bring."""

    def predict(self, job: Job) -> Prediction:
        """Return the truth."""
        return Prediction(job.seconds, job.seconds)

    def learn(self, job: Job) -> None:
        """Learn nothing."""


def by_route(job: Job) -> Hashable:
    """Take jobs as alike that are of one route and key and whose inputs are about as large, in powers of two."""
    return job.route, job.key, job.size.bit_length()


class LastTwo:
    """The mean of the last two that were alike (Tsafrir, Etsion and Feitelson 2007)."""

    def __init__(self, alike: Alike = by_route) -> None:
        self._alike = alike
        self._ended: dict[Hashable, deque[float]] = defaultdict(lambda: deque(maxlen=2))

    def predict(self, job: Job) -> Prediction:
        """Return the mean; it is all there is for the longest, too."""
        ended = self._ended.get(self._alike(job))
        return Prediction(sum(ended) / len(ended), sum(ended) / len(ended)) if ended else UNKNOWN

    def learn(self, job: Job) -> None:
        """Take note of a job that ended."""
        self._ended[self._alike(job)].append(job.seconds)


class Learned:
    """What the dispatcher goes by. It learns from what ended well, as far as the workload knows."""

    def __init__(self) -> None:
        self._times = RunTimes()

    def predict(self, job: Job) -> Prediction:
        """Return the median, and the time that nine of ten will not exceed."""
        return self._times.predict(job.route, job.size)

    def learn(self, job: Job) -> None:
        """Take note of a job that ended, but for one that is not decided about: that may have failed."""
        if job.begun is None:
            self._times.learn(job.route, job.size, job.seconds)


class Quantiles:
    """The median of the last that were alike, and the time that nine of ten of them did not exceed."""

    def __init__(self, alike: Alike = by_route, last: int = 20) -> None:
        self._alike = alike
        self._ended: dict[Hashable, deque[float]] = defaultdict(lambda: deque(maxlen=last))
        self._known: dict[Hashable, Prediction] = {}

    def predict(self, job: Job) -> Prediction:
        """Return both; with fewer than ten known the longest is the longest seen."""
        return self._known.get(self._alike(job), UNKNOWN)

    def learn(self, job: Job) -> None:
        """Take note of a job that ended."""
        kind = self._alike(job)
        self._ended[kind].append(job.seconds)
        times = sorted(self._ended[kind])
        self._known[kind] = Prediction(times[(len(times) - 1) // 2], times[-(-9 * len(times) // 10) - 1])

"""How many at once: a limit that grows while all goes well and shrinks where it does not, known from attempts alone.

It grows by one after a round (as many attempts as the limit) that went well and in which more than half of it was in
use, and shrinks to three quarters after one in which many failed or that was slow: additive increase, multiplicative
decrease (Chiu and Jain 1989). Slow is what takes half as long again as in the best round of late, by more than chance:
run times vary, so the best of many rounds is better than it was, by about the two standard errors that are allowed for
here. Without them the limit sinks to nothing where run times vary much. Measured against a gradient and Vegas in
`benchmarks/adaptive.py`, it is the one that gets nearest to what a downstream can do over all that was tried.
"""

from __future__ import annotations

import math
from collections import deque

from triggers.downstream import Adaptive

FIRST = 4
"""So many at once at the start."""

ROUND = 5
"""Attempts in a round at least."""

BACK = 0.75
"""What is left of the limit after a bad round."""

FAILED = 0.1
"""The part of a round that may fail."""

SLOW = math.log(1.5)
"""Logarithm of how many times the best round of late a round may take."""

ERRORS = 2.0
"""Standard errors by which the best round may have been so by chance."""

LATE = 50
"""Rounds of late: what is slower for longer than these is what it takes now."""

STEADY = 0.1
"""What the variance of the last round counts for, beside that of those before."""


class Limit:
    """How many may be at work at once. It is told of each attempt that ended."""

    def __init__(self, bounds: Adaptive) -> None:
        self.bounds = bounds
        self._amount = float(min(max(FIRST, bounds.least), bounds.most))
        self._times: list[float] = []
        self._failed = 0
        self._variance: float | None = None
        self._best: deque[float] = deque(maxlen=LATE)

    @property
    def amount(self) -> int:
        """Return the limit."""
        return int(self._amount)

    def end(self, time: float | None, used: int) -> bool:
        """Take note of an attempt, and say whether the limit has changed.

        `time` is the logarithm of how long it took beside what is usual, None where it failed; `used` how many were at
        work when it ended.
        """
        if time is None:
            self._failed += 1
        else:
            self._times.append(time)
        count = len(self._times) + self._failed
        if count < max(ROUND, self.amount):
            return False
        before = self.amount
        if self._failed > FAILED * count or self._slow():
            self._amount = max(float(self.bounds.least), self._amount * BACK)
        elif used > self.amount / 2:
            self._amount = min(float(self.bounds.most), self._amount + 1)
        self._times.clear()
        self._failed = 0
        return self.amount != before

    def _slow(self) -> bool:
        count = len(self._times)
        if count < 2:
            return False
        mean = sum(self._times) / count
        variance = sum((time - mean) ** 2 for time in self._times) / (count - 1)
        known = variance if self._variance is None else self._variance
        self._variance = known + STEADY * (variance - known)
        self._best.append(mean + ERRORS * math.sqrt(self._variance / count))
        return mean - min(self._best) > SLOW

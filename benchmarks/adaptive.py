"""Controllers of concurrency on a simulated downstream that can do so much at once and gets worse beyond twice that.

The downstream works on all calls at once (processor sharing). Beyond twice its capacity it does less the more is asked
of it, and calls fail.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from benchmarks.measure import Row, Trials
from triggers.downstream import Adaptive
from triggers.scheduling.adaptive import FAILED, FIRST, LATE, ROUND, Limit

Result = dict[str, Any]
HOUR = 3600.0
MOST = 64
TYPICAL = 20.0
"""Seconds that a call takes where it is alone; they are lognormal around it, and known up to a part of chance."""


class Controller(Protocol):
    """What says how many calls may be under way."""

    @property
    def amount(self) -> int:
        """Return how many."""

    def end(self, time: float | None, used: int) -> bool:
        """Take note of a call that ended: the logarithm of its time by what was known of it, None where it failed."""


@dataclass(slots=True)
class Fixed:
    """A number."""

    amount: int

    def end(self, time: float | None, used: int) -> bool:
        """Learn nothing."""
        return False


class Rounds:
    """What the controllers have in common that were not taken: they look at rounds, as `Limit` does."""

    def __init__(self) -> None:
        self.limit = float(FIRST)
        self._times: list[float] = []
        self._failed = 0
        self._means: deque[float] = deque(maxlen=LATE)

    @property
    def amount(self) -> int:
        """Return how many."""
        return int(self.limit)

    def end(self, time: float | None, used: int) -> bool:
        """Take note of a call that ended."""
        if time is None:
            self._failed += 1
        else:
            self._times.append(time)
        if len(self._times) + self._failed < max(ROUND, self.amount):
            return False
        bad = self._failed > FAILED * (len(self._times) + self._failed)
        best = 1.0
        if self._times:
            self._means.append(fmean(self._times))
            best = math.exp(min(self._means) - self._means[-1])
        limit = self.next(bad, best)
        if limit < self.limit or used > self.limit / 2:
            self.limit = min(MOST, max(1.0, limit))
        self._times.clear()
        self._failed = 0
        return True

    def next(self, bad: bool, best: float) -> float:
        """Return the limit after a round; `best` is the time of the best round of late by the time of this one."""
        raise NotImplementedError


class Gradient(Rounds):
    """The limit times the gradient, and room for a queue (as Netflix's Gradient2, but with the best round)."""

    def next(self, bad: bool, best: float) -> float:
        """Return the limit after a round."""
        wanted = 0.75 * self.limit if bad else self.limit * min(1.0, max(0.5, 1.5 * best)) + math.sqrt(self.limit)
        return 0.8 * self.limit + 0.2 * wanted


class Vegas(Rounds):
    """By the calls that stand in a queue, as TCP Vegas reckons them (Brakmo and Peterson 1995)."""

    def next(self, bad: bool, best: float) -> float:
        """Return the limit after a round."""
        if bad:
            return 0.75 * self.limit
        step, queue = max(1.0, math.log10(self.limit)), self.limit * (1 - best)
        return self.limit + (step if queue < 3 * step else -step if queue > 6 * step else 0)


CONTROLLERS: Mapping[str, Callable[[], Controller]] = {
    "ours": lambda: Limit(Adaptive(MOST)),
    "gradient": Gradient,
    "vegas": Vegas,
    "4 at once": lambda: Fixed(4),
    "16 at once": lambda: Fixed(16),
    "64 at once": lambda: Fixed(64),
}
CAPACITIES: Mapping[str, Sequence[tuple[float, int]]] = {
    "4": [(0, 4)],
    "16": [(0, 16)],
    "48": [(0, 48)],
    "16, 4, 16": [(0, 16), (HOUR, 4), (2 * HOUR, 16)],
}
"""By name: from which second on the downstream can do how much at once."""


@dataclass(slots=True)
class _Call:
    left: float
    began: float
    alone: float
    known: float


def downstream(folder: Path, controller: str, capacity: str, chance: float, seeds: int, hours: float) -> Result:
    """Call it as often as the controller lets, there being always more to do.

    Of each seed: the part done of what it can do, how many times as long as alone a call took, what part failed.
    """
    found = [_called(CONTROLLERS[controller](), CAPACITIES[capacity], chance, seed, hours) for seed in range(seeds)]
    done, stretch, failed = zip(*found, strict=True)
    return {"done": done, "stretch": stretch, "failed": failed}


def _called(
    controller: Controller, capacities: Sequence[tuple[float, int]], chance: float, seed: int, hours: float
) -> tuple[float, float, float]:
    drawn, now, calls = random.Random(seed), 0.0, list[_Call]()
    work, can, failures, stretches = 0.0, 0.0, 0, [1.0]
    changes = [at for at, _ in capacities[1:]] + [hours * HOUR]
    while now < hours * HOUR:
        while len(calls) < controller.amount:
            known = drawn.lognormvariate(math.log(TYPICAL), 1)
            alone = known * drawn.lognormvariate(0, chance)
            calls.append(_Call(alone, now, alone, known))
        capacity = next(most for at, most in reversed(capacities) if at <= now)
        count = len(calls)
        rate = min(1.0, capacity / count) * min(1.0, 2 * capacity / count)
        step = min(min(call.left for call in calls) / rate, min(at for at in changes if at > now) - now)
        now += step
        can += capacity * step
        for call in calls:
            call.left -= step * rate
        for call in [call for call in calls if call.left <= 1e-9]:
            calls.remove(call)
            failed = drawn.random() < min(0.9, 0.15 * count / capacity) if count > 2 * capacity else False
            failures += failed
            if not failed:
                work += call.alone
                stretches.append((now - call.began) / call.alone)
            controller.end(None if failed else math.log((now - call.began) / call.known), count)
    return work / can, fmean(stretches), failures / (failures + len(stretches))


def rows(trials: Trials) -> list[Row]:
    """Return what part of what a downstream can do is done, by controller."""
    few = trials.setup.few
    found = []
    for controller in CONTROLLERS:
        for chance in (0.2, 0.5, 0.8):
            parts: list[float] = []
            notes = []
            for capacity in CAPACITIES:
                one = trials.run("adaptive.downstream", controller=controller, capacity=capacity, chance=chance,
                                 seeds=few(20, 2), hours=3.0)  # fmt: skip
                parts.append(fmean(one["done"]))
                notes.append(f"{capacity}: {parts[-1]:.2f}, {fmean(one['stretch']):.1f}x, {fmean(one['failed']):.0%}")
            figure = f"done of what it can, {controller}, chance {chance}"
            found.append(Row(figure, "", "more", None, parts, note="; ".join(notes)))
    return found

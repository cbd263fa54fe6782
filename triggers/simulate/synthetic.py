"""A seeded workload of an ML team: files by day and at night, of every size, through handlers of every kind."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from triggers.scheduling.holdings import UNIT
from triggers.simulate.workload import Job

HOUR = 3600.0
DAY = 24 * HOUR
FAILING = 0.05
SMALLEST, LARGEST = 1e4, 1e9
"""Bytes of an input."""
BURSTS = 0.015
"""One arrival in so many is a burst; with 26 in each on average, that is a good quarter of all jobs."""
LARGEST_BURST = 50
BURST = 60.0
"""Seconds that a burst of arrivals is spread over."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What a route's runs are like: seconds = typical * (size / 1 MB) ** growth, times a lognormal spread."""

    name: str
    part: float
    """Of all jobs."""
    typical: float
    growth: float
    spread: float
    """Sigma of the logarithm."""
    cpu: float
    memory: float
    """GiB, as many for every run."""
    gpu: int = 0
    deadline: float | None = None
    """Seconds after the arrival, where it has one."""


HANDLERS = (
    Handler("validate", 0.40, 2, 0.3, 0.4, 0.5, 0.5, deadline=600),
    Handler("process", 0.25, 20, 0.6, 0.5, 1, 2),
    Handler("features", 0.15, 60, 0.5, 0.5, 2, 4),
    Handler("train", 0.08, 900, 0.4, 0.6, 4, 8),
    Handler("tune", 0.02, 4000, 0.3, 0.7, 6, 12, gpu=1),
    Handler("evaluate", 0.06, 40, 0.2, 0.4, 1, 4, gpu=1),
    Handler("report", 0.04, 15, 0.1, 0.3, 1, 1, deadline=4 * HOUR),
)
MACHINE = {"cpu": 8 * UNIT, "memory": 32 * UNIT, "gpu": UNIT}
TENANTS = ("acme", "beta", "core", "dune")


def synthetic(
    seed: int, count: int = 5000, load: float = 0.73, handlers: Sequence[Handler] = HANDLERS,
    machine: Mapping[str, int] = MACHINE,
) -> list[Job]:  # fmt: skip
    """Return so many jobs that ask, over the whole span, for `load` of the resource that is asked for most.

    Arrivals are Poisson with a cycle of the day and of the week, and bursts. Sizes are log-uniform. One job in twenty
    fails after a part of its time, and so is shorter than what it is like.
    """
    drawn = random.Random(seed)  # noqa: S311  # no secret
    bodies = [_body(drawn, handlers) for _ in range(count)]
    asked = max(
        sum(seconds * needs.get(name, 0) for _, _, needs, _, seconds in bodies) / amount
        for name, amount in machine.items()
    )
    moments = _arrivals(drawn, count, asked / load)
    return [
        Job(moment, handler.name, tenant, needs, size, 0, seconds,
            None if handler.deadline is None else moment + handler.deadline)
        for moment, (handler, tenant, needs, size, seconds) in zip(moments, bodies, strict=True)
    ]  # fmt: skip


def _body(drawn: random.Random, handlers: Sequence[Handler]) -> tuple[Handler, str, dict[str, int], int, float]:
    handler = drawn.choices(handlers, [one.part for one in handlers])[0]
    size = math.exp(drawn.uniform(math.log(SMALLEST), math.log(LARGEST)))
    seconds = handler.typical * (size / 1e6) ** handler.growth * drawn.lognormvariate(0, handler.spread)
    if drawn.random() < FAILING:
        seconds *= drawn.random()
    needs = {"cpu": round(handler.cpu * UNIT), "memory": round(handler.memory * UNIT), "gpu": handler.gpu * UNIT}
    return (
        handler,
        drawn.choice(TENANTS),
        {name: amount for name, amount in needs.items() if amount},
        int(size),
        seconds,
    )


def _arrivals(drawn: random.Random, count: int, span: float) -> list[float]:
    """Return the moments: Poisson, given that there are so many."""
    moments: list[float] = []
    while len(moments) < count:
        moment = _placed(drawn, span)
        many = drawn.randint(2, LARGEST_BURST) if drawn.random() < BURSTS else 1
        moments += [moment + drawn.uniform(0, BURST) for _ in range(many)]
    return sorted(moments[:count])


def _placed(drawn: random.Random, span: float) -> float:
    """Return a moment within the span, as likely as its hour is busy."""
    while True:
        moment = drawn.uniform(0, span)
        if drawn.random() < _busy(moment):
            return moment


def _busy(moment: float) -> float:
    """Return how busy the time is, 1 at most: from nine to five four times the night, at the weekend a third."""
    week = 1.0 if (moment // DAY) % 7 < 5 else 1 / 3
    return week * (0.625 - 0.375 * math.cos(2 * math.pi * (moment / DAY - 1 / 12)))


def permanent(seed: int, hours: float, load: float, low: float, slots: int = 4, typical: float = 60.0) -> Iterator[Job]:
    """Yield jobs of priority 5 that ask for `load` of so many slots, and jobs of priority 0 that ask for `low`.

    Those of the high priority are of three lengths that ask for as much each, `typical` being the middle one; so the
    long ones are passed by the short, and hold up whoever may only pass when none of them is left from before.
    """
    drawn = random.Random(seed)  # noqa: S311  # no secret
    kinds = [(load / 3, 5, typical * factor) for factor in (0.1, 1, 10)]
    for part, priority, mean in (*kinds, (low, 0, typical)):
        moment = 0.0
        while moment < hours * HOUR:
            moment += drawn.expovariate(part * slots / mean)
            seconds = drawn.expovariate(1 / mean)
            yield Job(moment, f"{mean:g} s, priority {priority}", "", {"slot": UNIT}, 0, priority, seconds)

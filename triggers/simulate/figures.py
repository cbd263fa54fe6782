"""What came of a simulated, or a real, schedule: how long jobs waited, what stood idle, what it cost."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from triggers.simulate.workload import Job

TAU = 10.0
"""Seconds: shorter jobs count as this long in the slowdown, or waiting some seconds for a short job would be all."""

Prices = Sequence[tuple[float, float]]
"""From each moment on, the price of the whole machine for an hour; in order."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a schedule. Times are in seconds."""

    slowdown: float
    """Mean bounded slowdown: (wait + run) / run, at least 1."""
    mean: float
    """Mean wait."""
    p95: float
    longest: float
    """The longest wait."""
    missed: int
    """Deadlines."""
    idle: float
    """Part of the machine that was free while something waited, by the resource that was used most at the time."""
    cost: float


def figures(jobs: Sequence[Job], starts: Sequence[float], capacity: Mapping[str, int], prices: Prices = ()) -> Figures:
    """Measure a schedule: when each job started. `capacity` names what is idle and costs; limits do neither."""
    if not jobs:
        return Figures(1.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0)
    waits = [start - job.arrival for job, start in zip(jobs, starts, strict=True)]
    ordered = sorted(waits)
    return Figures(
        slowdown=fmean(
            max(1.0, (wait + job.seconds) / max(job.seconds, TAU)) for job, wait in zip(jobs, waits, strict=True)
        ),
        mean=fmean(waits),
        p95=ordered[math.ceil(0.95 * len(ordered)) - 1],
        longest=ordered[-1],
        missed=sum(
            job.deadline is not None and start + job.seconds > job.deadline
            for job, start in zip(jobs, starts, strict=True)
        ),
        idle=_idle(jobs, starts, capacity),
        cost=sum(cost(job, start, capacity, prices) for job, start in zip(jobs, starts, strict=True))
        if prices
        else 0.0,
    )


def cost(job: Job, start: float, capacity: Mapping[str, int], prices: Prices) -> float:
    """Return what a job costs: the price while it runs, by its dominant part of the machine.

    Before the first price the first one counts, after the last one the last.
    """
    part = max((amount / capacity[name] for name, amount in job.needs.items() if name in capacity), default=0.0)
    end = start + job.seconds
    index = max(0, bisect_right(prices, (start, math.inf)) - 1)
    spent, moment = 0.0, start
    while moment < end:
        until = min(end, prices[index + 1][0] if index + 1 < len(prices) else math.inf)
        spent += (until - moment) / 3600 * prices[index][1] * part
        moment, index = until, index + 1
    return spent


def _idle(jobs: Sequence[Job], starts: Sequence[float], capacity: Mapping[str, int]) -> float:
    changes: list[tuple[float, int, Job]] = []
    for job, start in zip(jobs, starts, strict=True):
        changes += [(job.arrival, 1, job), (start, -1, job), (start + job.seconds, 0, job)]
    changes.sort(key=lambda change: change[0])
    used = dict.fromkeys(capacity, 0)
    waiting, idle, span = 0, 0.0, 0.0
    for (moment, step, job), (after, *_) in pairwise([*changes, changes[-1]]):
        waiting += step
        if step < 1:
            for name in used.keys() & job.needs.keys():
                used[name] += job.needs[name] if step else -job.needs[name]
        if waiting and after > moment:
            span += after - moment
            idle += (after - moment) * (1 - max(used[name] / capacity[name] for name in capacity))
    return idle / span if span else 0.0

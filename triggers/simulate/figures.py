"""What came of a simulated, or a real, schedule: how long jobs waited, what stood idle, what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from triggers.schedule.series import Series
from triggers.simulate.workload import Job

TAU = 10.0
"""Seconds: shorter jobs count as this long in the slowdown, or waiting some seconds for a short job would be all."""


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


def figures(jobs: Sequence[Job], starts: Sequence[float], capacity: Mapping[str, int]) -> Figures:
    """Measure a schedule: when each job started. `capacity` names what can be idle; limits cannot."""
    if not jobs:
        return Figures(1.0, 0.0, 0.0, 0.0, 0, 0.0)
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
    )


def cost(jobs: Sequence[Job], starts: Sequence[float], capacity: Mapping[str, int], prices: Series) -> float:
    """Return what a schedule costs: the price while each job runs, by its dominant part of the machine.

    A price is that of the whole machine for an hour. Before the first one the first counts, after the last the last.
    """
    return sum(
        prices.cost(start, job.seconds) / 3600 * _part(job, capacity) for job, start in zip(jobs, starts, strict=True)
    )


def _part(job: Job, capacity: Mapping[str, int]) -> float:
    return max((amount / capacity[name] for name, amount in job.needs.items() if name in capacity), default=0.0)


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

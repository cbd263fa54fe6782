"""What-if: one workload under several schedules, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from triggers.policy import order
from triggers.schedule.series import Series
from triggers.scheduling.preference import Preference
from triggers.simulate.figures import Figures, cost, figures
from triggers.simulate.machine import Rules, simulate
from triggers.simulate.workload import Job


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs and the machine that they are for. The first `decided` are decided about, all others stay as they were."""

    jobs: Sequence[Job]
    decided: int
    machine: Mapping[str, int]
    """What there is of each resource."""
    capacity: Mapping[str, int]
    """The same with the limits of routes and keys."""
    of_keys: Set[str] = frozenset()
    starts: Sequence[float] = ()
    """When the jobs really started, where they did."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the jobs of a workload start, and what came of it."""

    name: str
    jobs: Sequence[Job]
    starts: Sequence[float]
    machine: Mapping[str, int]
    figures: Figures
    waiting: int = 0
    """Jobs that never start."""
    failed: int = 0
    """Decisions that its policy failed to make, so that the default one made them."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """What it costs, by the name of each price list."""


def happened(name: str, workload: Workload) -> Schedule:
    """Return what really happened as a schedule."""
    jobs, starts = workload.jobs[: workload.decided], workload.starts[: workload.decided]
    return Schedule(name, jobs, starts, workload.machine, figures(jobs, starts, workload.machine))


def carried_out(name: str, workload: Workload, rules: Rules, monotonic: Callable[[], float]) -> Schedule:
    """Carry a workload out. A policy of somebody's own is watched as the dispatcher does it, by a `monotonic` clock.

    Where other work may slow the machine down, that is best one of this thread's own time: what the policy did not do
    is not to be held against it.
    """
    watched = None if rules.policy is order else Preference(rules.policy, monotonic)
    rules = replace(rules, policy=watched or order, of_keys=workload.of_keys, machine=workload.machine)
    found = simulate(workload.jobs, workload.capacity, rules)[: workload.decided]
    started = [(job, start) for job, start in zip(workload.jobs, found, strict=False) if not math.isnan(start)]
    jobs, starts = [job for job, _ in started], [start for _, start in started]
    machine = {name: amount for name, amount in workload.machine.items() if amount}  # of what is not there none is idle
    result = figures(jobs, starts, machine)
    failed = watched.failed if watched else 0
    return Schedule(name, jobs, starts, machine, result, len(found) - len(starts), failed)


def priced(schedule: Schedule, lists: Mapping[str, Series]) -> Schedule:
    """Return a schedule with what it costs by each price list."""
    costs = {name: cost(schedule.jobs, schedule.starts, schedule.machine, one) for name, one in lists.items()}
    return replace(schedule, costs=costs)

"""A workload: jobs with their arrivals, needs and true run times, wherever they come from."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from triggers.errors import TriggersError


class JobError(TriggersError):
    """A job that can't be simulated, or a line of a log that is none."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to come, as a log or a journal tells of it."""

    arrival: float
    """Seconds, from whatever moment."""
    route: str
    key: str
    """Its flow key; for a log of a machine, its user."""
    needs: Mapping[str, int]
    """Millionths of each resource."""
    size: int
    """Bytes of its input, 0 where there is none."""
    priority: int
    seconds: float
    """How long it really takes."""
    deadline: float | None = None
    """By when it should have ended, in the arrival's seconds."""
    ready: float = -math.inf
    """From when on it may start, where that is after its arrival: what failed, say, and is to be tried again."""
    begun: float | None = None
    """When it started, where that is not to be decided: it holds what it needs from then on."""
    after: int | None = None
    """The place, in the workload, of the job that must have ended before; beyond its end is one that never does."""
    expires: float = math.inf
    """When it is dropped, where it has not started by then."""


def compressed(jobs: Sequence[Job], capacity: Mapping[str, int], load: float) -> list[Job]:
    """Return the jobs with their arrivals moved together or apart, so that they ask for this part of the machine.

    The load is that of the resource that is asked most for; deadlines stay as far behind the arrivals as they were.
    """
    first = min(job.arrival for job in jobs)
    factor = offered(jobs, capacity) / load
    return [_moved(job, first + (job.arrival - first) * factor) for job in jobs]


def offered(jobs: Sequence[Job], capacity: Mapping[str, int]) -> float:
    """Return what jobs ask of a machine as a part of what it has from the first arrival to the last."""
    span = max(job.arrival for job in jobs) - min(job.arrival for job in jobs)
    asked = {name: sum(job.seconds * job.needs.get(name, 0) for job in jobs) for name in capacity}
    return max(amount / capacity[name] for name, amount in asked.items()) / span


def shaken(jobs: Sequence[Job], seed: int, most: float = 0.1) -> list[Job]:
    """Return the jobs with each pause between two arrivals made up to this part longer or shorter, at random.

    A log is one sample. What is true of it and false of its neighbours is an accident (Tsafrir and Feitelson 2006).
    """
    drawn = random.Random(seed)  # noqa: S311  # no secret
    ordered = sorted(jobs, key=lambda job: job.arrival)
    before, moment = ordered[0].arrival, ordered[0].arrival
    result = []
    for job in ordered:
        moment += (job.arrival - before) * (1 + drawn.uniform(-most, most))
        before = job.arrival
        result.append(_moved(job, moment))
    return result


def moved(jobs: Sequence[Job], by: float) -> list[Job]:
    """Return the jobs so many seconds later, of a log that counts its seconds from its beginning."""
    return [_moved(job, job.arrival + by) for job in jobs]


def _moved(job: Job, arrival: float) -> Job:
    deadline = None if job.deadline is None else job.deadline + arrival - job.arrival
    return replace(job, arrival=arrival, deadline=deadline)

"""A journal's history as a workload: what came, what it needed, how long it ran and when it really started."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from triggers.journal.past import PastRun
from triggers.simulate.declared import Declared
from triggers.simulate.whatif import Workload
from triggers.simulate.workload import Job

SHORTEST = 1e-6
"""Seconds: what took no time by the clock was there all the same."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a simulation is from what happened: of |simulated - real start|, in seconds."""

    mean: float
    p95: float


def history(well: Sequence[PastRun], others: Sequence[PastRun], app: Declared) -> Workload:
    """Return the workload: runs that ended well in their first attempt are decided about.

    What else was at work (attempts that failed and those after them) is taken as it was: nobody knows how it would have
    gone on another day.
    """
    jobs = [_job(run, app) for run in well]
    jobs += [_job(run, app, begun=run.started) for run in others]
    starts = [run.started for run in well]
    return Workload(jobs, len(well), app.machine, app.capacity, app.of_keys, starts)


def deviation(simulated: Sequence[float], real: Sequence[float]) -> Deviation:
    """Compare when jobs started."""
    off = sorted(abs(one - other) for one, other in zip(simulated, real, strict=True))
    return Deviation(fmean(off), off[math.ceil(0.95 * len(off)) - 1])


def _job(run: PastRun, app: Declared, begun: float | None = None) -> Job:
    terms = run.terms
    # a run that was recorded by an older version has no rank
    arrival = terms.rank + app.aging * terms.priority if terms.rank else run.recorded
    return Job(
        arrival=arrival if begun is None else min(arrival, begun),
        route=run.route,
        key=terms.key or "",
        needs=app.needs(run.route, terms),
        size=terms.size or 0,
        priority=terms.priority,
        seconds=max(SHORTEST, run.ended - run.started),
        deadline=terms.deadline,
        begun=begun,
    )

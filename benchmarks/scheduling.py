"""The policy in virtual time: beside others on logs and synthetic workloads, and what it holds to and costs.

The logs are not part of the project; `TRACES` names the folder that holds them.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import accumulate, count
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import gatherings, holding, placement
from benchmarks.measure import TRACES, Row, Trials, percentile
from triggers import Event
from triggers.journal import WAITING, WaitingRow
from triggers.options import make_policy
from triggers.policy.fit import fit
from triggers.policy.order import by_rank, order
from triggers.policy.shares import Shares
from triggers.policy.standing import SHORTEST, Kept, nobody, typical
from triggers.policy.view import PATIENCE, Busy, Lane, View
from triggers.prediction.forecast import RunTimes
from triggers.routing import make_route
from triggers.scheduling.admission import Admission
from triggers.scheduling.holdings import UNIT
from triggers.scheduling.sharing import Sharing
from triggers.scheduling.terms import Terms
from triggers.simulate import Job, LastTwo, Perfect, Rules, figures, shaken, simulate
from triggers.simulate.logs import read_swf
from triggers.simulate.synthetic import MACHINE, permanent, synthetic
from triggers.simulate.workload import compressed

Result = dict[str, Any]
Workload = tuple[list[Job], Mapping[str, int]]
NASA = "nasa-ipsc-1993-3.1-cln.swf.zip"
HOUR = 3600.0
DEADLINE = 36 * HOUR
MIB = 2**20
NOW = 1.8e9


class Work(Event):
    """What waits where the cost of a choice is taken."""


def _work(event: Work) -> None: ...


def shortest_first(view: View) -> Sequence[int]:
    """Order lanes by their expected time alone: nothing ages."""
    unknown = typical(view.lanes)
    expected = [unknown if lane.expected is None else lane.expected for lane in view.lanes]
    heads = [(max(SHORTEST, expected[i]), head, i) for i, lane in enumerate(view.lanes) for head in lane.heads]
    return [index for _, _, index in sorted(heads)]


def everybody(view: View) -> Kept:
    """Keep what it needs for whoever is first and does not fit: EASY."""
    return lambda index, head: True


CONTENDERS: dict[str, Rules] = {
    "first come, what fits": Rules(by_rank, nobody),
    "EASY": Rules(by_rank, everybody),
    "EASY, perfect predictions": Rules(by_rank, everybody, Perfect),
    "shortest first": Rules(shortest_first, nobody),
    "ratio, late after 12 h": Rules(patience=12 * HOUR),
    "ratio, late after 18 h": Rules(patience=18 * HOUR),
    "ratio, late after 24 h": Rules(patience=24 * HOUR),
    "ratio, late after 30 h": Rules(patience=PATIENCE),
    "ratio, late after 36 h": Rules(patience=36 * HOUR),
    "ratio, late after 48 h": Rules(patience=48 * HOUR),
    "ratio, nobody is late": Rules(order, nobody, patience=math.inf),
    "30 h, nothing is kept": Rules(order, nobody),
    "30 h, last two": Rules(predictor=LastTwo),
    "30 h, perfect predictions": Rules(predictor=Perfect),
}
DEFAULT, BASELINE = "ratio, late after 30 h", "first come, what fits"


def _nasa_part() -> Workload:
    log = read_swf(TRACES / NASA)
    return compressed(log.jobs[:6000], log.machine, 0.73), log.machine


def _nasa_whole() -> Workload:
    log = read_swf(TRACES / NASA)
    return log.jobs, log.machine


def _nasa_whole_compressed() -> Workload:
    jobs, machine = _nasa_whole()
    return compressed(jobs, machine, 0.73), machine


def _synthetic(seed: int, load: float) -> Workload:
    return synthetic(seed, 3000, load), MACHINE


def _shaken(read: Callable[[], Workload], seed: int) -> Workload:
    jobs, machine = read()
    return (shaken(jobs, seed) if seed else jobs), machine


WORKLOADS: dict[str, Callable[[int], Workload]] = {
    "nasa": partial(_shaken, _nasa_part),
    "nasa-whole": partial(_shaken, _nasa_whole),
    "nasa-whole-0.73": partial(_shaken, _nasa_whole_compressed),
    "synthetic-0.6": partial(_synthetic, load=0.6),
    "synthetic": partial(_synthetic, load=0.73),
    "synthetic-0.8": partial(_synthetic, load=0.8),
}
"""By name: from a seed to the workload; seed 0 of a log is the log itself."""


def schedules(folder: Path, workload: str, contender: str, seeds: int) -> Result:
    """Simulate a contender on a workload for so many seeds, and return each figure by seed."""
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(partial(_schedule, workload, contender), range(seeds)))
    return {name: [one[name] for one in found] for name in found[0]}


def _schedule(workload: str, contender: str, seed: int) -> dict[str, float]:
    jobs, machine = WORKLOADS[workload](seed)
    return asdict(figures(jobs, simulate(jobs, machine, CONTENDERS[contender]), machine))


def capacity(folder: Path, workloads: int) -> Result:
    """Simulate random workloads of needs against capacity; count the moments at which more was taken than there is."""
    over = starts = 0
    for seed in range(workloads):
        jobs, machine = _random(seed)
        begun = simulate(jobs, machine, Rules(patience=random.Random(seed).choice([0.0, 100.0, PATIENCE])))
        starts += len(begun)
        over += sum(1 for name, amount in machine.items() if _most(jobs, begun, name) > amount)
    return {"workloads": workloads, "starts": starts, "over": over}


def _random(seed: int) -> Workload:
    drawn = random.Random(seed)
    machine = {name: drawn.randint(1, 16) * UNIT for name in ("cpu", "memory", "gpu")[: drawn.randint(1, 3)]}
    jobs = []
    for _ in range(60):
        needs = {name: drawn.randint(1, amount) for name, amount in machine.items() if drawn.random() < 0.8}
        moment, seconds = drawn.uniform(0, 600), drawn.expovariate(1 / 60)
        due = moment + drawn.uniform(0, 900) if drawn.random() < 0.3 else None
        jobs.append(Job(moment, drawn.choice("abc"), "", needs, 0, drawn.randint(0, 3), seconds, due))
    return jobs, machine


def _most(jobs: Sequence[Job], starts: Sequence[float], name: str) -> int:
    changes = []
    for job, start in zip(jobs, starts, strict=True):
        amount = job.needs.get(name, 0)
        changes += [(start, 1, amount), (start + job.seconds, 0, -amount)]
    return max(accumulate(amount for _, _, amount in sorted(changes)))


def starvation(folder: Path, seeds: int, load: float) -> Result:
    """Ask with a higher priority for more than there is for four days, and follow the lowest beside it.

    The bound: a run is late after `patience` and `aging` for each of the five levels above it. From then on it waits
    for runs of a smaller rank alone, so no longer than their work takes and one run more.
    """
    slots, levels = 4, 5
    waits: list[float] = []
    bounds: list[float] = []
    passed: list[float] = []
    for seed in range(seeds):
        jobs = list(permanent(seed, hours=96, load=load, low=0.05, slots=slots, typical=900))
        starts = simulate(jobs, {"slot": slots * UNIT})
        for wait, bound, by in _low(jobs, starts, slots, PATIENCE + 600 * levels):
            waits.append(wait)
            bounds.append(bound)
            passed.append(by)
    shares = [wait / bound for wait, bound in zip(waits, bounds, strict=True)]
    return {
        "longest": max(waits),
        "bound": max(bounds),
        "share": max(shares),
        "passed": sum(passed),
        "runs": len(waits),
    }


def _low(jobs: Sequence[Job], starts: Sequence[float], slots: int, late: float) -> Iterator[tuple[float, float, int]]:
    """Yield of each low run its wait, its bound, and how many of a larger rank started between its lateness and it."""
    ranks = [job.arrival - 600 * job.priority for job in jobs]
    longest = max(job.seconds for job in jobs)
    for job, start, rank in zip(jobs, starts, ranks, strict=True):
        if job.priority:
            continue
        then = job.arrival + late
        others = list(zip(jobs, starts, ranks, strict=True))
        smaller = sum(
            min(other.seconds, began + other.seconds - then)
            for other, began, value in others
            if value < rank and began + other.seconds > then
        )
        passed = sum(1 for _, began, value in others if value > rank and then < began < start)
        yield start - job.arrival, late + smaller / slots + longest, passed


def decision(folder: Path, lanes: int, free: int, waiting: int, rounds: int) -> Result:
    """Decide with so many runs waiting in lanes of one route or more, and so many slots free; in microseconds."""
    view = _view(lanes, free, waiting)
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        started = fit(view, order(view))
        taken.append(1e6 * (time.perf_counter() - begin))
    assert len(started) == min(free, waiting)
    return {
        "started": len(started),
        "median": percentile(taken, 50),
        "p99": percentile(taken, 99),
        "fastest": min(taken),
    }


def choice(folder: Path, routes: int, keys: int, waiting: int, rounds: int, each: str = "") -> Result:
    """Choose as the dispatcher does, when one of 32 slots is free again, with so many runs waiting; in microseconds.

    `keys` are those of each route, of which one run each may be at work; 0 is a route without keys. `each` says what
    they have beside: a `deadline`, a `share` for every key, or a `window` (open, and for inputs of 1 MiB to 1 GiB).
    """
    admission, taken = _admission(routes, keys, waiting, each), []
    running = [head.number for _, head in admission.choose(NOW).claims]
    for number in range(1, rounds + 1):
        admission.release(running.pop(0))
        begin = time.perf_counter()
        started = admission.choose(NOW + number / 100)
        taken.append(1e6 * (time.perf_counter() - begin))
        running += [head.number for _, head in started.claims]
        assert len(started.claims) == 1
    return {"median": percentile(taken, 50), "p99": percentile(taken, 99), "fastest": min(taken)}


def _admission(routes: int, keys: int, waiting: int, each: str) -> Admission:
    """Return what waits of so many routes, all of it in memory, with run times that are known."""
    drawn, times = random.Random(routes), RunTimes()
    options: dict[str, Any] = {"key": lambda event: None, "per_key": 1} if keys else {}
    if each:
        options[each] = {"deadline": DEADLINE, "share": True, "window": "00:00-24:00 UTC"}[each]
    sizes = [MIB << doublings for doublings in range(11)] if each == "window" else [100]
    made = [
        make_route(_work, Work, name=f"r{number}", where=None, source=None, policy=make_policy("r", options))
        for number in range(routes)
    ]
    for route in made:
        for _ in range(30):
            times.learn(route.name, 100, drawn.lognormvariate(3, 1))
    sharing = Sharing(Shares({}), lambda: NOW) if each == "share" else None
    admission = Admission({route.name: route for route in made}, {"thread": 32}, 600, times.predict, sharing=sharing)
    numbers = count(1)
    for route in made:
        flow = admission.flows[route.name]
        flow.window = waiting + 1
        flow.ask()
        ranks = sorted(NOW - drawn.uniform(0, 9000) for _ in range(waiting // routes))
        named = (
            Terms(
                rank,
                0,
                f"k{n % keys}" if keys else None,
                drawn.choice(sizes),
                rank + DEADLINE if each == "deadline" else None,
            )
            for n, rank in enumerate(ranks)
        )
        admission.fill(flow, [WaitingRow(next(numbers), 1, WAITING, 0, 0, terms) for terms in named])
    return admission


def _view(lanes: int, free: int, waiting: int) -> View:
    drawn = random.Random(lanes)
    now, slots = NOW, 32
    routes = min(50, lanes)
    limits = {f"route {number}": slots * UNIT for number in range(routes)}
    found = []
    for number in range(lanes):
        heads = sorted((now - drawn.uniform(0, 9000), lanes * n + number) for n in range(min(free, waiting // lanes)))
        needs = {"thread": UNIT, f"route {number % routes}": UNIT}
        expected = drawn.lognormvariate(3, 1.5)
        found.append(Lane(heads, needs, 0, expected, 3 * expected))
    running = [Busy({"thread": UNIT}, now + drawn.uniform(0, 60)) for _ in range(slots - free)]
    return View(now, found, {**limits, "thread": free * UNIT}, {**limits, "thread": slots * UNIT}, running)


def rows(trials: Trials) -> list[Row]:
    """Return the figures of the scheduler: beside first come, first served, and what it holds to and costs."""
    few = trials.setup.few
    found = []
    for workload in WORKLOADS:
        if workload.startswith("nasa") and not (TRACES / NASA).exists():
            print(f"{TRACES / NASA} is not there; TRACES names the folder with the logs")
            continue
        found += _beside(trials, workload, few(20, 2))
    found += placement.rows(trials)
    found += gatherings.rows(trials)
    found += holding.rows(trials)
    over = trials.run("scheduling.capacity", workloads=few(1000, 50))
    starved = trials.run("scheduling.starvation", seeds=few(20, 2), load=1.5)
    note = f"{starved['longest'] / HOUR:.1f} h at most in {starved['runs']} runs; {starved['passed']} passed when late"
    found += [
        Row("workloads over capacity", "", "less", 0, [over["over"]], note=f"{over['workloads']} random ones"),
        Row("lowest priority: longest wait to its bound", "", "less", 1, [starved["share"]], note=note),
    ]
    for lanes, free in ((1, 1), (10, 1), (100, 1), (1000, 1), (1000, 32)):
        cost = trials.run("scheduling.decision", lanes=lanes, free=free, waiting=100_000, rounds=few(1000, 100))
        started = cost["started"]
        figure = f"a decision, 100,000 waiting in {lanes:,} lanes, {started} start{'s' if started == 1 else ''}"
        found.append(Row(figure, "us", "less", 100, [cost["median"]], note=f"p99 {cost['p99']:.0f}"))
    for routes, keys, each in (
        (1, 0, ""), (10, 0, ""), (50, 0, ""), (1, 1000, ""), (1, 10_000, ""), (10, 100, ""), (1, 1000, "deadline"),
        (1, 1000, "share"), (1, 0, "window"), (1, 1000, "window"),
    ):  # fmt: skip
        cost = trials.run(
            "scheduling.choice", routes=routes, keys=keys, waiting=100_000, rounds=few(1000, 100), each=each
        )
        figure = f"a slot is free, 100,000 waiting of {routes} route{'s' * (routes > 1)}"
        figure += f", {keys:,} keys" * (keys > 0) + f", each with a {each}" * bool(each)
        found.append(Row(figure, "us", "less", 100, [cost["median"]], note=f"p99 {cost['p99']:.0f}"))
    return found


def _beside(trials: Trials, workload: str, seeds: int) -> list[Row]:
    """Print the frontier, and return the default's figures as ratios to those of first come, what fits."""
    by = {
        name: trials.run("scheduling.schedules", workload=workload, contender=name, seeds=seeds) for name in CONTENDERS
    }
    base, ours = by[BASELINE], by[DEFAULT]
    print(frontier(workload, by))
    better = [a / b for a, b in zip(base["slowdown"], ours["slowdown"], strict=True)]
    longest = [b / a for a, b in zip(base["longest"], ours["longest"], strict=True)]
    worse = [name for name in base if fmean(ours[name]) > fmean(base[name])]
    return [
        Row(f"{workload}: slowdown, times better", "x", "more", 1.5, better, note=_spread(better)),
        Row(f"{workload}: longest wait, to theirs", "x", "less", 1, longest,
            note=f"{_spread(longest)}; worse: {', '.join(worse) or 'nothing'}"),
    ]  # fmt: skip


def frontier(workload: str, by: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return a table of all contenders: means over the seeds, and the ratios to first come, what fits."""
    base = by[BASELINE]
    lines = [
        f"| {workload} | slowdown | mean wait | p95 | longest | missed | idle | times better | longest, to theirs |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for name, one in by.items():
        means = " | ".join(f"{fmean(one[key]):,.0f}" for key in ("mean", "p95", "longest", "missed"))
        better = _spread([a / b for a, b in zip(base["slowdown"], one["slowdown"], strict=True)])
        longest = _spread([b / a for a, b in zip(base["longest"], one["longest"], strict=True)])
        slowdown, idle = fmean(one["slowdown"]), 100 * fmean(one["idle"])
        lines.append(f"| {name} | {slowdown:.1f} | {means} | {idle:.1f} % | {better} | {longest} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

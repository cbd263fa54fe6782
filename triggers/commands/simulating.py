"""`triggers simulate`: what would have been under another policy or on another machine."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from triggers.commands.failures import NotFound
from triggers.commands.output import count, note, print_table, save, say_json, span
from triggers.commands.parameters import Pair, json_option, state_option
from triggers.commands.reading import reader
from triggers.errors import WiringError, did_you_mean
from triggers.journal import past, views
from triggers.policy import Policy, order
from triggers.prices import Prices
from triggers.quantities import quantity
from triggers.schedule.window import Window
from triggers.scheduling.gates import Placement
from triggers.scheduling.holdings import UNIT
from triggers.scheduling.preference import name_of
from triggers.simulate import Rules
from triggers.simulate.declared import Declared
from triggers.simulate.logs import read_swf
from triggers.simulate.pictures import picture
from triggers.simulate.predictors import Learned, Quantiles
from triggers.simulate.replay import Deviation, deviation, history
from triggers.simulate.synthetic import MACHINE, synthetic
from triggers.simulate.whatif import Schedule, Workload, carried_out, happened
from triggers.simulate.workload import Job, JobError

DEFAULT = name_of(order)

RUNS = 10_000
"""How many runs are replayed or made, where nobody says it."""


class Amount(click.ParamType[tuple[str, float]]):
    """`NAME=AMOUNT`, as in cpu=8 or memory=16GiB."""

    name = "name=amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Return (name, amount)."""
        if isinstance(value, tuple):
            return value
        name, separator, amount = str(value).partition("=")
        if not (name and separator):
            self.fail(f"{value!r} must be NAME=AMOUNT, as in cpu=8 or memory=16GiB", param, ctx)
        try:
            return name, quantity("--capacity", name, amount)
        except WiringError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is tried: None, or nothing, is as it is."""

    policies: Sequence[str]
    capacity: Mapping[str, float]
    aging: float | None
    windows: Mapping[str, Window]
    prices: Prices | None
    """What work costs, in all schedules."""

    def differs(self) -> bool:
        """Say whether anything is to be other than it is."""
        return bool(self.policies or self.capacity or self.aging is not None or self.windows)

    def costs(self) -> Sequence[tuple[float, float]]:
        """Return from each moment on what an hour of the whole machine costs; nothing where nobody says so."""
        known = self.prices.between(-math.inf, math.inf, 0.0) if self.prices else None
        return list(zip(known.edges, known.prices, strict=False)) if known else []

    def check(self, capacity: Mapping[str, object], routes: Collection[str]) -> None:
        """Raise `NotFound` for a resource or a route that the workload has not."""
        for what, names, known in (("resource", self.capacity, capacity), ("route", self.windows, routes)):
            for name in names:
                if name not in known:
                    raise NotFound(f"the workload has no {what} {name!r}{did_you_mean(name, known)}")

    def said(self, policy: str) -> str:
        """Return what is tried in a few words."""
        parts = [policy.rpartition(":")[2]] if policy != DEFAULT or self.policies else []
        parts += [f"{name}={amount:g}" for name, amount in self.capacity.items()]
        parts += [] if self.aging is None else [f"aging={self.aging:g}"]
        parts += [f"{route} in {window}" for route, window in self.windows.items()]
        return ", ".join(parts)


@click.command()
@click.option(
    "--policy", "policies", multiple=True, metavar="MODULE:FUNCTION",
    help="Try this policy; several are compared. Built in are triggers.policy:order and triggers.policy:by_rank.",
)  # fmt: skip
@click.option(
    "--capacity",
    type=Amount(),
    multiple=True,
    metavar="NAME=AMOUNT",
    help="Try so much of a resource: cpu=8, memory=16GiB.",
)
@click.option(
    "--aging", type=click.FloatRange(min=0, min_open=True), help="Try so many seconds for a level of priority."
)
@click.option(
    "--window", "windows", type=Pair("train=22:00-06:00"), multiple=True, metavar="ROUTE=HOURS",
    help="Try these hours for a route: train='22:00-06:00 Europe/Berlin'.",
)  # fmt: skip
@click.option(
    "--prices", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A CSV file with moments and prices: what work costs, and what routes go by that wait for a price.",
)  # fmt: skip
@click.option(
    "--runs", "most", type=click.IntRange(min=1),
    help="Replay so many runs, the newest (10,000); of a log, its last (all); of a synthetic workload, make so many.",
)  # fmt: skip
@click.option(
    "--swf", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Simulate a log in the Standard Workload Format; .gz and .zip will do.",
)  # fmt: skip
@click.option("--synthetic", "seed", type=int, metavar="SEED", help="Simulate a made workload of an ML team.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw the waits and the use."
)
@state_option
@json_option
def simulate(
    policies: tuple[str, ...],
    capacity: tuple[tuple[str, float], ...],
    aging: float | None,
    windows: tuple[tuple[str, str], ...],
    prices: Path | None,
    most: int | None,
    swf: Path | None,
    seed: int | None,
    svg: Path | None,
    folder: str | None,
    as_json: bool,
) -> None:
    """Replay what has happened under another policy, on another machine, in virtual time: what would it have been?

    The decisions are those of the dispatcher's own code. What has run is first replayed as the app is, and how far that
    is from what really happened is said.
    """
    if (swf is not None) + (seed is not None) + (folder is not None) > 1:
        raise click.UsageError("--swf, --synthetic and --state are three workloads; give one of them")
    hours = {route: Window(text) for route, text in windows}
    setting = Setting(policies, dict(capacity), aging, hours, _prices(prices))
    if swf is not None or seed is not None:
        jobs, machine = (synthetic(seed or 0, most or RUNS), dict(MACHINE)) if swf is None else _log(swf, most, setting)
        schedules, off = list(_imported(jobs, machine, setting)), None
    else:
        schedules, off = _journal(folder, most or RUNS, setting)
    if svg is not None:
        save(svg, picture("What if", schedules))
        note(f"wrote {svg}")
    if as_json:
        say_json({"schedules": [_json(one) for one in schedules], "error": None if off is None else asdict(off)})
        return
    _print(schedules, off, priced=prices is not None)


def _prices(file: Path | None) -> Prices | None:
    """Return the prices of a file. Raises `ScheduleError` where they have a gap."""
    if file is None:
        return None
    found = Prices(file)
    found.require()
    return found


def _journal(folder: str | None, most: int, setting: Setting) -> tuple[list[Schedule], Deviation | None]:
    """Return what happened, its replay, what is tried; and how far the replay is from what happened."""
    with reader(folder) as (_, connection):
        app, routes = views.app(connection), views.routes(connection)
        if app is None:
            raise NotFound("the journal does not say how much its app has of what; `triggers run` writes it down")
        well = [run for run in past.ended_well(connection, most) if run.route in routes]
        if not well:
            raise NotFound(
                "no run has ended well yet, so there is nothing to replay; --synthetic 1 simulates a made workload"
            )
        rest = [run for run in past.others(connection, well[0].number, time.time()) if run.route in routes]
    setting.check(app.capacity, routes)
    declared, policy, costs = Declared(app, routes), app.policy or DEFAULT, setting.costs()
    declared.prices = setting.prices
    workload = history(well, rest, declared)
    rules = declared.rules(load_policy(policy), Learned)
    replayed = carried_out("replayed as it is", workload, rules, time.monotonic, costs)
    found = [happened("as it was", workload, costs), replayed]
    if setting.differs():
        other = Declared(app, routes, setting.capacity)
        other.prices = setting.prices
        other.windows.update(setting.windows)
        tried = history(well, rest, other)
        found += _tried(tried, replace(rules, gates=other.gates()), policy, setting)
    return found, None if replayed.waiting else deviation(replayed.starts, workload.starts)


def _log(file: Path, most: int | None, setting: Setting) -> tuple[list[Job], dict[str, int]]:
    """Return the last jobs of a log, and its machine; tell what is left out. `JobError` for a job that does not fit."""
    log = read_swf(file)
    for left, why in ((log.idle, "that ran for no time or on no processor"), (log.large, "larger than its machine")):
        if left:
            note(f"{file}: {count(left, 'job')} {why} left out")
    chosen = list(zip(log.lines, log.jobs, strict=True))[-most if most else 0 :]
    cpu = setting.capacity.get("cpu", math.inf)
    for line, job in chosen:
        if job.needs["cpu"] > cpu * UNIT:
            raise JobError(
                f"{file}, line {line}: the job needs {job.needs['cpu'] / UNIT:g} cpu, and --capacity cpu={cpu:g} is"
                " less; give it more, or take the line out"
            )
    return [job for _, job in chosen], log.machine


def _imported(jobs: Sequence[Job], machine: Mapping[str, int], setting: Setting) -> Iterator[Schedule]:
    """Yield the workload as the default policy has it, and what is tried."""
    setting.check(machine, {job.route for job in jobs})
    rules = Rules(predictor=Quantiles)
    yield carried_out("as it is", Workload(jobs, len(jobs), machine, machine), rules, time.monotonic, setting.costs())
    if setting.differs():
        gates = {name: [Placement(name, hours, None, rules.aging)] for name, hours in setting.windows.items()}
        rules = replace(rules, gates=gates)
        other = {**machine, **{name: round(amount * UNIT) for name, amount in setting.capacity.items()}}
        yield from _tried(Workload(jobs, len(jobs), other, other), rules, DEFAULT, setting)


def _tried(workload: Workload, live: Rules, policy: str, setting: Setting) -> Iterator[Schedule]:
    aging = live.aging if setting.aging is None else setting.aging
    for name in setting.policies or (policy,):
        rules = replace(live, policy=load_policy(name), aging=aging)
        yield carried_out(setting.said(name), workload, rules, time.monotonic, setting.costs())


def load_policy(name: str) -> Policy:
    """Return the policy of `MODULE:FUNCTION`. Raises `NotFound` where there is none."""
    place, _, function = name.partition(":")
    if name == DEFAULT:
        return order
    if not function:
        raise click.UsageError(f"{name!r} is no policy; write MODULE:FUNCTION, as in triggers.policy:by_rank")
    from triggers.commands.loading import load_module  # loads what a user's module may be made of

    found: object = load_module(place)
    for part in function.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise NotFound(f"{place} has no function {function!r} to order runs by")
    return found


def _json(one: Schedule) -> dict[str, object]:
    return {
        "schedule": one.name,
        **asdict(one.figures),
        "runs": len(one.starts),
        "never": one.waiting,
        "failed": one.failed,
    }


def _print(schedules: Sequence[Schedule], off: Deviation | None, *, priced: bool) -> None:
    rows = []
    for one in schedules:
        its = one.figures
        waits = [span(its.mean), span(its.p95), span(its.longest)]
        cost = [f"{its.cost:,.2f}"] if priced else []
        rows.append([one.name, *waits, f"{its.slowdown:.2f}", f"{its.missed:,}", f"{its.idle:.0%}", *cost])
    titles = ["schedule", ">mean wait", ">p95", ">longest", ">slowdown", ">missed", ">idle"]
    print_table([*titles, ">cost"] if priced else titles, rows)
    note(f"{count(len(schedules[0].starts), 'run')}; idle is what was free of the machine while work waited")
    if off is not None:
        note(f"replayed as it is, a run starts {span(off.mean)} off on average, 95 % within {span(off.p95)}")
    for one in schedules:
        if one.waiting:
            note(f"warning: {one.name}: {count(one.waiting, 'run')} never start")
        if one.failed:
            note(
                f"warning: {one.name}: the default policy made {count(one.failed, 'decision')} in its place, see above"
            )

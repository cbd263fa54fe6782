"""`triggers simulate`: what would have been under another policy or on another machine."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from triggers.commands.failures import NotFound
from triggers.commands.output import count, note, print_table, save, say_json, span
from triggers.commands.parameters import Finite, Moment, Pair, json_option, state_option
from triggers.commands.reading import reader
from triggers.commands.setting import DEFAULT, Setting, load_policy, own_prices
from triggers.errors import WiringError
from triggers.journal import past, views
from triggers.journal.views import AppView, RouteView
from triggers.policy import order
from triggers.quantities import as_text, quantity
from triggers.schedule.window import Window
from triggers.scheduling.holdings import UNIT
from triggers.simulate import Rules
from triggers.simulate.declared import Declared, gates
from triggers.simulate.logs import read_swf
from triggers.simulate.pictures import picture
from triggers.simulate.predictors import Learned, Quantiles
from triggers.simulate.replay import Deviation, deviation, history
from triggers.simulate.synthetic import MACHINE, synthetic
from triggers.simulate.whatif import Schedule, Workload, carried_out, happened
from triggers.simulate.workload import Job, JobError, moved

RUNS = 10_000
"""How many runs are replayed or made, where nobody says it."""

MONDAY = 4 * 86_400.0
"""When a made workload begins, whose week has a weekend: on the first Monday of 1970."""


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
            return name, 0.0 if re.fullmatch(r"0+(\.0*)?", amount) else quantity("--capacity", name, amount)
        except WiringError:
            self.fail(f"{value!r} has no amount; write a number, 0 for none, or text such as memory=16GiB", param, ctx)


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
@click.option("--aging", type=Finite(min=0, min_open=True), help="Try so many seconds for a level of priority.")
@click.option(
    "--window", "windows", type=Pair("train=22:00-06:00"), multiple=True, metavar="ROUTE=HOURS",
    help="Try these hours for a route: train='22:00-06:00 Europe/Berlin'.",
)  # fmt: skip
@click.option(
    "--price", "lists", type=Pair("train=prices.csv"), multiple=True, metavar="ROUTE=FILE",
    help="Try to have a route wait for its cheapest hours, by a CSV file of moments and prices.",
)  # fmt: skip
@click.option(
    "--cost", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="A CSV file of moments and prices: what work costs. If not given, the lists that routes wait by.",
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
    "--start", type=Moment(), metavar="MOMENT",
    help="When the log, or the made workload, is to begin, for --window and --price: 2026-03-02.",
)  # fmt: skip
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
    lists: tuple[tuple[str, str], ...],
    cost: Path | None,
    most: int | None,
    swf: Path | None,
    seed: int | None,
    start: float | None,
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
    if start is not None and swf is None and seed is None:
        raise click.UsageError("--start moves --swf and --synthetic; what is in a journal has its own time")
    hours = {route: Window(text) for route, text in windows}
    files = {route: Path(file) for route, file in lists}
    chosen = {name: load_policy(name) for name in policies}
    setting = Setting(chosen, dict(capacity), aging, hours, files, cost)
    if swf is not None:
        schedules, off = _imported(*_log(swf, most, setting, start), setting), None
    elif seed is not None:
        begin = MONDAY if start is None else start
        schedules, off = _imported(moved(synthetic(seed, most or RUNS), begin), dict(MACHINE), setting), None
    else:
        schedules, off = _journal(folder, most or RUNS, setting)
    if svg is not None:
        save(svg, picture("What if", schedules))
        note(f"wrote {svg}")
    if as_json:
        say_json({"schedules": [_json(one) for one in schedules], "error": None if off is None else asdict(off)})
        return
    _print(schedules, off)


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
    declared, policy = Declared(app, routes), app.policy or DEFAULT
    live = load_policy(policy)
    declared.prices = own_prices(app, routes)
    other = Declared(app, routes, setting.capacity)
    other.windows.update(setting.windows)
    other.prices = setting.waited_by(declared.prices)
    _tell_left_out(app, routes)
    workload = history(well, rest, declared)
    replayed = carried_out("replayed as it is", workload, declared.rules(live, Learned), time.thread_time)
    found = [happened("as it was", workload), replayed]
    if setting.differs():
        tried = history(well, rest, other)
        _require_room(tried, setting)
        for name, one in (setting.policies or {policy: live}).items():
            rules = other.rules(one, Learned, setting.aging)
            found.append(carried_out(setting.said(name), tried, rules, time.thread_time))
    found = setting.charged(found, [*declared.prices.values(), *other.prices.values()])
    return found, None if replayed.waiting else deviation(replayed.starts, workload.starts)


def _tell_left_out(app: AppView, routes: Mapping[str, RouteView]) -> None:
    """Say what held runs back that nothing holds back in virtual time."""
    ordered = [f"the order of the data of {name} (in_order=)" for name in routes if routes[name].policy.get("in_order")]
    if words := [*app.regulated, *ordered]:
        note(f"warning: nothing is held back here by {', by '.join(words)}")


def _log(file: Path, most: int | None, setting: Setting, start: float | None) -> tuple[Sequence[Job], dict[str, int]]:
    """Return the last jobs of a log, and its machine; tell what is left out. `JobError` for a job that does not fit."""
    log = read_swf(file)
    for left, why in ((log.idle, "that ran for no time or on no processor"), (log.large, "larger than its machine")):
        if left:
            note(f"{file}: {count(left, 'job')} {why} left out")
    chosen = list(zip(log.lines, log.jobs, strict=True))[-most if most else 0 :]
    if not chosen:
        raise JobError(f"{file} holds no job that could be simulated; name another log")
    cpu = setting.capacity.get("cpu", math.inf)
    for line, job in chosen:
        if job.needs["cpu"] > cpu * UNIT:
            raise JobError(
                f"{file}, line {line}: the job needs {job.needs['cpu'] / UNIT:g} cpu, and --capacity cpu={cpu:g} is"
                " less; give it more, or take the line out"
            )
    return moved([job for _, job in chosen], log.begin if start is None else start - chosen[0][1].arrival), log.machine


def _imported(jobs: Sequence[Job], machine: Mapping[str, int], setting: Setting) -> list[Schedule]:
    """Return the workload as the default policy has it, and what is tried."""
    setting.check(machine, {job.route for job in jobs})
    prices = setting.waited_by({})
    workload = Workload(jobs, len(jobs), machine, machine)
    found = [carried_out("as it is", workload, Rules(predictor=Quantiles), time.thread_time)]
    if setting.differs():
        larger = {**machine, **{name: round(amount * UNIT) for name, amount in setting.capacity.items()}}
        aging = Rules().aging if setting.aging is None else setting.aging
        tried = Workload(jobs, len(jobs), larger, larger)
        _require_room(tried, setting)
        for name, policy in (setting.policies or {DEFAULT: order}).items():
            rules = Rules(policy, predictor=Quantiles, aging=aging, gates=gates(setting.windows, prices, aging))
            found.append(carried_out(setting.said(name), tried, rules, time.thread_time))
    return setting.charged(found, prices.values())


def _require_room(tried: Workload, setting: Setting) -> None:
    """Raise `JobError` where runs can never start with what is to be tried, and name their routes."""
    short = {
        (job.route, name): amount
        for job in sorted(tried.jobs, key=lambda job: job.route)
        for name, amount in job.needs.items()
        if job.begun is None and name in setting.capacity and amount > tried.capacity[name]
    }
    if short:
        words = [f"{route} (needs {as_text(name, amount / UNIT)} {name})" for (route, name), amount in short.items()]
        given = ", ".join(f"{name}={as_text(name, amount)}" for name, amount in setting.capacity.items())
        raise JobError(
            f"with --capacity {given} runs of these routes can never start: {', '.join(words)}; give it more"
        )


def _json(one: Schedule) -> dict[str, object]:
    return {
        "schedule": one.name,
        **asdict(one.figures),
        "costs": dict(one.costs),
        "runs": len(one.starts),
        "never": one.waiting,
        "failed": one.failed,
    }


def _print(schedules: Sequence[Schedule], off: Deviation | None) -> None:
    rows, lists = [], list(schedules[0].costs)
    for one in schedules:
        its = one.figures
        waits = [span(its.mean), span(its.p95), span(its.longest)]
        costs = [f"{one.costs[name]:,.2f}" for name in lists]
        rows.append([one.name, *waits, f"{its.slowdown:.2f}", f"{its.missed:,}", f"{its.idle:.0%}", *costs])
    titles = ["schedule", ">mean wait", ">p95", ">longest", ">slowdown", ">missed", ">idle"]
    print_table([*titles, *([">cost"] if len(lists) == 1 else [f">cost by {name}" for name in lists])], rows)
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

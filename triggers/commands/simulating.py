"""`triggers simulate`: what would have been under another policy or on another machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from triggers.commands.failures import NotFound
from triggers.commands.output import count, note, print_table, say_json, span
from triggers.commands.parameters import json_option, state_option
from triggers.commands.reading import reader
from triggers.errors import StateError, WiringError, did_you_mean
from triggers.journal import past, views
from triggers.policy import Policy, order
from triggers.preference import name_of
from triggers.quantities import quantity
from triggers.simulate import Rules
from triggers.simulate.declared import UNIT, Declared
from triggers.simulate.logs import read_swf
from triggers.simulate.pictures import picture
from triggers.simulate.predictors import Learned, Quantiles
from triggers.simulate.replay import Deviation, deviation, history
from triggers.simulate.synthetic import MACHINE, synthetic
from triggers.simulate.whatif import Schedule, Workload, carried_out, happened

DEFAULT = name_of(order)


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

    def differs(self) -> bool:
        """Say whether anything is to be other than it is."""
        return bool(self.policies or self.capacity or self.aging is not None)

    def said(self, policy: str) -> str:
        """Return what is tried in a few words."""
        parts = [policy.rpartition(":")[2]] if policy != DEFAULT or self.policies else []
        parts += [f"{name}={amount:g}" for name, amount in self.capacity.items()]
        parts += [] if self.aging is None else [f"aging={self.aging:g}"]
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
    "--runs", "most", type=click.IntRange(min=1), default=10_000, show_default=True,
    help="Replay so many runs, the newest; of a synthetic workload, make so many.",
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
    most: int,
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
    setting = Setting(policies, dict(capacity), aging)
    if swf is not None or seed is not None:
        schedules, off = list(_imported(swf, seed, most, setting)), None
    else:
        schedules, off = _journal(folder, most, setting)
    if svg is not None:
        _draw(svg, schedules)
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
    if unknown := setting.capacity.keys() - app.capacity.keys():
        name = min(unknown)
        raise NotFound(f"app {app.name!r} has no resource {name!r}{did_you_mean(name, app.capacity)}")
    declared = Declared(app, routes)
    workload = history(well, rest, declared)
    live = declared.rules(load_policy(app.policy or DEFAULT), Learned)
    replayed = carried_out("replayed as it is", workload, live, time.monotonic)
    found = [happened("as it was", workload), replayed]
    if setting.differs():
        tried = history(well, rest, Declared(app, routes, setting.capacity))
        found += _tried(tried, live, app.policy or DEFAULT, setting)
    return found, deviation(replayed.starts, workload.starts)


def _imported(swf: Path | None, seed: int | None, most: int, setting: Setting) -> Iterator[Schedule]:
    """Yield the workload as the default policy has it, and what is tried."""
    jobs, machine = (synthetic(seed or 0, most), dict(MACHINE)) if swf is None else read_swf(swf)
    if unknown := setting.capacity.keys() - machine.keys():
        name = min(unknown)
        raise NotFound(f"the workload's machine has no {name!r}{did_you_mean(name, machine)}")
    rules = Rules(predictor=Quantiles)
    yield carried_out("as it is", Workload(jobs, len(jobs), machine, machine), rules, time.monotonic)
    if setting.differs():
        other = {**machine, **{name: round(amount * UNIT) for name, amount in setting.capacity.items()}}
        yield from _tried(Workload(jobs, len(jobs), other, other), rules, DEFAULT, setting)


def _tried(workload: Workload, live: Rules, policy: str, setting: Setting) -> Iterator[Schedule]:
    aging = live.aging if setting.aging is None else setting.aging
    for name in setting.policies or (policy,):
        rules = replace(live, policy=load_policy(name), aging=aging)
        yield carried_out(setting.said(name), workload, rules, time.monotonic)


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


def _draw(file: Path, schedules: Sequence[Schedule]) -> None:
    try:
        file.write_text(picture("What if", schedules), encoding="utf-8")
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror}") from error
    note(f"wrote {file}")


def _json(one: Schedule) -> dict[str, object]:
    return {
        "schedule": one.name,
        **asdict(one.figures),
        "runs": len(one.starts),
        "never": one.waiting,
        "failed": one.failed,
    }


def _print(schedules: Sequence[Schedule], off: Deviation | None) -> None:
    rows = []
    for one in schedules:
        its = one.figures
        waits = [span(its.mean), span(its.p95), span(its.longest)]
        rows.append([one.name, *waits, f"{its.slowdown:.2f}", f"{its.missed:,}", f"{its.idle:.0%}", f"{its.cost:.2f}"])
    print_table(["schedule", ">mean wait", ">p95", ">longest", ">slowdown", ">missed", ">idle", ">cost"], rows)
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

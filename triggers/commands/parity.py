"""`triggers parity`: one scenario wherever an app can run, and what differs."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from triggers.commands.failures import FAILED, OK, NotFound, complain
from triggers.commands.loading import load_module
from triggers.commands.output import count, note, say
from triggers.commands.packing import data_of
from triggers.errors import TriggersError, did_you_mean
from triggers.parity import Scenario

if TYPE_CHECKING:
    from triggers.parity.trees import Tree

HERE = "a dispatcher on folders"
POLLED = "a dispatcher that polls AWS"
FUNCTIONS = "functions in AWS"


@click.command()
@click.argument("targets", metavar="MODULE:SCENARIO...", nargs=-1, required=True)
@click.option(
    "--requirement", "files", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
    metavar="FILE", help="The libraries that the functions need, as for `triggers package`.",
)  # fmt: skip
def parity(targets: Sequence[str], files: Sequence[Path]) -> int:
    """Carry scenarios out by a dispatcher, by one that polls AWS, and by functions, and compare what came of it.

    AWS is emulated here. MODULE alone means all scenarios in it. The differences are printed; it exits with 1 if there
    are some, or if a scenario could not be carried out.
    """
    from triggers.aws.bundle import bundle, unpack  # loads what packs and what talks to AWS
    from triggers.aws.emulation import emulated
    from triggers.aws.libraries import Platform, installed, requirements

    found = [_scenarios(target) for target in targets]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="triggers-parity-") as home, emulated() as server:
        for number, (module, scenarios) in enumerate(found):
            folder, file = Path(home, f"{number}"), Path(home, f"{number}.zip")
            data = [path for one in scenarios.values() for path in data_of(one.app)]
            made = bundle(
                f"{module.__name__}:", Platform.here(), requirements(files), libraries=installed, leave_out=data
            )
            made.write(file)
            unpack(file, folder)
            wrong += sum(not _same(module, name, one, folder, server.endpoint) for name, one in scenarios.items())
    return FAILED if wrong else OK


def _scenarios(target: str) -> tuple[ModuleType, dict[str, Scenario]]:
    """Return the module and its scenarios, or the one that the target names."""
    place, _, name = target.partition(":")
    module = load_module(place)
    found = {key: one for key, one in vars(module).items() if isinstance(one, Scenario)}
    if name:
        if name not in found:
            raise NotFound(f"{place} has no scenario {name!r}{did_you_mean(name, found)}")
        found = {name: found[name]}
    if not found:
        raise NotFound(f"{place} has no scenario; make one, NAME = triggers.parity.Scenario(app, [...])")
    for name, one in found.items():
        _app(module, name, one)
    return module, found


def _same(module: ModuleType, name: str, scenario: Scenario, folder: Path, endpoint: str) -> bool:
    """Carry a scenario out everywhere, say what differs, and return whether nothing does."""
    from triggers.parity.trees import differences

    started = time.monotonic()
    try:
        outcomes = _outcomes(scenario, f"{module.__name__}:{_app(module, name, scenario)}", folder, endpoint)
    except TriggersError as error:
        note(f"{name}: not compared, because it could not be carried out")
        complain(error)  # and the others are
        return False
    expected = outcomes.pop(HERE)
    if not expected:
        note(f"{name}: nothing comes of it by {HERE}, so there is nothing to compare; look at its steps")
        return False
    lines = [line for where, found in outcomes.items() for line in differences(expected, found, (HERE, where))]
    for line in lines:
        say(line)
    chains = sum("type" in tree for tree in expected)
    verdict = f"differs in {count(len(lines), 'line')}" if lines else "the same"
    note(f"{name}: {count(chains, 'chain')}, {verdict}, {time.monotonic() - started:.1f} s")
    return not lines


def _app(module: ModuleType, name: str, scenario: Scenario) -> str:
    """Return what the module calls the app of a scenario."""
    found = next((key for key, one in vars(module).items() if one is scenario.app), None)
    if found is None:
        raise NotFound(
            f"{module.__name__} has no name for the app {scenario.app.name!r} of {name!r}, by which functions import"
            " it; give it one, NAME = App(...)"
        )
    return found


def _outcomes(scenario: Scenario, target: str, folder: Path, endpoint: str) -> dict[str, list[Tree]]:
    """Return what comes of a scenario in each place, or in the first, where nothing does.

    `target` is `module:app`, by which functions import it.
    """
    from triggers.aws.server import reset
    from triggers.parity.stages import functions, here, polled

    outcomes = {HERE: asyncio.run(here(scenario)).as_list()}
    if not outcomes[HERE]:
        return outcomes
    reset(endpoint)
    outcomes[POLLED] = asyncio.run(polled(scenario)).as_list()
    reset(endpoint)
    outcomes[FUNCTIONS] = asyncio.run(functions(scenario, target, folder)).as_list()
    return outcomes

"""`triggers dead` and `triggers retry`: what failed for good or waits for another attempt, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Any

import apsw
import click
from click.core import ParameterSource

from triggers.commands import rejected
from triggers.commands.output import clock, note, paint, plain, print_table, say, say_json, state
from triggers.commands.parameters import (
    deployed_option,
    json_option,
    named_app,
    number_of,
    run_filters,
    state_option,
    written,
)
from triggers.commands.reading import (
    INTERRUPTED,
    digest,
    event_json,
    find_event,
    find_run,
    living_epoch,
    looking,
    require_names,
    run_json,
    state_of,
)
from triggers.commands.requesting import chunks, hand_in, shown, taken_in
from triggers.errors import TriggersError
from triggers.events import Event
from triggers.journal import views
from triggers.journal.views import RunView
from triggers.requests import Drop, Redrive
from triggers.state import StateFolder

if TYPE_CHECKING:  # who looks at a state folder needs nothing of AWS
    from triggers.aws.deployed import Deployed

MOST = 10_000
"""As many dead letters of an app in AWS are looked at, the newest."""


@click.group(invoke_without_command=True)
@run_filters
@state_option
@deployed_option
@json_option
@click.pass_context
def dead(ctx: click.Context, /, folder: str | None, aws: str | None, **listed: Any) -> None:
    """The dead letters: runs that failed for good. Without a command: list them."""
    ctx.obj = (folder, aws)
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_dead, folder=folder, aws=aws, **listed)
        return
    given = [one for one in ctx.command.params if one.name in listed and _was_given(ctx, one.name)]
    if given:
        name, command = given[0].opts[0], f"triggers dead {ctx.invoked_subcommand}"
        takes = any(name in one.opts for one in dead.commands[ctx.invoked_subcommand].params)
        behind = f"write {name} behind the command: {command} {name}"
        raise click.UsageError(behind if takes else f"{command} has no {name}; leave it out")


def _was_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT


def _looking(
    folder: str | None, aws: str | None, look: Callable[[Deployed], apsw.Connection]
) -> AbstractContextManager[tuple[StateFolder | Deployed, apsw.Connection]]:
    """Open what was named by the options of the command, or by those of `dead` before it."""
    outer = click.get_current_context().obj or (None, None)
    return looking(folder or outer[0], aws or outer[1], look)


@dead.command("list")
@run_filters
@state_option
@deployed_option
@json_option
def list_dead(
    kind: str | None,
    route: str | None,
    since: float | None,
    limit: int,
    folder: str | None,
    aws: str | None,
    as_json: bool,
) -> None:
    """List the dead letters, the newest last. Of an app in AWS also what was rejected: it could be no event."""
    with _looking(folder, aws, _all_dead) as (place, connection):
        require_names(connection, route=route, kind=kind)
        found = views.runs(connection, state="dead", type=kind, route=route, since=since, limit=limit)
        epoch = living_epoch(place, connection)
        abouts = [digest(find_event(connection, run.event)) for run in found]
        of_events = kind is not None or since is not None  # which what was rejected is not
        refused = [] if of_events or isinstance(place, StateFolder) else rejected.among(place, route, limit)
    if as_json:
        say_json([*(run_json(run, epoch) for run in found), *map(rejected.as_json, refused)])
        return
    if not found:
        note("no dead letters" + (f" of {route}" if route else "") + (" like that" if of_events else ""))
    else:
        rows = [
            [
                f"r{run.number}",
                plain(run.route, 20),
                clock(run.ended),
                str(run.attempt),
                plain(about, 24),
                plain(run.error or ""),
            ]
            for run, about in zip(found, abouts, strict=True)
        ]
        print_table(["run", "route", "died", ">tries", "about", "error"], rows)
    rejected.print_all(refused)


@dead.command()
@click.argument("id", metavar="RUN")
@state_option
@deployed_option
@json_option
def show(id: str, folder: str | None, aws: str | None, as_json: bool) -> None:
    """Show a run with its event, every failed attempt and its traceback, your own frames first."""
    from triggers.commands.loading import users_first  # loads the app's side, which no other command here needs

    number = number_of(id, "r")
    if (app := named_app()) and (found := rejected.find(app, number)):
        rejected.show(found, as_json)
        return
    with _looking(folder, aws, lambda deployed: deployed.some([number])) as (place, connection):
        run = find_run(connection, number)
        event = find_event(connection, run.event)
        attempts = views.attempts(connection, run.number)
        dropped = views.duplicates(connection, [event])
        epoch = living_epoch(place, connection)
    if as_json:
        tries = [
            {"attempt": one.attempt, "outcome": one.outcome, "error": one.error, "traceback": one.traceback}
            for one in attempts
        ]
        say_json({**run_json(run, epoch), "on": event_json(event, dropped), "attempts": tries})
        return
    word = state(state_of(run, epoch))
    say(f"{paint(f'r{run.number} {plain(run.route)}', None, bold=True)}  {word}  {clock(run.ended)}")
    say(f"on e{event.number} {plain(event.type)} from {plain(event.source)}: {plain(event.data, 2000)}")
    for one in attempts:
        why = f": {plain(one.error)}" if one.error else ""
        say(f"\nattempt {one.attempt} {one.outcome} at {clock(one.ended or one.started)}{why}")
        if one.traceback:
            say("\n".join(f"  {plain(text)}" for text in users_first(one.traceback).splitlines()))
    if run.state == "dead":
        again, aside = written(f"dead redrive r{run.number}"), written(f"dead drop r{run.number}")
        code = "" if isinstance(place, StateFolder) else " --app MODULE"
        test = written(f"export-test r{run.number}{code}")
        note(f"\n{again} runs it again, {aside} puts it aside, {test} writes a test of it")


@dead.command()
@click.argument("ids", nargs=-1, metavar="[RUN]...")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--route", metavar="NAME", help="All dead letters of this route.")
@state_option
@deployed_option
@json_option
def redrive(
    ids: Sequence[str], everything: bool, route: str | None, folder: str | None, aws: str | None, as_json: bool
) -> None:
    """Run dead letters again, with all their attempts before them. Dropped and delayed runs too, by their IDs, and in
    AWS interrupted ones.
    """
    if bool(ids) + everything + bool(route) != 1:
        raise click.UsageError("say which: RUN..., --all or --route NAME")
    numbers = _numbers(ids)
    look = (lambda deployed: deployed.some(numbers)) if numbers else _all_dead
    with _looking(folder, aws, look) as (place, connection):
        require_names(connection, route=route)
        if numbers:
            runs = _chosen(place, connection, numbers, {"dead", "dropped", "delayed"}, "run again")
        else:
            runs = views.runs(connection, state="dead", route=route)
    if not runs:
        note("no dead letters" + (f" of {route}" if route else ""))
    _carry_out(place, Redrive, "redriven", [run.number for run in runs], as_json)


@dead.command()
@click.argument("ids", nargs=-1, required=True, metavar="RUN...")
@state_option
@deployed_option
@json_option
def drop(ids: Sequence[str], folder: str | None, aws: str | None, as_json: bool) -> None:
    """Take runs off the dead letters. They stay in the journal as dropped, and `redrive` takes them back. Of an app in
    AWS also what was rejected.
    """
    numbers, app = _numbers(ids), named_app()
    refused = [number for number in numbers if app and rejected.find(app, number)]
    numbers = [number for number in numbers if number not in refused]
    with _looking(folder, aws, lambda deployed: deployed.some(numbers)) as (place, connection):
        runs = _chosen(place, connection, numbers, {"dead"}, "be dropped")
    _carry_out(place, Drop, "dropped", [run.number for run in runs], as_json, refused)


@click.command()
@click.argument("id", metavar="RUN")
@state_option
@deployed_option
@json_option
def retry(id: str, folder: str | None, aws: str | None, as_json: bool) -> None:
    """Run a dead or delayed run again, now, with all its attempts before it; in AWS an interrupted one, too."""
    numbers = _numbers([id])
    with looking(folder, aws, lambda deployed: deployed.some(numbers)) as (place, connection):
        runs = _chosen(place, connection, numbers, {"dead", "delayed"}, "be retried")
    _carry_out(place, Redrive, "retried", [run.number for run in runs], as_json)


def _all_dead(deployed: Deployed) -> apsw.Connection:
    return deployed.newest(MOST, {"dead"})


def _numbers(ids: Sequence[str]) -> list[int]:
    return list(dict.fromkeys(number_of(id, "r") for id in ids))


def _chosen(
    place: StateFolder | Deployed, connection: apsw.Connection, numbers: Sequence[int], states: set[str], what: str
) -> list[RunView]:
    """Return the runs, or raise where one is in no state for it.

    In AWS one that was interrupted is as good as delayed: nobody but its message has it begin again.
    """
    runs = [find_run(connection, number) for number in numbers]
    if not isinstance(place, StateFolder) and "delayed" in states:
        states = {*states, INTERRUPTED}
    for run in runs:
        word = state_of(run, living_epoch(place, connection))
        if word not in states:
            allowed = " or ".join(sorted(states))
            instead = _instead(place, run, word)
            raise TriggersError(f"r{run.number} is {word}; only what is {allowed} can {what}{instead}")
    return runs


def _instead(place: StateFolder | Deployed, run: RunView, word: str) -> str:
    """Return what to do about a run that nothing needs to be done about, as the end of a sentence."""
    here = isinstance(place, StateFolder)
    ways = {
        "done": f"; {written(f'replay --event e{run.event}')} runs its event again",
        "waiting": f"; {written(f'why r{run.number}')} says what it waits for",
        INTERRUPTED: "; it starts again " + ("with `triggers run`" if here else "when its message comes again"),
    }
    return ways.get(word, "")


def _carry_out(
    place: StateFolder | Deployed,
    kind: type[Event],
    word: str,
    runs: Sequence[int],
    as_json: bool,
    refused: Sequence[int] = (),
) -> None:
    """Hand the request in for the runs, and for what was `refused` as no event, and say what came of it."""
    numbers = [*runs, *refused]
    done = False
    if numbers:
        ids = hand_in(place, [kind.model_validate({"runs": part}) for part in chunks(numbers)])
        done = taken_in(place, ids, f"{shown(numbers)} will be {word}")
    states = {**_states(place, runs[:1000]), **dict.fromkeys(refused, "dropped")} if done else {}
    if as_json:
        words = {f"r{number}": states.get(number) for number in numbers}
        say_json({"runs": words, "taken_in": done})
    elif done:
        tally: dict[str, int] = {}
        for now in states.values():
            tally[now] = tally.get(now, 0) + 1
        say(f"{word} {shown(numbers)}; now {', '.join(f'{many} {now}' for now, many in tally.items())}")


def _states(place: StateFolder | Deployed, numbers: Sequence[int]) -> dict[int, str]:
    opened = views.open_reader(place) if isinstance(place, StateFolder) else place.some(numbers)
    with closing(opened) as connection:
        return {number: find_run(connection, number).state for number in numbers}

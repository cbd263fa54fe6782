"""`triggers events` and `triggers runs`: the newest rows of the journal, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw
import click

from triggers.commands.output import clock, note, pace, plain, print_table, say_json, span, state
from triggers.commands.parameters import Moment, deployed_option, json_option, limit_option, run_filters, state_option
from triggers.commands.reading import (
    INTERRUPTED,
    digest,
    duration,
    event_json,
    living_epoch,
    looking,
    require_names,
    run_json,
    started,
    state_of,
    twice,
    untried,
)
from triggers.journal import STATES, views
from triggers.journal.pauses import Pause, pause_of, paused_routes
from triggers.journal.views import RunView
from triggers.progress import Progress

WORDS = (*STATES, INTERRUPTED)
"""The states of a run as people see them."""

MOST = 10_000
"""As many runs are fetched from AWS where only some of them are wanted."""
MOST_EMITTING = 1_000
"""The same where what each of them has emitted is fetched, too."""


@click.command()
@click.option("--type", "kind", metavar="TYPE", help="Only events of this type.")
@click.option("--source", metavar="NAME", help="Only events from this source.")
@click.option("--since", type=Moment(), help="Only what was recorded since: 10m, 2h, 3d, or a time.")
@limit_option
@state_option
@deployed_option
@json_option
def events(
    kind: str | None,
    source: str | None,
    since: float | None,
    limit: int,
    folder: str | None,
    aws: str | None,
    as_json: bool,
) -> None:
    """List events, the newest last.

    Of an app in AWS those that ran something, and those that were emitted: nobody there records any other.
    """
    many = MOST_EMITTING if kind or source or since is not None else min(limit, MOST_EMITTING)
    with looking(folder, aws, lambda deployed: deployed.newest(many, emitted=True)) as (_, connection):
        require_names(connection, kind=kind, source=source)
        found = views.events(connection, type=kind, source=source, since=since, limit=limit)
        dropped = views.duplicates(connection, found)
        cut = aws is not None and len(found) < limit and len(views.runs(connection)) == MOST_EMITTING
    if cut:
        note(f"looked at the events of the newest {MOST_EMITTING:,} runs only; `trace` finds older ones by an ID")
    if as_json:
        say_json([event_json(event, dropped) for event in found])
    elif not found:
        note("no events" + (" like that" if kind or source or since else " yet"))
    else:
        rows = [
            [
                f"e{event.number}",
                clock(event.recorded),
                plain(event.type, 24),
                "" if event.cause is None else f"r{event.cause}",
                plain(event.source, 20),
                twice(event, dropped) + plain(digest(event)),
            ]
            for event in found
        ]
        print_table(["event", "recorded", "type", "cause", "source", "about"], rows)


@click.command()
@run_filters
@click.option(
    "--state", "states", multiple=True, metavar="STATE|DIR",
    help=f"Only runs in this state: {', '.join(WORDS)}. Anything else is the app's state folder.",
)  # fmt: skip
@deployed_option
@json_option
def runs(
    kind: str | None,
    route: str | None,
    since: float | None,
    limit: int,
    states: tuple[str, ...],
    aws: str | None,
    as_json: bool,
) -> None:
    """List runs, the newest last.

    A state folder that is called like a state is written as a path: --state ./dead.
    """
    word, folder = _split(states)
    click.get_current_context().params["folder"] = folder  # where what is told looks for it
    if aws is not None and word == "waiting":
        note("in AWS what waits for its first attempt is a message in its route's queue, and no run yet")
    filtered = bool(kind or route or since)
    with looking(folder, aws, lambda deployed: deployed.newest(MOST if filtered else limit, _kept(word))) as (
        place,
        connection,
    ):
        require_names(connection, route=route, kind=kind)
        epoch = living_epoch(place, connection)
        found = _runs(connection, epoch, word, limit, type=kind, route=route, since=since)
        told = views.progress(connection, found)
        pauses = {} if aws else paused_routes(connection)
    if as_json:
        say_json([run_json(run, epoch) | _progress_json(told.get(run.number)) for run in found])
    elif not found:
        note("no runs" + (" like that" if kind or route or word or since else " yet"))
    else:
        rows = [
            [
                f"r{run.number}",
                plain(run.route, 24),
                f"e{run.event}",
                state(state_of(run, epoch)),
                str(run.attempt),
                clock(started(run)),
                span(duration(run)),
                plain(run.error or _about(run, state_of(run, epoch), told.get(run.number), pauses)),
            ]
            for run in found
        ]
        print_table(["run", "route", "event", "state", ">try", "started", ">took", "error"], rows)


def _runs(connection: apsw.Connection, epoch: int, word: str | None, limit: int, **filters: Any) -> list[RunView]:
    """Return the newest runs in a state. The journal keeps those at work and those interrupted as one state."""
    if word not in ("running", INTERRUPTED):
        return views.runs(connection, state=word, limit=limit, **filters)
    claimed = views.runs(connection, state="running", **filters)
    return [run for run in claimed if state_of(run, epoch) == word][-limit:]


def _about(run: RunView, word: str, told: Progress | None, pauses: Mapping[str, Pause]) -> str:
    """Return what there is to say of a run without an error."""
    if word == "running":
        return pace(told, run.started)
    if word == "waiting" and (pause := pause_of(run.route, pauses)):
        return str(pause)
    if word == "delayed":
        why = " (not_before=)" if untried(run) else ""
        return "until its turn comes (in_order=)" if run.due_time is None else f"until {clock(run.due_time)}{why}"
    return pace(told)


def _progress_json(told: Progress | None) -> dict[str, object]:
    return {"done": told.done if told else None, "total": told.total if told else None}


def _kept(word: str | None) -> tuple[str, ...]:
    """Return the state in which runs are kept that are in a state as people see it; all of them for none."""
    return STATES if word is None else ("running" if word == INTERRUPTED else word,)


def _split(states: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return (the state to filter by, the state folder) of what `--state` was given."""
    words = [text for text in states if text in WORDS]
    folders = [text for text in states if text not in WORDS]
    if len(words) > 1 or len(folders) > 1:
        raise click.UsageError(f"--state takes one state and one folder, not {', '.join(states)}")
    return next(iter(words), None), next(iter(folders), None)

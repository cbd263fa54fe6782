"""`triggers pause`, `triggers resume` and `triggers drain`: letting nothing of some routes, or of the app, start."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Sequence
from math import inf

import apsw
import click

from triggers.commands.failures import FAILED, OK
from triggers.commands.holdups import named, numbers
from triggers.commands.output import count, note, plain, say, say_json
from triggers.commands.parameters import Finite, json_option, state_option
from triggers.commands.reading import living_epoch, reader, require_names
from triggers.commands.requesting import hand_in, taken_in
from triggers.events import Event
from triggers.journal import backlog, pauses
from triggers.journal.backlog import OpenRun
from triggers.requests import PauseRoutes, ResumeRoutes
from triggers.state import StateFolder

LOOK = 0.2
"""Seconds between two looks at what still runs."""


@click.command()
@click.argument("routes", metavar="[ROUTE]...", nargs=-1)
@state_option
@json_option
def pause(routes: tuple[str, ...], folder: str | None, as_json: bool) -> None:
    """Let nothing of some routes start, or of the whole app, until they are resumed, also across restarts.

    What runs goes on. Events are recorded, with their runs, which wait.
    """
    taken = _ask(folder, routes, PauseRoutes(routes=list(routes), by=_who()), "paused")
    _answer(folder, routes, taken, "paused", as_json)


@click.command()
@click.argument("routes", metavar="[ROUTE]...", nargs=-1)
@state_option
@json_option
def resume(routes: tuple[str, ...], folder: str | None, as_json: bool) -> None:
    """Let paused routes go on; without any, end the pause of the whole app. What was paused for itself stays so."""
    with reader(folder) as (_, connection):
        before = pauses.paused_routes(connection)
    taken = _ask(folder, routes, ResumeRoutes(routes=list(routes)), "resumed")
    _answer(folder, routes, taken, "resumed", as_json, [name for name in routes or [pauses.APP] if name not in before])


@click.command()
@click.argument("routes", metavar="[ROUTE]...", nargs=-1)
@click.option("--timeout", type=Finite(min=0), metavar="SECONDS", help="Wait no longer; exits with 1 then.")
@state_option
@json_option
def drain(routes: tuple[str, ...], timeout: float | None, folder: str | None, as_json: bool) -> int:
    """Pause some routes, or the whole app, wait until what runs of them has ended, and say what is left."""
    until = inf if timeout is None else time.monotonic() + timeout
    obeyed = _ask(folder, routes, PauseRoutes(routes=list(routes), by=_who()), "paused", until)
    running, left = _wait(folder, routes, until), _left(folder, routes)
    if as_json:
        say_json({"paused": _all(routes), "running": [f"r{number}" for number in numbers(running)], "left": left})
    else:
        if obeyed:
            say(f"still at work: {named(running)}" if running else f"{_words(routes)} paused, and nothing of it runs")
        for route, of_it in left.items():
            say(f"{plain(route)}: {of_it['waiting']:,} waiting, {of_it['delayed']:,} delayed")
    return OK if obeyed and not running else FAILED


def _left(folder: str | None, routes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many runs wait and are delayed, by the routes that have any."""
    with reader(folder) as (state, connection):
        waiting = backlog.counts(connection, living_epoch(state, connection))
        delayed = backlog.delayed_counts(connection)
    return {
        route: {"waiting": waiting.get(route, 0), "delayed": delayed.get(route, 0)}
        for route in sorted(waiting.keys() | delayed.keys())
        if not routes or route in routes
    }


def _ask(folder: str | None, routes: Sequence[str], request: Event, word: str, until: float = -inf) -> bool:
    """Hand a request in, and say whether the app has carried it out; until a moment go on waiting for a busy one.

    Where no dispatcher runs, there is nothing to wait for: the next one obeys before it starts anything.
    """
    with reader(folder) as (state, connection):
        for route in routes:
            require_names(connection, route=route)
    ids = hand_in(state, [request])
    taken = taken_in(state, ids, f"{_words(routes)} {word}")
    while not taken and state.holder() and time.monotonic() < until:
        taken = taken_in(state, ids, f"{_words(routes)} {word}")
    return taken or (until > -inf and not state.holder())


def _answer(
    folder: str | None, routes: Sequence[str], taken: bool, word: str, as_json: bool, idle: Sequence[str] = ()
) -> None:
    """Say what came of a request; `idle` are the routes, or the app, that were not paused for it to resume."""
    with reader(folder) as (_, connection):
        known = pauses.paused_routes(connection)
    if as_json:
        still = {name: str(pause) for name, pause in known.items() if name}
        say_json({"routes": _all(routes), "taken_in": taken, "paused": {"app": pauses.APP in known, "routes": still}})
        return
    changed = [name for name in routes or [pauses.APP] if name not in idle]
    if taken and changed:
        say(f"{_words([name for name in changed if name])} {word}")
    for name in idle if taken else ():
        note(f"{plain(name) or 'the whole app'} was not paused")
    others = [pause for name, pause in known.items() if name not in routes and (routes or name)]
    for pause in others if word == "resumed" and taken else ():
        note(f"{plain(pause.route) or 'all routes'}: {plain(str(pause))}")


def _wait(folder: str | None, routes: Sequence[str], until: float) -> list[OpenRun]:
    """Wait until nothing of the routes runs any more, and return what does all the same."""
    with reader(folder) as (state, connection):
        while running := _running(state, connection, routes):
            if time.monotonic() >= until:
                break
            time.sleep(LOOK)
    return running


def _running(state: StateFolder, connection: apsw.Connection, routes: Sequence[str]) -> list[OpenRun]:
    at_work = backlog.at_work(connection, living_epoch(state, connection))
    return [run for run in at_work if not routes or run.route in routes]


def _words(routes: Sequence[str]) -> str:
    if not routes:
        return "the whole app is"
    return f"{routes[0]} is" if len(routes) == 1 else f"{count(len(routes), 'route')} are"


def _all(routes: Sequence[str]) -> list[str] | None:
    """Return the routes that were named, None for the whole app."""
    return list(routes) or None


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"

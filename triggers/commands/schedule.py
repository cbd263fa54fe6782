"""`triggers schedule`: the next firings of an app's schedules, and pausing them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from math import inf
from typing import Any

import apsw
import click

from triggers.commands.failures import NotFound
from triggers.commands.output import clock, count, iso, note, print_table, say, say_json, span
from triggers.commands.parameters import json_option, state_option
from triggers.commands.reading import reader
from triggers.commands.requesting import hand_in, taken_in
from triggers.errors import ScheduleError, did_you_mean
from triggers.events import Event
from triggers.journal import pauses, views
from triggers.journal.views import RouteView
from triggers.requests import Pause, Resume
from triggers.schedule import Schedule, firings, manner, timezone_of
from triggers.schedule.reading import read
from triggers.schedule.zones import zone
from triggers.state import StateFolder

MOST = 100_000
"""How many firings one command lists or fires."""


class Schedules(click.Group):
    """A group whose name may be followed by a module, which lists its schedules."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the command `list` where none of ours is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Schedules)
def schedule() -> None:
    """List the next firings: triggers schedule MODULE[:APP]. Or pause and resume: triggers schedule pause NAME."""


@dataclass(frozen=True, slots=True)
class Upcoming:
    """An instant at which a schedule is going to fire, and when it does, with its jitter."""

    due: float
    released: float
    name: str
    schedule: Schedule


@schedule.command("list", hidden=True)
@click.argument("target", metavar="MODULE[:APP]")
@click.option("--count", "most", type=click.IntRange(min=1), default=5, show_default=True, help="How many of each.")
@click.option("--route", metavar="NAME", help="Only those of this route.")
@state_option
@json_option
def list_next(target: str, most: int, route: str | None, folder: str | None, as_json: bool) -> None:
    """List the next firings of an app's schedules: wall time and zone, and UTC.

    Those that are paused, by the app's state folder where there is one, are marked.
    """
    from triggers.app import default_state
    from triggers.commands.loading import load_app  # loads the app's side, which to pause does not need

    app = load_app(target)
    schedules = {one.name: one.schedule for one in app.routes.values() if one.schedule}
    if route is not None and route not in schedules:
        raise NotFound(f"app {app.name!r} has no schedule {route!r}{did_you_mean(route, schedules)}")
    chosen = {name: one for name, one in schedules.items() if route in (None, name)}
    paused = _paused(StateFolder(folder or default_state(app.name)))
    if most > 1 and most * len(chosen) > MOST:
        raise click.UsageError(
            f"--count {most:,} of {count(len(chosen), 'schedule')} would be {most * len(chosen):,} firings, and"
            f" {MOST:,} are the most; take fewer of each, or one schedule by --route"
        )
    found, silent = _next(chosen, most, time.time())
    for why in silent.values():
        note(f"warning: {why}")
    if as_json:
        say_json([_json(one, paused) for one in found])
    elif not chosen:
        note(f"app {app.name!r} has no schedules; @app.on(cron('0 3 * * *')) makes one")
    else:
        _print(found, paused)
        for name in sorted(set(chosen) - {one.name for one in found} - set(silent)):
            note(f"{name} does not fire any more: {chosen[name]}")


def _next(schedules: Mapping[str, Schedule], most: int, now: float) -> tuple[list[Upcoming], dict[str, str]]:
    """Return the next firings of all schedules in their order, and why some of them do not say when they fire."""
    found: list[Upcoming] = []
    silent: dict[str, str] = {}
    for name, one in schedules.items():
        try:
            found += [
                Upcoming(due, due + manner(one).offset(name, due, one.next(due)), name, one)
                for due in islice(firings(one, now, inf), most)
            ]
        except Exception as error:  # of a calendar of the user's
            silent[name] = silence(name, error)
    return sorted(found, key=lambda one: (one.due, one.name)), silent


def silence(name: str, error: Exception) -> str:
    """Return what to say of a schedule that raises an error when it is asked."""
    return f"schedule {name!r} does not say when it fires: {error!r}"


def _paused(state: StateFolder) -> dict[str, float]:
    """Return the schedules that are paused in a state folder, and since when; none where there is no folder."""
    if not state.has_journal():
        return {}
    connection = views.open_reader(state)
    try:
        return pauses.paused(connection)
    finally:
        connection.close()


def _json(one: Upcoming, paused: Mapping[str, float]) -> dict[str, Any]:
    return {
        "route": one.name,
        "due": iso(one.due),
        "local": _local(one).isoformat(),
        "timezone": timezone_of(one.schedule),
        "released": iso(one.released),
        "schedule": str(one.schedule),
        "missed": manner(one.schedule).missed,
        "paused": iso(paused.get(one.name)),
    }


def _print(found: list[Upcoming], paused: Mapping[str, float]) -> None:
    rows = []
    for one in found:
        put_off = f" +{span(one.released - one.due)}" if one.released > one.due else ""
        since = f"(paused since {clock(paused[one.name])}) " if one.name in paused else ""
        rows.append(
            [
                one.name,
                f"{_local(one):%a %Y-%m-%d %H:%M:%S}",
                timezone_of(one.schedule),
                f"{(iso(one.due) or '')[:19]}Z{put_off}",
                f"{since}{one.schedule}",
            ]
        )
    if rows:
        print_table(["route", "fires", "in", "utc", "schedule"], rows)


def _local(one: Upcoming) -> datetime:
    return datetime.fromtimestamp(one.due, zone(timezone_of(one.schedule)).tz)


@schedule.command()
@click.argument("name", metavar="NAME")
@state_option
@json_option
def pause(name: str, folder: str | None, as_json: bool) -> None:
    """Let a schedule not fire until it is resumed, also across restarts. What comes due meanwhile is not missed."""
    _switch(name, folder, as_json, paused=True)


@schedule.command()
@click.argument("name", metavar="NAME")
@state_option
@json_option
def resume(name: str, folder: str | None, as_json: bool) -> None:
    """Let a paused schedule fire again, from its next instant on."""
    _switch(name, folder, as_json, paused=False)


def _switch(name: str, folder: str | None, as_json: bool, *, paused: bool) -> None:
    with reader(folder) as (state, connection):
        find_schedule(connection, name)
        already = (name in pauses.paused(connection)) == paused
    word = "paused" if paused else "resumed"
    request: Event = Pause(schedule=name) if paused else Resume(schedule=name)
    taken = taken_in(state, hand_in(state, [request]), f"{name} will be {word}")
    if as_json:
        say_json({"schedule": name, "paused": paused, "taken_in": taken})
    elif taken:
        say(f"{name} is {word}" + (", as it was before" if already else ""))


def find_schedule(connection: apsw.Connection, name: str) -> RouteView:
    """Return the route that has the schedule, as the app last ran, or raise `NotFound`."""
    routes = {route.name: route for route in views.routes(connection).values() if route.policy.get("schedule")}
    if name not in routes:
        raise NotFound(f"the app has no schedule {name!r}{did_you_mean(name, routes)}")
    return routes[name]


def of_schedule(connection: apsw.Connection, route: RouteView, now: float) -> str:
    """Return in a line when a schedule fires next, or why it does not."""
    text = str(route.policy["schedule"])
    since = pauses.paused(connection).get(route.name)
    if since is not None:
        return (
            f"{text} has been paused since {clock(since)}; `triggers schedule resume {route.name}` lets it fire again"
        )
    try:
        due = read(text).next(now)
    except ScheduleError:
        return f"it fires by {text}; `triggers schedule MODULE` says when"
    if due is None:
        return f"{text} does not fire any more"
    return f"{text} fires next at {clock(due)} (in {span(due - now)})"

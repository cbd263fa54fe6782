"""`triggers backfill`: a schedule fired for a past range, on purpose."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from math import inf, nextafter

import apsw
import click

from triggers.commands.failures import NotFound
from triggers.commands.output import count, iso, note, print_table, say, say_json
from triggers.commands.parameters import Moment, json_option, state_option
from triggers.commands.reading import reader
from triggers.commands.requesting import chunks, hand_in, taken_in
from triggers.commands.schedule import MOST, find_schedule, silence
from triggers.errors import ScheduleError, did_you_mean
from triggers.events import moment
from triggers.journal import views
from triggers.requests import Backfill
from triggers.schedule import Schedule, firings
from triggers.schedule.reading import read
from triggers.sources.timer import NAME, identity
from triggers.state import StateFolder

SHOWN = 50
"""How many instants are listed."""


@click.command()
@click.argument("route", metavar="ROUTE")
@click.option("--from", "since", type=Moment(), required=True, help="The first moment: 10m, 2h, 3d ago, or a time.")
@click.option("--to", "until", type=Moment(), help="The moment before which it ends; now if not given.")
@click.option("--again", is_flag=True, help="Also the instants that have fired, once more.")
@click.option(
    "--app", "target", metavar="MODULE[:APP]", help="Whose schedule; needed where its calendar is a function."
)
@click.option("--yes", is_flag=True, help="Do it. Without it: only list what would fire.")
@state_option
@json_option
def backfill(
    route: str,
    since: float,
    until: float | None,
    again: bool,
    target: str | None,
    yes: bool,
    folder: str | None,
    as_json: bool,
) -> None:
    """Fire a route's schedule for the instants of a past range. One that has fired does not fire again.

    The ticks are marked (`Tick.backfill`), and their runs wait for one another whatever `overlap=` says. Without --yes
    it only lists the instants.
    """
    now = time.time()
    until = now if until is None else until
    if not since < until <= now:
        raise click.UsageError(f"--from {iso(since)} --to {iso(until)} is no range of the past")
    with reader(folder) as (state, connection):
        schedule = _schedule(connection, route, target)
        plan = _plan(connection, route, schedule, since, until)
    wanted = [due for due, event in plan if again or event is None]
    if not yes:
        _show(plan, wanted, as_json)
        return
    requests = [Backfill(schedule=route, instants=part, again=again) for part in chunks(wanted)]
    taken = bool(requests) and taken_in(
        state, hand_in(state, requests), f"{count(len(wanted), 'instant')} of {route} will fire"
    )
    events = _fired(state, route, wanted) if taken and not again else []
    if as_json:
        say_json({"instants": len(wanted), "taken_in": taken, "events": events})
    elif taken:
        about = f": {events[0]}{f' to {events[-1]}' if len(events) > 1 else ''}" if events else ""
        say(f"fired {count(len(wanted), 'instant')} of {route}{about}")
    elif not wanted:
        note("nothing to fire" + (": all of it has fired, --again does it once more" if plan else ""))


def _schedule(connection: apsw.Connection, route: str, target: str | None) -> Schedule:
    """Return the route's schedule: of the app that is named, else as the journal has it."""
    if target is not None:
        from triggers.commands.loading import load_app

        app = load_app(target)
        found = app.routes.get(route)
        if found is None or found.schedule is None:
            known = {one.name for one in app.routes.values() if one.schedule}
            raise NotFound(f"app {app.name!r} has no schedule {route!r}{did_you_mean(route, known)}")
        return found.schedule
    text = str(find_schedule(connection, route).policy["schedule"])
    try:
        return read(text)
    except ScheduleError as error:
        raise click.UsageError(
            f"the journal cannot tell when {route} fires: {error}; name the app with --app MODULE"
        ) from error


def _plan(
    connection: apsw.Connection, route: str, schedule: Schedule, since: float, until: float
) -> list[tuple[float, int | None]]:
    """Return the instants in [since, until), each with the event of its firing, if it has fired."""
    plan: list[tuple[float, int | None]] = []
    for due in _instants(route, schedule, since, until):
        if len(plan) == MOST:
            raise click.UsageError(f"more than {MOST:,} instants lie in that range; take a part of it at a time")
        plan.append((due, views.delivered(connection, NAME, identity(route, moment(due)))))
    return plan


def _instants(route: str, schedule: Schedule, since: float, until: float) -> Iterator[float]:
    """Yield the instants in [since, until); raise `ScheduleError` where a calendar of the user's fails."""
    try:
        yield from firings(schedule, nextafter(since, -inf), nextafter(until, -inf))
    except Exception as error:
        raise ScheduleError(silence(route, error)) from error


def _show(plan: Sequence[tuple[float, int | None]], wanted: Sequence[float], as_json: bool) -> None:
    fires = set(wanted)
    if as_json:
        say_json([{"due": iso(due), "fired": event and f"e{event}", "would_fire": due in fires} for due, event in plan])
        return
    if not plan:
        note("no instant lies in that range")
        return
    rows = [
        [(iso(due) or "")[:19] + "Z", f"e{event}" if event else "-", "yes" if due in fires else "no"]
        for due, event in plan[:SHOWN]
    ]
    print_table(["due", "fired", "would fire"], rows)
    more = f" (the first {SHOWN} are listed)" if len(plan) > SHOWN else ""
    do_it = "; add --yes to do it" if wanted else "; --again fires once more what has fired"
    note(f"{len(wanted):,} of {count(len(plan), 'instant')} would fire{more}{do_it}")


def _fired(state: StateFolder, route: str, instants: Sequence[float]) -> list[str]:
    """Return the events of the firings."""
    connection = views.open_reader(state)
    try:
        found = [views.delivered(connection, NAME, identity(route, moment(due))) for due in instants]
    finally:
        connection.close()
    return [f"e{event}" for event in found if event is not None]

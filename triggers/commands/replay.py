"""`triggers replay`: events given to their routes again, as new runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import apsw
import click

from triggers.commands.failures import NotFound
from triggers.commands.matching import verdicts
from triggers.commands.output import clock, count, note, plain, print_table, say, say_json
from triggers.commands.parameters import Moment, deployed_option, json_option, number_of, state_option
from triggers.commands.reading import digest, find_event, looking, require_names
from triggers.commands.requesting import chunks, hand_in, shown, taken_in
from triggers.errors import did_you_mean
from triggers.journal import views
from triggers.lineage import EventRow
from triggers.requests import Replay
from triggers.state import StateFolder

if TYPE_CHECKING:  # who replays from a state folder needs nothing of AWS
    from triggers.aws.deployed import Deployed

MOST = 10_000
"""As many runs of an app in AWS are looked through for events to replay, the newest."""

Plan = list[tuple[EventRow, list[str]]]
"""Events, and the routes that would run for each."""


@click.command()
@click.option("--type", "kind", metavar="TYPE", help="Events of this type.")
@click.option("--route", metavar="NAME", help="For this route only.")
@click.option("--since", type=Moment(), help="Events recorded since: 10m, 2h, 3d, or a time.")
@click.option("--until", type=Moment(), help="Events recorded before: 10m, 2h, 3d, or a time.")
@click.option("--event", "ids", multiple=True, metavar="EVENT", help="This event; may be given several times.")
@click.option("--yes", is_flag=True, help="Do it. Without it: only list what would run.")
@state_option
@deployed_option
@json_option
def replay(
    kind: str | None,
    route: str | None,
    since: float | None,
    until: float | None,
    ids: Sequence[str],
    yes: bool,
    folder: str | None,
    aws: str | None,
    as_json: bool,
) -> None:
    """Give events to their routes again, as new runs with effect keys of their own.

    Without --yes it only lists what would run, by the routes of the app as it last ran.
    """
    if not (kind or route or ids or since is not None or until is not None):
        raise click.UsageError("say which events: --event, --type, --route, --since or --until")
    numbers = [number_of(id, "e") for id in dict.fromkeys(ids)]
    with looking(folder, aws, lambda deployed: _looked_through(deployed, numbers)) as (state, connection):
        plan = _plan(connection, kind, route, since, until, numbers)
        before = views.newest_run(connection)
    if not yes:
        _show(plan, as_json)
        return
    if not isinstance(state, StateFolder):
        _send_again(state, plan, as_json)
        return
    events = [event.number for event, _ in plan]
    taken = False
    if events:
        request_ids = hand_in(state, [Replay(events=part, route=route) for part in chunks(events)])
        taken = taken_in(state, request_ids, f"{shown(events, 'e', 'event')} will be replayed")
    made, gone = _outcome(state, before, events) if taken else ([], [])
    if as_json:
        say_json({"events": len(plan), "taken_in": taken, "runs": made, "gone": gone})
    elif taken:
        first = f": {made[0]}{f' to {made[-1]}' if len(made) > 1 else ''}" if made else ""
        say(f"replayed {count(len(events) - len(gone), 'event')}, {count(len(made), 'new run')}{first}")
    elif not events:
        note("nothing to replay")
    if gone and not as_json:
        note(f"not replayed, since retention deleted it meanwhile: {', '.join(gone)}")


def _looked_through(deployed: Deployed, numbers: Sequence[int]) -> apsw.Connection:
    """Return the chains of the events that are named, or where none is the newest runs."""
    return deployed.chain(*(f"e{number}" for number in numbers)) if numbers else deployed.newest(MOST)


def _send_again(deployed: Deployed, plan: Plan, as_json: bool) -> None:
    """Have the routes of an app in AWS run on the events again, and say so."""
    for event, names in plan:
        for name in names:
            deployed.replay(event, name)
    runs = sum(len(names) for _, names in plan)
    if as_json:
        say_json({"events": len(plan), "taken_in": bool(plan), "sent": runs})
    elif plan:
        say(f"replayed {count(len(plan), 'event')}: {count(runs, 'copy', 'copies')} sent to the queues of their routes")
    else:
        note("nothing to replay")


def _plan(
    connection: apsw.Connection,
    kind: str | None,
    route: str | None,
    since: float | None,
    until: float | None,
    numbers: Sequence[int],
) -> Plan:
    """Return the events that are meant and trigger something, with their routes."""
    require_names(connection, kind=kind)
    routes = views.routes(connection)
    if route is not None:
        if route not in routes:
            raise NotFound(f"the app has no route {route!r}{did_you_mean(route, routes)}")
        routes = {route: routes[route]}
        kind = kind or (None if numbers else routes[route].runs_on)
    if numbers:
        events = [find_event(connection, number) for number in dict.fromkeys(numbers)]
        events = [event for event in events if kind in (None, event.type)]
    else:
        events = views.events(connection, type=kind, since=since, until=until)
    plan = [(event, [one.route for one in verdicts(routes.values(), event) if one.reason is None]) for event in events]
    return [(event, names) for event, names in plan if names]


def _show(plan: Plan, as_json: bool) -> None:
    if as_json:
        say_json([{"event": f"e{event.number}", "type": event.type, "routes": names} for event, names in plan])
        return
    rows = [
        [f"e{event.number}", clock(event.recorded), plain(event.type, 24), ", ".join(names), plain(digest(event))]
        for event, names in plan
    ]
    if not rows:
        note("nothing would run")
        return
    print_table(["event", "recorded", "type", "would run", "about"], rows)
    runs = sum(len(names) for _, names in plan)
    note(f"{count(len(plan), 'event')} would start {count(runs, 'run')}; add --yes to do it")


def _outcome(state: StateFolder, before: int, events: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return the runs that a replay made, those after the run `before`, and the events that are gone meanwhile."""
    connection = views.open_reader(state)
    try:
        wanted = set(events)
        made = [run for run in views.runs(connection, after=before) if run.event in wanted]
        without = wanted - {run.event for run in made}
        gone = [number for number in sorted(without) if not views.events(connection, number=number)]
    finally:
        connection.close()
    return [f"r{run.number}" for run in made], [f"e{number}" for number in gone]

"""What is to come, for the commands that show it: the outlook of a journal, and how moments are said."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import apsw

from triggers.commands.output import clock, iso
from triggers.journal import backlog, views
from triggers.journal.counted import started
from triggers.journal.orders import Shut
from triggers.journal.reading import ended_since, waiting
from triggers.journal.times import last_ended
from triggers.journal.views import AppView, RouteView
from triggers.policy import FORGOTTEN, Shares
from triggers.prediction.forecast import LAST, RunTimes
from triggers.prediction.outlook import MOST, Moments, Open, Outlook, foresee
from triggers.simulate.declared import Declared

FIRST = (float("-inf"), 0)
"""The rank before all ranks."""

NAMED = 3
"""How many routes are named of which too little is known."""

HOLD = "hold"
"""What `if_dead=` is then; the options load much else."""

SOON = 1.0
"""Seconds that nobody tells from now."""


def outlook(connection: apsw.Connection, epoch: int, now: float) -> Outlook:
    """Return when what is open under an epoch is expected to start and to end; nothing where too little is recorded."""
    app, routes = views.app(connection), views.routes(connection)
    if app is None:
        return Outlook()
    times = RunTimes()
    times.load(last_ended(routes, LAST)(connection))
    declared = Declared(app, routes)
    if any(route.policy.get("share") for route in routes.values()):
        declared.had = _had(connection, declared, now)
    declared.counted = started(list(declared.throttles))(connection)
    open = Open(
        running=backlog.at_work(connection, epoch),
        waiting={name: best(connection, name, epoch) for name in routes},
        delayed=backlog.delayed(connection, MOST),
        counts=backlog.counts(connection, epoch),
        parked=backlog.parked(connection, _holding(routes), MOST),
    )
    shut = [*views.closed(connection), *_held_up(routes, open)]
    return foresee(open, declared, times.range, shut, now)


def _had(connection: apsw.Connection, app: Declared, now: float) -> Shares:
    """Return what the shares had of late, as the dispatcher reckons it at its start."""
    shares = Shares(app.weights)
    for run in ended_since(now - FORGOTTEN)(connection):
        if app.knows(run.route):
            shares.recall(app.share_of(run.route, run.key), app.part(run.route), run.started, run.ended, now)
    return shares


def best(connection: apsw.Connection, route: str, epoch: int) -> list[backlog.OpenRun]:
    """Return the runs of a route that wait, as many as are played, the best-ranked first."""
    rows = waiting(route, epoch, FIRST, MOST)(connection)
    return [backlog.OpenRun(row.number, route, row.attempt, row.epoch, None, None, row.terms) for row in rows]


def _holding(routes: Mapping[str, RouteView]) -> list[str]:
    """Return the routes of which a dead run holds up those behind it in the order of their data."""
    return [name for name, route in routes.items() if route.policy.get("if_dead") == HOLD]


def _held_up(routes: dict[str, RouteView], open: Open) -> list[Shut]:
    """Return what runs hold up that are to be tried again, where the others must wait for them."""
    single = {name for name, route in routes.items() if route.policy.get("overlap", "allow") != "allow"}
    reason = "an earlier run is to be tried again before"
    return [
        Shut(run.route, not routes[run.route].policy.get("key"), run.terms.key, run.due or 0.0, reason)
        for run in open.delayed
        if run.route in single
    ]


def own_policy(app: AppView | None) -> str:
    """Return what to add to a prediction where the app chooses by a policy of its own, which readers don't load."""
    return f"; as the default policy has it, and not {app.policy}" if app and app.policy else ""


def foreseen(found: Outlook, number: int, behind: Collection[str], now: float) -> str | None:
    """Return in words when a run is expected to start, if it has not, and to end; None where there is nothing to say.

    `behind` are the routes of the runs that it waits for: they are named where nobody knows how long theirs take.
    """
    expected = found.runs.get(number)
    if expected is None:
        return None
    parts = []
    if expected.start and expected.start.high > now:
        parts.append(f"starts {said(expected.start, now)}")
    if expected.end:
        parts.append(f"ends {said(expected.end, now)}")
    if parts:
        return f"expected: {', '.join(parts)}"
    return _unknown(found, behind) if expected.start is None else None


def said(when: Moments, now: float) -> str:
    """Return a range in words, its middle first."""
    if when.high - now < SOON:
        return "now"
    if when.high - when.low < SOON:
        return f"at {clock(when.middle)}"
    return f"at about {clock(when.middle)} ({clock(max(when.low, now))} to {clock(when.high)})"


def shown(when: Moments | None) -> dict[str, str | None] | None:
    """Return a range as `--json` has it."""
    return None if when is None else {"p10": iso(when.low), "p50": iso(when.middle), "p90": iso(when.high)}


def _unknown(found: Outlook, behind: Collection[str]) -> str | None:
    if not found.unknown:
        return None
    names = sorted(found.unknown.intersection(behind))
    of = f"{', '.join(names[:NAMED])}{' and others' if len(names) > NAMED else ''}" if names else "what goes before it"
    return f"when it starts nobody can say yet: too few runs of {of} have ended"

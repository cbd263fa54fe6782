"""What brought a failure about: from a run up to the events that came from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import apsw
import click

from triggers.commands.parameters import named_app, written
from triggers.commands.reading import OBJECT_CREATED, find_event
from triggers.errors import TriggersError
from triggers.journal import views
from triggers.journal.groups import GATHERED, groups
from triggers.journal.views import RunView
from triggers.lineage import EventRow

T = TypeVar("T")

NAMED = 5
"""How many runs are named where one must be chosen."""

_FAILED = ("failed", "dead", "in part")
"""How attempts are recorded that a handler's error ended."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a run: the error of its last attempt that failed."""

    run: RunView
    error: str
    attempt: int
    final: bool
    """Whether the run ended by it. If not, it is tried again, or another attempt ended well."""


@dataclass(frozen=True, slots=True)
class Origins:
    """The events from outside that led to a run, and the runs on the way to it, itself the last."""

    inputs: list[EventRow]
    """In the order in which they were recorded. What a run emitted is among them where that run has been pruned."""
    events: dict[int, EventRow]
    """All events on the way, by number."""
    runs: list[RunView]
    put_off: set[int]
    """Those of the runs that their handlers have put off by `Later`."""


def failure_of(connection: apsw.Connection, run: RunView) -> Failure:
    """Return what went wrong with a run, or raise `TriggersError` where nothing did."""
    tried = [one for one in views.attempts(connection, run.number) if one.outcome in _FAILED]
    if run.state == "dead" or (run.state == "dropped" and tried and tried[-1].outcome == "dead"):
        return Failure(run, run.error or "", run.attempt, final=True)
    if not tried:
        none = "its record has no attempt that failed (it keeps none once another went well)"
        why = none if named_app() else "no attempt of it has failed"
        raise TriggersError(
            f"r{run.number} is {run.state} and {why}; {written('dead')} lists the runs that failed for good"
        )
    return Failure(run, tried[-1].error or "", tried[-1].attempt, final=False)


def dead_below(connection: apsw.Connection, event: EventRow) -> RunView:
    """Return the one dead run that an event led to; raise where there is none, or where one must be chosen."""
    roots = {event.root}
    for group in groups(connection, [event.number])[event.number]:
        roots |= {find_event(connection, group.whole).root} if group.whole else set()
    dead = [run for root in sorted(roots) for run in views.runs(connection, root=root, state="dead")]
    found = [run for run in dead if event.number in origins_of(connection, run).events]
    if len(found) == 1:
        return found[0]
    if not found:
        raise TriggersError(
            f"nothing that e{event.number} led to is dead; name the run, as in r7, to have an attempt that failed"
        )
    names = ", ".join(f"r{run.number} ({run.route})" for run in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    raise click.UsageError(f"e{event.number} led to {len(found)} dead runs; say which: {names}{more}")


def origins_of(connection: apsw.Connection, run: RunView) -> Origins:
    """Return where a run comes from. Raises `NotFound` where an event on the way has been pruned."""
    inputs: dict[int, EventRow] = {}
    events: dict[int, EventRow] = {}
    runs = {run.number: run}
    left = [run.event]
    while left:  # not recursive: chains may be long
        if (number := left.pop()) in events:
            continue
        event = events[number] = find_event(connection, number)
        if cause := _cause(connection, event):
            runs[cause.number] = cause
            left.append(cause.event)
        elif members := _members(event):
            left += members
        else:
            inputs[number] = event
    put_off = {number for number in runs if any(one.outcome == "later" for one in views.attempts(connection, number))}
    return Origins(_sorted(inputs), events, _sorted(runs), put_off)


def _sorted(rows: Mapping[int, T]) -> list[T]:
    return [rows[number] for number in sorted(rows)]


def _cause(connection: apsw.Connection, event: EventRow) -> RunView | None:
    """Return the run that emitted an event, if it is still here.

    What tells of an object that a run has written comes from its source. What stands for events that came together
    goes on with the chain of the last one, and comes from all of them; what a run has put aside of its batch, to be
    tried by itself, comes from that run.
    """
    together = event.type == GATHERED and json.loads(event.data)["ended"] != "split"
    if event.cause is None or event.type == OBJECT_CREATED or together:
        return None
    return next(iter(views.runs(connection, number=event.cause)), None)


def _members(event: EventRow) -> list[int]:
    """Return the events that an event stands for; none where it stands for itself."""
    return list(json.loads(event.data)["events"]) if event.type == GATHERED else []

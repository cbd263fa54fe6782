"""`triggers trace`: causes and effects as a tree, from the root of the chain down."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import click

from triggers.commands.output import can_write, clock, fitted, note, paint, plain, say, say_json, span, state
from triggers.commands.parameters import deployed_option, json_option, state_option
from triggers.commands.reading import (
    OBJECT_CREATED,
    digest,
    duration,
    event_json,
    find,
    find_event,
    living_epoch,
    looking,
    run_json,
    state_of,
    twice,
)
from triggers.journal import views
from triggers.journal.groups import GATHERED, groups
from triggers.journal.views import RunView
from triggers.lineage import EventRow

Item = EventRow | RunView


class Chain:
    """All events and runs that come from one root, and who caused whom."""

    def __init__(self, connection: apsw.Connection, root: int, limit: int, epoch: int) -> None:
        self.epoch = epoch
        events = views.events(connection, root=root, limit=limit + 1, oldest=True)
        self.root = events[0] if events else find_event(connection, root)  # the root itself may have been pruned
        self.cut = len(events) > limit
        events = events[:limit]
        self.duplicates = views.duplicates(connection, [self.root])
        self.by_cause: defaultdict[int | None, list[EventRow]] = defaultdict(list)
        for event in events:
            self.by_cause[event.cause].append(event)
        self.groups = groups(connection, [event.number for event in events])
        """The groups that events of the chain belong to."""
        self.made_of = _made_of(events)
        """The events that were made of groups, by the last event of each."""
        self.by_event: defaultdict[int, list[RunView]] = defaultdict(list)
        shown = {event.number for event in events} or {root}
        for run in views.runs(connection, root=root):
            if run.event in shown:
                self.by_event[run.event].append(run)

    def below(self, item: Item) -> list[Item]:
        """Return what an event triggered or is the last of, or what a run emitted."""
        if isinstance(item, EventRow):
            return [*self.by_event[item.number], *self.made_of[item.number]]
        elsewhere = {event.number for made in self.made_of.values() for event in made}
        return [event for event in self.by_cause[item.number] if event.number not in elsewhere]

    def lines(self) -> Iterator[tuple[str, Item]]:
        """Yield every item with the branches that lead to it, the root first. Not recursive: chains may be long."""
        fork, last, bar = ("├─ ", "└─ ", "│  ") if can_write("├─└│") else ("+- ", "`- ", "|  ")
        stack: list[tuple[str, str, Item]] = [("", "", self.root)]
        while stack:
            lead, rest, item = stack.pop()
            yield lead, item
            items = self.below(item)
            for number, child in enumerate(reversed(items)):
                stack.append((rest + (last if number == 0 else fork), rest + (bar if number else "   "), child))


def _made_of(events: Sequence[EventRow]) -> defaultdict[int, list[EventRow]]:
    """Return the events that were made of groups, by the last event of each, where that is among them.

    What failed in a batch and is tried by itself was emitted by the run of the batch.
    """
    shown = {event.number for event in events}
    found: defaultdict[int, list[EventRow]] = defaultdict(list)
    for event in events:
        if event.type == GATHERED:
            whole = json.loads(event.data)
            if whole["ended"] != "split" and (last := max(whole["events"])) in shown:
                found[last].append(event)
    return found


@click.command()
@click.argument("id", metavar="ID")
@click.option(
    "--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="How many events, the oldest."
)
@state_option
@deployed_option
@json_option
def trace(id: str, limit: int, folder: str | None, aws: str | None, as_json: bool) -> None:
    """Show the causes and effects of an event or a run as a tree.

    The tree begins at the root of the chain: the event that a source delivered. What was asked for is marked.
    """
    with looking(folder, aws, lambda deployed: deployed.chain(id)) as (place, connection):
        asked = find(connection, id)
        event = asked if isinstance(asked, EventRow) else find_event(connection, asked.event)
        chain = Chain(connection, event.root, limit, living_epoch(place, connection))
    if as_json:
        say_json({"asked": _name(asked), "root": f"e{event.root}", "cut": chain.cut, "tree": _json(chain)})
        return
    for lead, item in chain.lines():
        mark = paint("  <- asked for", "cyan", bold=True) if _name(item) == _name(asked) else ""
        head = f"{paint(lead, 'bright_black')}{_head(item, chain.epoch)}{mark}  "
        about = paint(fitted(_about(item, chain), head), "red" if isinstance(item, RunView) else None)
        say((head + about).rstrip())
    if chain.cut:
        note(f"later events of this chain than its first {limit:,} are not shown; raise --limit")


def _name(item: Item) -> str:
    return f"e{item.number}" if isinstance(item, EventRow) else f"r{item.number}"


def _head(item: Item, epoch: int) -> str:
    if isinstance(item, EventRow):
        told = item.cause is None or item.type == OBJECT_CREATED  # which a source tells, whoever wrote the object
        origin = f" from {plain(item.source)}" if told else ""
        when = paint(clock(item.recorded), "bright_black")
        return f"{paint(f'e{item.number} {plain(item.type)}', None, bold=True)}{origin}  {when}"
    word = state_of(item, epoch)
    took = duration(item)
    parts = [f"r{item.number} {plain(item.route)}", state(word)]
    if word == "delayed":
        parts.append(f"until {clock(item.due_time)}")
    elif took is not None:
        parts.append(f"in {span(took)}")
    if item.attempt > 1:
        parts.append(f"attempt {item.attempt}")
    return "  ".join(parts)


def _about(item: Item, chain: Chain) -> str:
    if isinstance(item, EventRow):
        return twice(item, chain.duplicates) + _together(item, chain) + plain(digest(item), 200)
    return plain(item.error or "", 200)


def _together(event: EventRow, chain: Chain) -> str:
    """Return in which events of other places an event has come together with others, or that it waits for them."""
    below = {made.number for made in chain.made_of[event.number]}
    groups = [group for group in chain.groups.get(event.number, ()) if group.whole not in below]
    words = [f"in e{group.whole}" if group.whole else f"waits for others of {group.route}" for group in groups]
    return f"({', '.join(words)}) " if words else ""


def _json(chain: Chain) -> dict[str, Any]:
    """Return the tree as nested objects: an event has `runs`, a run has `emitted`."""
    made: dict[str, dict[str, Any]] = {}
    wholes: dict[int, list[dict[str, Any]]] = {}
    for _, item in chain.lines():
        if isinstance(item, EventRow):
            made[_name(item)] = {**event_json(item, chain.duplicates), "runs": []}
            made[_name(item)]["together"] = [
                f"e{group.whole}" for group in chain.groups.get(item.number, ()) if group.whole
            ]
            made[_name(item)]["gathered"] = []
            for event in chain.made_of[item.number]:
                wholes[event.number] = made[_name(item)]["gathered"]
            if item.number in wholes:
                wholes[item.number].append(made[_name(item)])
            elif item.cause is not None and (cause := made.get(f"r{item.cause}")):
                cause["emitted"].append(made[_name(item)])
        else:
            made[_name(item)] = {**run_json(item, chain.epoch), "emitted": []}
            made[f"e{item.event}"]["runs"].append(made[_name(item)])
    return made[_name(chain.root)]

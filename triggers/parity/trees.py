"""What came of a scenario, in canonical form: trees of events and runs without what differs by nature.

Erased are ids, moments, and where places are. Kept is everything else, so that what is not the same is seen.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from triggers.events import MessageReceived, ObjectCreated, ObjectDeleted, RunFailed
from triggers.journal import views
from triggers.journal.views import RunView
from triggers.lineage import EventRow

Tree = dict[str, Any]

GROUP = "AWS.MessageGroupId"
"""The attribute of a message by which it has an order."""

_MESSAGE = MessageReceived.__event_type__
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"\b[er]\d{1,18}\b")
_NAMING = {
    ObjectCreated.__event_type__: {"version": "(content)"},
    ObjectDeleted.__event_type__: {"version": "(content)"},
    RunFailed.__event_type__: {"event_id": "(id)", "run": "(id)"},
}
"""By type: the fields of a payload that say which run, which event and which content, and what stands for them."""


def trees(connection: apsw.Connection, places: Mapping[str, str]) -> list[Tree]:
    """Return the chains that a journal holds, in an order that does not depend on when they came.

    `places` are the folders and URIs of the app's places. Events that came from outside and that nothing took are left
    out: in AWS nobody ever hears of them.
    """
    text = erasing(places)
    caused: defaultdict[int | None, list[EventRow]] = defaultdict(list)
    for event in views.events(connection):
        caused[event.cause].append(event)
    begun: defaultdict[int, list[RunView]] = defaultdict(list)
    for run in views.runs(connection):
        begun[run.event].append(run)

    def of_event(event: EventRow) -> Tree:
        return {
            "type": event.type,
            "version": event.version,
            "source": event.source,
            "subject": event.subject,
            "depth": event.depth,
            "budget": event.budget,
            "data": _payload(event, text),
            "runs": _sorted(of_run(run) for run in begun[event.number]),
        }

    def of_run(run: RunView) -> Tree:
        return {
            "route": run.route,
            "state": run.state,
            "attempts": run.attempt,
            "error": run.error and _unnumbered(text(run.error)),
            "emitted": _sorted(of_event(event) for event in caused[run.number]),
        }

    return _sorted(of_event(event) for event in caused[None] if begun[event.number])


def order(connection: apsw.Connection, places: Mapping[str, str], serial: Collection[str]) -> list[Tree]:
    """Return in which order routes ran on what has one: the bodies of messages, group by group, and the payloads of all
    other events that came to `serial` routes, whose runs follow one another."""
    text = erasing(places)
    events = {event.number: event for event in views.events(connection)}
    found: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for run in sorted(views.runs(connection), key=lambda run: (run.started or 0.0, run.number)):
        event = events.get(run.event)
        if event and event.type == _MESSAGE:
            message = json.loads(event.data)
            if GROUP in message["attributes"]:
                found[run.route, message["attributes"][GROUP]].append(message["body"])
        elif event and run.route in serial:
            found[run.route, ""].append(_payload(event, text))
    return [{"route": route, "group": group, "order": found[route, group]} for route, group in sorted(found)]


def differences(one: Sequence[Tree], other: Sequence[Tree], names: tuple[str, str]) -> list[str]:
    """Return what is not the same, as the lines of a unified diff; nothing where all is."""
    before, after = (
        json.dumps(each, indent=1, sort_keys=True, ensure_ascii=False).splitlines() for each in (one, other)
    )
    return list(difflib.unified_diff(before, after, names[0], names[1], lineterm="", n=6))


def erasing(places: Mapping[str, str]) -> Callable[[str], str]:
    """Return what takes moments out of a text, and has the names of places stand for where they are."""
    roots = {root: name for name, place in places.items() for root in _roots(place)}
    longest_first = sorted(roots, key=len, reverse=True)
    pattern = re.compile(rf"({'|'.join(map(re.escape, longest_first))})(?![\w-]|\.\w)") if roots else None

    def erase(text: str) -> str:
        text = pattern.sub(lambda found: f"({roots[found[0]]})", text) if pattern else text
        return _MOMENT.sub("(moment)", text)

    return erase


def _roots(place: str) -> list[str]:
    """Return how a place is written: its URI, and for a folder its path, too."""
    return [place] if "://" in place else [Path(place).as_uri(), place]


def _sorted(trees: Iterable[Tree]) -> list[Tree]:
    return sorted(trees, key=lambda tree: json.dumps(tree, sort_keys=True))


def _payload(event: EventRow, text: Callable[[str], str]) -> Any:
    """Return a payload without what names or dates."""
    data = json.loads(event.data)
    data |= {name: said for name, said in _NAMING.get(event.type, {}).items() if name in data}
    if event.type == RunFailed.__event_type__:
        data["message"] = _unnumbered(data["message"])
    return _mapped(data, text)


def _mapped(data: Any, text: Callable[[str], str]) -> Any:
    """Return JSON with all its texts, but for names, replaced."""
    if isinstance(data, dict):
        return {key: _mapped(value, text) for key, value in data.items()}
    if isinstance(data, list):
        return [_mapped(value, text) for value in data]
    return text(data) if isinstance(data, str) else data


def _unnumbered(error: str) -> str:
    """Return what an error says without the numbers of events and runs."""
    return _NUMBER.sub("(id)", error)


__all__ = ["GROUP", "Tree", "differences", "erasing", "order", "trees"]

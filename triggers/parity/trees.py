"""What came of a scenario, in canonical form: trees of events and runs without what differs by nature.

Erased are ids, moments, and where places are. Kept is everything else, so that what is not the same is seen.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import apsw

from triggers.events import ObjectCreated, ObjectDeleted
from triggers.journal import views
from triggers.journal.views import RunView
from triggers.lineage import EventRow

Tree = dict[str, Any]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"\b[er]\d+\b")
_PLACE = re.compile(r"(file|s3)://[^\s\"?]*/(?=[^/\s\"?]*)")
_KINDS = {kind.__event_type__ for kind in (ObjectCreated, ObjectDeleted)}
_IDS = ("event_id", "run")
"""Fields of `RunFailed` that name what failed."""


def trees(connection: apsw.Connection) -> list[Tree]:
    """Return the chains that a journal holds, in an order that does not depend on when they came.

    Events that came from outside and that nothing took are left out: in AWS nobody ever hears of them.
    """
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
            "data": _erased(event.type, json.loads(event.data)),
            "runs": _sorted(of_run(run) for run in begun[event.number]),
        }

    def of_run(run: RunView) -> Tree:
        return {
            "route": run.route,
            "state": run.state,
            "attempts": run.attempt,
            "error": run.error and _text(run.error),
            "emitted": _sorted(of_event(event) for event in caused[run.number]),
        }

    return _sorted(of_event(event) for event in caused[None] if begun[event.number])


def differences(one: Sequence[Tree], other: Sequence[Tree], names: tuple[str, str]) -> list[str]:
    """Return what is not the same, as the lines of a unified diff; nothing where all is."""
    before, after = (
        json.dumps(each, indent=1, sort_keys=True, ensure_ascii=False).splitlines() for each in (one, other)
    )
    return list(difflib.unified_diff(before, after, names[0], names[1], lineterm="", n=6))


def _sorted(trees: Iterable[Tree]) -> list[Tree]:
    return sorted(trees, key=lambda tree: json.dumps(tree, sort_keys=True))


def _erased(kind: str, data: Any) -> Any:
    """Return a payload without what names or dates."""
    if kind in _KINDS:
        where = unquote(urlsplit(data["uri"]).path)
        data = {
            **data,
            "version": "(content)",
            "uri": f"(place)/{data['key']}" if where.endswith(data["key"]) else where,
        }
    if kind == "RunFailed":
        data = {**data, **dict.fromkeys(_IDS, "(id)")}
    return _without_moments(data)


def _without_moments(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_moments(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_without_moments(value) for value in data]
    return _text(data) if isinstance(data, str) else data


def _text(text: str) -> str:
    """Return text without moments, numbers of events and runs, and where places are."""
    return _NUMBER.sub("(id)", _PLACE.sub("", _MOMENT.sub("(moment)", text)))


__all__ = ["Tree", "differences", "trees"]

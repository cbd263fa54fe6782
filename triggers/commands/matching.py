"""Which routes of a journal take an event, and why the others do not: the same patterns, decided by the same code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from triggers.errors import TriggersError
from triggers.journal.groups import GATHERED
from triggers.journal.views import RouteView
from triggers.lineage import EventRow
from triggers.patterns import Pattern, compile


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a route takes an event: `reason` is None, or the first condition that failed."""

    route: str
    reason: str | None


def verdicts(routes: Iterable[RouteView], event: EventRow) -> list[Verdict]:
    """Return a verdict for each route that listens to the event's type."""
    return [Verdict(route.name, against(route, event)) for route in routes if listens(route, event)]


def listens(route: RouteView, event: EventRow) -> bool:
    """Say whether a route listens to events of such a type; what was made of several is for one route only."""
    if event.type == GATHERED:
        return event.subject == route.name
    return event.type in route.takes


def against(route: RouteView, event: EventRow) -> str | None:
    """Return why a route does not take an event of its type, or None where it does."""
    if event.type == GATHERED:
        return None
    if route.source is not None and route.source != event.source:
        return f"it listens to source {route.source!r}, and this came from {event.source!r}"
    if route.policy.get("schedule") and route.name != event.subject:
        return f"it has a schedule of its own, and this is a tick of {event.subject!r}"
    if route.pattern is None:
        return None
    try:
        return _compiled(route.pattern).explain(event.data)
    except TriggersError as error:
        return f"its pattern cannot be applied: {error}"


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> Pattern:
    return compile(pattern)

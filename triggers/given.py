"""What a handler is called with where several events come together, and which of them it says that it could not do."""

from __future__ import annotations

from collections.abc import Sequence

from triggers.copies import release
from triggers.errors import BatchFailure, Reject, WiringError
from triggers.events import GATHERED, Event, decode
from triggers.lineage import EventRow
from triggers.routing import LIST, Route

Given = Sequence[Event | list[Event] | None]


def together(route: Route, event: EventRow, members: Sequence[EventRow]) -> Given:
    """Return the events that came together: as one list, or each as an argument, None for one that is missing.

    Raises `Reject` where there is nothing to call the handler with.
    """
    if event.type != GATHERED:
        raise Reject(
            f"e{event.number} is one event, and {route.name!r} takes several; `triggers replay` has it gathered again"
        )
    from triggers.gather import Gathered  # who is given one event need not load it

    whole = decode(Gathered, event.data, event.version)
    assert isinstance(whole, Gathered)
    if whole.refused is not None:
        raise Reject(whole.refused)
    if len(members) != len(whole.events):
        raise Reject(f"of the {len(whole.events)} events of e{event.number} the journal has only {len(members)}")
    kinds = {kind.__event_type__: kind for kind in route.takes}
    if strange := {one.type for one in members} - kinds.keys():
        raise Reject(
            f"e{event.number} is of {', '.join(sorted(strange))}, which {route.name!r} does not take any more; declare"
            " it as it was, and redrive this run"
        )
    if route.shape == LIST:
        return ([decode(kinds[one.type], one.data, one.version) for one in members],)
    found = {one.type: decode(kinds[one.type], one.data, one.version) for one in members}
    return [found.get(name) for name in kinds]


def let_go(given: Given) -> None:
    """Remove the copies of objects that the handler had."""
    for one in given:
        if isinstance(one, list):
            for event in one:
                release(event)
        else:
            release(one)


def failures(route: Route, given: Given, failure: BatchFailure) -> dict[int, object]:
    """Return what is wrong with the events of a batch that failed, by their places, in order."""
    events = given[0]
    if not isinstance(events, list):
        raise WiringError(f"handler {route.name!r} raised BatchFailure, and it has no batch= to fail in part")
    places: dict[int, object] = {}
    for item, why in failure.items.items():
        place = item if isinstance(item, int) else next((n for n, one in enumerate(events) if one is item), -1)
        if not 0 <= place < len(events):
            raise WiringError(f"handler {route.name!r}: BatchFailure names {item!r}, which is not in the batch")
        places[place] = why
    return dict(sorted(places.items()))

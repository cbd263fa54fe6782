"""The terms of a run: what the policy goes by, fixed when the run is made and kept in its row."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any, NamedTuple

from pydantic_core import from_json

from triggers.events import Event, ObjectCreated, decode
from triggers.lineage import EventRow
from triggers.routing import Route

log = logging.getLogger("triggers.dispatcher")


class Terms(NamedTuple):
    """What ranks a run among those that wait. Moments are in Unix seconds."""

    rank: float
    """The arrival, less what the priority is worth: the smallest is served first. It never changes, so that an index of
    the journal can keep what waits in order."""
    priority: int = 0
    key: str | None = None
    """The flow's key: runs of one key are counted, ordered and gathered together."""
    size: int | None = None
    """Bytes of the input, by which run times are told apart."""
    deadline: float | None = None
    expires: float | None = None


COLUMNS = ",".join(Terms._fields)


def terms_of(route: Route, event: EventRow, now: float, aging: float) -> Terms:
    """Return the terms of a run that is made now. `aging` seconds of waiting make up for a level of priority.

    What the route computes from the event never stands in the event's way: where it fails, the log says so, the
    priority is 0, and the run counts among those without a key.
    """
    policy, input = route.policy, _Input(route, event)
    priority = policy.priority if isinstance(policy.priority, int) else input.priority()
    key = None if policy.key is None else input.key()
    return Terms(now - aging * priority, priority, key, input.size())


class _Input:
    """What a run is made for: an event and what is computed from it, read when it is asked for."""

    def __init__(self, route: Route, event: EventRow) -> None:
        self._route = route
        self._row = event

    @cached_property
    def event(self) -> Event:
        return decode(self._route.trigger, self._row.data, self._row.version)

    def size(self) -> int:
        """Return the size of the object that the event tells of, else that of its payload, in bytes."""
        if self._row.type == ObjectCreated.__event_type__:
            size: int = from_json(self._row.data)["size"]
            return size
        return len(self._row.data)

    def priority(self) -> int:
        """Return the priority that the route computes."""
        compute = self._route.policy.priority
        try:
            priority = compute(self.event)  # type: ignore[operator]  # the caller has seen that it is no number
            if isinstance(priority, int):
                return priority
            raise TypeError(f"it is no whole number: {priority!r}")
        except Exception as error:
            self._complain("priority=", error)
            return 0

    def key(self) -> str | None:
        """Return the key that the route names or computes, as text."""
        key = self._route.policy.key
        try:
            found = _field(from_json(self._row.data), key) if isinstance(key, str) else key(self.event)  # type: ignore[misc]
            if isinstance(found, str | int | float | None):
                return None if found is None else str(found)
            raise TypeError(f"it is neither text nor a number: {found!r}")
        except Exception as error:
            self._complain("key=", error)
            return None

    def _complain(self, option: str, error: Exception) -> None:
        log.warning("route %r: %s failed for e%d: %r", self._route.name, option, self._row.number, error)


def _field(payload: Any, path: str) -> Any:
    """Return what a dotted path leads to, None where there is nothing."""
    for name in path.split("."):
        payload = payload.get(name) if isinstance(payload, dict) else None
    return payload

"""The terms that a run gets: what its route declares, and computes from the event."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from math import isnan
from operator import attrgetter
from typing import Any

from pydantic_core import from_json

from triggers.events import CREATED, GATHERED, Event, decode
from triggers.lineage import EventRow
from triggers.routing import Route
from triggers.scheduling.terms import Terms

log = logging.getLogger("triggers.dispatcher")

LARGEST = 2**63
"""Bytes of an object from which on nothing could store how many they are."""


def terms_of(route: Route, event: EventRow, now: float, aging: float) -> Terms:
    """Return the terms of a run that is made now. `aging` seconds of waiting make up for a level of priority.

    What the route computes from the event never stands in the event's way: where it fails, the log says so, the
    priority is 0, and the run counts among those without a key.
    """
    policy = route.policy
    if event.type == GATHERED:
        priority, key, size = _of_group(route, event)
    elif policy.key is None and isinstance(policy.priority, int):
        priority, key, size = policy.priority, None, size_of(event)
    else:
        priority, key, size = _of_one(route, event)
    deadline = None if policy.deadline is None else policy.deadline.of(now)
    expires = None if policy.expires is None else policy.expires.of(now)
    return Terms(now - aging * priority, priority, key, size, deadline, expires)


def _of_one(route: Route, event: EventRow) -> tuple[int, str | None, int]:
    """Return the priority, the key and the size of an event for a route that computes something of it."""
    priority, input = route.policy.priority, _Input(route, event)
    if not isinstance(priority, int):
        priority = input.priority()
    return priority, None if route.policy.key is None else input.key(), size_of(event)


def size_of(event: EventRow) -> int:
    """Return the size of the object that an event tells of, else that of its payload, in bytes."""
    if event.type == CREATED:
        size = from_json(event.data).get("size")  # where somebody has sent one without, its handler says so
        if isinstance(size, int) and 0 <= size < LARGEST:
            return size
    return len(event.data)


def _of_group(route: Route, event: EventRow) -> tuple[int, str | None, int]:
    """Return the same of an event that stands for several, which has them."""
    whole = from_json(event.data)
    return whole["priority"], None if route.policy.key is None else whole["key"], whole["size"]


def first_start(route: Route, terms: Terms, now: float) -> float | None:
    """Return before which moment a run that is made now must not start, or None where it may.

    One whose deadline comes first does not wait: it would be late for certain.
    """
    if route.policy.not_before is None:
        return None
    start = route.policy.not_before.of(now)
    if terms.deadline is not None and terms.deadline <= start:
        log.warning(
            "route %r: deadline=%s comes before not_before=%s for an event that arrives now; its run does not wait",
            route.name, route.policy.deadline, route.policy.not_before,
        )  # fmt: skip
        return None
    return start


def key_of(route: Route, event: EventRow) -> str | None:
    """Return what an event has in common with those that it comes together with; None where it has nothing."""
    return None if route.key(event.type) is None else _Input(route, event).key()


def place_of(route: Route, event: EventRow) -> float | str | None:
    """Return the place of a run in the order of its data, None where it has none."""
    return _Input(route, event).place()


class _Input:
    """What a run is made for: an event and what is computed from it, read when it is asked for."""

    def __init__(self, route: Route, event: EventRow) -> None:
        self._route = route
        self._row = event

    @cached_property
    def event(self) -> Event:
        kind = next((one for one in self._route.takes if one.__event_type__ == self._row.type), self._route.trigger)
        return decode(kind, self._row.data, self._row.version)

    def priority(self) -> int:
        """Return the priority that the route computes."""
        compute = self._route.policy.priority
        try:
            priority = compute(self.event)  # type: ignore[operator]  # the caller has seen that it is no number
            if isinstance(priority, int):
                _check_storable(priority)
                return priority
            raise TypeError(f"it is no whole number: {priority!r}")
        except BaseException as error:  # whatever it is, it must not end the app
            self._complain("priority=", error)
            return 0

    def key(self) -> str | None:
        """Return the key that the route names or computes, as text."""
        key = self._route.key(self._row.type)
        try:
            found = _field(from_json(self._row.data), key) if isinstance(key, str) else key(self.event)  # type: ignore[misc]
            if isinstance(found, str | int | float | Decimal | None):
                _check_storable("" if found is None else str(found))
                return None if found is None else str(found)
            raise TypeError(f"it is neither text nor a number: {found!r}")
        except BaseException as error:  # whatever it is, it must not end the app
            self._complain("key=", error)
            return None

    def place(self) -> float | str | None:
        """Return the place that the route names or computes: a number, or text that sorts as it should."""
        order = self._route.policy.in_order
        assert order is not None
        try:
            return _sorting(attrgetter(order)(self.event) if isinstance(order, str) else order(self.event))
        except BaseException as error:  # whatever it is, it must not end the app
            self._complain("in_order=", error)
            return None

    def _complain(self, option: str, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):  # that is no failure of the route's
            raise error
        log.warning("route %r: %s failed for e%d: %r", self._route.name, option, self._row.number, error)


def _sorting(value: object) -> float | str | None:
    """Return a value as SQLite sorts it: moments in UTC, days and moments as text, decimals as floats."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | int | float | None) and not isinstance(value, bool):
        _check_storable(value)
        return value
    raise TypeError(f"it is neither a day, a moment, text nor a number: {value!r}")


def _check_storable(value: float | str | None) -> None:
    """Raise `ValueError` for what the journal cannot hold: one event with it would end the dispatcher at each start."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("it is a whole number of more than 64 bits")
    elif isinstance(value, float) and isnan(value):
        raise ValueError("it is no number: nan")


def _field(payload: Any, path: str) -> Any:
    """Return what a dotted path leads to, None where there is nothing."""
    for name in path.split("."):
        payload = payload.get(name) if isinstance(payload, dict) else None
    return payload

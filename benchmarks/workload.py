"""What both sides are given to do: the same payload, and the event types that carry it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from triggers import Event
from triggers.events import encode, new_id
from triggers.sources import Delivery

BATCH = 500
"""Events that are handed in at once, where the side has a call for it."""
BYTES = 300
"""The size of a payload as JSON; it grows by a few digits with the event's number."""

_TEXT = "x" * 205


class Made(Event):
    """The event of every throughput figure."""

    number: int
    name: str
    score: float
    labels: list[str]
    text: str


class First(Made):
    """What starts a chain."""


class Second(Made):
    """The first hop's result."""


class Third(Made):
    """The second hop's result, which ends the chain."""


def fields(number: int) -> dict[str, object]:
    """Return the payload of one event, about `BYTES` bytes of JSON."""
    return {"number": number, "name": "measurement", "score": 0.5, "labels": ["a", "b"], "text": _TEXT}


def deliveries(kind: type[Made], numbers: Iterable[int]) -> list[Delivery]:
    """Build, encode and wrap events as a sender does: validation, JSON and a new identity are part of the work."""
    now = time.time()
    events = (kind(number=n, name="measurement", score=0.5, labels=["a", "b"], text=_TEXT) for n in numbers)
    return [
        Delivery("send", new_id(), event.__event_type__, encode(event), now, event.__event_version__)
        for event in events
    ]


def batches(count: int, size: int = BATCH) -> list[range]:
    """Return the numbers below `count` in batches."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]

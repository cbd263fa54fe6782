"""Requests: what a command asks of a running app, handed in through the inbox like any event."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from triggers.cloudevents import to_text
from triggers.commands.output import count, note
from triggers.events import Event, encode, new_id
from triggers.journal import views
from triggers.sources.inbox import write
from triggers.state import StateFolder

if TYPE_CHECKING:  # who asks of a state folder needs nothing of AWS
    from triggers.aws.deployed import Deployed

SOURCE = "cli"
PATIENCE = 2.0
"""Seconds to wait for a running app to take a request in."""
MOST = 10_000
"""How many runs or events one request names; more become several."""

T = TypeVar("T")


def hand_in(place: StateFolder | Deployed, requests: Sequence[Event]) -> list[str]:
    """Hand requests in and return their ids; they are durable then, and carried out once. In AWS they are by now."""
    if not isinstance(place, StateFolder):
        return place.carry_out(requests)
    now = time.time()
    ids = [new_id() for _ in requests]
    write(
        place.requests,
        [
            to_text(id, SOURCE, request.__event_type__, request.__event_version__, None, now, encode(request))
            for id, request in zip(ids, requests, strict=True)
        ],
    )
    return ids


def taken_in(place: StateFolder | Deployed, ids: Sequence[str], what: str) -> bool:
    """Wait until a running app has carried requests out. Where none runs or it is busy, say so and return False.

    `what` says what is to happen, as in `r2 will be redriven`.
    """
    if not isinstance(place, StateFolder):
        return True
    if not place.holder():
        note(f"handed in: {what} when `triggers run` next starts; no dispatcher is running now")
        return False
    connection = views.open_reader(place)
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if all(views.delivered(connection, SOURCE, id) is not None for id in ids):
                return True
            time.sleep(0.02)
    finally:
        connection.close()
    note(f"handed in: {what}; the running app has not got to it in {PATIENCE:g} s, look again with `triggers events`")
    return False


def chunks(items: Sequence[T]) -> list[list[T]]:
    """Return the items in lists that a request can hold."""
    rest = iter(items)
    return list(iter(lambda: list(islice(rest, MOST)), []))


def shown(numbers: Sequence[int], letter: str = "r", word: str = "run") -> str:
    """Return `r1, r2 and r3`, or how many there are."""
    names = [f"{letter}{number}" for number in numbers]
    if len(names) > 5:
        return count(len(names), word)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""The app's event bus: how what a run emits gets to the queues of the routes that take it.

Nothing here remembers what was published. The run record does, so an entry may be put twice; its event is the same
one, by its identity.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from triggers.aws import names
from triggers.aws.refusals import explained
from triggers.errors import EventError, TriggersError

LARGEST = 256 * 1024
"""Bytes of an entry, its source and type included, and of all entries of one call."""
AT_ONCE = 10
"""Entries to one call."""
TRIES = 6
"""How often entries that the bus has failed to take are put, before the run is left for the next delivery."""
LONGEST_WAIT = 3.0
"""Seconds between two tries at most."""

Entry = dict[str, str]

_LONG = re.compile("[0-9]{19}")  # as many digits as a whole number of 64 bits may have
_RANGE = 2**63


class Bus:
    """Puts events on the bus of an app. `client` gives a client of EventBridge: it is made when there is an event."""

    def __init__(self, client: Callable[[], Any], app: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.name = names.bus(app)
        self._source = names.event_source(app)
        self._client = client
        self._sleep = sleep

    def entry(self, kind: str, text: str) -> Entry:
        """Return the entry for an event, or raise `EventError` where the bus could not carry it."""
        size = len(self._source.encode()) + len(kind.encode()) + (len(text) if text.isascii() else len(text.encode()))
        if size > LARGEST:
            raise EventError(
                f"{kind} is {size:,} bytes with its envelope, over the limit of {LARGEST:,} for an entry of"
                " EventBridge; write the data to a place (writes=) and pass its key"
            )
        if _LONG.search(text) and _beyond(from_json(text)):
            raise EventError(
                f"{kind} holds a whole number of more than 64 bits, which EventBridge does not carry; pass it as text"
            )
        return {"Source": self._source, "DetailType": kind, "Detail": text, "EventBusName": self.name}

    def publish(self, entries: Sequence[Entry]) -> None:
        """Put entries on the bus; raises `TriggersError` where some are still not taken after several tries."""
        for call in _calls(entries):
            self._put(call)

    def _put(self, entries: Sequence[Entry]) -> None:
        for attempt in range(1, TRIES + 1):
            with explained(f"event bus {self.name!r}"):
                answer = self._client().put_events(Entries=entries)
            if not answer.get("FailedEntryCount"):
                return
            failed = [(e, said) for e, said in zip(entries, answer["Entries"], strict=True) if said.get("ErrorCode")]
            entries = [entry for entry, _ in failed]
            if attempt < TRIES:
                self._sleep(random.uniform(0, min(LONGEST_WAIT, 0.1 * 2**attempt)))  # noqa: S311  # spreads load
        said = failed[0][1]
        raise TriggersError(
            f"the event bus {self.name!r} did not take {len(entries)} of the events after {TRIES} tries:"
            f" {said['ErrorCode']}: {said.get('ErrorMessage', '')}; they are kept, and put again with the next delivery"
        )


def _calls(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries by calls, none of which has too many or is too large."""
    call: list[Entry] = []
    size = 0
    for entry in entries:
        more = len(entry["Detail"].encode()) + len(entry["DetailType"].encode()) + len(entry["Source"].encode())
        if call and (len(call) == AT_ONCE or size + more > LARGEST):
            yield call
            call, size = [], 0
        call.append(entry)
        size += more
    if call:
        yield call


def _beyond(value: Any) -> bool:
    """Say whether a whole number in JSON data has more than 64 bits."""
    if isinstance(value, dict):
        return any(_beyond(item) for item in value.values())
    if isinstance(value, list):
        return any(_beyond(item) for item in value)
    return type(value) is int and not -_RANGE <= value < _RANGE


__all__ = ["AT_ONCE", "LARGEST", "Bus", "Entry"]

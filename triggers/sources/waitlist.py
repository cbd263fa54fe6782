"""What must be looked at again although nothing hints at it: incomplete files, and places that stand in the way."""

from __future__ import annotations

import heapq
from math import inf
from typing import NamedTuple

from triggers.clock import Clock
from triggers.sources.watch import EVERYWHERE, Hints

AGAIN = 10.0
"""Seconds until a place that the kernel tells nothing of, and a file that cannot be delivered, is looked at unasked."""

_MOST = 100_000  # what is remembered of incomplete files; where there are more, the tree is scanned again
_SLACK = 1000  # entries of the queue that may be out of date before it is made anew


class Waiting(NamedTuple):
    """Why and until when a place waits to be looked at again without a hint."""

    due: float
    pause: float
    value: str | None = None  # the content that must stay as it is; None where something stands in the way
    closed: bool | None = False  # as it was hinted at
    is_folder: bool = False


class Waitlist:
    """Places that wait, by key and by time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places: dict[bytes, Waiting] = {}
        self._queue: list[tuple[float, bytes]] = []  # a heap; an entry counts while its place is due then

    def get(self, key: bytes) -> Waiting | None:
        """Return why a place waits, or None if it does not."""
        return self._places.get(key)

    def drop(self, key: bytes) -> None:
        """Let a place wait no longer."""
        self._places.pop(key, None)

    def put(
        self,
        key: bytes,
        pause: float | None = None,
        *,
        value: str | None = None,
        closed: bool | None = False,
        is_folder: bool = False,
    ) -> Waiting:
        """Let a place wait from now on, `AGAIN` if it is not said how long."""
        pause = AGAIN if pause is None else pause
        waiting = Waiting(self._clock.monotonic() + pause, pause, value, closed, is_folder)
        if key not in self._places and len(self._places) >= _MOST:
            key, waiting = EVERYWHERE, waiting._replace(value=None, is_folder=True)
        self._places[key] = waiting
        heapq.heappush(self._queue, (waiting.due, key))
        if len(self._queue) > 2 * len(self._places) + _SLACK:
            self._queue = sorted((waiting.due, key) for key, waiting in self._places.items())
        return waiting

    def recheck(self, hints: Hints) -> None:
        """Hint at what has waited long enough. A file stays in the list until it was looked at."""
        now = self._clock.monotonic()
        while self._queue:
            due, key = self._queue[0]
            waiting = self._places.get(key)
            counts = waiting is not None and waiting.due == due
            if counts and due > now:
                break
            heapq.heappop(self._queue)
            if waiting is None or not counts:
                continue
            if waiting.is_folder:
                self.drop(key)
                hints.add({}, {key: None})
            else:
                hints.add({key: waiting.closed}, {})

    def seconds_left(self) -> float | None:
        """Return how long until something is due, or None if nothing will be."""
        return max(0.0, self._queue[0][0] - self._clock.monotonic()) if self._queue else None

    def settled(self) -> float:
        """Return when the last of those is complete, in monotonic seconds, if none of them is written to; else a past
        moment."""
        return max((waiting.due for waiting in self._places.values() if waiting.value is not None), default=-inf)

    def settling(self) -> bool:
        """Return whether there are files of which only time can tell that they are complete."""
        return any(waiting.value is not None for waiting in self._places.values())


__all__ = ["AGAIN", "Waiting", "Waitlist"]

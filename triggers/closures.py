"""The gates that hold back what waits, written down for readers in other processes: the dispatcher alone knows them.

They are in the journal as they were at the last look, rewritten only when they change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import inf

from triggers.flows import Lane
from triggers.gates import Closed
from triggers.journal import Shut

MOST = 100
"""How many keys of a route are written down where their gates differ."""

PAUSE = 1.0
"""Seconds between two commits that only hold other words about gates that were closed before."""


class Closures:
    """What was found closed at one look, and what the journal has of it."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str | None, Closed]] = {}
        self._written: list[Shut] = []
        self._at = -inf

    def begin(self) -> None:
        """Begin another look."""
        self._found.clear()

    def add(self, lane: Lane, closed: Closed) -> None:
        """Take note of a lane whose first run a gate holds back."""
        self._found.setdefault(lane.flow.route.name, {})[lane.key] = closed

    def of(self, route: str) -> Collection[Closed]:
        """Return the gates of a route that were closed at the last look."""
        return self._found.get(route, {}).values()

    def news(self, now: float, writing: bool) -> list[Shut] | None:
        """Return what is to be written, None where the journal has it. `writing` says that there is a commit anyway.

        A commit of its own is for gates that were closed or opened. One whose words change at each look would
        otherwise keep the disk busy, and each commit has the dispatcher look again.
        """
        if not self._found and not self._written:
            return None
        found = [row for route in self._found for row in self._rows(route)]
        if found == self._written:
            return None
        others = {row[:2] for row in found} != {row[:2] for row in self._written}
        if not (writing or others or not self._at <= now < self._at + PAUSE):
            return None
        self._written, self._at = found, now
        return found

    def _rows(self, route: str) -> Iterator[Shut]:
        """Yield a row for the whole route where all that is closed of it is so alike, else for each key."""
        lanes = self._found[route]
        if len(set(lanes.values())) == 1:
            yield Shut(route, None, *next(iter(lanes.values())))
            return
        for key in list(lanes)[:MOST]:
            yield Shut(route, key, *lanes[key])

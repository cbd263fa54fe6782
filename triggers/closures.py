"""The gates that hold back what waits, written down for readers in other processes: the dispatcher alone knows them.

They are in the journal as they were at the last look, rewritten only when they change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from math import inf

from triggers.flows import Flow, Lane
from triggers.gates import Closed
from triggers.journal import Shut

MOST = 100
"""How many keys of a route are written down where their gates differ."""

FEW = 10
"""As many are rewritten with any commit."""

PAUSE = 1.0
"""Seconds between two commits that hold more, or only other words about gates that were closed before."""


Kind = tuple[int, str | None, float | None]
"""By what a flow tells its lanes apart."""


class Closures:
    """What was found closed at one look, and what the journal has of it."""

    def __init__(self) -> None:
        self.barred: Collection[str] = ()
        """The routes that are closed from outside: of these the journal says so itself, from that very commit on."""
        self._found: dict[str, dict[Kind, Closed]] = {}
        self._flows: dict[str, Flow] = {}
        self._written: list[Shut] = []
        self._at = -inf

    def begin(self) -> None:
        """Begin another look."""
        self._found.clear()

    def add(self, lane: Lane, closed: Closed) -> None:
        """Take note of a lane whose first run a gate holds back."""
        self._flows[lane.flow.route.name] = lane.flow
        self._found.setdefault(lane.flow.route.name, {})[lane.priority, lane.key, lane.memory] = closed

    def of(self, route: str) -> Collection[Closed]:
        """Return the gates of a route that were closed at the last look."""
        return self._found.get(route, {}).values()

    def news(self, now: float, writing: bool) -> list[Shut] | None:
        """Return what is to be written, None where the journal has it. `writing` says that there is a commit anyway.

        A commit of its own is for gates that were closed or opened. One whose words change at each look would
        otherwise keep the disk busy, and each commit has the dispatcher look again. So would many keys, of which some
        gates open with every commit: they are written once in a while.
        """
        if not self._found and not self._written:
            return None
        found = [row for route in self._found if route not in self.barred for row in self._rows(route)]
        if found == self._written:
            return None
        others = {row[:3] for row in found} != {row[:3] for row in self._written}
        rested = not self._at <= now < self._at + PAUSE
        if not (rested or ((writing or others) and len(found) <= FEW)):
            return None
        self._written, self._at = found, now
        return found

    def _rows(self, route: str) -> Iterator[Shut]:
        """Yield a row for the whole route where all that waits of it is held back alike, else for each key."""
        closed = self._found[route]
        if closed.keys() >= self._flows[route].lanes.keys() and len(set(closed.values())) == 1:
            yield _shut(route, True, None, next(iter(closed.values())))
            return
        by_key = {key: gate for (_, key, _), gate in closed.items()}
        for key in islice(by_key, MOST):
            yield _shut(route, False, key, by_key[key])


def _shut(route: str, every: bool, key: str | None, closed: Closed) -> Shut:
    """Return what readers are told: a moment where it opens then, none where it is only looked at again."""
    return Shut(route, every, key, closed.until if closed.opens else inf, closed.reason)

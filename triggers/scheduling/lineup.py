"""Lanes in an order, so that nobody need look at all of them to find the next ones."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from math import inf
from typing import Generic, Protocol, TypeVar

from triggers.policy import Rank, Shares


class Ranked(Protocol):
    """A run that waits."""

    rank: Rank


class Lined(Hashable, Protocol):
    """What has its place by the first of its runs."""

    @property
    def heads(self) -> Sequence[Ranked]:
        """Return its runs in order."""
        ...


L = TypeVar("L", bound=Lined)
Place = tuple[float, ...]
"""The smallest is first; no two lanes have the same."""


def by_rank(lane: Lined) -> Place:
    """Return the rank of the first run: that is its own."""
    return lane.heads[0].rank


class Lineup(Generic[L]):
    """Lanes, each at the place of its first run."""

    def __init__(self, place: Callable[[L], Place] = by_rank) -> None:
        self._place = place
        self._places: list[Place] = []
        self._lanes: dict[Place, L] = {}
        self._own: dict[L, Place] = {}

    def __bool__(self) -> bool:
        return bool(self._places)

    def put(self, lane: L) -> None:
        """Take note that a lane has another first run than before, or none."""
        if (before := self._own.pop(lane, None)) is not None:
            del self._places[bisect_left(self._places, before)]
            del self._lanes[before]
        if lane.heads:
            place = self._own[lane] = self._place(lane)
            insort(self._places, place)
            self._lanes[place] = lane

    def first(self, most: int, wanted: Callable[[L], bool], since: Place = ()) -> list[L]:
        """Return the first of the lanes that are wanted, `most` of them, from a place on.

        It costs those that are passed over, too.
        """
        found: list[L] = []
        for index in range(bisect_left(self._places, since), len(self._places)):
            if len(found) == most:
                break
            lane = self._lanes[self._places[index]]
            if wanted(lane):
                found.append(lane)
        return found


class Tenants(Generic[L]):
    """Lanes that count for a share each, in the order of what their shares have had.

    That changes with whatever starts, ends, or runs on. But what a share had in the past, without what it holds now,
    is overtaken by none that was behind it, but by having more (`Shares.standing`). So each lane stands where its
    share's past was when it was looked at last, and is looked at again when it comes first: it can have moved back
    alone.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[float, str, int]] = []
        self._lanes: dict[int, L] = {}
        self._numbers: dict[L, int] = {}
        self._next = count()

    def put(self, lane: L, share: str) -> None:
        """Take note that a lane has runs, or none any more."""
        if not lane.heads:
            self._lanes.pop(self._numbers.pop(lane, -1), None)
            if len(self._queue) > 2 * len(self._lanes) + 100:
                self._queue = [one for one in self._queue if one[2] in self._lanes]
        elif lane not in self._numbers:
            number = self._numbers[lane] = next(self._next)
            self._lanes[number] = lane
            insort(self._queue, (-inf, share, number))

    def first(self, most: int, wanted: Callable[[L], bool], shares: Shares, now: float) -> list[L]:
        """Return of the lanes that are wanted those whose shares had least, `most` of them."""
        queue, lanes = self._queue, self._lanes
        found: list[tuple[float, str, int]] = []
        seen: list[tuple[float, str, int]] = []
        looked = 0
        for floor, share, number in queue:
            if len(found) >= most and found[most - 1] <= (shares.least(floor, now), share):
                break
            looked += 1
            if (lane := lanes.get(number)) is not None:
                usage, floor = shares.standing(share, now)
                seen.append((floor, share, number))
                if wanted(lane):
                    insort(found, (usage, share, number))
        if seen != queue[:looked]:
            del queue[:looked]
            for one in seen:
                insort(queue, one)
        return [lanes[number] for _, _, number in found[:most]]

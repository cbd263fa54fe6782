"""Lanes in the order of their first runs, so that nobody need look at all of them to find the next ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

from triggers.policy import Rank


class Lined(Protocol):
    """What has its place by the first of its runs."""

    @property
    def heads(self) -> Sequence[tuple[Rank, object]]:
        """Return its runs in order."""
        ...


L = TypeVar("L", bound=Lined)


class Lineup(Generic[L]):
    """Lanes, each at the rank of its first run. A rank is that of one run, so no two lanes have the same.

    Where the first run of a lane is gone, its place is out of date until somebody comes across it.
    """

    def __init__(self) -> None:
        self._ranks: list[Rank] = []
        self._lanes: dict[Rank, L] = {}

    def __bool__(self) -> bool:
        return bool(self._ranks)

    def put(self, lane: L) -> None:
        """Take a lane that has another first run than before."""
        rank = lane.heads[0][0]
        if rank not in self._lanes:
            heappush(self._ranks, rank)
        self._lanes[rank] = lane

    def first(self, most: int, wanted: Callable[[L], bool]) -> list[L]:
        """Return the first of the lanes that are wanted, `most` of them. It costs those that are passed over, too."""
        found: list[L] = []
        seen: list[Rank] = []
        while self._ranks and len(found) < most:
            rank = heappop(self._ranks)
            lane = self._lanes[rank]
            if not lane.heads or lane.heads[0][0] != rank:
                del self._lanes[rank]
                continue
            seen.append(rank)
            if wanted(lane):
                found.append(lane)
        for rank in seen:
            heappush(self._ranks, rank)
        return found

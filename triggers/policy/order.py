"""The default order: what must start now, then the share that had least, its late runs, its priorities, its ratios.

1. Runs that must start now to meet their deadline, the earliest first: those whose latest start (deadline - p90) comes
   before all that runs now has ended. Not those that cannot make it any more.
2. Among shares, who has used the least; what is taken in this very decision counts.
3. The late, by rank. So nothing starves: once late, a run is passed only by runs of a smaller rank, and those have
   arrived before it, or within `aging` seconds behind it for each level of priority that they are above it.
4. The higher priority, but a run whose rank is smaller than that of all that wait with higher ones has aged past them.
5. Within a priority the largest (wait + p) / p, p being the expected time (Brinch Hansen 1971). Who waits for as long
   as it will run stands as well as any other who does: short work goes first, and long work ages.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import repeat

from triggers.policy.standing import SHORTEST, Deadlines, overdue, typical
from triggers.policy.view import Rank, View

Place = tuple[float, float, int, int, int]
"""Where a head goes within its share, the smallest first: (level, value, number, lane, which of its heads)."""


def order(view: View) -> Iterator[int]:
    """Return the lanes in the order in which their runs should start."""
    return repeat(0, len(view.lanes[0].heads)) if len(view.lanes) == 1 else _among(view)


def _among(view: View) -> Iterator[int]:
    """Yield the lanes in order, where there is a choice."""
    if not view.lanes:
        return
    taken: dict[int, int] = {}
    best = _best(view)
    if best is not None:
        yield best
        taken[best] = 1
    unknown = typical(view.lanes)
    if best is None:
        yield from _pressing(view, taken, unknown)
    yield from _shared(view, taken, unknown)


def by_rank(view: View) -> Iterator[int]:
    """Yield the lanes first come, first served, a level of priority counting as a wait. It needs no predictions."""
    queue = [(lane.heads[0], index, 0) for index, lane in enumerate(view.lanes) if lane.heads]
    heapify(queue)
    while queue:
        _, index, taken = queue[0]
        heads = view.lanes[index].heads
        if taken + 1 < len(heads):
            heapreplace(queue, (heads[taken + 1], index, taken + 1))
        else:
            heappop(queue)
        yield index


def dominant(capacity: Mapping[str, int], needs: Mapping[str, int]) -> float:
    """Return the part of the machine that a run takes: the largest of any resource (Ghodsi et al. 2011)."""
    return max((amount / capacity[name] for name, amount in needs.items() if capacity.get(name)), default=0.0)


def _best(view: View) -> int | None:
    """Return who is first where all is plain: no deadlines, one share, one priority. Often nobody asks for a second."""
    heads, _, priorities, expected, _, deadlines, shares, _ = zip(*view.lanes, strict=True)
    if any(deadlines) or not all(heads) or len(set(priorities)) > 1 or len(set(shares)) > 1:
        return None
    ranks = [head[0][0] for head in heads]
    if min(ranks) < overdue(view, priorities[0]):
        return _least(ranks, heads)
    if None in expected:
        unknown = typical(view.lanes)
        expected = tuple(unknown if p is None else p for p in expected)
    since = view.now - view.aging * priorities[0]
    values = [(rank - since) / (p if p > SHORTEST else SHORTEST) for rank, p in zip(ranks, expected, strict=True)]
    return _least(values, heads)


def _least(values: Sequence[float], heads: Sequence[Sequence[Rank]]) -> int:
    """Return the lane with the least value, of equals the one whose first run has the lowest number."""
    least = min(values)
    if values.count(least) == 1:
        return values.index(least)
    return min((heads[index][0][1], index) for index, value in enumerate(values) if value == least)[1]


def _shared(view: View, taken: Mapping[int, int], unknown: float) -> Iterator[int]:
    """Yield what is left: the share that has used least first, and what it takes here counts."""
    shares: dict[str, list[int]] = defaultdict(list)
    for index, lane in enumerate(view.lanes):
        if taken.get(index, 0) < len(lane.heads):
            shares[lane.share or ""].append(index)
    bound = overdue(view, max(lane.priority for lane in view.lanes))
    turns = [
        (view.usage.get(name, 0.0), name, iter(_Queue(view, members, taken, unknown, bound)))
        for name, members in shares.items()
    ]
    heapify(turns)
    while len(turns) > 1:
        usage, name, lanes = turns[0]
        if (first := next(lanes, None)) is None:
            heappop(turns)
            continue
        yield first
        heapreplace(turns, (usage + view.lanes[first].part, name, lanes))
    for *_, lanes in turns:
        yield from lanes


def _pressing(view: View, taken: dict[int, int], unknown: float) -> Iterator[int]:
    urgent = [index for index, lane in enumerate(view.lanes) if lane.deadlines and lane.heads]
    if not urgent:
        return
    deadlines = Deadlines(view, unknown)

    def place(index: int, head: int) -> tuple[float, int, int, int]:
        lane = view.lanes[index]
        return deadlines.pressing(lane, head), lane.heads[head][1], index, head

    queue = [place(index, 0) for index in urgent]
    heapify(queue)
    while queue and queue[0][0] < math.inf:
        _, _, index, head = queue[0]
        taken[index] = head + 1
        if head + 1 < len(view.lanes[index].heads):
            heapreplace(queue, place(index, head + 1))
        else:
            heappop(queue)
        yield index


class _Queue:
    """One share's lanes in the order of their heads, made when the first of them is asked for."""

    def __init__(
        self, view: View, members: Sequence[int], taken: Mapping[int, int], unknown: float, bound: float
    ) -> None:
        self._view = view
        self._members = members
        self._taken = taken
        self._unknown = unknown
        self._bound = bound
        self._passing: dict[int, float] = {}
        """For each priority the rank value below which its runs go first, for they are late or have aged past."""

    def __iter__(self) -> Iterator[int]:
        """Yield a lane for each of its heads. Those of the last lane need no places: they are in order."""
        lanes, taken = self._view.lanes, self._taken
        self._age()
        places = [self._place(index, taken.get(index, 0)) for index in self._members]
        heapify(places)
        while len(places) > 1:
            *_, index, head = places[0]
            if head + 1 < len(lanes[index].heads):
                heapreplace(places, self._place(index, head + 1))
            else:
                heappop(places)
            yield index
        for *_, index, head in places:
            yield from repeat(index, len(lanes[index].heads) - head)

    def _age(self) -> None:
        """Reckon which runs go first."""
        levels: dict[int, list[Rank]] = defaultdict(list)
        for index in self._members:
            lane = self._view.lanes[index]
            levels[lane.priority].append(lane.heads[self._taken.get(index, 0)])
        smallest = math.inf
        for priority in sorted(levels, reverse=True):
            self._passing[priority] = max(self._bound, smallest) if self._passing else self._bound
            smallest = min(smallest, min(levels[priority])[0])

    def _place(self, index: int, head: int) -> Place:
        lane = self._view.lanes[index]
        rank, number = lane.heads[head]
        if rank < self._passing[lane.priority]:
            return (-math.inf, rank, number, index, head)
        p = self._unknown if lane.expected is None else lane.expected
        wait = self._view.now - rank - self._view.aging * lane.priority
        return (-lane.priority, -wait / (p if p > SHORTEST else SHORTEST), number, index, head)

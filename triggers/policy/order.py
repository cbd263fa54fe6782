"""The default order: what must start now, then the share that had least, its late runs, its priorities, its ratios.

1. Runs whose latest start (deadline - p90) has come, the earliest deadline first; not those
   that cannot make it any more.
2. Among shares, who has used the least; what is taken in this very decision counts.
3. The late, by rank. So nothing starves: once late, a run is passed only by runs of a smaller rank, and those have
   arrived before it, or within `aging` seconds behind it for each level of priority that they are above it.
4. The higher priority, but a run whose rank is smaller than that of all that wait with higher ones has aged past them.
5. Within a priority the largest (wait + p) / p, p being the expected time (Brinch Hansen 1971). Who waits for as long
   as it will run stands as well as any other who does: short work goes first, and long work ages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace

from triggers.policy.standing import overdue, pressing, seconds, typical
from triggers.policy.view import Lane, Rank, View

Place = tuple[float, float, int]
"""Where a run goes within its share, the smallest first; the number decides between equals."""


def order(view: View) -> Iterator[int]:
    """Yield the lanes in the order in which their runs should start."""
    taken = [0] * len(view.lanes)
    unknown = typical(view.lanes)
    yield from _pressing(view, taken, unknown)
    shares: dict[str, _Share] = {}
    for index, lane in enumerate(view.lanes):
        if taken[index] < len(lane.heads):
            shares.setdefault(lane.share or "", _Share(view, unknown)).add(index, taken[index])
    queues = [(view.usage.get(name, 0.0), name) for name in shares]
    for share in shares.values():
        share.ready()
    heapify(queues)
    while queues:
        usage, name = queues[0]
        found = shares[name].next()
        if found is None:
            heappop(queues)
            continue
        yield found
        if len(queues) > 1:
            heapreplace(queues, (usage + dominant(view, view.lanes[found]), name))


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


def dominant(view: View, lane: Lane) -> float:
    """Return the largest part of any resource that a run of this lane takes (Ghodsi et al. 2011)."""
    return max(
        (amount / view.capacity[name] for name, amount in lane.needs.items() if view.capacity.get(name)), default=0.0
    )


def _pressing(view: View, taken: list[int], unknown: float) -> Iterator[int]:
    urgent = [index for index, lane in enumerate(view.lanes) if lane.deadlines]
    queue = [(pressing(view, view.lanes[index], 0, unknown), index) for index in urgent]
    heapify(queue)
    while queue and queue[0][0] < math.inf:
        _, index = queue[0]
        lane = view.lanes[index]
        taken[index] += 1
        if taken[index] < len(lane.heads):
            heapreplace(queue, (pressing(view, lane, taken[index], unknown), index))
        else:
            heappop(queue)
        yield index


class _Share:
    """The lanes of one share."""

    def __init__(self, view: View, unknown: float) -> None:
        self._view = view
        self._unknown = unknown
        self._waiting: list[tuple[int, int]] = []
        self._passed: dict[int, float] = {}
        self._top = 0
        self._queue: list[tuple[Place, int, int]] = []

    def add(self, index: int, taken: int) -> None:
        """Take a lane, of which so many heads are placed already."""
        self._waiting.append((index, taken))

    def ready(self) -> None:
        """Place the heads of all lanes."""
        lanes = self._view.lanes
        self._top = max(lane.priority for lane in lanes)
        self._passed = smallest_above(
            [(lanes[index].priority, lanes[index].heads[taken]) for index, taken in self._waiting]
        )
        self._queue = [(self._place(lanes[index], taken), index, taken) for index, taken in self._waiting]
        heapify(self._queue)

    def next(self) -> int | None:
        """Return the lane whose head is next, None when there is none."""
        if not self._queue:
            return None
        _, index, taken = self._queue[0]
        lane = self._view.lanes[index]
        if taken + 1 < len(lane.heads):
            heapreplace(self._queue, (self._place(lane, taken + 1), index, taken + 1))
        else:
            heappop(self._queue)
        return index

    def _place(self, lane: Lane, taken: int) -> Place:
        view = self._view
        rank, number = lane.heads[taken]
        if rank < self._passed[lane.priority] or overdue(view.now, view.aging, self._top, rank):
            return (-math.inf, rank, number)
        wait = view.now - rank - view.aging * lane.priority
        return (-lane.priority, -wait / seconds(lane, self._unknown), number)


def smallest_above(heads: Sequence[tuple[int, Rank]]) -> dict[int, float]:
    """Return for each priority the smallest rank of all that wait with a higher one; nobody passes the highest."""
    best: dict[int, float] = {}
    for priority, (rank, _) in heads:
        best[priority] = min(rank, best.get(priority, math.inf))
    smallest = math.inf
    above: dict[int, float] = {}
    for priority in sorted(best, reverse=True):
        above[priority] = smallest if above else -math.inf
        smallest = min(smallest, best[priority])
    return above

"""Which waiting run starts next: a pure function of a bounded view, with no I/O and no clock.

Order: higher priority first, then the older run. What a better-ranked run needs and cannot have yet is kept for it, in
that amount: a lower-ranked run takes only what is left beyond, so large needs do not starve, and who needs nothing of
what is short goes on.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Rank = tuple[int, int]
"""(minus the priority, the run's number): the smallest goes first."""


class View(NamedTuple):
    """What the policy sees of one flow: its best-ranked runs in order, how many more may run, and what each needs."""

    heads: Sequence[Rank]
    room: int
    needs: Mapping[str, float]


def choose(flows: Sequence[View], free: Mapping[str, float]) -> list[int]:
    """Return the flows whose next head starts, in order; a flow appears once for each of its runs that starts.

    `free` is what is left of each resource; a need that `free` does not name is never met.
    """
    left = dict(free)
    chosen: list[int] = []
    taken = [0] * len(flows)
    queue = [(view.heads[0], index) for index, view in enumerate(flows) if view.heads and view.room > 0]
    heapq.heapify(queue)
    while queue:
        _, index = queue[0]
        view = flows[index]
        short = False
        for name, amount in view.needs.items():
            left[name] = left.get(name, 0.0) - amount  # taken, or kept for it: below zero nobody else gets any
            short = short or left[name] < 0
        if short:
            heapq.heappop(queue)
            continue
        chosen.append(index)
        taken[index] += 1
        if taken[index] < min(view.room, len(view.heads)):
            heapq.heapreplace(queue, (view.heads[taken[index]], index))
        else:
            heapq.heappop(queue)
    return chosen

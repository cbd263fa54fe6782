"""How a waiting run stands: how long it will take, and whether it is late or must start now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from triggers.policy.view import Lane, View

SHORTEST = 10.0
"""Seconds. Shorter runs count as this long: nobody minds waiting some seconds, however short the work is."""

Kept = Callable[[int, int], bool]
"""Says of a lane, by index, whether what its n-th head needs is kept for it when it does not fit."""


def typical(lanes: Sequence[Lane]) -> float:
    """Return what a run is taken to last that nobody knows anything of: the median of those that are known.

    Less would let unknown work pass all that is known, more would have it wait behind all; in the middle it is neither
    favoured nor starved, and its first end makes it known.
    """
    expected = [lane.expected for lane in lanes]
    if None not in expected:  # nobody will ask
        return SHORTEST
    known = [p for p in expected if p is not None]
    return max(SHORTEST, median(known)) if known else SHORTEST


def overdue(view: View, top: int) -> float:
    """Return the rank value below which runs are late: those whose patience would be over with the priority `top`, too.

    For each level of priority below the highest that waits a late run has waited `aging` seconds longer.
    """
    return view.now - view.aging * top - view.patience


class Deadlines:
    """Who must start now to end in time.

    What a run needs can be had once all that runs now has ended, if it is kept for it from now on. So a run is pressing
    as soon as its latest start (deadline - p90) lies before that moment: then its turn comes in time wherever the
    predictions hold. Who cannot make it any more, even by p50, presses nobody.
    """

    def __init__(self, view: View, unknown: float) -> None:
        self._now = view.now
        self._unknown = unknown
        self._ended = max((busy.until for busy in view.running if busy.until < math.inf), default=view.now)

    def pressing(self, lane: Lane, head: int) -> float:
        """Return the deadline of a lane's head if it must start now, else infinity.

        A head answers for those behind it, which cannot start before it has.
        """
        expected = self._unknown if lane.expected is None else lane.expected
        longest = max(expected, lane.longest or 0.0)
        due = min((at for at in lane.deadlines[head:] if self._now + expected <= at), default=math.inf)
        return due if due - longest <= max(self._now, self._ended) else math.inf


def late(view: View) -> Kept:
    """Return who has what it needs kept: the late, and who must start now to meet a deadline."""
    lanes = view.lanes
    bound = overdue(view, max(lane.priority for lane in lanes))
    deadlines = Deadlines(view, typical(lanes))

    def kept(index: int, head: int) -> bool:
        lane = lanes[index]
        if lane.heads[head][0] < bound:
            return True
        return bool(lane.deadlines) and deadlines.pressing(lane, head) < math.inf

    return kept


def nobody(view: View) -> Kept:
    """Have nothing kept for anybody."""
    return lambda index, head: False

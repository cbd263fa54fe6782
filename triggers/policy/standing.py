"""How a waiting run stands: how long it will take, and whether it is late or must start now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from triggers.policy.view import Lane, View

SHORTEST = 10.0
"""Seconds. Shorter runs count as this long: nobody minds waiting some seconds, however short the work is."""

PATIENCE = 12 * 3600.0
"""Seconds that a run waits before it is late."""


def typical(lanes: Sequence[Lane]) -> float:
    """Return what a run is taken to last that nobody knows anything of: the median of those that are known.

    Less would let unknown work pass all that is known, more would have it wait behind all; in the middle it is neither
    favoured nor starved, and its first end makes it known.
    """
    known = [lane.expected for lane in lanes if lane.expected is not None]
    return median(known) if known else SHORTEST


def seconds(lane: Lane, unknown: float) -> float:
    """Return the expected time of a run of this lane, never less than the shortest that counts."""
    return max(SHORTEST, unknown if lane.expected is None else lane.expected)


def overdue(now: float, aging: float, top: int, rank: float) -> bool:
    """Say whether a run is late: its patience is over, and so would be that of one of the `top` priority in its place.

    `rank` is the first part of its rank. For each level below the top a late run has waited `aging` longer.
    """
    return now - aging * top - rank > PATIENCE


def pressing(view: View, lane: Lane, taken: int, unknown: float) -> float:
    """Return the deadline of a lane's next head if its latest start has come and it can still be met, else infinity.

    A head answers for those behind it, which cannot start before it has.
    """
    expected = seconds(lane, unknown) if lane.expected is None else lane.expected
    longest = max(expected, lane.longest or 0.0)
    due = min((at for at in lane.deadlines[taken:] if view.now + expected <= at), default=math.inf)
    return due if due - longest <= view.now else math.inf

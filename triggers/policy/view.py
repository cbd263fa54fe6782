"""What a policy sees: lanes of waiting runs, what runs, what is free. Moments are Unix seconds, amounts millionths."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

Rank = tuple[float, int]
"""(arrival - aging * priority, the run's number): the smallest came first, a level of priority counting as a wait."""


PATIENCE = 30 * 3600.0
"""A day and a quarter: a night has come before anybody's turn is enforced at the cost of all others. Where most runs
wait for longer than this, all are late, and the ratio counts no more: raise it there, for it is what bounds starving.
"""


class Lane(NamedTuple):
    """Waiting runs of one route that are alike to a policy, the best rank first."""

    heads: Sequence[Rank]
    """As many as could start now, and at least one."""
    needs: Mapping[str, int]
    """What each of them takes, at least 1 of each; the limits that it counts against are resources, too."""
    priority: int = 0
    expected: float | None = None
    """How long a run will take, in seconds, half of all times (p50); None is not known."""
    longest: float | None = None
    """How long at most, nine times of ten (p90)."""
    deadlines: Sequence[float] = ()
    """By when each of the heads should have ended, if this lane's runs have deadlines."""
    share: str | None = None
    """Who it counts for. Those that count for nobody are together one more share, named ""."""
    part: float = 0.0
    """The part of the machine that each takes, see `dominant`."""


class Busy(NamedTuple):
    """A run that runs."""

    needs: Mapping[str, int]
    until: float
    """Its predicted end (p90); infinite is not known."""


class View(NamedTuple):
    """All that a policy may look at."""

    now: float
    lanes: Sequence[Lane]
    free: Mapping[str, int]
    """What is left of each resource. A need that it does not name is never met."""
    capacity: Mapping[str, int]
    """How much of each there is."""
    running: Collection[Busy] = ()
    usage: Mapping[str, float] = {}
    """By share: the parts of the machine that it had of late and holds now, over its weight; see `Shares`."""
    aging: float = 600.0
    """So many seconds of waiting make up for one level of priority."""
    patience: float = PATIENCE
    """So many seconds of waiting make a run late."""


Policy = Callable[[View], Iterable[int]]
"""From a view to its lanes, by index, in the order in which their runs should start: a lane once for each head."""

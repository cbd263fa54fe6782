"""Fair shares: what part of the machine each share has had of late, so that the one that had least is next.

The part that a run takes is its dominant one, the largest of any resource (Ghodsi et al., NSDI 2011), so that a share
that needs the memory and one that needs the processors can be compared. Parts are averaged over the past as a load
average is: what was taken a half-life ago counts half.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

HALF_LIFE = 6 * 3600.0
"""Seconds. A working day shows in the night that follows, and is forgotten two days later (1/256)."""

FORGOTTEN = 8 * HALF_LIFE
"""Seconds after which what was taken need not be reckoned in any more."""

KEPT = 10_000
"""So many shares are remembered that hold nothing, twice as many at most for a moment."""

NOTHING = 1e-9
"""A part of the machine below which nothing is held: what is left where parts are added and taken away again."""


@dataclass(slots=True)
class _Standing:
    """What a share has had up to a moment, and what part of the machine it holds since then."""

    at: float
    usage: float = 0.0
    part: float = 0.0


@dataclass(slots=True)
class Shares:
    """The standing of all shares. Moments are in Unix seconds; a clock that was set back stands still."""

    weights: Mapping[str, float]
    """What a share is due beside the others, 1 where it is not named."""
    half_life: float = HALF_LIFE
    _standings: dict[str, _Standing] = field(default_factory=dict)
    _latest: float = -math.inf

    def begin(self, share: str, part: float, now: float) -> None:
        """Take note that a run has taken a part of the machine."""
        self._at(share, now).part += part

    def end(self, share: str, part: float, now: float) -> None:
        """Take note that it has given it back."""
        self._at(share, now).part -= part

    def recall(self, share: str, part: float, started: float, ended: float, now: float) -> None:
        """Reckon in a run that was not followed: one of a time before this process."""
        had = self._left(now - min(ended, now)) - self._left(now - min(started, now))
        self._at(share, now).usage += part * max(0.0, had)

    def usage(self, now: float, names: Iterable[str] | None = None) -> dict[str, float]:
        """Return what each share had of late and what it holds now, over its weight; or some of them, by their names.

        Were it the past alone, who had least would have the whole machine until the past is made up for, and runs that
        start within a moment would not count.
        """
        found = {}
        for name in list(self._standings if names is None else self._standings.keys() & names):
            standing = self._at(name, now)
            found[name] = (standing.usage + standing.part) / self.weights.get(name, 1.0)
        return found

    def standing(self, name: str, now: float) -> tuple[float, float]:
        """Return what a share had of late and holds now, over its weight, and its floor.

        That is a number for what it had alone. It does not fall as time goes by, so that the floors of shares can be
        compared whenever each was asked for.
        """
        standing, weight = self._standings.get(name), self.weights.get(name, 1.0)
        if standing is None:
            return 0.0, -math.inf
        if now > standing.at:
            self._at(name, now)
        floor = math.log2(standing.usage / weight) + standing.at / self.half_life if standing.usage > 0 else -math.inf
        return (standing.usage + standing.part) / weight, floor

    def least(self, floor: float, now: float) -> float:
        """Return what a share with that floor, or a higher one, has at least."""
        return math.exp2(min(64.0, floor - max(now, self._latest) / self.half_life))

    def _at(self, share: str, now: float) -> _Standing:
        self._latest = max(self._latest, now)
        standing = self._standings.get(share)
        if standing is None:
            if len(self._standings) >= 2 * KEPT:
                self._forget(now)
            standing = self._standings[share] = _Standing(now)
        if now > standing.at:
            left = self._left(now - standing.at)
            standing.usage = standing.usage * left + standing.part * (1 - left)
            standing.at = now
        return standing

    def _forget(self, now: float) -> None:
        """Forget the shares that hold nothing and had least: next to nothing is what is made of it."""
        had = {name: self._at(name, now).usage for name, one in self._standings.items() if one.part < NOTHING}
        for name in nsmallest(len(had) - KEPT, had, key=had.__getitem__):
            del self._standings[name]

    def _left(self, ago: float) -> float:
        """Return how much of what was taken so many seconds ago still counts."""
        return math.exp(-ago * math.log(2) / self.half_life)

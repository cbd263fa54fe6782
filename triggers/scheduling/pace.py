"""The pace of a route (`throttle=`): so many of its runs, or of each key, start in so many seconds; the others wait.

What counts are starts that the journal has recorded, for as long as they count (`triggers.journal.counted`). After a
restart they are read again, so that a crash lets nothing start too early.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from math import inf

from triggers.rate import Rate
from triggers.scheduling.gates import Closed
from triggers.scheduling.terms import Terms


def paces(rates: Mapping[str, Rate], started: Iterable[tuple[str, str | None, float]]) -> dict[str, Pace]:
    """Return the pace of each route by its rate, as the starts (route, key, until when they count) have it."""
    found = {route: Pace(route, rate) for route, rate in rates.items()}
    counted = list(started)
    for route, pace in found.items():
        pace.recall((key, until) for name, key, until in counted if name == route)
    return found


class Pace:
    """The gate of a route whose starts are throttled. Nothing starts before it is told which starts still count."""

    by_run = True

    def __init__(self, route: str, rate: Rate) -> None:
        self.rate = rate
        self._route = route
        self.known = False
        """Whether it has been told."""
        self._ends: defaultdict[str | None, deque[float]] = defaultdict(deque)
        """Until when each start counts, in Unix seconds, by the key; runs without a key count together."""
        self._all: deque[tuple[float, str | None]] = deque()

    def recall(self, counted: Iterable[tuple[str | None, float]]) -> None:
        """Take what the journal has: the key of each start, and until when it counts, in order of that."""
        self.known = True
        for key, until in counted:
            self._count(key, until)

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether so many have started that a run must wait."""
        if not self.known:
            return Closed(inf, "the journal is read for what has started")
        if self.room(terms.key, now):
            return None
        ends = self._ends[terms.key]
        of = "" if terms.key is None else f" of {terms.key!r}"
        runs = "1 run" if len(ends) == 1 else f"{len(ends)} runs"
        reason = f"{runs}{of} started in the last {self.rate.per:g} s (throttle={self.rate})"
        return Closed(self.opens(terms.key, now), reason, recorded=True)

    def lets(self, now: float, terms: Terms) -> tuple[str, int]:
        """Return how many runs of a key may start now."""
        return f"throttle of {self._route} for {terms.key!r}", self.room(terms.key, now)

    def room(self, key: str | None, now: float) -> int:
        """Return how many runs of a key may start now."""
        self._forget(now)
        return max(0, self.rate.count - len(self._ends.get(key, ())))

    def opens(self, key: str | None, now: float) -> float:
        """Return when the next run of a key may start; not after now where one may start already."""
        self._forget(now)
        ends = self._ends.get(key, ())
        return ends[len(ends) - self.rate.count] if len(ends) >= self.rate.count else -inf

    def start(self, key: str | None, now: float) -> None:
        """Count a start."""
        self._count(key, now + self.rate.per)

    def withdraw(self, key: str | None) -> None:
        """Count the last start of a key no more: it did not come to it."""
        if ends := self._ends.get(key):
            self._all.remove((ends.pop(), key))
            if not ends:
                del self._ends[key]

    def _count(self, key: str | None, until: float) -> None:
        self._ends[key].append(until)
        self._all.append((until, key))

    def _forget(self, now: float) -> None:
        """Let go of what does not count any more. A clock that was set back holds nothing up for longer than `per`."""
        latest = now + self.rate.per
        if self._all and self._all[-1][0] > latest:
            kept = [(min(until, latest), key) for until, key in self._all]
            self._all.clear()
            self._ends.clear()
            for until, key in kept:
                self._count(key, until)
        while self._all and self._all[0][0] <= now:
            _, key = self._all.popleft()
            self._ends[key].popleft()
            if not self._ends[key]:
                del self._ends[key]

"""What waits: one flow for each route, of which only the best-ranked runs are held in memory.

A flow's window holds the heads up to its `horizon`; whatever ranks behind the horizon is in the journal alone and is
read when the window runs low. So memory does not grow with the backlog.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from triggers.journal import EventRow, RunRow
from triggers.policy import Rank, View
from triggers.routing import Route

WINDOW = 1000
"""How many waiting runs of a route are held in memory; twice as many at most for a moment."""

BEFORE_ALL: Rank = (-(2**62), 0)


@dataclass(slots=True)
class Head:
    """A waiting run, known by its rank.

    A run whose row has not been handed to the journal yet is `fresh` and holds row and event; one that an earlier owner
    had claimed is `interrupted` and holds that claim as (attempt, epoch).
    """

    number: int
    event: int
    fresh: tuple[RunRow, EventRow] | None = None
    interrupted: tuple[int, int] | None = None


@dataclass(slots=True, eq=False)
class Flow:
    """The waiting and running runs of one route."""

    route: Route
    needs: dict[str, float]
    running: int = 0
    horizon: Rank | None = BEFORE_ALL
    """The last rank that is in memory; None when everything that waits is."""
    filling: bool = False
    _missed: bool = False
    _heads: list[tuple[Rank, Head]] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Return how many waiting runs are in memory."""
        return len(self._heads)

    def add(self, rank: Rank, head: Head) -> None:
        """Take a run that waits from now on; behind the horizon it is left to the journal."""
        if self.horizon is not None and rank > self.horizon:
            self._missed = True
            return
        heapq.heappush(self._heads, (rank, head))
        if len(self._heads) > 2 * WINDOW:
            self._shrink()

    def view(self, most: int) -> View:
        """Return what the policy needs to know, with at most `most` heads."""
        limit = self.route.policy.concurrency
        room = most if limit is None else min(most, limit - self.running)
        if room <= 0:
            return View((), 0, self.needs)
        if room == 1:
            return View([rank for rank, _ in self._heads[:1]], 1, self.needs)
        heads = heapq.nsmallest(room, self._heads) if len(self._heads) > 1 else self._heads
        return View([rank for rank, _ in heads], room, self.needs)

    def pop(self) -> Head:
        """Take the best-ranked head out of the window."""
        return heapq.heappop(self._heads)[1]

    def remove(self, events: set[int]) -> None:
        """Forget the runs of events that turned out to be duplicates."""
        self._heads = [item for item in self._heads if item[1].event not in events]
        heapq.heapify(self._heads)

    def runs_low(self) -> bool:
        """Say whether the journal should be asked for more."""
        return self.horizon is not None and not self.filling and len(self._heads) < WINDOW // 2

    def ask(self) -> Rank:
        """Note that the journal is being asked, and return the rank behind which it should look."""
        assert self.horizon is not None  # runs_low() said so
        self.filling, self._missed = True, False
        return self.horizon

    def fill(self, heads: Sequence[tuple[Rank, Head]], most: int) -> None:
        """Take the journal's answer: the next heads behind the horizon, at most `most`."""
        self.filling = False
        for item in heads:
            heapq.heappush(self._heads, item)
        if len(heads) == most or self._missed:
            self.horizon = heads[-1][0] if heads else self.horizon
        else:
            self.horizon = None

    def fresh(self) -> Iterable[Head]:
        """Yield the heads whose rows have not been handed over yet."""
        return (head for _, head in self._heads if head.fresh)

    def _shrink(self) -> None:
        self._heads = heapq.nsmallest(WINDOW, self._heads)  # sorted, hence a heap
        self.horizon = self._heads[-1][0]

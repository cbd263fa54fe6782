"""What waits: one flow for each route, of which only the best-ranked runs are held in memory.

A flow's window holds the heads up to its `horizon`; whatever ranks behind the horizon is in the journal alone and is
read when the window runs low. So memory does not grow with the backlog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter

from triggers.journal import RunRow
from triggers.lineage import EventRow
from triggers.policy import Rank, View
from triggers.routing import Route

WINDOW = 1000
"""How many waiting runs of a route are held in memory; twice as many at most for a moment."""

KEPT = 2048
"""The largest payload, in characters, that is held in memory with a waiting run."""

BEFORE_ALL: Rank = (-(2**62), 0)

_rank = itemgetter(0)


@dataclass(slots=True)
class Head:
    """A waiting run, as its flow holds it.

    `row` is there until the journal has been handed it. `kept` is its event, where that is new and small: it need not
    be read again. A run that an earlier owner had claimed is `interrupted`, and holds that claim as (attempt, epoch).
    """

    number: int
    event: int
    attempt: int = 0
    """The attempts that it has used."""
    row: RunRow | None = None
    kept: EventRow | None = None
    interrupted: tuple[int, int] | None = None

    def handed_over(self) -> None:
        """Forget what the journal has from now on, but for a small event."""
        self.row = None
        if self.kept and len(self.kept.data) > KEPT:
            self.kept = None


@dataclass(slots=True, eq=False)
class Flow:
    """The waiting and running runs of one route. `needs` includes the slot that a run of it takes."""

    route: Route
    needs: dict[str, int]
    limit: int | None = field(init=False)
    running: int = 0
    horizon: Rank | None = BEFORE_ALL
    """The last rank that is in memory; None when everything that waits is."""
    filling: bool = False
    _late: list[tuple[Rank, Head]] = field(default_factory=list)
    """What came behind the horizon while the journal was being asked."""
    _missed: Rank | None = None
    """The best rank among what came behind the horizon and is in the journal alone."""
    _asked: Rank = BEFORE_ALL
    _heads: deque[tuple[Rank, Head]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.limit = self.route.policy.concurrency

    @property
    def held(self) -> int:
        """Return how many waiting runs are in memory."""
        return len(self._heads)

    def empty(self) -> bool:
        """Say whether nothing waits, in memory or behind the horizon."""
        return self.horizon is None and not self._heads

    def held_up(self) -> bool:
        """Say whether what waits can't start before a delayed run has been tried again."""
        return False

    def add(self, rank: Rank, head: Head) -> None:
        """Take a run that waits from now on; behind the horizon it is left to the journal."""
        if self.horizon is not None and rank > self.horizon:
            if self.filling and len(self._late) < WINDOW:
                self._late.append((rank, head))
            else:
                self._miss(rank)
        elif not self._heads or self._heads[-1][0] < rank:  # new runs rank last but for their priority
            self._heads.append((rank, head))
        else:
            self._insert([(rank, head)])
        if len(self._heads) > 2 * WINDOW:
            self._heads = deque(islice(self._heads, WINDOW))
            self.horizon = self._heads[-1][0]

    def free(self) -> bool:
        """Say whether the route's `concurrency=` lets a new run start at once."""
        return self.limit is None or self.running < self.limit

    def room(self, most: int) -> int:
        """Return how many more runs the route's `concurrency=` allows, at most `most`."""
        return most if self.limit is None else max(0, min(most, self.limit - self.running))

    def hold(self, run: int) -> None:
        """Take note that a run waits for another attempt. Here that holds nobody up."""

    def view(self, most: int) -> View:
        """Return what the policy needs to know, with at most `most` heads."""
        room = self.room(most)
        return View([rank for rank, _ in islice(self._heads, room)], room, self.needs)

    def pop(self) -> Head:
        """Take the best-ranked head out of the window."""
        return self._heads.popleft()[1]

    def remove(self, events: set[int]) -> None:
        """Forget the runs of events that turned out to be duplicates."""
        self._heads = deque(item for item in self._heads if item[1].event not in events)
        self._late = [item for item in self._late if item[1].event not in events]

    def discard(self, runs: set[int]) -> None:
        """Forget runs that do not wait any more."""
        self._heads = deque(item for item in self._heads if item[1].number not in runs)
        self._late = [item for item in self._late if item[1].number not in runs]

    def runs_low(self) -> bool:
        """Say whether the journal should be asked for more."""
        return self.horizon is not None and not self.filling and len(self._heads) < WINDOW // 2

    def ask(self) -> Rank:
        """Note that the journal is being asked, and return the rank behind which it should look."""
        assert self.horizon is not None  # runs_low() said so
        self.filling, self._missed = True, None
        self._asked = self.horizon
        return self.horizon

    def fill(self, heads: Sequence[tuple[Rank, Head]], most: int) -> None:
        """Take the journal's answer: the next heads behind the horizon, at most `most`."""
        self.filling = False
        late, self._late = self._late, []
        if self.horizon != self._asked:  # drawn in meanwhile: what lies between would be passed over, so ask again
            return
        if self._missed is None and len(heads) < most:  # with what came meanwhile, this is all that waits
            answered = {rank for rank, _ in heads}
            self._insert([*heads, *(item for item in late if item[0] not in answered)])
            self.horizon = None
            return
        for rank, _ in late:
            self._miss(rank)
        if self._missed is not None:  # it may rank before a part of the answer: leave that part for the next question
            missed = self._missed
            heads = [item for item in heads if item[0] < missed]
        self.horizon = heads[-1][0] if heads else self.horizon
        self._insert(heads)

    def _miss(self, rank: Rank) -> None:
        self._missed = rank if self._missed is None else min(self._missed, rank)

    def _insert(self, heads: Sequence[tuple[Rank, Head]]) -> None:
        self._heads = deque(sorted([*self._heads, *heads], key=_rank))

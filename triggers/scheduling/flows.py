"""What waits: one flow for each route, of which only the best-ranked runs are held in memory.

A flow's window holds the heads up to its `horizon`; whatever ranks behind the horizon is in the journal alone and is
read when the window runs low. So memory does not grow with the backlog.

What the window holds lies in lanes: the runs of a lane are alike to the policy, so that it need only look at the first
of them. A route has one lane, unless its runs have keys or differ in priority. Lanes that differ in their keys alone
are lined up, so that the policy sees the first of them, and not a lane for each key. Where gates go by how long runs
take, those whose inputs differ in size lie in lanes of their own: who has to wait must not hold up who need not.
"""

from __future__ import annotations

import heapq
from bisect import bisect, bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from math import inf
from operator import attrgetter
from typing import NamedTuple

from triggers import policy
from triggers.journal import RunRow
from triggers.lineage import EventRow
from triggers.policy import Rank
from triggers.prediction.forecast import Prediction
from triggers.routing import Route
from triggers.scheduling.gates import Closed, Gate, Turnstile
from triggers.scheduling.holdings import limit_of_key
from triggers.scheduling.lineup import Lineup, Tenants
from triggers.scheduling.pace import Pace
from triggers.scheduling.terms import Terms, scale

WINDOW = 1000
"""How many waiting runs of a route are held in memory; twice as many at most for a moment."""

WIDE = 100_000
"""The same of a route with more lanes: runs that may not start must not hide the others. They are small."""

KEPT = 2048
"""The largest payload, in characters, that is held in memory with a waiting run."""

BEFORE_ALL: Rank = (-inf, 0)

_rank = attrgetter("rank")


@dataclass(slots=True)
class Head:
    """A waiting run, as its flow holds it.

    `row` is there until the journal has been handed it. `kept` is its event, where that is new and small: it need not
    be read again. A run that an earlier owner had claimed is `interrupted`, and holds that claim as (attempt, epoch).
    """

    number: int
    event: int
    terms: Terms
    attempt: int = 0
    """The attempts that it has used."""
    row: RunRow | None = None
    kept: EventRow | None = None
    interrupted: tuple[int, int] | None = None
    rank: Rank = field(init=False)
    """Its place among what waits: the smallest is served first."""

    def __post_init__(self) -> None:
        self.rank = self.terms.rank, self.number


Kind = tuple[int, str | None, float | None, int]
"""By what a flow tells its lanes apart: priority, key, the memory of those that get more than is declared, and the
scale of their inputs, 0 where that is all the same."""

RowKind = tuple[int, float | None, int]
"""The same without the key."""


class Shown(NamedTuple):
    """What the policy is shown as a lane."""

    lane: policy.Lane
    behind: Iterator[Lane]
    """The lanes that the first of its runs, the second and so on lie in."""
    size: int | None
    """That of the first run's input."""
    predicted: Prediction
    """How long a run with such an input takes."""


@dataclass(slots=True, eq=False)
class Lane:
    """Waiting runs of a flow that are alike to the policy, in order."""

    flow: Flow
    priority: int
    key: str | None
    memory: float | None
    scale: int
    limit: str | None
    """The name under which the runs of its key are counted, where they are."""
    heads: deque[Head] = field(default_factory=deque)
    shown: Shown | None = None
    """As the policy saw it last, if it has had the same runs since."""

    @property
    def kind(self) -> Kind:
        """Return by what its flow tells it from the others."""
        return self.priority, self.key, self.memory, self.scale

    @property
    def first(self) -> Head:
        """Return the run that is next; a lane is never empty."""
        return self.heads[0]

    def add(self, head: Head) -> None:
        """Take a run; new ones rank last."""
        self.shown, heads = None, self.heads
        if not heads or heads[-1].rank < head.rank:
            heads.append(head)
        else:
            heads.insert(bisect(heads, head.rank, key=_rank), head)

    def remove(self, head: Head) -> bool:
        """Take a run out, and say whether it was there."""
        place = bisect_left(self.heads, head.rank, key=_rank)
        if place == len(self.heads) or self.heads[place] is not head:
            return False
        del self.heads[place]
        return True

    def next(self, most: int, passes: Callable[[Head], bool] | None) -> list[Head]:
        """Return the runs that are next, no more than `most`, and only those before the first that does not pass. The
        first of all is known to."""
        if most == 1:
            return [self.heads[0]]
        return list(islice(takewhile(passes, self.heads) if passes else self.heads, most))

    def seen(
        self,
        free: Mapping[str, int],
        needs: Mapping[str, int],
        expected: float | None,
        longest: float | None,
        passes: Callable[[Head], bool] | None = None,
    ) -> policy.Lane:
        """Return the lane as the policy sees it: as many runs as what is free might be enough for, at least one.

        `needs` is what each of them takes.
        """
        most = room(free, needs)
        heads = self.next(most, passes)
        deadlines = [head.terms.deadline or inf for head in heads] if self.first.terms.deadline else ()
        ranks = [head.rank for head in heads]
        share = self.flow.route.share(self.key)
        part = self.flow.part
        return policy.Lane(ranks, needs, self.priority, expected, longest, deadlines, share, part)


def room(free: Mapping[str, int], needs: Mapping[str, int]) -> int:
    """Return how many runs the policy is shown of those that are alike: as many as might start, at least one."""
    return max(1, min(free[name] // amount for name, amount in needs.items()))


def nothing_more(memory: float) -> Mapping[str, int]:
    """Let a run take no more memory than is declared."""
    return {}


def by_deadline(lane: Lane) -> tuple[float, ...]:
    """Return the deadline of the first run, and its rank."""
    return lane.first.terms.deadline or inf, *lane.first.rank


class Row:
    """The lanes of a flow that differ in their keys alone, in the orders by which the next ones are found."""

    def __init__(self, route: Route, kind: RowKind) -> None:
        self.kind = kind
        _, self.memory, _ = kind
        self.ranked: Lineup[Lane] = Lineup()
        self.due: Lineup[Lane] | None = None if route.policy.deadline is None else Lineup(by_deadline)
        self.tenants: Tenants[Lane] | None = Tenants() if route.policy.share is True else None
        self._route = route

    def put(self, lane: Lane) -> None:
        """Take note that a lane has another first run than before, or none."""
        self.ranked.put(lane)
        if self.due is not None:
            self.due.put(lane)
        if self.tenants is not None:
            self.tenants.put(lane, self._route.share(lane.key))


@dataclass(slots=True, eq=False)
class Flow:
    """The waiting runs of one route. `needs` is what every run of it takes, the executor's slot included."""

    route: Route
    needs: Mapping[str, int]
    part: float = 0.0
    """The part of the machine that a run takes."""
    per_key: Callable[[str], Mapping[str, int]] | None = None
    """What a run takes beside that, by the name under which its key is counted."""
    grown: Callable[[float], Mapping[str, int]] = nothing_more
    """What a run takes instead whose memory has grown."""
    horizon: Rank | None = BEFORE_ALL
    """The last rank that is in memory; None when everything that waits is."""
    filling: bool = False
    held: int = 0
    """How many waiting runs are in memory."""
    scaled: bool = False
    """Whether runs whose inputs differ in size lie in lanes of their own."""
    window: int = WINDOW
    gates: Sequence[Gate] = ()
    turnstiles: Sequence[Turnstile] = ()
    """Those of the gates that let only some runs through in one choice."""
    pace: Pace | None = None
    """What throttles the starts of its runs: one of those."""
    memory: float | None = None
    """How many bytes its runs may have that get no more than is declared; None is not bounded."""
    keyed: bool = field(init=False)
    """Whether its runs have keys."""
    lanes: dict[Kind, Lane] = field(default_factory=dict)
    """Those that hold any run."""
    rows: dict[RowKind, Row] = field(default_factory=dict)
    """The same in their orders, where they have keys: a row for those that differ in their keys alone."""
    lined: Sequence[Shown] | None = None
    """The lanes that differ in their keys alone as the policy saw them last, if the same of them may start since."""
    _late: list[Head] = field(default_factory=list)
    """What came behind the horizon while the journal was being asked."""
    _missed: Rank | None = None
    """The best rank among what came behind the horizon and is in the journal alone."""
    _asked: Rank = BEFORE_ALL

    def __post_init__(self) -> None:
        self.keyed = self.route.policy.key is not None
        if self.keyed or self.scaled:
            self.window = WIDE

    @property
    def in_line(self) -> bool:
        """Say whether the policy need not see the lane of each key: no gate goes by them, and there is an order."""
        policy = self.route.policy
        ordered = not (policy.share is True and policy.deadline is not None)
        return self.keyed and ordered and not any(gate.by_run for gate in self.gates)

    @property
    def lasting(self) -> bool:
        """Say whether which of those come first changes with what waits and what is free alone, and not by itself."""
        policy = self.route.policy
        return policy.deadline is None and policy.share is not True and not self.gates

    def empty(self) -> bool:
        """Say whether nothing waits, in memory or behind the horizon."""
        return self.horizon is None and not self.held

    def add_new(self, run: RunRow, event: EventRow) -> Head | None:
        """Take a new run; None where it is left to the journal."""
        if self._leaves((run.terms.rank, run.number)):
            return None
        head = Head(run.number, run.event, run.terms, row=run, kept=event)
        self.add(head)
        return head

    def add(self, head: Head) -> None:
        """Take a run that waits from now on; behind the horizon it is left to the journal."""
        self.lined = None
        if self.horizon is None or head.rank <= self.horizon:
            self._put(head)
            if self.held > 2 * self.window:
                self._draw_in()
        elif not self._leaves(head.rank):
            self._late.append(head)

    def takes(self, limit: str | None, memory: float | None = None) -> Mapping[str, int]:
        """Return what a run takes that counts against the limit of its key, with that memory instead of what is
        declared."""
        if memory is None and limit is None:
            return self.needs
        needs = self.own(memory)
        return needs if self.per_key is None or limit is None else {**needs, **self.per_key(limit)}

    def own(self, memory: float | None) -> Mapping[str, int]:
        """Return what every run takes, whatever its key."""
        return self.needs if memory is None else {**self.needs, **self.grown(memory)}

    def limit(self, key: str | None) -> str | None:
        """Return the name under which the runs of a key are counted, where they are."""
        return None if self.per_key is None or key is None else limit_of_key(self.route.name, key)

    def free(self) -> bool:
        """Say whether a new run may start at once, as far as the flow goes: where it has gates, they are asked."""
        return not self.gates

    def hold(self, run: int, key: str | None) -> None:
        """Take note that a run waits for another attempt. Here that holds nobody up."""

    def held_up(self) -> Collection[str | None]:
        """Return the keys of which nothing may start, as far as the flow goes."""
        return ()

    def ready(self) -> Iterable[Lane]:
        """Return the lanes whose first run may start, as far as the flow goes; its gates are asked for each lane."""
        return self.lanes.values()

    def lined_up(self) -> Collection[Row]:
        """Return the lanes in order, those that differ in more than their keys for themselves."""
        for kind in [kind for kind, row in self.rows.items() if not row.ranked]:
            del self.rows[kind]
        return self.rows.values()

    def closed(self, now: float, head: Head, longest: float | None) -> Closed | None:
        """Return the gate that opens last, of those that are closed for a run."""
        found = [closed for gate in self.gates if (closed := gate.closed(now, head.terms, longest))]
        return max(found, key=lambda closed: closed.until, default=None)

    def pop(self, lane: Lane) -> Head:
        """Take the first run of a lane out of the window."""
        head = lane.heads.popleft()
        self._taken_from(lane)
        return head

    def handed_over(self, head: Head) -> None:
        """Forget of a new run what the journal has from now on, but for a small event of one whose turn may be soon."""
        head.row = None
        if head.kept and (self.held > WINDOW or len(head.kept.data) > KEPT):
            head.kept = None

    def remove(self, head: Head) -> None:
        """Forget a run that does not wait any more, where it lies in a lane."""
        lane = self.lanes.get(self._kind(head.terms))
        if lane and lane.remove(head):
            self._taken_from(lane)

    def forget(self, runs: Iterable[int]) -> None:
        """Forget runs that do not wait any more."""
        gone = set(runs)
        self._late = [head for head in self._late if head.number not in gone]
        for head in [head for lane in self.lanes.values() for head in lane.heads if head.number in gone]:
            self.remove(head)

    def runs_low(self) -> bool:
        """Say whether the journal should be asked for more."""
        return self.horizon is not None and not self.filling and self.held < self.window // 2

    def ask(self) -> Rank:
        """Note that the journal is being asked, and return the rank behind which it should look."""
        assert self.horizon is not None  # runs_low() said so
        self.filling, self._missed = True, None
        self._asked = self.horizon
        return self.horizon

    def fill(self, heads: Sequence[Head], most: int) -> None:
        """Take the journal's answer: the next heads behind the horizon, at most `most`."""
        self.filling, self.lined = False, None
        late, self._late = self._late, []
        if self.horizon != self._asked:  # drawn in meanwhile: what lies between would be passed over, so ask again
            return
        if self._missed is None and len(heads) < most:  # with what came meanwhile, this is all that waits
            answered = {head.number for head in heads}
            heads = [*heads, *(head for head in late if head.number not in answered)]
            self.horizon = None
        else:
            for head in late:
                self._miss(head.rank)
            if (missed := self._missed) is not None:  # it may rank before a part of the answer: ask for that part again
                heads = [head for head in heads if head.rank < missed]
            self.horizon = heads[-1].rank if heads else self.horizon
        for head in heads:
            self._put(head)
        if self.held > 2 * self.window:
            self._draw_in()

    def __iter__(self) -> Iterator[Head]:
        """Yield what is in memory, in order."""
        return heapq.merge(*(lane.heads for lane in self.lanes.values()), key=_rank)

    def _kind(self, terms: Terms) -> Kind:
        return terms.priority, terms.key, terms.memory, scale(terms.size) if self.scaled else 0

    def _leaves(self, rank: Rank) -> bool:
        """Leave a run to the journal that ranks behind the horizon, and say so; while that is asked, some are held."""
        if self.horizon is None or rank <= self.horizon or (self.filling and len(self._late) < self.window):
            return False
        self._miss(rank)
        return True

    def _put(self, head: Head) -> None:
        kind = self._kind(head.terms)
        lane = self.lanes.get(kind)
        if lane is None:
            lane = self.lanes[kind] = Lane(self, *kind, self.limit(head.terms.key))
        lane.add(head)
        if self.keyed and lane.first is head:
            self._line_up(lane)
        self.held += 1

    def _taken_from(self, lane: Lane) -> None:
        """Take note that a lane has lost a run."""
        self.held -= 1
        lane.shown = self.lined = None
        if not lane.heads:
            del self.lanes[lane.kind]
        if self.keyed:
            self._line_up(lane)

    def _line_up(self, lane: Lane) -> None:
        """Give a lane the place of its first run."""
        kind = lane.priority, lane.memory, lane.scale
        if kind not in self.rows:
            self.rows[kind] = Row(self.route, kind)
        self.rows[kind].put(lane)

    def _draw_in(self) -> None:
        """Keep the best-ranked runs, and leave the rest to the journal."""
        best = list(islice(self, self.window))
        self._set(best)
        self.horizon = best[-1].rank

    def _set(self, heads: Iterable[Head]) -> None:
        self.lanes.clear()
        self.rows.clear()
        self.held = 0
        for head in heads:
            self._put(head)

    def _miss(self, rank: Rank) -> None:
        if self._missed is None or rank < self._missed:
            self._missed = rank

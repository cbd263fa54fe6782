"""What the policy is shown of what waits: as few lanes as decide the same as all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import repeat, takewhile
from math import inf
from operator import itemgetter

from triggers import policy
from triggers.policy import Shares
from triggers.prediction.forecast import UNKNOWN, Prediction
from triggers.scheduling.closures import Closures
from triggers.scheduling.flows import Flow, Head, Lane, Row, Shown, room
from triggers.scheduling.gates import Closed
from triggers.scheduling.holdings import MEMORY, UNIT, Holdings
from triggers.scheduling.lineup import Tenants
from triggers.scheduling.sharing import Sharing
from triggers.scheduling.terms import Terms

Queue = tuple[int, list[Lane]]
"""Lanes that can be shown as one, and how many of their runs at most."""

Forecast = Callable[[str, int | None], Prediction]
"""From a route and the size of an input to how long its runs take."""


def unknown(route: str, size: int | None) -> Prediction:
    """Know nothing of how long runs take."""
    return UNKNOWN


class Display:
    """Shows what waits.

    Where a policy of the app's own may go by anything (`each`), it is shown the lane of every key.
    """

    def __init__(
        self, flows: Mapping[str, Flow], holdings: Holdings, closures: Closures, sharing: Sharing | None, each: bool
    ) -> None:
        self.reopens = inf
        """When the first gate opens that runs wait behind, in Unix seconds."""
        self._flows = flows
        self._holdings = holdings
        self._closures = closures
        self._sharing = sharing
        self._shares = sharing.shares if sharing else Shares({})
        self._now = 0.0
        self._each = each
        self._forecast: Forecast = unknown
        self._turns: set[str] = set()
        """The resources of turnstiles, while a choice is made."""
        self._names = tuple({name: None for flow in flows.values() for name in flow.needs} | {MEMORY: None})
        self._amounts = [-1] * len(self._names)
        """How much of these was free at the last look."""

    def show(self, now: float, forecast: Forecast) -> list[Shown]:
        """Return the lanes whose first run nothing holds back but what the policy decides about."""
        self._now, self._forecast = now, forecast
        self.reopens = inf
        self._closures.begin()
        self._tidy()
        self._reopen()
        changed, found = self._changed(), list[Shown]()
        for flow in self._flows.values():
            if not flow.held:
                continue
            if flow.keyed and self._in_line(flow):
                found += self._keyed(flow, changed)
            elif flow.gates or flow.per_key:
                found += self._gated(flow)
            else:
                self._plain(flow, changed, found)
        return found

    def clear(self) -> None:
        """Forget what turnstiles let through: the choice is made."""
        while self._turns:
            self._holdings.remove(self._turns.pop())

    def _tidy(self) -> None:
        """Count the limits of keys no more that nobody is shown for."""
        if self._holdings.crowded():
            waiting = [flow for flow in self._flows.values() if flow.lanes]
            self._holdings.tidy(sum(len(flow.lanes) for flow in waiting if not self._in_line(flow)))

    def _reopen(self) -> None:
        """Look anew at the keys of routes of which one has room again."""
        opened = self._holdings.opened
        while opened:
            self._flows[opened.pop()].lined = None

    def _changed(self) -> set[str]:
        """Return the resources of which another amount is free than at the last look."""
        free = self._holdings.free
        before, self._amounts = self._amounts, [free.get(name, 0) for name in self._names]
        if before == self._amounts:
            return set()
        return {name for name, a, b in zip(self._names, before, self._amounts, strict=True) if a != b}

    def _in_line(self, flow: Flow) -> bool:
        """Say whether the policy sees not each key of a flow."""
        return not self._each and flow.in_line

    def _plain(self, flow: Flow, changed: set[str], found: list[Shown]) -> None:
        """Show the lanes of a flow that nothing else holds back, as they were seen last where nothing has changed."""
        name, forecast = flow.route.name, self._forecast
        for lane in flow.ready():
            one = lane.shown
            if one is None or forecast(name, one.size) is not one.predicted or not changed.isdisjoint(one.lane.needs):
                one = lane.shown = self._alone(lane, {})
            found.append(one)

    def _keyed(self, flow: Flow, changed: set[str]) -> Sequence[Shown]:
        """Return the lanes that differ in their keys alone, as they were seen last where nothing has changed."""
        name, forecast, lined = flow.route.name, self._forecast, flow.lined
        if (
            lined is None
            or flow.gates
            or any(
                forecast(name, one.size) is not one.predicted or not changed.isdisjoint(one.lane.needs) for one in lined
            )
        ):
            lined = list(self._lined_up(flow))
            flow.lined = lined if flow.lasting else None
        return lined

    def _gated(self, flow: Flow) -> Iterator[Shown]:
        """Yield the lanes of which no gate holds the first run back, and whose key has room."""
        flow.lined = None  # they are seen by what is free now, once no gate is there any more
        for lane in flow.ready():
            lane.shown = None
            if self._holdings.shuts(lane.limit):
                continue
            if closed := self._closed(flow, lane.first):
                self._closures.add(flow, lane.kind, closed)
            else:
                yield self._alone(lane, self._turn(flow, lane.first.terms))

    def _lined_up(self, flow: Flow) -> Iterator[Shown]:
        """Yield of the lanes that differ in their keys alone those that may be next."""
        held_up, shuts = flow.held_up(), self._holdings.shuts

        def wanted(lane: Lane) -> bool:
            return lane.key not in held_up and not shuts(lane.limit)

        queues: list[Queue] = []
        turn = self._turn(flow, next(iter(flow.lanes.values())).first.terms)
        for row in flow.lined_up():
            most = room(self._holdings.free, flow.own(row.memory))
            if row.tenants is not None:
                lanes = self._poorest(row, row.tenants, most, wanted)
                yield from [self._alone(lane, turn) for lane in lanes if self._open(flow, row, lane)]
                continue
            for lanes in self._next(flow, row, most, wanted):
                through = list(takewhile(partial(self._open, flow, row), lanes)) if flow.gates else lanes
                queues += [(most, through)] if through else []
        contested = _contested(queues) if flow.per_key and len(queues) > 1 else ()
        for most, lanes in queues:
            if contested:
                yield from [self._alone(lane, turn) for lane in lanes if lane.key in contested]
                lanes = [lane for lane in lanes if lane.key not in contested]
            if lanes:
                yield self._as_one(lanes, most, turn)

    def _open(self, flow: Flow, row: Row, lane: Lane) -> bool:
        """Say whether no gate holds the first run of a lane back. Where one does, so it does those behind, which take
        about as long: it goes by nothing else."""
        if closed := self._closed(flow, lane.first):
            self._closures.add(flow, row.kind, closed)
        return closed is None

    def _poorest(self, row: Row, tenants: Tenants[Lane], most: int, wanted: Callable[[Lane], bool]) -> Collection[Lane]:
        """Return the lanes whose shares had least, and the first to come: if it is late, what it needs is kept."""
        now = self._sharing.now() if self._sharing else self._now
        return dict.fromkeys([*tenants.first(most, wanted, self._shares, now), *row.ranked.first(1, wanted)])

    def _next(self, flow: Flow, row: Row, most: int, wanted: Callable[[Lane], bool]) -> Iterator[list[Lane]]:
        """Yield the lanes that come first, those with the next deadlines that can be met for themselves."""
        ranked = row.ranked.first(most, wanted)
        if ranked and row.due is not None:
            expected, _ = self._forecast(flow.route.name, ranked[0].first.terms.size)
            if due := row.due.first(most, wanted, (self._now + (expected or 0.0),)):
                yield due
                ranked = [lane for lane in ranked if lane not in set(due)]
        if ranked:
            yield ranked

    def _alone(self, lane: Lane, turn: Mapping[str, int]) -> Shown:
        """Show a lane by itself, with what it takes of the limit of its key, and of what turnstiles let through."""
        flow, size = lane.flow, lane.first.terms.size
        needs = flow.takes(lane.limit, lane.memory)
        predicted = self._forecast(flow.route.name, size)
        seen = lane.seen(self._holdings.free, {**needs, **turn} if turn else needs, *predicted, self._passes(flow))
        return Shown(seen, repeat(lane), size, predicted)

    def _as_one(self, lanes: list[Lane], most: int, turn: Mapping[str, int]) -> Shown:
        """Show lanes as one: of each as many runs as its key has room for."""
        passes = self._passes(lanes[0].flow)
        each = [(head.rank, head, lane) for lane in lanes for head in lane.next(self._room(lane, most), passes)]
        heads = sorted(each, key=itemgetter(0))[:most]
        _, first, lane = heads[0]
        flow, size, ranks = lane.flow, first.terms.size, [rank for rank, _, _ in heads]
        predicted = self._forecast(flow.route.name, size)
        deadlines = [head.terms.deadline or inf for _, head, _ in heads] if first.terms.deadline else ()
        share, needs = flow.route.share(lane.key), {**flow.own(lane.memory), **turn}
        seen = policy.Lane(ranks, needs, lane.priority, *predicted, deadlines, share, flow.part)
        return Shown(seen, (lane for _, _, lane in heads), size, predicted)

    def _room(self, lane: Lane, most: int) -> int:
        """Return how many runs of a lane are shown where no more than so many are: as many as its key has room for."""
        per_key = lane.flow.route.policy.per_key
        if lane.limit is None or per_key is None:
            return most
        return min(most, self._holdings.left_of_key(lane.limit, per_key))

    def _closed(self, flow: Flow, head: Head) -> Closed | None:
        """Return the gate that holds a run back, and take note of when it opens."""
        _, longest = self._forecast(flow.route.name, head.terms.size)
        if closed := flow.closed(self._now, head, longest):
            self.reopens = min(self.reopens, closed.until)
        return closed

    def _passes(self, flow: Flow) -> Callable[[Head], bool] | None:
        """Return what says whether no gate holds a run back, None where there is none: what is open for the first of a
        lane may be closed for a longer one."""
        return (lambda head: self._closed(flow, head) is None) if flow.gates else None

    def _turn(self, flow: Flow, terms: Terms) -> Mapping[str, int]:
        """Return what a run takes of what turnstiles let through now: resources for the time of one choice."""
        if not flow.turnstiles:
            return {}
        passing = dict(filter(None, [turnstile.lets(self._now, terms) for turnstile in flow.turnstiles]))
        for name, many in passing.items():
            self._holdings.add(name, many)
        self._turns.update(passing)
        return dict.fromkeys(passing, UNIT)


def _contested(queues: Iterable[Queue]) -> Set[str | None]:
    """Return the keys that have lanes in more than one of them: shown as part of each, both would be let in."""
    times = Counter(lane.key for _, lanes in queues for lane in lanes)
    return {key for key, many in times.items() if many > 1}

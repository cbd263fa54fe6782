"""Which waiting runs are claimed: the flows, the free resources, and the policy's choice among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from triggers import policy
from triggers.closures import Closures
from triggers.flows import KEYED, Flow, Head, Lane, Ranked
from triggers.gates import Gate, declared
from triggers.journal import RUNNING, Promoted, RunRow, WaitingRow
from triggers.lineage import EventRow
from triggers.measured import unseen
from triggers.overlap import Judged, SingleFile, kind_of
from triggers.pace import Pace
from triggers.policy import Busy, Policy, View, dominant, fit, order
from triggers.routing import PROCESS, Route
from triggers.sharing import Sharing
from triggers.terms import Terms

UNIT = 1_000_000
"""Resources are counted in millionths, as whole numbers: 0.1 and 0.2 given back must make 0.3."""

MEMORY = "memory"
"""The resource that is measured."""


@dataclass(slots=True)
class Choice:
    """What one look at all that waits decided."""

    starts: list[tuple[Flow, RunRow, EventRow]] = field(default_factory=list)
    """New runs that are claimed in the commit that inserts them."""
    claims: list[tuple[Flow, Head]] = field(default_factory=list)
    """Runs in the journal that are claimed now."""
    forgiven: list[int] = field(default_factory=list)
    """Claims whose interrupted attempt is not counted: an isolated handler has not brought the dispatcher down."""
    buried: list[tuple[Flow, Head]] = field(default_factory=list)
    """Runs whose process died in their last attempt."""


Forecast = Callable[[str, int | None], tuple[float | None, float | None]]
"""From a route and the size of an input to the seconds that its runs take: p50 and p90, None where nobody knows."""


def unknown(route: str, size: int | None) -> tuple[None, None]:
    """Know nothing of how long runs take."""
    return None, None


class Admission:
    """The flows of all routes, and what is free of each resource.

    `free` is what the capacity leaves beside the runs that are at work: a limit of a route is a resource, too. `policy`
    says who is preferred; what it says can't make more start than there is room for.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        capacity: Mapping[str, float],
        aging: float,
        forecast: Forecast = unknown,
        policy: Policy = order,
        sharing: Sharing | None = None,
    ) -> None:
        self.capacity = units({**capacity, **_bounds(routes.values())})
        self.free = dict(self.capacity)
        self._aging = aging
        self.flows = {name: self._flow(route) for name, route in routes.items()}
        self.single = [flow for flow in self.flows.values() if isinstance(flow, SingleFile)]
        """Those whose runs do not overlap."""
        self.judged = [flow for flow in self.flows.values() if isinstance(flow, Judged)]
        """Those about whose new runs the journal decides."""
        self.paced = [flow.route.name for flow in self.flows.values() if flow.pace]
        """The routes whose starts are throttled."""
        self.closed = False
        """Set when the dispatcher stops, and when it starts until what operators asked for meanwhile is carried out:
        nothing is claimed."""
        self.reopens = inf
        """When the first gate opens that runs wait behind, in Unix seconds."""
        self.closures = Closures()
        """The gates that are closed, for those who ask why."""
        self.forecast = forecast
        self._policy = policy
        self._busy: dict[int, Busy] = {}
        """What the runs at work have taken, by their numbers."""
        self.sharing = sharing
        """What each share has had; None where no route has any."""
        self._at_once: dict[int, RunRow] = {}
        """Those that were started without a choice: when they end is predicted once there is one."""
        self._of_keys: set[str] = set()
        """The bounds of keys, which are there while a run counts against them or is looked at."""
        self._of_starts: list[str] = []
        """What is left of throttled starts, while a choice is made."""
        self._bars: Mapping[str, Gate] = {}
        """The gates that were put before routes from outside."""
        self._unseen = 0
        """Memory in use that no run has taken."""
        self._clear = self._shut = False
        self._top = max((_highest(route) for route in routes.values()), default=0.0)

    def add(self, run: RunRow, event: EventRow) -> Head:
        """Take a new run among those that wait."""
        self._clear = self._shut = False
        head = Head(run.number, run.event, run.terms, row=run, kept=event)
        self.flows[run.route].add(head)
        return head

    def passed(self, flow: Flow, head: Head) -> None:
        """Take a new run of which it is decided that it may start."""
        self._clear = self._shut = False
        Flow.add(flow, head)

    def promote(self, promoted: Sequence[Promoted]) -> None:
        """Take delayed runs back whose time has come."""
        for row in promoted:
            flow = self.flows.get(row.route)
            if flow is not None:
                self._clear = self._shut = False
                flow.add(Head(row.run, row.event, row.terms, row.attempt))

    def hold(self, delayed: Sequence[tuple[str, int, str | None]]) -> None:
        """Take note of delayed runs (route, run, key) that hold up the others of their route and key."""
        for route, run, key in delayed:
            self.flows[route].hold(run, key)

    def recall(self, started: Sequence[tuple[str, str | None, float]]) -> None:
        """Take what the journal has of the starts (route, key, until when they count) of routes that are throttled."""
        self._clear = self._shut = False
        for route in self.paced:
            if pace := self.flows[route].pace:
                pace.recall((key, until) for name, key, until in started if name == route)

    def bar(self, gates: Mapping[str, Gate]) -> None:
        """Put gates before routes, by their names, in place of those that were put there before."""
        self._clear = self._shut = False
        for name, flow in self.flows.items():
            own = [gate for gate in flow.gates if gate is not self._bars.get(name)]
            flow.gates = [*own, gates[name]] if name in gates else own
        self._bars = gates

    def fill(self, flow: Flow, rows: Sequence[WaitingRow]) -> None:
        """Take the journal's next waiting runs of a flow."""
        heads = []
        for row in rows:
            interrupted = (row.attempt, row.epoch) if row.state == RUNNING else None
            heads.append(Head(row.number, row.event, row.terms, row.attempt, interrupted=interrupted))
        self._clear = self._shut = False
        flow.fill(heads, flow.window)

    def admit(self, run: RunRow) -> Flow | None:
        """Take what a new run needs, if nothing waits that could rank before it: then there is nothing to choose."""
        flow = self.flows[run.route]
        if not self._clear or self.closed or run.terms.priority < self._top or not flow.free():
            return None
        needs = flow.takes(run.terms.key)
        for name, amount in needs.items():
            if self.free.get(name, 0) < amount:
                return None
        self._take(run.number, flow, run.terms.key, needs, inf)
        self._at_once[run.number] = run
        return flow

    def choose(self, now: float) -> Choice:
        """Let the policy choose, and take what the chosen runs need."""
        choice = Choice()
        if self._clear or self.closed:
            return choice
        self.reopens = inf
        self.closures.begin()
        lanes = list(self._open(now))
        if lanes:
            self._predict()
            seen = [waiting for _, waiting in lanes]
            usage = self.sharing.usage() if self.sharing else {}
            view = View(now, seen, self.free, self.capacity, self._busy.values(), usage, self._aging)
            for index in fit(view, self._policy(view)):
                lane, waiting = lanes[index]
                self._start(lane, now, waiting.longest, choice)
        while self._of_starts:
            name = self._of_starts.pop()
            self.free.pop(name, None)
            self.capacity.pop(name, None)
        self._clear = self.empty()
        self._shut = not (self._clear or lanes or any(flow.horizon for flow in self.flows.values()))
        return choice

    def low(self) -> list[Flow]:
        """Return the flows whose window should be filled from the journal."""
        return [] if self._clear or self.closed else [flow for flow in self.flows.values() if flow.runs_low()]

    def drop(self, duplicates: set[int]) -> None:
        """Forget the runs of events that turned out to be duplicates."""
        for flow in self.flows.values():
            if flow.held or flow.filling:
                flow.discard(lambda head: head.event in duplicates)

    def release(self, run: int) -> None:
        """Give back what a run had taken."""
        if self.sharing:
            self.sharing.end(run)
        self._at_once.pop(run, None)
        for name, amount in self._busy.pop(run).needs.items():
            self.free[name] += amount
            if name in self._of_keys and self.free[name] == self.capacity[name]:
                self._of_keys.discard(name)
                del self.free[name], self.capacity[name]

    def withdraw(self, run: int, flow: Flow, key: str | None) -> None:
        """Give back what a run had taken that does not start after all."""
        self.release(run)
        if flow.pace:
            flow.pace.withdraw(key)

    def correct(self, held: Mapping[int, float], left: float) -> bool:
        """Count memory that is in use, though no run has taken it; say whether more is free than before.

        `held` has the bytes of the runs that are measured, `left` what the machine has left.
        """
        taken = {run: busy.needs.get(MEMORY, 0) for run, busy in self._busy.items()}
        amounts = {run: round(amount * UNIT) for run, amount in held.items()}
        before, most = self._unseen, self.capacity[MEMORY]
        self._unseen = unseen(most, taken, amounts, round(min(left, 1e18) * UNIT))
        self.free[MEMORY] += before - self._unseen
        return self._unseen < before

    def memory(self, flow: Flow, terms: Terms) -> float | None:
        """Return how many bytes a run may have, None where its route does not say."""
        most = flow.takes(None, terms.memory).get(MEMORY)
        return None if most is None else most / UNIT

    def gate(self, route: str, gate: Gate) -> None:
        """Have runs of a route wait for another gate."""
        flow = self.flows[route]
        flow.gates = [*flow.gates, gate]

    def taken(self, name: str) -> float:
        """Return how much runs at work have taken of a resource."""
        return (self.capacity[name] - self.free[name]) / UNIT

    def resize(self, name: str, amount: float) -> None:
        """Set how much there is of a resource from now on; what runs have taken of it stays taken.

        What waits is looked at again: whoever calls this hands the next turn over.
        """
        capacity = round(amount * UNIT)
        self.free[name] += capacity - self.capacity[name]
        self.capacity[name] = capacity
        self._shut = False

    def waits_for(self, route: str) -> str:
        """Return in a few words what the runs wait for that wait; nothing where they are about to start."""
        flow = self.flows[route]
        if not flow.held:
            return ""
        if closed := max(self.closures.of(route), key=lambda gate: gate.until, default=None):
            return closed.reason
        own = bound(flow.route)
        short = [name for name, amount in flow.needs.items() if self.free.get(name, amount) < amount]
        return "its limit (concurrency=)" if own in short else " and ".join(short)

    def undecided(self) -> bool:
        """Say whether anything may wait that `choose` has not looked at, or could not start when it did."""
        return not self._clear

    def empty(self) -> bool:
        """Say whether nothing waits, in memory or behind a horizon."""
        return all(flow.empty() for flow in self.flows.values())

    def still(self) -> bool:
        """Say whether nothing waits but behind gates that are closed, or runs that are delayed."""
        return self._shut or self.empty()

    def _flow(self, route: Route) -> Flow:
        own = {route.kind: 1, **route.policy.needs}
        part = dominant(self.capacity, units(own))
        if route.policy.concurrency is not None:
            own[bound(route)] = 1
        flow = kind_of(route)(route, units(own), part, gates=declared(route, self._aging))
        flow.grown = partial(self._grown, flow.needs.get(MEMORY, 0))
        if route.policy.key is not None:
            flow.window = KEYED
        if route.policy.per_key is not None:
            flow.per_key = partial(self._of_key, route, route.policy.per_key * UNIT)
        if route.policy.throttle is not None:
            flow.pace = Pace(route.policy.throttle)
            flow.gates = [*flow.gates, flow.pace]
        return flow

    def _grown(self, declared: int, memory: float) -> Mapping[str, int]:
        """Return what a run takes whose attempts need more memory than is declared: no more than there is."""
        return {MEMORY: max(declared, min(round(memory * UNIT), self.capacity[MEMORY]))}

    def _of_key(self, route: Route, most: int, key: str) -> Mapping[str, int]:
        """Return what a run of a key takes beside, and see to it that there is such a resource."""
        name = bound(route, key)
        if name not in self.capacity:
            self._of_keys.add(name)
            self.capacity[name] = self.free[name] = most
        return {name: UNIT}

    def _open(self, now: float) -> Iterator[tuple[Lane, policy.Lane]]:
        """Yield the lanes whose first run no gate holds back, each as the policy sees it."""
        for flow in self.flows.values():
            if not flow.held:
                continue
            for lane in flow.ready():
                lane.needs = flow.takes(lane.key, lane.memory)
                if any(self.free[name] < lane.needs[name] for name in lane.needs if name in self._of_keys):
                    continue
                expected, longest = self.forecast(flow.route.name, lane.first.terms.size)
                if not flow.gates:
                    yield lane, lane.seen(self.free, expected, longest)
                elif closed := flow.closed(now, lane.first, longest):
                    self.reopens = min(self.reopens, closed.until)
                    self.closures.add(lane, closed)
                else:
                    if flow.pace:
                        lane.needs = {
                            **lane.needs,
                            **self._of_pace(flow.route, lane.key, flow.pace.room(lane.key, now)),
                        }
                    yield lane, lane.seen(self.free, expected, longest, partial(self._passes, flow, now))

    def _passes(self, flow: Flow, now: float, item: Ranked) -> bool:
        """Say whether no gate holds a run back: what is open for the first of a lane may be closed for a longer one."""
        _, longest = self.forecast(flow.route.name, item[1].terms.size)
        return flow.closed(now, item[1], longest) is None

    def _of_pace(self, route: Route, key: str | None, room: int) -> Mapping[str, int]:
        """Return what a run takes of the starts that are left now: a resource for the time of one choice."""
        name = f"throttle of {route.name} for {key}"
        self.capacity[name] = self.free[name] = room * UNIT
        self._of_starts.append(name)
        return {name: UNIT}

    def _start(self, lane: Lane, now: float, longest: float | None, choice: Choice) -> None:
        flow, head = lane.flow, lane.flow.pop(lane)
        isolated = flow.route.kind == PROCESS
        if head.interrupted and not isolated and head.interrupted[0] >= flow.route.policy.retry.attempts:
            choice.buried.append((flow, head))
            return
        needs = lane.needs
        if flow.pace:
            needs = flow.takes(lane.key, lane.memory)
            flow.pace.start(lane.key, now)
        self._take(head.number, flow, lane.key, needs, inf if longest is None else now + longest)
        if head.row and head.kept:
            choice.starts.append((flow, head.row, head.kept))
            return
        choice.claims.append((flow, head))
        if head.interrupted and isolated:
            head.attempt -= 1
            choice.forgiven.append(head.number)

    def _predict(self) -> None:
        """Predict the ends of the runs that were started at once."""
        for number, run in self._at_once.items():
            _, longest = self.forecast(run.route, run.terms.size)
            if longest is not None and run.started is not None:
                self._busy[number] = Busy(self._busy[number].needs, run.started + longest)
        self._at_once.clear()

    def _take(self, run: int, flow: Flow, key: str | None, needs: Mapping[str, int], ends: float) -> None:
        self._busy[run] = Busy(needs, ends)
        if self.sharing:
            self.sharing.begin(run, flow, key)
        for name, amount in needs.items():
            self.free[name] -= amount


def bound(route: Route, key: str | None = None) -> str:
    """Return the name under which the `concurrency=` of a route, or `per_key=` of a key, is counted as a resource."""
    return f"concurrency of {route.name}" if key is None else f"concurrency of {route.name} for {key}"


def _highest(route: Route) -> float:
    priority = route.policy.priority
    return priority if isinstance(priority, int) else inf


def _bounds(routes: Iterable[Route]) -> dict[str, float]:
    return {bound(route): route.policy.concurrency for route in routes if route.policy.concurrency is not None}


def units(amounts: Mapping[str, float]) -> dict[str, int]:
    """Return amounts of resources in the units that are counted."""
    return {name: max(1, round(amount * UNIT)) for name, amount in amounts.items()}

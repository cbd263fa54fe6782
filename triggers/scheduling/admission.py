"""Which waiting runs are claimed: the flows, the free resources, and the policy's choice among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from triggers.journal import RUNNING, Promoted, RunRow, WaitingRow
from triggers.lineage import EventRow
from triggers.options import ALLOW
from triggers.policy import Policy, View, dominant, fit, order
from triggers.routing import PROCESS, Route
from triggers.scheduling.closures import Closures
from triggers.scheduling.display import Display, Forecast, unknown
from triggers.scheduling.flows import Flow, Head, Lane, Shown
from triggers.scheduling.gates import Gate, Turnstile, declared
from triggers.scheduling.holdings import MEMORY, UNIT, AtWork, Holdings, limit_of, units
from triggers.scheduling.overlap import Judged, SingleFile, kind_of
from triggers.scheduling.pace import Pace
from triggers.scheduling.sharing import Sharing
from triggers.scheduling.terms import Terms


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


class Admission:
    """The flows of all routes, and what is free of each resource.

    `policy` says who is preferred; what it says can't make more start than `holdings` has room for.
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
        self.holdings = Holdings({**capacity, **_limits(routes.values())})
        self._aging = aging
        self.flows = {name: self._flow(route) for name, route in routes.items()}
        self.single = [flow for flow in self.flows.values() if isinstance(flow, SingleFile)]
        """Those whose runs do not overlap."""
        self.judged = [flow for flow in self.flows.values() if isinstance(flow, Judged)]
        """Those about whose new runs the journal decides."""
        self.fleeting = {flow.route.name for flow in self.flows.values() if flow.route.policy.expires is not None}
        """The routes whose runs expire."""
        self.paced = [flow.route.name for flow in self.flows.values() if flow.pace]
        """The routes whose starts are throttled."""
        self.closed = False
        """Set when the dispatcher stops, and when it starts until what operators asked for meanwhile is carried out:
        nothing is claimed."""
        self.closures = Closures()
        """The gates that are closed, for those who ask why."""
        self.forecast = forecast
        self._policy = policy
        self.sharing = sharing
        """What each share has had; None where no route has any."""
        self._at_once: dict[int, RunRow] = {}
        """Those that were started without a choice: when they end is predicted once there is one."""
        self._display = Display(self.flows, self.holdings, self.closures, sharing, each=policy is not order)
        self.bars: Mapping[str, Gate] = {}
        """The gates that were put before routes from outside."""
        self._clear = self._shut = False
        self._top = max((_highest(route) for route in routes.values()), default=0.0)

    @property
    def reopens(self) -> float:
        """Return when the first gate opens that runs wait behind, in Unix seconds."""
        return self._display.reopens

    def add(self, run: RunRow, event: EventRow) -> tuple[Flow, Head] | None:
        """Take a new run among those that wait; None where it is left to the journal."""
        self._clear = self._shut = False
        flow = self.flows[run.route]
        head = flow.add_new(run, event)
        return (flow, head) if head else None

    def passed(self, flow: Flow, head: Head) -> None:
        """Take a new run of which it is decided that it may start."""
        self._clear = self._shut = False
        flow.add(head)

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
            own = [gate for gate in flow.gates if gate is not self.bars.get(name)]
            flow.gates = [*own, gates[name]] if name in gates else own
        self.bars, self.closures.barred = gates, gates.keys()

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
        needs = flow.takes(flow.limit(run.terms.key))
        if not self.holdings.suffice(needs):
            return None
        self._take(run.number, flow, run.terms.key, needs)
        self._at_once[run.number] = run
        return flow

    def choose(self, now: float) -> Choice:
        """Let the policy choose, and take what the chosen runs need."""
        choice = Choice()
        if self._clear or self.closed:
            return choice
        shown = self._display.show(now, self.forecast)
        if shown:
            self._predict()
            for one in self._chosen(shown, now):
                self._start(next(one.behind), now, one.lane.longest, choice)
        self._display.clear()
        self._clear = self.empty()
        self._shut = not (self._clear or shown or any(flow.horizon for flow in self.flows.values()))
        return choice

    def _chosen(self, shown: Sequence[Shown], now: float) -> Iterable[Shown]:
        """Let the policy choose among what it is shown."""
        lanes = [one.lane for one in shown]
        usage = self.sharing.usage({lane.share or "" for lane in lanes}) if self.sharing else {}
        free, capacity = self.holdings.free, self.holdings.capacity
        view = View(now, lanes, free, capacity, AtWork(self.holdings, now), usage, self._aging)
        return [shown[index] for index in fit(view, self._policy(view))]

    def low(self) -> list[Flow]:
        """Return the flows whose window should be filled from the journal."""
        return [] if self._clear or self.closed else [flow for flow in self.flows.values() if flow.runs_low()]

    def release(self, run: int) -> None:
        """Give back what a run had taken."""
        if self.sharing:
            self.sharing.end(run)
        self._at_once.pop(run, None)
        self.holdings.release(run)

    def withdraw(self, run: int, flow: Flow, key: str | None) -> None:
        """Give back what a run had taken that does not start after all."""
        self.release(run)
        if flow.pace:
            flow.pace.withdraw(key)

    def memory(self, flow: Flow, terms: Terms) -> float | None:
        """Return how many bytes a run may have, None where its route does not say."""
        return flow.memory if terms.memory is None else flow.own(terms.memory)[MEMORY] / UNIT

    def gate(self, route: str, gate: Gate) -> None:
        """Have runs of a route wait for another gate."""
        flow = self.flows[route]
        flow.gates = [*flow.gates, gate]

    def turnstile(self, route: str, turnstile: Turnstile) -> None:
        """Have runs of a route wait for another gate that lets only some of them through in one choice."""
        self.gate(route, turnstile)
        flow = self.flows[route]
        flow.turnstiles = [*flow.turnstiles, turnstile]

    def resize(self, name: str, amount: float) -> None:
        """Set how much there is of a resource from now on, see `Holdings.resize`.

        What waits is looked at again: whoever calls this hands the next turn over.
        """
        self.holdings.resize(name, amount)
        self._shut = False

    def waits_for(self, route: str) -> str:
        """Return in a few words what the runs wait for that wait; nothing where they are about to start."""
        flow = self.flows[route]
        if not flow.held:
            return ""
        if closed := max(self.closures.of(route), key=lambda gate: gate.until, default=None):
            return closed.reason
        short = self.holdings.short_of(flow.needs)
        return "its limit (concurrency=)" if limit_of(route) in short else " and ".join(short)

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
        part = dominant(self.holdings.capacity, units(own))
        if route.policy.concurrency is not None:
            own[limit_of(route.name)] = 1
        gates = declared(route, self._aging)
        scaled = bool(gates) and route.policy.overlap == ALLOW
        flow = kind_of(route)(route, units(own), part, gates=gates, scaled=scaled)
        flow.grown = partial(self._grown, flow.needs.get(MEMORY, 0))
        if MEMORY in flow.needs:
            flow.memory = flow.needs[MEMORY] / UNIT
        if route.policy.per_key is not None:
            flow.per_key = partial(self.holdings.of_key, route.name, route.policy.per_key)
        if route.policy.throttle is not None:
            flow.pace = Pace(route.name, route.policy.throttle)
            flow.gates, flow.turnstiles = [*flow.gates, flow.pace], [flow.pace]
        return flow

    def _grown(self, declared: int, memory: float) -> Mapping[str, int]:
        """Return what a run takes whose attempts need more memory than is declared: no more than there is."""
        return {MEMORY: max(declared, min(round(memory * UNIT), self.holdings.capacity[MEMORY]))}

    def _start(self, lane: Lane, now: float, longest: float | None, choice: Choice) -> None:
        flow, head = lane.flow, lane.flow.pop(lane)
        if head.row and head.terms.expired(now):
            return  # it is inserted in this commit, and dropped by then or after it
        isolated = flow.route.kind == PROCESS
        if head.interrupted and not isolated and head.interrupted[0] >= flow.route.policy.retry.attempts:
            choice.buried.append((flow, head))
            return
        if flow.pace:
            flow.pace.start(lane.key, now)
        self._take(head.number, flow, lane.key, flow.takes(lane.limit, lane.memory))
        if longest is not None:
            self.holdings.predict(head.number, now, now + longest)
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
                self.holdings.predict(number, run.started, run.started + longest)
        self._at_once.clear()

    def _take(self, run: int, flow: Flow, key: str | None, needs: Mapping[str, int]) -> None:
        self.holdings.take(run, needs)
        if self.sharing:
            self.sharing.begin(run, flow, key)


def _highest(route: Route) -> float:
    priority = route.policy.priority
    return priority if isinstance(priority, int) else inf


def _limits(routes: Iterable[Route]) -> dict[str, float]:
    return {limit_of(one.name): one.policy.concurrency for one in routes if one.policy.concurrency is not None}

"""Which waiting runs are claimed: the flows, the free resources, and the policy's choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from triggers.flows import WINDOW, Flow, Head
from triggers.journal import RUNNING, Promoted, RunRow, WaitingRow
from triggers.lineage import EventRow
from triggers.overlap import SingleFile
from triggers.policy import Rank, choose
from triggers.routing import ALLOW, PROCESS, Route

UNIT = 1_000_000
"""Resources are counted in millionths, as whole numbers: 0.1 and 0.2 given back must make 0.3."""


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
    """The flows of all routes, and what is free of each resource."""

    def __init__(self, routes: Mapping[str, Route], capacity: Mapping[str, float]) -> None:
        self.flows = {name: _flow(route) for name, route in routes.items()}
        self.single = [flow for flow in self.flows.values() if isinstance(flow, SingleFile)]
        """Those whose runs do not overlap."""
        self.free = units(capacity)
        self.closed = False
        """Set when the dispatcher stops: from then on nothing more is claimed."""
        self._clear = False
        self._top = max((route.policy.priority for route in routes.values()), default=0)

    def add(self, run: RunRow, event: EventRow) -> Head:
        """Take a new run among those that wait."""
        self._clear = False
        head = Head(run.number, run.event, row=run, kept=event)
        self.flows[run.route].add((-run.priority, run.number), head)
        return head

    def passed(self, flow: Flow, rank: Rank, head: Head) -> None:
        """Take a new run of which it is decided that it may start."""
        self._clear = False
        Flow.add(flow, rank, head)

    def promote(self, promoted: Sequence[Promoted]) -> None:
        """Take delayed runs back whose time has come."""
        for row in promoted:
            flow = self.flows.get(row.route)
            if flow is not None:
                self._clear = False
                flow.add((-row.priority, row.run), Head(row.run, row.event, row.attempt))

    def hold(self, delayed: Sequence[tuple[str, int]]) -> None:
        """Take note of delayed runs, each with its route before it, that hold up the others of their route."""
        for route, run in delayed:
            self.flows[route].hold(run)

    def fill(self, flow: Flow, rows: Sequence[WaitingRow]) -> None:
        """Take the journal's next waiting runs of a flow."""
        heads = []
        for row in rows:
            interrupted = (row.attempt, row.epoch) if row.state == RUNNING else None
            head = Head(row.number, row.event, row.attempt, interrupted=interrupted)
            heads.append(((-row.priority, row.number), head))
        flow.fill(heads, WINDOW)

    def admit(self, run: RunRow) -> Flow | None:
        """Take what a new run needs, if nothing waits that could rank before it: then there is nothing to choose."""
        flow = self.flows[run.route]
        if not self._clear or self.closed or run.priority < self._top or not flow.free():
            return None
        for name, amount in flow.needs.items():
            if self.free.get(name, 0) < amount:
                return None
        self._take(flow)
        return flow

    def choose(self) -> Choice:
        """Let the policy choose, and take what the chosen runs need."""
        choice = Choice()
        if self._clear or self.closed:
            return choice
        flows = [flow for flow in self.flows.values() if flow.held]
        views = [flow.view(self.free[flow.route.kind] // UNIT) for flow in flows]
        for index in choose(views, self.free):
            flow = flows[index]
            head = flow.pop()
            isolated = flow.route.kind == PROCESS
            if head.interrupted and not isolated and head.interrupted[0] >= flow.route.policy.retry.attempts:
                choice.buried.append((flow, head))
                continue
            self._take(flow)
            if head.row and head.kept:
                choice.starts.append((flow, head.row, head.kept))
            else:
                choice.claims.append((flow, head))
                if head.interrupted and isolated:
                    head.attempt -= 1
                    choice.forgiven.append(head.number)
        self._clear = self.empty()
        return choice

    def low(self) -> list[Flow]:
        """Return the flows whose window should be filled from the journal."""
        return [] if self._clear or self.closed else [flow for flow in self.flows.values() if flow.runs_low()]

    def drop(self, duplicates: set[int]) -> None:
        """Forget the runs of events that turned out to be duplicates."""
        for flow in self.flows.values():
            flow.remove(duplicates)

    def release(self, flow: Flow) -> None:
        """Give back what a run had taken."""
        flow.running -= 1
        for name, amount in flow.needs.items():
            self.free[name] += amount

    def undecided(self) -> bool:
        """Say whether anything may wait that `choose` has not looked at, or could not start when it did."""
        return not self._clear

    def empty(self) -> bool:
        """Say whether nothing waits, in memory or behind a horizon."""
        return all(flow.empty() for flow in self.flows.values())

    def still(self) -> bool:
        """Say whether nothing waits but behind runs that are delayed."""
        return self.empty() or all(flow.held_up() or flow.empty() for flow in self.flows.values())

    def _take(self, flow: Flow) -> None:
        flow.running += 1
        for name, amount in flow.needs.items():
            self.free[name] -= amount


def _flow(route: Route) -> Flow:
    kind = Flow if route.policy.overlap == ALLOW else SingleFile
    return kind(route, units({route.kind: 1, **route.policy.needs}))


def units(amounts: Mapping[str, float]) -> dict[str, int]:
    """Return amounts of resources in the units that are counted."""
    return {name: max(1, round(amount * UNIT)) for name, amount in amounts.items()}

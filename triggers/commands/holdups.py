"""What keeps a waiting run from starting now: a gate, a limit, a resource, another run, or who ranks before it."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import apsw

from triggers.commands.output import clock, count, plain
from triggers.downstream import of_downstream
from triggers.journal import backlog, views
from triggers.journal.backlog import OpenRun
from triggers.journal.counted import started
from triggers.journal.orders import Shut
from triggers.journal.views import RouteView
from triggers.quantities import in_bytes
from triggers.rate import Rate
from triggers.scheduling.holdings import limit_of
from triggers.scheduling.pace import Pace, paces
from triggers.scheduling.terms import scale

NAMED = 5
"""How many runs are named where more hold a limit."""

SLOTS = {"coroutine", "thread", "process"}
"""The resources that are places in the executor."""

TINY = 1e-6
"""What sums of fractions may be off by."""

ALLOW = "allow"
"""What `overlap=` is where runs of a route may be open at once; to load `Overlap` takes long."""


@dataclass(frozen=True, slots=True)
class Holdup:
    """What a run waits for: what `kind` of thing it is, in words, who has it, and until when, where that is known."""

    kind: str
    """`gate`, `limit`, `resource`, `dependency`, `priority` (others rank before it), `turn` (it is about to start)."""
    text: str
    by: Sequence[int] = ()
    until: float | None = None


class Holdups:
    """Looks at what is open once, and says of each waiting run what holds it up. `epoch` is the living one."""

    def __init__(self, connection: apsw.Connection, epoch: int, routes: Mapping[str, RouteView]) -> None:
        self._connection = connection
        self._epoch = epoch
        self._routes = routes

    @cached_property
    def running(self) -> list[OpenRun]:
        """Return the runs whose handlers are at work."""
        return backlog.at_work(self._connection, self._epoch)

    @cached_property
    def _delayed(self) -> list[OpenRun]:
        return backlog.delayed(self._connection, 10_000)

    def of(self, run: OpenRun, before: int) -> Holdup:
        """Return what holds a waiting run up, whose route the app has; so many of its route rank before it."""
        route = self._routes[run.route]
        found = self.gate(run) or self._limit(run, route) or self._earlier(run, route) or self._short(run)
        return found or Holdup("priority" if before else "turn", f"{run.route} starts it when its turn comes")

    def gate(self, run: OpenRun) -> Holdup | None:
        """Return the gate that opens last of those that are closed, in words."""
        last = self.shut(run)
        if last is None:
            return None
        holders = self._holders(last.reason)
        if holders:
            return Holdup("gate", f"{plain(last.reason)}; held by {named(holders)}", numbers(holders))
        opens = f"; it opens at {clock(last.until)}" if last.until < math.inf else ""
        return Holdup("gate", f"{plain(last.reason)}{opens}", until=last.until if opens else None)

    def shut(self, run: OpenRun) -> Shut | None:
        """Return the gate that opens last of those that are closed for a run."""
        key, size = run.terms.key, scale(run.terms.size)
        noted = [
            gate
            for gate in self._noted.get(run.route, ())
            if (gate.every or gate.key == key) and gate.scale in (None, size)
        ]
        return max([*noted, *self._throttled(run)], key=lambda gate: gate.until, default=None)

    @cached_property
    def _noted(self) -> Mapping[str, Sequence[Shut]]:
        """Return what the dispatcher noted, by the routes."""
        found: defaultdict[str, list[Shut]] = defaultdict(list)
        for gate in views.closed(self._connection):
            found[gate.route].append(gate)
        return found

    def _throttled(self, run: OpenRun) -> Iterator[Shut]:
        """Yield the gate of a throttle: reckoned from the starts that the journal has, however many keys there are."""
        pace = self._paces.get(run.route)
        closed = pace.closed(time.time(), run.terms, None) if pace else None
        if closed:
            yield Shut(run.route, False, run.terms.key, closed.until, closed.reason)

    @cached_property
    def _paces(self) -> Mapping[str, Pace]:
        declared = {name: route.policy.get("throttle") for name, route in self._routes.items()}
        rates = {name: Rate(*rate) for name, rate in declared.items() if rate}
        return paces(rates, started(list(rates))(self._connection)) if rates else {}

    def _holders(self, reason: str) -> list[OpenRun]:
        """Return the runs that have one of a limit that is found out: the reason of its gate begins with its name."""
        return [run for run in self.running if any(reason.startswith(f"{one}: ") for one in self._limits_of(run))]

    def _limits_of(self, run: OpenRun) -> set[str]:
        called = self._routes[run.route].policy.get("downstream") if run.route in self._routes else None
        return {limit_of(run.route), of_downstream(called)} if called else {limit_of(run.route)}

    def _limit(self, run: OpenRun, route: RouteView) -> Holdup | None:
        own = [other for other in self.running if other.route == run.route]
        most = route.policy.get("concurrency")
        if most and len(own) >= most:
            return Holdup(
                "limit", f"{run.route} runs {most} at a time (concurrency=); held by {named(own)}", numbers(own)
            )
        of_key = [other for other in own if other.terms.key == run.terms.key]
        most = route.policy.get("per_key")
        bound = run.terms.key is not None or route.policy.get("overlap", ALLOW) != ALLOW
        if most and bound and len(of_key) >= most:
            key = "without a key" if run.terms.key is None else f"of key {plain(run.terms.key, 60)!r}"
            text = f"{run.route} runs {most} at a time {key} (per_key=); held by {named(of_key)}"
            return Holdup("limit", text, numbers(of_key))
        return None

    def _earlier(self, run: OpenRun, route: RouteView) -> Holdup | None:
        """Return the run that is to be tried again before it, where those of a route follow one another."""
        overlap = route.policy.get("overlap", ALLOW)
        if overlap == ALLOW:
            return None
        earlier = [one for one in self._delayed if one.route == run.route and one.terms.key == run.terms.key]
        if not earlier:
            return None
        text = f"{run.route} runs one at a time (overlap={overlap!r}); to be tried again before: {named(earlier)}"
        return Holdup("dependency", text, numbers(earlier), max(one.due or 0.0 for one in earlier))

    def _short(self, run: OpenRun) -> Holdup | None:
        """Return of what too little is left. Nothing, where the journal does not say how much there is."""
        left, needs = self._left(), self._needs(run)
        short = {name for name in needs if needs[name] > left.get(name, needs[name]) + TINY}
        if not short:
            return None
        holders = [other for other in self.running if short & set(self._needs(other))]
        wanted = " and ".join(
            _wanted(name, needs[name], left[name], self._capacity[name]) for name in needs if name in short
        )
        return Holdup("resource", f"it needs {wanted}; held by {named(holders)}", numbers(holders))

    @cached_property
    def _capacity(self) -> Mapping[str, float]:
        app = views.app(self._connection)
        return app.capacity if app else {}

    def _left(self) -> dict[str, float]:
        taken: Counter[str] = Counter()
        for run in self.running:
            taken.update(self._needs(run))
        return {name: most - taken[name] for name, most in self._capacity.items()}

    def _needs(self, run: OpenRun) -> dict[str, float]:
        """Return what a run holds while it runs: resources, the slot of the executor last."""
        policy = self._routes[run.route].policy if run.route in self._routes else {}
        slot = {policy["kind"]: 1.0} if policy else {}
        needs = {**policy.get("needs", {}), **slot}
        if run.terms.memory is not None:  # an attempt died of what is declared
            most = self._capacity.get("memory", run.terms.memory)
            needs["memory"] = max(needs.get("memory", 0.0), min(run.terms.memory, most))
        return needs


def named(runs: Sequence[OpenRun]) -> str:
    """Return runs by their numbers, with their routes and since when they run."""
    words = []
    for run in runs[:NAMED]:
        since = f", since {clock(run.started)}" if run.due is None and run.started is not None else ""
        words.append(f"r{run.number} ({run.route}{since})")
    return ", ".join(words) + (f" and {count(len(runs) - NAMED, 'other')}" if len(runs) > NAMED else "")


def numbers(runs: Iterable[OpenRun]) -> list[int]:
    """Return the numbers of runs."""
    return [run.number for run in runs]


def _wanted(name: str, amount: float, left: float, most: float) -> str:
    if name in SLOTS:
        return f"a {name} slot, and all {most:g} are taken"
    return f"{_amount(name, amount)} {name}, and {_amount(name, max(0.0, left))} of {_amount(name, most)} is free"


def _amount(name: str, amount: float) -> str:
    return in_bytes(amount) if name in ("memory", "storage") else f"{amount:.4g}"

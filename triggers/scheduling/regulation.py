"""What regulates how much is started, by how it went: circuits and limits, fed by what starts and ends.

Nothing of it outlives the process: a start begins as if all were well, with few at once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from triggers.attempt import Again, Dead, Done, Outcome, Run
from triggers.clock import Clock
from triggers.downstream import Adaptive, of_downstream
from triggers.kernel import strain
from triggers.limits import Limits
from triggers.prediction.forecast import RunTimes
from triggers.routing import PROCESS, Route
from triggers.scheduling.adaptive import Limit
from triggers.scheduling.admission import Admission
from triggers.scheduling.breaker import Circuit
from triggers.scheduling.gates import Closed
from triggers.scheduling.holdings import limit_of
from triggers.scheduling.pressure import Relief
from triggers.scheduling.terms import Terms

USUAL = 1 / 500
"""What the last run counts for in what a route usually takes: that must not follow what is to be noticed."""


class Regulation:
    """Listens to runs, and tells the admission what may be at work."""

    def __init__(
        self,
        routes: Collection[Route],
        limits: Limits,
        admission: Admission,
        times: RunTimes,
        clock: Clock,
    ) -> None:
        self._admission = admission
        self._times = times
        self._clock = clock
        used = {route.policy.downstream for route in routes}
        called = {name: one for name, one in limits.downstreams.items() if name in used}
        self._circuits = {name: Circuit(name, one.breaker) for name, one in called.items() if one.breaker}
        bounds = {of_downstream(name): one.concurrency for name, one in called.items()}
        bounds.update({limit_of(route.name): route.policy.adaptive for route in routes})
        self._limits = {name: Limit(one) for name, one in bounds.items() if isinstance(one, Adaptive)}
        self._usual: dict[str, _Mean] = {}
        """The logarithm of what a run of each route takes, its size being the usual one."""
        for name in self._limits:
            admission.resize(name, self._limits[name].amount)
        for route in routes:
            if circuit := self._circuits.get(route.policy.downstream or ""):
                admission.turnstile(route.name, circuit)
            for name in self._limits.keys() & {limit_of(route.name), of_downstream(route.policy.downstream or "")}:
                admission.gate(route.name, _Full(name, self._limits[name], admission))
        self._relief = Relief(limits.pressure, strain) if limits.pressure else None
        self._heavy = {route.name for route in routes if _heavy(route)} if self._relief else set()
        for name in self._heavy:
            if self._relief:
                admission.turnstile(name, self._relief)

    def __bool__(self) -> bool:
        return bool(self._circuits or self._limits or self._heavy)

    def hear(self, run: Run, outcome: Outcome | None) -> None:
        """Take note of a run that starts (None) or has left its attempt."""
        if self._relief and run.route.name in self._heavy:
            (self._relief.start if outcome is None else self._relief.end)(run.number)
        if circuit := self._circuits.get(run.route.policy.downstream or ""):
            self._switch(circuit, run, outcome)
        if self._limits and outcome is not None and counts(outcome):
            time = self._time(run) if isinstance(outcome, Done) else None
            for name in (limit_of(run.route.name), of_downstream(run.route.policy.downstream or "")):
                if limit := self._limits.get(name):
                    at_work = round(self._admission.holdings.taken(name)) + 1  # it has given its part back
                    if limit.end(time, at_work):
                        self._admission.resize(name, limit.amount)

    def _switch(self, circuit: Circuit, run: Run, outcome: Outcome | None) -> None:
        now = self._clock.now()
        if outcome is None:
            circuit.start(run.number, now)
        elif counts(outcome):
            failure = None if isinstance(outcome, Done) else outcome.failure
            circuit.end(run.number, now, failure.error if failure else None)
        else:
            circuit.withdraw(run.number)

    def _time(self, run: Run) -> float:
        """Return the logarithm of how long a run took beside what is usual for its route and its size."""
        seconds = max(1e-6, self._clock.awake() - run.began)
        time = math.log(seconds / self._times.relative(run.route.name, run.size))
        return time - self._usual.setdefault(run.route.name, _Mean()).take(time)


class _Full:
    """The gate that says why, where as many are at work as go well. What closes it is the resource itself."""

    by_run = False

    def __init__(self, name: str, limit: Limit, admission: Admission) -> None:
        self._name = name
        self._limit = limit
        self._admission = admission

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether nothing is left."""
        if self._admission.holdings.left(self._name) >= 1:
            return None
        many, most = self._limit.amount, self._limit.bounds.most
        return Closed(math.inf, f"{self._name}: {many} at once go well now, {most} at most (Adaptive)")


def _heavy(route: Route) -> bool:
    return route.kind == PROCESS or not route.policy.needs.keys().isdisjoint({"cpu", "memory"})


class _Mean:
    """A mean that soon follows nothing fast any more."""

    def __init__(self) -> None:
        self._value = 0.0
        self._count = 0

    def take(self, value: float) -> float:
        """Return the mean with one more value."""
        self._count += 1
        self._value += max(USUAL, 1 / self._count) * (value - self._value)
        return self._value


def counts(outcome: Outcome) -> bool:
    """Say whether an outcome tells how the downstream is: it answered, or failed in a way that may be cured by itself.

    An event that was refused, or a run that was given back, tells nothing.
    """
    match outcome:
        case Done():
            return True
        case Dead():
            return outcome.transient
        case Again():
            return outcome.counted


def regulated(limits: Limits, routes: Iterable[Route]) -> list[str]:
    """Return in words what of an app is regulated: what bounds its starts is in no declaration then."""
    routes = list(routes)
    called = {name: one for name, one in limits.downstreams.items() if name in {r.policy.downstream for r in routes}}
    words = [f"the breaker of {name}" for name, one in called.items() if one.breaker]
    found_out = [name for name, one in called.items() if isinstance(one.concurrency, Adaptive)]
    found_out += [route.name for route in routes if route.policy.adaptive]
    words += [f"how many of {name} go well at once" for name in found_out]
    return words + ["the pressure on the machine"] * (limits.pressure is not None)

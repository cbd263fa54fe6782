"""What regulates how much is started, by how it went: the circuits of downstreams, fed by what starts and ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from triggers.admission import Admission
from triggers.attempt import Again, Dead, Done, Outcome, Run
from triggers.breaker import Circuit
from triggers.clock import Clock
from triggers.downstream import UNBOUNDED, Downstream, of_downstream
from triggers.routing import Route

log = logging.getLogger("triggers.dispatcher")


class Regulation:
    """Listens to runs, and tells the admission what may be at work. A restart begins as if all were well."""

    def __init__(
        self, routes: Iterable[Route], downstreams: Mapping[str, Downstream], admission: Admission, clock: Clock
    ) -> None:
        self._admission = admission
        self._clock = clock
        self._downstreams = downstreams
        used = {route.policy.downstream for route in routes}
        self._circuits = {
            name: Circuit(name, one.breaker) for name, one in downstreams.items() if one.breaker and name in used
        }
        for route in routes:
            if circuit := self._circuits.get(route.policy.downstream or ""):
                admission.gate(route.name, circuit)

    def __bool__(self) -> bool:
        return bool(self._circuits)

    def hear(self, run: Run, outcome: Outcome | None) -> None:
        """Take note of a run that starts (None) or has left its attempt."""
        circuit = self._circuits.get(run.route.policy.downstream or "")
        if circuit is None:
            return
        now = self._clock.now()
        if outcome is None:
            circuit.start(run.number, now)
        elif counts(outcome):
            failure = None if isinstance(outcome, Done) else outcome.failure
            self._changed(circuit, circuit.end(run.number, now, failure.error if failure else None))
        else:
            self._changed(circuit, circuit.withdraw(run.number))

    def _changed(self, circuit: Circuit, changed: bool) -> None:
        """Have no more than one run started with what is down, and look again at what waits."""
        if changed:
            most = 1 if circuit.shut else self._downstreams[circuit.name].concurrency or UNBOUNDED
            self._admission.resize(of_downstream(circuit.name), most)


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

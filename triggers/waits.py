"""What an app waits for that has nothing to do at present: moments, and what no moment lets go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

from triggers.dispatcher import Dispatcher
from triggers.journal.dues import Due, Held, dues, held_up
from triggers.options import HOLD
from triggers.scheduling.admission import Admission

NAMED = 5
"""As many dead runs are named, and of each as many that it holds up."""


class Wait(NamedTuple):
    """What keeps some of a route from going on: how many of what, until when (Unix seconds) at first, and why."""

    route: str
    what: str
    until: float
    reason: str


async def waits(dispatcher: Dispatcher) -> list[Wait]:
    """Return what goes on at a moment, in order: behind a gate, after a delay, or when a group ends."""
    due: Sequence[Due] = await dispatcher.pipeline.asked(dues)
    found = [*_gates(dispatcher.admission), *(_delayed(one) for one in due if one.route in dispatcher.router.routes)]
    return sorted(found, key=lambda wait: wait.until)


async def held(dispatcher: Dispatcher) -> list[Held]:
    """Return the runs that wait for ever, since a dead one before them holds them up."""
    routes = dispatcher.router.routes.values()
    ordered = [one.name for one in routes if one.policy.in_order is not None and one.policy.if_dead == HOLD]
    found: list[Held] = await dispatcher.pipeline.asked(held_up(ordered, NAMED)) if ordered else []
    return found


def _gates(admission: Admission) -> Iterator[Wait]:
    """Yield the gates that open by themselves, of each route that which does so first."""
    for name, flow in admission.flows.items():
        gates = [gate for gate in admission.closures.of(name) if gate.until < inf] if flow.held else []
        if gates:
            first = min(gates, key=lambda gate: gate.until)
            more = "+" if flow.horizon is not None else ""
            yield Wait(name, _runs(flow.held, more), first.until, first.reason)


def _delayed(due: Due) -> Wait:
    if due.run is None:
        groups = "events" if due.many == 1 else f"{due.many:,} groups of events"
        return Wait(due.route, groups, due.at, "they come together until then")
    what = f"r{due.run}" + (f" and {due.many - 1:,} more" if due.many > 1 else "")
    return Wait(due.route, what, due.at, "to be tried again" if due.tried else "not to start before (not_before=)")


def _runs(count: int, more: str) -> str:
    return f"{count:,}{more} {'run' if count == 1 else 'runs'}"

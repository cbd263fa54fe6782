"""From an outcome to rows: what a commit must hold when an event arrives and when a run leaves its attempt.

Pure building of rows, kept apart from the loop that decides when. An emitted event's identity is (run, ordinal), the
same in every attempt, and its rows go into the commit that settles the run: all of it happens or nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from triggers.context import Emitted
from triggers.events import RunFailed, encode
from triggers.executor.attempt import Again, Dead, Done, Failure, Outcome, Run
from triggers.journal import DEAD, DELAYED, DONE, WAITING, AttemptRow, EventRow, SettleRow
from triggers.sources import Delivery

BUDGET = 1_000_000
"""How many events one source event may lead to in all."""
MAX_CHAIN = 100
"""How many runs may lead from a source event to another one, where the route sets no `max_depth=`."""


def arrived(delivery: Delivery, number: int, now: float) -> EventRow:
    """Return the row of an event that a source delivered: the root of a chain."""
    return EventRow(
        number=number,
        id=delivery.id,
        source=delivery.source,
        type=delivery.type,
        version=delivery.version,
        subject=delivery.subject,
        time=delivery.time,
        recorded=now,
        data=delivery.data,
        cause=None,
        root=number,
        depth=0,
        budget=BUDGET,
    )


def emissions(run: Run, outcome: Outcome) -> list[Emitted]:
    """Return what the run emits: its handler's events, or `RunFailed` when it failed for good.

    A handler of `RunFailed` that fails emits none, or failures would breed.
    """
    if isinstance(outcome, Done):
        return outcome.emitted
    if isinstance(outcome, Dead) and run.event.type != RunFailed.__event_type__ and run.event.budget > 0:
        return [_failure_event(run, outcome.failure)]
    return []


def emitted(run: Run, app: str, events: list[Emitted], number: Callable[[], int], now: float) -> list[EventRow]:
    """Return the rows of the events that a run emitted. They share what is left of the chain's budget."""
    parent = run.event
    budget = (parent.budget - len(events)) // len(events)
    source = f"{app}/{run.route.name}"
    return [
        EventRow(
            number=number(),
            id=f"{run.effect_key}.{ordinal}",
            source=source,
            type=event.type,
            version=event.version,
            subject=None,
            time=now,
            recorded=now,
            data=event.data,
            cause=run.number,
            root=parent.root,
            depth=parent.depth + 1,
            budget=budget,
        )
        for ordinal, event in enumerate(events)
    ]


def within_budget(run: Run, outcome: Outcome) -> Outcome:
    """Return the outcome, or `Dead` where the chain has emitted more events than any chain may."""
    if isinstance(outcome, Done) and len(outcome.emitted) > run.event.budget:
        message = f"the chain from e{run.event.root} has used its budget of {BUDGET:,} events; is it a loop?"
        return Dead(Failure("LoopError", message, ""))
    return outcome


def within_time(run: Run, outcome: Outcome, now: float) -> Outcome:
    """Return the outcome, or `Dead` where the next attempt would start later than `Retry(within=)` allows."""
    within = run.route.policy.retry.within
    if within is None or not isinstance(outcome, Again) or not outcome.counted or outcome.failure is None:
        return outcome
    first = run.started if run.first is None else run.first
    return Dead(outcome.failure) if now + outcome.delay - first >= within else outcome


def too_deep(route_limit: int | None, event: EventRow) -> str | None:
    """Return why the event is too far down its chain for a route, or None."""
    limit = route_limit or MAX_CHAIN
    if event.depth <= limit:
        return None
    return f"LoopError: {event.type} is {event.depth} runs below e{event.root}, the bound is {limit} (max_depth=)"


def settled(run: Run, outcome: Outcome, epoch: int, wall: float, monotonic: float) -> SettleRow:
    """Return the run's new state."""
    match outcome:
        case Done():
            return SettleRow(run.number, run.attempt, epoch, DONE, run.attempt, wall)
        case Again(delay, _, counted, failure):
            return SettleRow(
                run.number,
                run.attempt,
                epoch,
                DELAYED if delay > 0 or counted else WAITING,  # given back at a stop: the next owner finds it
                run.attempt if counted else run.attempt - 1,
                None,
                monotonic + delay,
                wall + delay,
                str(failure) if failure else None,
            )
        case Dead(failure):
            return SettleRow(run.number, run.attempt, epoch, DEAD, run.attempt, wall, error=str(failure))


def remembered(run: Run, outcome: Outcome, epoch: int, wall: float) -> AttemptRow | None:
    """Return the attempt as history, unless it simply ended well."""
    match outcome:
        case Done():
            return None
        case Again(_, word, _, failure):
            text, trace = (str(failure), failure.traceback) if failure else (None, None)
            return AttemptRow(run.number, run.attempt, epoch, run.started, wall, word, text, trace)
        case Dead(failure):
            return AttemptRow(
                run.number, run.attempt, epoch, run.started, wall, "dead", str(failure), failure.traceback
            )


def _failure_event(run: Run, failure: Failure) -> Emitted:
    """Return the `RunFailed` event of a run that failed for good."""
    event = RunFailed(
        run=f"r{run.number}",
        route=run.route.name,
        event_id=run.event.id,
        event_type=run.event.type,
        error=failure.error,
        message=failure.message[:4000],
        attempts=run.attempt,
    )
    return Emitted(RunFailed.__event_type__, RunFailed.__event_version__, encode(event))

"""What a run emits: events whose identity is (run, ordinal), the same in every attempt.

They are kept together with the end of the run: all of it happens or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from triggers.attempt import Again, Dead, Done, Failure, Outcome, Run
from triggers.context import Emitted
from triggers.events import FAILED, RunFailed, encode
from triggers.lineage import LAST, EventRow


def emissions(run: Run, outcome: Outcome) -> list[Emitted]:
    """Return what the run emits: its handler's events, or `RunFailed` when it failed for good.

    A handler of `RunFailed` that fails emits none, or failures would breed.
    """
    if isinstance(outcome, Done):
        return outcome.emitted
    if isinstance(outcome, Dead) and run.event.type != FAILED and run.event.budget > 0:
        return [_failure_event(run, outcome.failure)]
    return []


def emitted(
    run: Run, source: str, events: list[Emitted], number: Callable[[], int], now: float, leading: Collection[str]
) -> list[EventRow]:
    """Return the rows of the events that a run emitted.

    An event's identity is (run, ordinal). That of a failure is numbered: a run that is redriven may fail again.
    What is left of the chain's budget is shared by the events of the `leading` types, whose routes emit or write more.
    """
    parent, key = run.event, run.effect_key
    root, depth = parent.root, parent.depth + 1
    leads = [kind in leading for kind, _, _ in events]
    share = (parent.budget - len(events)) // max(1, sum(leads))
    rows = []
    for ordinal, (kind, version, data) in enumerate(events):
        n, budget = number(), share if leads[ordinal] else min(share, LAST)
        identity = f"{key}.failed{n}" if kind == FAILED else f"{key}.{ordinal}"
        rows.append(EventRow(n, identity, source, kind, version, None, now, now, data, run.number, root, depth, budget))
    return rows


def within_bounds(run: Run, outcome: Outcome, most: int, now: float) -> Outcome:
    """Return the outcome, or `Dead` where it is not one that may be.

    That is so where the chain has emitted more than its `most` events (`max_events=`), and where the next attempt would
    start later than `Retry(within=)` allows.
    """
    if isinstance(outcome, Done):
        return outcome if len(outcome.emitted) <= run.event.budget else Dead(_overspent(run, outcome, most))
    if not (isinstance(outcome, Again) and outcome.counted and outcome.failure):
        return outcome
    first = run.started if run.first is None else run.first
    in_time = run.route.policy.retry.starts(now + outcome.delay - first)
    return outcome if in_time else Dead(outcome.failure, transient=True)


def _overspent(run: Run, done: Done, most: int) -> Failure:
    """Return what is wrong with a run that emits more than its chain may."""
    message = (
        f"the chain from e{run.event.root} has used its budget of {most:,} events (max_events=): this run emits"
        f" {len(done.emitted):,}, and {run.event.budget:,} were left for it; is it a loop?"
    )
    return Failure("LoopError", message, "")


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
    return Emitted(FAILED, RunFailed.__event_version__, encode(event))

"""What fills the queues of the routes: rules on the two buses, and schedules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from triggers.aws import names
from triggers.aws.template import jobs, matching, queues, rules, schedules
from triggers.aws.template.expressions import retrying, timing
from triggers.aws.template.plan import Plan
from triggers.aws.template.references import Json, Resources, logical
from triggers.routing import Route
from triggers.schedule import Schedule

RULE: Final = "AWS::Events::Rule"


def feeds(plan: Plan, now: float | None) -> dict[Route, Resources]:
    """Return for each route the rules and schedules that fill its queue. What AWS would refuse is a problem."""
    found: dict[Route, Resources] = {route: {} for route in plan.app.routes.values()}
    for route, made in found.items():
        with plan.problems.collected():
            made.update(_rules(plan, route))
    for timer in found:
        if timer.schedule:
            with plan.problems.collected():
                for taker, made in _firings(plan, timer, now):
                    found[taker].update(made)
    return found


def rules_of(made: Resources) -> list[str]:
    """Return the logical names of the rules among resources."""
    return [name for name, resource in made.items() if resource["Type"] == RULE]


def _rules(plan: Plan, route: Route) -> Iterator[tuple[str, Json]]:
    app = plan.app.name
    targets = _targets(plan, route)
    if places := plan.objects_of(route):
        pattern = matching.of_objects(route, places, plan.problems)
        yield logical(route.name, "Rule"), rules.rule(names.rule(app, route.name), pattern, targets)
    if plan.emitted(route):
        pattern = matching.of_events(app, route, plan.problems)
        rule = rules.rule(names.rule(app, route.name), pattern, targets, names.bus(app))
        yield logical(route.name, "Emission" if places else "Rule"), rule


def _targets(plan: Plan, route: Route) -> list[Json]:
    """Return where a route's events go: into its queue, and for a job to Batch beside it."""
    found = [rules.kept(queues.target(route), "queue")]
    if route in plan.machines:
        found.append(rules.kept(jobs.target(plan.app.name, route), "job"))
    return found


def _firings(plan: Plan, timer: Route, now: float | None) -> Iterator[tuple[Route, Resources]]:
    """Yield the schedules of a timer, by the routes that take its firings. One that has passed has none."""
    assert timer.schedule
    if now is not None and _is_over(timer.schedule, now):
        plan.problems.note(f"route {timer.name!r}: {timer.schedule} has passed, and is not deployed")
        return
    when, again = timing(timer, now, plan.problems), retrying(timer, plan.problems)
    for taker in plan.takers(timer):
        name = timer.name if taker is timer else f"{timer.name}-{taker.name}"
        yield taker, schedules.schedules(plan.app.name, name, when, schedules.to_queue(timer, taker), again)
        if taker in plan.machines:
            submission = jobs.submission(plan.app.name, taker)
            yield taker, schedules.schedules(plan.app.name, f"{name}-job", when, schedules.to_jobs(submission), again)


def _is_over(schedule: Schedule, now: float) -> bool:
    """Say whether a schedule has passed. One that does not say is not: `timing` refuses whatever may raise here."""
    try:
        return schedule.next(now) is None
    except Exception:  # of a calendar, or a schedule, of the user's: AWS takes neither, and that is what to tell
        return False

"""The document: the plan of a deployment as a CloudFormation template, in an order in which it can be read.

First what all routes share, then function by function: the function, its role and its logs, and for each of its routes
the queue, what fills it and what empties it. Batch jobs come last.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from triggers import __version__
from triggers.app import App
from triggers.aws import names
from triggers.aws.template import alarms, dispatcher, functions, jobs, matching, queues, rules, schedules
from triggers.aws.template.feeds import feeds, rules_of
from triggers.aws.template.fit import Machine
from triggers.aws.template.functions import Code, Group
from triggers.aws.template.locations import locate
from triggers.aws.template.permissions import TABLE
from triggers.aws.template.plan import Plan, plan, queue_arn
from triggers.aws.template.problems import Problems
from triggers.aws.template.references import Json, Resources, arn_of, logical, ref
from triggers.aws.template.table import table
from triggers.binding import variable
from triggers.routing import Route
from triggers.sources import Source
from triggers.sources.bucket import Bucket
from triggers.sources.queue import Queue

MOST: Final = 500
"""Resources that a stack may have."""
WIDTH: Final = 110
"""Characters of a line, about."""

_NAMES: Final = ("QueueName", "FunctionName", "TableName", "LogGroupName", "JobDefinitionName", "Name")


def render(
    app: App,
    target: str,
    binds: Mapping[str, str],
    *,
    code: Code | None = None,
    jobs: Collection[str] = (),
    now: float | None = None,
) -> Json:
    """Return the template of an app. Raises `WiringError`, a line for each problem, where AWS cannot honour it.

    `target` is `module:app`, by which functions import it; `binds` has the `s3://` URIs of its places, and the queues
    that its `Queue` sources are here. The routes named in `jobs` become Batch jobs although they would fit. `now` (Unix
    seconds) is what the bounds of schedules are past by; without it none is.
    """
    problems = Problems()
    app, binds = _with_its_queues(app, binds, problems)
    planned = plan(app, binds, jobs, problems)
    parts = _Parts(planned, feeds(planned, now), target, code or Code())
    resources = _joined(parts, problems)
    problems.settle()
    metadata: Json = {"App": target, "Triggers": __version__, "BucketsToEventBridge": _buckets(planned)}
    metadata["QueuesThatFeed"] = _feeding(planned)
    metadata["Notes"] = sorted(problems.notes)
    parameters = {
        **(parts.code.parameters() if planned.groups else {}),
        **(_JOBS if planned.machines else {}),
        **alarms.PARAMETERS,
    }
    return {
        **_head(f"The app {app.name}", {"Triggers": metadata}),
        "Parameters": parameters,
        "Conditions": alarms.CONDITIONS,
        "Resources": resources,
        "Outputs": {
            "Bus": {"Description": "The bus that carries what handlers emit", "Value": ref(rules.BUS)},
            "Runs": {"Description": "The table of run records", "Value": ref(TABLE)},
        },
    }


def polled(app: App, binds: Mapping[str, str]) -> Json:
    """Return the template for a dispatcher on AWS data: of each bucket a rule and the queue by which it is heard of.

    Beside them, what the dispatcher may do, as managed policies to attach to whoever runs it: of what the app declares,
    no more. Raises `WiringError` where a place is bound to no bucket.
    """
    problems = Problems()
    app, binds = _with_its_queues(app, binds, problems)
    places = locate(app, binds, problems)
    heard = {name: places[name] for name, source in app.sources.items() if name in places and not _has_queue(source)}
    allowed = dispatcher.policies(app, places)
    parts = (_polled(app.name, name, matching.of_place(place, app.sources[name])) for name, place in heard.items())
    resources = _joined((*parts, allowed), problems)
    problems.settle()
    metadata = {"Triggers": __version__, "BucketsToEventBridge": sorted({place.bucket for place in heard.values()})}
    title = f"How a dispatcher of the app {app.name} hears of its buckets"
    return {
        **_head(title, {"Triggers": metadata}),
        "Resources": resources,
        "Outputs": {
            name: {"Description": "What a dispatcher may do: attach it to its role or user", "Value": ref(name)}
            for name in allowed
        },
    }


def text(template: Json) -> str:
    """Return a template as text, the same for the same template."""
    return _laid_out(template, 0) + "\n"


def notes(template: Json) -> list[str]:
    """Return what of the app is not in AWS exactly as it is elsewhere."""
    found: list[str] = template["Metadata"]["Triggers"]["Notes"]
    return found


_JOBS: Final = jobs.PARAMETERS  # `render` has a parameter of that name


@dataclass(frozen=True, slots=True)
class _Parts:
    """The resources of a plan, part by part. `feeds` are the rules and schedules of each route."""

    plan: Plan
    feeds: Mapping[Route, Resources]
    target: str
    code: Code

    def __iter__(self) -> Iterator[Resources]:
        yield self._shared()
        for group in self.plan.groups:
            yield self._function(group)
            for route in group.routes:
                yield self._queue(route, queues.for_function(group.size))
                yield self._mapping(route, group)
            for source in group.sources:
                yield self._source(source, group)
        if self.plan.machines:
            yield self._submitter()
        for route, machine in self.plan.machines.items():
            yield self._job(route, machine)
            yield self._queue(route, jobs.for_job())

    @property
    def app(self) -> str:
        return self.plan.app.name

    @property
    def retention(self) -> float:
        return self.plan.app.limits.retention

    def _shared(self) -> Resources:
        """Return what all routes share."""
        filled = [name for made in self.feeds.values() for name in rules_of(made)]
        lost = f"EventBridge or Scheduler could not deliver an event of {self.app}"
        return {
            rules.BUS: rules.bus(self.app),
            TABLE: table(self.app),
            rules.UNDELIVERED: queues.plain_queue(names.undelivered(self.app)),
            **({"UndeliveredBy": queues.access(rules.UNDELIVERED, filled)} if filled else {}),
            "UndeliveredIsNotEmpty": alarms.of_messages(lost, rules.UNDELIVERED),
            schedules.GROUP: schedules.group(self.app),
            schedules.ROLE: schedules.role(self.app, self._may_schedule()),
        }

    def _may_schedule(self) -> list[Json]:
        """Return what schedules may do: send firings and delayed runs to queues, and submit the jobs of timers."""
        routes = list(self.plan.app.routes.values())
        sent = [route for route in routes if not route.serial or _is_timed(self.feeds[route])]
        submitted = [route for route in self.plan.machines if _is_timed(self.feeds[route])]
        return [schedules.may_send(sent), *([jobs.may_submit(self.app, submitted)] if submitted else [])]

    def _function(self, group: Group) -> Resources:
        queues_of = [arn_of(logical(route.name, "Queue")) for route in group.routes]
        fed = [queue_arn(self.plan.queues[source]) for source in group.sources]
        failing = f"The function of {group.name} failed"
        return {
            **functions.function(self.app, group, self.code, self._environment(), self.retention),
            **functions.role(self.app, group, [*queues_of, *fed]),
            logical(group.name, "ErrorAlarm"): alarms.of_errors(failing, logical(group.name, "Function")),
        }

    def _queue(self, route: Route, more: Json) -> Resources:
        """Return a route's queue with what fills it, and what it has `more` for what empties it."""
        queue = logical(route.name, "Queue")
        made = {**queues.queue(self.app, route, more), **self.feeds[route]}
        if filling := rules_of(self.feeds[route]):
            made[logical(route.name, "Access")] = queues.access(queue, filling)
        given_up = f"Messages of {route.name} were given up by their queue"
        made[logical(route.name, "DeadAlarm")] = alarms.of_messages(given_up, logical(route.name, "DeadLetters"))
        made[logical(route.name, "AgeAlarm")] = alarms.of_age(f"A message of {route.name} waits for long", queue)
        return made

    def _mapping(self, route: Route, group: Group) -> Resources:
        size, most = self.plan.sizes[route], route.policy.concurrency
        function, queue = logical(group.name, "Function"), arn_of(logical(route.name, "Queue"))
        fed = queues.mapping(function, queue, size.batch, most, ordered=route.serial)
        return {logical(route.name, "Mapping"): fed}

    def _source(self, source: str, group: Group) -> Resources:
        """Return the mapping from a queue of the user's own."""
        queue, function = self.plan.queues[source], logical(group.name, "Function")
        fed = queues.mapping(function, queue_arn(queue), group.size.batch, ordered=queue.queue.endswith(names.FIFO))
        return {logical(source, "Source"): fed}

    def _submitter(self) -> Resources:
        """Return the role in which rules submit jobs, where there are such rules."""
        feeds = [self.feeds[route] for route in self.plan.machines]
        by = [rules.arn_by_name(made[name]) for made in feeds for name in rules_of(made)]
        return {jobs.SUBMITTER: jobs.submitter(self.app, list(self.plan.machines), by)} if by else {}

    def _job(self, route: Route, machine: Machine) -> Resources:
        reach, environment = self.plan.reaches[route], self._environment()
        return jobs.job(self.app, self.target, route, machine, reach, environment, self.retention)

    def _environment(self) -> dict[str, Any]:
        bound = {variable(name): place.uri for name, place in self.plan.places.items()}
        fed = {variable(name): queue.url or queue.queue for name, queue in self.plan.queues.items()}
        return {names.APP: self.target, **bound, **fed, names.SCHEDULE_ROLE: arn_of(schedules.ROLE)}


def _laid_out(value: Any, depth: int) -> str:
    """Return JSON text in which what fits into a line is one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + 2 * depth < WIDTH or not isinstance(value, dict | list):
        return line
    inside, outside = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    if isinstance(value, list):
        return "[" + ",".join(inside + _laid_out(item, depth + 1) for item in value) + outside + "]"
    items = (f"{inside}{json.dumps(key)}: {_laid_out(item, depth + 1)}" for key, item in value.items())
    return "{" + ",".join(items) + outside + "}"


def _is_timed(made: Resources) -> bool:
    return any(resource["Type"] == "AWS::Scheduler::Schedule" for resource in made.values())


def _buckets(planned: Plan) -> list[str]:
    """Return the buckets that must tell EventBridge what happens to their objects."""
    return sorted({place.bucket for route in planned.app.routes.values() for place in planned.objects_of(route)})


def _feeding(planned: Plan) -> dict[str, int]:
    """Return the queues of the user's own that feed functions, and for how many seconds such a function may run."""
    fed = {name: group.size.timeout for group in planned.groups for name in group.sources}
    return {queue.url or queue.queue: fed[name] for name, queue in sorted(planned.queues.items()) if name in fed}


def _with_its_queues(app: App, binds: Mapping[str, str], problems: Problems) -> tuple[App, dict[str, str]]:
    """Return the app with its queues where they are bound to, and the binds of its places."""
    elsewhere = {name: where for name, where in binds.items() if isinstance(app.sources.get(name), Queue)}
    for name, where in elsewhere.items():
        with problems.collected():
            app = app.bound({name: where})
    return app, {name: where for name, where in binds.items() if name not in elsewhere}


def _has_queue(source: Source) -> bool:
    """Say whether a bucket is heard of by a queue that its declaration names, so that none is to be made."""
    return isinstance(source, Bucket) and source.queue is not None


def _polled(app: str, source: str, pattern: Json) -> Resources:
    queue, rule = logical(source, "Queue"), logical(source, "Rule")
    target = {"Id": "queue", "Arn": arn_of(queue)}
    return {
        queue: queues.plain_queue(names.source_queue(app, source)),
        rule: rules.rule(names.rule(app, f"source-{source}"), pattern, [target]),
        logical(source, "Access"): queues.access(queue, [rule]),
    }


def _head(title: str, metadata: Json) -> Json:
    return {"AWSTemplateFormatVersion": "2010-09-09", "Description": title, "Metadata": metadata}


def _joined(parts: Iterable[Resources], problems: Problems) -> Resources:
    """Return all parts as one. Names that meet, and a stack that is too large, are problems."""
    made: Resources = {}
    named: dict[tuple[object, ...], str] = {}
    for name, resource in ((name, resource) for part in parts for name, resource in part.items()):
        properties = resource["Properties"]
        called = next((properties[key] for key in _NAMES if isinstance(properties.get(key), str)), None)
        other = named.setdefault((resource["Type"], properties.get("EventBusName"), str(called or name)), name)
        if name in made or other != name:
            problems.add(
                f"{name} and {other} would both be called {called or name} in AWS; give one route or source another"
                " name="
            )
        made[name] = resource
    if len(made) > MOST:
        problems.add(f"the template has {len(made):,} resources, and a stack takes {MOST}; make several apps of it")
    return made

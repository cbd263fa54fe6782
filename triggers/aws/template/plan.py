"""The plan of a deployment: what of an app goes where, before any of it is a resource."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from triggers.app import App
from triggers.aws.feeding import by_bus, fed
from triggers.aws.template.fit import Machine, Size, fit
from triggers.aws.template.functions import Group, grouped
from triggers.aws.template.locations import Location, locate
from triggers.aws.template.permissions import Reach
from triggers.aws.template.problems import Problems
from triggers.aws.template.references import Json, arn
from triggers.binding import by_variable
from triggers.errors import did_you_mean
from triggers.events import ObjectCreated, ObjectDeleted, Tick
from triggers.options import shown
from triggers.routing import Route
from triggers.sources import Source
from triggers.sources.bucket import Bucket
from triggers.sources.folder import Folder
from triggers.sources.queue import Queue


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an app's places are, which routes share a function, and which are jobs."""

    app: App
    places: Mapping[str, Location]
    groups: Sequence[Group]
    sizes: Mapping[Route, Size]
    machines: Mapping[Route, Machine]
    reaches: Mapping[Route, Reach]
    problems: Problems = field(repr=False)

    @property
    def queues(self) -> dict[str, Queue]:
        """Return the queues of the user's own, by the names of their sources."""
        return {name: source for name, source in self.app.sources.items() if isinstance(source, Queue)}

    def objects_of(self, route: Route) -> list[Location]:
        """Return the places whose objects a route hears of."""
        return _heard(self.app, route, self.places)

    def emitted(self, route: Route) -> bool:
        """Say whether the events of a route may come by the app's own bus, from handlers or from whoever sends."""
        return by_bus(self.app, route)

    def takers(self, timer: Route) -> list[Route]:
        """Return the routes that take a schedule's firings: its own, and those of all ticks."""
        return [timer, *(one for one in self.app.routes.values() if one.trigger is Tick and one.schedule is None)]


def plan(app: App, binds: Mapping[str, str], jobs: Collection[str], problems: Problems) -> Plan:
    """Return the plan. What keeps it from being carried out is in `problems` then."""
    _check(app, jobs, problems)
    places = locate(app, binds, problems)
    fits = {route: fit(route, route.name in jobs, problems) for route in app.routes.values()}
    reaches = {route: _reach(app, route, places, problems) for route in fits}
    sizes = {route: one for route, one in fits.items() if isinstance(one, Size)}
    machines = {route: one for route, one in fits.items() if isinstance(one, Machine)}
    groups = grouped(sizes, reaches, _feeding(app, sizes, machines, problems))
    for group in groups:
        _tell_unbounded(group, sizes, problems)
    return Plan(app, places, groups, sizes, machines, reaches, problems)


def _check(app: App, jobs: Collection[str], problems: Problems) -> None:
    """Look at what is declared, before it is known what becomes of it."""
    for name in sorted(set(jobs) - set(app.routes)):
        problems.add(f"--job {name}: app {app.name!r} has no such route{did_you_mean(name, app.routes)}")
    if app.limits.policy is not None:
        problems.add(
            f"app {app.name!r}: policy={shown(app.limits.policy)} cannot be honoured: routes have queues of their own,"
            " and nobody chooses among what waits; leave it out, or run the app with a dispatcher"
        )
    for name in app.expectations:
        problems.add(
            f"app {app.name!r}: expect {name!r} cannot be honoured: nobody there remembers when an event came last; let"
            " an alarm of CloudWatch tell that the rule's MatchedEvents are missing (TreatMissingData: breaching), or"
            " run the app with a dispatcher"
        )
    _check_names(app, problems)
    for source in app.sources.values():
        _check_source(source, problems)
    for route in app.routes.values():
        _check_fed(app, route, problems)


def _feeding(
    app: App, sizes: Mapping[Route, Size], machines: Mapping[Route, Machine], problems: Problems
) -> dict[str, list[Route]]:
    """Return the routes whose function each queue of the user's own feeds."""
    found: dict[str, list[Route]] = {}
    for name in (name for name, source in app.sources.items() if isinstance(source, Queue)):
        started = fed(app, name)
        for route in started:
            _check_messages(route, name, machines.get(route), problems)
        found[name] = started or _carrier(app, name, sizes, problems)
    return found


def _carrier(app: App, queue: str, sizes: Mapping[Route, Size], problems: Problems) -> list[Route]:
    """Return the route whose function is given the messages of a queue that start none there: it hands them on.

    Without one, they would wait until the queue drops them. A route that takes what is handed on is preferred.
    """
    found = sorted(sizes, key=lambda route: not by_bus(app, route))[:1]
    if not found:
        problems.add(
            f"queue {queue!r} has no function to feed, since no route of the app is one: its messages would wait there"
            " until it drops them; add a small route that takes what it brings, or leave the queue out"
        )
    return found


def _check_messages(route: Route, queue: str, machine: Machine | None, problems: Problems) -> None:
    """Refuse routes that the messages of a queue of the user's own cannot start as they declare it.

    Such a queue feeds the function directly, and Lambda calls it for as many messages at once as it likes: for those of
    an ordered queue, group by group.
    """
    if machine:
        problems.add(
            f"route {route.name!r} is a Batch job ({machine.why}), which the messages of queue {queue!r} cannot start;"
            " let a small route take them and emit an event for it"
        )
    elif route.serial:
        problems.add(
            f"route {route.name!r}: one run at a time (concurrency=1, overlap='queue') cannot be honoured for the"
            f" messages of queue {queue!r}, which feeds the function for several at once; let a small route take them"
            " and emit an event for it, or leave the bound out where the order within a message group will do: an"
            " ordered queue keeps that"
        )
    elif route.policy.concurrency is not None:
        problems.note(
            f"route {route.name!r}: concurrency={route.policy.concurrency} bounds what comes by its own queue, and not"
            f" the messages of queue {queue!r}, which feeds the function directly"
        )


def _tell_unbounded(group: Group, sizes: Mapping[Route, Size], problems: Problems) -> None:
    """Tell of plain handlers that nothing ends at their time, because they share a function with longer ones."""
    for route in group.routes:
        if sizes[route].timeout < group.size.timeout:
            problems.note(
                f"route {route.name!r}: timeout={route.policy.timeout:g} is not kept: it shares the function of queue"
                f" {group.sources[0]!r} with others, which ends it after {group.size.timeout} s; make it `async def`"
            )


def queue_arn(queue: Queue) -> Json:
    """Return the ARN of a queue of the user's own: in the stack's account, unless its URL names another."""
    account = re.search(r"//sqs\.[^/]+/([0-9]{12})/", queue.url or "")
    return arn("sqs", queue.queue, account[1] if account else None)


def _check_names(app: App, problems: Problems) -> None:
    """Refuse names that a function cannot be told in its environment."""
    for name in app.routes:
        if "," in name or name != name.strip():
            problems.add(
                f"route {name!r}: functions are told their routes in one variable, between commas and without spaces"
                " around them; give it another name="
            )
    with problems.collected():
        for said, name in by_variable(app).items():
            if not said.isascii():
                problems.add(f"{name!r} would be bound by {said}, and Lambda takes ASCII alone; give it another name")


def _check_source(source: Source, problems: Problems) -> None:
    """Refuse a source that AWS has nothing for, and a marker, for which nothing waits there."""
    if getattr(source, "marker", None) is not None:
        problems.add(
            f"source {source.name!r}: marker= cannot be honoured: S3 tells every object when it is whole, and a"
            " function cannot wait for another one; ask for the marker in the handler, or run with a dispatcher"
        )
    if not isinstance(source, Queue | Bucket | Folder):
        problems.add(
            f"source {source.name!r} is a {type(source).__name__}, which AWS has nothing for; run it with a dispatcher,"
            " or send what it tells to a queue"
        )


def _check_fed(app: App, route: Route, problems: Problems) -> None:
    if route.trigger in (ObjectCreated, ObjectDeleted) and not _sources(app, route):
        said = "; declare one with deletions=True" if route.trigger is ObjectDeleted else ""
        problems.note(f"route {route.name!r} waits for {route.trigger.__name__}, which no place of the app tells{said}")


def _sources(app: App, route: Route) -> list[str]:
    """Return the names of the places that tell what the route waits for."""
    deleted = route.trigger is ObjectDeleted
    return [
        name
        for name, source in app.sources.items()
        if route.source in (None, name)
        and not isinstance(source, Queue)
        and (not deleted or getattr(source, "deletions", False))
    ]


def _heard(app: App, route: Route, places: Mapping[str, Location]) -> list[Location]:
    if route.trigger not in (ObjectCreated, ObjectDeleted):
        return []
    return [places[name] for name in _sources(app, route) if name in places]


def _reach(app: App, route: Route, places: Mapping[str, Location], problems: Problems) -> Reach:
    """Return what a route reads and writes, the objects that trigger it among it."""
    known = {**app.sources, **app.outputs}
    for word, names in (("reads", route.policy.reads), ("writes", route.policy.writes)):
        for name in sorted(names - set(known)):
            hint = did_you_mean(name, known)
            problems.add(f"route {route.name!r}: {word}= names {name!r}, which is no place of the app{hint}")
    reads = {places[name] for name in route.policy.reads if name in places}
    arriving = _heard(app, route, places) if route.trigger is ObjectCreated else []
    writes = {places[name] for name in route.policy.writes if name in places}
    return Reach(frozenset(reads | set(arriving)), frozenset(writes))

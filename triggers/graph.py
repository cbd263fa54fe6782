"""The pipeline as its signatures describe it: what flows where, and what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from triggers.app import App
from triggers.errors import WiringError, did_you_mean
from triggers.events import ObjectCreated
from triggers.routing import COROUTINE, PROCESS, THREAD, Route


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the wiring. An error keeps the app from running, a warning does not."""

    error: bool
    message: str

    def __str__(self) -> str:
        return f"{'error' if self.error else 'warning'}: {self.message}"


def refuse(app: App) -> None:
    """Raise `WiringError` with every error in the app's wiring, if there is one."""
    errors = [problem.message for problem in check(app) if problem.error]
    if errors:
        raise WiringError("\n".join(errors))


def check(app: App) -> list[Problem]:
    """Return everything that is wrong with the app's wiring, errors first."""
    found = [problem for route in app.routes.values() for problem in _route_problems(app, route)]
    found.extend(_cycles(app))
    found.extend(_unhandled(app))
    if not app.routes:
        found.append(Problem(False, f"app {app.name!r} has no routes; register a handler with @app.on(...)"))
    return sorted(found, key=lambda problem: not problem.error)


def triggered_by(app: App, route: Route, *, places: frozenset[str] | None = None) -> Iterator[Route]:
    """Yield the routes that an event of this route may trigger, as far as types and places tell.

    `places` are those that it writes, if not all of them are to be looked at.
    """
    writes = route.policy.writes if places is None else places
    for other in app.routes.values():
        if other.trigger.__event_type__ in route.emits or _watched(app, writes, other):
            yield other


def _watched(app: App, places: frozenset[str], other: Route) -> frozenset[str]:
    """Return those of the places in which a new file may trigger `other`."""
    if other.trigger is not ObjectCreated:
        return frozenset()
    paths = app.places()
    watched = [name for name in app.sources if name in paths and other.source in (None, name)]
    return frozenset(
        place
        for place in places & set(paths)
        if any(paths[place].resolve().is_relative_to(paths[name].resolve()) for name in watched)
    )


def _bounded(route: Route) -> frozenset[str]:
    """Return the places that the route writes and that may lead back to it for ever."""
    return route.policy.writes - route.policy.allow_loops


def _route_problems(app: App, route: Route) -> Iterator[Problem]:
    policy = route.policy
    places = app.places()
    for word, names in (("reads", policy.reads), ("writes", policy.writes)):
        for name in sorted(names - set(places)):
            hint = did_you_mean(name, places)
            yield Problem(True, f"route {route.name!r}: {word}= names {name!r}, which is no folder of the app{hint}")
    if route.source is not None and route.source not in app.sources:
        hint = did_you_mean(route.source, app.sources)
        yield Problem(True, f"route {route.name!r}: source={route.source!r} is no source of the app{hint}")
    if looping := _watched(app, _bounded(route), route):
        name = min(looping)
        yield Problem(
            True,
            f"route {route.name!r} writes to {name!r}, which triggers it again for ever; write somewhere else,"
            f" or say allow_loops={{{name!r}}} if its where= never matches what it writes",
        )
    yield from _needs_problems(app, route)
    if route.kind == PROCESS:
        yield from _process_problems(route)


def _needs_problems(app: App, route: Route) -> Iterator[Problem]:
    capacity = app.limits.capacity()
    for name, amount in route.policy.needs.items():
        if name in (COROUTINE, THREAD, PROCESS) or name not in capacity:
            hint = did_you_mean(name, set(app.limits.resources) | {"cpu", "memory"})
            way_out = f"App(resources={{{name!r}: ...}}) says how much there is"
            yield Problem(True, f"route {route.name!r} needs {name!r}, which the app does not have{hint}; {way_out}")
        elif amount > capacity[name]:
            yield Problem(True, f"route {route.name!r} needs {amount:g} {name}, but there is only {capacity[name]:g}")


def _process_problems(route: Route) -> Iterator[Problem]:
    for thing in (route.handler, route.trigger):
        if not _importable(thing):
            yield Problem(
                True,
                f"route {route.name!r} runs in a process of its own (isolate= or timeout=), so {thing.__qualname__}"
                " must be at the top level of a module that can be imported, under a name that only it has",
            )


def _importable(thing: Callable[..., Any]) -> bool:
    """Say whether another process that imports the thing's module finds it there under its name."""
    found: Any = None if thing.__module__ == "__main__" else sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is thing


def _cycles(app: App) -> Iterator[Problem]:
    """Find cycles among the routes without a `max_depth=`; one with a bounded route comes to an end."""
    unbounded = {route.name: route for route in app.routes.values() if route.policy.max_depth is None}
    done: set[str] = set()
    for start in unbounded.values():
        path = _way_back(app, start, unbounded)
        if path and not done.intersection(path):
            done.update(path)
            yield Problem(
                True,
                f"the routes {' -> '.join([*path, path[0]])} go round for ever;"
                " give one of them max_depth=, the longest chain that may lead to it",
            )


def _way_back(app: App, start: Route, allowed: dict[str, Route]) -> list[str]:
    """Return the names of the routes on a way from `start` to itself, or nothing."""
    queue = [(start, [start.name])]
    seen: set[str] = set()
    while queue:
        route, path = queue.pop(0)
        for following in triggered_by(app, route, places=_bounded(route)):
            if following is start:
                return [] if len(path) == 1 and _watched(app, _bounded(start), start) else path  # it has its own error
            if following.name in allowed and following.name not in seen:
                seen.add(following.name)
                queue.append((following, [*path, following.name]))
    return []


def _unhandled(app: App) -> Iterator[Problem]:
    handled = {route.trigger.__event_type__ for route in app.routes.values()}
    for route in app.routes.values():
        for name in sorted(set(route.emits) - handled):
            yield Problem(False, f"route {route.name!r} emits {name}, which no route handles")
    delivered = bool(app.sources)
    for route in app.routes.values():
        if route.trigger is ObjectCreated and not delivered:
            yield Problem(False, f"route {route.name!r} waits for ObjectCreated, but the app has no source")

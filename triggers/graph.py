"""The pipeline as its signatures describe it: what flows where, and what is wrong with it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from triggers.app import App
from triggers.errors import WiringError, did_you_mean
from triggers.events import Event, ObjectCreated, ObjectDeleted, RunFailed
from triggers.routing import COROUTINE, PROCESS, THREAD, Route
from triggers.secrecy import secret_field
from triggers.sources.folder import Folder


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the wiring. An error keeps the app from running, a warning does not."""

    error: bool
    message: str

    def __str__(self) -> str:
        return f"{'error' if self.error else 'warning'}: {self.message}"


def refuse(app: App, state: Path | None = None) -> None:
    """Raise `WiringError` with every error in the app's wiring, and with its state in that folder, if there is one."""
    here = [] if state is None else [problem for name in app.sources for problem in _source_problems(app, name, state)]
    errors = [problem.message for problem in (*check(app), *here) if problem.error]
    if errors:
        raise WiringError("\n".join(errors))


def check(app: App) -> list[Problem]:
    """Return everything that is wrong with the app's wiring, errors first."""
    found = [problem for route in app.routes.values() for problem in _route_problems(app, route)]
    for look in (_cycles, _failure_cycles, _unhandled, _secrets):
        found.extend(look(app))
    if not app.routes:
        found.append(Problem(False, f"app {app.name!r} has no routes; register a handler with @app.on(...)"))
    return sorted(found, key=lambda problem: not problem.error)


def check_here(app: App, now: float) -> list[Problem]:
    """Return what is wrong with the app on this machine and at that Unix time: warnings, since others may differ."""
    missing = [problem for name in app.sources for problem in _source_problems(app, name, None)]
    return [*(replace(problem, error=False) for problem in missing), *_past(app, now)]


def _source_problems(app: App, name: str, state: Path | None) -> Iterator[Problem]:
    folder = app.sources[name]
    if not isinstance(folder, Folder):
        return
    try:
        folder.require()
    except WiringError as error:
        yield Problem(True, str(error))
    if state is not None and _delivers(folder, state):
        yield Problem(
            True,
            f"the state folder {state} lies in the watched folder {name!r} ({folder.path}), where its own files would"
            " be events; name another one with --state",
        )
    yield from _nested(app, folder)


def _nested(app: App, folder: Folder) -> Iterator[Problem]:
    """Find watched folders that lie in this one and are delivered by it, too; of two on one place, the later one."""
    before = True
    for name, other in app.sources.items():
        before = before and name != folder.name
        if not isinstance(other, Folder) or name == folder.name or not _delivers(folder, other.path):
            continue
        if before or not _delivers(other, folder.path):
            yield Problem(
                True,
                f"the watched folder {name!r} ({other.path}) lies in the watched folder {folder.name!r}"
                f" ({folder.path}), so each of its files would be told twice; watch one of them, or have"
                f" {folder.name!r} ignore it: ignore=[*IGNORED, {other.path.resolve().name!r}]",
            )


def _past(app: App, now: float) -> Iterator[Problem]:
    for route in app.routes.values():
        if route.schedule and route.schedule.next(now) is None:
            yield Problem(
                False,
                f"route {route.name!r}: {route.schedule} has passed; it fires once where the app knew of it before and"
                " was not running then, and never in a new state folder",
            )


def _delivers(folder: Folder, path: Path) -> bool:
    """Say whether what lies in a path is delivered by the folder."""
    here, root = path.resolve(), folder.path.resolve()
    return here.is_relative_to(root) and not any(
        fnmatchcase(part, pattern) for part in here.relative_to(root).parts for pattern in folder.ignore
    )


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
    listened = _listened(app, other)
    if not (places and listened):
        return frozenset()
    paths = {name: path.resolve() for name, path in app.places().items()}
    return frozenset(
        place for place in places & set(paths) if any(paths[place].is_relative_to(paths[name]) for name in listened)
    )


def _listened(app: App, route: Route) -> list[str]:
    """Return the names of the folders whose files may trigger the route."""
    if route.trigger is not ObjectCreated:
        return []
    return [name for name in app.sources if name in app.places() and route.source in (None, name)]


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
    yield from _enclosed(app, route)
    yield from _bases(app, route)
    yield from _silent(route)
    yield from _needs_problems(app, route)
    if route.kind == PROCESS:
        yield from _process_problems(route)


def _enclosed(app: App, route: Route) -> Iterator[Problem]:
    """Find watched folders inside those that the route writes to."""
    paths = {name: path.resolve() for name, path in app.places().items()}
    listeners = {name: other.name for other in app.routes.values() for name in _listened(app, other)}
    for place in sorted(route.policy.writes & set(paths)):
        for name in sorted(set(listeners) - route.policy.allow_loops):
            if paths[place] in paths[name].parents:
                yield Problem(
                    False,
                    f"route {route.name!r} writes to {place!r}, which contains the watched folder {name!r}: what it"
                    f" writes in there triggers {listeners[name]!r}; write somewhere else, or say"
                    f" allow_loops={{{name!r}}}",
                )


def _bases(app: App, route: Route) -> Iterator[Problem]:
    """Find event types that the route emits where only a subclass of it is waited for: each type is its own."""
    if Event in route.emits.values():
        yield Problem(True, f"route {route.name!r}: emits= holds Event itself, which says nothing; name its types")
    emitted = {name for one in app.routes.values() for name in one.emits}
    for other in app.routes.values():
        kind = other.trigger
        bases = [base.__name__ for base in route.emits.values() if base is not Event and issubclass(kind, base)]
        if bases and kind.__event_type__ not in emitted:
            yield Problem(
                False,
                f"route {route.name!r} emits {bases[0]}, but {other.name!r} waits for its subclass {kind.__name__},"
                f" which no route emits; name it where it is returned, as in -> {bases[0]} | {kind.__name__}",
            )


def _silent(route: Route) -> Iterator[Problem]:
    """Find a handler that does not say what it returns: an event that it returns would end its run."""
    if not route.emits and inspect.signature(route.handler).return_annotation is inspect.Signature.empty:
        yield Problem(
            False,
            f"route {route.name!r}: handler {route.handler.__qualname__} has no return annotation; write -> None, or"
            " the events that it returns",
        )


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
    for route, path in _ways(app, start, allowed):
        if route is start:
            return [] if len(path) == 1 and _watched(app, _bounded(start), start) else path  # it has its own error
    return []


def _ways(app: App, start: Route, allowed: dict[str, Route]) -> Iterator[tuple[Route, list[str]]]:
    """Yield every route that `start` leads to by way of the allowed ones, with the names on the way, nearest first."""
    queue = [(start, [start.name])]
    seen: set[str] = set()
    while queue:
        route, path = queue.pop(0)
        for following in triggered_by(app, route, places=_bounded(route)):
            if following.name not in seen:
                seen.add(following.name)
                yield following, path
                if following.name in allowed:
                    queue.append((following, [*path, following.name]))


def _failure_cycles(app: App) -> Iterator[Problem]:
    """Find handlers of failures that lead to a run whose failure they handle."""
    unbounded = {route.name: route for route in app.routes.values() if route.policy.max_depth is None}
    for route in unbounded.values():
        if route.trigger is not RunFailed:
            continue
        for other, path in _ways(app, route, unbounded):
            if other.name in unbounded and _takes_failure(route, other):
                yield Problem(
                    False,
                    f"route {route.name!r} handles failures and leads to {other.name!r}"
                    f" ({' -> '.join([*path, other.name])}), whose failure leads back to it; give one of them"
                    f" max_depth=, or say where={{'route': anything_but({other.name!r})}}",
                )
                break


def _takes_failure(route: Route, failing: Route) -> bool:
    """Say whether the route may be triggered when a run of `failing` fails for good, as far as names tell."""
    if failing.trigger is RunFailed:
        return False  # a handler of failures that fails makes no event
    known = {"route": failing.name, "event_type": failing.trigger.__event_type__}
    return route.where is None or not route.where.fields <= set(known) or route.where.matches(known)


_NO_DELETIONS = "which none of its folders tells; declare one with Folder(..., deletions=True)"


def _heard(app: App, route: Route) -> list[str]:
    """Return the names of the sources that the route listens to."""
    return [name for name in app.sources if route.source in (None, name)]


def _tells_deletions(app: App, name: str) -> bool:
    source = app.sources[name]
    return not isinstance(source, Folder) or source.deletions


def _unhandled(app: App) -> Iterator[Problem]:
    handled = {route.trigger.__event_type__ for route in app.routes.values()}
    for route in app.routes.values():
        for name in sorted(set(route.emits) - handled):
            yield Problem(False, f"route {route.name!r} emits {name}, which no route handles")
    delivered = bool(app.sources)
    for route in app.routes.values():
        if route.trigger is ObjectDeleted and not any(_tells_deletions(app, name) for name in _heard(app, route)):
            yield Problem(False, f"route {route.name!r} waits for ObjectDeleted, {_NO_DELETIONS}")
        if route.trigger is ObjectCreated and not delivered:
            yield Problem(False, f"route {route.name!r} waits for ObjectCreated, but the app has no source")


def _secrets(app: App) -> Iterator[Problem]:
    """Find event types that declare a secret, which no event may hold."""
    for name, kind in app.event_types().items():
        if field := secret_field(kind):
            yield Problem(
                False,
                f"event type {name} declares a secret in {field!r}, but events are stored and shown, so one that holds"
                " it is refused; declare text and pass the secret's name",
            )

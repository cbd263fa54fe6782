"""The pipeline as its signatures describe it: what flows where, and what is wrong with it."""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from operator import is_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triggers.app import App
from triggers.check.demand import demands
from triggers.check.problem import Problem
from triggers.check.wiring import Layout, Wiring
from triggers.errors import WiringError, did_you_mean
from triggers.events import Event, Missing, ObjectCreated, ObjectDeleted, RunFailed
from triggers.gather import ALL
from triggers.routing import PROCESS, Route
from triggers.secrecy import secret_fields
from triggers.sources.bucket import Bucket
from triggers.sources.folder import Folder
from triggers.sources.queue import Queue

if TYPE_CHECKING:  # an app without prices need not load them
    from triggers.prices import Prices


def refuse(app: App, state: Path | None = None) -> None:
    """Raise `WiringError` with every error in the app's wiring, and with its state in that folder, if there is one."""
    here = [] if state is None else [*_missing(app), *_source_problems(app, state), *_price_problems(app)]
    errors = [problem.message for problem in (*check(app), *here) if problem.error]
    if errors:
        raise WiringError("\n".join(errors))


def check(app: App, *, elsewhere: bool = False) -> list[Problem]:
    """Return everything that is wrong with the app's wiring, errors first.

    Where it is to run `elsewhere`, as in AWS, what its routes need is not compared with what this machine has.
    """
    wiring = Wiring(app)
    looks = (_routes, _expected, _cycles, _failure_cycles, _unhandled, _secrets)
    found = [problem for look in looks for problem in look(wiring)]
    if not elsewhere:
        found += demands(app)
        found += [problem for route in wiring.order for problem in _incomplete(wiring, route)]
    if not app.routes:
        found.append(Problem(False, f"app {app.name!r} has no routes; register a handler with @app.on(...)"))
    return sorted(found, key=lambda problem: not problem.error)


def check_here(app: App, now: float, state: Path | None = None) -> list[Problem]:
    """Return what is wrong with the app on this machine, with its state in that folder, and at that Unix time.

    A folder or a price list that is missing here is a warning, since it may be there where the app runs.
    """
    missing = (replace(problem, error=False) for problem in _missing(app))
    return [*_source_problems(app, state), *_price_problems(app, now), *missing, *_silent_schedules(app, now)]


def _missing(app: App) -> Iterator[Problem]:
    """Find watched folders that cannot be listened to, and price lists that are not there."""
    for source in app.sources.values():
        if isinstance(source, Folder):
            try:
                source.require()
            except WiringError as error:
                yield Problem(True, str(error))
    for route, _, file in _price_lists(app):
        if not file.exists():
            yield Problem(True, f"route {route!r}: its price list {file.absolute()} does not exist; write it there")


def _price_problems(app: App, now: float = -inf) -> Iterator[Problem]:
    """Find price lists that cannot be read or have a gap, and those that say nothing of the time to come."""
    for route, price, file in _price_lists(app):
        if not file.exists():
            continue
        try:
            known = price.require()
        except WiringError as error:
            yield Problem(True, f"route {route!r}: {error}")
            continue
        if known and known.end <= now:
            ended = datetime.fromtimestamp(known.end, UTC).isoformat()
            said = f"its price list {file} ends at {ended}, so that nothing waits for a price; add those to come"
            yield Problem(False, f"route {route!r}: {said}")


def _price_lists(app: App) -> Iterator[tuple[str, Prices, Path]]:
    """Yield the routes that go by a price list, and where that is."""
    for route in app.routes.values():
        if (price := route.policy.price) and price.file:
            yield route.name, price, price.file


def _source_problems(app: App, state: Path | None) -> Iterator[Problem]:
    """Find files and objects that would be events though they must not be, or events twice."""
    watched = {name: source for name, source in app.sources.items() if isinstance(source, Folder | Bucket)}
    nested = _nested(app, watched)
    for name, source in watched.items():
        if state is not None and isinstance(source, Folder) and _delivers(source, state):
            yield Problem(
                True,
                f"the state folder {state} lies in the watched folder {name!r} ({source.path}), where its own files"
                " would be events; name another one with --state",
            )
        yield from nested[name]


def _nested(app: App, watched: Mapping[str, Folder | Bucket]) -> Mapping[str, list[Problem]]:
    """Find places that lie in another one and are delivered by it, too; of two at one place, the later one."""
    found: defaultdict[str, list[Problem]] = defaultdict(list)
    earlier: set[str] = set()
    layout = Layout(app)
    for name, inner in watched.items():
        for outer in (watched[one] for one in layout.around[name] if one in watched and one != name):
            if layout.paths[outer.name] == layout.paths[name]:
                found[outer.name] += [] if outer.name in earlier else [_same(inner, outer)]
            elif _tells_of(outer, inner):
                found[outer.name].append(_inside(inner, outer))
        earlier.add(name)
    return found


def _tells_of(outer: Folder | Bucket, inner: Folder | Bucket) -> bool:
    """Say whether a place tells of what lies in another one, which lies in it."""
    if isinstance(outer, Folder):
        return isinstance(inner, Folder) and _delivers(outer, inner.path)
    return isinstance(inner, Bucket) and outer.key_of(inner.prefix.rstrip("/")) is not None


def _inside(inner: Folder | Bucket, outer: Folder | Bucket) -> Problem:
    kind, item = _words(outer)
    return Problem(
        True,
        f"the watched {kind} {inner.name!r} ({_at(inner)}) lies in the watched {kind} {outer.name!r} ({_at(outer)}),"
        f" so each of its {item}s would be told twice; watch one of them, or have {outer.name!r} ignore it:"
        f" ignore=[*IGNORED, {_last(inner)!r}]",
    )


def _same(first: Folder | Bucket, second: Folder | Bucket) -> Problem:
    kind, item = _words(first)
    shown = _at(first) if _at(first) == _at(second) else f"{_at(first)} and {_at(second)}"
    return Problem(
        True,
        f"the sources {first.name!r} and {second.name!r} watch one {kind} ({shown}), so each of its {item}s would be"
        " told twice; declare it once, and let the routes choose by where=, as in where={'key': suffix('.csv')}",
    )


def _words(place: Folder | Bucket) -> tuple[str, str]:
    return ("folder", "file") if isinstance(place, Folder) else ("bucket", "object")


def _at(place: Folder | Bucket) -> Path | str:
    return place.path if isinstance(place, Folder) else place.uri


def _last(place: Folder | Bucket) -> str:
    """Return the last part of where a place is."""
    return place.path.resolve().name if isinstance(place, Folder) else place.prefix.rstrip("/").rpartition("/")[2]


def _silent_schedules(app: App, now: float) -> Iterator[Problem]:
    """Find schedules that do not fire any more, and those that do not say when."""
    for route in app.routes.values():
        try:
            over = route.schedule is not None and route.schedule.next(now) is None
        except Exception as error:  # of a calendar of the user's: it stops its own schedule, and no other
            yield Problem(
                False,
                f"route {route.name!r}: {route.schedule} does not say when it fires: {error!r}; an app that runs asks"
                " it again every minute",
            )
            continue
        if over:
            yield Problem(
                False,
                f"route {route.name!r}: {route.schedule} has passed; it fires once where the app knew of it before and"
                " was not running then, and never in a new state folder",
            )


def _delivers(folder: Folder, path: Path) -> bool:
    """Say whether what lies in a path is delivered by the folder."""
    here, root = path.resolve(), folder.path.resolve()
    return here.is_relative_to(root) and not any(map(folder.ignores, here.relative_to(root).parts))


def _routes(wiring: Wiring) -> Iterator[Problem]:
    """Find what is wrong with each route by itself, and with what it leads to next."""
    enclosed, subclasses = _enclosed(wiring), _subclasses(wiring)
    for route in wiring.order:
        yield from _places_problems(wiring, route)
        yield from _enclosing(wiring, route, enclosed)
        yield from _bases(wiring, route, subclasses)
        yield from _silent(route)
        if route.kind == PROCESS:
            yield from _process_problems(route)


def _expected(wiring: Wiring) -> Iterator[Problem]:
    """Find what is expected from a source that there is not, and absences that nobody is told of."""
    app = wiring.app
    for one in app.expectations.values():
        if one.source is not None and one.source not in {*app.sources, app.name} and "/" not in one.source:
            hint = did_you_mean(one.source, app.sources)
            yield Problem(True, f"expect {one.name!r}: source={one.source!r} is no source of the app{hint}")
    if app.expectations and not any(Missing in route.takes for route in wiring.order):
        names = ", ".join(map(repr, app.expectations))
        yield Problem(False, f"no route takes Missing, so nobody is told when what is expected does not come: {names}")


def _places_problems(wiring: Wiring, route: Route) -> Iterator[Problem]:
    policy = route.policy
    places, sources = wiring.layout.paths, wiring.app.sources
    for word, names in (("reads", policy.reads), ("writes", policy.writes)):
        for name in sorted(names - places.keys()):
            hint = did_you_mean(name, places)
            yield Problem(True, f"route {route.name!r}: {word}= names {name!r}, which is no place of the app{hint}")
    if route.source is not None and route.source not in sources:
        hint = did_you_mean(route.source, sources)
        yield Problem(True, f"route {route.name!r}: source={route.source!r} is no source of the app{hint}")
    if looping := wiring.looping(route):
        name = min(looping)
        yield Problem(
            True,
            f"route {route.name!r} writes to {name!r}, which triggers it again for ever; write somewhere else,"
            f" or say allow_loops={{{name!r}}} if its where= never matches what it writes",
        )


def _enclosed(wiring: Wiring) -> Mapping[str, list[str]]:
    """Return the watched folders inside each place, by its name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(wiring.app.sources.keys() & wiring.layout.paths.keys()):
        for place in wiring.layout.above[name]:
            found[place].append(name)
    return found


def _enclosing(wiring: Wiring, route: Route, enclosed: Mapping[str, list[str]]) -> Iterator[Problem]:
    """Find watched folders inside those that the route writes to."""
    for place in sorted(route.policy.writes):
        for name in enclosed.get(place, ()):
            listener = wiring.listener(name)
            if listener and name not in route.policy.allow_loops:
                yield Problem(
                    False,
                    f"route {route.name!r} writes to {place!r}, which contains the watched folder {name!r}: what it"
                    f" writes in there triggers {listener.name!r}; write somewhere else, or say"
                    f" allow_loops={{{name!r}}}",
                )


def _subclasses(wiring: Wiring) -> Mapping[type, list[Route]]:
    """Return the routes on types that no route emits, by each base of their type."""
    found: defaultdict[type, list[Route]] = defaultdict(list)
    for route in wiring.order:
        if route.trigger.__event_type__ not in wiring.emitted:
            for base in route.trigger.__mro__:
                found[base].append(route)
    return found


def _bases(wiring: Wiring, route: Route, subclasses: Mapping[type, list[Route]]) -> Iterator[Problem]:
    """Find event types that the route emits where only a subclass of it is waited for: each type is its own."""
    if Event in route.emits.values():
        yield Problem(True, f"route {route.name!r}: emits= holds Event itself, which says nothing; name its types")
    waiting: dict[Route, type[Event]] = {}
    for base in route.emits.values():
        for other in subclasses.get(base, ()) if base is not Event else ():
            waiting.setdefault(other, base)
    for other in sorted(waiting, key=wiring.order.__getitem__):
        name, kind = waiting[other].__name__, other.trigger.__name__
        yield Problem(
            False,
            f"route {route.name!r} emits {name}, but {other.name!r} waits for its subclass {kind},"
            f" which no route emits; name it where it is returned, as in -> {name} | {kind}",
        )


def _silent(route: Route) -> Iterator[Problem]:
    """Find a handler that does not say what it returns: an event that it returns would end its run."""
    if not route.emits and inspect.signature(route.handler).return_annotation is inspect.Signature.empty:
        yield Problem(
            False,
            f"route {route.name!r}: handler {route.handler.__qualname__} has no return annotation; write -> None, or"
            " the events that it returns",
        )


def _incomplete(wiring: Wiring, route: Route) -> Iterator[Problem]:
    """Find routes that make one run of several events, some of which never come."""
    if route.join:
        sources = wiring.app.sources.values()
        told = {"ObjectCreated", "ObjectDeleted"} if any(isinstance(s, Folder | Bucket) for s in sources) else set()
        heard = wiring.emitted | told | {RunFailed.__event_type__, Missing.__event_type__}
        if any(isinstance(source, Queue) for source in sources):
            return  # its messages may be of any type
        for kind in route.takes:
            if kind.__event_type__ not in heard:
                yield Problem(
                    False,
                    f"route {route.name!r} joins {kind.__name__}, which no route emits and no source tells: it"
                    " completes only where somebody sends one",
                )
    elif route.rule and route.rule.kind == ALL and route.rule.of not in wiring.emitted:
        yield Problem(
            True,
            f"route {route.name!r} waits for what comes of all {route.rule.of} that one run emits, and no route emits"
            f" {route.rule.of}; return them from a handler, or use batch=Batch(...)",
        )


def _process_problems(route: Route) -> Iterator[Problem]:
    things: list[Callable[..., Any]] = [route.handler, *route.takes]
    for thing in things:
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


def _cycles(wiring: Wiring) -> Iterator[Problem]:
    """Find cycles among the routes without a `max_depth=`; one with a bounded route comes to an end.

    Of several that have routes in common, the shortest one that leads back to the first route is told.
    """
    alone = {route for route in wiring.unbounded if wiring.looping(route)}  # each has its own error
    found: list[list[Route]] = []
    knots = list(wiring.knots(wiring.unbounded))
    while knots:
        knot = knots.pop()
        if starts := knot - alone:
            start = min(starts, key=wiring.order.__getitem__)
            way = wiring.way(start, partial(is_, start), knot)
            found.append(way)
            knots.extend(wiring.knots(knot.difference(way)))
    for way in sorted(found, key=lambda way: wiring.order[way[0]]):
        yield Problem(
            True,
            f"the routes {_arrows(way)} go round for ever;"
            " give one of them max_depth=, the longest chain that may lead to it",
        )


def _failure_cycles(wiring: Wiring) -> Iterator[Problem]:
    """Find handlers of failures that lead to a run whose failure they handle."""
    for route in wiring.unbounded:
        if route.trigger is not RunFailed:
            continue
        if way := wiring.way(route, partial(_takes_failure, route), wiring.unbounded):
            failing = way[-1].name
            yield Problem(
                False,
                f"route {route.name!r} handles failures and leads to {failing!r}"
                f" ({_arrows(way)}), whose failure leads back to it; give one of them"
                f" max_depth=, or say where={{'route': anything_but({failing!r})}}",
            )


def _arrows(way: Iterable[Route]) -> str:
    return " -> ".join(route.name for route in way)


def _takes_failure(route: Route, failing: Route) -> bool:
    """Say whether the route may be triggered when a run of `failing` fails for good, as far as names tell."""
    if failing.trigger is RunFailed:
        return False  # a handler of failures that fails makes no event
    known = {"route": failing.name, "event_type": failing.trigger.__event_type__}
    return route.where is None or not route.where.fields <= set(known) or route.where.matches(known)


_NO_DELETIONS = "which none of its folders tells; declare one with Folder(..., deletions=True)"


def _unhandled(wiring: Wiring) -> Iterator[Problem]:
    sources = wiring.app.sources
    handled = {kind.__event_type__ for route in wiring.order for kind in route.takes}
    telling = {name for name, source in sources.items() if not isinstance(source, Folder) or source.deletions}
    for route in wiring.order:
        for name in sorted(set(route.emits) - handled):
            yield Problem(False, f"route {route.name!r} emits {name}, which no route handles")
    for route in wiring.order:
        told = bool(telling) if route.source is None else route.source in telling
        if route.trigger is ObjectDeleted and not told:
            yield Problem(False, f"route {route.name!r} waits for ObjectDeleted, {_NO_DELETIONS}")
        if route.trigger is ObjectCreated and not sources:
            yield Problem(False, f"route {route.name!r} waits for ObjectCreated, but the app has no source")


def _secrets(wiring: Wiring) -> Iterator[Problem]:
    """Find event types that declare a secret, which no event may hold."""
    for name, kind in wiring.app.event_types().items():
        for field in secret_fields(kind)[:1]:
            yield Problem(
                False,
                f"event type {name} declares a secret in {field!r}, but events are stored and shown, so one that holds"
                " it is refused; declare text and pass the secret's name",
            )

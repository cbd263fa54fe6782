"""Routes: what runs on which event and under which policy; and the index from an event to its routes.

A route is plain data. It knows neither the journal nor the dispatcher, because the same routes are deployed where
there is neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from pydantic import BaseModel
from pydantic_core import from_json

from triggers.errors import WiringError, did_you_mean
from triggers.events import GATHERED, Event, Tick
from triggers.options import REPLACE, Policy
from triggers.options import shown as as_shown
from triggers.signature import check_given, read_signature

if TYPE_CHECKING:  # an app that uses none of them need not load them
    from triggers.gather import Join, Key, Rule
    from triggers.patterns import Index, Pattern
    from triggers.rate import Rate
    from triggers.schedule import Schedule

ONE: Final = "one"
LIST: Final = "list"
EACH: Final = "each"
"""How a handler is given what its run is for: one event, a list of events, or one event of each of several types."""

COROUTINE: Final = "coroutine"
THREAD: Final = "thread"
PROCESS: Final = "process"


@dataclass(frozen=True, slots=True, eq=False, repr=False)  # each method made takes 0.3 ms of every start
class Route:
    """One handler, what triggers it, and how it is run."""

    name: str
    handler: Callable[..., Any]
    trigger: type[Event]
    emits: Mapping[str, type[Event]]
    policy: Policy
    coroutine: bool
    takes_context: bool
    where: Pattern | None = None
    source: str | None = None
    schedule: Schedule | None = None
    takes: Sequence[type[Event]] = ()
    """The types of the events that the route listens to: its trigger, unless it joins several."""
    shape: str = ONE
    join: Join[*tuple[Any, ...]] | None = None
    rule: Rule | None = field(init=False)
    """How several events make one run, where they do."""
    kind: str = field(init=False)
    """Where the handler runs: on the loop, in a thread, or in a process."""
    ends: bool = field(init=False)
    """Whether an attempt may be ended from outside: by its `timeout=`, or by the next run (`overlap="replace"`)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "takes", self.takes or (self.trigger,))
        together = self.join or self.policy.batch or self.policy.debounce
        object.__setattr__(self, "rule", together.rule if together else None)
        isolated = self.policy.isolate or (self.policy.timeout is not None and not self.coroutine)
        object.__setattr__(self, "kind", PROCESS if isolated else COROUTINE if self.coroutine else THREAD)
        object.__setattr__(self, "ends", self.policy.timeout is not None or self.policy.overlap == REPLACE)

    @property
    def serial(self) -> bool:
        """Say whether its runs follow one another. In AWS that takes an ordered queue with one message group."""
        return self.policy.concurrency == 1

    def share(self, key: str | None) -> str:
        """Return the share that a run with that key counts for; those that count for nobody are one share, too."""
        share = self.policy.share
        return share if isinstance(share, str) else key or "" if share else ""

    def key(self, kind: str) -> Key | None:
        """Return where an event of a type that the route takes has its key."""
        return self.join.by[kind] if self.join else self.policy.key

    @property
    def target(self) -> str:
        """Return `module:name` of the handler, by which another process finds it."""
        return f"{self.handler.__module__}:{self.handler.__qualname__}"


def is_schedule(trigger: object) -> TypeGuard[Schedule]:
    """Say whether a trigger is a schedule."""
    return not isinstance(trigger, type) and hasattr(trigger, "next") and hasattr(trigger, "latest")


def joined(trigger: object) -> Join[*tuple[Any, ...]] | None:
    """Return a trigger that joins several types; None for any other."""
    if isinstance(trigger, type) or is_schedule(trigger):
        return None
    from triggers.gather import Join

    return trigger if isinstance(trigger, Join) else None


def make_route(
    handler: Callable[..., Any],
    trigger: type[Event] | Schedule | Join[*tuple[Any, ...]],
    *,
    name: str | None,
    where: Pattern | None,
    source: str | None,
    policy: Policy,
) -> Route:
    """Return the route, or raise `WiringError` where handler and trigger do not fit together."""
    join = joined(trigger)
    shape = EACH if join else ONE if policy.batch is None else LIST
    signature = read_signature(handler, len(join.types) if join else 1)
    route_name = name or handler.__name__
    schedule = trigger if is_schedule(trigger) else None
    kind = join.types[0] if join else trigger if isinstance(trigger, type) else Tick
    if kind is Event:
        raise WiringError(f"route {route_name!r} is on Event itself, which nobody sends; name a subclass of it")
    if not issubclass(kind, Event):
        raise WiringError(f"route {route_name!r}: {kind.__name__} is no event type; subclass triggers.Event")
    check_given(handler, signature, join.types if join else (kind,), listed=shape == LIST)
    _check_gathered(route_name, trigger, where, source, policy)
    if where is not None:
        check_fields(f"route {route_name!r}", "where=", kind, where.fields)
    if isinstance(policy.key, str):
        check_path(f"route {route_name!r}", "key=", kind, policy.key)
    if isinstance(policy.in_order, str):
        check_fields(f"route {route_name!r}", "in_order=", kind, [policy.in_order.partition(".")[0]])
    emits = {emitted.__event_type__: emitted for emitted in (*signature.emits, *policy.emits)}
    route = Route(
        name=route_name,
        handler=handler,
        trigger=kind,
        emits=emits,
        policy=policy,
        coroutine=signature.coroutine,
        takes_context=signature.takes_context,
        where=where,
        source=source,
        schedule=schedule,
        takes=join.types if join else (),
        shape=shape,
        join=join,
    )
    _check_end(route)
    return route


def _check_gathered(route: str, trigger: object, where: object, source: object, policy: Policy) -> None:
    """Refuse options that say nothing about several events."""
    if (policy.batch or policy.debounce) and is_schedule(trigger):
        word = "batch" if policy.batch else "debounce"
        raise WiringError(f"route {route!r}: {word}= is for events, and a schedule's ticks are made one by one")
    if joined(trigger) is None:
        return
    given = {
        "where=": where,
        "source=": source,
        "key=": policy.key,
        "batch=": policy.batch,
        "debounce=": policy.debounce,
        "in_order=": policy.in_order,
    }
    for option, value in given.items():
        if value is not None:
            raise WiringError(f"route {route!r}: {trigger} takes no {option[:-1]}; {_INSTEAD[option]}")


_CHOOSE: Final = "let a route choose among the events, and emit one of a type of its own that is joined"
_INSTEAD: Final = {
    "where=": _CHOOSE,
    "source=": _CHOOSE,
    "key=": "by= is its key",
    "batch=": "batch what it emits",
    "in_order=": "order what it emits",
    "debounce=": "repeated='latest' takes the latest of each",
}


def _check_end(route: Route) -> None:
    if route.policy.overlap == REPLACE and route.kind == THREAD:
        raise WiringError(
            f"route {route.name!r}: overlap='replace' ends a run at work, and a plain function in a thread can't be"
            " ended; give it isolate=True, or make it `async def`"
        )


_PLAIN: Final = {str, int, float, bool, bytes, date, datetime}
"""Types of fields that have no fields themselves."""


def check_path(owner: str, option: str, kind: type[BaseModel], path: str) -> None:
    """Raise `WiringError` for a dotted path that leads to no field of an event type, as far as annotations tell."""
    model: Any = kind
    for name in path.split("."):
        if model in _PLAIN:
            raise WiringError(f"{owner}: {option} names {path!r}, but {model.__name__} has no field {name!r}")
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return
        check_fields(owner, option, model, [name])
        model = model.model_fields[name].annotation


def check_fields(owner: str, option: str, kind: type[BaseModel], names: Iterable[str]) -> None:
    """Raise `WiringError` for a name that is no field of an event type; `owner` is who names it."""
    known = kind.model_fields
    for name in names:
        if name not in known:
            raise WiringError(
                f"{owner}: {option} names {name!r}, which {kind.__name__} has not" + did_you_mean(name, known)
            )


def describe_route(route: Route) -> tuple[str | None, ...]:
    """Return the route as text, the way the journal keeps it: name, trigger, source, pattern, policy, emits."""
    policy = route.policy
    shown = {
        "kind": route.kind,
        "attempts": policy.retry.attempts,
        "concurrency": policy.concurrency,
        "downstream": policy.downstream,
        "overlap": policy.overlap,
        "timeout": policy.timeout,
        "priority": as_shown(policy.priority),
        "key": as_shown(policy.key),
        "per_key": policy.per_key,
        "gathers": _gathers(route),
        "throttle": rated(policy.throttle),
        "rate_limit": rated(policy.rate_limit),
        "in_order": as_shown(policy.in_order),
        "if_dead": policy.if_dead,
        "share": policy.share,
        "window": _text(policy.window),
        "price": _text(policy.price),
        "deadline": _text(policy.deadline),
        "not_before": _text(policy.not_before),
        "expires": _text(policy.expires),
        "needs": dict(policy.needs),
        "schedule": str(route.schedule) if route.schedule else None,
        "reads": sorted(policy.reads),
        "writes": sorted(policy.writes),
        "max_depth": policy.max_depth,
    }
    pattern = json.dumps(route.where.pattern) if route.where else None
    emits = json.dumps(sorted(route.emits))
    return (route.name, route.trigger.__event_type__, route.source, pattern, json.dumps(shown), emits)


def _gathers(route: Route) -> dict[str, Any] | None:
    """Return how events come together in one run, and which types."""
    if route.rule is None:
        return None
    words = {name: None if value == inf else value for name, value in route.rule._asdict().items()}
    return {**words, "takes": [kind.__event_type__ for kind in route.takes]}


def rated(rate: Rate | None) -> list[float] | None:
    """Return a rate as the journal keeps it: how many, in how many seconds."""
    return None if rate is None else [rate.count, rate.per]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


FEW: Final = 3
"""As many patterns as are asked one by one in less time than their index takes."""


class Router:
    """The index from an event to the routes that it triggers."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = {route.name: route for route in routes}
        self._order = {route: number for number, route in enumerate(self.routes.values())}
        self._scheduled = {route.name: route for route in self.routes.values() if route.schedule}
        by_type: dict[str, list[Route]] = {}
        for route in self.routes.values():
            for kind in route.takes:
                by_type.setdefault(kind.__event_type__, []).append(route)
        self.leading = {kind for kind, routes in by_type.items() if any(map(_leads_on, routes))}
        """The types whose events can lead to further ones."""
        self._always = {
            kind: [route for route in routes if not (route.where or route.schedule)] for kind, routes in by_type.items()
        }
        """The routes that no condition is asked for; those on a schedule are found by their names."""
        self._unconditional = {
            kind for kind, routes in by_type.items() if not any(r.source or r.where or r.schedule for r in routes)
        }
        conditional = {kind: [r for r in routes if r.where] for kind, routes in by_type.items()}
        self._indexes = {kind: _index(routes) for kind, routes in conditional.items() if len(routes) > FEW}
        self._asked = {kind: routes for kind, routes in conditional.items() if 0 < len(routes) <= FEW}
        """The few routes of a type whose patterns are asked one by one."""

    def match(self, kind: str, source: str, subject: str | None, data: str) -> Sequence[Route]:
        """Return the routes that the event triggers. For a `Tick`, `subject` names the one route it is for."""
        if kind == GATHERED:
            return [self.routes[subject]] if subject in self.routes else []
        always = self._always.get(kind, ())
        if kind in self._unconditional:
            return always
        scheduled = self._scheduled.get(subject or "") if kind == Tick.__event_type__ else None
        taking = [*always, *self._taking(kind, data)]
        matched = [route for route in taking if route.source is None or route.source == source]
        if len(matched) > 1:
            matched.sort(key=self._order.__getitem__)
        return [scheduled, *matched] if scheduled else matched

    def _taking(self, kind: str, data: str) -> Collection[Route]:
        """Return the routes with a condition that the event meets."""
        if kind in self._asked:
            payload = from_json(data)
            return [route for route in self._asked[kind] if route.where and route.where.matches(payload)]
        return self._indexes[kind].match(from_json(data)) if kind in self._indexes else ()


def _leads_on(route: Route) -> bool:
    """Say whether the runs of a route may lead to further ones, by events or by the objects that they write."""
    return bool(route.emits or route.policy.writes)


def _index(routes: Iterable[Route]) -> Index[Route]:
    from triggers.patterns import Index

    index: Index[Route] = Index()
    for route in routes:
        if route.where is not None:
            index.add(route, route.where)
    return index

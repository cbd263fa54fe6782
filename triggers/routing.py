"""Routes: what runs on which event and under which policy; and the index from an event to its routes.

A route is plain data. It knows neither the journal nor the dispatcher, because the same routes are deployed where
there is neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args

from pydantic_core import from_json

from triggers.errors import WiringError, did_you_mean
from triggers.events import Event, Tick
from triggers.retry import Retry
from triggers.signature import read_signature

if TYPE_CHECKING:  # an app that uses neither need not load them
    from triggers.patterns import Index, Pattern
    from triggers.schedule import Schedule

COROUTINE: Final = "coroutine"
THREAD: Final = "thread"
PROCESS: Final = "process"

Overlap = Literal["allow", "skip", "queue", "replace"]
ALLOW: Final = "allow"
SKIP: Final = "skip"
QUEUE: Final = "queue"
REPLACE: Final = "replace"


class PolicyOptions(TypedDict, total=False):
    """The policy keywords of `App(...)` (as defaults) and `@app.on(...)`."""

    retry: Retry
    """Which errors are tried again, how often and when."""
    timeout: float
    """Seconds that one attempt may take. A plain function with a timeout runs isolated, because a thread can't be
    stopped."""
    concurrency: int
    """How many runs of the route may be running at once."""
    overlap: Overlap
    """What becomes of a new run while an earlier one of the route is open (waits, runs, or is to be tried again):
    `"allow"` (if not given) lets both run; `"queue"` one after the other, in order; `"skip"` drops the new one;
    `"replace"` ends the earlier one and starts the new one, which a plain function in a thread does not allow."""
    isolate: bool
    """Run in a process of its own, which a timeout kills and whose death ends one attempt only."""
    reads: Collection[str]
    """Names of the places that the handler reads beyond its event."""
    writes: Collection[str]
    """Names of the places that the handler writes."""
    emits: Collection[type[Event]]
    """Event types that the handler emits by its context, beyond those in its annotation."""
    needs: Mapping[str, float | str]
    """Quantities of the app's resources that a run holds while it runs: `{"cpu": 2, "memory": "4GiB"}`."""
    priority: int
    """Runs of a higher priority start first; 0 if not given."""
    max_depth: int
    """The longest chain of runs that may lead to this route; bounds a cycle of event types."""
    allow_loops: Collection[str]
    """Names of watched places that the route may write although it is triggered from them."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy keywords with every value in place."""

    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    concurrency: int | None = None
    overlap: Overlap = ALLOW
    isolate: bool = False
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    emits: frozenset[type[Event]] = frozenset()
    needs: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0
    max_depth: int | None = None
    allow_loops: frozenset[str] = frozenset()


_SETS: Final = {"reads", "writes", "emits", "allow_loops"}
_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
    "retry": (Retry, "Retry(on=OSError, attempts=3)"),
    "timeout": (int | float, "90.0"),
    "concurrency": (int, "2"),
    "priority": (int, "10"),
    "max_depth": (int, "5"),
    "needs": (Mapping, "{'cpu': 2}"),
    "isolate": (bool, "True"),
}


def make_policy(owner: str, options: Mapping[str, Any]) -> Policy:
    """Return the checked policy; `owner` names the app or the route in errors (`WiringError`)."""
    known = set(PolicyOptions.__annotations__)
    for name in options:
        if name not in known:
            raise no_option(owner, name, known)
    values = dict(options)
    for name in _SETS & set(values):
        values[name] = _names(owner, name, values[name])
    for name, (kind, example) in _KINDS.items():
        if values.get(name) is not None and not isinstance(values[name], kind):
            raise WiringError(f"{owner}: {name}={values[name]!r} will not do; write e.g. {name}={example}")
    if "needs" in values:
        values["needs"] = {name: quantity(owner, name, value) for name, value in values["needs"].items()}
    for name in ("timeout", "concurrency", "max_depth"):
        if values.get(name) is not None and not values[name] > 0:
            raise WiringError(f"{owner}: {name}={values[name]!r} must be more than 0; leave it out for no bound")
    if values.get("overlap", ALLOW) != ALLOW:
        values["concurrency"] = _single(owner, values["overlap"], values.get("concurrency"))
    return Policy(**values)


def no_option(owner: str, name: str, known: Iterable[str]) -> WiringError:
    """Return the error for a keyword that is none of those known; it may be one of a schedule."""
    from triggers.schedule.timetable import TimetableOptions  # only on the way to this error

    if name == "timezone" or name in TimetableOptions.__annotations__:
        return WiringError(
            f"{owner} has no option {name!r}, which belongs to the schedule: @app.on(every(hours=1, {name}=...))"
        )
    return WiringError(f"{owner} has no option {name!r}{did_you_mean(name, known)}")


def _single(owner: str, overlap: object, concurrency: int | None) -> int:
    """Return the concurrency of a route whose runs do not overlap, or raise `WiringError`."""
    if overlap not in get_args(Overlap):
        raise WiringError(f"{owner}: overlap={overlap!r} is none of 'allow', 'queue', 'skip' and 'replace'")
    if concurrency not in (None, 1):
        raise WiringError(
            f"{owner}: overlap={overlap!r} runs one at a time, which concurrency={concurrency} contradicts;"
            " leave one of them out"
        )
    return 1


def _names(owner: str, option: str, value: object) -> frozenset[Any]:
    """Return the set that `reads=`, `writes=`, `allow_loops=` (of names) or `emits=` (of event types) must be."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        shown = value.__name__ if isinstance(value, type) else repr(value)
        raise WiringError(f"{owner}: {option}={shown} must be a set: {option}={{{shown}}}")
    wanted, what = (type, "an event type") if option == "emits" else (str, "a name")
    for item in value:
        if not isinstance(item, wanted):
            raise WiringError(f"{owner}: {option}= holds {item!r}, which is not {what}")
    return frozenset(value)


_UNITS: Final = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def quantity(owner: str, name: str, value: float | str) -> float:
    """Return a resource quantity as a number: `2`, `0.5`, `"4GiB"` (binary units), `"500MB"` (decimal ones)."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]i?|)b?\s*", value, re.IGNORECASE)
        try:
            number = float(match[1]) * _UNITS[match[2].lower()] if match else None
        except ValueError:
            number = None
    else:
        number = float(value)
    if number is None or not 0 < number < float("inf"):
        raise WiringError(
            f"{owner}: needs {name}={value!r} is no quantity; write a number above 0 or text such as '4GiB'"
        )
    return number


@dataclass(frozen=True, slots=True, eq=False)
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
    kind: str = field(init=False)
    """Where the handler runs: on the loop, in a thread, or in a process."""
    ends: bool = field(init=False)
    """Whether an attempt may be ended from outside: by its `timeout=`, or by the next run (`overlap="replace"`)."""

    def __post_init__(self) -> None:
        isolated = self.policy.isolate or (self.policy.timeout is not None and not self.coroutine)
        object.__setattr__(self, "kind", PROCESS if isolated else COROUTINE if self.coroutine else THREAD)
        object.__setattr__(self, "ends", self.policy.timeout is not None or self.policy.overlap == REPLACE)

    @property
    def target(self) -> str:
        """Return `module:name` of the handler, by which another process finds it."""
        return f"{self.handler.__module__}:{self.handler.__qualname__}"


def make_route(
    handler: Callable[..., Any],
    trigger: type[Event] | Schedule,
    *,
    name: str | None,
    where: Pattern | None,
    source: str | None,
    policy: Policy,
) -> Route:
    """Return the route, or raise `WiringError` where handler and trigger do not fit together."""
    signature = read_signature(handler)
    route_name = name or handler.__name__
    schedule = None if isinstance(trigger, type) else trigger
    kind = trigger if isinstance(trigger, type) else Tick
    if kind is Event:
        raise WiringError(f"route {route_name!r} is on Event itself, which nobody sends; name a subclass of it")
    if not issubclass(kind, Event):
        raise WiringError(f"route {route_name!r}: {kind.__name__} is no event type; subclass triggers.Event")
    if signature.accepts and not any(issubclass(kind, accepted) for accepted in signature.accepts):
        accepted = " | ".join(accepted.__name__ for accepted in signature.accepts)
        raise WiringError(f"handler {handler.__qualname__} takes {accepted}, but it is registered on {kind.__name__}")
    if where is not None:
        _check_fields(route_name, kind, where)
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
    )
    _check_end(route)
    return route


def _check_end(route: Route) -> None:
    if route.policy.overlap == REPLACE and route.kind == THREAD:
        raise WiringError(
            f"route {route.name!r}: overlap='replace' ends a run at work, and a plain function in a thread can't be"
            " ended; give it isolate=True, or make it `async def`"
        )


def _check_fields(route: str, kind: type[Event], where: Pattern) -> None:
    known = kind.model_fields
    for name in where.fields:
        if name not in known:
            raise WiringError(
                f"route {route!r}: where= names {name!r}, which {kind.__name__} has not" + did_you_mean(name, known)
            )


def describe_route(route: Route) -> tuple[str | None, ...]:
    """Return the route as text, the way the journal keeps it: name, trigger, source, pattern, policy, emits."""
    policy = route.policy
    shown = {
        "kind": route.kind,
        "attempts": policy.retry.attempts,
        "concurrency": policy.concurrency,
        "overlap": policy.overlap,
        "timeout": policy.timeout,
        "priority": policy.priority,
        "needs": dict(policy.needs),
        "schedule": str(route.schedule) if route.schedule else None,
        "reads": sorted(policy.reads),
        "writes": sorted(policy.writes),
        "max_depth": policy.max_depth,
    }
    pattern = json.dumps(route.where.pattern) if route.where else None
    emits = json.dumps(sorted(route.emits))
    return (route.name, route.trigger.__event_type__, route.source, pattern, json.dumps(shown), emits)


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
            by_type.setdefault(route.trigger.__event_type__, []).append(route)
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

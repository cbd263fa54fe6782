"""`App`: what reacts to what, declared. Nothing runs here and nothing is opened.

An app is plain data. `triggers run` carries it out over a state folder, the test harness over a temporary one.
"""

from __future__ import annotations

import inspect
import os
import time
from collections import ChainMap
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple, Unpack, overload

from triggers.context import Context
from triggers.errors import WiringError, did_you_mean
from triggers.events import Event, MessageReceived, Missing, ObjectCreated, ObjectDeleted, RunFailed, Tick
from triggers.limits import LimitOptions, Limits, make_limits
from triggers.options import PolicyOptions, make_policy, no_option
from triggers.places import Place
from triggers.relocation import Movable, place_of, relocated
from triggers.resource import AsyncResource, Resource, make_resource
from triggers.routing import Route, check_fields, is_schedule, joined, make_route
from triggers.sources import RESERVED, Source
from triggers.sources.bucket import Bucket
from triggers.sources.folder import Folder
from triggers.sources.queue import Queue
from triggers.spans import Span

if TYPE_CHECKING:  # what an app does not use it need not load
    from triggers.expectation import Expectation
    from triggers.gather import All, Batch, Join
    from triggers.patterns import Pattern
    from triggers.schedule import Schedule

E = TypeVar("E", bound=Event)
V = TypeVar("V")
Ts = TypeVarTuple("Ts")
Emission = Event | Iterable[Event] | None
R = TypeVar("R", bound=Emission | Awaitable[Emission])
Where = Mapping[str, object] | str
"""What a route's `where=` takes: fields to values and matchers, or a whole EventBridge pattern."""

_FUNCTION = "AWS_LAMBDA_FUNCTION_NAME"
"""The environment variable by which Lambda names the function in whose environment this is."""
JOB = "TRIGGERS_JOB"
"""The one by which `triggers exec` says, to its handlers' processes too, which route's job this is."""


class Registration(Protocol[E]):
    """The decorator that `App.on` returns. It gives the handler back unchanged."""

    @overload
    def __call__(self, handler: Callable[[E], R], /) -> Callable[[E], R]: ...
    @overload
    def __call__(self, handler: Callable[[E, Context], R], /) -> Callable[[E, Context], R]: ...


class BatchRegistration(Protocol[E]):
    """The decorator for a handler that takes a list of events."""

    @overload
    def __call__(self, handler: Callable[[list[E]], R], /) -> Callable[[list[E]], R]: ...
    @overload
    def __call__(self, handler: Callable[[list[E], Context], R], /) -> Callable[[list[E], Context], R]: ...


class JoinRegistration(Protocol[*Ts]):
    """The decorator for a handler that takes an event of each of several types."""

    @overload
    def __call__(self, handler: Callable[[*Ts], R], /) -> Callable[[*Ts], R]: ...
    @overload
    def __call__(self, handler: Callable[[*Ts, Context], R], /) -> Callable[[*Ts, Context], R]: ...


class AppOptions(LimitOptions, PolicyOptions, total=False):
    """The keywords of `App(...)` besides its places: its limits, and defaults for the policy of every route."""


class App:
    """A named set of sources and routes.

    `sources` deliver events; `outputs` are further folders and buckets that handlers read and write, by name. The
    other keywords are those of `LimitOptions` (`threads`, `processes`, `resources`, `backlog`, `retention`), and the
    policy keywords of `on` as defaults for every route.
    """

    def __init__(
        self,
        name: str,
        *,
        sources: Iterable[Source] = (),
        outputs: Iterable[Folder | Bucket] = (),
        **options: Unpack[AppOptions],
    ) -> None:
        if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
            raise WiringError(f"an app's name names its state folder, so {name!r} will not do; use a word like 'churn'")
        self.name = name
        self.sources, self.outputs = _places(f"app {name!r}", sources, outputs)
        self.routes: dict[str, Route] = {}
        self.expectations: dict[str, Expectation] = {}
        self._event_types: dict[str, type[Event]] = {}
        self.made_once: list[Resource[Any] | AsyncResource[Any]] = []
        """What handlers share, in the order of its declaration."""
        self.limits, self._defaults = _read_options(f"app {name!r}", options)

    @overload
    def on(
        self,
        trigger: type[E],
        *,
        batch: Batch | All,
        where: Where | None = None,
        source: str | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> BatchRegistration[E]: ...
    @overload
    def on(
        self,
        trigger: type[E],
        *,
        where: Where | None = None,
        source: str | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Registration[E]: ...
    @overload
    def on(
        self, trigger: Schedule, *, name: str | None = None, **policy: Unpack[PolicyOptions]
    ) -> Registration[Tick]: ...
    @overload
    def on(
        self, trigger: Join[*Ts], *, name: str | None = None, **policy: Unpack[PolicyOptions]
    ) -> JoinRegistration[*Ts]: ...
    def on(
        self,
        trigger: type[Event] | Schedule | Join[*tuple[Any, ...]],
        *more: object,
        where: Where | None = None,
        source: str | None = None,
        name: str | None = None,
        batch: Batch | All | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Any:
        """Return a decorator that registers a handler for an event type or a schedule.

        `where` is an event pattern over the payload, `source` the name of the one source to listen to, `name` the
        route's name (the function's own if not given). What the handler returns is emitted: an event, a list of
        events, or nothing. Raises `WiringError` where handler and trigger do not fit.
        """
        _check_trigger(f"app {self.name!r}", trigger, more)

        def register(handler: Callable[..., Any]) -> Callable[..., Any]:
            owner = f"route {name or getattr(handler, '__name__', handler)!r}"
            self._register(
                make_route(
                    handler,
                    trigger,
                    name=name,
                    where=None if where is None else _compiled(owner, where),
                    source=source,
                    policy=make_policy(
                        owner, {**self._defaults, **policy, **({} if batch is None else {"batch": batch})}
                    ),
                )
            )
            return handler

        return register

    def expect(
        self,
        kind: type[Event],
        *,
        every: Span | None = None,
        by: Schedule | None = None,
        grace: Span = 0,
        where: Where | None = None,
        source: str | None = None,
        name: str | None = None,
    ) -> None:
        """Declare that events of a type come again and again; a `Missing` says where one has not.

        `every` is how long after the last one the next is expected (seconds, or `"1d"`), `by` a schedule in its place,
        by whose instants one is; `grace` is how much longer it is waited for. `where` and `source` are as in `on`,
        `name` tells several for one type apart. Raises `WiringError` for what cannot be expected.
        """
        from triggers.expectation import make_expectation  # an app that expects nothing need not load it

        called = name or str(getattr(kind, "__event_type__", kind))
        owner = f"app {self.name!r}: expect {called!r}"
        if not (isinstance(kind, type) and issubclass(kind, Event) and kind is not Event):
            raise WiringError(f"{owner}: {kind!r} is no event type; subclass triggers.Event")
        if called in self.expectations:
            raise WiringError(f"{owner}: there is one already; give this one another name=")
        pattern = None if where is None else _compiled(owner, where)
        if pattern is not None:
            check_fields(owner, "where=", kind, pattern.fields)
        self._know(kind, Missing)
        self.expectations[called] = make_expectation(
            owner, kind, name=called, every=every, by=by, grace=grace, where=pattern, source=source
        )

    @overload  # a coroutine or a generator could itself be the value of the last one: what is more special comes first
    def resource(  # type: ignore[overload-overlap]
        self, make: Callable[[], AsyncGenerator[V, None] | AsyncIterator[V] | Coroutine[Any, Any, V]]
    ) -> AsyncResource[V]: ...
    @overload
    def resource(self, make: Callable[[], Generator[V, None, None] | Iterator[V]]) -> Resource[V]: ...
    @overload
    def resource(self, make: Callable[[], V]) -> Resource[V]: ...
    def resource(self, make: Callable[[], Any]) -> Any:
        """Declare what handlers share and what is costly to make: called, the function returns the one value.

        It is made once in each process, when it is first asked for. A function that yields its value cleans up behind
        the `yield` when the app stops. That of an `async` function is awaited, by coroutine handlers.
        """
        resource = make_resource(f"app {self.name!r}", make)
        self.made_once.append(resource)
        return resource

    def send(self, *events: Event, state: Path | str | None = None) -> None:
        """Hand events in from any process: they are durable when this returns, whether or not the app runs.

        `state` is the app's state folder, `.triggers/NAME` if not given. Raises `EventError` for an event that cannot
        be accepted, before any is handed in, and `WiringError` in a function of Lambda or a job, where no dispatcher
        takes them.
        """
        function, job = os.environ.get(_FUNCTION), os.environ.get(JOB)
        if function or job:
            where = f"function {function!r} of Lambda" if function else f"the job of route {job!r}"
            raise WiringError(
                f"app {self.name!r}: send() in {where} would write into a state folder there, which nobody reads;"
                " return the event from the handler, or emit it by its context, or put it on the app's event bus or"
                " into a queue"
            )
        from triggers.sources.inbox import line_of, write  # loads asyncio, which only a process that sends needs
        from triggers.state import StateFolder

        now = time.time()
        lines = [line_of(event, "send", now) for event in events]
        folder = StateFolder(state or default_state(self.name)).create()
        if lines:
            write(folder.inbox, lines)

    def bound(self, places: Mapping[str, Path | str]) -> App:
        """Return the same app with named places where their data is here: `{"incoming": "/data/in"}`.

        A place is a folder or a bucket (`s3://acme-incoming/raw`), whatever it is in the code. A queue is bound to
        another queue, by its name, URL or ARN.
        """
        app = copy(self)
        app.sources, app.outputs = dict(self.sources), dict(self.outputs)
        for name, where in places.items():
            place = app.sources.get(name) or app.outputs.get(name)
            if not isinstance(place, Movable):
                raise WiringError(
                    f"app {self.name!r} has no place {name!r} to bind" + did_you_mean(name, self.places())
                )
            moved = relocated(place, where)
            if name in app.sources:
                app.sources[name] = moved
            elif not isinstance(moved, Queue):
                app.outputs[name] = moved
        return app

    def places(self) -> dict[str, Place]:
        """Return the places that `reads=` and `writes=` may name: the folders and the buckets."""
        found = {}
        for name, one in {**self.sources, **self.outputs}.items():
            if isinstance(one, Folder | Bucket):
                found[name] = place_of(one)
        return found

    def writes_objects(self) -> bool:
        """Say whether some route writes into a bucket, so that what arrives in one may be the work of a run."""
        declared = {**self.sources, **self.outputs}
        written = {name for route in self.routes.values() for name in route.policy.writes}
        return any(isinstance(declared.get(name), Bucket) for name in written)

    def event_types(self) -> dict[str, type[Event]]:
        """Return every event type that a route takes or emits, or that is expected, by its name on the wire."""
        return dict(self._event_types)

    def _register(self, route: Route) -> None:
        if route.name in self.routes:
            raise WiringError(f"app {self.name!r} has a route {route.name!r} already; give this one another name=")
        self._know(*route.takes, *route.emits.values())
        self.routes[route.name] = route

    def _know(self, *kinds: type[Event]) -> None:
        """Take note of event types; raise `WiringError` where two of them have one name."""
        new: dict[str, type[Event]] = {}
        known = ChainMap(new, self._event_types, _BUILT_IN)
        for kind in kinds:
            if known.get(kind.__event_type__, kind) is not kind:
                raise WiringError(
                    f"two event types are called {kind.__event_type__!r}; give one another name, type='...'"
                )
            new[kind.__event_type__] = kind
        self._event_types.update(new)


def _compiled(owner: str, where: Where) -> Pattern:
    if not isinstance(where, str | Mapping):
        raise WiringError(
            f"{owner}: where={where!r} is no pattern; write fields and values, as in where={{'key': suffix('.csv')}};"
            " what only code can say belongs into the handler"
        )
    from triggers.patterns import compile_where  # an app without conditions need not load them

    return compile_where(where)


_BUILT_IN: dict[str, type[Event]] = {
    kind.__event_type__: kind for kind in (MessageReceived, Missing, ObjectCreated, ObjectDeleted, RunFailed, Tick)
}

N = TypeVar("N", bound=Source)


def _read_options(owner: str, options: AppOptions) -> tuple[Limits, dict[str, Any]]:
    """Return the limits and the checked policy defaults that the keywords of an app hold."""
    known = set(AppOptions.__annotations__)
    if unknown := sorted(set(options) - known):
        raise no_option(owner, unknown[0], known | {"sources", "outputs"})
    limits = {key: value for key, value in options.items() if key in LimitOptions.__annotations__}
    defaults = {key: value for key, value in options.items() if key not in limits}
    make_policy(owner, defaults)
    return make_limits(owner, limits), defaults


def _places(
    owner: str, sources: Iterable[Source], outputs: Iterable[Folder | Bucket]
) -> tuple[dict[str, Source], dict[str, Folder | Bucket]]:
    """Return an app's sources and outputs by their names, all of them different."""
    named = _by_name(owner, "sources", sources), _by_name(owner, "outputs", outputs)
    if both := sorted(set(named[0]) & set(named[1])):
        raise WiringError(f"{owner}: {both[0]!r} is both a source and an output; give one another name=")
    return named


def _by_name(owner: str, option: str, places: Iterable[N]) -> dict[str, N]:
    found: dict[str, N] = {}
    if isinstance(places, str) or not isinstance(places, Iterable):
        raise WiringError(f"{owner}: {option}={places!r} must be a list, as in {option}=[Folder('data')]")
    for place in places:
        _check_place(owner, option, place)
        if place.name in found or place.name in RESERVED:
            raise WiringError(f"{owner}: the name {place.name!r} is taken; give the source another name=")
        found[place.name] = place
    return found


def _check_place(owner: str, option: str, place: object) -> None:
    """Refuse what is no source, or as an output no place: a path that is none yet, a class for its instance."""
    delivers = isinstance(getattr(place, "name", None), str) and callable(getattr(place, "deliveries", None))
    if isinstance(place, type) or not delivers or (option == "outputs" and not isinstance(place, Folder | Bucket)):
        what = "folder or bucket" if option == "outputs" else "source"
        example = place if isinstance(place, str) else "data"
        raise WiringError(f"{owner}: {option}= holds {place!r}, which is no {what}; write e.g. Folder({example!r})")


def _check_trigger(owner: str, trigger: object, more: tuple[object, ...]) -> None:
    """Refuse what is neither an event type nor a schedule, and several of them at once."""
    if more:
        raise WiringError(
            f"{owner}: @app.on takes one trigger, and not {len(more) + 1}; register the handler for each of them, as in"
            " @app.on(A) above @app.on(B, name='...')"
        )
    if isinstance(trigger, type) or is_schedule(trigger) or joined(trigger):
        return
    ways = "write @app.on(EventType) or @app.on(every(hours=1))"
    if inspect.isroutine(trigger):
        raise WiringError(f"{owner}: @app.on above {trigger.__name__!r} does not say what triggers it; {ways}")
    raise WiringError(f"{owner}: {trigger!r} triggers nothing; {ways}")


def default_state(app: str) -> Path:
    """Return the state folder of an app where none is named: `TRIGGERS_STATE`, or `.triggers/NAME` here."""
    return Path(os.environ.get("TRIGGERS_STATE") or Path(".triggers") / app)

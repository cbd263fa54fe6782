"""`App`: what reacts to what, declared. Nothing runs here and nothing is opened.

An app is plain data. `triggers run` carries it out over a state folder, the test harness over a temporary one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack, overload

from triggers.context import Context
from triggers.errors import WiringError, did_you_mean
from triggers.events import Event, MessageReceived, ObjectCreated, RunFailed, Tick, encode, new_id
from triggers.limits import Limits
from triggers.routing import PolicyOptions, Route, make_policy, make_route, quantity
from triggers.sources import Source
from triggers.sources.folder import Folder
from triggers.state import StateFolder

if TYPE_CHECKING:  # an app without timers need not load them
    from triggers.patterns import Pattern
    from triggers.schedule import Schedule

E = TypeVar("E", bound=Event)
Emission = Event | Iterable[Event] | None
R = TypeVar("R", bound=Emission | Awaitable[Emission])
Where = Mapping[str, object] | str
"""What a route's `where=` takes: fields to values and matchers, or a whole EventBridge pattern."""


class Registration(Protocol[E]):
    """The decorator that `App.on` returns. It gives the handler back unchanged."""

    @overload
    def __call__(self, handler: Callable[[E], R], /) -> Callable[[E], R]: ...
    @overload
    def __call__(self, handler: Callable[[E, Context], R], /) -> Callable[[E, Context], R]: ...


class App:
    """A named set of sources and routes.

    `sources` deliver events; `outputs` are further folders that handlers read and write, by name. `resources` are
    quantities that `needs=` draws on, besides the machine's own `cpu` (cores) and `memory` (bytes). `threads` plain
    functions and `processes` isolated ones (one for each core if not given) run at once, and up to 1,000 coroutines.
    When `backlog` runs are open the sources stop reading. What ended is kept for `retention` days. All other keywords
    are the policy keywords of `on`, as defaults for every route.
    """

    def __init__(
        self,
        name: str,
        *,
        sources: Iterable[Source] = (),
        outputs: Iterable[Folder] = (),
        resources: Mapping[str, float | str] | None = None,
        threads: int = 32,
        processes: int | None = None,
        backlog: int = 100_000,
        retention: float = 30.0,
        **defaults: Unpack[PolicyOptions],
    ) -> None:
        if not name or "/" in name or name.startswith("."):
            raise WiringError(f"an app's name names its state folder, so {name!r} will not do; use a word like 'churn'")
        self.name = name
        self.sources = _by_name(name, sources)
        self.outputs = _by_name(name, outputs)
        if both := sorted(set(self.sources) & set(self.outputs)):
            raise WiringError(f"app {name!r}: {both[0]!r} is both a source and an output; give one another name=")
        for option, value in (("threads", threads), ("processes", processes), ("backlog", backlog)):
            if value is not None and not (isinstance(value, int) and value > 0):
                raise WiringError(f"app {name!r}: {option}={value!r} must be a whole number above 0")
        if not retention > 0:
            raise WiringError(f"app {name!r}: retention={retention!r} is in days and must be above 0")
        self.routes: dict[str, Route] = {}
        self.limits = Limits(
            threads=threads,
            processes=processes,
            backlog=backlog,
            retention=retention,
            resources={key: quantity(f"app {name!r}", key, value) for key, value in (resources or {}).items()},
        )
        make_policy(f"app {name!r}", defaults)
        self._defaults = defaults

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
    def on(
        self,
        trigger: type[Event] | Schedule,
        *,
        where: Where | None = None,
        source: str | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Any:
        """Return a decorator that registers a handler for an event type or a schedule.

        `where` is an event pattern over the payload, `source` the name of the one source to listen to, `name` the
        route's name (the function's own if not given). What the handler returns is emitted: an event, a list of
        events, or nothing. Raises `WiringError` where handler and trigger do not fit.
        """

        if not isinstance(trigger, type) and not (hasattr(trigger, "next") and hasattr(trigger, "latest")):
            raise WiringError(
                f"app {self.name!r}: {trigger!r} triggers nothing; write @app.on(EventType) or @app.on(every(hours=1))"
            )

        def register(handler: Callable[..., Any]) -> Callable[..., Any]:
            owner = f"route {name or getattr(handler, '__name__', handler)!r}"
            self._register(
                make_route(
                    handler,
                    trigger,
                    name=name,
                    where=None if where is None else _compiled(where),
                    source=source,
                    policy=make_policy(owner, {**self._defaults, **policy}),
                )
            )
            return handler

        return register

    def send(self, *events: Event, state: Path | str | None = None) -> None:
        """Hand events in from any process: they are durable when this returns, whether or not the app runs.

        `state` is the app's state folder, `.triggers/NAME` if not given. Raises `EventError` for an event that cannot
        be accepted, before any is handed in.
        """
        from triggers.sources.inbox import line, write  # loads asyncio, which only a process that sends needs

        now = time.time()
        folder = StateFolder(state or default_state(self.name)).create()
        lines = [
            line(new_id(), "send", event.__event_type__, event.__event_version__, None, now, encode(event))
            for event in events
        ]
        if lines:
            write(folder.inbox, lines)

    def bound(self, places: Mapping[str, Path | str]) -> App:
        """Return the same app with named folders where their data is in this place: `{"incoming": "/data/in"}`."""
        app = copy(self)
        app.sources, app.outputs = dict(self.sources), dict(self.outputs)
        for name, path in places.items():
            folder = app.sources.get(name) or app.outputs.get(name)
            if not isinstance(folder, Folder):
                raise WiringError(
                    f"app {self.name!r} has no folder {name!r} to bind" + did_you_mean(name, self.places())
                )
            if name in app.sources:
                app.sources[name] = folder.bind(path)
            else:
                app.outputs[name] = folder.bind(path)
        return app

    def places(self) -> dict[str, Path]:
        """Return the folders that `reads=` and `writes=` may name."""
        folders = {**self.sources, **self.outputs}
        return {name: folder.path for name, folder in folders.items() if isinstance(folder, Folder)}

    def event_types(self) -> dict[str, type[Event]]:
        """Return every event type that a route takes or emits, by its name on the wire."""
        kinds: dict[str, type[Event]] = {}
        for route in self.routes.values():
            for kind in (route.trigger, *route.emits.values()):
                kinds[kind.__event_type__] = kind
        return kinds

    def _register(self, route: Route) -> None:
        if route.name in self.routes:
            raise WiringError(f"app {self.name!r} has a route {route.name!r} already; give this one another name=")
        known = {**_BUILT_IN, **self.event_types()}
        for kind in (route.trigger, *route.emits.values()):
            if known.setdefault(kind.__event_type__, kind) is not kind:
                raise WiringError(
                    f"two event types are called {kind.__event_type__!r}; give one another name, type='...'"
                )
        self.routes[route.name] = route


def _compiled(where: Where) -> Pattern:
    from triggers.patterns import compile  # an app without conditions need not load them

    return compile(where)


_BUILT_IN = {kind.__event_type__: kind for kind in (MessageReceived, ObjectCreated, RunFailed, Tick)}

N = TypeVar("N", bound=Source)


def _by_name(app: str, sources: Iterable[N]) -> dict[str, N]:
    found: dict[str, N] = {}
    if not isinstance(sources, Iterable):
        raise WiringError(f"app {app!r}: {sources!r} must stand in a list: [{sources!r}]")
    for source in sources:
        if source.name in found or source.name in ("inbox", "requests", "send", "timer"):
            raise WiringError(f"app {app!r}: the name {source.name!r} is taken; give the source another name=")
        found[source.name] = source
    return found


def default_state(app: str) -> Path:
    """Return the state folder of an app where none is named: `TRIGGERS_STATE`, or `.triggers/NAME` here."""
    return Path(os.environ.get("TRIGGERS_STATE") or Path(".triggers") / app)

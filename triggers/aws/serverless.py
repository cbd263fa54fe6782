"""The Lambda entry: `triggers.aws.serverless.handler` runs the routes of any app on whatever a function is given.

Configured by the environment: `TRIGGERS_APP=module:app`; `TRIGGERS_ROUTES=a,b` where a function has only some of the
routes; `TRIGGERS_BIND_<NAME>` for where the app's places are; `TRIGGERS_SCHEDULE_ROLE`, the role by which a run that
waits longer than a queue can hide its message is sent again.

The app is imported, and clients are made, once in an environment. A queue's batch is worked off one after the other, so
that its order is kept, and answered by the messages that are to come again. Before the function's time is over the
rest is handed back as it came. An invocation that is no queue's is answered with where its runs stand; where one of
them has not ended, and could not be put off, it raises, so that Lambda calls again.

A plain handler cannot be ended from within: its `timeout=` is the function's. A coroutine is cancelled at its own.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from pydantic import PydanticUserError

from triggers.app import App
from triggers.aws import names, wire
from triggers.aws.arrivals import Arrival, Arrivals
from triggers.aws.bus import Bus
from triggers.aws.handback import Deployment, HandBack
from triggers.aws.logs import JsonLines, set_up
from triggers.aws.records import RUNNING, WAITING, Records, Standing
from triggers.aws.runs import RESERVE, Runs
from triggers.binding import from_environment
from triggers.errors import EventError, TriggersError, WiringError, did_you_mean
from triggers.lineage import EventRow
from triggers.routing import Route, Router

AGAIN = 30.0
"""Seconds until a message comes again for which AWS itself failed, for each time that it has come."""
LONGEST_AGAIN = 900.0

log = logging.getLogger("triggers.function")


class Invocation(Protocol):
    """What is read of the context that Lambda hands over."""

    aws_request_id: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation is killed."""
        ...


class Unfinished(TriggersError):
    """A pushed event has runs that have not ended. Lambda calls again with it."""


class _Call:
    """One invocation: its id, when it began and is killed (Unix seconds), and what it has done."""

    def __init__(self, request: str, begun: float, until: float) -> None:
        self.request, self.begun, self.until = request, begun, until
        self.longest = 0.0
        """Seconds that the longest of its runs took."""
        self.tried = False
        """Whether one of its runs was begun, whatever came of it."""
        self.stood: list[tuple[Route, Standing]] = []

    def has_time(self, route: Route, now: float) -> bool:
        """Say whether a run can be begun: its time, as far as it is known, must be left. The first one has a try."""
        left = self.until - now - RESERVE
        return left > (route.policy.timeout or self.longest if self.tried else 0.0)


class Function:
    """An app in an environment of Lambda: called with each payload."""

    def __init__(
        self,
        arrivals: Arrivals,
        runs: Runs,
        records: Records,
        hand_back: HandBack,
        lines: JsonLines | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._arrivals = arrivals
        self._runs = runs
        self._records = records
        self._hand_back = hand_back
        self._lines = lines or JsonLines()
        self._now = now

    def __call__(self, payload: object, invocation: Invocation) -> dict[str, Any]:
        """Run what the payload triggers, and return what the service that called expects."""
        now = self._now()
        call = _Call(invocation.aws_request_id, now, now + invocation.get_remaining_time_in_millis() / 1000)
        self._lines.about = {"request": call.request}
        arrived, left = self._arrivals.read(payload, now), []
        stopped: set[tuple[str, str]] = set()
        for arrival in arrived:
            group = None if arrival.group is None else (arrival.queue, arrival.group)
            if group in stopped:
                left.append((arrival, now))  # not hidden itself: what stopped its group is before it, and shuts it
                continue
            if (until := self._take(arrival, call)) is not None:
                left.append((arrival, until))
                if group:
                    stopped.add(group)
        if any(arrival.item for arrival in arrived):
            if left:
                self._hand_back.hide(left, call.begun, self._now())
            return {"batchItemFailures": [{"itemIdentifier": arrival.item} for arrival, _ in left]}
        return _answer(arrived, left, call)

    def _take(self, arrival: Arrival, call: _Call) -> float | None:
        """Run what an arrival triggers. Return None where all of it is seen to, else when it is to come again."""
        moments = []
        if arrival.rejection is not None and (until := self._reject(arrival, arrival.rejection)) is not None:
            moments.append(until)
        for event in arrival.events:
            moments += self._see_to(arrival, event, call)
        return min(moments) if moments else None

    def _see_to(self, arrival: Arrival, event: EventRow, call: _Call) -> Iterator[float]:
        """Run what an event triggers here, and hand it on where it triggers more. Yield when it is to come again."""
        here, elsewhere = self._arrivals.routes(arrival, event), self._arrivals.elsewhere(arrival, event)
        if elsewhere and (until := self._hand_on(arrival, event, elsewhere, call)) is not None:
            yield until
        for route in here:
            if (until := self._run(arrival, event, route, call)) is not None:
                yield until
        if not (here or elsewhere) and self._arrivals.is_declared(arrival):
            log.info("%s %r of %s is left: no route takes it", event.type, event.id, arrival.queue_name)

    def _hand_on(self, arrival: Arrival, event: EventRow, takers: Sequence[Route], call: _Call) -> float | None:
        """Put an event on the app's bus before its message is acknowledged; reject what the bus could not carry.

        It is put again with each delivery of the message. That it is the same one, its identity tells those who run it.
        """
        now = self._now()
        if call.tried and now > call.until - RESERVE:
            return now
        try:
            self._runs.hand_on(event)
        except EventError as error:
            return self._reject(arrival, str(error))
        except Exception as error:
            _complain(f"{event.type} {event.id!r} could not be put on the app's bus, and comes again", error)
            return self._again(arrival)
        to = ", ".join(route.name for route in takers)
        log.info("%s %r of %s goes on by the app's bus, to %s", event.type, event.id, arrival.queue_name, to)
        return None

    def _run(self, arrival: Arrival, event: EventRow, route: Route, call: _Call) -> float | None:
        now = self._now()
        if not call.has_time(route, now):
            return now
        call.tried = True
        try:
            sighting = arrival.sightings.get(event.number)
            standing = self._runs.carry_out(event, route, call.request, call.until, sighting=sighting)
            call.stood.append((route, standing))
            ended = standing.state not in (RUNNING, WAITING)
            if ended or self._sent(arrival, event, route, standing):
                return None
        except Exception as error:
            _complain(f"route {route.name!r}: a run could not be seen through, and comes again", error)
            return self._again(arrival)
        finally:
            call.longest = max(call.longest, self._now() - now)
        return standing.until

    def _sent(self, arrival: Arrival, event: EventRow, route: Route, standing: Standing) -> bool:
        return standing.state == WAITING and self._hand_back.sent(arrival, event, route, standing, self._now())

    def _reject(self, arrival: Arrival, reason: str) -> float | None:
        """Keep what can be no event beside the reason, so that it is in nobody's way."""
        now = self._now()
        number = wire.number_of("rejected", arrival.queue, arrival.source, arrival.id)
        log.error("rejected %s from %s: %s", arrival.id, arrival.queue_name or arrival.source, reason)
        try:
            route = self._arrivals.route_of(arrival)
            self._records.reject(number, route, arrival.source, arrival.id, arrival.body, reason, now)
        except Exception as error:
            _complain("the rejected message could not be kept, and comes again", error)
            return self._again(arrival)
        return None

    def _again(self, arrival: Arrival) -> float:
        return self._now() + min(AGAIN * arrival.received, LONGEST_AGAIN)


def _complain(what: str, error: Exception) -> None:
    """Log an error; where it is none of ours, with its traceback."""
    log.error("%s: %s", what, error, exc_info=not isinstance(error, TriggersError))


def _answer(arrived: Sequence[Arrival], left: Sequence[tuple[Arrival, float]], call: _Call) -> dict[str, Any]:
    """Return where the runs of a pushed event stand; raise `Unfinished` where it is to be pushed again."""
    runs = [{"run": f"r{standing.run}", "route": route.name, "state": standing.state} for route, standing in call.stood]
    if left:
        states = ", ".join(f"{run['run']} of {run['route']!r} is {run['state']}" for run in runs) or "none has begun"
        raise Unfinished(f"not all runs of this event have ended ({states}); call again with the same event")
    rejected = [arrival.rejection for arrival in arrived if arrival.rejection is not None]
    return {"runs": runs, "rejected": rejected} if rejected else {"runs": runs}


def load() -> Callable[[object, Invocation], dict[str, Any]]:
    """Return the function that the environment describes.

    Whatever needs no call is made ready now, while no event waits, the direct client of the run records included.
    Other clients are made later. Raises `WiringError` where the environment names no app, or routes or places that
    the app has not.
    """
    from triggers.aws import direct  # with TLS: who only looks at what is here has no use for it

    app = _app()
    app = app.bound(from_environment(app))
    only = _routes(app)
    lines = set_up()
    _prepare(app.routes[name] for name in only or app.routes)
    table = direct.known("dynamodb")

    @cache
    def function(arn: str) -> Function:
        return _function(app, only, lines, arn, table or direct.client("dynamodb"))

    return lambda payload, invocation: function(invocation.invoked_function_arn)(payload, invocation)


def _prepare(routes: Iterable[Route]) -> None:
    """Have all there that the first run of each route would otherwise wait for."""
    for route in routes:
        if route.coroutine:
            import_module("triggers.aws.coroutines")
        for kind in (route.trigger, *route.emits.values()):
            with suppress(PydanticUserError):  # a type that cannot be built is told by the run that needs it
                kind.model_rebuild(raise_errors=False)


def _function(app: App, only: Sequence[str] | None, lines: JsonLines, arn: str, table: Any) -> Function:
    from triggers.aws import clients, direct

    router = Router(app.routes.values())
    deployment = Deployment.of(app.name, arn, os.environ.get(names.SCHEDULE_ROLE))
    records = Records(table, names.table(app.name), app.limits.retention)
    runs = Runs(app, router, records, Bus(cache(lambda: direct.client("events")), app.name), deployment.journal, lines)
    hand_back = HandBack(cache(lambda: direct.client("sqs")), cache(lambda: clients.client("scheduler")), deployment)
    return Function(Arrivals(app, router, only), runs, records, hand_back, lines)


def _app() -> App:
    target = os.environ.get(names.APP, "")
    module, _, name = target.partition(":")
    if not (module and name) or module.startswith("."):
        raise WiringError(f"{names.APP}={target!r} names no app; write module:app, as in churn.app:app")
    imported = _module(module, target)
    found = getattr(imported, name, None)
    if not isinstance(found, App):
        what = "has no App called" if found is None else f"has a {type(found).__name__}, and no App, called"
        near = did_you_mean(name, [key for key, value in vars(imported).items() if isinstance(value, App)])
        raise WiringError(f"{names.APP}={target!r}: module {module!r} {what} {name!r}{near or '; name its App'}")
    return found


def _module(name: str, target: str) -> ModuleType:
    """Import the module of the app. An error that it raises itself is raised as it is."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise WiringError(
            f"{names.APP}={target!r}: the function has no module {error.name!r}; write module:app as it is imported"
            " from the folder of the code, and see that the zip or image has it: `triggers package` and `deploy` put"
            " it there"
        ) from None


def _routes(app: App) -> list[str] | None:
    """Return the routes that this function has; None for all."""
    if not (text := os.environ.get(names.ROUTES)):
        return None
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in app.routes:
            raise WiringError(
                f"{names.ROUTES} names {name!r}, which app {app.name!r} has not{did_you_mean(name, app.routes)}"
            )
    return wanted


def __getattr__(name: str) -> object:
    """Load the app when Lambda's runtime looks the handler up: that is its initialization."""
    if name == "handler":
        globals()[name] = made = load()
        return made
    raise AttributeError(f"module 'triggers.aws.serverless' has no attribute {name!r}")

"""What routes ask of an app's resources and shares that it does not have, or that will not do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from triggers.app import App
from triggers.check.problem import Problem
from triggers.downstream import of_downstream
from triggers.errors import did_you_mean
from triggers.limits import ROOMY
from triggers.quantities import as_text, in_bytes
from triggers.routing import COROUTINE, PROCESS, THREAD, Route

INTERPRETER = 20 * 2**20
"""Bytes that a process for isolated handlers was measured to have before it imports any: 20.4 MiB, Python 3.11."""


def demands(app: App) -> Iterator[Problem]:
    """Find what is wrong with what the routes of an app need of this machine, and count for."""
    capacity = app.limits.capacity()
    for route in app.routes.values():
        yield from _needs(app, route, capacity)
    yield from _shares(app)


def _needs(app: App, route: Route, capacity: Mapping[str, float]) -> Iterator[Problem]:
    """Find what a route needs that the app does not have, or more of it than there is, or too little to run."""
    called = route.policy.downstream
    for name, amount in route.policy.needs.items():
        if called is not None and name == of_downstream(called) and name not in capacity:
            hint = did_you_mean(called, app.limits.downstreams)
            way_out = f"App(downstreams={{{called!r}: Downstream()}}) does"
            yield Problem(True, f"route {route.name!r}: the app declares no downstream {called!r}{hint}; {way_out}")
        elif name in (COROUTINE, THREAD, PROCESS) or name not in capacity:
            hint = did_you_mean(name, set(app.limits.resources) | {"cpu", "memory"})
            way_out = f"App(resources={{{name!r}: ...}}) says how much there is"
            yield Problem(True, f"route {route.name!r} needs {name!r}, which the app does not have{hint}; {way_out}")
        elif amount > capacity[name]:
            much, most = as_text(name, amount), as_text(name, capacity[name])
            way_out = f"ask for less, or App(resources={{{name!r}: ...}}) says how much there is"
            yield Problem(True, f"route {route.name!r} needs {much} {name}, but there is only {most}; {way_out}")
        elif name == "memory" and route.kind == PROCESS and amount < ROOMY:
            yield _cramped(route, amount)


def _cramped(route: Route, memory: float) -> Problem:
    """Return what is wrong with so little memory for a process of its own."""
    said = (
        f"a process has some {in_bytes(INTERPRETER)} before it imports the handler, and is killed when it has more than"
    )
    way_out = f"declare {in_bytes(ROOMY)} or more; `triggers profile` says what its runs take"
    text = f"route {route.name!r}: {said} needs={{'memory': '{in_bytes(memory)}'}}: {way_out}"
    return Problem(memory <= INTERPRETER, text)


def _shares(app: App) -> Iterator[Problem]:
    """Find weights of shares that no run counts for, as far as names tell: a key may be anything."""
    shares = [route.policy.share for route in app.routes.values()]
    named = {share for share in shares if isinstance(share, str)}
    for name in sorted(app.limits.shares.keys() - named):
        hint = did_you_mean(name, named)
        if True not in shares:
            way_out = f"; take it out, or have a route count for it: share={name!r}"
            yield Problem(True, f"app {app.name!r}: shares= weighs {name!r}, which no route counts for{hint}{way_out}")
        elif "did you mean" in hint:
            said = f"which only a run with that key counts for{hint}"
            yield Problem(False, f"app {app.name!r}: shares= weighs {name!r}, {said}")

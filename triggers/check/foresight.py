"""What is wrong with windows and deadlines that only a look ahead brings to light."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from triggers.app import App
from triggers.check.clashes import clashes
from triggers.check.problem import Problem
from triggers.journal.times import last_ended
from triggers.journal.views import open_reader
from triggers.prediction.forecast import LAST, Ended, RunTimes
from triggers.routing import Route
from triggers.spans import in_words
from triggers.state import StateFolder


def foreseen(app: App, state: StateFolder, now: float) -> list[Problem]:
    """Return what a look ahead finds, by the run times that the journal in that folder knows, if there is one."""
    over = {name: route for name, route in app.routes.items() if _is_over(route, now)}
    routes = {name: route for name, route in app.routes.items() if name not in over}
    found = [*map(_over, over.values()), *(problem for route in routes.values() for problem in clashes(route, now))]
    waiting = {name: route for name, route in routes.items() if route.policy.window and not route.policy.deadline}
    if waiting and state.journal.exists():
        with closing(open_reader(state)) as connection:
            ended = last_ended(waiting, LAST)(connection)
        found += [problem for name, took in ended.items() for problem in _too_long(waiting[name], took, now)]
    return found


def _is_over(route: Route, now: float) -> bool:
    """Say whether the window of a route does not open any more."""
    return route.policy.window is not None and route.policy.window.next(now) is None


def _over(route: Route) -> Problem:
    then = "wait" if route.policy.deadline is None else "start for their deadlines alone"
    text = f"its window {route.policy.window} does not open any more, so that its runs {then}; give it days to come"
    return Problem(route.policy.deadline is None, f"route {route.name!r}: {text}")


def _too_long(route: Route, ended: list[Ended], now: float) -> Iterator[Problem]:
    """Find work that waits for its window alone, and fits no opening of it."""
    window, times = route.policy.window, RunTimes()
    assert window is not None
    times.load({route.name: ended})
    longest = {size: times.predict(route.name, size).longest for size, _ in ended}
    lengths = [seconds for seconds in longest.values() if seconds is not None]
    too_long = [seconds for seconds in lengths if window.fits(now, seconds) is None]
    if too_long:
        whose = "runs" if len(too_long) == len(lengths) else "runs with the largest inputs"
        yield Problem(
            len(too_long) == len(lengths),
            f"route {route.name!r}: its {whose} take up to {in_words(max(too_long))}, by those that ended last,"
            f" which fits no opening of its window {window}, and have no deadline; widen the window, cut the work into"
            " parts, or give it deadline=",
        )

"""What is wrong with windows and deadlines that only run times, or the hour of an arrival, bring to light."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

from triggers.app import App
from triggers.forecast import LAST, Ended, RunTimes
from triggers.graph import Problem
from triggers.journal.times import last_ended
from triggers.journal.views import open_reader
from triggers.routing import Route
from triggers.schedule.moments import Moment
from triggers.schedule.window import Window
from triggers.state import StateFolder

HOUR = 3600.0
WEEK = 7 * 24


def foreseen(app: App, state: StateFolder, now: float) -> list[Problem]:
    """Return what a look ahead finds, by the run times that the journal in that folder knows, if there is one."""
    found = [problem for route in app.routes.values() for problem in _hurried(route, now)]
    waiting = {name: route for name, route in app.routes.items() if route.policy.window and not route.policy.deadline}
    if waiting and state.journal.exists():
        with closing(open_reader(state)) as connection:
            ended = last_ended(waiting, LAST)(connection)
        found += [problem for name in waiting for problem in _too_long(waiting[name], ended[name], now)]
    return found


def _too_long(route: Route, ended: list[Ended], now: float) -> Iterator[Problem]:
    """Find work that waits for its window alone, and fits no opening of it."""
    window, times = route.policy.window, RunTimes()
    assert window is not None
    times.load({route.name: ended})
    longest = {size: times.bounds(route.name, size)[1] for size, _ in ended}
    lengths = [seconds for seconds in longest.values() if seconds is not None]
    too_long = [seconds for seconds in lengths if window.fits(now, seconds) is None]
    if too_long:
        whose = "runs" if len(too_long) == len(lengths) else "runs with the largest inputs"
        yield Problem(
            len(too_long) == len(lengths),
            f"route {route.name!r}: its {whose} take up to {max(too_long) / HOUR:.1f} h, by those that ended last,"
            f" which fits no opening of its window {window}, and have no deadline; widen the window, cut the work into"
            " parts, or give it deadline=",
        )


def _hurried(route: Route, now: float) -> Iterator[Problem]:
    """Find a deadline that comes before the window opens, for what arrives at some hour of the week."""
    window, deadline = route.policy.window, route.policy.deadline
    if window is None or deadline is None:
        return
    hours = [now - now % HOUR + HOUR * number for number in range(WEEK)]
    hurried = [arrival for arrival in hours if not _opens(window, arrival, deadline, route.policy.not_before)]
    if hurried:
        arrival = datetime.fromtimestamp(hurried[0], UTC).strftime("%a %H:%M UTC")
        often = "always" if len(hurried) == WEEK else f"in {len(hurried)} of the {WEEK} hours of a week"
        yield Problem(
            False,
            f"route {route.name!r}: its deadline ({deadline}) comes {often} before its window {window} opens, as for"
            f" what arrives on {arrival}; such runs start outside the window: move the deadline, or widen the window",
        )


def _opens(window: Window, arrival: float, deadline: Moment, not_before: Moment | None) -> bool:
    start = arrival if not_before is None else max(arrival, not_before.of(arrival))
    return window.next(start).start < deadline.of(arrival)

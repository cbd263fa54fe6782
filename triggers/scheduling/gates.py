"""What keeps waiting runs from starting although there is room: gates, each closed for a time and for a reason.

A gate is asked about the first run of a lane. Where that has to wait, so do those behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from triggers.scheduling.terms import Terms

if TYPE_CHECKING:  # an app that runs at any time need not load them
    from triggers.prices import Prices
    from triggers.routing import Route
    from triggers.schedule.series import Series
    from triggers.schedule.window import Interval, Window

log = logging.getLogger("triggers.dispatcher")

GRACE = 60.0
"""Seconds that a decision may be late: who was to start when a window opened may start a little later, instead of at
its next opening."""
KEPT = 10_000
"""How many starts are remembered; then they are found anew."""


class Closed(NamedTuple):
    """That a gate is closed."""

    until: float
    """When it is asked again, in Unix seconds; infinite where no moment opens it, but something that happens."""
    reason: str
    """What a person is told: `outside its window 22:00-06:00 Europe/Berlin`."""
    opens: bool = True
    """Whether it lets all through then that it holds back. If not, nobody is promised that moment."""
    recorded: bool = False
    """Whether rows of the journal say so, by which whoever reads it finds out by himself."""


class Gate(Protocol):
    """Something that runs of a route may have to wait for, beside room."""

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether a run with these terms must wait. `longest` is how many seconds it will take at most (p90)."""
        ...


class Turnstile(Gate, Protocol):
    """A gate that lets through no more than so many runs in one choice. Which of them, the policy says."""

    def lets(self, now: float, terms: Terms) -> tuple[str, int] | None:
        """Return how many pass now where it is not closed, and for whom that counts, by a name: a resource of which
        each run takes one for as long as the choice is made. None where it bounds nothing."""
        ...


def declared(route: Route, aging: float) -> tuple[Gate, ...]:
    """Return the gates of a route's own declarations. `aging` seconds of waiting make up for a level of priority."""
    policy = route.policy
    return (
        ()
        if policy.window is None and policy.price is None
        else (Placement(route.name, policy.window, policy.price, aging),)
    )


class Start(NamedTuple):
    """When a run may start."""

    at: float
    until: float
    """The last moment for which that was found out."""
    reason: str
    """Why it waits until then."""


class Placement:
    """Runs that wait for their window, and in it for the lowest price; a deadline makes an exception.

    A run starts where all of it is predicted to lie in the window (`longest`, its p90). While nobody knows how long it
    takes, it starts when the window is open, and does not wait for a price. What is too long for any opening starts
    when it is open, and the log says so. The latest start for a deadline is `longest` before it.
    """

    def __init__(self, route: str, window: Window | None, price: Prices | None, aging: float) -> None:
        self._route = route
        self._window = window
        self._price = price
        self._aging = aging
        self._starts: dict[tuple[float, ...], Start] = {}
        self._series: Series | None = None
        self._said = False

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether a run has to wait, and until when."""
        start = self.start(now, terms, longest)
        return Closed(start.at, start.reason) if start.at > now else None

    def start(self, now: float, terms: Terms, longest: float | None) -> Start:
        """Return when a run that waits is to start, as far as is known now."""
        latest = inf if terms.deadline is None else terms.deadline - (longest or 0.0)
        if latest <= now:
            return Start(now, now, "")
        until = latest
        if self._price is not None:
            until = min(latest, terms.rank + self._aging * terms.priority + self._price.within)
            self._look(now, until + (longest or 0.0))
        key = (latest, until, -1.0 if longest is None else longest)
        found = self._starts.get(key)
        if found is None or found.until < now:
            if len(self._starts) >= KEPT:
                self._starts.clear()
            found = self._starts[key] = self._find(now, latest, until, longest)
        return found

    def _look(self, now: float, end: float) -> None:
        """Find all starts anew where the prices are no longer those that were known."""
        assert self._price is not None
        series = self._price.between(now, end, now)
        if series is not self._series:
            self._series = series
            self._starts.clear()

    def _find(self, now: float, latest: float, until: float, longest: float | None) -> Start:
        """Return the start that is best; `until` so long the price may be waited for."""
        if longest is not None and self._series is not None:
            where = self._intervals(now, until + longest)
            cheapest = self._series.cheapest(longest, until, where)
            if cheapest is not None:
                return Start(cheapest, cheapest + GRACE, f"it is cheapest then, by {self._price}")
        if self._window is None:
            return Start(now, now, "")
        place = self._place(self._window, now, longest, latest)
        if place.start <= latest and not (longest is None and place.start >= latest):
            # who was to start when it opens may do so a little later, or would have to wait for its next opening
            last = place.end - (longest or 0.0)
            return Start(place.start, max(last, place.start + GRACE) if place.start > now else last, self._reason(now))
        if longest is None:  # its deadline comes first, and nobody knows when it must start for that
            return Start(now, now, "")
        return Start(latest, latest, f"{self._reason(now)}; its deadline has it start then")

    def _intervals(self, now: float, end: float) -> Iterable[Interval]:
        from triggers.schedule.window import Interval

        return [Interval(now, end)] if self._window is None else self._window.intervals(now, end)

    def _place(self, window: Window, now: float, longest: float | None, latest: float) -> Interval:
        """Return where in the window there is room; if nowhere, where it is open next, which the log says."""
        place = window.fits(now, longest or 0.0)
        if place is not None:
            return place
        if latest == inf and not self._said:
            self._said = True
            log.error(
                "route %r: its runs take up to %.1f h, which fits no opening of its window %s, and have no deadline;"
                " they start when it opens and end after it has closed: widen the window, or give them deadline=",
                self._route, (longest or 0.0) / 3600, window,
            )  # fmt: skip
        return window.next(now)

    def _reason(self, now: float) -> str:
        assert self._window is not None
        if self._window.contains(now):
            return f"it would not end within its window {self._window}"
        return f"outside its window {self._window}"

"""What keeps waiting runs from starting although there is room: gates, each closed for a time and for a reason.

A gate is asked about the first run of a lane, or of a row of lanes that differ in their keys alone, where it goes by
nothing else of a run than how long it takes. Where that has to wait, so do those behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from triggers.scheduling.terms import Terms
from triggers.spans import in_words

if TYPE_CHECKING:  # an app that runs at any time need not load them
    from triggers.prices import Prices
    from triggers.routing import Route
    from triggers.schedule.series import Offers, Series
    from triggers.schedule.window import Interval, Window

log = logging.getLogger("triggers.dispatcher")
L = TypeVar("L")

GRACE = 60.0
"""Seconds that a decision may be late: who was to start when a window opened may start a little later, instead of at
its next opening."""
KEPT = 256
"""Of so many lengths of runs it is remembered where there is room and what is cheap; of more, of the last ones."""

CLOSED_FOR_GOOD = "its window {} does not open any more; give it days to come"


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

    @property
    def by_run(self) -> bool:
        """Say whether it may hold back one run and let another through that takes as long."""
        ...

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
        else (Placement(route.name, policy.window, policy.price, aging, deadlines=policy.deadline is not None),)
    )


class Start(NamedTuple):
    """When a run may start."""

    at: float
    reason: str
    """Why it waits until then."""


class Opening(NamedTuple):
    """Where in its window runs of one length find room."""

    start: float
    since: float
    """The first moment for which that was found out: who plays what may come, time and again, begins anew."""
    until: float
    """The last one."""
    reason: str


class Bargains(NamedTuple):
    """Where runs of one length may cost least, for starts between two moments."""

    begin: float
    end: float
    offers: Offers


class Placement:
    """Runs that wait for their window, and in it for the lowest price; a deadline makes an exception.

    A run starts where all of it is predicted to lie in the window (`longest`, its p90). While nobody knows how long it
    takes, it starts when the window is open, and does not wait for a price. What is too long for any opening starts
    when it is open, and the log says so. The latest start for a deadline is `longest` before it, and for a price it is
    not waited until a run expires.

    What is found out is kept by how long runs take, not by their deadlines: each may have its own.
    """

    def __init__(
        self, route: str, window: Window | None, price: Prices | None, aging: float, *, deadlines: bool = True
    ) -> None:
        self.by_run = deadlines or price is not None
        self._route = route
        self._window = window
        self._price = price
        self._aging = aging
        self._openings: dict[float | None, Opening] = {}
        self._bargains: dict[float, Bargains] = {}
        self._series: Series | None = None
        self._over: Series | None = None
        """The prices of which the log says that they have ended."""
        self._said = False

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether a run has to wait, and until when."""
        start = self.start(now, terms, longest)
        return Closed(start.at, start.reason) if start.at > now else None

    def start(self, now: float, terms: Terms, longest: float | None) -> Start:
        """Return when a run that waits is to start, as far as is known now."""
        latest = inf if terms.deadline is None else terms.deadline - (longest or 0.0)
        if latest <= now:
            return Start(now, "")
        if self._price is not None and longest is not None:
            cheapest = self._cheapest(self._price, now, terms, longest, latest)
            if cheapest is not None:
                return Start(cheapest, f"it is cheapest then, by {self._price}{self._trouble(' as it was before: ')}")
        if self._window is None:
            return Start(now, "")
        opening = self._opening(self._window, now, longest, latest)
        reason = opening.reason + self._trouble("; it goes by no price: ")
        if latest == inf or (opening.start < latest if longest is None else opening.start <= latest):
            return Start(opening.start, reason)
        if longest is None:  # its deadline comes first, and nobody knows when it must start for that
            return Start(now, "")
        return Start(latest, f"{reason}; its deadline has it start then")

    def _trouble(self, words: str) -> str:
        """Return why nobody knows the prices of now, after some words; nothing where they are known, or not asked."""
        return f"{words}{self._price.trouble}" if self._price and self._price.trouble else ""

    def _cheapest(self, price: Prices, now: float, terms: Terms, longest: float, latest: float) -> float | None:
        """Return the start that costs least, None where there is no price of any.

        What was best a moment ago still is, for a run that waited for it then.
        """
        arrival = min(now, terms.rank + self._aging * terms.priority)
        until = min(latest, arrival + price.within)
        if terms.expires is not None and terms.expires > now:  # else it has been started before, and expires no more
            until = min(until, max(now, terms.expires - GRACE))
        bargains = self._look(price, now, longest)
        return None if bargains is None else bargains.offers.cheapest(max(arrival, now - GRACE), until)

    def _look(self, price: Prices, now: float, longest: float) -> Bargains | None:
        """Return where runs of that length may cost least, found anew where other prices are known than before."""
        series = price.between(now, now + price.within + longest, now)
        if series is not self._series:
            self._series = series
            self._bargains.clear()
        if series is None:
            return None
        if series.end <= now and series is not self._over:
            self._over = series
            log.error(
                "route %r: its prices (%s) have ended, so that its runs go by none; %s",
                self._route, price, price.trouble or "add more",
            )  # fmt: skip
        found = self._bargains.get(longest)
        if found is None or not found.begin <= now - GRACE or found.end < now + price.within:
            _make_room(self._bargains)
            begin, end = now - GRACE, now + 2 * price.within
            where = self._intervals(begin, end + longest)
            found = self._bargains[longest] = Bargains(begin, end, series.offers(longest, where))
        return found

    def _intervals(self, start: float, end: float) -> Iterable[Interval]:
        from triggers.schedule.window import Interval

        return [Interval(start, end)] if self._window is None else self._window.intervals(start, end)

    def _opening(self, window: Window, now: float, longest: float | None, latest: float) -> Opening:
        """Return where in the window there is room."""
        found = self._openings.get(longest)
        if found is None or not found.since <= now <= found.until:
            _make_room(self._openings)
            place = self._place(window, now, longest, latest)
            # who was to start when it opens may do so a little later, or would have to wait for its next opening
            last = place.end - (longest or 0.0)
            last = max(last, place.start + GRACE) if place.start > now else last
            found = self._openings[longest] = Opening(place.start, now, last, self._reason(now, place.start))
        return found

    def _place(self, window: Window, now: float, longest: float | None, latest: float) -> Interval:
        """Return where in the window there is room; if nowhere, where it is open next, which the log says."""
        from triggers.schedule.window import Interval

        place = window.fits(now, longest or 0.0)
        if place is not None:
            return place
        opening = window.next(now)
        if latest == inf and not self._said:
            self._said = True
            if opening is None:
                log.error(_OVER, self._route, window)
            else:
                log.error(_TOO_LONG, self._route, in_words(longest or 0.0), window)
        return opening or Interval(inf, inf)

    def _reason(self, now: float, start: float) -> str:
        assert self._window is not None
        if start == inf:
            return CLOSED_FOR_GOOD.format(self._window)
        if self._window.contains(now):
            return f"it would not end within its window {self._window}"
        return f"outside its window {self._window}"


_TOO_LONG = (
    "route %r: its runs take up to %s, which fits no opening of its window %s, and have no deadline; they start when it"
    " opens and end after it has closed: widen the window, or give them deadline="
)
_OVER = (
    "route %r: its window %s does not open any more, so that its runs wait; give it days to come, or its runs deadline="
)


def _make_room(found: dict[L, Any]) -> None:
    """Forget what was found first, where there is no room for more."""
    if len(found) >= KEPT:
        del found[next(iter(found))]

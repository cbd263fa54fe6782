"""Keywords of time that contradict one another, for what arrives at some hours or at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from math import inf
from typing import NamedTuple

from triggers.check.problem import Problem
from triggers.options import Policy
from triggers.routing import Route
from triggers.schedule.instants import firings
from triggers.schedule.moments import After

HOUR, MINUTE = 3600.0, 60.0
WEEK = 7 * 24
"""Hours."""
STEP = 5
"""Minutes between two arrivals of a week that is looked at closely, before anything is said to be always so."""
FIRINGS = 100
"""As many firings are looked at of a route on a schedule: nothing else arrives there."""
YEARS = 2 * 366 * 24 * HOUR
"""Seconds for which they are looked for."""


class Course(NamedTuple):
    """What the keywords of time come to for an event that arrives at a moment, all in Unix seconds."""

    arrival: float
    not_before: float
    first: float
    """From when on it may start: a deadline that comes first has it not wait."""
    opens: float
    """From when on its window is open, too."""
    deadline: float
    expires: float
    priced: float
    """Until when it may wait for its price."""

    @property
    def start(self) -> float:
        """Return when it starts, if there is room: it waits for no window that opens only after its deadline."""
        return self.first if self.opens >= self.deadline else self.opens


class Clash(NamedTuple):
    """Keywords that contradict one another: for which arrivals, and what is said of it."""

    given: Callable[[Policy], bool]
    wrong: Callable[[Course], bool]
    words: str
    """With `{often}`, `{example}` and `{start}` for the arrivals, and `{0}` for the policy."""


CLASHES = (
    Clash(
        lambda policy: policy.not_before is not None and policy.deadline is not None,
        lambda course: course.deadline <= course.not_before,
        "its deadline ({0.deadline}) comes {often} before not_before={0.not_before}{example}; such runs do not wait for"
        " their first start: move one of them",
    ),
    Clash(
        lambda policy: policy.window is not None and policy.deadline is not None,
        lambda course: course.opens >= course.deadline,
        "its deadline ({0.deadline}) comes {often} before {start}{example}; such runs start outside the window: move"
        " the deadline, or widen the window",
    ),
    Clash(
        lambda policy: policy.expires is not None and (policy.window or policy.not_before) is not None,
        lambda course: course.expires <= course.start,
        "it expires (expires={0.expires}) {often} before {start}{example}; such runs are dropped without having"
        " started: let them expire later, or start earlier",
    ),
    Clash(
        lambda policy: policy.price is not None and (policy.window or policy.not_before) is not None,
        lambda course: course.priced <= course.start,
        "it may wait for its price for {0.price.within:g} s after its event, which are over {often} before {start}"
        "{example}; such runs start whatever it costs: give Prices a longer within=",
    ),
)


def clashes(route: Route, now: float) -> Iterator[Problem]:
    """Find what contradicts one another in a route's times, for what arrives in the week to come, or is to fire."""
    yield from _gathered(route)
    found = [clash for clash in CLASHES if clash.given(route.policy)]
    if not found:
        return
    scheduled = route.schedule is not None
    courses = _courses(route.policy, _firings(route, now) if scheduled else _week(now, 60))
    closely: list[Course] = []
    for clash in found:
        wrong = [course for course in courses if clash.wrong(course)]
        always = bool(wrong) and len(wrong) == len(courses)
        if always and not scheduled:
            closely = closely or _courses(route.policy, _week(now, STEP))
            always = all(map(clash.wrong, closely))
        if wrong:
            of = f"at {len(wrong)} of its next {len(courses)} firings" if scheduled else _hours(len(wrong))
            yield Problem(always, _said(route, clash, "always" if always else of, wrong[0]))


def _gathered(route: Route) -> Iterator[Problem]:
    """Find moments that events may have waited beyond before they have come together, from when they are reckoned."""
    if route.rule is None:
        return
    longest = route.rule.within if route.rule.within < inf else route.rule.quiet
    for name in ("deadline", "expires"):
        moment = getattr(route.policy, name)
        if isinstance(moment, After) and moment.seconds < longest:
            yield Problem(
                False,
                f"route {route.name!r}: {name}={moment} is reckoned from when its events have come together, which may"
                f" be {longest:g} s after the first of them: that one is then up to {longest + moment.seconds:g} s old;"
                f" have them come together sooner, or reckon with it in {name}=",
            )


def _courses(policy: Policy, arrivals: Sequence[float]) -> list[Course]:
    return [_course(policy, arrival) for arrival in arrivals]


def _course(policy: Policy, arrival: float) -> Course:
    deadline, expires = (inf if one is None else one.of(arrival) for one in (policy.deadline, policy.expires))
    not_before = arrival if policy.not_before is None else policy.not_before.of(arrival)
    first = arrival if deadline <= not_before else not_before
    opening = None if policy.window is None else policy.window.next(first)
    opens = first if policy.window is None else inf if opening is None else opening.start
    priced = inf if policy.price is None else arrival + policy.price.within
    return Course(arrival, not_before, first, opens, deadline, expires, priced)


def _week(now: float, minutes: int) -> list[float]:
    """Return the moments of the week to come, so many minutes apart."""
    step = minutes * MINUTE
    return [now - now % HOUR + step * number for number in range(int(WEEK * HOUR / step))]


def _firings(route: Route, now: float) -> list[float]:
    """Return when a route's schedule fires next; nothing of one that fails, which is told elsewhere."""
    try:
        return [] if route.schedule is None else list(islice(firings(route.schedule, now, now + YEARS), FIRINGS))
    except Exception:  # of a calendar of the user's
        return []


def _hours(wrong: int) -> str:
    return f"in {wrong} of the {WEEK} hours of a week"


def _said(route: Route, clash: Clash, often: str, course: Course) -> str:
    policy = route.policy
    arrival = datetime.fromtimestamp(course.arrival, UTC).strftime("%a %H:%M UTC")
    after = "" if policy.not_before is None else f" after not_before={policy.not_before}"
    start = f"not_before={policy.not_before}" if policy.window is None else f"its window {policy.window} opens{after}"
    text = clash.words.format(policy, often=often, start=start, example=f", as for what arrives on {arrival}")
    return f"route {route.name!r}: {text}"

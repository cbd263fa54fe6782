"""Schedules in the words of EventBridge Scheduler: `cron(...)`, `rate(...)`, `at(...)`.

Its cron texts have six fields and exactly one `?`, its rates are whole minutes counted from when a schedule was made.
What both cannot say is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from triggers.aws.template.problems import Problems
from triggers.aws.template.references import Json
from triggers.errors import ScheduleError, WiringError
from triggers.routing import Route
from triggers.schedule import At, Cron, Every, Schedule, Timetable, manner, timezone_of
from triggers.schedule.fields import DAY_OF_MONTH, HOUR, MINUTE, MONTH, WEEKDAY, Field

LONGEST: Final = 256
"""Characters that an expression may have."""
LATEST: Final = 86_400
"""Seconds for which Scheduler goes on trying to send, at most; 60 at least."""
_DAY: Final = 86_400
_DISPATCHER = "or run the route with a dispatcher"


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule fires: one expression or several, whose firings are those of all of them."""

    texts: tuple[str, ...]
    timezone: str
    options: Json


def timing(route: Route, now: float | None, problems: Problems) -> Timing:
    """Return a route's schedule in Scheduler's words. Raises `WiringError` for what it has no words for."""
    assert route.schedule
    owner = f"route {route.name!r}: {route.schedule}"
    bounds = route.schedule if isinstance(route.schedule, Timetable) else None
    core = bounds.schedule if bounds else route.schedule
    if bounds and bounds.exclude is not None:
        raise WiringError(
            f"{owner}: Scheduler knows no days that are excluded; say the days in the cron text, as in"
            f" cron('0 6 * * MON-FRI'), ask in the handler, {_DISPATCHER}"
        )
    texts = _texts(owner, core, problems)
    if too_long := [text for text in texts if len(text) > LONGEST]:
        raise WiringError(
            f"{owner}: {too_long[0][:40]}... has {len(too_long[0])} characters, and Scheduler takes {LONGEST}; make two"
            " schedules of it"
        )
    return Timing(texts, timezone_of(core), {**_window(owner, route.schedule, problems), **_bounds(bounds, now)})


def retrying(route: Route, problems: Problems) -> Json:
    """Return for how long Scheduler tries to send a firing, by what the schedule says of missed ones."""
    assert route.schedule
    fired = manner(route.schedule)
    if fired.missed == "skip":
        return {"MaximumRetryAttempts": 0}
    if fired.missed == "all" or fired.within is not None:
        problems.note(
            f"route {route.name!r}: missed={fired.missed!r}: Scheduler does not sleep; what it cannot send it tries"
            " again for a day at most, and for a minute at least"
        )
    age = LATEST if fired.within is None else min(max(math.ceil(fired.within), 60), LATEST)
    return {"MaximumEventAgeInSeconds": age, "MaximumRetryAttempts": 185}


def _texts(owner: str, schedule: Schedule, problems: Problems) -> tuple[str, ...]:
    match schedule:
        case At():
            return (_at(owner, schedule),)
        case Every():
            return (_every(owner, schedule, problems),)
        case Cron():
            return _cron(owner, schedule)
    raise WiringError(
        f"{owner} is a schedule of your own, which AWS does not know; use cron, every or at, {_DISPATCHER}"
    )


def _at(owner: str, schedule: At) -> str:
    if schedule.instant % 1:
        raise WiringError(f"{owner}: Scheduler knows whole seconds only; leave out the fraction")
    return f"at({_utc(schedule.instant)})"


def _every(owner: str, schedule: Every, problems: Problems) -> str:
    """Return the cron text whose firings are the interval's, or where there is none a rate."""
    minutes, rest = divmod(schedule.seconds, 60)
    if rest:
        raise WiringError(f"{owner}: Scheduler counts in whole minutes; write e.g. every(minutes={max(1, minutes)})")
    if aligned := _ALIGNED.get(schedule.seconds):
        return aligned
    if minutes < 60 and 60 % minutes == 0:
        return f"cron({_steps(minutes, 60)} * * * ? *)"
    if minutes < 1440 and minutes % 60 == 0 and 1440 % minutes == 0:
        return f"cron(0 {_steps(minutes // 60, 24)} * * ? *)"
    problems.note(f"{owner}: as a rate, which Scheduler counts from when the schedule is made, and not from 1970")
    for unit, size in (("days", 1440), ("hours", 60)):
        if minutes % size == 0:
            return f"rate({minutes // size} {unit})"
    return f"rate({minutes} minutes)"


_ALIGNED: Final = {7 * _DAY: "cron(0 0 ? * THU *)", _DAY: "cron(0 0 * * ? *)", 3600: "cron(0 * * * ? *)"}
"""Intervals that begin at a wall time in UTC: 1970 began on a Thursday. So no rate has a 1, which has no plural."""


def _steps(step: int, whole: int) -> str:
    return "*" if step == 1 else f"0/{step}" if step < whole else "0"


def _cron(owner: str, schedule: Cron) -> tuple[str, ...]:
    """Return the texts of six fields for a cron text. Of two days that may match either, each has its own text."""
    fields = schedule.text.split(" ")
    if len(fields) == 6:
        return (f"cron({schedule.text})",)
    minute, hour, day, month, weekday = fields
    times = f"{_list(MINUTE, minute)} {_list(HOUR, hour)}"
    days, weekdays = _list(DAY_OF_MONTH, day), _weekdays(weekday)
    months = _list(MONTH, month)
    by_day = f"cron({times} {days} {months} ? *)"
    by_weekday = f"cron({times} ? {months} {weekdays} *)"
    either = not (day.startswith("*") or weekday.startswith("*"))
    if days == "*" and weekdays == "*":
        return (by_day,)
    if "*" in (days, weekdays):  # all days: either of the two is no condition, both of them are the other one
        return (f"cron({times} * {months} ? *)" if either else by_day if weekdays == "*" else by_weekday,)
    if either:
        return tuple(text for text in (by_day, by_weekday) if _fires(text))
    raise WiringError(
        f"{owner}: both the day and the weekday must match, and Scheduler asks one of them only; leave one to the"
        f" handler, {_DISPATCHER}"
    )


def _fires(text: str) -> bool:
    """Say whether a text ever fires. The 30th of February does not, and beside Mondays it may be asked for."""
    try:
        Cron(text)
    except ScheduleError:
        return False
    return True


def _list(field: Field, text: str) -> str:
    """Return a field as a list of its values, without names and steps of crontab's own."""
    mask = field.parse(text)
    values = [value for value in range(field.low, field.high + 1) if mask >> value & 1]
    return "*" if len(values) == field.high - field.low + 1 else _runs([str(value) for value in values], values)


def _weekdays(text: str) -> str:
    mask = WEEKDAY.parse(text)
    mask |= mask >> 7
    values = [value for value in range(7) if mask >> value & 1]
    return "*" if len(values) == 7 else _runs([WEEKDAY.names[value] for value in values], values)


def _runs(words: list[str], values: list[int]) -> str:
    """Return values as a list in which those that follow one another are a range."""
    parts: list[list[str]] = []
    for place, word in enumerate(words):
        if place and values[place] == values[place - 1] + 1:
            parts[-1].append(word)
        else:
            parts.append([word])
    return ",".join(part[0] if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _window(owner: str, schedule: Schedule, problems: Problems) -> Json:
    """Return the window in which a firing is sent. Scheduler chooses the moment itself."""
    jitter = manner(schedule).jitter
    if not jitter:
        return {"FlexibleTimeWindow": {"Mode": "OFF"}}
    minutes = math.ceil(jitter / 60)
    if minutes > 1440:
        raise WiringError(f"{owner}: jitter={jitter:g} is more than the day that Scheduler allows; say 86400 or less")
    problems.note(f"{owner}: jitter={jitter:g}: Scheduler chooses the moment itself, in a window of {minutes} min")
    return {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": minutes}}


def _bounds(bounds: Timetable | None, now: float | None) -> Json:
    """Return the first and the last moment. AWS refuses a first one that is past, which excludes nothing anyway."""
    found: Json = {}
    if bounds and bounds.start is not None and not (now is not None and bounds.start <= now):
        found["StartDate"] = f"{_utc(bounds.start)}Z"
    if bounds and bounds.end is not None:
        found["EndDate"] = f"{_utc(math.ceil(bounds.end) - 1)}Z"  # ours is the first that may not fire
    return found


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(math.ceil(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S")

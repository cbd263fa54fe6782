"""Schedules: pure functions from one moment to the next.

`cron`, `every` and `at` make frozen values that answer two questions about Unix times (seconds since 1970, UTC): what
is the `next` firing, and what was the `latest`? From these `firings` tells all between two moments. They know no clock.
Firings lie on whole seconds (of an `At`: wherever it was set) in the years 1970 to 2199, EventBridge's range.

Clocks that change follow the documented rule of EventBridge Scheduler ("Schedule types", daylight savings time), in
every place an app runs: a wall time that does not exist is skipped, one that occurs twice fires once. See `Cron`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Never, Unpack

from triggers.errors import ScheduleError
from triggers.schedule.crontab import Cron
from triggers.schedule.instants import DAY, At, Every, Schedule, firings
from triggers.schedule.timetable import Manner, Timetable, TimetableOptions, instant, manner, timetable, timezone_of
from triggers.schedule.window import Window


def cron(text: str, *, timezone: str = "UTC", **options: Unpack[TimetableOptions]) -> Schedule:
    """Return the schedule of a cron text in the wall time of an IANA time zone. `ScheduleError` if it is not valid.

    Five fields, as in crontab(5): `minute hour day month weekday`, with `*`, lists, ranges, steps (`*/15`, `0-30/10`,
    `5/10` = from 5 on), JAN-DEC and SUN-SAT; Sunday is 0 or 7. Where both days are restricted (do not begin with `*`)
    either may match; otherwise both must. That is Vixie cron's rule. `@hourly`, `@daily`, `@weekly`, `@monthly`
    and `@yearly` stand for the usual texts.

    Six fields, as in EventBridge's `cron(minute hour day month weekday year)`: Sunday is 1, Saturday 7, exactly one of
    the two days is `?`. Day also takes `L` (last), `L-2` (two before the last), `15W` (the weekday nearest to the
    15th, in the same month; none in a month without that day) and `LW`; weekday also `L` (Saturday), `6L` (the last
    Friday) and `6#3` (the third Friday). The source is EventBridge's "Cron expressions reference".

    The options are those of every schedule, see `TimetableOptions`: `start`, `end`, `exclude`, `jitter`, `missed`.
    """
    return timetable(Cron(text, timezone), timezone=timezone, **options)


def every(
    *amount: Never,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    weeks: float = 0,
    timezone: str = "UTC",
    **options: Unpack[TimetableOptions],
) -> Schedule:
    """Return a schedule of a fixed interval, the sum of the arguments. `ScheduleError` unless it is 1, 2, 3.. seconds.

    The interval is elapsed time and its firings are aligned to the Unix epoch, 1970-01-01T00:00Z: `every(minutes=5)`
    fires at :00, :05 and so on, `every(days=1)` at midnight UTC, `every(weeks=1)` on Thursdays. So a restart shifts
    nothing, and all places agree without asking each other. For a wall time, such as 3 in the morning, use `cron`.

    `timezone` is that of the options (see `TimetableOptions`): of the days of `exclude=`, of `start=` and `end=`.
    """
    if amount:
        raise ScheduleError(f"every: {amount[0]!r} of what? Write e.g. every(seconds=5) or every(minutes=5)")
    try:
        total = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days, weeks=weeks)
    except (OverflowError, TypeError, ValueError) as error:
        raise ScheduleError(f"every: the interval cannot be counted ({error}); write e.g. every(minutes=5)") from error
    if total.microseconds:
        raise ScheduleError(f"every: {total} is not a whole number of seconds; write e.g. every(seconds=1)")
    return timetable(Every(total.days * DAY + total.seconds), timezone=timezone, **options)


def at(moment: datetime | str, *, timezone: str = "UTC", **options: Unpack[TimetableOptions]) -> Schedule:
    """Return a schedule that fires once, at a datetime or ISO 8601 text. `ScheduleError` if there is no such moment.

    One without an offset is read in `timezone`. A wall time that the clocks skip is an error; of one that occurs twice
    the first is meant (a datetime with `fold=1` says the second). The options are those of every schedule.
    """
    return timetable(At(instant("at", moment, timezone)), timezone=timezone, **options)


__all__ = [
    "At",
    "Cron",
    "Every",
    "Manner",
    "Schedule",
    "Timetable",
    "Window",
    "at",
    "cron",
    "every",
    "firings",
    "manner",
    "timetable",
    "timezone_of",
]

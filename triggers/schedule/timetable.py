"""Timetables: a schedule with a start, an end and days that are excluded, and with how it is fired.

Which instants there are is one thing: `start`, `end` and `exclude` belong to the schedule's text, so that who changes
them begins anew. How they are fired is another: `jitter` and what is done about those that were missed (`Manner`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from math import inf, nextafter
from typing import Any, Literal, TypedDict, Unpack, get_args

from triggers.errors import ScheduleError, did_you_mean
from triggers.schedule.calendars import Calendar, Excluded, calendar
from triggers.schedule.instants import Schedule
from triggers.schedule.zones import zone
from triggers.spans import Span, seconds

Missed = Literal["latest", "all", "skip"]

MOST = 10_000
"""Instants that `missed="all"` fires at most where `missed_most=` is not given. A clock that jumps ahead by years makes
millions of them, of a time that has never been."""


class TimetableOptions(TypedDict, total=False):
    """The keywords that every schedule takes. Moments without an offset and days are of the schedule's time zone."""

    start: datetime | str
    """The first moment that may fire: an ISO text or a datetime."""
    end: datetime | str
    """The first moment that may not fire any more."""
    exclude: Excluded
    """Days on which it does not fire: a set of dates and weekdays, or a function of a date."""
    jitter: Span
    """Seconds by which firings are spread: each is put off by less than that, always by the same for the same instant,
    and never to the next instant or beyond. `Tick.due` stays the instant itself."""
    missed: Missed
    """What fires of the instants that came due while the app was down, full or suspended: the `"latest"` of them (if
    not given), `"all"`, or none (`"skip"`)."""
    missed_most: int
    """With `missed="all"`: at most so many of them fire, the latest ones; 10,000 if not given."""
    missed_within: Span
    """Seconds; what is later than that does not fire any more."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a schedule is fired: see `TimetableOptions`."""

    jitter: float = 0.0
    missed: Missed = "latest"
    most: int = MOST
    within: float | None = None

    def __str__(self) -> str:
        text = f"missed={self.missed!r}"
        text += f", missed_most={self.most}" if self.missed == "all" else ""
        return text + ("" if self.within is None else f", missed_within={self.within:g}")

    def offset(self, name: str, due: float, following: float | None) -> float:
        """Return by how many seconds the firing of an instant is put off, given the instant that follows it.

        It is a hash of the schedule's name and the instant: the same after a restart and in every place.
        """
        if not self.jitter:
            return 0.0
        width = self.jitter if following is None else min(self.jitter, following - due)
        share = int.from_bytes(blake2b(f"{name}@{float(due)!r}".encode(), digest_size=6).digest()) / 2**48
        return width * share


AS_USUAL = Manner()


@dataclass(frozen=True, slots=True)
class Timetable(Schedule):
    """A schedule within bounds, without the excluded days, and how it is fired. Made by the schedules' keywords."""

    schedule: Schedule
    timezone: str = "UTC"
    start: float | None = None
    end: float | None = None
    exclude: Calendar | None = None
    manner: Manner = AS_USUAL

    def next(self, after: float) -> float | None:
        """Return the first firing strictly after `after`, or None."""
        if self.start is not None and after < self.start:
            after = nextafter(self.start, -inf)
        while True:
            due = self.schedule.next(after)
            if due is None or (self.end is not None and due >= self.end):
                return None
            day = self._excluded(due)
            if day is None:
                return due
            midnight = self._midnight(day + timedelta(days=1), due)
            if midnight is None:
                return None
            after = nextafter(midnight, -inf)

    def latest(self, after: float, until: float) -> float | None:
        """Return the last firing in (after, until], or None. It searches backwards."""
        if self.start is not None and after < self.start:
            after = nextafter(self.start, -inf)
        if self.end is not None and until >= self.end:
            until = nextafter(self.end, -inf)
        while until > after:
            due = self.schedule.latest(after, until)
            if due is None:
                return None
            day = self._excluded(due)
            if day is None:
                return due
            until = nextafter(min(due, self._midnight(day, -inf) or -inf), -inf)
        return None

    def _excluded(self, due: float) -> date | None:
        """Return the day of an instant where it is excluded."""
        if self.exclude is None:
            return None
        day = datetime.fromtimestamp(due, zone(self.timezone).tz).date()
        return day if self.exclude.excludes(day) else None

    def _midnight(self, day: date, after: float) -> float | None:
        """Return when a day begins, later than `after`; None at the end of time."""
        midnights = (datetime(day.year, day.month, day.day, tzinfo=zone(self.timezone).tz, fold=n) for n in (0, 1))
        try:
            return next((moment for midnight in midnights if (moment := midnight.timestamp()) > after), None)
        except (OverflowError, ValueError):
            return None

    def __str__(self) -> str:
        return "".join([str(self.schedule), *self._bounds()])

    def _bounds(self) -> Iterator[str]:
        if self.start is not None:
            yield f" from {datetime.fromtimestamp(self.start, UTC).isoformat()}"
        if self.end is not None:
            yield f" until {datetime.fromtimestamp(self.end, UTC).isoformat()}"
        if self.exclude is not None:
            yield f" except {self.exclude}" + ("" if self.timezone == "UTC" else f" in {self.timezone}")


def timetable(schedule: Schedule, *, timezone: str = "UTC", **options: Unpack[TimetableOptions]) -> Schedule:
    """Return a schedule, one of your own too, with the keywords that `cron`, `every` and `at` take.

    Raises `ScheduleError` where a keyword makes no sense, or where nothing is left that fires. A calendar that raises
    an error when it is asked is no such case: that error is told when the schedule is to fire.
    """
    _check_schedule(schedule)
    zone(timezone)  # names one that is not there
    if not options:
        return schedule
    if isinstance(schedule, Timetable):
        raise ScheduleError(f"{schedule} has its keywords already; give all of them at once")
    known = TimetableOptions.__annotations__
    for name in options:
        if name not in known:
            raise ScheduleError(f"{schedule} has no option {name!r}{did_you_mean(name, {*known, 'timezone'})}")
    start, end = (_bound(schedule, name, options, timezone) for name in ("start", "end"))
    excluded = options.get("exclude")
    made = Timetable(
        schedule, timezone, start, end, None if excluded is None else calendar(excluded), _manner(schedule, options)
    )
    if _empty(made):
        raise ScheduleError(
            f"{made} never fires: start=, end= and exclude= leave nothing of it; widen them, or leave one out"
        )
    return made


def _check_schedule(schedule: object) -> None:
    if isinstance(schedule, type) or not all(callable(getattr(schedule, name, None)) for name in ("next", "latest")):
        raise ScheduleError(
            f"{schedule!r} is no schedule; write cron(...), every(...) or at(...), or a class with next() and latest()"
        )


def _empty(made: Schedule) -> bool:
    """Say whether nothing fires, as far as a calendar or a schedule of the user's can say so now."""
    try:
        return made.next(-inf) is None
    except Exception:  # it is asked again, and complained of, when it is due
        return False


def manner(schedule: Schedule) -> Manner:
    """Return how a schedule is fired."""
    return schedule.manner if isinstance(schedule, Timetable) else AS_USUAL


def timezone_of(schedule: Schedule) -> str:
    """Return the time zone that a schedule is read in; UTC where it has none."""
    return str(getattr(schedule, "timezone", "UTC"))


def instant(what: str, moment: object, timezone: str) -> float:
    """Return the Unix time of a datetime or an ISO 8601 text; one without an offset is read in a time zone.

    Raises `ScheduleError` where it cannot be read, or the clocks skip it. Of a time that occurs twice the first is
    meant, unless the datetime says `fold=1`.
    """
    tz = zone(timezone).tz
    try:
        parsed = datetime.fromisoformat(moment.strip()) if isinstance(moment, str) else moment
        if not isinstance(parsed, datetime):
            raise TypeError(f"it is a {type(moment).__name__}")
        local = parsed if parsed.utcoffset() is not None else parsed.replace(tzinfo=tz)
        found = local.astimezone(UTC)
        exists = found.astimezone(local.tzinfo).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError) as error:
        raise ScheduleError(f"{what} '{moment}': {error}; write e.g. '2026-12-01T03:00:00'") from error
    if exists != local.replace(tzinfo=None):
        raise ScheduleError(
            f"{what} '{moment}': the clocks of {local.tzinfo} skip this time; write '{exists.isoformat()}' or another"
        )
    return found.timestamp()


def _bound(schedule: Schedule, name: Literal["start", "end"], options: TimetableOptions, timezone: str) -> float | None:
    moment = options.get(name)
    return None if moment is None else instant(f"{schedule}: {name}", moment, timezone)


def _manner(schedule: Schedule, options: TimetableOptions) -> Manner:
    missed = options.get("missed", "latest")
    if missed not in get_args(Missed):
        known = "'latest', 'all' or 'skip'"
        raise ScheduleError(f"{schedule}: missed={missed!r} is none of {known}")
    most, within = options.get("missed_most"), options.get("missed_within")
    if most is not None and missed != "all":
        raise ScheduleError(
            f"{schedule}: missed_most={most!r} bounds what missed='all' fires; missed={missed!r} has no use for it"
        )
    if most is not None and not (type(most) is int and most > 0):
        raise ScheduleError(f"{schedule}: missed_most={most!r} is no number of instants; write e.g. missed_most=10")
    if within is not None and missed == "skip":
        raise ScheduleError(
            f"{schedule}: missed_within={within!r} is of no use with missed='skip', which fires nothing late"
        )
    return Manner(
        jitter=_seconds(schedule, "jitter", options.get("jitter")) or 0.0,
        missed=missed,
        most=MOST if most is None else most,
        within=_seconds(schedule, "missed_within", within),
    )


def _seconds(schedule: Schedule, name: str, value: Any) -> float | None:
    return None if value is None else seconds(str(schedule), name, value, error=ScheduleError)

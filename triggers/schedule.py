"""Schedules: pure functions from one moment to the next.

`cron`, `every` and `at` make frozen values that answer three questions about Unix times (seconds since 1970, UTC):
what is the `next` firing, what was the `latest`, and which `firings` lie between two moments. They know no clock.
Firings lie on whole seconds (of an `At`: wherever it was set) in the years 1970 to 2199, EventBridge's range.

Clocks that change follow the documented rule of EventBridge Scheduler ("Schedule types", daylight savings time), in
every place an app runs: a wall time that does not exist is skipped, one that occurs twice fires once. See `Cron`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from itertools import pairwise
from math import floor
from typing import NamedTuple, Protocol, runtime_checkable

from triggers.errors import ScheduleError, did_you_mean

_DAY = 86_400
_NEW_YEARS = tuple((date(year, 1, 1) - date(1970, 1, 1)).days for year in range(1970, 2201))  # in days since 1970
_END = (_NEW_YEARS[-1] + 1) * _DAY  # 2199 ends up to a day later where the clocks are behind UTC


@runtime_checkable
class Schedule(Protocol):
    """What has firings: `Cron`, `Every`, `At`, or a class of your own with `next` and `latest`.

    Times are Unix seconds. `str()` of a schedule is its canonical text, the same for equal schedules.
    """

    def next(self, after: float) -> float | None:
        """Return the first firing strictly after `after`, or None when there is none."""

    def latest(self, after: float, until: float) -> float | None:
        """Return the last firing in (after, until], or None. Its cost does not grow with the firings between."""

    def firings(self, after: float, until: float) -> Iterator[float]:
        """Yield every firing in (after, until], in order."""
        due = self.next(after)
        while due is not None and due <= until:
            yield due
            due = self.next(due)


def cron(text: str, *, timezone: str = "UTC") -> Cron:
    """Return the schedule of a cron text in the wall time of an IANA time zone. `ScheduleError` if it is not valid.

    Five fields, as in crontab(5): `minute hour day month weekday`, with `*`, lists, ranges, steps (`*/15`, `0-30/10`,
    `5/10` = from 5 on), JAN-DEC and SUN-SAT; Sunday is 0 or 7. Where both days are restricted (do not begin with `*`)
    either may match; otherwise both must. That is Vixie cron's rule. `@hourly`, `@daily`, `@weekly`, `@monthly`
    and `@yearly` stand for the usual texts.

    Six fields, as in EventBridge's `cron(minute hour day month weekday year)`: Sunday is 1, Saturday 7, exactly one of
    the two days is `?`. Day also takes `L` (last), `L-2` (two before the last), `15W` (the weekday nearest to the
    15th, in the same month; none in a month without that day) and `LW`; weekday also `L` (Saturday), `6L` (the last
    Friday) and `6#3` (the third Friday). The source is EventBridge's "Cron expressions reference".
    """
    return Cron(text, timezone)


def every(*, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0, weeks: float = 0) -> Every:
    """Return a schedule of a fixed interval, the sum of the arguments. `ScheduleError` unless it is 1, 2, 3.. seconds.

    The interval is elapsed time and its firings are aligned to the Unix epoch, 1970-01-01T00:00Z: `every(minutes=5)`
    fires at :00, :05 and so on, `every(days=1)` at midnight UTC, `every(weeks=1)` on Thursdays. So a restart shifts
    nothing, and all places agree without asking each other. For a wall time, such as 3 in the morning, use `cron`.
    """
    try:
        total = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days, weeks=weeks)
    except (OverflowError, ValueError) as error:
        raise ScheduleError(f"every: the interval cannot be counted ({error}); write e.g. every(minutes=5)") from error
    if total.microseconds:
        raise ScheduleError(f"every: {total} is not a whole number of seconds; write e.g. every(seconds=1)")
    return Every(total.days * _DAY + total.seconds)


def at(moment: datetime | str, *, timezone: str = "UTC") -> At:
    """Return a schedule that fires once, at a datetime or ISO 8601 text. `ScheduleError` if there is no such moment.

    One without an offset is read in `timezone`. A wall time that the clocks skip is an error; of one that occurs twice
    the first is meant (a datetime with `fold=1` says the second).
    """
    zone = _zone(timezone).tz
    try:
        parsed = datetime.fromisoformat(moment.strip()) if isinstance(moment, str) else moment
        local = parsed if parsed.utcoffset() is not None else parsed.replace(tzinfo=zone)
        instant = local.astimezone(UTC)
        exists = instant.astimezone(local.tzinfo).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ScheduleError(f"at '{moment}': {error}; write e.g. at('2026-12-01T03:00:00')") from error
    if exists != local.replace(tzinfo=None):
        raise ScheduleError(
            f"at '{moment}': the clocks of {local.tzinfo} skip this time; write '{exists.isoformat()}' or another"
        )
    return At(instant.timestamp())


@dataclass(frozen=True, slots=True)
class At(Schedule):
    """One instant, in Unix seconds. Made by `at`."""

    instant: float

    def next(self, after: float) -> float | None:
        """Return the instant if it is still to come."""
        return self.instant if self.instant > after else None

    def latest(self, after: float, until: float) -> float | None:
        """Return the instant if it lies in (after, until]."""
        return self.instant if after < self.instant <= until else None

    def __str__(self) -> str:
        return f"at({datetime.fromtimestamp(self.instant, UTC).isoformat()})"


@dataclass(frozen=True, slots=True)
class Every(Schedule):
    """A fixed interval of elapsed time in whole seconds, aligned to the Unix epoch. Made by `every`."""

    seconds: int

    def __post_init__(self) -> None:
        if not 1 <= self.seconds < _END:
            raise ScheduleError(
                f"every: {self.seconds} s is not between 1 s and 230 years; write e.g. every(minutes=5)"
            )

    def next(self, after: float) -> float | None:
        """Return the first multiple of the interval strictly after `after`."""
        if after >= _END:
            return None
        due = (floor(after) // self.seconds + 1) * self.seconds if after >= 0 else 0
        return float(due) if due < _END else None

    def latest(self, after: float, until: float) -> float | None:
        """Return the last multiple of the interval in (after, until]."""
        if until < 0:
            return None
        due = floor(min(until, _END - 1)) // self.seconds * self.seconds
        return float(due) if due > after else None

    def __str__(self) -> str:
        text, rest = "", self.seconds
        for unit, size in (("w", 7 * _DAY), ("d", _DAY), ("h", 3600), ("m", 60), ("s", 1)):
            count, rest = divmod(rest, size)
            text += f"{count}{unit}" if count else ""
        return f"every({text})"


@dataclass(frozen=True, slots=True)
class Cron(Schedule):
    """A cron text in the wall time of a time zone. Made by `cron`, which has the syntax.

    When clocks go forward, the wall times that they skip do not fire. When they go back, a stretch of wall time passes
    twice. The second pass fires only if the hour field allows all 24 hours (`*`, `*/1`, `0-23`): such a text means
    "every hour" or "every 15 minutes" and goes on as time does. With any other hour field it means a time of day, and
    fires in the first pass only. `*/2` is such a field too.
    """

    text: str
    timezone: str = "UTC"
    _times: int = field(init=False, repr=False, compare=False)  # bit m: minute m of the day fires
    _days: tuple[int, ...] = field(init=False, repr=False, compare=False)  # per year from 1970, bit d: day d fires
    _once: bool = field(init=False, repr=False, compare=False)
    _zone: _Zone = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.text
        put = object.__setattr__
        put(self, "text", _canonical(given))
        put(self, "_zone", _zone(self.timezone))
        minutes, hours, *calendar = self.text.split(" ")
        try:
            minute_mask, hour_mask = _MINUTE.parse(minutes), _HOUR.parse(hours)
            put(self, "_days", _calendar(*calendar))
        except ScheduleError as error:
            raise ScheduleError(f"cron {given!r}: {error}") from None  # a field does not know the text it stands in
        put(self, "_times", sum(minute_mask << 60 * hour for hour in range(24) if hour_mask >> hour & 1))
        put(self, "_once", hour_mask != _HOUR.parse("*"))
        if self.next(-1) is None:
            raise ScheduleError(f"cron {given!r} never fires: no such time in {self.timezone} from 1970 to 2199")

    def __reduce__(self) -> tuple[type[Cron], tuple[str, str]]:
        return Cron, (self.text, self.timezone)

    def __str__(self) -> str:
        return f"cron({self.text}, {self.timezone})"

    def next(self, after: float) -> float | None:
        """Return the first firing strictly after `after`, or None: no more until the end of 2199."""
        if after >= _END:
            return None
        moment = floor(after) + 1 if after >= 0 else 0
        while True:
            _, end, offset, unseen = self._zone.span(moment)
            wall = max(moment + offset, unseen) if self._once else moment + offset
            minute = self._ahead(-(-wall // 60))
            if minute is not None and (due := minute * 60 - offset) < end:
                return float(due)
            # Clocks change by less than 2 days and are less than 1 day off UTC: nothing fires before this.
            later = self._ahead((end + offset - 2 * _DAY) // 60)
            if later is None:
                return None
            moment = max(end, later * 60 - _DAY)

    def latest(self, after: float, until: float) -> float | None:
        """Return the last firing in (after, until], or None. It searches backwards, so a long gap costs nothing."""
        moment = floor(min(until, _END)) if until >= 0 else -1
        while moment >= 0 and moment > after:
            start, _, offset, unseen = self._zone.span(moment)
            minute = self._back((moment + offset) // 60)
            if minute is not None and minute * 60 >= (unseen if self._once else start + offset):
                due = minute * 60 - offset
                return float(due) if due > after else None
            earlier = self._back((start + offset + 2 * _DAY) // 60)
            if earlier is None:
                return None
            moment = min(start - 1, earlier * 60 + _DAY)
        return None

    def _ahead(self, minute: int) -> int | None:
        """Return the first wall minute (counted from 1970) at or after `minute` that matches."""
        day, time = divmod(max(minute, 0), 1440)
        if day >= _NEW_YEARS[-1]:
            return None
        year = bisect_right(_NEW_YEARS, day) - 1
        days = self._days[year] >> (day - _NEW_YEARS[year])
        if days & 1 and (times := self._times >> time):
            return day * 1440 + time + _lowest(times)
        days &= -2  # what is left lies after this day
        while not days:
            year += 1
            if year == len(self._days):
                return None
            day = _NEW_YEARS[year]
            days = self._days[year]
        return (day + _lowest(days)) * 1440 + _lowest(self._times)

    def _back(self, minute: int) -> int | None:
        """Return the last wall minute (counted from 1970) at or before `minute` that matches."""
        if minute < 0:
            return None
        day, time = divmod(min(minute, _NEW_YEARS[-1] * 1440 - 1), 1440)
        year = bisect_right(_NEW_YEARS, day) - 1
        nth = day - _NEW_YEARS[year]
        days = self._days[year] & ((2 << nth) - 1)
        if days >> nth and (times := self._times & ((2 << time) - 1)):
            return day * 1440 + times.bit_length() - 1
        days &= (1 << nth) - 1  # what is left lies before this day
        while not days:
            year -= 1
            if year < 0:
                return None
            days = self._days[year]
        return (_NEW_YEARS[year] + days.bit_length() - 1) * 1440 + self._times.bit_length() - 1


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


# --- Time zones ------------------------------------------------------------------------------------------------------

_PROBE = 18  # 2**18 s = 3 days; no zone since 1970 (tzdata 2026) kept an offset for less than 6.9 days
_BLOCK = 22  # 2**22 s = 48 days are surveyed at a time


class _Span(NamedTuple):
    start: int  # Unix seconds; the offset holds from here
    end: int  # to before here
    offset: int  # seconds to add for wall time
    unseen: int  # wall seconds; earlier ones in this span occurred before it as well


class _Zone:
    """A time zone as stretches of constant offset: zoneinfo tells offsets, but not when they change."""

    def __init__(self, tz: tzinfo) -> None:
        self.tz = tz
        self._blocks: dict[int, list[_Span]] = {}

    def span(self, moment: int) -> _Span:
        """Return the stretch that a Unix time lies in. A change may be hidden in it only if it changes nothing."""
        block = moment >> _BLOCK
        spans = self._blocks.get(block)
        if spans is None:
            spans = self._blocks[block] = self._survey(block << _BLOCK)
        for span in spans:
            if moment < span.end:
                break
        return span

    def _survey(self, start: int) -> list[_Span]:
        end = start + (1 << _BLOCK)
        edges = [start]
        for left, right in pairwise(range(start, end + 1, 1 << _PROBE)):
            if self._offset(left) != self._offset(right):
                edges.append(self._change(left, right))
        return [
            _Span(left, right, self._offset(left), left + max(self._offset(left), self._offset(left - 1)))
            for left, right in pairwise([*edges, end])
        ]

    def _change(self, left: int, right: int) -> int:
        old = self._offset(left)
        return left + bisect_left(range(left, right), True, key=lambda moment: self._offset(moment) != old)

    def _offset(self, moment: int) -> int:
        offset = datetime.fromtimestamp(moment, self.tz).utcoffset() or timedelta()
        return offset.days * _DAY + offset.seconds


@cache
def _zone(name: str) -> _Zone:
    if name == "UTC":
        return _Zone(UTC)  # works on a machine without time zone data
    from zoneinfo import ZoneInfo, available_timezones  # an app without zones need not pay for it

    try:
        return _Zone(ZoneInfo(name))
    except (LookupError, ValueError, OSError) as error:
        known = available_timezones()
        hint = did_you_mean(name, known) if known else "; this machine has no time zone data, install tzdata"
        if len(hint) > 100:  # no near miss, so all 600 names
            hint = "; write an IANA name, such as Europe/Berlin"
        raise ScheduleError(f"no time zone named {name!r}{hint}") from error


# --- Cron texts ------------------------------------------------------------------------------------------------------

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WEEKS = sum(1 << 7 * week for week in range(6))  # repeats a week of bits for longer than a month
_SUNDAY, _SATURDAY = 0, 6
_STEP = "; for an interval of elapsed time write every()"

# Which days of a month fire, as bits from the 1st on: (length of the month, weekday of the 1st) -> mask.
_Rule = Callable[[int, int], int]


class _Field(NamedTuple):
    """One field of a cron text: what may stand in it."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    most: int = 0  # crontab's weekday 7, which is Sunday again

    def parse(self, text: str) -> int:
        """Return the values that match, as bits. `ScheduleError` names the field, the value and what is allowed."""
        mask = 0
        for part in text.split(","):
            span, stepped, step = part.partition("/")
            first, ranged, last = span.partition("-")
            if span == "*":
                low, high = self.low, self.high
            else:
                low = self.value(first)
                high = self.value(last) if ranged else self.high if stepped else low
            if high == _SUNDAY < low and self.most:
                high = self.most
            if low > high:
                raise ScheduleError(f"{self.name} {span} runs backwards; write {first}-{self.high},{self.low}-{last}")
            by = _number(f"{self.name} step", step, 1, self.high - self.low + 1, _STEP) if stepped else 1
            mask |= sum(1 << value for value in range(low, high + 1, by))
        return mask

    def value(self, text: str) -> int:
        """Return one number or name as a number."""
        if text in self.names:
            return self.names.index(text) + self.low
        names = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return _number(self.name, text, self.low, self.most or self.high, names)


def _number(name: str, text: str, low: int, high: int, more: str = "") -> int:
    if text.isascii() and text.isdigit() and len(text) < 5 and low <= int(text) <= high:
        return int(text)
    raise ScheduleError(f"{name} {text or '(empty)'} is not in {low}-{high}{more}")


_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY_OF_MONTH = _Field("day", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("weekday", 0, 6, _WEEKDAYS, most=7)
_AWS_WEEKDAY = _Field("weekday", 1, 7, _WEEKDAYS)
_YEAR = _Field("year", 1970, 2199)


def _canonical(given: str) -> str:
    text = " ".join(given.split())
    text = _MACROS.get(text.lower(), text).upper()
    if text.startswith("CRON(") and text.endswith(")"):  # as AWS prints it
        text = text[5:-1].strip()
    count = len(text.split())
    if count not in (5, 6):
        form = "; write 5 (minute hour day month weekday) or EventBridge's 6 (and year)"
        hint = did_you_mean(given, _MACROS) if text.startswith("@") else form
        raise ScheduleError(f"cron {given!r} has the wrong number of fields, {count}{hint}")
    return text


@lru_cache(maxsize=1024)
def _calendar(day: str, month: str, weekday: str, year: str = "") -> tuple[int, ...]:
    """Return for each year from 1970 to 2199 which of its days fire, as bits from 1 January on."""
    rule = _aws_days(day, weekday) if year else _crontab_days(day, weekday)
    months = _MONTH.parse(month)
    years = _YEAR.parse(year or "*")
    kinds: dict[tuple[bool, int], int] = {}  # there are only 14 kinds of year
    calendar = []
    for number, (start, end) in enumerate(pairwise(_NEW_YEARS), 1970):
        kind = (end - start == 366, (start + 4) % 7)  # 1970 began on a Thursday
        if kind not in kinds:
            kinds[kind] = _year_days(rule, months, *kind)
        calendar.append(kinds[kind] if years >> number & 1 else 0)
    return tuple(calendar)


def _year_days(rule: _Rule, months: int, leap: bool, weekday: int) -> int:
    days = start = 0
    for month, usual in enumerate(_MONTH_LENGTHS, 1):
        length = usual + (leap and month == 2)
        if months >> month & 1:
            days |= (rule(length, (weekday + start) % 7) & (1 << length) - 1) << start
        start += length
    return days


def _crontab_days(day: str, weekday: str) -> _Rule:
    if set(day) & set("?LW") or set(weekday) & set("?L#"):
        raise ScheduleError(f"day {day}, weekday {weekday}: ? L W # need the form with a sixth field, the year")
    numbers = _DAY_OF_MONTH.parse(day) >> 1
    mask = _WEEKDAY.parse(weekday)
    weekdays = _on_weekdays(mask | mask >> 7)
    if day.startswith("*") or weekday.startswith("*"):
        return lambda length, first: numbers & weekdays(length, first)
    return lambda length, first: numbers | weekdays(length, first)


def _aws_days(day: str, weekday: str) -> _Rule:
    if (day == "?") == (weekday == "?"):
        raise ScheduleError(f"day {day} and weekday {weekday}: exactly one of the two must be ?")
    return _aws_day(day) if weekday == "?" else _aws_weekday(weekday)


def _aws_day(text: str) -> _Rule:
    if text == "LW":
        return lambda length, first: _nearest_weekday(length, length, first)
    if text.startswith("L"):
        back = 0 if text == "L" else _number("day L-", text.removeprefix("L-"), 1, 30)
        return lambda length, first: 1 << length >> back + 1
    if text.endswith("W"):
        day = _DAY_OF_MONTH.value(text[:-1])
        return lambda length, first: _nearest_weekday(day, length, first)
    numbers = _DAY_OF_MONTH.parse(text) >> 1
    return lambda length, first: numbers


def _aws_weekday(text: str) -> _Rule:
    if text == "L":
        return _on_weekdays(1 << _SATURDAY)
    name, hashed, nth = text.partition("#")
    if hashed:
        weekday = _AWS_WEEKDAY.value(name) - 1
        week = _number(f"weekday {name}#", nth, 1, 5) - 1
        return lambda length, first: 1 << (weekday - first) % 7 + 7 * week
    if text.endswith("L"):
        weekday = _AWS_WEEKDAY.value(text[:-1]) - 1
        return lambda length, first: 1 << length - 1 - (first + length - 1 - weekday) % 7
    return _on_weekdays(_AWS_WEEKDAY.parse(text) >> 1)


def _on_weekdays(mask: int) -> _Rule:
    pattern = (mask & 0b1111111) * _WEEKS
    return lambda length, first: pattern >> first


def _nearest_weekday(day: int, length: int, first: int) -> int:
    if day > length:
        return 0
    weekday = (first + day - 1) % 7
    if weekday == _SATURDAY:
        day += 2 if day == 1 else -1
    elif weekday == _SUNDAY:
        day += -2 if day == length else 1
    return 1 << day - 1


__all__ = ["At", "Cron", "Every", "Schedule", "at", "cron", "every"]

"""Cron texts: from the fields of a text to the minutes of a day and the days of every year that they mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from triggers.errors import ScheduleError, did_you_mean
from triggers.schedule.instants import NEW_YEARS

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


class Field(NamedTuple):
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
            elif ranged and not (first and last):
                low = high = self.value(span)  # which it has not, and says so
            else:
                low = self.value(first)
                high = self.value(last) if ranged else max(self.high, low) if stepped else low
            if high == _SUNDAY < low and self.most:
                high = self.most
            if low > high:
                raise ScheduleError(
                    f"{self.name} {span} runs backwards; write {first}-{max(self.high, low)},{self.low}-{last}"
                )
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
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_MONTH = Field("day", 1, 31)
MONTH = Field("month", 1, 12, _MONTHS)
WEEKDAY = Field("weekday", 0, 6, _WEEKDAYS, most=7)
_AWS_WEEKDAY = Field("weekday", 1, 7, _WEEKDAYS)
_YEAR = Field("year", 1970, 2199)


def canonical(given: str) -> str:
    """Return a cron text in its one form: upper case, single blanks, macros and AWS's brackets resolved."""
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
def days_of_years(day: str, month: str, weekday: str, year: str = "") -> tuple[int, ...]:
    """Return for each year from 1970 to 2199 which of its days fire, as bits from 1 January on."""
    rule = _aws_days(day, weekday) if year else _crontab_days(day, weekday)
    months = MONTH.parse(month)
    years = _YEAR.parse(year or "*")
    kinds: dict[tuple[bool, int], int] = {}  # there are only 14 kinds of year
    calendar = []
    for number, (start, end) in enumerate(pairwise(NEW_YEARS), 1970):
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
    numbers = DAY_OF_MONTH.parse(day) >> 1
    mask = WEEKDAY.parse(weekday)
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
        day = DAY_OF_MONTH.value(text[:-1])
        return lambda length, first: _nearest_weekday(day, length, first)
    numbers = DAY_OF_MONTH.parse(text) >> 1
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

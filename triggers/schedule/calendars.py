"""Calendars: the days on which a schedule does not fire."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from inspect import isroutine

from triggers.errors import ScheduleError

Excluded = Iterable[date | str] | Callable[[date], bool]
"""What `exclude=` takes: dates (`date(2026, 12, 25)` or `"2026-12-25"`) and weekdays (`"SAT"`), or a function of a date
that says whether it is excluded."""

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
EXAMPLE = "write e.g. exclude={'SAT', 'SUN', '2026-12-25'}, or a function of a date"


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days that are excluded. Its text is canonical, the same for equal calendars.

    Of a rule only the name can be told: who changes what it answers and wants the schedule to begin anew, renames it.
    """

    weekdays: frozenset[int] = frozenset()
    """0 is Monday."""
    dates: frozenset[date] = frozenset()
    rule: Callable[[date], bool] | None = None

    def excludes(self, day: date) -> bool:
        """Say whether nothing fires on a day."""
        return day.weekday() in self.weekdays or day in self.dates or (self.rule is not None and bool(self.rule(day)))

    def __str__(self) -> str:
        if self.rule is not None:
            return _name(self.rule)
        return ",".join([*(WEEKDAYS[n] for n in sorted(self.weekdays)), *(str(day) for day in sorted(self.dates))])


def calendar(excluded: Excluded) -> Calendar | None:
    """Return the calendar that `exclude=` describes, or None for no days; raises `ScheduleError` for what is no day."""
    if callable(excluded):
        if " at 0x" in _name(excluded):
            raise ScheduleError(f"exclude={excluded!r} has no text that outlives a restart; give its class a __repr__")
        return Calendar(rule=excluded)
    if isinstance(excluded, str) or not isinstance(excluded, Iterable):
        raise ScheduleError(f"exclude={excluded!r} is no set of days; {EXAMPLE}")
    weekdays, dates = set(), set()
    for item in excluded:
        if isinstance(item, str) and item.upper() in WEEKDAYS:
            weekdays.add(WEEKDAYS.index(item.upper()))
        else:
            dates.add(_date(item))
    return Calendar(frozenset(weekdays), frozenset(dates)) if weekdays or dates else None


def _date(item: object) -> date:
    try:
        day = date.fromisoformat(item) if isinstance(item, str) else item
    except ValueError:
        day = None
    if not isinstance(day, date) or isinstance(day, datetime):
        raise ScheduleError(f"exclude= holds {item!r}, which is no day; {EXAMPLE}")
    return day


def _name(rule: Callable[[date], bool]) -> str:
    """Return what a rule is called: a function by its name, anything else by its own `repr`."""
    return f"{rule.__module__}.{rule.__qualname__}" if isroutine(rule) else repr(rule)

"""Windows: the hours in which work may run, by the clock on the wall of a time zone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, floor, inf
from pathlib import Path
from typing import NamedTuple

from triggers.errors import ScheduleError
from triggers.schedule.calendars import WEEKDAYS, Calendar, calendar
from triggers.schedule.instants import DAY
from triggers.schedule.zones import zone

Days = Iterable[date | str] | Path
"""Dates (`date(2026, 12, 25)`, `"2026-12-25"`) and weekdays (`"SAT"`), or a file with one of them in each line."""

EXAMPLE = "write e.g. 'Mon-Fri 22:00-06:00 Europe/Berlin'"
_DAY = r"(?:[A-Za-z]{3}|\d+-\d+-\d+)"
_TEXT = re.compile(
    r"(?:(?P<days>[A-Za-z]{3}(?:[,-][A-Za-z]{3})*) )?(?P<start>\d\d?:\d\d)-(?P<end>\d\d?:\d\d)"
    r"(?: (?!except |and )(?P<zone>\S+))?"
    rf"(?: except (?P<exclude>{_DAY}(?:,{_DAY})*))?(?: and (?P<include>{_DAY}(?:,{_DAY})*))?"
)
_EPOCH = date(1970, 1, 1)
_NONE = Calendar()
_REACHES = (8 * DAY, 64 * DAY, 512 * DAY)
"""How far is looked ahead, step by step. A year and more, for holidays may join what is apart all year."""


class Interval(NamedTuple):
    """A stretch of time, from its start to before its end, in Unix seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of one text: on which days they begin, when, and when they end, in seconds of the wall's day."""

    days: frozenset[int]
    start: int
    end: int
    """More than a day where it is on the day after."""
    timezone: str
    exclude: Calendar = _NONE
    include: Calendar = _NONE

    def between(self, after: float, until: float) -> Iterator[Interval]:
        """Yield when it is open between two moments, neither in order nor merged."""
        moment, stop = floor(after), ceil(until)
        while moment < stop:
            span = zone(self.timezone).span(moment)
            first, last = moment + span.offset, min(span.end, stop) + span.offset
            for day in range(first // DAY - 1, last // DAY + 1):
                for opens, closes in self._of(day):
                    if max(opens, first) < min(closes, last):
                        yield Interval(max(opens, first) - span.offset, min(closes, last) - span.offset)
            moment = span.end

    def _of(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield what begins on a day, counted from 1970, in seconds of the wall."""
        day, midnight = _EPOCH + timedelta(days=number), number * DAY
        if self.include.excludes(day):
            yield midnight, midnight + DAY
        if day.weekday() in self.days and not self.exclude.excludes(day):
            yield midnight + self.start, midnight + self.end

    @property
    def last(self) -> float:
        """Return a moment after which it does not open any more; infinite where it opens week by week."""
        if not self.days <= self.exclude.weekdays or self.include.weekdays:
            return inf
        return max(((day - _EPOCH).days + 2) * DAY for day in self.include.dates)  # in any time zone

    def __str__(self) -> str:
        days = "" if len(self.days) == len(WEEKDAYS) else ",".join(WEEKDAYS[n].title() for n in sorted(self.days)) + " "
        text = f"{days}{_clock(self.start)}-{_clock(self.end if self.end == DAY else self.end % DAY)} {self.timezone}"
        text += f" except {self.exclude}" if self.exclude != _NONE else ""
        return text + (f" and {self.include}" if self.include != _NONE else "")


@dataclass(frozen=True, slots=True, init=False)
class Window:
    """The hours in which work may run: `Window("Mon-Fri 22:00-06:00 Europe/Berlin", "Sat,Sun 08:00-20:00 UTC")`.

    A text names days (all, if none), hours, and a time zone (UTC, if none). It is open whenever the clock on the wall
    there shows a time within the hours; the end does not belong to them. Hours that go on past midnight belong to the
    day on which they begin. So an hour that the clocks skip is no time at all, and one that they go through twice is
    open twice. Several texts, also in one with `;` between them, are open when any of them is.

    `exclude` are days on which it does not open (what has opened on the evening before goes on), `include` days that
    are open from midnight to midnight, whatever else is said of them. Raises `ScheduleError` where a text is none, or
    where it never opens.
    """

    parts: tuple[Hours, ...]

    def __init__(self, *texts: str, exclude: Days = (), include: Days = ()) -> None:
        if not texts:
            raise ScheduleError(f"Window() has no hours; {EXAMPLE}")
        texts = tuple(one for text in texts for one in _split(text))
        excluded, included = _listed("exclude", exclude), _listed("include", include)
        object.__setattr__(self, "parts", tuple(_hours(text, excluded, included) for text in texts))

    @classmethod
    def union(cls, windows: Sequence[Window]) -> Window:
        """Return the window that is open when any of them is."""
        return cls(*map(str, windows))

    def contains(self, moment: float) -> bool:
        """Say whether it is open."""
        return any(one.start <= moment < one.end for one in self._between(moment, moment + 1))

    def intervals(self, after: float, until: float) -> Iterator[Interval]:
        """Yield when it is open between two moments, in order; what touches is one."""
        start = end = None
        for one in sorted(self._between(after, until)):
            if end is not None and one.start > end:
                yield Interval(start or 0.0, end)
                start = end = None
            start = max(one.start, after) if start is None else start
            end = min(max(one.end, end or one.end), until)
        if start is not None and end is not None:
            yield Interval(start, end)

    def next(self, moment: float) -> Interval | None:
        """Return when it is open from that moment on: what is left of this opening, or the next one.

        None where it does not open any more: the last of the days that it has instead of a week is over.
        """
        last = max(part.last for part in self.parts)
        while moment < last:
            if found := self.fits(moment, 0.0):
                return found
            moment += _REACHES[-1]  # all days of a year and more are excluded
        return None

    def fits(self, moment: float, seconds: float) -> Interval | None:
        """Return when it is open next for so many seconds at a stretch, or None where it is not within a year."""
        for reach in _REACHES:
            for one in self.intervals(moment, moment + reach):
                if one.end - one.start >= seconds and (one.end < moment + reach or reach == _REACHES[-1]):
                    return one
        return None

    def _between(self, after: float, until: float) -> Iterator[Interval]:
        for part in self.parts:
            yield from part.between(after, until)

    def __str__(self) -> str:
        return "; ".join(map(str, self.parts))

    def __repr__(self) -> str:
        return f"Window({str(self)!r})"


def _split(text: object) -> list[str]:
    if not isinstance(text, str):
        raise ScheduleError(f"window {text!r} is no text; {EXAMPLE}")
    return [" ".join(one.split()) for one in text.split(";")]


def _hours(text: str, exclude: Sequence[date | str], include: Sequence[date | str]) -> Hours:
    found = _TEXT.fullmatch(text)
    if not found:
        raise ScheduleError(f"window {text!r} cannot be read; {EXAMPLE}")
    start, end = (_seconds(text, found[name]) for name in ("start", "end"))
    if start == end:
        raise ScheduleError(f"window {text!r} never opens: it ends when it begins; write 00:00-24:00 for a whole day")
    made = Hours(
        days=_weekdays(text, found["days"]),
        start=start,
        end=end if end > start else end + DAY,
        timezone=found["zone"] or "UTC",
        exclude=calendar([*exclude, *_words(found["exclude"])]) or _NONE,
        include=calendar([*include, *_words(found["include"])]) or _NONE,
    )
    zone(made.timezone)  # names one that is not there
    if made.days <= made.exclude.weekdays and made.include == _NONE:
        raise ScheduleError(f"window '{made}' never opens: exclude= holds all its days; leave some of them out")
    return made


def _weekdays(text: str, days: str | None) -> frozenset[int]:
    """Return the numbers of `Mon-Fri,Sun`, Monday being 0; a range may go on past Sunday."""
    found: set[int] = set()
    for part in days.split(",") if days else ["MON-SUN"]:
        names = part.upper().split("-")
        if len(names) > 2 or not all(name in WEEKDAYS for name in names):
            raise ScheduleError(f"window {text!r}: {part!r} is no day of the week, nor a range of them; {EXAMPLE}")
        first, last = WEEKDAYS.index(names[0]), WEEKDAYS.index(names[-1])
        found.update((first + n) % len(WEEKDAYS) for n in range((last - first) % len(WEEKDAYS) + 1))
    return frozenset(found)


def _seconds(text: str, clock: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ScheduleError(f"window {text!r}: {clock!r} is no time of the day; {EXAMPLE}")
    return hours * 3600 + minutes * 60


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"


def _words(text: str | None) -> list[str]:
    return text.split(",") if text else []


def _listed(option: str, days: Days) -> list[date | str]:
    """Return the days of `exclude=` or `include=`; those of a file stand in lines, with `#` before what is a remark."""
    if isinstance(days, Path):
        try:
            lines = [line.partition("#")[0].strip() for line in days.read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ScheduleError(f"window: {option}={str(days)!r} cannot be read: {error}") from error
        return [line for line in lines if line]
    if isinstance(days, str) or not isinstance(days, Iterable):
        raise ScheduleError(f"window: {option}={days!r} is no set of days; write e.g. {option}={{'2026-12-25'}}")
    return list(days)


def window(value: object) -> Window:
    """Return what `window=` says: a text, a `Window`, or several of them; raises `ScheduleError`."""
    if isinstance(value, Window):
        return value
    if isinstance(value, str) or not isinstance(value, Iterable):
        return Window(value)  # type: ignore[arg-type]  # which refuses what is no text
    return Window.union([window(one) for one in value])

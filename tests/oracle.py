"""A second reading of cron that shares nothing with the first: it walks through time minute by minute and asks zoneinfo
what a clock on the wall shows. `python -m benchmarks daylight` holds every zone that changes its clocks against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

ALL_DAY = frozenset(range(24))
FIRST, LAST = 2020, 2030
"""The ten years that are looked at, the last one exclusive."""


@dataclass(frozen=True)
class Spec:
    """What a five-field text means, as sets. `star_day`, `star_weekday`: the field begins with `*`."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 = Sunday
    star_day: bool
    star_weekday: bool

    def fires(self, local: Local) -> bool:
        minute, hour, day, month, weekday, second_pass = local
        if minute not in self.minutes or hour not in self.hours or month not in self.months:
            return False
        if second_pass and self.hours != ALL_DAY:
            return False
        if self.star_day or self.star_weekday:
            return day in self.days and weekday in self.weekdays
        return day in self.days or weekday in self.weekdays


Local = tuple[int, int, int, int, int, int]


@cache
def walk(zone: str, start: int, end: int, step: int = 60) -> tuple[tuple[int, Local], ...]:
    """Every step of a stretch of time, and what a clock on the wall shows there."""
    tz, found = ZoneInfo(zone), []
    for moment in range(start, end, step):
        local = datetime.fromtimestamp(moment, tz)
        shown = (local.minute, local.hour, local.day, local.month, local.isoweekday() % 7, local.fold)
        found.append((moment, shown))
    return tuple(found)


@cache
def changes(zone: str, first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Two days before to two days after each change of the clocks, as Unix seconds."""
    tz = ZoneInfo(zone)
    days = range(
        int(datetime(first, 1, 1, tzinfo=UTC).timestamp()), int(datetime(last, 1, 1, tzinfo=UTC).timestamp()), 86400
    )
    offsets = [datetime.fromtimestamp(day, tz).utcoffset() for day in days]
    return tuple(
        (day - 86400, day + 3 * 86400) for day, (old, new) in zip(days, pairwise(offsets), strict=False) if old != new
    )


EVERY = frozenset(range(60))
COMMON = [
    Spec("* * * * *", EVERY, ALL_DAY, EVERY, EVERY, EVERY, True, True),
    Spec("*/15 * * * *", frozenset({0, 15, 30, 45}), ALL_DAY, EVERY, EVERY, EVERY, True, True),
    Spec("0 3 * * *", frozenset({0}), frozenset({3}), EVERY, EVERY, EVERY, True, True),
    Spec("30 2 * * *", frozenset({30}), frozenset({2}), EVERY, EVERY, EVERY, True, True),
    Spec("15,45 0-2,23 * * *", frozenset({15, 45}), frozenset({0, 1, 2, 23}), EVERY, EVERY, EVERY, True, True),
    Spec("0 */2 * * *", frozenset({0}), frozenset(range(0, 24, 2)), EVERY, EVERY, EVERY, True, True),
    Spec("5 0 1,15 * SUN", frozenset({5}), frozenset({0}), frozenset({1, 15}), EVERY, frozenset({0}), False, False),
    Spec(
        "0 * * 3,4,10 FRI-SUN", frozenset({0}), ALL_DAY, EVERY, frozenset({3, 4, 10}), frozenset({5, 6, 0}), True, False
    ),
]


def expected(spec: Spec, zone: str, start: int, end: int, step: int = 60) -> list[float]:
    """Return when a text fires in [start, end)."""
    return [float(moment) for moment, local in walk(zone, start, end, step) if spec.fires(local)]


def changing_zones(names: Iterable[str] | None = None) -> Iterator[str]:
    """Yield the time zones, of all or of these, whose clocks change in the ten years."""
    for name in sorted(available_timezones() if names is None else names):
        if name not in ("localtime", "posixrules") and changes(name, FIRST, LAST):
            yield name


def at_a_change(zone: str, start: int, end: int) -> Iterator[Spec]:
    """Yield texts made for the change in [start, end): wall times in and around what is skipped or twice."""
    tz = ZoneInfo(zone)
    for before, after in pairwise(range(start, end, 900)):
        if datetime.fromtimestamp(before, tz).utcoffset() == datetime.fromtimestamp(after, tz).utcoffset():
            continue
        for moment in (after - 4500, after - 900, after, after + 1800, after + 4500):
            local = datetime.fromtimestamp(moment, tz)
            for hour in {local.hour, (local.hour + 1) % 24, (local.hour - 1) % 24}:
                yield Spec(
                    f"{local.minute} {hour} * * *",
                    frozenset({local.minute}), frozenset({hour}), EVERY, EVERY, EVERY, True, True,
                )  # fmt: skip

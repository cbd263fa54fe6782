"""What a schedule is, and the two plain ones: a fixed interval and a single instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import floor
from typing import Protocol, runtime_checkable

from triggers.errors import ScheduleError
from triggers.spans import UNITS

DAY = UNITS["d"]
NEW_YEARS = tuple((date(year, 1, 1) - date(1970, 1, 1)).days for year in range(1970, 2201))  # in days since 1970
END = (NEW_YEARS[-1] + 1) * DAY  # 2199 ends up to a day later where the clocks are behind UTC


@runtime_checkable
class Schedule(Protocol):
    """What has firings: `Cron`, `Every`, `At`, or a class of your own with `next` and `latest`.

    Times are Unix seconds. `str()` of a schedule is its canonical text, the same for equal schedules.
    """

    def next(self, after: float) -> float | None:
        """Return the first firing strictly after `after`, or None when there is none."""

    def latest(self, after: float, until: float) -> float | None:
        """Return the last firing in (after, until], or None. Its cost does not grow with the firings between."""


def firings(schedule: Schedule, after: float, until: float) -> Iterator[float]:
    """Yield every firing of a schedule in (after, until], in order."""
    due = following(schedule, after)
    while due is not None and due <= until:
        yield due
        due = following(schedule, due)


def following(schedule: Schedule, after: float) -> float | None:
    """Return the first firing of a schedule strictly after `after`; `ScheduleError` if it says one that is not."""
    due = schedule.next(after)
    if due is None:
        return None
    if not due > after:
        raise ScheduleError(f"{schedule}: next({after!r}) says {due!r}, which is not after it")
    return float(due)


def last(schedule: Schedule, after: float, until: float) -> float | None:
    """Return the last firing of a schedule in (after, until]; `ScheduleError` if it says one that is not."""
    due = schedule.latest(after, until)
    if due is None:
        return None
    if not after < due <= until:
        raise ScheduleError(f"{schedule}: latest({after!r}, {until!r}) says {due!r}, which does not lie there")
    return float(due)


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
        if not 1 <= self.seconds < END:
            raise ScheduleError(
                f"every: {self.seconds} s is not between 1 s and 230 years; write e.g. every(minutes=5)"
            )

    def next(self, after: float) -> float | None:
        """Return the first multiple of the interval strictly after `after`."""
        if after >= END:
            return None
        due = (floor(after) // self.seconds + 1) * self.seconds if after >= 0 else 0
        return float(due) if due < END else None

    def latest(self, after: float, until: float) -> float | None:
        """Return the last multiple of the interval in (after, until]."""
        if until < 0:
            return None
        due = floor(min(until, END - 1)) // self.seconds * self.seconds
        return float(due) if due > after else None

    def __str__(self) -> str:
        text, rest = "", self.seconds
        for unit, size in UNITS.items():
            count, rest = divmod(rest, size)
            text += f"{count}{unit}" if count else ""
        return f"every({text})"

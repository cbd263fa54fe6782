"""Moments that are reckoned from another one: so long after it, or the next time that a clock on a wall shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from triggers.errors import ScheduleError
from triggers.schedule.zones import zone
from triggers.spans import span

_TEXT = re.compile(r"(\d\d?):(\d\d)(?: (\S+))?")


@dataclass(frozen=True, slots=True)
class After:
    """So many seconds later."""

    seconds: float

    def of(self, moment: float) -> float:
        """Return the moment that belongs to another one, both in Unix seconds."""
        return moment + self.seconds

    def __str__(self) -> str:
        return f"{self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Next:
    """The next time that the clock on the wall shows this. A time that the clocks skip counts as if they had not been
    changed, so that it is not a day late; of one that occurs twice the first is meant."""

    hour: int
    minute: int
    timezone: str

    def of(self, moment: float) -> float:
        """Return the first such moment that is later, in Unix seconds."""
        tz = zone(self.timezone).tz
        here = datetime.fromtimestamp(moment, tz).replace(tzinfo=None, fold=0)
        day = here.replace(hour=self.hour, minute=self.minute, second=0, microsecond=0)
        while (found := day.replace(tzinfo=tz).timestamp()) <= moment:
            day += timedelta(days=1)
        return found

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02} {self.timezone}"


Moment = After | Next


def moment(option: str, value: Any) -> Moment:
    """Return what `deadline=`, `not_before=` and `expires=` say: a span, or a time such as `"07:00 Europe/Berlin"`.

    Raises `ScheduleError`, which names the option.
    """
    if isinstance(value, After | Next):
        return value
    if after := span(value):
        return After(after)
    found = _TEXT.fullmatch(" ".join(value.split())) if isinstance(value, str) else None
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ScheduleError(
            f"{option}={value!r} is no moment; write how long after the arrival, as in {option}=3600 or {option}='2h',"
            f" or a time of the day, as in {option}='07:00 Europe/Berlin'"
        )
    made = Next(int(found[1]), int(found[2]), found[3] or "UTC")
    zone(made.timezone)  # names one that is not there
    return made

"""`Cron`: the schedule of a cron text in the wall time of a time zone."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from math import floor

from triggers.errors import ScheduleError
from triggers.schedule.fields import HOUR, MINUTE, canonical, days_of_years
from triggers.schedule.instants import DAY, END, NEW_YEARS, Schedule
from triggers.schedule.zones import Zone, zone


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
    _zone: Zone = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.text
        if not isinstance(given, str):
            raise ScheduleError(f"cron {given!r} is no text; write e.g. cron('0 3 * * *')")
        put = object.__setattr__
        put(self, "text", canonical(given))
        put(self, "_zone", zone(self.timezone))
        minutes, hours, *calendar = self.text.split(" ")
        try:
            minute_mask, hour_mask = MINUTE.parse(minutes), HOUR.parse(hours)
            put(self, "_days", days_of_years(*calendar))
        except ScheduleError as error:
            raise ScheduleError(f"cron {given!r}: {error}") from None  # a field does not know the text it stands in
        put(self, "_times", sum(minute_mask << 60 * hour for hour in range(24) if hour_mask >> hour & 1))
        put(self, "_once", hour_mask != HOUR.parse("*"))
        if self.next(-1) is None:
            raise ScheduleError(
                f"cron {given!r} never fires: no such time in {self.timezone} from 1970 to 2199; write a day that its"
                " months and years have, at a time that the clocks do not skip"
            )

    def __reduce__(self) -> tuple[type[Cron], tuple[str, str]]:
        return Cron, (self.text, self.timezone)

    def __str__(self) -> str:
        return f"cron({self.text}, {self.timezone})"

    def next(self, after: float) -> float | None:
        """Return the first firing strictly after `after`, or None: no more until the end of 2199."""
        if after >= END:
            return None
        moment = floor(after) + 1 if after >= 0 else 0
        while True:
            _, end, offset, unseen = self._zone.span(moment)
            wall = max(moment + offset, unseen) if self._once else moment + offset
            minute = self._ahead(-(-wall // 60))
            if minute is not None and (due := minute * 60 - offset) < end:
                return float(due)
            # Clocks change by less than 2 days and are less than 1 day off UTC: nothing fires before this.
            later = self._ahead((end + offset - 2 * DAY) // 60)
            if later is None:
                return None
            moment = max(end, later * 60 - DAY)

    def latest(self, after: float, until: float) -> float | None:
        """Return the last firing in (after, until], or None. It searches backwards, so a long gap costs nothing."""
        moment = floor(min(until, END)) if until >= 0 else -1
        while moment >= 0 and moment > after:
            start, _, offset, unseen = self._zone.span(moment)
            minute = self._back((moment + offset) // 60)
            if minute is not None and minute * 60 >= (unseen if self._once else start + offset):
                due = minute * 60 - offset
                return float(due) if due > after else None
            earlier = self._back((start + offset + 2 * DAY) // 60)
            if earlier is None:
                return None
            moment = min(start - 1, earlier * 60 + DAY)
        return None

    def _ahead(self, minute: int) -> int | None:
        """Return the first wall minute (counted from 1970) at or after `minute` that matches."""
        day, time = divmod(max(minute, 0), 1440)
        if day >= NEW_YEARS[-1]:
            return None
        year = bisect_right(NEW_YEARS, day) - 1
        days = self._days[year] >> (day - NEW_YEARS[year])
        if days & 1 and (times := self._times >> time):
            return day * 1440 + time + _lowest(times)
        days &= -2  # what is left lies after this day
        while not days:
            year += 1
            if year == len(self._days):
                return None
            day = NEW_YEARS[year]
            days = self._days[year]
        return (day + _lowest(days)) * 1440 + _lowest(self._times)

    def _back(self, minute: int) -> int | None:
        """Return the last wall minute (counted from 1970) at or before `minute` that matches."""
        if minute < 0:
            return None
        day, time = divmod(min(minute, NEW_YEARS[-1] * 1440 - 1), 1440)
        year = bisect_right(NEW_YEARS, day) - 1
        nth = day - NEW_YEARS[year]
        days = self._days[year] & ((2 << nth) - 1)
        if days >> nth and (times := self._times & ((2 << time) - 1)):
            return day * 1440 + times.bit_length() - 1
        days &= (1 << nth) - 1  # what is left lies before this day
        while not days:
            year -= 1
            if year < 0:
                return None
            days = self._days[year]
        return (NEW_YEARS[year] + days.bit_length() - 1) * 1440 + self._times.bit_length() - 1


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1

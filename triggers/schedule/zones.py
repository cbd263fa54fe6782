"""Time zones as stretches of constant offset: zoneinfo tells offsets, but not when they change."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from triggers.errors import ScheduleError, did_you_mean
from triggers.schedule.instants import DAY

_PROBE = 18  # 2**18 s = 3 days; no zone since 1970 (tzdata 2026) kept an offset for less than 6.9 days
_BLOCK = 22  # 2**22 s = 48 days are surveyed at a time
_OF_THE_MACHINE = ("localtime", "posixrules")  # files beside the zones, which say what a machine is set to


class Span(NamedTuple):
    """A stretch of time in which a zone keeps its offset."""

    start: int  # Unix seconds; the offset holds from here
    end: int  # to before here
    offset: int  # seconds to add for wall time
    unseen: int  # wall seconds; earlier ones in this span occurred before it as well


class Zone:
    """A time zone as stretches of constant offset: zoneinfo tells offsets, but not when they change."""

    def __init__(self, tz: tzinfo) -> None:
        self.tz = tz
        self._blocks: dict[int, list[Span]] = {}

    def span(self, moment: int) -> Span:
        """Return the stretch that a Unix time lies in. A change may be hidden in it only if it changes nothing."""
        block = moment >> _BLOCK
        spans = self._blocks.get(block)
        if spans is None:
            spans = self._blocks[block] = self._survey(block << _BLOCK)
        for span in spans:
            if moment < span.end:
                break
        return span

    def _survey(self, start: int) -> list[Span]:
        """Return the stretches of a block; what was seen shortly before it is unseen no more in it either."""
        end = start + (1 << _BLOCK)
        edges = [start - DAY]
        for left, right in pairwise([start - DAY, *range(start, end + 1, 1 << _PROBE)]):
            if self._offset(left) != self._offset(right):
                edges.append(self._change(left, right))
        return [
            Span(max(left, start), right, self._offset(left), left + max(self._offset(left), self._offset(left - 1)))
            for left, right in pairwise([*edges, end])
            if right > start
        ]

    def _change(self, left: int, right: int) -> int:
        old = self._offset(left)
        return left + bisect_left(range(left, right), True, key=lambda moment: self._offset(moment) != old)

    def _offset(self, moment: int) -> int:
        offset = datetime.fromtimestamp(moment, self.tz).utcoffset() or timedelta()
        return offset.days * DAY + offset.seconds


@cache
def zone(name: str) -> Zone:
    """Return a time zone by its IANA name; raises `ScheduleError` where there is none."""
    if not isinstance(name, str):
        raise ScheduleError(f"timezone={name!r} is no name; write an IANA name, such as 'Europe/Berlin'")
    if name in _OF_THE_MACHINE:
        raise ScheduleError(f"timezone={name!r} is another zone on each machine; write e.g. 'Europe/Berlin'")
    if name == "UTC":
        return Zone(UTC)  # works on a machine without time zone data
    from zoneinfo import ZoneInfo, available_timezones  # an app without zones need not pay for it

    try:
        return Zone(ZoneInfo(name))
    except (LookupError, ValueError, OSError) as error:
        known = available_timezones()
        hint = did_you_mean(name, known) if known else "; this machine has no time zone data, install tzdata"
        if len(hint) > 100:  # no near miss, so all 600 names
            hint = "; write an IANA name, such as Europe/Berlin"
        raise ScheduleError(f"no time zone named {name!r}{hint}") from error

"""Timers: schedules as a source of `Tick`, each instant fired once, whatever restarts and clocks do.

A firing's identity is (schedule, UTC instant). It is committed with the `Tick`, and with what the source remembers: the
instant that the schedule last fired for. A schedule's memory begins when it is first seen: what lay before was not
missed. What came due while nobody could fire it is fired as the schedule says, see `TimetableOptions`.

A wall clock that was set back shows instants again that have fired; their identities are known, so they are dropped.
One that was far ahead for a while has used up the instants that it fired for, and no others.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import AsyncIterator, Collection, Mapping, MutableMapping, Sequence
from datetime import datetime
from itertools import islice
from math import inf, nextafter

from triggers.clock import LONGEST_SLEEP
from triggers.errors import ScheduleError
from triggers.events import Tick, encode, moment
from triggers.schedule import Schedule, firings, manner
from triggers.schedule.instants import following, last
from triggers.schedule.standing import Standing
from triggers.sources import Delivery, Site

log = logging.getLogger("triggers.timer")

NAME = "timer"

AT_ONCE = 10_000
"""Firings to one batch at most."""

COUNTED = 1000
"""How many instants that do not fire are counted; there may be millions."""

AGAIN = 60.0
"""Seconds after which a schedule that raised an error is asked again."""

IN_TIME = 1.0
"""Seconds within which a firing is what it was planned to be, whatever the schedule says of missed ones."""

PUNCTUAL = 2 * LONGEST_SLEEP
"""Seconds by which a firing may be late and is not missed: after a sleep of the machine nobody looks for a minute."""


class Timer:
    """All schedules of an app, by the names of their routes.

    Those in `paused` do not fire. Those in `resumed` do again, from the moment it says on; they are taken out of it.
    """

    name = NAME

    def __init__(
        self,
        schedules: Mapping[str, Schedule],
        paused: Collection[str] = (),
        resumed: MutableMapping[str, float] | None = None,
    ) -> None:
        self._schedules = schedules
        self._paused = paused
        self._resumed = {} if resumed is None else resumed

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield a `Tick` for each instant that is due and is to fire."""
        series = await self._begin(site)
        before = site.clock.now()
        queue = _queue(series, before)
        while True:
            now = site.clock.now()
            if now < before:  # the wall clock was set back: what it fired for lies ahead again
                queue = _queue(series, now)
            before = now
            if ticks := self._due(queue, now):
                yield ticks
                continue
            site.idle(self.name)
            _prepare(queue)
            await site.clock.sleep_until(queue[0][0] if queue else inf)  # the clock may be set back

    async def _begin(self, site: Site) -> list[Series]:
        """Return the series of all schedules, where they stood; take note of those that are new."""
        known = await site.recall(self.name, [name.encode() for name in self._schedules])
        start = site.clock.now()
        series = [Series(name, schedule, start) for name, schedule in self._schedules.items()]
        new = [one for one in series if not one.recall(known.get(one.name.encode()))]
        if new:
            await site.remember(self.name, {one.name.encode(): one.memory() for one in new})
        return series

    def _due(self, queue: list[tuple[float, int, Series]], now: float) -> list[Delivery]:
        """Return the ticks of all that is due, and put each series back where it is due next."""
        ticks: list[Delivery] = []
        while queue and queue[0][0] <= now and len(ticks) < AT_ONCE:
            series = queue[0][2]
            series.resume(self._resumed.pop(series.name, -inf))
            try:
                ticks.extend(series.go_on(now, AT_ONCE - len(ticks), paused=series.name in self._paused))
            except Exception as error:  # of a calendar of the user's: it must not take the other schedules with it
                series.complain(error)
                heapq.heapreplace(queue, (now + AGAIN, *queue[0][1:]))
                continue
            _put(heapq.heappop(queue)[1:], queue, now)
        return ticks


def _queue(series: Sequence[Series], now: float) -> list[tuple[float, int, Series]]:
    """Return the series by when they are due next, seen from what the wall clock shows."""
    queue: list[tuple[float, int, Series]] = []
    for item in enumerate(series):
        item[1].look(now)
        _put(item, queue, now)
    return queue


def _prepare(queue: list[tuple[float, int, Series]]) -> None:
    """Make the ticks of those that are due first, so that nothing is left to be done when that moment comes."""
    places, made = [0], 0
    while places and made < AT_ONCE:
        place = places.pop()
        if place < len(queue) and queue[place][0] == queue[0][0]:
            queue[place][2].prepare()
            made += 1
            places += (2 * place + 1, 2 * place + 2)  # nothing in a heap is due before what it lies under


def _put(item: tuple[int, Series], queue: list[tuple[float, int, Series]], now: float) -> None:
    try:
        release = item[1].release()
    except Exception as error:  # the same
        item[1].complain(error)
        release = now + AGAIN
    if release is not None:
        heapq.heappush(queue, (release, *item))


class Series:
    """The firings of one schedule: where it stands, and what of it is due."""

    def __init__(self, name: str, schedule: Schedule, start: float) -> None:
        self.name = name
        self._schedule = schedule
        self._text = str(schedule)
        self._manner = manner(schedule)
        self._live = start
        """What came due before that moment was not there for us to fire in time."""
        self._after = start
        """The instant behind which we look: the last that fired or was left out."""
        self._high = start
        """The highest of those; above `_after` where the wall clock was set back."""
        self._seen = start
        """Where `_high` was at first: of what lies above it the clock may have passed something over."""
        self._agreed = -inf
        """Up to this instant `missed_most=` has been heeded: what is left of that, fires."""
        self._missed = 0
        """How many instants were left out since the last one that fired."""
        self._next: float | None = None
        """The next instant, as `release` has found it."""
        self._prepared: tuple[float, float, Delivery] | None = None
        """The next instant, the one that follows it, and the tick of the first."""

    def recall(self, memory: bytes | None) -> bool:
        """Go on where the schedule stood; say whether it was known. One whose text has changed begins anew."""
        standing = None if memory is None else Standing.read(memory)
        if standing is None or standing.text != self._text:
            return False
        self._after, self._high, self._seen, _ = standing
        return True

    def memory(self) -> bytes:
        """Return what is remembered of where it stands."""
        return bytes(Standing(self._after, self._high, self._seen, self._text))

    def resume(self, moment: float) -> None:
        """Go on from a moment: what came due before it, while it was paused, was not missed."""
        if moment > self._after:
            self._move(moment)
            self._seen, self._prepared = max(self._seen, moment), None

    def look(self, now: float) -> None:
        """Take note of what the wall clock shows: it may have been set."""
        if now < self._after:
            self._after, self._prepared, self._agreed = now, None, -inf
            self._live = min(self._live, now)

    def complain(self, error: Exception) -> None:
        """Say that the schedule itself has failed."""
        log.error("schedule %r does not say when it fires: %r; trying again in %g s", self.name, error, AGAIN)

    def release(self) -> float | None:
        """Return when the next instant is to be fired, or None where there is none."""
        if self._prepared:
            return self._prepared[0]
        self._next = due = following(self._schedule, self._after)
        return None if due is None else due + self._offset(due)

    def prepare(self) -> None:
        """Make the next tick, for when nothing comes between."""
        due = self._next
        if due is None or self._prepared or self._missed or self._high > self._after or self._manner.jitter:
            return
        try:
            second = following(self._schedule, due)
        except Exception:  # it is asked again, and complained of, when it is due
            return
        before = self._after, self._high
        self._prepared = (due, inf if second is None else second, self._tick(due))
        self._after, self._high = before

    def _ready(self, now: float) -> Delivery | None:
        """Return the tick that was prepared, where its instant is the only one that is due, and in time."""
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return None
        due, second, tick = prepared
        in_time = min(IN_TIME, self._manner.within or IN_TIME)
        if self._after <= due <= now < min(second, due + in_time) and due > self._live:
            self._move(due)
            return tick
        return None

    def go_on(self, now: float, most: int, *, paused: bool = False) -> list[Delivery]:
        """Do as `fire`, when `release` says so; raises `ScheduleError` where the schedule itself does not agree."""
        before = self._after
        ticks = self.fire(now, most, paused=paused)
        if not ticks and self._after == before and (release := self.release()) is not None and release <= now:
            raise ScheduleError(f"next({before!r}) says {self._next!r}, and latest({before!r}, {now!r}) says none")
        return ticks

    def fire(self, now: float, most: int = AT_ONCE, *, paused: bool = False) -> list[Delivery]:
        """Return the first ticks that are due, and move on behind them. While paused nothing fires."""
        self.look(now)
        if (tick := self._ready(now)) and not paused:
            return [tick]
        newest = self._newest(now)
        if newest is None:
            return []
        first = None if paused else self._first(newest, now)
        more = () if first in (None, newest) else firings(self._schedule, first, newest)
        rest = list(islice(more, most - 1))
        if not paused:
            self._leave_out(newest if first is None else first, fires=first is not None)
        self._agreed = max(self._agreed, newest)
        if first is None:
            self._move(newest)
            return []
        return [self._tick(due) for due in (first, *rest)]  # the schedule is not asked any more: it may fail

    def _newest(self, now: float) -> float | None:
        """Return the last instant whose time to be fired has come. None is put off beyond the next one."""
        if self._after < self._high <= now:
            self._after = max(self._after, min(self._seen, self._high))
            if (newest := last(self._schedule, self._after, nextafter(self._high, -inf))) is not None:
                return self._agreed if self._after < self._agreed < newest else newest
            self._after = self._high  # it is past all that has fired, so nothing of that lies ahead any more
        newest = last(self._schedule, self._after, now)
        if newest is not None and newest + self._offset(newest) > now:
            newest = last(self._schedule, self._after, nextafter(newest, -inf))
        if newest is not None and self._after < self._agreed < newest:
            return self._agreed
        return newest

    def _first(self, newest: float, now: float) -> float | None:
        """Return the first of the instants up to the newest that fires, by what the schedule says of missed ones."""
        within = self._manner.within
        if self._manner.missed == "skip":
            return newest if newest > self._live and self._late(newest, now) <= PUNCTUAL else None
        if self._manner.missed == "latest":
            return newest if within is None or self._late(newest, now) <= within else None
        first = following(self._schedule, self._after)
        if within is not None:
            first = following(self._schedule, max(self._after, now - within - self._manner.jitter - 1))
            while first is not None and self._late(first, now) > within:
                first = following(self._schedule, first)
        if first is None or first > newest:
            return None
        return first if newest <= self._agreed else max(first, self._last_ones(newest))

    def _last_ones(self, newest: float) -> float:
        """Return the first of the last instants that `missed_most=` allows."""
        first = newest
        for _ in range(self._manner.most - 1):
            before = last(self._schedule, self._after, nextafter(first, -inf))
            if before is None:
                break
            first = before
        return first

    def _leave_out(self, until: float, *, fires: bool) -> None:
        """Count and report the instants before `until`, or up to it where that one does not fire either."""
        first = following(self._schedule, self._after)
        if first is None or (first == until and fires):
            return
        last = nextafter(until, -inf) if fires else until
        number = 1 + sum(1 for _ in islice(firings(self._schedule, first, last), COUNTED - 1))
        self._missed = min(self._missed + number, COUNTED)
        log.log(
            logging.WARNING if self._manner.missed == "all" else logging.INFO,
            "schedule %r: %s instants were missed and do not fire by themselves (%s), the first at %s, the last before"
            " %s; `triggers backfill` fires those that it has not fired yet",
            self.name,
            f"{number:,}{' or more' if number == COUNTED else ''}",
            self._manner,
            moment(first).isoformat(),
            moment(until if fires else nextafter(until, inf)).isoformat(timespec="seconds"),
        )

    def _tick(self, due: float) -> Delivery:
        self._move(due)
        delivery = _delivery(Tick(schedule=self.name, due=moment(due), missed=self._missed))
        delivery.memory, delivery.unique = (self.name.encode(), self.memory()), True
        self._missed = 0
        return delivery

    def _move(self, instant: float) -> None:
        self._after = instant
        self._high = max(self._high, instant)

    def _late(self, due: float, now: float) -> float:
        return now - due - self._offset(due)

    def _offset(self, due: float) -> float:
        if not self._manner.jitter:
            return 0.0
        return self._manner.offset(self.name, due, following(self._schedule, due))


def backfilled(schedule: str, due: float, suffix: str = "") -> Delivery:
    """Return the tick of a firing that somebody asked for. A suffix makes it another one than the schedule's own."""
    delivery = _delivery(Tick(schedule=schedule, due=moment(due), backfill=True))
    delivery.id += suffix
    return delivery


def identity(schedule: str, due: datetime) -> str:
    """Return the identity of a firing within the source: the schedule and the UTC instant."""
    instant = due.isoformat().replace("+00:00", "Z")  # as EventBridge Scheduler writes it
    return f"{schedule}@{instant}"


def _delivery(tick: Tick) -> Delivery:
    return Delivery(
        source=NAME,
        id=identity(tick.schedule, tick.due),
        type=Tick.__event_type__,
        data=encode(tick),
        time=tick.due.timestamp(),
        subject=tick.schedule,
    )

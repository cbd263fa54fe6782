"""Timers: schedules as a source of `Tick`, each instant fired once across restarts.

The instant that a schedule last fired for is what the source remembers, committed with the `Tick`. A schedule's memory
begins when it is first seen: what lay before that was not missed. Of what was missed while the app was down, the latest
instant fires.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from triggers.events import Tick, encode, moment
from triggers.schedule import Schedule
from triggers.sources import Delivery, Site


class Timer:
    """All schedules of an app, by the names of their routes."""

    name = "timer"

    def __init__(self, schedules: Mapping[str, Schedule]) -> None:
        self._schedules = schedules

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield a `Tick` for each schedule when it is due."""
        keys = {_key(name, schedule): name for name, schedule in self._schedules.items()}
        known = await site.recall(self.name, list(keys))
        start = site.clock.now()
        last = {name: float(known[key]) if key in known else start for key, name in keys.items()}
        if new := [name for key, name in keys.items() if key not in known]:
            await site.remember(self.name, {_key(name, self._schedules[name]): repr(start).encode() for name in new})
        while True:
            now = site.clock.now()
            if ticks := [tick for name in last if (tick := self._tick(name, last, now))]:
                yield ticks
                continue
            site.idle(self.name)
            upcoming = [due for name, at in last.items() if (due := self._schedules[name].next(at)) is not None]
            if not upcoming:
                return  # every instant lies in the past
            await site.clock.sleep_until(min(upcoming))

    def _tick(self, name: str, last: dict[str, float], now: float) -> Delivery | None:
        """Return the tick that is due for a schedule, and take note of it."""
        schedule = self._schedules[name]
        due = schedule.latest(last[name], now)
        if due is None:
            return None
        last[name] = due
        tick = Tick(schedule=name, due=moment(due))
        return Delivery(
            source=self.name,
            id=f"{name}@{tick.due.isoformat()}",
            type=Tick.__event_type__,
            data=encode(tick),
            time=due,
            subject=name,
            memory=(_key(name, schedule), repr(due).encode()),
        )


def _key(name: str, schedule: Schedule) -> bytes:
    """Return what a schedule is remembered by: a route whose schedule is changed begins anew."""
    return f"{name} {schedule}".encode()

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
        known = await site.recall(self.name, [name.encode() for name in self._schedules])
        start = site.clock.now()
        recalled = {name: self._recalled(name, known.get(name.encode())) for name in self._schedules}
        last = {name: start if fired is None else fired for name, fired in recalled.items()}
        if new := [name for name, fired in recalled.items() if fired is None]:
            await site.remember(self.name, {name.encode(): self._memory(name, start) for name in new})
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
            memory=(name.encode(), self._memory(name, due)),
        )

    def _memory(self, name: str, fired: float) -> bytes:
        """Return what is remembered of a schedule: its text too, so that a changed one begins anew."""
        return f"{fired!r} {self._schedules[name]}".encode()

    def _recalled(self, name: str, memory: bytes | None) -> float | None:
        """Return when the schedule last fired, or None where this schedule has not been seen before."""
        fired, _, schedule = (memory or b"").decode().partition(" ")
        return float(fired) if schedule == str(self._schedules[name]) else None

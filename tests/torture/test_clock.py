"""A clock that is set both ways, a closed lid, summer time, crashes: each instant fires once, each delay is kept."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from tests.kit import Life, Start
from tests.torture import FEW
from triggers import App, Context, Retry, Tick, cron, every
from triggers.schedule import Schedule
from triggers.testing import FakeClock

SPRING = datetime(2026, 3, 28, 12, 7, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, 7, tzinfo=UTC)
# The nightly one: in spring there is no 2:30, in autumn there are two.
SCHEDULES: dict[str, Schedule] = {
    "nightly": cron("30 2 * * *", timezone="Europe/Berlin", missed="all"),
    "hourly": cron("5 * * * *", timezone="Europe/Berlin", missed="all"),
    "often": every(minutes=20, missed="all"),
}
DELAY = 45.0


@dataclass
class Days:
    """Some days of an app whose clock is not to be relied on."""

    start: Start
    chance: random.Random
    clock: FakeClock
    tries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each run was tried, by the boot's clock."""

    def pass_by(self, steps: int) -> Life:
        """Let so many things happen, and then let time pass until the clock is beyond all that it has shown."""
        self.life = self.start(self.app(), self.clock)
        self.life.settle()
        self.lowest = highest = self.clock.now()
        for _ in range(steps):
            self.chance.choice((self.run, self.run, self.set, self.suspend, self.crash))()
            highest = max(highest, self.clock.now())
        self.run(max(highest - self.clock.now(), 0) + 3600)
        return self.life

    def app(self) -> App:
        app = App("days", retry=Retry(attempts=2, initial=DELAY, maximum=DELAY, jitter=False))

        async def tick(event: Tick, ctx: Context) -> None:
            self.tries[ctx.effect_key].append(self.clock.monotonic())
            if ctx.attempt == 1:
                raise OSError("not yet")

        for name, schedule in SCHEDULES.items():
            app.on(schedule, name=name)(tick)
        return app

    def run(self, seconds: float = 0) -> None:
        self.life.advance(seconds or self.chance.uniform(60, 20_000))

    def set(self) -> None:
        self.clock.move_wall(self.chance.uniform(-20_000, 20_000))
        self.lowest = min(self.lowest, self.clock.now())
        self.run(120)

    def suspend(self) -> None:
        self.clock.suspend(self.chance.uniform(60, 20_000))
        self.run(120)

    def crash(self) -> None:
        self.life.crash()
        self.clock.forget()
        self.clock.step(self.clock.monotonic() + self.chance.uniform(0, 20_000))
        self.life = self.start(self.app(), self.clock)
        self.life.settle()


def instants(schedule: Schedule, after: float, until: float) -> Iterator[float]:
    while (moment := schedule.next(after)) is not None and moment <= until:
        yield moment
        after = moment


@pytest.mark.parametrize("first", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("seed", range(FEW))
def test_whatever_becomes_of_the_clock_each_instant_fires_once_and_each_delay_is_kept(
    start: Start, first: datetime, seed: int
) -> None:
    days = Days(start, random.Random(seed), FakeClock(first))
    life = days.pass_by(20)
    fired = defaultdict(list)
    for text in life.data(Tick):
        tick = Tick.model_validate_json(text)
        fired[tick.schedule].append(tick.due.timestamp())
    for name, schedule in SCHEDULES.items():
        assert sorted(fired[name]) == list(instants(schedule, days.lowest, days.clock.now())), name
    runs = len(life.states())
    life.advance(2 * DELAY)  # for those that have only just failed
    assert set(life.states()[:runs]) == {("done", 2)}
    assert all(tries[1] - tries[0] >= DELAY for tries in days.tries.values() if len(tries) > 1)

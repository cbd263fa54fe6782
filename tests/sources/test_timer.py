from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life
from triggers import App, Retry, Tick, at, cron, every
from triggers.testing import FakeClock

Start = Callable[..., Life]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(clock: FakeClock, **schedules: Any) -> Life:
        lives.append(Life(app_of(**schedules), tmp_path / "state", clock))
        lives[-1].settle()
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def app_of(**schedules: Any) -> App:
    app = App("a", retry=Retry(attempts=1))

    async def tick(event: Tick) -> None: ...

    for name, schedule in schedules.items():
        app.on(schedule, name=name)(tick)
    return app


def fired(life: Life) -> list[tuple[str, str]]:
    ticks = [Tick.model_validate_json(text) for text in life.data(Tick)]
    return [(tick.schedule, tick.due.strftime("%d %H:%M:%S")) for tick in ticks]


def test_a_schedule_fires_at_each_of_its_instants_and_only_its_route_runs(start: Start) -> None:
    life = start(FakeClock(NOON), five=every(minutes=5), hourly=cron("30 * * * *"))
    assert fired(life) == []
    life.advance(3600)
    assert [due for name, due in fired(life) if name == "five"] == [f"01 12:{m:02}:00" for m in range(5, 60, 5)] + [
        "01 13:00:00"
    ]
    assert [due for name, due in fired(life) if name == "hourly"] == ["01 12:30:00"]
    assert (len(life.runs("five")), len(life.runs("hourly"))) == (12, 1)


def test_a_restart_right_after_a_firing_does_not_fire_again(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(300)
    for end in ("crash", "stop", "crash"):
        getattr(life, end)()
        life = start(clock, five=every(minutes=5))
    assert fired(life) == [("five", "01 12:05:00")]
    life.advance(300)
    assert len(fired(life)) == 2


def test_of_what_was_missed_the_latest_instant_fires(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(300)
    life.crash()
    clock.step(clock.monotonic() + 3600 + 120)
    life = start(clock, five=every(minutes=5))
    assert fired(life) == [("five", "01 12:05:00"), ("five", "01 13:05:00")]
    life.advance(240)
    assert fired(life)[2:] == [("five", "01 13:10:00")]


def test_what_lay_before_a_schedule_was_first_seen_was_not_missed(start: Start) -> None:
    clock = FakeClock(NOON + timedelta(minutes=4))
    life = start(clock, five=every(minutes=5))
    life.crash()
    clock.step(clock.monotonic() + 30)
    life = start(clock, five=every(minutes=5))
    assert fired(life) == []
    life.crash()
    clock.step(clock.monotonic() + 60)
    assert fired(start(clock, five=every(minutes=5))) == [("five", "01 12:05:00")]


def test_a_changed_schedule_begins_anew_and_another_route_is_not_touched(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, job=every(hours=1), other=every(hours=1))
    life.advance(3600)
    life.crash()
    clock.step(clock.monotonic() + 5000)
    life = start(clock, job=every(minutes=30), other=every(hours=1))
    assert fired(life)[2:] == [("other", "01 14:00:00")]
    life.advance(1800)
    assert fired(life)[3:] == [("job", "01 14:30:00")]


def test_a_wall_clock_that_is_set_back_fires_no_instant_twice(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(900)
    clock.set_wall(NOON + timedelta(minutes=1))
    life.advance(1800)
    life.crash()
    clock.set_wall(NOON + timedelta(minutes=16))
    life = start(clock, five=every(minutes=5))
    life.advance(1800)
    due = [instant for _, instant in fired(life)]
    assert due == sorted(set(due))
    assert due[:4] == ["01 12:05:00", "01 12:10:00", "01 12:15:00", "01 12:20:00"]


def test_a_wall_clock_that_is_set_forward_fires_the_latest_instant_once(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    clock.set_wall(NOON + timedelta(hours=5, minutes=2))
    life.advance(300)
    assert fired(life) == [("five", "01 17:05:00")]


def test_an_instant_in_the_past_never_fires_and_one_to_come_fires_once(start: Start) -> None:
    clock = FakeClock(NOON)
    past, coming = at("2025-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")
    life = start(clock, past=past, coming=coming)
    life.advance(3 * 86_400)
    life.crash()
    life = start(clock, past=past, coming=coming)
    life.advance(86_400)
    assert fired(life) == [("coming", "02 00:00:00")]


def test_a_firing_and_its_run_are_one_commit(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(300)
    rows = life.ask("SELECT event.subject, ledger.value FROM ledger JOIN event ON event.number = ledger.event")
    assert [(subject, float(value.split()[0])) for subject, value in rows] == [("five", clock.now())]


def test_a_month_of_five_minutes_fires_every_instant_once(start: Start) -> None:
    life = start(FakeClock(NOON), five=every(minutes=5))
    for _ in range(30):
        life.advance(86_400)
    due = [instant for (instant,) in life.ask("SELECT time FROM event WHERE type = 'Tick' ORDER BY number")]
    first = NOON.timestamp()
    assert due == [first + 300 * n for n in range(1, 30 * 288 + 1)]
    assert life.dispatcher.counts["done"] == len(due)

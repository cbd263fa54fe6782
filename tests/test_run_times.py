"""How long runs take is learned as they end, and known again after a start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import pytest

from tests.kit import Life
from triggers import App, Event, Retry
from triggers.prediction.forecast import Range
from triggers.scheduling.holdings import Holdings
from triggers.testing import FakeClock

Start = Callable[[App], Life]
HOUR = 3600.0


class Job(Event):
    seconds: float = 10.0
    asleep: float = 0.0
    fails: bool = False


class Small(Event):
    seconds: float = 1.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(tmp_path: Path, clock: FakeClock) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(app: App) -> Life:
        lives.append(Life(app, tmp_path / "state", clock))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


@pytest.fixture
def app(clock: FakeClock) -> App:
    """An app whose handler takes the time that its event says."""
    app = App("a")

    @app.on(Job, concurrency=1, retry=Retry(on=OSError, attempts=2))
    async def job(event: Job) -> None:
        clock.step(clock.monotonic() + event.seconds)
        clock.suspend(event.asleep)
        if event.fails:
            raise OSError("after all that time")

    return app


def known(life: Life) -> Range:
    life.settle()
    found = life.dispatcher.times.range("job", None)
    assert isinstance(found, Range)
    return found


def test_what_runs_took_is_known_as_they_end_and_again_after_a_crash(start: Start, app: App) -> None:
    life = start(app)
    life.send(*[Job(seconds=seconds) for seconds in (8, 10, 12)])
    before = known(life)
    assert before.runs == 3
    assert 9.5 < before.p50 < 10.5
    life.crash()
    assert known(start(app)) == pytest.approx(before)


def test_an_attempt_that_failed_is_not_learned_from(start: Start, app: App) -> None:
    life = start(app)
    life.send(*[Job(seconds=10)] * 3, *[Job(seconds=1000, fails=True)] * 3)
    assert known(life).runs == 3


def test_a_suspended_machine_takes_no_time_of_a_run(start: Start, app: App) -> None:
    life = start(app)
    life.send(*[Job(seconds=10)] * 3, Job(seconds=10, asleep=8 * HOUR))
    assert life.ask("SELECT took FROM run WHERE took IS NOT NULL") == [(10.0,)]
    for lived in (life, None):
        assert known(lived or start(app)).p90 == pytest.approx(10, rel=0.01)
        life.end()


@pytest.mark.parametrize("day", [1, 28])
def test_a_clock_that_is_set_changes_no_prediction(start: Start, clock: FakeClock, day: int) -> None:
    app = App("a")

    @app.on(Job, concurrency=1)
    async def job(event: Job) -> None:
        clock.step(clock.monotonic() + event.seconds)
        if event.asleep:
            clock.set_wall(datetime(2026, 2, day, tzinfo=UTC))

    life = start(app)
    clock.set_wall(datetime(2026, 2, 14, tzinfo=UTC))
    life.send(*[Job()] * 3, Job(asleep=1))
    for lived in (life, None):
        assert known(lived or start(app)).p90 == pytest.approx(10, rel=0.01)
        life.end()


def test_short_work_goes_before_long_work_that_came_a_little_earlier(start: Start, clock: FakeClock) -> None:
    app, order = App("a", threads=1, resources={"gpu": 1}), list[str]()

    @app.on(Job, needs={"gpu": 1})
    async def long(event: Job) -> None:
        order.append("long")
        clock.step(clock.monotonic() + event.seconds)

    @app.on(Small, needs={"gpu": 1})
    async def short(event: Small) -> None:
        order.append("short")
        clock.step(clock.monotonic() + event.seconds)

    life = start(app)
    life.send(*[Job(seconds=1000)] * 3, *[Small(seconds=60)] * 3)
    order.clear()
    life.append(Job(seconds=100), Job(seconds=1), Small())
    life.settle()
    assert order == ["long", "short", "long"]


def test_the_end_of_a_run_that_started_at_once_is_predicted_as_well(start: Start, app: App, clock: FakeClock) -> None:
    life = start(app)
    life.send(*[Job(seconds=100)] * 4)
    seen: list[float] = []
    policy = life.dispatcher.admission._policy

    def watch(view: object) -> object:
        seen.extend(busy.until - clock.now() for busy in view.running)  # type: ignore[attr-defined]
        return policy(view)

    life.dispatcher.admission._policy = watch
    life.append(Job(), Job())
    life.settle()
    assert {round(seconds) for seconds in seen} == {100}


def test_a_run_that_is_over_its_time_is_taken_to_last_half_as_long_again() -> None:
    holdings = Holdings({"cpu": 4})
    holdings.take(1, {"cpu": 1})
    holdings.take(2, {"cpu": 2})
    holdings.predict(1, 1000.0, 1100.0)
    ends = [[busy.until for busy in holdings.busy(now)] for now in (1050.0, 1100.0, 1149.0, 1150.0)]
    assert ends == [[1100.0, inf], [1150.0, inf], [1150.0, inf], [1225.0, inf]]
    holdings.release(1)
    assert list(holdings.busy(2000.0)) == [({"cpu": 2}, inf)]
    holdings.take(1, {"cpu": 1})  # its next attempt: nobody knows when that ends
    assert [busy.until for busy in holdings.busy(2000.0)] == [inf, inf]

"""How many at once, found out from how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.adaptive import downstream
from tests.kit import Life
from triggers import Adaptive, App, Downstream, Event, Retry
from triggers.errors import WiringError
from triggers.scheduling.adaptive import FIRST, LATE, Limit
from triggers.testing import FakeClock


class Job(Event):
    n: int = 0


@pytest.mark.parametrize("capacity", ["4", "16", "16, 4, 16"])
@pytest.mark.parametrize("chance", [0.2, 0.8])
def test_it_finds_what_a_downstream_can_do_however_run_times_vary(tmp_path: Path, capacity: str, chance: float) -> None:
    found = downstream(tmp_path, "ours", capacity, chance, seeds=2, hours=3.0)
    assert fmean(found["done"]) > 0.6
    assert fmean(found["failed"]) < 0.1


def limit_after(*rounds: tuple[float | None, int], most: int = 32) -> int:
    """Return the limit after rounds of attempts that all took as long and found so many at work."""
    limit = Limit(Adaptive(most))
    for time, used in rounds:
        for _ in range(max(5, limit.amount)):
            limit.end(time, used)
    return limit.amount


def test_it_grows_by_one_after_a_good_round_up_to_the_most() -> None:
    assert limit_after() == FIRST
    assert limit_after(*[(0.0, 99)] * 3) == FIRST + 3
    assert limit_after(*[(0.0, 99)] * 50, most=9) == 9


def test_it_does_not_grow_while_half_of_it_is_not_used() -> None:
    assert limit_after(*[(0.0, 2)] * 9) == FIRST


@pytest.mark.parametrize("time", [None, 0.7])
def test_it_shrinks_to_three_quarters_after_failures_and_what_is_slow_down_to_the_least(time: float | None) -> None:
    good = [(0.0, 99)] * 12
    assert limit_after(*good) == 16
    assert limit_after(*good, (time, 99)) == 12
    assert limit_after(*good, *[(time, 99)] * 20) == 1


def test_what_is_slower_for_long_is_what_it_takes_now() -> None:
    assert limit_after(*[(0.0, 99)] * 12, *[(0.7, 99)] * LATE, *[(0.7, 99)] * 6) == 8


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[[App], Life]]:
    lives: list[Life] = []

    def begin(app: App) -> Life:
        lives.append(Life(app, tmp_path / "state", clock))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


class Shop:
    """An app whose handler takes the longer the more are at work."""

    def __init__(self, clock: FakeClock, **options: object) -> None:
        self.most = self.at_work = 0
        self.fails = False
        self.look: Callable[[], None] = lambda: None
        self.app = App("a", downstreams={"api": Downstream(concurrency=Adaptive(most=8), breaker=None)})
        self.app.on(Job, name="job", retry=Retry(attempts=1), **options)(self.job)  # type: ignore[arg-type]  # any

    async def job(self, event: Job) -> None:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        for _ in range(30):  # so that all that may be at work together are
            await asyncio.sleep(0)
        self.look()
        self.at_work -= 1
        if self.fails:
            raise OSError("too much")


@pytest.mark.parametrize("options", [{"downstream": "api"}, {"concurrency": Adaptive(most=8)}])
def test_more_are_at_work_as_long_as_it_goes_well_and_fewer_when_it_does_not(
    start: Callable[[App], Life], clock: FakeClock, options: dict[str, object]
) -> None:
    shop = Shop(clock, **options)
    life = start(shop.app)
    life.send(*[Job()] * 5)
    assert shop.most == FIRST
    life.send(*[Job()] * 60)
    assert shop.most == 8
    shop.fails = True
    life.send(*[Job()] * 60)
    shop.most, shop.fails = 0, False
    life.send(*[Job()] * 2)
    assert shop.most == 1


def test_why_more_do_not_run_is_said(start: Callable[[App], Life], clock: FakeClock) -> None:
    shop = Shop(clock, concurrency=Adaptive(most=8))
    life = start(shop.app)
    said = set[str]()
    shop.look = lambda: said.update(closed.reason for closed in life.dispatcher.admission.closures.of("job"))
    life.send(*[Job()] * 5)
    assert said == {"concurrency of job: 4 at once go well now, 8 at most (Adaptive)"}
    assert life.states("job") == [("done", 1)] * 5


@pytest.mark.parametrize(("most", "least"), [(0, 1), (4, 5), (2.5, 1), (4, 0)])
def test_bounds_that_make_no_sense_are_refused(most: int, least: int) -> None:
    with pytest.raises(WiringError, match=r"write whole numbers above 0, least not above most"):
        Adaptive(most, least)

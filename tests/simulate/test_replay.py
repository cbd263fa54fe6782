"""What a journal tells of the past, replayed by the policy that was at work, is what happened."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life
from triggers import App, Event, Prices, Rate, Retry
from triggers.journal import views
from triggers.journal.past import ended_well, others
from triggers.policy import order
from triggers.simulate import Rules, simulate
from triggers.simulate.declared import Declared
from triggers.simulate.predictors import Learned
from triggers.simulate.replay import deviation, history
from triggers.simulate.whatif import Workload
from triggers.testing import FakeClock


class Task(Event):
    seconds: float
    tenant: str = "a"
    urgent: bool = False
    fails: bool = False
    rows: str = ""


class Shop:
    """An app whose handlers take the time that their events say, on a clock that a test moves."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = FakeClock()
        self.folder = folder
        self.app = App("shop", resources={"cpu": 4, "gpu": 1}, **options)
        often = Retry(on=OSError, attempts=3, initial=30, jitter=False)
        self.app.on(Task, name="prepare", needs={"cpu": 1}, priority=lambda event: 5 * event.urgent)(self.work)
        self.app.on(Task, name="train", needs={"cpu": 2, "gpu": 0.5}, key="tenant", per_key=1)(self.work)
        self.app.on(Task, name="report", concurrency=2, retry=often)(self.work)

    async def work(self, event: Task) -> None:
        await self.clock.sleep(event.seconds)
        if event.fails:
            raise OSError("the disk had a moment")

    def lives_through(self, arrivals: list[tuple[float, Task]]) -> Life:
        """Return the app a day later, with what came at these moments."""
        life = Life(self.app, self.folder, self.clock)
        for moment, task in arrivals:
            self._until(life, moment)
            life.append(task)
        self._until(life, 86_400.0)
        return life

    def _until(self, life: Life, moment: float) -> None:
        async def passing() -> None:
            await _calm(life)
            while self.clock.step(1000.0 + moment):
                await _calm(life)

        life.run(passing())


async def _calm(life: Life) -> None:
    for _ in range(6):
        await asyncio.sleep(0)
        while life.dispatcher.pipeline.busy:  # noqa: ASYNC110  # it is over within some rounds of the loop
            await asyncio.sleep(0)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[[list[tuple[float, Task]]], Life]]:
    lives: list[Life] = []

    def live(arrivals: list[tuple[float, Task]], **more: Any) -> Life:
        """Return the shop behind a day, with one route more where options are given for it."""
        weights = {"a": 2} if "share" in more else {}  # of shares that nobody counts for an app is refused
        shop = Shop(tmp_path / "state", shares=weights)
        if more:
            shop.app.on(Task, name="more", **more)(shop.work)
        lives.append(shop.lives_through(arrivals))
        return lives[-1]

    yield live
    for life in lives:
        life.end()


def busy_hours(seed: int, count: int, failing: float = 0.0, *, sized: bool = False) -> list[tuple[float, Task]]:
    """Return tasks that come at random; where they are `sized`, those that take longer are larger."""
    drawn = random.Random(seed)
    moment, found = 0.0, []
    for _ in range(count):
        moment += drawn.expovariate(1 / 60)
        seconds, tenant = drawn.lognormvariate(4, 1), drawn.choice("abc")
        urgent, fails, rows = drawn.random() < 0.2, drawn.random() < failing, "x" * int(10 * seconds * sized)
        found.append((moment, Task(seconds=seconds, tenant=tenant, urgent=urgent, fails=fails, rows=rows)))
    return found


def remembered(life: Life) -> tuple[Workload, Rules]:
    """Return what a journal tells, and what the app decides by."""

    def ask(connection: Any) -> tuple[Workload, Rules]:
        app = views.app(connection)
        assert app is not None
        declared = Declared(app, views.routes(connection))
        routes = life.dispatcher.router.routes
        declared.prices = {name: route.policy.price for name, route in routes.items() if route.policy.price}
        well = ended_well(connection, 10_000)
        workload = history(well, others(connection, well[0].number, life.clock.now()), declared)
        return workload, declared.rules(order, Learned)

    found: tuple[Workload, Rules] = life.run(life.dispatcher.pipeline.asked(ask))
    return found


def replay(workload: Workload, rules: Rules) -> list[float]:
    return simulate(workload.jobs, workload.capacity, rules)[: workload.decided]


def test_the_policy_that_was_at_work_gives_the_real_starts(shop: Callable[..., Life]) -> None:
    life = shop(busy_hours(1, 150))
    workload, rules = remembered(life)
    assert workload.decided == 450
    waited = [start - job.arrival for job, start in zip(workload.jobs, workload.starts, strict=True)]
    assert sum(wait > 1 for wait in waited) > 100  # there was something to decide
    off = deviation(replay(workload, rules), workload.starts)
    assert off.mean < 1e-3
    assert off.p95 < 1e-3


def test_attempts_that_failed_take_their_room_as_they_did(shop: Callable[..., Life]) -> None:
    life = shop(busy_hours(2, 60, failing=0.2))
    workload, rules = remembered(life)
    failed = [job for job in workload.jobs if job.begun is not None]
    assert {job.route for job in failed} >= {"report"}
    assert len(failed) > 20
    assert deviation(replay(workload, rules), workload.starts).mean < 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"throttle": Rate(3, per=600)},
        {"throttle": Rate(2, per=900), "key": "tenant"},
        {"window": "00:10-00:40 UTC; 01:00-03:00 UTC"},
        {"price": Prices(lambda moment: moment // 900 * 7 % 11, within=7200)},
        {"price": Prices(lambda moment: moment // 900 * 7 % 11), "deadline": 2400},
        {"share": True, "key": "tenant", "needs": {"cpu": 3}},
        {"overlap": "queue", "key": "tenant"},
        {"overlap": "queue", "window": "00:10-00:14 UTC; 00:20-00:40 UTC; 01:00-03:00 UTC"},
    ],
    ids=" and ".join,
)
def test_what_a_route_declares_holds_in_the_replay_too(shop: Callable[..., Life], options: dict[str, Any]) -> None:
    workload, rules = remembered(shop(busy_hours(3, 40, sized=True), **options))
    off = deviation(replay(workload, rules), workload.starts)
    assert (off.p95 < 1e-3, off.mean < 1e-3) == (True, True)


@pytest.mark.parametrize(
    "options",
    [
        {"window": "00:10-00:14 UTC; 00:20-00:40 UTC; 01:00-01:03 UTC; 01:30-03:00 UTC"},
        {"window": "00:10-00:14 UTC; 01:00-01:03 UTC; 01:30-03:00 UTC", "key": "tenant", "deadline": 3000},
        {"price": Prices(lambda moment: moment // 60 * 7 % 11, within=1200, step=60)},
    ],
    ids=" and ".join,
)
def test_who_need_not_wait_goes_before_who_must_in_the_replay_too(
    shop: Callable[..., Life], options: dict[str, Any]
) -> None:
    life = shop(busy_hours(3, 80, sized=True), **options)
    started = [(run.started or 0.0, run.number) for run in life.runs("more")]
    assert [number for _, number in sorted(started)] != sorted(number for _, number in started)
    workload, rules = remembered(life)
    off = deviation(replay(workload, rules), workload.starts)
    assert (off.p95 < 1e-3, off.mean < 1e-3) == (True, True)


def test_another_policy_would_have_started_them_otherwise(shop: Callable[..., Life]) -> None:
    workload, rules = remembered(shop(busy_hours(1, 60)))

    def last_come(view: Any) -> list[int]:
        return sorted(range(len(view.lanes)), key=lambda index: view.lanes[index].heads[0], reverse=True)

    assert deviation(replay(workload, replace(rules, policy=last_come)), workload.starts).p95 > 60

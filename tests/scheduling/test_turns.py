"""Runs that go in the order of their data, whatever the order in which that comes."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import apsw
import pytest

from tests.kit import Life, Start, delivery
from triggers import App, Event, Retry, Tick, every
from triggers.errors import WiringError
from triggers.requests import Backfill, Drop, PauseRoutes, Redrive, ResumeRoutes, accept

HOUR = 3600.0


class Day(Event):
    day: date
    region: str = "eu"


class Bench:
    """An app with one route in order, whose runs wait until they are let go, or fail."""

    def __init__(self, **options: Any) -> None:
        self.begun: list[int] = []
        self.seen: list[tuple[str, int]] = []
        self.fails: set[int] = set()
        self.go = False
        self.wakes: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}
        self.app = App("a")
        self.app.on(Day, name="job", **{"in_order": "day", "retry": Retry(attempts=1), **options})(self.job)

    async def job(self, event: Day) -> None:
        self.begun.append(event.day.day)
        self.seen.append((event.region, event.day.day))
        if not self.go:
            await self.wakes.setdefault(asyncio.get_running_loop(), asyncio.Event()).wait()
        if event.day.day in self.fails:
            raise OSError("no")

    def let_go(self, life: Life) -> None:
        async def wake() -> None:
            self.go = True
            self.wakes.setdefault(asyncio.get_running_loop(), asyncio.Event()).set()

        life.run(wake())
        life.settle()


def day(number: int, region: str = "eu") -> Day:
    return Day(day=date(2026, 1, number), region=region)


def begin(life: Life, bench: Bench, *days: Day) -> None:
    """Send events one commit after the other, and wait until the first of them is at work."""
    for one in days:
        life.append(one)
    life.until(lambda: bench.begun and not life.dispatcher.pipeline.busy)


def both_at_work(life: Life) -> None:
    life.until(lambda: len(life.dispatcher.running) == 2)


def test_a_run_starts_when_all_before_it_are_done_and_not_earlier(start: Start) -> None:
    bench = Bench()
    life = start(bench.app)
    begin(life, bench, day(1), day(3), day(2))
    assert bench.begun == [1]
    assert life.states() == [("running", 1), ("delayed", 0), ("delayed", 0)]
    bench.let_go(life)
    assert bench.begun == [1, 2, 3]
    assert life.ask("SELECT count(*) FROM place") == [(0,)]


def test_those_of_one_commit_go_in_order_too_and_those_of_one_place_together(start: Start) -> None:
    bench = Bench()
    life = start(bench.app)
    life.append(day(2), day(1), day(3), day(1))
    life.until(lambda: len(bench.begun) == 2 and not life.dispatcher.pipeline.busy)
    assert bench.begun == [1, 1]
    bench.let_go(life)
    assert bench.begun == [1, 1, 2, 3]


def test_each_key_has_an_order_of_its_own(start: Start) -> None:
    bench = Bench(key="region")
    life = start(bench.app)
    life.append(day(1), day(2), day(5, "us"), day(6, "us"))
    life.until(lambda: len(bench.begun) == 2 and not life.dispatcher.pipeline.busy)
    assert bench.begun == [1, 5]


def test_a_decimal_is_a_number_in_an_order_and_in_a_key(start: Start) -> None:
    bench = Bench(in_order=lambda event: Decimal(event.day.day) / 2, key=lambda event: Decimal("1.50"))
    life = start(bench.app)
    begin(life, bench, day(2), day(12), day(10))
    bench.let_go(life)
    assert bench.begun == [2, 10, 12]
    assert life.ask("SELECT DISTINCT key FROM run") == [("1.50",)]


def test_what_comes_late_runs_next_and_only_what_has_begun_goes_on(start: Start) -> None:
    bench = Bench(concurrency=1)
    life = start(bench.app)
    begin(life, bench, day(5), day(6))
    life.append(day(4))
    life.append(day(3))
    bench.let_go(life)
    assert bench.begun == [5, 3, 4, 6]


def test_a_later_one_that_waits_for_a_place_gives_way_to_one_that_comes_late(start: Start) -> None:
    bench = Bench(concurrency=1, key="region")
    life = start(bench.app)
    begin(life, bench, day(9), day(6, "us"))
    assert life.states() == [("running", 1), ("waiting", 0)]
    life.append(day(4, "us"))
    assert life.states() == [("running", 1), ("delayed", 0), ("waiting", 0)]
    bench.let_go(life)
    assert bench.begun == [9, 4, 6]


def test_what_has_begun_does_not_wait_for_what_comes_late_before_it_is_tried_again(start: Start) -> None:
    bench = Bench(retry=Retry(on=OSError, attempts=2, initial=60, jitter=False))
    bench.go, bench.fails = True, {5}
    life = start(bench.app)
    life.send(day(5))
    life.accept(PauseRoutes(routes=["job"], by="the test"))
    life.advance(61)
    life.send(day(3))
    assert life.states() == [("waiting", 1), ("waiting", 0)]
    life.accept(ResumeRoutes(routes=["job"]))
    assert bench.begun == [5, 5, 3]


def test_one_that_is_tried_again_holds_the_later_ones(start: Start) -> None:
    bench = Bench(retry=Retry(on=OSError, attempts=2, initial=60, jitter=False))
    bench.go, bench.fails = True, {1}
    life = start(bench.app)
    life.send(day(1), day(2))
    assert bench.begun == [1]
    bench.fails = set()
    life.advance(61)
    assert bench.begun == [1, 1, 2]


def test_a_dead_one_holds_the_later_ones_until_it_is_redriven_or_dropped(start: Start) -> None:
    bench = Bench()
    bench.go, bench.fails = True, {1, 3}
    life = start(bench.app)
    life.send(day(1))
    life.send(day(2), day(3), day(4))
    life.stop()
    life = start(bench.app, life.clock)
    life.run(life.engine.drained())
    assert life.states() == [("dead", 1), ("delayed", 0), ("delayed", 0), ("delayed", 0)]
    bench.fails = {3}
    life.accept(Redrive(runs=[1]))
    assert [state for state, _ in life.states()] == ["done", "done", "dead", "delayed"]
    life.accept(Drop(runs=[3]))
    assert bench.begun == [1, 1, 2, 3, 4]


def test_those_behind_a_dead_one_that_was_dropped_go_on_though_the_process_ends_with_the_drop(start: Start) -> None:
    bench = Bench()
    bench.go, bench.fails = True, {1}
    life = start(bench.app)
    life.send(day(1), day(2))

    async def die_with_the_drop() -> None:
        await accept(life.dispatcher, [delivery(Drop(runs=[1]))])
        life.engine.journal.close()

    life.run(die_with_the_drop())
    life.crash()
    assert bench.begun == [1]
    start(bench.app, life.clock).settle()
    assert bench.begun == [1, 2]


def test_what_a_drop_costs_does_not_depend_on_how_many_keys_wait(start: Start) -> None:
    bench, keys = Bench(key="region"), 40
    bench.go, bench.fails = True, {1}
    life = start(bench.app)
    life.send(*(day(n, f"k{key}") for key in range(keys) for n in (1, 2)))
    asked: list[str] = []

    def listen(connection: apsw.Connection) -> None:
        connection.exec_trace = lambda cursor, sql, values: asked.append(sql) or True  # type: ignore[func-returns-value]  # it returns None

    life.run(life.dispatcher.pipeline.ordered(listen))
    life.accept(Drop(runs=[1]))
    assert bench.begun == [*[1] * keys, 2]
    assert len(asked) < keys


def test_a_dead_one_is_passed_over_where_the_route_says_so(start: Start) -> None:
    bench = Bench(if_dead="skip")
    bench.go, bench.fails = True, {1}
    life = start(bench.app)
    life.send(day(1), day(2))
    assert [state for state, _ in life.states()] == ["dead", "done"]


def test_one_that_expires_before_it_starts_holds_nobody_up(start: Start) -> None:
    bench = Bench(expires=HOUR)
    life = start(bench.app)
    life.accept(PauseRoutes(routes=["job"], by="the test"))
    life.send(day(1))
    life.advance(HOUR / 2)
    life.send(day(2))
    assert life.states() == [("waiting", 0), ("delayed", 0)]
    life.advance(HOUR / 2 + 1)
    assert life.states() == [("dropped", 0), ("waiting", 0)]


def test_those_that_expire_behind_a_dead_one_are_dropped(start: Start) -> None:
    bench = Bench(expires=HOUR)
    bench.go, bench.fails = True, {1}
    life = start(bench.app)
    life.send(day(1), day(2))
    life.advance(HOUR - 1)
    life.send(day(3))
    life.advance(2)
    life.accept(Drop(runs=[1]))
    assert [state for state, _ in life.states()] == ["dropped", "dropped", "done"]


def test_a_crash_at_any_time_changes_nothing_of_the_order(start: Start) -> None:
    drawn, bench = Random(5), Bench(key="region", retry=Retry(attempts=100))
    days = [day(number, region) for number in range(1, 15) for region in ("eu", "us")]
    drawn.shuffle(days)
    life = start(bench.app)
    life.accept(PauseRoutes(routes=["job"], by="the test"))
    for one in days:
        life.append(one)
        if drawn.random() < 0.2:
            life.crash()
            life = start(bench.app, life.clock)
    life.run(accept(life.dispatcher, [delivery(ResumeRoutes(routes=["job"]))]))
    for _ in range(5):
        both_at_work(life)
        life.crash()
        life = start(bench.app, life.clock)
    bench.let_go(life)
    assert {state for state, _ in life.states()} == {"done"}
    assert all(
        [n for at, n in bench.seen if at == region] == sorted(n for at, n in bench.seen if at == region)
        for region in ("eu", "us")
    )
    assert life.ask("SELECT count(*) FROM place") == [(0,)]


def test_a_route_that_is_in_no_order_any_more_lets_all_go(start: Start) -> None:
    bench = Bench()
    bench.go, bench.fails = True, {1}
    life = start(bench.app)
    life.send(day(1), day(2))
    life.stop()
    freed = Bench(in_order=None)
    freed.go = True
    life = start(freed.app, life.clock)
    life.settle()
    assert freed.begun == [2]


def test_instants_that_are_backfilled_go_in_their_order(start: Start) -> None:
    app, seen = App("a"), []

    @app.on(every(days=1), in_order="due", retry=Retry(on=OSError, attempts=3, initial=60))
    async def nightly(event: Tick) -> None:
        seen.append(event.due.day)
        if len(seen) == 1:
            raise OSError("not yet")

    life = start(app)
    life.settle()
    life.accept(Backfill(schedule="nightly", instants=[1767139200.0 - n * 86400 for n in range(3)]))
    life.advance(600)
    assert seen == [29, 29, 30, 31]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_order": "month"}, "in_order= names 'month', which Day has not"),
        ({"in_order": "day", "overlap": "skip"}, "overlap='skip' drops, delays or joins"),
        ({"in_order": "day", "not_before": 60}, "not_before="),
        ({"in_order": "day", "if_dead": "stop"}, "if_dead='stop' is neither 'hold' nor 'skip'"),
        ({"if_dead": "skip"}, "if_dead='skip' is for runs in an order; say which: in_order='day'"),
    ],
)
def test_what_contradicts_an_order_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(WiringError) as refused:
        App("a").on(Day, name="job", **options)(Bench().job)
    assert words in str(refused.value)


def test_an_order_that_cannot_be_computed_stands_in_nobodys_way(start: Start) -> None:
    bench = Bench(in_order=lambda event: [event.day])
    bench.go = True
    life = start(bench.app)
    life.send(day(2), day(1))
    assert bench.begun == [2, 1]

"""How often runs start (`throttle=`), how many are taken in (`rate_limit=`), and of which only the newest waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.kit import Life, Start, delivery
from triggers import App, Event, Rate, Retry
from triggers.errors import WiringError
from triggers.scheduling.flows import WINDOW
from triggers.testing import START


class Call(Event):
    n: int = 0
    customer: str | None = None


class Log:
    """An app with one route, which notes what it is called with."""

    def __init__(self, **options: Any) -> None:
        self.called: list[int] = []
        self.fails = 0
        self.app = App("a")
        self.app.on(Call, name="job", **options)(self.job)

    async def job(self, event: Call) -> None:
        self.called.append(event.n)
        if self.fails:
            self.fails -= 1
            raise OSError("busy")


def calls(numbers: range, customer: str | None = None) -> list[Call]:
    return [Call(n=n, customer=customer) for n in numbers]


def test_no_more_runs_start_in_any_such_time_than_throttle_says(start: Start) -> None:
    log = Log(throttle=Rate(2, per=60))
    life = start(log.app)
    life.send(Call(n=0))
    life.advance(50)
    life.send(*calls(range(1, 5)))
    assert log.called == [0, 1]
    life.advance(9)
    assert log.called == [0, 1]
    life.advance(1)
    assert log.called == [0, 1, 2]
    life.advance(50)
    assert log.called == [0, 1, 2, 3]


def test_throttle_counts_each_key_for_itself(start: Start) -> None:
    log = Log(throttle=Rate(1, per=60), key="customer")
    life = start(log.app)
    life.send(*calls(range(0, 2), "a"), *calls(range(2, 4), "b"))
    assert log.called == [0, 2]
    life.advance(60)
    assert log.called == [0, 2, 1, 3]


def test_an_attempt_counts_as_a_start(start: Start) -> None:
    log = Log(throttle=Rate(1, per=60), retry=Retry(on=OSError, attempts=3))
    log.fails = 1
    life = start(log.app)
    life.send(Call(n=7))
    life.advance(59)
    assert log.called == [7]
    life.advance(2)
    assert log.called == [7, 7]


def test_after_a_crash_the_starts_before_it_still_count(start: Start) -> None:
    log = Log(throttle=Rate(2, per=60))
    life = start(log.app)
    life.send(*calls(range(0, 3)))
    life.advance(30)
    life.crash()
    life = start(log.app, life.clock)
    life.settle()
    assert log.called == [0, 1]
    life.advance(30)
    assert log.called == [0, 1, 2]
    assert life.ask("SELECT count(*) FROM counted") == [(1,)]


def test_a_duplicate_counts_as_no_start(start: Start) -> None:
    log = Log(throttle=Rate(2, per=60))
    life = start(log.app)
    life.append(delivery(Call(n=1), id="x"), delivery(Call(n=1), id="x"), delivery(Call(n=2), id="y"))
    life.settle()
    assert log.called == [1, 2]


def test_a_clock_that_was_set_back_holds_nothing_up_for_longer_than_the_rate_says(start: Start) -> None:
    log = Log(throttle=Rate(1, per=60))
    life = start(log.app)
    life.send(Call(n=1))
    life.clock.set_wall(START - timedelta(days=1))
    life.send(Call(n=2))
    life.advance(61)
    assert log.called == [1, 2]


def test_to_drain_an_app_waits_for_what_is_throttled(start: Start) -> None:
    log = Log(throttle=Rate(1, per=60))
    life = start(log.app)
    life.send(*calls(range(0, 3)))

    async def drained() -> None:
        draining = asyncio.ensure_future(life.engine.drained())
        while not draining.done():
            life.clock.step(life.clock.monotonic() + 1000)
            await asyncio.sleep(0)

    life.run(drained())
    assert log.called == [0, 1, 2]


def test_what_comes_too_often_is_dropped_and_the_record_says_why(start: Start) -> None:
    log = Log(rate_limit=Rate(2, per=60), key="customer")
    life = start(log.app)
    life.send(*calls(range(0, 3), "a"), *calls(range(3, 4), "b"))
    assert log.called == [0, 1, 3]
    dropped = [run for run in life.runs() if run.state == "dropped"]
    assert [run.error for run in dropped] == ["2 had come within 60 s before it (rate_limit=Rate(2, per=60))"]
    life.advance(60)
    life.send(Call(n=4, customer="a"))
    assert log.called == [0, 1, 3, 4]


def test_a_clock_that_was_set_back_lets_a_rate_limit_drop_for_no_longer_than_it_says(start: Start) -> None:
    log = Log(rate_limit=Rate(1, per=60))
    life = start(log.app)
    life.send(Call(n=1))
    life.clock.set_wall(START - timedelta(days=1))
    life.send(Call(n=2))
    life.advance(61)
    life.send(Call(n=3))
    assert log.called == [1, 3]


def test_what_a_rate_limit_has_taken_in_counts_after_a_crash_and_what_it_dropped_does_not(start: Start) -> None:
    log = Log(rate_limit=Rate(1, per=60))
    life = start(log.app)
    life.send(Call(n=0))
    life.advance(30)
    life.send(Call(n=1))
    life.crash()
    life = start(log.app, life.clock)
    life.send(Call(n=2))
    life.advance(30)
    life.send(Call(n=3))
    assert log.called == [0, 3]


def test_a_rate_limit_drops_what_comes_behind_more_runs_than_are_held_in_memory(start: Start) -> None:
    taken = 2 * WINDOW + 1
    life = start(Log(rate_limit=Rate(taken, per=60)).app)
    life.dispatcher.admission.closed = True
    life.append(*calls(range(taken)))
    life.append(*calls(range(3)))
    assert life.dispatcher.counts["dropped"] == 3


def test_a_rate_limit_decides_before_the_overlap_does(start: Start) -> None:
    log = Log(rate_limit=Rate(1, per=60), overlap="skip")
    life = start(log.app)
    life.send(*calls(range(0, 2)))
    life.send(Call(n=2))
    assert [run.error and run.error.split("(")[1] for run in life.runs()] == [
        None,
        "rate_limit=Rate",
        "rate_limit=Rate",
    ]


class Held:
    """An app with one route whose runs go on until they are let go."""

    def __init__(self, **options: Any) -> None:
        self.begun: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.app = App("a")
        self.app.on(Call, name="job", **options)(self.job)

    async def job(self, event: Call) -> None:
        self.begun.append(event.n)
        await self.gates.setdefault(event.n, asyncio.Event()).wait()

    def let_go(self, life: Life, n: int) -> None:
        self.gates[n].set()
        life.until(lambda: life.dispatcher.counts["done"] and not life.dispatcher.pipeline.busy)


def told(life: Life, *events: Event) -> None:
    life.append(*events)
    life.until(lambda: not life.dispatcher.pipeline.busy)


def test_of_those_that_wait_only_the_newest_stays_and_what_is_at_work_ends(start: Start) -> None:
    held = Held(overlap="newest", key="customer")
    life = start(held.app)
    told(life, Call(n=0, customer="a"))
    told(life, Call(n=1, customer="a"))
    told(life, Call(n=2, customer="a"), Call(n=3, customer="a"), Call(n=4, customer="b"))
    assert held.begun == [0, 4]
    held.let_go(life, 0)
    life.until(lambda: 3 in held.begun)
    assert held.begun == [0, 4, 3]
    assert [run.state for run in life.runs()] == ["done", "dropped", "dropped", "running", "running"]
    assert life.runs()[1].error == "r4 has taken its place (overlap='newest')"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Rate(0, per=60), "Rate(0) will not do"),
        (lambda: Rate(2, per=float("inf")), "Rate(2): per=inf is no span of time of a thousand years at most"),
        (lambda: Rate(2), "Rate(2): per= is missing; write seconds"),  # type: ignore[call-overload]  # that is the point
        (lambda: Rate(2.5, per=1), "a whole number above 0"),  # type: ignore[arg-type]  # that is the point
        (lambda: Log(throttle=10), "throttle=10 will not do; write e.g. throttle=Rate(10, per=60)"),
    ],
)
def test_a_rate_that_is_none_is_refused(wrong: Callable[[], object], words: str) -> None:
    with pytest.raises(WiringError, match=words.replace("(", r"\(").replace(")", r"\)")):
        wrong()

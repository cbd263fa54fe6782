"""What a route tells its runs apart by: bounds, order and priority by the event."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from typing import Any

import pytest

from tests.kit import Life, Start, delivery
from triggers import App, Event
from triggers.errors import WiringError
from triggers.requests import Redrive, accept
from triggers.scheduling.holdings import FEW


class Order(Event):
    customer: str | None = None
    n: int = 0
    urgent: bool = False


def cancels() -> int:
    raise asyncio.CancelledError


class Bench:
    """An app with one route, whose handler begins, waits until it is let go, and ends."""

    def __init__(self, **options: Any) -> None:
        self.begun: list[int] = []
        self.go: dict[int, asyncio.Event] = {}
        self.app = App("a")
        self.app.on(Order, name="job", **options)(self.job)

    async def job(self, event: Order) -> None:
        self.begun.append(event.n)
        await self.go.setdefault(event.n, asyncio.Event()).wait()

    def let_go(self, life: Life, n: int) -> None:
        async def open_gate() -> None:
            self.go.setdefault(n, asyncio.Event()).set()

        running = life.dispatcher.counts["done"]
        life.run(open_gate())
        life.until(lambda: life.dispatcher.counts["done"] > running and not life.dispatcher.pipeline.busy)


def sent(life: Life, *events: Event) -> None:
    life.append(*events)
    life.until(lambda: not life.dispatcher.pipeline.busy)


def test_no_more_runs_of_one_key_are_at_work_than_per_key_says_and_no_key_waits_for_another(start: Start) -> None:
    bench = Bench(key="customer", per_key=1)
    life = start(bench.app)
    sent(life, *(Order(customer=name, n=n) for n, name in enumerate("aaabba")))
    assert bench.begun == [0, 3]
    bench.let_go(life, 3)
    assert bench.begun == [0, 3, 4]
    bench.let_go(life, 0)
    assert bench.begun == [0, 3, 4, 1]


def test_runs_without_a_key_are_bounded_by_no_other(start: Start) -> None:
    bench = Bench(key="customer", per_key=1)
    sent(start(bench.app), Order(n=1), Order(n=2), Order(n=3, customer="a"))
    assert bench.begun == [1, 2, 3]


def test_a_crash_leaves_no_place_of_a_key_taken(start: Start) -> None:
    bench = Bench(key="customer", per_key=1)
    life = start(bench.app)
    sent(life, Order(n=1, customer="a"), Order(n=2, customer="a"))
    life.crash()
    bench.begun.clear()
    bench.go.clear()
    life = start(bench.app)
    life.until(lambda: bench.begun and not life.dispatcher.pipeline.busy)
    assert bench.begun == [1]
    bench.let_go(life, 1)
    assert bench.begun == [1, 2]


def test_the_bounds_of_keys_are_forgotten_with_their_runs(start: Start) -> None:
    bench = Bench(key=lambda event: event.n, per_key=1)
    life = start(bench.app)
    before = dict(life.dispatcher.admission.holdings.capacity)
    sent(life, *(Order(n=n) for n in range(20)))
    for n in range(20):
        bench.let_go(life, n)
    life.settle()
    assert life.dispatcher.admission.holdings.capacity == life.dispatcher.admission.holdings.free == before


def test_the_bounds_of_keys_are_forgotten_whose_runs_never_start(start: Start) -> None:
    bench = Bench(key=lambda event: event.n, per_key=1, concurrency=1, expires=60)
    life = start(bench.app)
    for n in range(0, 4 * FEW, FEW):
        sent(life, *(Order(n=n + one) for one in range(FEW)))
        life.clock.step(life.clock.monotonic() + 61)
        life.until(lambda n=n: life.dispatcher.counts["dropped"] >= n + FEW - 1 and not life.dispatcher.pipeline.busy)
    assert len(life.dispatcher.admission.holdings.capacity) < 2 * FEW


def test_overlap_is_about_runs_of_one_key_where_there_are_keys(start: Start) -> None:
    bench = Bench(key="customer", overlap="skip")
    life = start(bench.app)
    sent(life, Order(n=1, customer="a"), Order(n=2, customer="b"), Order(n=3, customer="a"))
    assert [run.state for run in life.runs("job")] == ["running", "running", "dropped"]


@pytest.mark.parametrize("overlap", ["queue", "newest"])
def test_runs_without_a_key_do_not_overlap_where_runs_must_not(start: Start, overlap: str) -> None:
    bench = Bench(key="customer", overlap=overlap)
    life = start(bench.app)
    for n in range(3):
        sent(life, Order(n=n))
        life.until(lambda: bench.begun)
    life.until(lambda: not life.dispatcher.pipeline.busy)
    assert len(life.dispatcher.running) == 1


def test_a_run_is_not_started_again_by_hand_before_the_attempt_has_ended_that_was_replaced(start: Start) -> None:
    begun: list[int] = []
    ends = asyncio.Event()
    app = App("a")

    @app.on(Order, name="job", key="customer", overlap="replace")
    async def job(event: Order) -> None:
        begun.append(event.n)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await ends.wait()
            raise

    life = start(app)
    sent(life, Order(n=1))
    sent(life, Order(n=2))

    async def redriven() -> None:
        await accept(life.dispatcher, [delivery(Redrive(runs=[1]))])

    life.run(redriven())
    life.until(lambda: not life.dispatcher.pipeline.busy)
    assert begun == [1]
    assert [run.state for run in life.runs("job")] == ["waiting", "waiting"]


def test_replace_ends_the_runs_of_its_own_key_only(start: Start) -> None:
    bench = Bench(key="customer", overlap="replace")
    life = start(bench.app)
    sent(life, Order(n=1, customer="a"), Order(n=2, customer="b"))
    sent(life, Order(n=3, customer="a"))
    life.until(lambda: 3 in bench.begun)
    assert [run.state for run in life.runs("job")] == ["dropped", "running", "running"]


def test_a_priority_may_be_computed_from_the_event(start: Start) -> None:
    bench = Bench(concurrency=1, priority=lambda event: 10 if event.urgent else 0)
    life = start(bench.app)
    sent(life, Order(n=1), Order(n=2), Order(n=3, urgent=True))
    bench.let_go(life, bench.begun[0])
    assert bench.begun[:2] in ([3, 1], [1, 3])
    assert [run.priority for run in life.runs("job")] == [0, 0, 10]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"key": lambda event: event.missing}, "key= failed for e1: AttributeError"),
        ({"key": lambda event: [1]}, "key= failed for e1: TypeError('it is neither text nor a number: [1]')"),
        ({"priority": lambda event: "high"}, "priority= failed for e1: TypeError(\"it is no whole number: 'high'\")"),
        ({"key": lambda event: "\ud800"}, "key= failed for e1: UnicodeEncodeError"),
        ({"key": lambda event: sys.exit(3)}, "key= failed for e1: SystemExit(3)"),
        ({"priority": lambda event: cancels()}, "priority= failed for e1: CancelledError()"),
        ({"priority": lambda event: 2**63}, "priority= failed for e1: ValueError('it is a whole number of more than"),
        ({"in_order": lambda event: -(2**63) - 1}, "in_order= failed for e1: ValueError('it is a whole number of more"),
        ({"in_order": lambda event: float("nan")}, "in_order= failed for e1: ValueError('it is no number: nan')"),
        ({"in_order": lambda event: Decimal("nan")}, "in_order= failed for e1: ValueError('it is no number: nan')"),
    ],
)
def test_what_cannot_be_computed_is_said_and_stands_in_no_events_way(
    start: Start, caplog: pytest.LogCaptureFixture, option: dict[str, Any], words: str
) -> None:
    bench = Bench(**option)
    sent(start(bench.app), Order(n=1))
    assert bench.begun == [1]
    assert words in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "custmer"}, r"key= names 'custmer', which Order has not; did you mean 'customer'\?"),
        ({"per_key": 2}, r"per_key=2 counts the runs of a key; say which: key='customer'"),
        ({"key": "customer", "per_key": 0}, r"per_key=0 must be more than 0"),
        ({"key": "customer", "per_key": 2, "overlap": "skip"}, r"runs one at a time, which per_key=2 contradicts"),
        ({"priority": 2**63}, r"priority=9223372036854775808 has more than 64 bits"),
        ({"key": 5}, r"key=5 will not do; write e.g. key='customer'"),
        ({"key": "n.x"}, r"key= names 'n.x', but int has no field 'x'"),
        ({"key": str}, r"key=str is a class; write the name of a field, or a function of the event"),
        ({"key": asyncio.sleep}, r"key=sleep is `async`, and what it computes is not waited for"),
        ({"key": lambda: "a"}, r"is called with the event alone, and that will not do: too many positional arguments"),
        ({"key": "customer", "per_key": True}, r"per_key=True will not do; write e.g. per_key=1"),
    ],
)
def test_keys_that_will_not_do_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(WiringError, match=words):
        Bench(**options)

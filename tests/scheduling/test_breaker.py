"""A downstream that is down is left alone, and tried again with one run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life
from triggers import App, Breaker, Downstream, Event, Later, Reject, Retry
from triggers.check.graph import refuse
from triggers.errors import WiringError
from triggers.scheduling.breaker import Circuit
from triggers.scheduling.terms import Terms
from triggers.testing import FakeClock

Start = Callable[[App], Life]


class Job(Event):
    does: str = "call"


class Warehouse:
    """An app with two routes that call a warehouse and one that does not, and what became of each call."""

    def __init__(self, downstream: Downstream | None = None, **options: Any) -> None:
        self.down = False
        self.at_work = self.most = 0
        self.calls: list[str] = []
        self.app = App("a", downstreams={"warehouse": downstream or Downstream(breaker=Breaker(failures=3, pause=30))})
        calls = {"does": ["call", "reject", "later", "hang"]}
        self.app.on(Job, name="load", downstream="warehouse", where=calls, **options)(self.load)
        self.app.on(Job, name="report", downstream="warehouse", where={"does": ["report"]}, **options)(self.load)
        self.app.on(Job, name="other", where={"does": ["other"]}, **options)(self.other)

    async def load(self, event: Job) -> None:
        self.calls.append(event.does)
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        for _ in range(20):  # so that all that may be at work together are
            await asyncio.sleep(0)
        if event.does == "hang":
            await asyncio.Event().wait()
        self.at_work -= 1
        if event.does == "reject":
            raise Reject("no such table")
        if event.does == "later":
            raise Later("busy", seconds=1000)
        if self.down:
            raise ConnectionError("refused")

    async def other(self, event: Job) -> None:
        self.calls.append(event.does)


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


def broken(start: Start, **options: Any) -> tuple[Warehouse, Life]:
    """Return an app whose warehouse has gone down, and a load that waits for it."""
    shop = Warehouse(retry=Retry(attempts=1), **options)
    life = start(shop.app)
    shop.down = True
    life.send(Job(), Job(), Job())
    assert shop.calls == ["call"] * 3
    shop.calls.clear()
    life.send(Job(), Job(), Job(does="report"))
    assert shop.calls == []
    return shop, life


def sent(life: Life, *jobs: Job, seconds: float = 0) -> None:
    """Send jobs of which some may never end, and let time pass."""
    if jobs:
        life.append(*jobs)

    async def passing() -> None:
        until = life.clock.monotonic() + seconds
        while True:
            for _ in range(200):
                await asyncio.sleep(0)
            if not life.clock.step(until):
                return

    life.run(passing())


def test_after_some_failures_nothing_that_calls_it_starts_and_the_reason_is_given(start: Start) -> None:
    shop, life = broken(start)
    life.send(Job(does="other"))
    assert shop.calls == ["other"]
    (closed,) = life.dispatcher.admission.closures.of("load")
    assert closed.reason.startswith("breaker of warehouse is open until ")
    assert closed.reason.endswith(" after 3 failures: ConnectionError; then one run tries whether it is back")
    assert closed.until == life.clock.now() + 30


def test_one_run_tries_whether_it_is_back_and_then_all_go_on(start: Start) -> None:
    shop, life = broken(start)
    life.advance(29)
    assert shop.calls == []
    shop.down = False
    life.advance(1)
    assert sorted(shop.calls) == ["call", "call", "report"]


def test_while_one_run_tries_no_other_starts_and_it_waits_longer_after_each_that_fails(start: Start) -> None:
    shop, life = broken(start)
    for wait in (30, 60):
        life.advance(wait - 1)
        assert shop.calls == []
        life.advance(1)
        assert len(shop.calls) == 1
        shop.calls.clear()
    (closed,) = life.dispatcher.admission.closures.of("load") or life.dispatcher.admission.closures.of("report")
    assert closed.reason.endswith(" after another failure: ConnectionError; then one run tries whether it is back")
    assert closed.until == life.clock.now() + 120


def test_a_start_begins_closed_and_tries(start: Start) -> None:
    shop, life = broken(start)
    life.crash()
    shop.down = False
    start(shop.app).settle()
    assert sorted(shop.calls) == ["call", "call", "report"]


@pytest.mark.parametrize("does", ["reject", "later"])
def test_what_says_nothing_of_the_downstream_does_not_count(start: Start, does: str) -> None:
    shop = Warehouse()
    life = start(shop.app)
    life.send(*[Job(does=does)] * 10)
    assert shop.calls == [does] * 10
    life.send(Job())
    assert shop.calls[-1] == "call"


def test_a_trial_that_says_nothing_is_followed_by_another(start: Start) -> None:
    shop = Warehouse(retry=Retry(attempts=1))
    life = start(shop.app)
    shop.down = True
    life.send(Job(), Job(), Job())
    life.append(Job(does="later"), Job())
    shop.down = False
    life.advance(30)
    assert shop.calls == ["call", "call", "call", "later", "call"]


def test_what_hangs_since_before_it_opened_keeps_no_trial_from_starting(start: Start) -> None:
    shop = Warehouse(retry=Retry(attempts=1))
    life = start(shop.app)
    sent(life, Job(does="hang"))
    shop.down = True
    sent(life, Job(), Job(), Job())
    shop.down = False
    sent(life, Job(), Job())
    assert shop.calls == ["hang", "call", "call", "call"]
    sent(life, seconds=30)
    assert shop.calls[4:] == ["call", "call"]


def test_a_trial_that_hangs_is_followed_by_another_after_a_pause_that_grows(start: Start) -> None:
    shop = Warehouse(retry=Retry(attempts=1))
    life = start(shop.app)
    shop.down = True
    sent(life, Job(), Job(), Job())
    shop.calls.clear()
    sent(life, Job(does="hang"), Job(does="hang"), Job(), Job())
    for pause, calls in ((30, ["hang"]), (29, ["hang"]), (1, ["hang"] * 2), (59, ["hang"] * 2)):
        sent(life, seconds=pause)
        assert shop.calls == calls
    (closed,) = life.dispatcher.admission.closures.of("load")
    assert (closed.until, closed.opens) == (life.clock.now() + 1, False)
    assert closed.reason.endswith(" was open after 3 failures: ConnectionError, and r5 tries whether it is back")
    shop.down = False
    sent(life, seconds=1)
    assert shop.calls == ["hang", "hang", "call", "call"]


def test_a_trial_that_ends_well_after_another_was_let_through_closes_it_and_one_that_fails_then_is_no_news() -> None:
    circuit = Circuit("warehouse", Breaker(failures=1, pause=30))
    circuit.start(1, 0.0)
    circuit.end(1, 0.0, "OSError")
    for run, moment in ((2, 30.0), (3, 60.0), (4, 120.0)):
        assert circuit.closed(moment, Terms(0), None) is None
        circuit.start(run, moment)
    circuit.end(2, 121.0, "OSError")
    assert circuit.closed(121.0, Terms(0), None).until == 240.0  # type: ignore[union-attr]  # it is closed
    circuit.end(3, 122.0, None)
    assert not circuit.shut


def test_a_few_failures_among_many_that_went_well_open_nothing(start: Start) -> None:
    shop = Warehouse(retry=Retry(attempts=1))
    life = start(shop.app)
    life.send(*[Job()] * 10)
    shop.down = True
    life.send(*[Job()] * 8)
    assert len(shop.calls) == 18
    life.advance(61)
    life.send(*[Job()] * 2, Job())
    assert len(shop.calls) == 21


def test_a_clock_that_is_set_back_holds_nothing_up_for_longer(start: Start, clock: FakeClock) -> None:
    shop, life = broken(start)
    shop.down = False
    clock.set_wall(datetime(2020, 1, 1, tzinfo=UTC))
    life.advance(120)
    assert sorted(shop.calls) == ["call", "call", "report"]


def test_routes_of_a_downstream_are_bounded_together(start: Start) -> None:
    shop = Warehouse(Downstream(concurrency=2))
    life = start(shop.app)
    life.send(*[Job(), Job(does="report")] * 3)
    assert (len(shop.calls), shop.most) == (6, 2)


def test_what_began_before_it_opened_neither_closes_it_nor_counts_as_its_trial() -> None:
    circuit = Circuit("warehouse", Breaker(failures=2, pause=30))
    for run in range(5):
        circuit.start(run, 0.0)
    for run, error in enumerate(["OSError", "OSError", None]):
        circuit.end(run, 1.0, error)
    assert circuit.shut
    circuit.start(9, 31.0)
    circuit.end(3, 32.0, None)
    assert circuit.shut
    circuit.end(9, 33.0, None)
    assert not circuit.shut


def test_a_downstream_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    app = App("a", downstreams={"warehouse": Downstream()})
    app.on(Job, downstream="warehuose")(Warehouse().other)
    with pytest.raises(WiringError, match=r"no downstream 'warehuose'; did you mean 'warehouse'\?"):
        refuse(app, tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Breaker(failures=0), r"Breaker\(failures=0\): write a whole number above 0"),
        (lambda: Breaker(share=2), r"Breaker\(share=2\): write a part of all attempts"),
        (lambda: Breaker(share=True), r"Breaker\(share=True\): write a part of all attempts"),
        (lambda: Breaker(pause=900), r"Breaker\(pause=900\): .* at most longest=600"),
        (lambda: Breaker(within=0), "Breaker: within=0 is no span of time above 0"),
        (lambda: Downstream(concurrency=0), r"Downstream\(concurrency=0\)"),
        (lambda: Downstream(breaker=5), r"Downstream\(breaker=5\)"),  # type: ignore[arg-type]  # what is refused
        (lambda: App("a", downstreams={"warehouse": 8}), r"write e.g. downstreams={'warehouse': Downstream\(\)}"),  # type: ignore[dict-item]  # what is refused
    ],
)
def test_values_that_make_no_sense_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(WiringError, match=words):
        make()

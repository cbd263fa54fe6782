"""`@simulate`, as its users see it: what it finds, what it tells of it, and that it always finds the same."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from triggers import App, Event, Folder, ObjectCreated, Retry, Tick, every
from triggers.errors import WiringError
from triggers.faults.loop import StuckError, VirtualLoop
from triggers.faults.search import FAILURES, SEED, reduce
from triggers.faults.seeds import Fault, Faults, read
from triggers.testing import START, FakeClock, Harness, boundary, simulate

Make = Callable[[App], Harness]


class Ordered(Event):
    number: int


class Billed(Event):
    number: int


class Stocked(Event):
    number: int


def shop(charges: list[str], *, keyed: bool) -> App:
    app = App("shop")

    @app.on(Ordered)
    def bill(event: Ordered) -> Billed:
        if not keyed or str(event.number) not in charges:
            charges.append(str(event.number))
        return Billed(number=event.number)

    return app


def charged_once(harness: Make, *, keyed: bool) -> None:
    charges: list[str] = []
    pipeline = harness(shop(charges, keyed=keyed))
    pipeline.send(Ordered(number=1), Ordered(number=2))
    pipeline.advance(minutes=10)
    assert len(pipeline.events(Billed)) == 2
    assert sorted(charges) == ["1", "2"]


def failure(test: Callable[..., None]) -> tuple[BaseException, str]:
    """Return what a simulated test fails with, and what is told of it."""
    with pytest.raises(FAILURES) as raised:
        test()
    return raised.value, "\n".join(raised.value.__notes__)


def test_a_handler_that_is_not_idempotent_is_found_and_told_with_the_fewest_faults() -> None:
    @simulate(seeds=50, faults=["crash", "order", "slow", "late"])
    def orders(harness: Make) -> None:
        charged_once(harness, keyed=False)

    error, told = failure(orders)
    assert isinstance(error, AssertionError)
    before, enough = map(int, re.findall(r"with (\d+) faults; (\d+) of them", told)[0])
    assert enough <= 3 < before
    assert "the process dies" in told
    assert "bill r1 begins attempt 2" in told or "bill r2 begins attempt 2" in told


def test_one_that_is_idempotent_passes() -> None:
    @simulate(seeds=50)
    def orders(harness: Make) -> None:
        charged_once(harness, keyed=True)

    orders()


def test_an_order_that_was_assumed_is_found() -> None:
    stock: set[int] = set()
    app = App("warehouse")

    @app.on(Stocked)
    async def store(event: Stocked) -> None:
        stock.add(event.number)

    @app.on(Ordered, retry=Retry(on=OSError, attempts=1))
    async def take(event: Ordered) -> None:
        stock.remove(event.number)

    @simulate(seeds=50)
    def orders(harness: Make) -> None:
        stock.clear()
        pipeline = harness(app)
        pipeline.send(Stocked(number=1))
        pipeline.send(Ordered(number=1))
        assert pipeline.dead == []

    _, told = failure(orders)
    assert "take r1 comes to Dead: KeyError: 1" in told


def test_what_a_look_came_between_arrives_in_its_order() -> None:
    @simulate(seeds=30)
    def orders(harness: Make) -> None:
        pipeline = harness(shop([], keyed=True))
        for number in range(3):
            pipeline.send(Ordered(number=number))
            pipeline.settle()
        assert [event.number for event in pipeline.events(Ordered)] == [0, 1, 2]

    orders()


def test_the_schedule_of_a_report_has_the_same_happen() -> None:
    @simulate(seeds=50, faults=["crash"])
    def orders(harness: Make) -> None:
        charged_once(harness, keyed=False)

    error, told = failure(orders)
    schedule = told.rpartition("schedule='")[2].partition("'")[0]

    @simulate(schedule=schedule)
    def again(harness: Make) -> None:
        charged_once(harness, keyed=False)

    with pytest.raises(AssertionError) as raised:
        again()
    assert str(raised.value) == str(error)


def test_what_fails_in_pytests_own_way_is_told_with_its_seed_too() -> None:
    @simulate(seeds=50, faults=["crash"])
    def orders(harness: Make) -> None:
        charges: list[str] = []
        pipeline = harness(shop(charges, keyed=False))
        pipeline.send(Ordered(number=1))
        pipeline.settle()
        with pytest.raises(IndexError):
            charges[1]

    _, told = failure(orders)
    assert "1 of them are enough:\n  - the process dies" in told


def test_what_does_not_fail_again_is_told_with_all_that_happened() -> None:
    times = count(1)

    @simulate(seeds=50, faults=["crash"])
    def orders(harness: Make) -> None:
        pipeline = harness(shop([], keyed=True))
        pipeline.send(Ordered(number=1))
        pipeline.settle()
        assert next(times) != 7

    _, told = failure(orders)
    assert told.startswith("seed 6 fails, with 0 faults, and did not fail with the same ones again: something depends")
    assert "it fails without any" not in told
    assert "bill r1 begins attempt 1" in told


def test_only_the_seed_is_tried_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    @simulate(seeds=50)
    def orders(harness: Make) -> None:
        tried.append(1)

    monkeypatch.setenv(SEED, "17")
    orders()
    assert len(tried) == 1


STORY = """
from tests.faults.test_simulate import charged_once
from triggers.faults.search import Scenario
from triggers.faults.seeds import Faults
for seed in range(8):
    faults = Faults(seed)
    Scenario(lambda harness: charged_once(harness, keyed=True), (), {}).carry_out(faults)
    print(seed, *faults.taken, *faults.story)
"""


def test_a_seed_has_the_same_happen_in_every_process() -> None:
    def told(hashing: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": hashing}
        return subprocess.run([sys.executable, "-c", STORY], env=environment, capture_output=True, check=True).stdout

    first = told("1")
    assert b"begins attempt 2" in first
    assert told("2") == first


def test_a_file_is_one_event_however_often_the_process_dies() -> None:
    app = App("files", sources=[Folder("incoming")])
    seen: list[str] = []

    @app.on(ObjectCreated)
    def take(event: ObjectCreated) -> Billed:
        seen.append(event.key)
        return Billed(number=int(event.path().read_text()))

    @simulate(seeds=30)
    def files(harness: Make) -> None:
        pipeline = harness(app)
        pipeline.drop("incoming", "a.csv", "1")
        pipeline.drop("incoming", "b.csv", "2")
        pipeline.advance(minutes=10)
        assert sorted(event.number for event in pipeline.events(Billed)) == [1, 2]

    files()
    assert len(seen) > 60  # some of them twice: the process had died


def test_a_schedule_fires_once_for_each_instant_whatever_the_wall_clock_does() -> None:
    app = App("hourly")

    @app.on(every(hours=1))
    def tick(event: Tick) -> None: ...

    @simulate(seeds=30, faults=["clock", "crash", "order"])
    def hours(harness: Make) -> None:
        pipeline = harness(app)
        pipeline.advance(hours=5)
        due = Counter(event.due for event in pipeline.events(Tick))
        assert max(due.values()) == 1
        assert len(due) >= 5

    hours()


def test_what_stands_in_for_another_system_says_where_the_process_may_die() -> None:
    @simulate(schedule="crash@effect:1")
    def dies(harness: Make) -> None:
        sent: list[str] = []
        app = App("two")

        @app.on(Ordered)
        def tell(event: Ordered) -> None:
            if "mail" not in sent:
                sent.append("mail")
                boundary()
                sent.append("bill")

        pipeline = harness(app)
        pipeline.send(Ordered(number=1))
        pipeline.settle()
        assert sent == ["mail"]

    dies()


def test_what_is_made_once_in_a_process_is_made_again_by_the_next_and_never_cleaned_up_behind() -> None:
    told: list[str] = []
    app = App("once")

    @app.resource
    def connection() -> Iterator[str]:
        told.append("made")
        yield "connection"
        told.append("cleaned up")

    @app.on(Ordered)
    def use(event: Ordered) -> None:
        told.append(connection())

    @simulate(schedule="crash@end:1")
    def dies(harness: Make) -> None:
        pipeline = harness(app)
        pipeline.send(Ordered(number=1))
        pipeline.settle()
        assert told == ["made", "connection", "made", "connection"]

    dies()


def test_the_time_of_an_attempt_is_virtual() -> None:
    app = App("patient")

    @app.on(Ordered, timeout=3600, retry=Retry(attempts=1))
    async def wait(event: Ordered) -> None:
        await asyncio.sleep(1800 if event.number else 7200)

    @simulate(seeds=1, faults=[])
    def orders(harness: Make) -> None:
        pipeline = harness(app)
        pipeline.send(Ordered(number=1), Ordered(number=0))
        [dead] = pipeline.dead
        assert dead.error == "HandlerError: handler 'wait' ran out of time: timeout=3600 s"
        assert pipeline.clock.now() == START.timestamp() + 3600

    orders()


def test_arguments_of_pytest_go_through_and_harness_is_asked_of_nobody(tmp_path: Path) -> None:
    @simulate(seeds=2)
    def folders(harness: Make, tmp_path: Path) -> None:
        assert tmp_path.exists()

    folders(tmp_path=tmp_path)
    with pytest.raises(WiringError, match="plain is simulated but does not take `harness`"):

        @simulate(seeds=2)
        def plain() -> None: ...


def test_a_test_of_which_nothing_would_be_carried_out_is_refused() -> None:
    with pytest.raises(WiringError, match="orders is simulated but is no plain function"):

        @simulate(seeds=2)
        async def orders(harness: Make) -> None: ...  # type: ignore[arg-type]  # that is the point

    with pytest.raises(WiringError, match="seeds=0 are none, so nothing would be tried"):
        simulate(seeds=0)
    with pytest.raises(WiringError, match="it is written with brackets"):

        @simulate  # type: ignore[arg-type]  # the same
        def bare(harness: Make) -> None: ...


def test_faults_that_nobody_knows_are_refused_by_name() -> None:
    with pytest.raises(WiringError, match="no fault is called 'crush'; there are order, clock, crash"):
        simulate(faults=["crush"])
    for wrong in ("crash@comit:3", "late=soon@delivery:1", "crash@commit", "crash@commit:first"):
        with pytest.raises(WiringError, match=f"no fault is called '{wrong}'"):
            read(wrong)


def test_a_seed_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    @simulate(seeds=1)
    def orders(harness: Make) -> None: ...

    monkeypatch.setenv(SEED, "seventeen")
    with pytest.raises(WiringError, match=f"{SEED}=seventeen is no seed; name one as a report does: {SEED}=17"):
        orders()


def test_an_hour_of_the_virtual_loop_takes_no_time_and_what_never_comes_is_told() -> None:
    clock = FakeClock()
    loop = VirtualLoop(clock, lambda ready: None)

    async def hour() -> float:
        async with asyncio.timeout(4000):
            await asyncio.sleep(3600)
        return clock.monotonic()

    assert loop.run(hour()) == 4600.0
    with pytest.raises(StuckError, match="a wake-up was lost"):
        loop.run(asyncio.Event().wait())
    loop.bury()


def test_faults_are_left_out_until_each_of_them_counts() -> None:
    faults = [Fault("crash", "commit", at) for at in range(1, 100)]
    needed, kept = {faults[7], faults[50], faults[51]}, list(faults)

    def fails(some: Sequence[Fault]) -> bool:
        nonlocal kept
        kept = list(some) if needed <= set(some) else kept
        return needed <= set(some)

    reduce(faults, fails, lambda: False)
    assert set(kept) == needed


def test_a_schedule_is_read_as_it_is_written() -> None:
    faults = Faults(5)
    for _ in range(300):
        faults.at("turn")
        faults.at("delivery")
    assert read(" ".join(map(str, faults.taken))) == faults.taken

"""What becomes of a run that comes while an earlier one of its route is open."""

from __future__ import annotations

import asyncio
from copy import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.kit import Life, Start, delivery
from triggers import App, Event, Later, Retry, Tick, every
from triggers.attempt import NOTHING
from triggers.commands.logs import log_run
from triggers.errors import WiringError
from triggers.requests import Backfill, PauseRoutes, Redrive, accept
from triggers.testing import FakeClock


class A(Event):
    n: int = 0


class B(Event):
    n: int = 0


class Bench:
    """An app with one route, whose handler starts, waits until it is let go, and ends."""

    def __init__(self, overlap: str, **policy: Any) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.killed: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.app = App("a")
        self.app.on(A, name="job", overlap=overlap, **policy)(self.job)
        self.app.on(B)(self.other)

    async def job(self, event: A) -> B:
        self.begun.append(event.n)
        try:
            await self.gates.setdefault(event.n, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.killed.append(event.n)
            raise
        self.ended.append(event.n)
        return B(n=event.n)

    async def other(self, event: B) -> None: ...

    def let_go(self, life: Life, n: int) -> None:
        async def open_gate() -> None:
            self.gates.setdefault(n, asyncio.Event()).set()

        life.run(open_gate())
        life.until(lambda: n in self.ended)


def states(life: Life) -> list[str]:
    return [run.state for run in life.runs("job")]


def sent(life: Life, *numbers: int) -> None:
    """Send events, and wait until all that may begin has begun."""
    for n in numbers:
        life.append(A(n=n))
    life.until(lambda: not life.dispatcher.pipeline.busy and not life.dispatcher._displaced._ending)


def replaced_too_late(bench: Bench, life: Life) -> None:
    """Send a second event, and let the first one's handler end while the commit is under way."""

    async def both_at_once() -> None:
        appended = life.dispatcher.append([delivery(A(n=2))])
        bench.gates[1].set()
        await appended

    life.run(both_at_once())


def test_skip_drops_what_comes_while_a_run_is_at_work_and_says_so(start: Start) -> None:
    bench = Bench("skip")
    life = start(bench.app)
    sent(life, 1, 2, 3)
    assert bench.begun == [1]
    assert states(life) == ["running", "dropped", "dropped"]
    assert {run.error for run in life.runs("job")[1:]} == {"r1 was still open (overlap='skip')"}
    assert life.engine.journal.open_runs == 1
    assert life.dispatcher.counts["dropped"] == 2
    bench.let_go(life, 1)
    sent(life, 4)
    assert bench.begun == [1, 4]
    bench.let_go(life, 4)
    life.settle()
    assert life.engine.journal.open_runs == 0


def test_skip_lets_one_of_those_through_that_come_in_one_commit(start: Start) -> None:
    bench = Bench("skip")
    life = start(bench.app)
    life.append(A(n=1), A(n=2), A(n=3))
    life.until(lambda: bench.begun)
    assert states(life) == ["running", "dropped", "dropped"]


def test_skip_is_not_misled_by_a_duplicate(start: Start) -> None:
    bench = Bench("skip")
    life = start(bench.app)
    life.append(delivery(A(n=1), id="x"))
    bench.let_go(life, 1)
    life.settle()
    life.append(delivery(A(n=2), id="x"), delivery(A(n=3), id="y"))
    life.until(lambda: 3 in bench.begun)
    assert states(life) == ["done", "running"]
    assert life.engine.journal.open_runs == 1


def test_skip_counts_a_run_that_waits_for_its_next_attempt_as_open(start: Start) -> None:
    tried: list[int] = []
    app = App("a")

    @app.on(A, name="job", overlap="skip")
    async def job(event: A) -> None:
        tried.append(event.n)
        if len(tried) == 1:
            raise Later(minutes=10)

    life = start(app)
    life.send(A(n=1))
    life.send(A(n=2))
    assert states(life) == ["delayed", "dropped"]
    life.crash()
    life = start(app, life.clock)
    life.send(A(n=3))
    assert states(life) == ["delayed", "dropped", "dropped"]
    life.advance(600)
    life.send(A(n=4))
    assert states(life) == ["done", "dropped", "dropped", "done"]
    assert tried == [1, 1, 4]


def test_skip_counts_a_run_as_open_that_a_dead_process_had_begun(start: Start) -> None:
    bench = Bench("skip")
    life = start(bench.app)
    sent(life, 1, 2)
    life.crash()
    bench = Bench("skip")
    life = start(bench.app)
    sent(life, 3)
    assert bench.begun == [1]
    assert states(life) == ["running", "dropped", "dropped"]
    bench.let_go(life, 1)
    sent(life, 4)
    assert bench.begun == [1, 4]


def test_a_skipped_run_can_be_run_all_the_same(start: Start) -> None:
    bench = Bench("skip")
    life = start(bench.app)
    sent(life, 1, 2)
    bench.let_go(life, 1)
    life.settle()
    for gate in (2,):
        bench.gates[gate] = asyncio.Event()
        bench.gates[gate].set()
    life.accept(Redrive(runs=[life.runs("job")[1].number]))
    assert bench.ended == [1, 2]
    assert states(life) == ["done", "done"]


def test_queue_runs_one_after_the_other_in_order(start: Start) -> None:
    bench = Bench("queue")
    life = start(bench.app)
    sent(life, 1, 2, 3)
    assert bench.begun == [1]
    for n in (1, 2, 3):
        bench.let_go(life, n)
    life.settle()
    assert bench.begun == bench.ended == [1, 2, 3]


@pytest.mark.parametrize("crashes", [False, True])
def test_queue_waits_for_a_run_that_is_to_be_tried_again(start: Start, crashes: bool) -> None:
    tried: list[int] = []
    app = App("a")

    @app.on(A, name="job", overlap="queue", retry=Retry(on=OSError, attempts=3))
    async def job(event: A) -> None:
        tried.append(event.n)
        if tried.count(1) < 2:
            raise OSError("not yet")

    life = start(app)
    life.send(A(n=1))
    life.send(A(n=2))
    if crashes:
        life.crash()
        life = start(app, life.clock)
        life.settle()
    assert tried == [1]
    life.advance(3600)
    assert tried == [1, 1, 2]
    assert states(life) == ["done", "done"]


def test_queue_keeps_its_order_through_a_crash(start: Start) -> None:
    bench = Bench("queue")
    life = start(bench.app)
    sent(life, 1, 2, 3)
    life.crash()
    bench = Bench("queue")
    life = start(bench.app)
    life.until(lambda: bench.begun)
    for n in (1, 2, 3):
        bench.let_go(life, n)
    life.settle()
    assert bench.begun == [1, 2, 3]


def test_replace_ends_the_run_at_work_and_starts_the_new_one(start: Start) -> None:
    bench = Bench("replace")
    life = start(bench.app)
    sent(life, 1, 2)
    life.until(lambda: 2 in bench.begun)
    assert (bench.begun, bench.killed) == ([1, 2], [1])
    assert states(life) == ["dropped", "running"]
    assert life.runs("job")[0].error == "r2 has taken its place (overlap='replace')"
    assert [attempt.outcome for attempt in life.attempts(1)] == ["replaced"]
    bench.let_go(life, 2)
    life.settle()
    assert life.engine.journal.open_runs == 0
    assert life.data(B) == ['{"n":2}']


def test_what_is_logged_of_a_replaced_run_is_that_it_does_not_run_again(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "triggers.run")
    bench = Bench("replace")
    life = start(bench.app)
    life.dispatcher.listeners.append(log_run)
    sent(life, 1, 2)
    life.until(lambda: 2 in bench.begun)
    [said] = [record for record in caplog.records if getattr(record, "outcome", "started") != "started"]
    assert said.levelname == "INFO"
    assert said.getMessage() == "replaced by the next run of its route, and dropped (overlap='replace')"
    assert (said.__dict__["run"], said.__dict__["outcome"]) == ("r1", "replaced")
    assert "again_in" not in said.__dict__


def test_replace_lets_what_is_backfilled_run_first(start: Start) -> None:
    app, begun, gate = App("a"), [], asyncio.Event()

    @app.on(every(minutes=5), name="job", overlap="replace")
    async def job(event: Tick) -> None:
        begun.append((event.backfill, event.due.minute))
        await gate.wait()

    clock = FakeClock(datetime(2026, 1, 1, 12, tzinfo=UTC))
    life = start(app, clock)
    life.settle()
    wanted = [clock.now() - 60 * n for n in (15, 10, 5)]
    life.run(accept(life.dispatcher, [delivery(Backfill(schedule="job", instants=wanted))]))
    life.until(lambda: begun)
    clock.step(clock.monotonic() + 300)
    life.until(lambda: life.dispatcher.counts["events"] == 5)  # the request is one of them
    gate.set()
    life.settle()
    assert begun == [(True, 45), (True, 50), (True, 55), (False, 5)]
    assert {state for state, _ in life.states("job")} == {"done"}


def test_replace_starts_only_the_newest_of_those_that_come_at_once(start: Start) -> None:
    bench = Bench("replace")
    life = start(bench.app)
    life.append(A(n=1))
    life.append(A(n=2), A(n=3), A(n=4))
    life.append(A(n=5), A(n=6))
    bench.let_go(life, 6)
    life.settle()
    assert bench.ended == [6]
    assert states(life) == ["dropped"] * 5 + ["done"]
    assert life.engine.journal.open_runs == 0
    assert life.dispatcher.running == {}
    assert life.dispatcher._displaced._ending == {}


def test_replace_is_done_once_it_is_durable_whatever_crashes(start: Start) -> None:
    bench = Bench("replace")
    life = start(bench.app)
    sent(life, 1)
    life.append(A(n=2))
    life.crash()
    bench = Bench("replace")
    life = start(bench.app)
    bench.let_go(life, 2)
    life.settle()
    assert bench.begun == [2]
    assert states(life) == ["dropped", "done"]


def test_replace_drops_a_run_that_a_dead_process_had_begun(start: Start) -> None:
    bench = Bench("replace")
    life = start(bench.app)
    sent(life, 1)
    life.crash()
    bench = Bench("replace")
    life = start(bench.app)
    life.append(A(n=2))
    bench.let_go(life, 2)
    life.settle()
    assert states(life) == ["dropped", "done"]
    assert [attempt.outcome for attempt in life.attempts(1)] in (["replaced"], ["interrupted", "replaced"])


def test_replace_drops_a_run_that_is_to_be_tried_again(start: Start) -> None:
    tried: list[int] = []
    app = App("a")

    @app.on(A, name="job", overlap="replace")
    async def job(event: A) -> None:
        tried.append(event.n)
        if event.n == 1:
            raise Later(minutes=10)

    life = start(app)
    life.send(A(n=1))
    life.send(A(n=2))
    life.advance(3600)
    assert tried == [1, 2]
    assert states(life) == ["dropped", "done"]
    assert life.engine.journal.open_runs == 0


def test_replace_refuses_the_end_of_a_run_that_ends_too_late(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench("replace")
    life = start(bench.app)
    sent(life, 1)
    replaced_too_late(bench, life)
    bench.let_go(life, 2)
    life.settle()
    assert bench.ended == [1, 2]
    assert states(life) == ["dropped", "done"]
    assert life.data(B) == ['{"n":2}']
    assert life.engine.journal.open_runs == 0
    assert life.dispatcher.admission.holdings.free == life.dispatcher.admission.holdings.capacity
    assert "another dispatcher" not in caplog.text


def test_nothing_waits_of_what_a_run_emitted_that_ended_too_late(start: Start) -> None:
    bench = Bench("replace")
    life = start(bench.app)
    life.accept(PauseRoutes(routes=["other"], by="the test"))
    sent(life, 1)
    replaced_too_late(bench, life)
    life.until(lambda: bench.ended == [1] and not life.dispatcher.pipeline.busy)
    assert life.runs("other") == []
    assert life.dispatcher.admission.flows["other"].empty()


def test_replace_waits_for_a_handler_that_takes_its_time_to_end(start: Start) -> None:
    log: list[str] = []
    last_words = asyncio.Event()
    app = App("a")

    @app.on(A, name="job", overlap="replace")
    async def job(event: A) -> None:
        log.append(f"begins {event.n}")
        if event.n == 1:
            try:
                await asyncio.sleep(3600)
            finally:
                await last_words.wait()
                log.append("ends 1")

    life = start(app)
    sent_one = life.append(A(n=1))
    assert sent_one
    life.until(lambda: log)
    life.append(A(n=2))
    life.until(lambda: life.dispatcher._displaced._ending)
    assert log == ["begins 1"]

    async def release() -> None:
        last_words.set()

    life.run(release())
    life.settle()
    assert log == ["begins 1", "ends 1", "begins 2"]


def slow(event: A) -> None:
    """Runs in a process of its own."""
    import time

    time.sleep(0 if event.n == 2 else 3600)


def test_replace_kills_a_handler_in_a_process_of_its_own(start: Start) -> None:
    app = App("a")
    app.on(A, name="job", overlap="replace", isolate=True)(slow)
    life = start(app)
    life.append(A(n=1))
    life.until(lambda: life.dispatcher.running)
    life.append(A(n=2))
    life.settle()
    assert states(life) == ["dropped", "done"]


@pytest.mark.parametrize("isolated", [False, True])
def test_replace_keeps_a_run_from_beginning_that_is_claimed_in_the_same_commit(start: Start, isolated: bool) -> None:
    bench = Bench("replace")
    app = bench.app
    if isolated:
        app = App("a")
        app.on(A, name="job", overlap="replace", isolate=True)(slow)
    life = start(app)

    async def one_after_the_other() -> None:
        for n in (1, 2):
            bench.gates[n] = asyncio.Event()
            bench.gates[n].set()
            await life.dispatcher.append([delivery(A(n=n))])

    life.run(one_after_the_other())
    life.settle()
    assert bench.begun == ([] if isolated else [2])
    assert states(life) == ["dropped", "done"]
    assert life.engine.journal.open_runs == 0


def test_a_plain_function_in_a_thread_cannot_be_replaced(start: Start) -> None:
    def job(event: A) -> None: ...

    with pytest.raises(
        WiringError, match=r"route 'job': overlap='replace' .*give it isolate=True, or make it `async def`"
    ):
        App("a").on(A, overlap="replace")(job)
    App("a").on(A, overlap="replace", isolate=True)(job)
    App("a").on(A, overlap="skip")(job)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": "forbid"}, "overlap='forbid' is none of 'allow', 'queue', 'skip', 'replace' and 'newest'"),
        ({"overlap": None}, "overlap=None is none of"),
        ({"overlap": ["skip"]}, "is none of"),
        ({"overlap": "skip", "concurrency": 4}, "overlap='skip' runs one at a time, which concurrency=4 contradicts"),
    ],
)
def test_an_overlap_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    async def job(event: A) -> None: ...

    with pytest.raises(WiringError) as caught:
        App("a").on(A, **options)(job)
    assert message in str(caught.value)


def test_a_schedule_that_is_faster_than_its_handler_skips_or_replaces(start: Start) -> None:
    begun: list[str] = []
    app = App("a")
    for overlap in ("skip", "replace"):

        async def job(event: Tick) -> None:
            begun.append(event.schedule)
            await asyncio.Event().wait()

        app.on(every(minutes=1), name=overlap, overlap=overlap)(job)
    life = start(app)
    life.settle()

    async def minutes() -> None:
        until = life.clock.monotonic() + 300
        while life.clock.step(until):
            for _ in range(50):
                await asyncio.sleep(0)

    life.run(minutes())
    assert begun.count("skip") == 1
    assert begun.count("replace") == 5
    assert [run.state for run in life.runs("skip")] == ["running"] + ["dropped"] * 4
    assert [run.state for run in life.runs("replace")] == ["dropped"] * 4 + ["running"]


def test_what_comes_late_of_an_attempt_that_was_dropped_does_not_end_the_one_in_its_place(start: Start) -> None:
    bench = Bench("queue")
    life = start(bench.app)
    life.append(A(n=1))
    life.until(lambda: bench.begun == [1])
    [run] = life.dispatcher.running.values()

    async def ends() -> None:
        life.dispatcher._finished(copy(run), NOTHING)

    life.run(ends())
    assert list(life.dispatcher.running) == [run.number]
    assert life.states("job") == [("running", 1)]

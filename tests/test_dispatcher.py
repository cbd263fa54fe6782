"""What a run goes through, as the journal tells it afterwards."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.kit import Life, Start, delivery, numbers
from triggers import App, Context, Event, Later, Reject, Retry, RunFailed
from triggers.attempt import MAX_CHAIN
from triggers.errors import StateError
from triggers.journal import Change, Journal
from triggers.lineage import BUDGET, LAST
from triggers.requests import Drop, Redrive, Replay, accept
from triggers.scheduling.flows import WINDOW
from triggers.sources import Delivery
from triggers.state import StateFolder
from triggers.testing import FakeClock


class A(Event):
    n: int = 0


class B(Event):
    n: int = 0


class C(Event):
    n: int = 0


def app_of(handler: Any, trigger: type[Event] = A, /, **policy: Any) -> App:
    app = App("a")
    app.on(trigger, **policy)(handler)
    return app


# --- arriving


def test_a_second_delivery_of_an_identity_is_dropped_and_counted(start: Start) -> None:
    seen: list[int] = []

    async def handler(event: A) -> None:
        seen.append(event.n)

    life = start(app_of(handler))
    assert len(life.append(delivery(A(n=1), id="x"), delivery(A(n=2), id="x"), delivery(A(n=3), id="y"))) == 2
    assert life.append(delivery(A(n=4), id="x")) == []
    assert len(life.append(delivery(A(n=5), id="x", source="other"))) == 1
    life.settle()
    assert seen == [1, 3, 5]
    assert life.ask("SELECT duplicates FROM identity ORDER BY key") == [(0,), (2,), (0,)]
    assert (life.dispatcher.counts["events"], life.dispatcher.counts["duplicates"]) == (3, 2)
    assert life.engine.journal.open_runs == 0


def test_a_duplicate_is_one_after_a_restart_too(start: Start) -> None:
    async def handler(event: A) -> None: ...

    life = start(app_of(handler))
    life.append(delivery(A(), id="x"))
    life.crash()
    assert start(app_of(handler)).append(delivery(A(), id="x")) == []


def test_a_memory_is_committed_with_its_event_and_the_same_memory_is_a_duplicate(start: Start) -> None:
    async def handler(event: A) -> None: ...

    def seen(value: bytes) -> Delivery:
        return Delivery("folder", "ignored", "A", "{}", 0.0, memory=(b"key", value))

    life = start(app_of(handler))
    assert [len(life.append(seen(value))) for value in (b"1", b"1", b"2", b"1")] == [1, 0, 1, 1]
    assert life.ask("SELECT value, event FROM ledger") == [(b"1", 4)]


def test_an_event_that_no_route_takes_is_kept(start: Start) -> None:
    async def handler(event: A) -> None: ...

    life = start(app_of(handler))
    life.send(B(n=3))
    assert (life.data(B), life.runs()) == (['{"n":3}'], [])


# --- emitting


def test_what_a_run_emits_is_committed_with_its_end_and_carries_the_lineage(start: Start) -> None:
    app = App("a")
    keys: list[str] = []

    @app.on(A)
    async def first(event: A, ctx: Context) -> B:
        keys.append(ctx.effect_key)
        ctx.emit(B(n=1))
        return B(n=2)

    @app.on(B)
    async def second(event: B) -> C:
        return C(n=event.n)

    life = start(app)
    life.send(A())
    rows = life.ask("SELECT number, type, id, source, cause, root, depth FROM event ORDER BY number")
    assert [(kind, cause, root, depth) for _, kind, _, _, cause, root, depth in rows] == [
        ("A", None, 1, 0), ("B", 1, 1, 1), ("B", 1, 1, 1), ("C", 2, 1, 2), ("C", 3, 1, 2),
    ]  # fmt: skip
    assert [row[2] for row in rows[1:3]] == [f"{keys[0]}.0", f"{keys[0]}.1"]
    assert rows[1][3] == "a/first"


def test_an_attempt_that_fails_emits_nothing(start: Start) -> None:
    async def handler(event: A, ctx: Context) -> None:
        ctx.emit(B(n=ctx.attempt))
        if ctx.attempt == 1:
            raise OSError("down")

    life = start(app_of(handler, emits={B}))
    life.send(A())
    assert life.data(B) == []
    life.advance(10)
    assert numbers(life.data(B)) == [2]


def test_an_event_of_a_type_that_is_not_declared_fails_the_run_and_emits_nothing(start: Start) -> None:
    async def handler(event: A, ctx: Context) -> Any:
        ctx.emit(B())
        return C()

    handler.__annotations__["return"] = "B"
    life = start(app_of(handler, retry=Retry(attempts=1)))
    life.send(A())
    (run,) = life.runs()
    assert run.error == (
        "WiringError: handler 'handler' emitted C, which its annotation does not name; add it there or to emits="
        "; known: B"
    )
    assert life.data(B) == []


# --- attempts


def test_an_attempt_is_counted_in_the_commit_before_its_handler_starts(start: Start) -> None:
    gate: dict[str, asyncio.Event] = {}

    async def handler(event: A) -> None:
        gate["open"] = asyncio.Event()
        await gate["open"].wait()

    life = start(app_of(handler))
    life.append(A())
    life.until(lambda: gate)
    assert life.states() == [("running", 1)]
    gate["open"].set()
    life.settle()
    assert life.states() == [("done", 1)]


def test_a_failed_attempt_waits_twice_as_long_each_time(start: Start) -> None:
    moments: list[float] = []

    async def handler(event: A) -> None:
        moments.append(life.clock.now())
        raise OSError("down")

    life = start(app_of(handler, retry=Retry(attempts=5, initial=10, maximum=40, jitter=False)))
    life.send(A())
    life.advance(1000)
    assert [later - sooner for sooner, later in pairwise(moments)] == [10, 20, 40, 40]
    assert life.states() == [("dead", 5)]
    assert [(row.outcome, row.error) for row in life.attempts(1)] == [("failed", "OSError: down")] * 4 + [
        ("dead", "OSError: down")
    ]


def test_an_error_that_no_new_attempt_may_cure_is_dead_at_once(start: Start) -> None:
    async def handler(event: A) -> None:
        raise ValueError("bad data")

    life = start(app_of(handler, retry=Retry(on=OSError, attempts=5)))
    life.send(A())
    assert life.states() == [("dead", 1)]
    assert "raise ValueError" in (life.attempts(1)[0].traceback or "")


def test_a_retry_without_a_wait_happens(start: Start) -> None:
    async def handler(event: A, ctx: Context) -> None:
        if ctx.attempt < 3:
            raise OSError("down")

    life = start(app_of(handler, retry=Retry(attempts=3, initial=0, maximum=0)))
    life.send(A())
    life.advance(0)
    assert life.states() == [("done", 3)]


def test_no_attempt_starts_later_than_within_allows(start: Start) -> None:
    async def handler(event: A) -> None:
        raise OSError("down")

    life = start(app_of(handler, retry=Retry(attempts=50, initial=60, maximum=60, jitter=False, within=150)))
    life.send(A())
    life.advance(10_000)
    assert life.states() == [("dead", 3)]  # at 0, 60 and 120 s; the next would be at 180 s
    life.accept(Redrive(runs=[1]))
    assert life.states() == [("delayed", 1)]


def test_later_puts_a_run_back_and_uses_no_attempt(start: Start) -> None:
    seen: list[int] = []

    async def handler(event: A, ctx: Context) -> None:
        seen.append(ctx.attempt)
        if len(seen) < 10:
            raise Later("not yet", minutes=1)

    life = start(app_of(handler, retry=Retry(attempts=1)))
    life.send(A())
    assert life.states() == [("delayed", 0)]
    life.advance(59)
    assert len(seen) == 1
    life.advance(3600)
    assert (seen, life.states()) == ([1] * 10, [("done", 1)])
    assert {(row.outcome, row.error) for row in life.attempts(1)} == {("later", "Later: not yet")}


def test_reject_goes_to_the_dead_letters_at_once(start: Start) -> None:
    async def handler(event: A) -> None:
        raise Reject("not ours")

    life = start(app_of(handler, retry=Retry(attempts=9)))
    life.send(A())
    assert [(run.state, run.attempt, run.error) for run in life.runs()] == [("dead", 1, "Reject: not ours")]


def test_a_run_that_fails_for_good_is_an_event_once_and_its_failing_handler_does_not_breed(start: Start) -> None:
    app = App("a", retry=Retry(attempts=2, jitter=False))
    told: list[RunFailed] = []

    @app.on(A)
    async def handler(event: A) -> None:
        raise OSError("down")

    @app.on(RunFailed)
    async def notify(event: RunFailed) -> None:
        told.append(event)
        raise OSError("the mail server too")

    life = start(app)
    life.append(delivery(A(), id="x"))
    life.advance(3600)
    assert [event.model_dump() for event in told[:1]] == [
        {"run": "r1", "route": "handler", "event_id": "x", "event_type": "A", "error": "OSError", "message": "down",
         "attempts": 2}
    ]  # fmt: skip
    assert len(life.data(RunFailed)) == 1
    assert life.states("notify") == [("dead", 2)]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


async def awaits_a_cancelled_task(event: A) -> None:
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    await task


async def exits(event: A) -> None:
    sys.exit(3)


def exits_in_a_thread(event: A) -> None:
    sys.exit("bye")


async def raises_bytes(event: A) -> None:
    raise ValueError("cannot read a\udcff.csv")


def raises_mute(event: A) -> None:
    raise Mute


async def returns_a_number(event: A) -> Any:
    return 7


returns_a_number.__annotations__["return"] = "None"


async def interrupts(event: A) -> None:
    raise KeyboardInterrupt


async def recurses(event: A) -> None:
    await recurses(event)


async def raises_much(event: A) -> None:
    raise ValueError("x" * 10_000_000)


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (awaits_a_cancelled_task, "HandlerError: handler 'awaits_a_cancelled_task' was cancelled by itself or by"),
        (exits, "HandlerError: handler 'exits' called sys.exit(3); raise an error instead"),
        (exits_in_a_thread, "HandlerError: handler 'exits_in_a_thread' called sys.exit('bye'); raise an error instead"),
        (raises_bytes, r"ValueError: cannot read a\udcff.csv"),
        (raises_mute, "tests.test_dispatcher.Mute: its __str__ failed with RuntimeError"),
        (returns_a_number, "WiringError: handler 'returns_a_number' returned int '7'; return an event, a list"),
        (interrupts, "KeyboardInterrupt"),
        (recurses, "RecursionError: maximum recursion depth"),
        (raises_much, "ValueError: xxx"),
    ],
)
def test_whatever_a_handler_does_ends_its_own_run_and_nothing_else(start: Start, handler: Any, error: str) -> None:
    app = app_of(handler, retry=Retry(attempts=1))
    fine: list[int] = []

    @app.on(B)
    async def other(event: B) -> None:
        fine.append(event.n)

    life = start(app)
    life.send(A(), B(n=1))
    life.send(B(n=2))
    (run,) = life.runs(handler.__name__)
    assert run.state == "dead"
    assert (run.error or "").startswith(error)
    assert len(run.error or "") < 200_000
    assert fine == [1, 2]
    assert len(life.data(RunFailed)) == 1
    assert life.dispatcher.admission.holdings.free == life.dispatcher.admission.holdings.capacity


def test_a_coroutine_that_takes_too_long_is_cancelled_and_tried_again_whatever_retry_names(start: Start) -> None:
    cancelled: list[int] = []

    async def handler(event: A, ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(ctx.attempt)
            raise

    life = start(app_of(handler, timeout=0.01, retry=Retry(on=OSError, attempts=2)))
    life.send(A())
    life.advance(60)
    assert (cancelled, life.states()) == ([1, 2], [("dead", 2)])
    assert life.runs()[0].error == "HandlerError: handler 'handler' ran out of time: timeout=0.01 s"


def test_a_time_out_of_the_handlers_own_is_an_error_of_the_handler(start: Start) -> None:
    async def handler(event: A) -> None:
        raise TimeoutError("the model server")

    life = start(app_of(handler, timeout=60, retry=Retry(on=OSError, attempts=1)))
    life.send(A())
    assert life.runs()[0].error == "TimeoutError: the model server"


def test_a_run_does_not_see_the_context_variables_of_another(start: Start) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []

    async def handler(event: A) -> None:
        seen.append(variable.get())
        variable.set(event.n)

    start(app_of(handler)).send(*(A(n=n) for n in range(1, 20)))
    assert seen == [0] * 19


# --- choosing


def test_no_more_runs_of_a_route_are_running_than_its_concurrency(start: Start) -> None:
    running, peak = Counter[str](), Counter[str]()
    app = App("a")

    def handler(word: str) -> Any:
        async def work(event: A) -> None:
            running[word] += 1
            peak[word] = max(peak[word], running[word])
            await asyncio.sleep(0)
            running[word] -= 1

        return work

    app.on(A, name="three", concurrency=3)(handler("three"))
    app.on(A, name="one", concurrency=1)(handler("one"))
    app.on(A, name="any")(handler("any"))
    life = start(app)
    life.send(*(A() for _ in range(50)))
    assert (peak["three"], peak["one"]) == (3, 1)
    assert peak["any"] > 3
    assert {state for state, _ in life.states()} == {"done"}


def test_the_order_is_priority_then_age(start: Start) -> None:
    order: list[tuple[str, int]] = []
    app = App("a", resources={"seat": 1})

    @app.on(A, needs={"seat": 1})
    async def low(event: A) -> None:
        order.append(("low", event.n))

    @app.on(B, needs={"seat": 1}, priority=5)
    async def high(event: B) -> None:
        order.append(("high", event.n))

    life = start(app)
    life.send(A(n=1), A(n=2), B(n=3), A(n=4), B(n=5))
    assert order == [("high", 3), ("high", 5), ("low", 1), ("low", 2), ("low", 4)]


def test_needs_never_exceed_what_there_is(start: Start) -> None:
    app = App("a", resources={"gpu": 5, "licence": "2"})
    used, peak = Counter[str](), Counter[str]()

    def work(**needs: int) -> Any:
        async def handler(event: A) -> None:
            used.update(needs)
            for name in used:
                peak[name] = max(peak[name], used[name])
            for _ in range(event.n % 4):
                await asyncio.sleep(0)
            used.subtract(needs)

        return handler

    app.on(A, name="big", needs={"gpu": 4})(work(gpu=4))
    app.on(A, name="small", needs={"gpu": 1, "licence": 1})(work(gpu=1, licence=1))
    app.on(A, name="both", needs={"gpu": 3, "licence": 2}, priority=1)(work(gpu=3, licence=2))
    life = start(app)
    life.send(*(A(n=n) for n in range(60)))
    assert 4 <= peak["gpu"] <= 5
    assert peak["licence"] == 2
    assert {state for state, _ in life.states()} == {"done"}
    assert life.dispatcher.admission.holdings.free == life.dispatcher.admission.holdings.capacity


def test_a_run_that_waits_for_a_scarce_resource_holds_up_nobody_who_does_not_need_it(start: Start) -> None:
    gate: dict[str, asyncio.Event] = {}
    app = App("a", resources={"gpu": 1})
    seen: list[int] = []

    @app.on(A, needs={"gpu": 1})
    async def train(event: A) -> None:
        gate["open"] = asyncio.Event()
        await gate["open"].wait()

    @app.on(B)
    async def process(event: B) -> None:
        seen.append(event.n)

    life = start(app)
    life.append(A(), A(), B(n=1))
    life.until(lambda: seen == [1])
    gate["open"].set()
    life.until(lambda: life.dispatcher.counts["done"] == 2)
    gate["open"].set()
    life.settle()


def test_six_windows_of_queued_runs_run_once_in_order_and_memory_stays_bounded(start: Start) -> None:
    seen: list[int] = []
    held: list[int] = []
    total = 6 * WINDOW + 7

    async def handler(event: A) -> None:
        seen.append(event.n)
        held.append(life.dispatcher.admission.flows["handler"].held)

    life = start(app_of(handler, concurrency=25))
    for first in range(0, total, 1000):
        life.append(*(A(n=n) for n in range(first, min(total, first + 1000))))
    life.settle()
    assert seen == list(range(total))
    assert max(held) <= 2 * WINDOW
    assert life.engine.journal.open_runs == 0


def test_a_backlog_in_the_journal_is_worked_off_after_a_restart_in_order(start: Start) -> None:
    seen: list[int] = []

    async def handler(event: A) -> None:
        seen.append(event.n)

    async def never(event: A) -> None:
        raise Later("not in this life", days=1)

    def named(work: Any) -> App:
        return app_of(work, name="work", concurrency=10)

    life = start(named(never))
    life.send(*(A(n=n) for n in range(2500)))
    life.crash()
    clock = FakeClock()
    life = start(named(handler), clock)
    assert seen == []
    life.advance(86_400)
    assert seen == list(range(2500))


# --- ownership


@pytest.mark.parametrize("fails", [False, True], ids=["done", "dead"])
@pytest.mark.parametrize("claimed", [False, True], ids=["taken over", "claimed anew"])
def test_what_a_process_says_after_another_has_taken_its_folder_over_is_void_and_it_stops(
    start: Start, fails: bool, claimed: bool
) -> None:
    gate: dict[str, asyncio.Event] = {}

    async def handler(event: A) -> B:
        gate["open"] = asyncio.Event()
        await gate["open"].wait()
        if fails:
            raise Reject("bad")
        return B()

    life = start(app_of(handler))
    life.append(A())
    life.until(lambda: gate)
    other = Journal(StateFolder(life.folder), FakeClock(), durable=False, threaded=False)
    if claimed:
        assert other._transact(Change(other.epoch, claims={2: [1]}, at=5.0)).gone == set()
    gate["open"].set()
    with pytest.raises(StateError, match=r"has taken the state folder .* over \(epoch 2, this one has 1\)"):
        life.settle()
    rows = [list(other._connection.execute(f"SELECT * FROM {table}")) for table in ("event", "attempt")]
    assert [len(found) for found in rows] == [1, 0]
    assert other._connection.execute("SELECT state, attempt, epoch FROM run").get == (1, 1 + claimed, 1 + claimed)
    other.close()
    life.crash()


def test_a_process_whose_folder_was_taken_over_acknowledges_nothing(start: Start) -> None:
    async def handler(event: A) -> None: ...

    life = start(app_of(handler))
    other = Journal(StateFolder(life.folder), FakeClock(), durable=False, threaded=False)

    async def handed_in() -> None:
        future: asyncio.Future[list[int]] = life.dispatcher.append([delivery(A())])
        for hears in (life.engine.forever(), future):
            with pytest.raises(StateError, match="has taken the state folder"):
                await hears

    life.run(handed_in())
    assert other._connection.execute("SELECT count(*) FROM event").get == 0
    other.close()
    life.crash()


def interrupted(start: Start, app: App, times: int, started: Callable[[], int]) -> Life:
    """Let the dispatcher die so many times while the app's one run is under way."""
    life = start(app)
    life.append(A())
    for time in range(times):
        life.until(lambda time=time: started() > time)
        life.crash()
        life = start(app)
    return life


def test_a_run_whose_dispatcher_died_runs_again_and_the_attempt_counts(start: Start) -> None:
    seen: list[tuple[int, str]] = []

    async def handler(event: A, ctx: Context) -> None:
        seen.append((ctx.attempt, ctx.effect_key))
        if ctx.attempt < 3:
            await asyncio.Event().wait()

    life = interrupted(start, app_of(handler, retry=Retry(attempts=3)), 2, lambda: len(seen))
    life.settle()
    assert [attempt for attempt, _ in seen] == [1, 2, 3]
    assert len({key for _, key in seen}) == 1
    assert [(row.attempt, row.outcome) for row in life.attempts(1)] == [(1, "interrupted"), (2, "interrupted")]
    assert life.states() == [("done", 3)]


def test_a_run_whose_dispatcher_died_in_its_last_attempt_is_dead(start: Start) -> None:
    seen: list[int] = []

    async def handler(event: A, ctx: Context) -> None:
        seen.append(ctx.attempt)
        await asyncio.Event().wait()

    life = interrupted(start, app_of(handler, retry=Retry(attempts=2)), 2, lambda: len(seen))
    life.settle()
    assert seen == [1, 2]
    (run,) = life.runs()
    assert (run.state, run.error) == (
        "dead", "HandlerError: the process died in attempt 2 of 2; isolate=True contains it",
    )  # fmt: skip
    assert len(life.data(RunFailed)) == 1
    assert life.engine.journal.open_runs == 0


def test_what_was_buffered_when_the_dispatcher_died_is_not_emitted(start: Start) -> None:
    seen: list[int] = []

    async def handler(event: A, ctx: Context) -> None:
        ctx.emit(B(n=ctx.attempt))
        seen.append(ctx.attempt)
        if ctx.attempt == 1:
            await asyncio.Event().wait()

    life = interrupted(start, app_of(handler, emits={B}), 1, lambda: len(seen))
    life.settle()
    assert numbers(life.data(B)) == [2]


def test_a_delay_goes_on_after_a_restart(start: Start) -> None:
    seen: list[float] = []

    async def handler(event: A) -> None:
        seen.append(life.clock.now())
        if len(seen) == 1:
            raise Later(seconds=100)

    life = start(app_of(handler))
    life.send(A())
    clock = life.clock
    life.crash()
    clock.step(clock.monotonic() + 40)
    life = start(app_of(handler), clock)
    life.advance(59)
    assert len(seen) == 1
    life.advance(1)
    assert seen[1] - seen[0] == 100


class Rebooted(FakeClock):
    """The clock after a reboot: counted from zero again, and the wall clock went on."""

    def __init__(self, before: FakeClock, off: float) -> None:
        super().__init__()
        self._monotonic = 5.0
        self.move_wall(before.now() + off - self.now())

    def boot(self) -> str:
        return "second boot"


@pytest.mark.parametrize(("off", "left"), [(40.0, 60.0), (1000.0, 0.0), (-50.0, 150.0)])
def test_what_is_left_of_a_delay_after_a_reboot_is_taken_from_the_wall_clock(
    start: Start, off: float, left: float
) -> None:
    seen: list[int] = []

    async def handler(event: A) -> None:
        seen.append(1)
        if len(seen) == 1:
            raise Later(seconds=100)

    life = start(app_of(handler))
    life.send(A())
    clock = Rebooted(life.clock, off)
    life.crash()
    life = start(app_of(handler), clock)
    life.settle()
    if left:
        life.advance(left - 1)
        assert len(seen) == 1
    life.advance(1)
    assert len(seen) == 2


def test_a_delay_does_not_heed_the_wall_clock_within_a_boot(start: Start) -> None:
    from datetime import timedelta

    from triggers.events import moment

    seen: list[int] = []

    async def handler(event: A) -> None:
        seen.append(1)
        if len(seen) == 1:
            raise Later(seconds=100)

    life = start(app_of(handler))
    life.send(A())
    life.clock.set_wall(moment(life.clock.now()) + timedelta(days=400))
    life.advance(99)
    assert len(seen) == 1
    life.clock.set_wall(moment(life.clock.now()) - timedelta(days=800))
    life.advance(1)
    assert len(seen) == 2


# --- code that changes


def test_the_runs_of_a_route_that_is_gone_wait_untouched_until_it_is_back(start: Start) -> None:
    seen: list[int] = []

    async def old(event: A) -> None:
        seen.append(event.n)
        if len(seen) < 2:
            raise Later(minutes=1)

    async def other(event: B) -> None: ...

    life = start(app_of(old))
    life.send(A(n=1))
    life.crash()
    life = start(app_of(other, B))
    life.advance(600)
    assert [(run.route, run.state) for run in life.runs()] == [("old", "waiting")]
    life.stop()
    life = start(app_of(old))
    life.settle()
    assert (seen, life.states()) == ([1, 1], [("done", 1)])


def test_an_event_that_no_longer_validates_is_a_dead_letter_with_the_reason_and_runs_when_the_code_is_mended(
    start: Start,
) -> None:
    class Strict(Event, type="B"):
        n: int
        unit: str

    class Mended(Event, type="B", version=2):
        n: int
        unit: str

        @classmethod
        def upgrade(cls, data: dict[str, Any], version: int) -> dict[str, Any]:
            return {**data, "unit": "m"}

    seen: list[Any] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    life = start(app_of(handler, Strict, name="h", retry=Retry(attempts=1)))
    life.send(B(n=1))
    (run,) = life.runs()
    assert (run.state, run.error) == ("dead", "EventError: B does not validate: unit: Field required")
    life.stop()
    life = start(app_of(handler, Mended, name="h"))
    life.accept(Redrive(runs=[run.number]))
    assert seen == [Mended(n=1, unit="m")]


# --- bounds


def test_a_chain_that_gets_too_deep_ends_in_the_dead_letters(start: Start) -> None:
    app = App("a")

    @app.on(A, max_depth=3)
    async def again(event: A) -> A:
        return A(n=event.n + 1)

    life = start(app)
    life.send(A())
    assert [run.state for run in life.runs()] == ["done"] * 4 + ["dead"]
    assert life.runs()[-1].error == "Reject: A is 4 runs below e1, the bound is 3 (max_depth=)"
    assert life.engine.journal.open_runs == 0


def test_a_chain_without_a_bound_of_its_own_ends_at_the_common_one(start: Start) -> None:
    app = App("a")

    @app.on(A, max_depth=10_000)
    async def there(event: A) -> B:
        return B(n=event.n + 1)

    @app.on(B)
    async def back(event: B) -> A:
        return A(n=event.n)

    life = start(app)
    life.send(A())
    assert (
        max(depth for (depth,) in life.ask("SELECT depth FROM event")) == MAX_CHAIN + 2
    )  # the failure's own event comes below the last


def test_a_chain_that_spends_its_budget_ends_in_the_dead_letters(start: Start) -> None:
    app = App("a")

    @app.on(A, max_depth=90)
    async def fan_out(event: A) -> list[A]:
        return [A(n=event.n + 1) for _ in range(200)] if event.n < 2 else [A(n=3)] * 30 if event.n == 2 else []

    life = start(app)
    life.send(A(n=1))
    budgets = dict(life.ask("SELECT depth, budget FROM event"))
    assert budgets == {0: BUDGET, 1: (BUDGET - 200) // 200, 2: ((BUDGET - 200) // 200 - 30) // 30}
    assert sum(run.state == "dead" for run in life.runs()) == 0


def test_a_chain_emits_no_more_events_than_the_app_allows_however_wide_it_grows(start: Start) -> None:
    app = App("a", max_events=100)

    @app.on(A, max_depth=90)
    async def double(event: A) -> list[A]:
        return [A(n=event.n + 1)] * 2

    life = start(app)
    life.send(A())
    assert len(life.data(A)) == 63
    dead = [run for run in life.runs() if run.state == "dead"]
    assert len(dead) == 32
    assert dead[0].error == (
        "LoopError: the chain from e1 has used its budget of 100 events (max_events=): this run emits 2, and 1 were"
        " left for it; is it a loop?"
    )
    assert len(life.data(RunFailed)) == 32


def test_a_run_that_waits_no_more_when_it_is_claimed_does_not_start_and_keeps_no_slot(start: Start) -> None:
    gate, seen = asyncio.Event(), []
    app = App("a")

    @app.on(A, concurrency=1)
    async def handler(event: A) -> None:
        seen.append(event.n)
        await gate.wait()

    life = start(app)
    life.append(A(n=1), A(n=2), A(n=3))
    life.until(lambda: seen)
    life.engine.journal._connection.execute("UPDATE run SET state = 5 WHERE number = 2")
    gate.set()
    life.settle()
    assert seen == [1, 3]
    assert life.dispatcher.admission.holdings.free == life.dispatcher.admission.holdings.capacity


def test_what_leads_nowhere_takes_no_share_of_the_budget(start: Start) -> None:
    app = App("a")

    @app.on(A, max_depth=90)
    async def step(event: A) -> list[A | B]:
        return [A(n=event.n + 1), B(n=event.n)] if event.n < 60 else []

    @app.on(B)
    async def note(event: B) -> None: ...

    life = start(app)
    life.send(A())
    assert {run.state for run in life.runs()} == {"done"}
    assert len(life.data(B)) == 60
    assert {budget for (budget,) in life.ask("SELECT budget FROM event WHERE type = 'B'")} == {LAST}


# --- requests


def failing_until_mended(start: Start) -> tuple[Life, list[str], set[str]]:
    seen: list[str] = []
    broken = {"yes"}

    async def handler(event: A, ctx: Context) -> None:
        seen.append(ctx.effect_key)
        if broken:
            raise Reject("no")

    life = start(app_of(handler, retry=Retry(attempts=2)))
    life.send(A(n=1), A(n=2), A(n=3))
    return life, seen, broken


def test_a_redriven_run_has_all_its_attempts_and_the_same_effect_key(start: Start) -> None:
    life, seen, broken = failing_until_mended(start)
    broken.clear()
    life.accept(delivery(Redrive(runs=[1, 3, 99]), id="q", source="cli"))
    assert life.states() == [("done", 1), ("dead", 1), ("done", 1)]
    assert (seen[3], seen[4]) == (seen[0], seen[2])
    life.accept(delivery(Redrive(runs=[2]), id="q", source="cli"))  # the same request again is no other request
    assert life.states()[1] == ("dead", 1)
    assert life.engine.journal.open_runs == 0


def test_a_delayed_run_can_be_driven_at_once(start: Start) -> None:
    seen: list[int] = []

    async def handler(event: A) -> None:
        seen.append(1)
        if len(seen) == 1:
            raise Later(days=1)

    life = start(app_of(handler))
    life.send(A())
    life.accept(Redrive(runs=[1]))
    assert life.states() == [("done", 1)]
    assert life.engine.journal.open_runs == 0
    life.advance(3 * 86_400)
    assert len(seen) == 2


def test_a_dropped_run_is_off_the_dead_letters_and_can_still_be_driven(start: Start) -> None:
    life, _, broken = failing_until_mended(start)
    life.accept(Drop(runs=[1, 2]))
    assert [state for state, _ in life.states()] == ["dropped", "dropped", "dead"]
    broken.clear()
    life.accept(Redrive(runs=[1]), Drop(runs=[1]))
    assert [state for state, _ in life.states()] == ["done", "dropped", "dead"]


def test_a_replayed_event_is_a_new_run_with_an_effect_key_of_its_own(start: Start) -> None:
    app = App("a")
    seen: list[tuple[str, str]] = []

    def record(name: str) -> Any:
        async def handler(event: A, ctx: Context) -> None:
            seen.append((name, ctx.effect_key))

        return handler

    app.on(A, name="one")(record("one"))
    app.on(A, name="two")(record("two"))
    life = start(app)
    life.send(A())
    life.accept(delivery(Replay(events=[1, 42]), id="q"))
    life.accept(delivery(Replay(events=[1]), id="q"))
    life.accept(Replay(events=[1], route="two"))
    assert [name for name, _ in seen] == ["one", "two", "one", "two", "two"]
    assert len({key for _, key in seen}) == 5
    assert life.engine.journal.open_runs == 0


def test_a_request_and_its_effect_are_one_commit(start: Start) -> None:
    life, _, broken = failing_until_mended(start)
    broken.clear()
    connection = life.engine.journal._connection
    seen: set[tuple[bool, bool]] = set()

    async def accepted() -> None:
        task = asyncio.ensure_future(accept(life.dispatcher, [delivery(Redrive(runs=[1]), id="q")]))
        while not task.done():
            known = connection.execute("SELECT 1 FROM identity WHERE key = ?", ("test\0q",)).get
            dead = connection.execute("SELECT state = 4 FROM run WHERE number = 1").get
            seen.add((bool(known), bool(dead)))
            await asyncio.sleep(0)

    life.run(accepted())
    assert seen == {(False, True), (True, False)}


@pytest.mark.parametrize("data", ['{"runs": "all"}', "{}", f'{{"runs": [{2**70}]}}', '{"runs": [-1]}', '{"runs": []}'])
def test_a_request_that_makes_no_sense_is_kept_and_does_nothing(start: Start, data: str) -> None:
    life, *_ = failing_until_mended(start)
    life.accept(Delivery("shell", "q", "triggers.redrive", data, 0.0))
    life.accept(Delivery("shell", "r", "triggers.redrive", '{"runs": [1]}', 0.0, version=9))
    assert [state for state, _ in life.states()] == ["dead"] * 3


def test_ten_thousand_runs_can_be_driven_at_once(start: Start) -> None:
    broken = {"yes"}
    seen: list[int] = []

    async def handler(event: A) -> None:
        if broken:
            raise Reject("no")
        seen.append(event.n)

    life = start(app_of(handler))
    for first in range(0, 4000, 1000):
        life.send(*(A(n=n) for n in range(first, first + 1000)))
    broken.clear()
    life.accept(Redrive(runs=list(range(1, 10_001))))
    assert sorted(seen) == list(range(4000))
    assert life.engine.journal.open_runs == 0


# --- retention


def test_what_ended_is_deleted_when_its_time_is_over_and_dead_letters_stay(start: Start) -> None:
    app = App("a", retention=7)

    @app.on(A)
    async def handler(event: A) -> None:
        if event.n == 1:
            raise Reject("no")
        if event.n == 2:
            raise Later(days=30)

    life = start(app)
    life.append(*(delivery(A(n=n), id=f"x{n}") for n in range(6)), B())
    life.advance(8 * 86_400)
    assert [(run.number, run.state) for run in life.runs()] == [(2, "dead"), (3, "delayed"), (6, "done")]
    assert [number for (number,) in life.ask("SELECT number FROM event WHERE type = 'A'")] == [2, 3, 6]
    assert life.append(delivery(A(), id="x4")) == []  # an identity outlives its event


def test_numbers_and_effect_keys_are_never_given_out_again(start: Start) -> None:
    keys: list[str] = []
    app = App("a", retention=1)

    @app.on(A)
    async def handler(event: A, ctx: Context) -> None:
        keys.append(ctx.effect_key)

    life = start(app)
    life.send(A(), A(), B())
    life.advance(100 * 86_400)
    clock = life.clock
    life.stop()
    life = start(app, clock)
    life.send(A(), A())
    assert len(set(keys)) == 4
    (events,) = life.ask("SELECT count(*), min(number), max(number) FROM event WHERE recorded > ?", clock.now() - 5)
    assert events == (2, 4, 5)


class NotYet(Later):
    def __init__(self) -> None:
        pass


def test_a_later_of_ones_own_that_says_no_delay_is_put_back_for_a_minute(start: Start) -> None:
    app = App("a")
    seen = []

    @app.on(A)
    def later(event: A) -> None:
        seen.append(1)
        if len(seen) == 1:
            raise NotYet

    life = start(app)
    life.send(A())
    assert [run.state for run in life.runs()] == ["delayed"]
    life.advance(60)
    assert [run.state for run in life.runs()] == ["done"]


def test_a_handler_that_cancels_itself_fails_and_leaves_the_next_run_alone(start: Start) -> None:
    app = App("a", retry=Retry(attempts=1))

    @app.on(A)
    async def cancels(event: A) -> None:
        if event.n == 0:
            task = asyncio.current_task()
            assert task
            task.cancel()
        await asyncio.sleep(0)

    life = start(app)
    life.send(A(n=0), A(n=1))
    assert [run.state for run in life.runs()] == ["dead", "done"]

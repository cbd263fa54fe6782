"""One attempt and what came of it, and the pools that carry attempts out."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import PATIENCE
from triggers.attempt import LONGEST_TEXT, judge, run_plain
from triggers.clock import Clock, SystemClock
from triggers.context import Context
from triggers.errors import HandlerError, Later, Reject
from triggers.events import Event
from triggers.executor import GIVEN_BACK, Again, Dead, Done, Executor, Outcome, Run, describe
from triggers.executor.coroutines import AT_A_TIME
from triggers.executor.deadline import run_coroutine
from triggers.lineage import EventRow
from triggers.options import make_policy
from triggers.retry import Retry
from triggers.routing import make_route
from triggers.testing import FakeClock


class A(Event):
    n: int = 0


class B(Event):
    n: int = 0


def run_of(handler: Callable[..., Any], n: int = 0, attempt: int = 1, **policy: Any) -> Run:
    route = make_route(handler, A, name=None, where=None, source=None, policy=make_policy("r", policy))
    return Run(n, attempt, route, EventRow(1, "id", "s", "A", 1, None, 0, 0, f'{{"n":{n}}}', None, 1, 0, 10), 0.0, "j")


def handler(event: A) -> B:
    return B(n=event.n + 1)


def test_what_a_handler_returns_is_emitted() -> None:
    outcome = run_plain(run_of(handler, 3))
    assert isinstance(outcome, Done)
    assert [item.data for item in outcome.emitted] == ['{"n":4}']


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (OSError("x"), 1, Again), (OSError("x"), 3, Dead), (ValueError("x"), 1, Dead), (Reject("x"), 1, Dead),
        (Later(seconds=5), 3, Again), (HandlerError("died", lost=True), 1, Again),
        (HandlerError("died", lost=True), 3, Dead),
        (HandlerError("wrong"), 1, Dead), (KeyboardInterrupt(), 1, Dead), (SystemExit(1), 1, Dead),
        (HandlerError("x", kinds=("builtins.FileNotFoundError", "builtins.OSError")), 1, Again),
    ],
)  # fmt: skip
def test_an_error_is_judged_by_its_kind_and_the_attempt(error: BaseException, attempt: int, expected: type) -> None:
    run = run_of(handler, attempt=attempt, retry=Retry(on=OSError, attempts=3))
    assert type(judge(run, error)) is expected


async def nothing() -> None: ...


def returns_a_coroutine(event: A) -> Any:
    return nothing()


async def returns_a_coroutine_of_its_own(event: A) -> Any:
    return nothing()


def returns_a_number(event: A) -> Any:
    return 7


def emits_a_number(event: A, ctx: Context) -> None:
    ctx.emit(7)  # type: ignore[arg-type]  # that is the point


def returns_an_undeclared_event(event: A) -> Any:
    return B()


async def carry_out(run: Run) -> Outcome:
    return await run_coroutine(run, lambda deadline: None) if run.route.coroutine else run_plain(run)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (returns_a_coroutine, "returned a coroutine that nobody awaits; make the handler `async def` and await it"),
        (returns_a_coroutine_of_its_own, "returned a coroutine that nobody awaits; make the handler"),
        (returns_a_number, "returned int '7'; return an event"),
        (emits_a_number, "emitted int '7'; emit events"),
        (returns_an_undeclared_event, "emitted B, which its annotation does not name"),
    ],
)
def test_a_handler_that_emits_the_wrong_thing_is_not_tried_again(handler: Callable[..., Any], message: str) -> None:
    handler.__annotations__["return"] = "None"
    outcome = asyncio.run(carry_out(run_of(handler, retry=Retry(attempts=3))))
    gc.collect()  # a coroutine that was never awaited would warn now
    assert isinstance(outcome, Dead)
    assert outcome.failure.error == "WiringError"
    assert outcome.failure.message.startswith(f"handler {handler.__name__!r} {message}")


def test_only_what_the_handler_did_not_do_goes_uncounted() -> None:
    run = run_of(handler)
    later, failed = judge(run, Later(minutes=2)), judge(run, OSError())
    assert isinstance(later, Again)
    assert isinstance(failed, Again)
    assert (later.counted, later.delay, failed.counted) == (False, 120, True)


def test_a_traceback_begins_at_the_users_own_frame() -> None:
    def broken(event: A) -> None:
        raise ValueError("here")

    outcome = run_plain(run_of(broken, retry=Retry(attempts=1)))
    assert isinstance(outcome, Dead)
    assert "in broken" in outcome.failure.traceback
    assert "triggers/attempt.py" not in outcome.failure.traceback


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_text_of_an_error_can_be_stored(text: str) -> None:
    failure = describe(ValueError(text))
    (failure.message + failure.traceback).encode()


def test_an_endless_message_is_cut() -> None:
    assert len(describe(ValueError("x" * 1_000_000)).message) == LONGEST_TEXT


def test_an_error_of_a_users_class_has_its_full_name() -> None:
    class Mine(Exception):
        pass

    assert describe(Mine("x")).error.startswith("tests.test_executor.")
    assert describe(OSError("x")).error == "OSError"
    assert describe(Reject()).message == ""


def test_a_cancellation_escapes_an_attempt_for_its_worker_to_judge() -> None:
    async def waits(event: A) -> None:
        await asyncio.Event().wait()

    async def work() -> bool:
        task = asyncio.ensure_future(run_coroutine(run_of(waits), lambda deadline: None))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(work())


def carried_out(
    runs: list[Run],
    *,
    threads: int = 4,
    after: Callable[[Executor], None] | None = None,
    clock: Clock | None = None,
) -> dict[int, Outcome]:
    async def work() -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        ended = asyncio.Event()

        def finished(run: Run, outcome: Outcome) -> None:
            outcomes[run.number] = outcome
            if len(outcomes) == len(runs):
                ended.set()

        executor = Executor(finished, threads=threads, clock=clock or SystemClock())
        for run in runs:
            executor.start(run)
        if after:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            after(executor)
        await asyncio.wait_for(ended.wait(), PATIENCE)
        executor.close()
        return outcomes

    return asyncio.run(work())


def test_every_run_in_a_thread_ends_once_whatever_the_number_of_threads() -> None:
    outcomes = carried_out([run_of(handler, n) for n in range(500)], threads=3)
    assert {type(outcome) for outcome in outcomes.values()} == {Done}


def test_no_more_threads_are_started_than_are_needed() -> None:
    names: set[str] = set()

    def named(event: A) -> None:
        names.add(threading.current_thread().name)

    async def work() -> None:
        ended: asyncio.Queue[int] = asyncio.Queue()
        executor = Executor(lambda run, _: ended.put_nowait(run.number), threads=32, clock=SystemClock())
        for n in range(50):
            executor.start(run_of(named, n))
            await asyncio.wait_for(ended.get(), PATIENCE)
        executor.close()

    asyncio.run(work())
    assert names == {"triggers-0"}


def test_a_run_in_a_thread_does_not_see_the_context_variables_of_the_one_before() -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)
    seen: list[int] = []

    def sets(event: A) -> None:
        seen.append(variable.get())
        variable.set(1)

    carried_out([run_of(sets, n) for n in range(3)], threads=1)
    assert seen == [0, 0, 0]


def test_coroutines_that_suspend_one_another_all_end() -> None:
    async def suspends(event: A) -> None:
        for _ in range(event.n % 5):
            await asyncio.sleep(0)

    outcomes = carried_out([run_of(suspends, n) for n in range(500)])
    assert {type(outcome) for outcome in outcomes.values()} == {Done}


def test_coroutines_that_never_suspend_let_the_loop_turn_again_and_again() -> None:
    clock, seen = FakeClock(), list[object]()

    async def works(event: A) -> None:
        clock.step(clock.monotonic() + AT_A_TIME / 2.5)
        seen.append(event.n)
        if event.n % 3 == 0:
            asyncio.get_running_loop().call_soon(seen.append, "others")

    carried_out([run_of(works, n) for n in range(9)], clock=clock)
    assert seen == [0, 1, 2, "others", 3, 4, 5, "others", 6, 7, 8, "others"]


def test_cancelled_coroutines_are_given_back_started_or_not() -> None:
    async def waits(event: A, ctx: Context) -> None:
        await asyncio.Event().wait()

    outcomes = carried_out([run_of(waits, n) for n in range(300)], after=Executor.cancel)
    assert set(outcomes.values()) == {GIVEN_BACK}

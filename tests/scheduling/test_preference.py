"""A policy of the app's own: it decides, and where it cannot, the default one does, loudly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from itertools import count, repeat
from typing import Any

import pytest

from tests.kit import PATIENCE, Start
from tests.policy.views import lane, view
from tests.test_keys import sent
from triggers import App, Event
from triggers.errors import WiringError
from triggers.policy import View, fit, order
from triggers.scheduling.preference import Preference

CHOICE = view(lane(1), lane(2), lane(3), slot=9)


class Job(Event):
    n: int


class Time:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def decided(policy: Callable[[View], Any], time: Time | None = None) -> tuple[list[int], int]:
    """Return what is chosen of three lanes, and how many decisions the policy failed to make."""
    preference = Preference(policy, time or Time())
    return list(preference(CHOICE)), preference.failed


def test_what_it_returns_is_the_order() -> None:
    assert decided(lambda seen: [2, 0, 1]) == ([2, 0, 1], 0)
    assert decided(lambda seen: iter((1,))) == ([1], 0)


def raises(seen: View) -> list[int]:
    raise KeyError("gpu")


def leaves(seen: View) -> list[int]:
    raise SystemExit(3)


def cancels(seen: View) -> list[int]:
    raise asyncio.CancelledError


def changes_it(seen: View) -> list[int]:
    seen.free["slot"] = 0  # type: ignore[index]  # it is no policy that type checks
    return []


NONSENSE: dict[Callable[[View], Any], str] = {
    raises: "it failed: KeyError('gpu')",
    leaves: "it failed: SystemExit(3)",
    cancels: "it failed: CancelledError()",
    changes_it: "it failed: TypeError",
    lambda seen: None: "it returned None, which is no sequence of indexes",
    lambda seen: "012": "it returned '012', which is no sequence of indexes",
    lambda seen: [0, 3]: "it named 3, which is none of the 3 lanes",
    lambda seen: [-1]: "it named -1, which is none of the 3 lanes",
    lambda seen: [True]: "it named True, which is none",
    lambda seen: [0.0]: "it named 0.0, which is none",
    lambda seen: [1, 1]: "it named lane 1 more than 1 times",
    lambda seen: repeat(0): "it named lane 0 more than 1 times",
    lambda seen: count(): "it named 3, which is none",
}


@pytest.mark.parametrize("policy", NONSENSE, ids=NONSENSE.values())
def test_the_default_decides_where_it_fails_or_returns_nonsense(
    policy: Callable[[View], Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert decided(policy) == (list(order(CHOICE)), 1)
    [message] = caplog.messages
    assert NONSENSE[policy] in message
    assert message.startswith("policy tests.scheduling.test_preference:")
    assert message.endswith("the default policy took over, for 1 decision so far")


def test_the_default_decides_where_it_takes_too_long_and_it_is_left_alone_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time, asked = Time(), []

    def slow(seen: View) -> list[int]:
        asked.append(time.now)
        time.now += 0.1
        return [2, 1, 0]

    preference = Preference(slow, time)
    first = list(order(CHOICE))
    assert list(preference(CHOICE)) == first
    time.now += 1.9
    assert list(preference(CHOICE)) == first
    assert len(asked) == 1
    time.now += 0.2
    preference(CHOICE)
    assert (len(asked), preference.failed) == (2, 3)
    assert "it took 0.1 s, and 0.05 are the most" in caplog.messages[0]


def test_the_log_says_it_once_a_minute_and_how_often_it_was(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    preference = Preference(raises, time)
    for _ in range(121):
        preference(CHOICE)
        time.now += 0.5
    assert len(caplog.messages) == 2
    assert caplog.messages[1].endswith("for 120 decisions so far")


def test_it_decides_who_starts_and_never_overloads(start: Start) -> None:
    begun: list[int] = []

    def last_come(seen: View) -> Iterator[int]:
        """Choose by the newest run."""
        yield from sorted(range(len(seen.lanes)), key=lambda index: seen.lanes[index].heads[0], reverse=True)

    app = App("a", resources={"gpu": 1}, policy=last_come)

    @app.on(Job, key="n", needs={"gpu": 1})
    async def job(event: Job) -> None:
        begun.append(event.n)

    life = start(app)
    sent(life, Job(n=1), Job(n=2), Job(n=3))
    life.settle()
    assert begun == [1, 3, 2]  # the first found nobody waiting, so there was nothing to choose


def test_an_app_works_on_under_a_policy_that_always_fails(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    app = App("a", policy=raises)

    @app.on(Job, concurrency=1)
    async def job(event: Job) -> None: ...

    with caplog.at_level(logging.ERROR):
        life = start(app)
        life.send(Job(n=1), Job(n=2), Job(n=3))
    assert [run.state for run in life.runs()] == ["done"] * 3
    assert "the default policy took over" in caplog.text


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(WiringError, match="app 'a': policy='fifo' is no function; write a function from a view"):
        App("a", policy="fifo")  # type: ignore[arg-type]


async def waits(seen: View) -> list[int]:
    return []


class Waits:
    async def __call__(self, seen: View) -> list[int]:
        return []


@pytest.mark.parametrize("policy", [waits, Waits(), partial(waits)], ids=["function", "object", "partial"])
def test_what_would_have_to_be_waited_for_is_refused(policy: Any) -> None:
    with pytest.raises(
        WiringError, match=r"app 'a': policy=.* is async, and nothing waits for a decision; write a function"
    ):
        App("a", policy=policy)


class Chooser:
    def __init__(self, seen: View) -> None:
        pass


def of_two(seen: View, other: View) -> list[int]:
    return []


@pytest.mark.parametrize(
    ("policy", "words"),
    [(Chooser, "is a class"), (of_two, "missing a required argument: 'other'")],
    ids=["class", "two arguments"],
)
def test_what_cannot_be_called_with_a_view_is_refused(policy: Any, words: str) -> None:
    with pytest.raises(WiringError, match=words):
        App("a", policy=policy)


def test_fit_takes_what_it_leaves_out_behind_it() -> None:
    assert fit(CHOICE, Preference(lambda seen: [2], Time())(CHOICE)) == [2, 0, 1]


async def in_time(work: Awaitable[None]) -> None:
    """Wait in the task itself: an interrupt of another one that it waits for would end the loop."""
    async with asyncio.timeout(PATIENCE):
        await work


def test_an_interrupt_in_it_ends_the_app_and_leaves_what_waits_in_the_journal(start: Start) -> None:
    asked: list[View] = []

    def stops(seen: View) -> Iterable[int]:
        asked.append(seen)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return order(seen)

    app = App("a", policy=stops)
    done: list[int] = []

    @app.on(Job, concurrency=1)
    async def job(event: Job) -> None:
        done.append(event.n)

    life = start(app)
    life.append(Job(n=1), Job(n=2), Job(n=3))
    for end in life.engine.quiet(), life.engine.__aexit__(None, None, None):
        with pytest.raises(KeyboardInterrupt):
            life.runner.run(in_time(end))
    start(app, life.clock).settle()
    assert set(done) == {1, 2, 3}  # what ended when it was interrupted runs again, as after a crash

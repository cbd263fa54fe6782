"""Handlers that can't be stopped where they are: they are reported once, by themselves, and a stop does not wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import PATIENCE, Life
from triggers import App, Event, Retry
from triggers.testing import FakeClock


class Job(Event):
    n: int = 0


class WatchedClock(FakeClock):
    """A fake clock that knows how often somebody has asked it to be woken within a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def sleep(self, seconds: float) -> None:
        self.asked += seconds <= 60
        await super().sleep(seconds)


class Gate:
    """What stuck handlers wait for, whatever is done to them."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.waiting: list[int] = []

    def stuck(self, event: Job) -> None:
        self.waiting.append(event.n)
        assert self.opened.wait(2 * PATIENCE)  # who waits for it loses patience before

    async def deaf(self, event: Job) -> None:
        self.waiting.append(event.n)
        while not self.opened.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                self.waiting.append(-1)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def start(tmp_path: Path, gate: Gate) -> Iterator[Callable[..., Life]]:
    lives: list[Life] = []

    def begin(handler: Any, name: str, **policy: Any) -> Life:
        app = App("a", threads=4)
        app.on(Job, name=name, **policy)(handler)
        lives.append(Life(app, tmp_path / "state", WatchedClock(), grace=0.02))
        return lives[-1]

    yield begin
    gate.opened.set()
    for life in lives:
        life.end()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    def found() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.module == "stuck"]

    return found


def pass_time(life: Life, seconds: float) -> None:
    """Let time pass though runs are at work."""

    async def passing() -> None:
        until = life.clock.monotonic() + seconds
        while life.clock.step(until):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    life.run(passing())


def until_stuck(life: Life, gate: Gate, runs: int = 1) -> None:
    """Let the loop turn until so many handlers wait, and somebody looks after them."""
    life.until(lambda: len(gate.waiting) >= runs and asked(life))


def asked(life: Life) -> int:
    assert isinstance(life.clock, WatchedClock)
    return life.clock.asked


def test_a_plain_function_that_does_not_end_is_reported_once(
    start: Callable[..., Life], gate: Gate, warnings: Callable[[], list[str]]
) -> None:
    life = start(gate.stuck, "stuck")
    life.append(Job())
    until_stuck(life, gate)
    pass_time(life, 59)
    assert warnings() == []
    pass_time(life, 62)
    assert warnings() == [
        "route 'stuck' r1 has been in its thread for 60 s and can't be stopped there;"
        " if it may hang, give it timeout= or isolate=True, which run it in a process"
    ]
    pass_time(life, 100_000)
    assert len(warnings()) == 1


def test_each_of_several_is_reported_when_its_own_time_has_come(
    start: Callable[..., Life], gate: Gate, warnings: Callable[[], list[str]]
) -> None:
    life = start(gate.stuck, "stuck")
    life.append(Job(n=1))
    until_stuck(life, gate)
    pass_time(life, 40)
    life.append(Job(n=2))
    until_stuck(life, gate, 2)
    pass_time(life, 21)
    assert [text.split()[2] for text in warnings()] == ["r1"]
    pass_time(life, 40)
    assert [text.split()[2] for text in warnings()] == ["r1", "r2"]


def test_a_route_that_is_known_to_take_long_is_reported_only_when_it_takes_twice_as_long(
    start: Callable[..., Life], gate: Gate, warnings: Callable[[], list[str]]
) -> None:
    life = start(gate.stuck, "training")
    life.append(Job(n=1))
    until_stuck(life, gate)
    pass_time(life, 600)
    gate.opened.set()
    life.settle()
    assert len(warnings()) == 1
    gate.opened.clear()
    life.append(Job(n=2))
    until_stuck(life, gate, 2)
    pass_time(life, 1190)
    assert len(warnings()) == 1
    pass_time(life, 61)
    assert len(warnings()) == 2


def test_nobody_looks_after_threads_that_are_idle(start: Callable[..., Life], gate: Gate) -> None:
    gate.opened.set()
    life = start(gate.stuck, "quick")
    life.send(Job())
    pass_time(life, 61)
    before = asked(life)
    pass_time(life, 3000)
    assert asked(life) == before


def test_a_coroutine_that_swallows_its_timeout_is_reported_once(
    start: Callable[..., Life], gate: Gate, warnings: Callable[[], list[str]]
) -> None:
    life = start(gate.deaf, "deaf", timeout=0.01)
    life.append(Job())
    life.until(lambda: -1 in gate.waiting and asked(life))
    pass_time(life, 4)
    assert warnings() == []
    pass_time(life, 1)
    assert warnings() == [
        "route 'deaf' r1 runs on 5 s after its timeout of 0.01 s cancelled it, and keeps its slot;"
        " let CancelledError pass, and end soon after it"
    ]
    pass_time(life, 100_000)
    assert len(warnings()) == 1


def test_a_coroutine_that_ends_after_its_timeout_is_not_reported(
    start: Callable[..., Life], gate: Gate, warnings: Callable[[], list[str]]
) -> None:
    life = start(gate.deaf, "deaf", timeout=0.01, retry=Retry(attempts=1))
    life.append(Job())
    life.until(lambda: -1 in gate.waiting and asked(life))
    gate.opened.set()
    life.settle()
    pass_time(life, 10)
    assert warnings() == []
    assert life.states() == [("done", 1)]


@pytest.mark.parametrize(("handler", "name"), [("stuck", "stuck"), ("deaf", "deaf")])
def test_a_stop_does_not_wait_for_what_is_stuck(
    start: Callable[..., Life], gate: Gate, handler: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.dispatcher.LAST_WORDS", 0.05)
    life = start(getattr(gate, handler), name)
    life.append(Job())
    life.until(lambda: gate.waiting)
    life.run(life.engine.__aexit__(None, None, None))
    gate.opened.set()
    life = start(gate.stuck, name)
    life.settle()
    assert [row.outcome for row in life.attempts(1)] == ["given back"]
    assert life.states() == [("done", 1)]

"""Routes, and whole apps, of which nothing starts until they are resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kit import Start
from triggers import App, Event, Rate, Retry
from triggers.commands.requesting import hand_in
from triggers.journal.views import closed
from triggers.requests import PauseRoutes, ResumeRoutes
from triggers.state import StateFolder


class Call(Event):
    n: int = 0


class Bench:
    """An app with two routes on the same event, which note what they are called with."""

    def __init__(self, **options: Any) -> None:
        self.called: list[str] = []
        self.fails = 0
        self.app = App("a")
        self.app.on(Call, name="train", **options)(self.train)
        self.app.on(Call, name="test")(self.test)

    async def train(self, event: Call) -> None:
        self.called.append(f"train {event.n}")
        if self.fails:
            self.fails -= 1
            raise OSError("busy")

    async def test(self, event: Call) -> None:
        self.called.append(f"test {event.n}")


def pause(*routes: str) -> PauseRoutes:
    return PauseRoutes(routes=list(routes), by="anna")


def resume(*routes: str) -> ResumeRoutes:
    return ResumeRoutes(routes=list(routes))


def test_of_a_paused_route_nothing_starts_and_all_is_recorded_until_it_is_resumed(start: Start) -> None:
    bench = Bench()
    life = start(bench.app)
    life.accept(pause("train"))
    life.send(Call(n=1), Call(n=2))
    assert bench.called == ["test 1", "test 2"]
    assert life.states("train") == [("waiting", 0), ("waiting", 0)]
    life.accept(resume("train"))
    assert bench.called[2:] == ["train 1", "train 2"]


@pytest.mark.parametrize("options", [{}, {"concurrency": 1}], ids=["free", "limited"])
def test_nothing_starts_that_comes_while_the_pause_is_being_written_down(start: Start, options: Any) -> None:
    bench = Bench(**options)
    life = start(bench.app)
    life.send(Call(n=1))  # nothing waits, so that the next one would start at once
    life.meanwhile(pause("train"), Call(n=2))
    assert sorted(bench.called) == ["test 1", "test 2", "train 1"]
    assert life.states("train") == [("done", 1), ("waiting", 0)]
    life.accept(resume("train"))
    assert life.states("train") == [("done", 1), ("done", 1)]


def test_a_paused_app_starts_nothing_and_a_route_that_was_paused_for_itself_stays_so(start: Start) -> None:
    bench = Bench()
    life = start(bench.app)
    life.accept(pause("train"))
    life.accept(pause())
    life.send(Call(n=1))
    assert bench.called == []
    life.accept(resume())
    assert bench.called == ["test 1"]
    life.accept(resume("train"))
    assert bench.called == ["test 1", "train 1"]


def test_a_pause_outlives_a_crash_and_what_is_to_be_tried_again_waits_too(start: Start) -> None:
    bench = Bench(retry=Retry(on=OSError, initial=60, jitter=False))
    bench.fails = 1
    life = start(bench.app)
    life.send(Call(n=1))
    life.accept(pause("train"))
    life.crash()
    life = start(bench.app, life.clock)
    life.advance(600)
    assert bench.called == ["train 1", "test 1"]
    assert life.states("train") == [("waiting", 1)]
    life.accept(resume("train"))
    assert bench.called == ["train 1", "test 1", "train 1"]


def test_what_is_asked_for_while_nobody_is_there_is_obeyed_before_anything_starts(start: Start, tmp_path: Path) -> None:
    bench = Bench()
    life = start(bench.app)
    life.accept(pause())
    life.send(Call(n=1))
    life.accept(resume("nothing"))
    life.stop()
    hand_in(StateFolder(tmp_path / "state"), [resume(), pause("train")])
    life = start(bench.app, life.clock)
    life.settle()
    assert bench.called == ["test 1"]


def test_a_pause_that_is_asked_for_at_a_stop_holds_back_what_was_waiting(start: Start, tmp_path: Path) -> None:
    bench = Bench(throttle=Rate(1, per=60))
    life = start(bench.app)
    life.send(Call(n=1), Call(n=2))
    assert life.states("train") == [("done", 1), ("waiting", 0)]
    life.stop()
    hand_in(StateFolder(tmp_path / "state"), [pause("train")])
    life.clock.suspend(60)
    life = start(bench.app, life.clock)
    life.settle()
    assert life.states("train") == [("done", 1), ("waiting", 0)]
    life.accept(resume("train"))
    assert life.states("train") == [("done", 1), ("done", 1)]


def test_who_asks_why_is_told_since_when_and_by_whom(start: Start) -> None:
    bench = Bench()
    life = start(bench.app)
    life.accept(pause("train"))
    life.send(Call(n=1))
    [gate] = life.run(life.dispatcher.pipeline.asked(closed))
    assert (gate.route, gate.every) == ("train", True)
    assert gate.reason == "paused since 2026-01-01T00:00:00+00:00 by anna; `triggers resume train` lets it go on"
    life.accept(resume("train"))
    assert life.run(life.dispatcher.pipeline.asked(closed)) == []


def test_an_app_that_is_paused_has_nothing_left_to_do(start: Start) -> None:
    bench = Bench()
    life = start(bench.app)
    life.accept(pause())
    life.send(Call(n=1))
    life.run(life.engine.drained())
    assert bench.called == []

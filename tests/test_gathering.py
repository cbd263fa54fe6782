"""Events that come together in one run: batches, bursts and joins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life, Start, delivery
from triggers import (
    App,
    Batch,
    BatchFailure,
    Context,
    Debounce,
    Event,
    Retry,
)
from triggers.journal import prune
from triggers.requests import Redrive, Replay


class Row(Event):
    n: int = 0
    customer: str | None = None


class Model(Event):
    n: int = 0
    day: str | None = None


class Data(Event):
    n: int = 0
    date: str | None = None


def rows(numbers: range, customer: str | None = None) -> list[Row]:
    return [Row(n=n, customer=customer) for n in numbers]


class Batches:
    """An app with one route, which notes the batches that it is called with, and fails on what it is told to."""

    def __init__(self, batch: Batch, **options: Any) -> None:
        self.called: list[list[int]] = []
        self.bad: dict[int, object] = {}
        self.app = App("a")
        self.app.on(Row, name="load", batch=batch, **options)(self.load)

    async def load(self, events: list[Row]) -> None:
        self.called.append([event.n for event in events])
        bad = {place: self.bad[event.n] for place, event in enumerate(events) if event.n in self.bad}
        if bad:
            raise BatchFailure(bad)


def reasons(life: Life, state: str = "dropped") -> list[tuple[int, str | None]]:
    return [(run.event, run.error) for run in life.runs() if run.state == state]


# --- batch=


def test_a_batch_is_run_when_it_is_full_or_when_its_time_is_over(start: Start) -> None:
    batches = Batches(Batch(3, within=60))
    life = start(batches.app)
    life.send(*rows(range(0, 5)))
    assert batches.called == [[0, 1, 2]]
    life.advance(59)
    assert batches.called == [[0, 1, 2]]
    life.advance(2)
    assert batches.called == [[0, 1, 2], [3, 4]]


def test_batches_are_of_one_key(start: Start) -> None:
    batches = Batches(Batch(2, within=60), key="customer")
    life = start(batches.app)
    life.send(Row(n=0, customer="a"), Row(n=1, customer="b"), Row(n=2, customer="a"), Row(n=3))
    assert batches.called == [[0, 2]]
    life.advance(60)
    assert sorted(batches.called) == [[0, 2], [1], [3]]


@pytest.mark.parametrize("crashed", [False, True])
def test_what_comes_after_the_time_of_a_batch_begins_the_next_however_late_that_is_seen(
    start: Start, crashed: bool
) -> None:
    batches = Batches(Batch(10, within=60))
    life = start(batches.app)
    life.send(*rows(range(0, 2)))
    if crashed:
        life.crash()
    life.clock.step(life.clock.monotonic() + 60)
    if crashed:
        life = start(batches.app, life.clock)
    life.send(*rows(range(2, 3)))
    assert batches.called == [[0, 1]]
    life.advance(60)
    assert batches.called == [[0, 1], [2]]


def test_a_duplicate_takes_no_place_in_a_batch(start: Start) -> None:
    batches = Batches(Batch(2, within=60))
    life = start(batches.app)
    life.append(delivery(Row(n=1), id="x"), delivery(Row(n=1), id="x"))
    life.settle()
    assert batches.called == []
    life.send(Row(n=2))
    assert batches.called == [[1, 2]]


def test_of_a_batch_the_named_events_are_tried_each_by_itself_and_the_others_are_done(start: Start) -> None:
    batches = Batches(Batch(3, within=60), retry=Retry(attempts=2, initial=1, jitter=False))
    batches.bad = {1: "no such customer", 2: ValueError("too large")}
    life = start(batches.app)
    life.send(*rows(range(0, 3)))
    assert batches.called == [[0, 1, 2], [1], [2]]
    del batches.bad[1]
    life.advance(10)
    assert sorted(batches.called[3:]) == [[1], [2]]
    assert sorted(run.state for run in life.runs()) == ["dead", "done", "done"]
    assert [error for _, error in reasons(life, "dead")] == ["ValueError: too large"]
    assert life.attempts(2)[0].error == "BatchFailure: e2 failed: no such customer"
    assert [(one.outcome, one.error) for one in life.attempts(1)] == [
        ("in part", "2 of 3 events failed, first e2: no such customer")
    ]


def in_part(events: list[Row]) -> None:
    if len(events) > 1:
        raise BatchFailure({events[-1]: ValueError("too large")})
    raise BatchFailure({0: ValueError("too large")})


@pytest.mark.parametrize("isolate", [False, True])
def test_a_batch_fails_in_part_in_threads_and_in_processes_too(tmp_path: Path, isolate: bool) -> None:
    app = App("a", retry=Retry(attempts=1))
    app.on(Row, batch=Batch(3, within=60), isolate=isolate)(in_part)
    life = Life(app, tmp_path / "state", threaded=True)
    try:
        life.send(*rows(range(0, 3)))
        life.until(lambda: life.dispatcher.counts["dead"])
        assert [(run.state, run.error) for run in life.runs()] == [("done", None), ("dead", "ValueError: too large")]
    finally:
        life.stop()


def test_any_other_error_fails_the_whole_batch_which_is_tried_again_as_it_was(start: Start) -> None:
    called: list[list[int]] = []
    app = App("a")

    @app.on(Row, batch=Batch(2, within=60), retry=Retry(attempts=2, initial=1, jitter=False))
    async def load(events: list[Row], ctx: Context) -> None:
        called.append([event.n for event in events])
        if ctx.attempt == 1:
            raise OSError("down")

    life = start(app)
    life.send(*rows(range(0, 2)))
    life.advance(5)
    assert called == [[0, 1], [0, 1]]


def test_replay_and_redrive_give_back_the_whole_batch(start: Start) -> None:
    batches = Batches(Batch(2, within=60), retry=Retry(attempts=1))
    life = start(batches.app)
    life.send(*rows(range(0, 2)))
    whole = life.runs()[0].event
    life.accept(Replay(events=[whole]))
    assert batches.called == [[0, 1], [0, 1]]
    life.accept(Redrive(runs=[1]))
    assert len(batches.called) == 2


def test_an_event_of_a_batch_that_is_replayed_is_gathered_again(start: Start) -> None:
    batches = Batches(Batch(2, within=60))
    life = start(batches.app)
    first, _ = life.append(*rows(range(0, 2)))
    life.settle()
    life.accept(Replay(events=[first]))
    life.send(Row(n=7))
    assert batches.called == [[0, 1], [0, 7]]


def test_what_a_batch_emits_goes_on_with_the_chain_of_its_last_event(start: Start) -> None:
    app = App("a")

    @app.on(Row, batch=Batch(2, within=60))
    async def load(events: list[Row]) -> Model:
        return Model(n=len(events))

    life = start(app)
    first, last = life.append(*rows(range(0, 2)))
    life.settle()
    assert life.ask("SELECT root, depth FROM event WHERE type = 'Model'") == [(last, 1)]
    assert life.ask("SELECT data FROM event WHERE type = 'triggers.gathered'")[0][0].startswith(
        f'{{"route":"load","key":null,"events":[{first},{last}]'
    )


def test_events_are_kept_for_as_long_as_what_was_made_of_them(start: Start) -> None:
    batches = Batches(Batch(2, within=60), retry=Retry(attempts=1))
    batches.bad = {2: "no such customer"}
    life = start(batches.app)
    life.send(*rows(range(0, 4)))
    life.send(Row(n=9))
    life.advance(3600)
    far = life.clock.now() + 1
    for _ in range(3):
        life.run(life.dispatcher.pipeline.ordered(prune(far, far, 100)))
    assert [json.loads(text)["n"] for text in life.data(Row)] == [2, 9]
    batches.bad.clear()
    life.accept(Redrive(runs=[run.number for run in life.runs() if run.state == "dead"]))
    assert batches.called[-1] == [2]


def test_events_that_wait_for_a_route_which_gathers_no_more_are_told_of(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    batches = Batches(Batch(2, within=60))
    life = start(batches.app)
    life.send(Row(n=0))
    life.crash()
    life = start(Bursts().app, life.clock)
    life.settle()
    said = "1 event waits to come together for route 'load', which this app does not have any more: e1;"
    assert any(record.getMessage().startswith(said) for record in caplog.records)
    life.crash()
    life = start(batches.app, life.clock)
    life.send(Row(n=1))
    assert batches.called == [[0, 1]]


def test_what_came_together_of_a_type_that_its_route_takes_no_more_is_a_dead_letter_that_says_so(start: Start) -> None:
    batches = Batches(Batch(2, within=60))
    life = start(batches.app)
    life.send(Row(n=0))
    life.crash()
    app = App("a")

    @app.on(Model, name="load", batch=Batch(2, within=60))
    async def load(events: list[Model]) -> None: ...

    life = start(app, life.clock)
    life.advance(60)
    said = "Reject: e2 is of Row, which 'load' does not take any more; declare it as it was, and redrive this run"
    assert [error for _, error in reasons(life, "dead")] == [said]
    life.crash()
    life = start(batches.app, life.clock)
    life.accept(Redrive(runs=[1]))
    assert batches.called == [[0]]


# --- debounce=


class Bursts:
    """An app with one route, which notes what it is called with."""

    def __init__(self, name: str = "build", **options: Any) -> None:
        self.called: list[int] = []
        self.app = App("a")
        self.app.on(Row, name=name, **options)(self.build)

    async def build(self, event: Row) -> None:
        self.called.append(event.n)


def test_a_burst_is_one_run_of_its_latest_event_once_it_is_quiet(start: Start) -> None:
    bursts = Bursts(debounce=Debounce(30))
    life = start(bursts.app)
    for n in range(4):
        life.send(Row(n=n))
        life.advance(20)
    assert bursts.called == []
    life.advance(11)
    assert bursts.called == [3]
    assert reasons(life) == [(n, f"e{n + 1} came after it (debounce=)") for n in (1, 2, 3)]


def test_a_burst_without_end_is_run_after_the_longest_wait(start: Start) -> None:
    bursts = Bursts(debounce=Debounce(30, longest=50), key="customer")
    life = start(bursts.app)
    for n in range(4):
        life.send(Row(n=n, customer="a"))
        life.advance(20)
    assert bursts.called == [2]
    life.advance(31)
    assert bursts.called == [2, 3]


def test_a_burst_goes_on_after_a_crash(start: Start) -> None:
    bursts = Bursts(debounce=Debounce(30))
    life = start(bursts.app)
    life.send(Row(n=0))
    life.advance(20)
    life.crash()
    life = start(bursts.app, life.clock)
    life.send(Row(n=1))
    life.advance(20)
    assert bursts.called == []
    life.advance(11)
    assert bursts.called == [1]


# --- replays


def test_what_waits_for_a_route_that_gathers_no_more_is_run_by_a_replay_and_waits_no_longer(start: Start) -> None:
    batches = Batches(Batch(2, within=60))
    life = start(batches.app)
    [waiting] = life.append(Row(n=0))
    life.settle()
    life.crash()
    single = Bursts(name="load")
    life = start(single.app, life.clock)
    life.settle()
    assert [one.first for one in life.engine.left] == [[waiting]]
    life.accept(Replay(events=[waiting]))
    assert (single.called, life.engine.left) == ([0], [])
    life.crash()
    life = start(batches.app, life.clock)
    life.send(Row(n=1), Row(n=2))
    assert batches.called == [[1, 2]]


@pytest.mark.parametrize(
    ("make", "called"),
    [(lambda: Batches(Batch(3, within=60)), [[1]]), (lambda: Bursts(debounce=Debounce(60)), [1])],
)
def test_an_event_that_waits_is_not_gathered_twice_by_a_replay(
    start: Start, make: Callable[[], Batches | Bursts], called: list[object]
) -> None:
    made = make()
    life = start(made.app)
    [waiting] = life.append(Row(n=1))
    for _ in range(3):
        life.accept(Replay(events=[waiting]))
    assert made.called == []
    life.advance(61)
    assert made.called == called
    assert reasons(life) == []

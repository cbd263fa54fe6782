"""One run for one event of each of several types: who is paired with whom, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life, Start
from triggers import All, App, Batch, Context, Debounce, Event, Join, Retry, Tick, every
from triggers.check.graph import check
from triggers.errors import WiringError
from triggers.requests import Redrive, Replay


class Model(Event):
    n: int = 0
    day: str | None = None


class Data(Event):
    n: int = 0
    date: str | None = None


class Job(Event):
    parts: int


class Part(Event):
    n: int


class Score(Event):
    n: int


class Pairs:
    """An app with one route that joins a model and data of one day, and notes what it is called with."""

    def __init__(self, **policies: Any) -> None:
        self.called: list[tuple[int | None, int | None]] = []
        self.app = App("a", retry=Retry(attempts=1))
        join = Join(Model, Data, by={Model: "day", Data: "date"}, within=60, **policies)
        self.app.on(join, name="evaluate")(self.evaluate)

    async def evaluate(self, model: Model | None, data: Data | None) -> None:
        self.called.append((model and model.n, data and data.n))


def model(n: int, day: str | None = "mon") -> Model:
    return Model(n=n, day=day)


def data(n: int, date: str | None = "mon") -> Data:
    return Data(n=n, date=date)


def errors(life: Life, state: str) -> list[str | None]:
    return [run.error for run in life.runs() if run.state == state]


def test_events_of_one_key_are_joined_in_whatever_order_they_come(start: Start) -> None:
    pairs = Pairs()
    life = start(pairs.app)
    life.send(model(1), data(2, "tue"), data(3))
    assert pairs.called == [(1, 3)]
    life.send(model(4, "tue"))
    assert pairs.called == [(1, 3), (4, 2)]


def test_a_join_goes_on_after_a_crash(start: Start) -> None:
    pairs = Pairs()
    life = start(pairs.app)
    life.send(model(1))
    life.crash()
    life = start(pairs.app, life.clock)
    life.send(data(2))
    assert pairs.called == [(1, 2)]


@pytest.mark.parametrize(
    ("missing", "state", "called"), [("fail", "dead", []), ("drop", "dropped", []), ("partial", "done", [(1, None)])]
)
def test_what_lacks_an_event_when_its_time_is_over(
    start: Start, missing: str, state: str, called: list[object]
) -> None:
    pairs = Pairs(missing=missing)
    life = start(pairs.app)
    life.send(model(1))
    life.advance(61)
    assert pairs.called == called
    assert [run.state for run in life.runs()] == [state]
    said = f"1 of 2 had come within 60 s: e1 (missing={missing!r})"
    assert errors(life, state) == [{"fail": f"Reject: {said}", "drop": said, "partial": None}[missing]]


def test_an_event_that_comes_when_the_time_is_over_begins_another_join(start: Start) -> None:
    pairs = Pairs(missing="drop")
    life = start(pairs.app)
    life.send(model(1))
    life.crash()
    life.clock.step(life.clock.monotonic() + 61)
    life = start(pairs.app, life.clock)
    life.send(data(2), model(3))
    assert pairs.called == [(3, 2)]


@pytest.mark.parametrize(
    ("repeated", "called", "dropped"),
    [
        ("latest", [(2, 3)], ["e2 came after it (repeated='latest')"]),
        ("first", [(1, 3)], ["e1 was there before it (repeated='first')"]),
        ("queue", [(1, 3), (2, 4)], []),
    ],
)
def test_which_of_two_events_of_one_type_counts(
    start: Start, repeated: str, called: list[object], dropped: list[str]
) -> None:
    pairs = Pairs(repeated=repeated)
    life = start(pairs.app)
    life.send(model(1), model(2), data(3))
    life.send(data(4))
    assert pairs.called == called
    assert errors(life, "dropped") == dropped


def test_of_three_types_that_queue_each_takes_its_place_in_the_oldest_that_lacks_it(start: Start) -> None:
    called: list[tuple[int, int, int]] = []
    app = App("a")

    @app.on(Join(Model, Data, Score, by=lambda event: "all", within=60, repeated="queue"))
    async def evaluate(model: Model, data: Data, score: Score) -> None:
        called.append((model.n, data.n, score.n))

    life = start(app)
    life.send(model(1), model(2), data(3), model(4), data(5), Score(n=6), data(7), Score(n=8))
    assert called == [(1, 3, 6), (2, 5, 8)]
    life.send(Score(n=9))
    assert called[2:] == [(4, 7, 9)]


@pytest.mark.parametrize(
    ("late", "called", "dropped"),
    [("new", [(1, 2), (4, 3)], []), ("drop", [(1, 2)], ["the join of 'mon' had ended (late='drop')"] * 2)],
)
def test_what_comes_for_a_key_that_had_its_run(
    start: Start, late: str, called: list[object], dropped: list[str]
) -> None:
    pairs = Pairs(late=late)
    life = start(pairs.app)
    life.send(model(1), data(2))
    life.send(data(3))
    life.send(model(4))
    assert pairs.called == called
    assert errors(life, "dropped") == dropped


def test_what_is_replayed_is_never_late(start: Start) -> None:
    pairs = Pairs(late="drop")
    life = start(pairs.app)
    life.send(model(1), data(2))
    life.send(data(3))
    life.accept(Replay(events=[1, 4]))
    assert pairs.called == [(1, 2), (1, 3)]


def test_what_has_no_key_is_joined_with_nothing_and_kept_with_the_reason(start: Start) -> None:
    pairs = Pairs()
    life = start(pairs.app)
    life.send(model(1, None), data(2, None))
    assert pairs.called == []
    assert errors(life, "dropped") == ["it has no key to be joined by (by=)"] * 2


def test_replay_gives_back_the_pair_and_a_redrive_of_what_was_dropped_says_what_to_do(start: Start) -> None:
    pairs = Pairs()
    life = start(pairs.app)
    life.send(model(1), model(2), data(3))
    whole = next(run for run in life.runs() if run.state == "done")
    life.accept(Replay(events=[whole.event]))
    assert pairs.called == [(2, 3), (2, 3)]
    lost = next(run for run in life.runs() if run.state == "dropped")
    life.accept(Redrive(runs=[lost.number]))
    assert errors(life, "dead") == [
        "Reject: e1 is one event, and 'evaluate' takes several; `triggers replay` has it gathered again"
    ]


def plain(model: Model, data: Data, ctx: Context) -> None:
    assert (model.n, data.n, ctx.attempt) == (1, 2, 1)


@pytest.mark.parametrize("isolate", [False, True])
def test_a_join_is_carried_out_in_threads_and_in_processes(tmp_path: Path, isolate: bool) -> None:
    app = App("a")
    app.on(Join(Model, Data, by={Model: "day", Data: "date"}, within=60), isolate=isolate)(plain)
    life = Life(app, tmp_path / "state", threaded=True)
    try:
        life.send(model(1), data(2))
        life.until(lambda: life.dispatcher.counts["done"] or life.dispatcher.counts["dead"])
        assert [(run.state, run.error) for run in life.runs()] == [("done", None)]
    finally:
        life.stop()


class Fan:
    """An app that takes a job apart, scores its parts, and has the scores together."""

    def __init__(self, times: int = 1, **options: Any) -> None:
        self.called: list[list[int]] = []
        self.bad: set[int] = set()
        self.times = times
        self.app = App("a", retry=Retry(attempts=1))
        self.app.on(Job)(self.take_apart)
        self.app.on(Part)(self.score)
        self.app.on(Score, batch=All(Part, within=60, **options), name="collect")(self.collect)

    async def take_apart(self, event: Job) -> list[Part]:
        return [Part(n=n) for n in range(event.parts)]

    async def score(self, event: Part) -> list[Score]:
        if event.n in self.bad:
            raise ValueError("bad part")
        return [Score(n=10 * event.n + time) for time in range(self.times)]

    async def collect(self, events: list[Score]) -> None:
        self.called.append([event.n for event in events])


def test_what_came_of_all_that_one_run_emitted_is_one_run(start: Start) -> None:
    fan = Fan()
    life = start(fan.app)
    life.send(Job(parts=3), Job(parts=2))
    assert sorted(fan.called) == [[0, 10], [0, 10, 20]]


def test_a_part_that_died_is_waited_for_and_a_redrive_makes_it_whole(start: Start) -> None:
    fan = Fan()
    fan.bad = {1}
    life = start(fan.app)
    life.send(Job(parts=3))
    life.advance(30)
    assert fan.called == []
    fan.bad.clear()
    life.accept(Redrive(runs=[run.number for run in life.runs() if run.state == "dead"]))
    assert fan.called == [[0, 20, 10]]


@pytest.mark.parametrize(("missing", "called"), [("partial", [[0, 20]]), ("fail", [])])
def test_a_part_that_never_came_is_told_when_the_time_is_over(start: Start, missing: str, called: list[object]) -> None:
    fan = Fan(missing=missing)
    fan.bad = {1}
    life = start(fan.app)
    life.send(Job(parts=3))
    life.advance(61)
    assert fan.called == called
    dead = [error for error in errors(life, "dead") if error and "bad part" not in error]
    assert len(dead) == (missing == "fail")


@pytest.mark.parametrize(("times", "bad"), [(0, set()), (1, {0, 1})], ids=["none", "dead"])
def test_a_list_of_which_no_part_leads_to_anything_is_never_begun(start: Start, times: int, bad: set[int]) -> None:
    fan = Fan(times=times, missing="fail")
    fan.bad = bad
    life = start(fan.app)
    life.send(Job(parts=2))
    life.advance(10_000)
    assert [run for run in life.runs() if run.route == "collect"] == []
    assert len(errors(life, "dead")) == len(bad)


def test_what_a_part_leads_to_when_its_list_was_whole_is_kept_with_the_reason(start: Start) -> None:
    fan = Fan(times=2)
    life = start(fan.app)
    life.send(Job(parts=2))
    assert fan.called == [[1, 10]]
    life.crash()
    life = start(fan.app, life.clock)
    life.accept(Replay(events=[2]))  # the first part
    life.advance(61)
    assert fan.called == [[1, 10]]
    assert errors(life, "dead") == []
    assert errors(life, "dropped")[1:] == ["what r1 emitted had come together before it (batch=All)"] * 3


def test_a_part_that_comes_when_the_time_of_its_list_is_over_is_late_and_a_replay_makes_the_list_anew(
    start: Start,
) -> None:
    fan = Fan(missing="partial")
    fan.bad = {1}
    life = start(fan.app)
    life.send(Job(parts=2))
    life.advance(61)
    fan.bad.clear()
    life.accept(Redrive(runs=[run.number for run in life.runs() if run.state == "dead"]))
    assert fan.called == [[0]]
    assert errors(life, "dropped") == ["what r1 emitted had come together before it (batch=All)"]
    life.accept(Replay(events=[number for (number,) in life.ask("SELECT number FROM event WHERE type = 'Score'")]))
    assert fan.called == [[0], [0, 10]]


@pytest.mark.parametrize("missing", ["fail", "partial", "drop"])
def test_of_more_than_can_come_together_there_is_one_dead_letter_and_each_is_kept_with_the_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr("triggers.journal.gathered.MOST", 2)
    fan = Fan(missing=missing)
    life = start(fan.app)
    life.send(Job(parts=3), Job(parts=2))
    assert fan.called == [[0, 10]]  # what another run emitted
    reason = "r1 emitted 3 Part, and 2 at most come together (batch=All); take the work apart in steps"
    assert (errors(life, "dead"), errors(life, "dropped")) == ([f"Reject: {reason}"], [reason] * 2)
    life.accept(Redrive(runs=[run.number for run in life.runs() if run.state == "dead"]))
    assert errors(life, "dead") == [f"Reject: {reason}"]


def test_a_key_may_be_as_long_as_a_payload(start: Start) -> None:
    pairs = Pairs()
    day = "m" * 200_000
    life = start(pairs.app)
    life.send(model(1, day), data(2, day))
    assert pairs.called == [(1, 2)]


def test_what_no_run_took_apart_is_kept_with_the_reason(start: Start) -> None:
    fan = Fan()
    life = start(fan.app)
    life.send(Score(n=1))
    assert errors(life, "dropped") == ["no Part that a run emitted led to it (batch=All)"]


# --- declarations


def on_models(events: list[Model]) -> None: ...


def on_model(event: Model) -> None: ...


def on_tick(event: Tick) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Join(Model, Data, by="day", within=60), "by='day' is no field of Data"),
        (lambda: Join(Model, Data, by={Model: "day"}, within=60), "does not say where Data has its key"),
        (lambda: Join(Model, Data, by="n", within=0), "Join(Model, Data): within=0 is no span of time above 0"),
        (lambda: Join(Model, Model, by="n", within=9), "two or more types, each once"),
        (lambda: Join(Model, Data, by="n", within=9, late="never"), "late='never' is none of 'new' and 'drop'"),
        (lambda: App("a").on(Join(Model, Data, by="n", within=9))(on_model), "an event of each of 2 types"),  # type: ignore[arg-type, type-var]  # that is the point
        (lambda: App("a").on(Join(Model, Data, by="n", within=9), key="n")(plain), "takes no key; by= is its key"),
        (lambda: App("a").on(Join(Model, Data, by="n", within=9), debounce=Debounce(3))(plain), "takes no debounce;"),
        (lambda: App("a").on(Model, batch=Batch(3, within=9))(on_model), "annotate it list[Model]"),  # type: ignore[call-overload]  # that is the point
        (lambda: App("a").on(Model)(on_models), "takes a list, but is called with one Model; for lists say batch="),  # type: ignore[call-overload]  # that is the point
        (lambda: App("a").on(every(hours=1), debounce=Debounce(3))(on_tick), "a schedule's ticks are made one by one"),
        (lambda: Batch(0, within=9), "a whole number above 0"),
        (
            lambda: Batch(10),
            "Batch(10): within= is missing; write seconds, as in within=60, or text like '90m' or '1d'",
        ),  # type: ignore[call-overload]  # that is the point
        (lambda: Join(Model, Data, by="n"), "Join(Model, Data): within= is missing; write seconds"),  # type: ignore[call-overload]  # that is the point
        (lambda: All(Part), "All(Part): within= is missing; write seconds"),  # type: ignore[call-overload]  # that is the point
        (lambda: Debounce(), "Debounce: quiet= is missing; write seconds"),  # type: ignore[call-overload]  # that is the point
        (lambda: Batch(20_000, within=9), "10,000 at most"),
        (lambda: Debounce(30, longest=20), "the longest wait is shorter than the quiet time"),
        (lambda: All(3, within=9), "name the type of the events that one run emits"),  # type: ignore[arg-type]  # that is the point
    ],
)
def test_what_cannot_come_together_is_refused(wrong: Callable[[], object], words: str) -> None:
    with pytest.raises(WiringError) as refused:
        wrong()
    assert words in str(refused.value)


def test_an_input_that_nobody_emits_is_found_by_the_check() -> None:
    app = App("a")

    @app.on(Job)
    def train(event: Job) -> Model: ...

    app.on(Join(Model, Data, by="n", within=9), name="both")(plain)
    assert [str(problem) for problem in check(app)] == [
        "warning: route 'both' joins Data, which no route emits and no source tells: it completes only where somebody"
        " sends one"
    ]


def test_a_fan_in_of_what_no_run_emits_is_refused_by_the_check() -> None:
    app = App("a")
    app.on(Model, batch=All(Part, within=9))(on_models)
    said = "route 'on_models' waits for what comes of all Part that one run emits, and no route emits Part"
    assert [problem.error for problem in check(app) if said in problem.message] == [True]

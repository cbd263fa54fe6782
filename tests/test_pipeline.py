"""What must never be committed by half, and what must not hold everything else up."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.kit import Life, Start, delivery, numbers
from triggers import App, Event, Later, Reject
from triggers.errors import TriggersError
from triggers.executor import Done
from triggers.journal import Change
from triggers.pipeline import Turn
from triggers.requests import Redrive
from triggers.sources import Delivery


class A(Event):
    n: int = 0


class B(Event):
    n: int = 0


ROOT = Path(__file__).parents[1]


def read(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(folder / "journal.db"))
    found = list(connection.execute(sql))
    connection.close()
    return found


def noting() -> tuple[App, list[int]]:
    """Return an app, and what its handler has seen."""
    app, seen = App("a"), list[int]()

    @app.on(A)
    async def handler(event: A) -> None:
        seen.append(event.n)

    return app, seen


# --- a mistake of ours in the middle of a settle


class Mistake(Exception):
    """What only a bug of ours raises."""


def fails_as_a_listener(life: Life) -> None:
    """Break what is told of an outcome, before anything of the run is in the pending turn."""

    def listen(run: Any, outcome: object) -> None:
        if isinstance(outcome, Done):
            raise Mistake

    life.dispatcher.listeners.append(listen)


def fails_after_the_first_event(life: Life) -> None:
    """Break the numbering of events, when the end of the run and the first of its events are in the pending turn."""
    fails_after_so_many_events(life, 2)


def fails_after_so_many_events(life: Life, many: int) -> None:
    """Break the numbering of events after so many."""
    given = life.engine.journal.number_event
    left = [many]

    def number() -> int:
        left[0] -= 1
        if left[0] < 0:
            raise Mistake
        return given()

    life.engine.journal.number_event = number


def fails_as_a_turn_is_prepared(life: Life) -> None:
    """Break the choice of what runs, before its claims are in a turn."""

    def prepare(turn: object) -> None:
        raise Mistake

    life.dispatcher.pipeline._prepare = prepare


def fails_after_a_commit(life: Life) -> None:
    """Break what is done with a result that is durable."""

    def after(turn: object, result: object) -> None:
        raise Mistake

    life.dispatcher.pipeline._after = after


@pytest.mark.parametrize(("broken", "durable"), [(fails_as_a_turn_is_prepared, 0), (fails_after_a_commit, 1)])
def test_after_a_mistake_in_a_commit_nobody_is_answered_and_nothing_stands_still(
    start: Start, tmp_path: Path, broken: Callable[[Life], None], durable: int
) -> None:
    app, seen = noting()
    life = start(app)
    life.settle()
    broken(life)
    for _ in range(2):  # the second finds that nothing is committed any more
        with pytest.raises(Mistake):
            life.send(A(n=7))
        with pytest.raises(Mistake):
            life.ask("SELECT 1")
    with pytest.raises(Mistake):
        life.stop()
    assert seen == []
    assert len(read(tmp_path / "state", "SELECT * FROM event")) == durable

    life = start(app)
    life.settle()
    assert seen == [7] * durable


@pytest.mark.parametrize("error", [Mistake(), StopIteration(), KeyboardInterrupt()], ids=repr)
def test_who_waits_for_a_commit_that_never_comes_hears_of_it_whatever_it_was(error: BaseException) -> None:
    async def waits() -> None:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        Turn(Change(1), asked=[future]).give_up(error)
        await future

    with pytest.raises((Mistake, TriggersError), match=f"^$|ends by {type(error).__name__}, and commits nothing more"):
        asyncio.run(waits())


def test_a_cancellation_out_of_a_turn_ends_the_app_in_words_and_cancels_nobody(start: Start) -> None:
    def cancels(turn: Turn) -> None:
        raise asyncio.CancelledError

    app, _ = noting()
    life = start(app)
    life.settle()
    life.dispatcher.claims.choose = cancels
    for ends in (lambda: life.send(A()), life.stop):
        with pytest.raises(TriggersError, match=r"^CancelledError\(\) came out of the midst of a turn$"):
            ends()


def test_half_of_what_is_handed_in_is_never_committed_and_comes_again(start: Start, tmp_path: Path) -> None:
    app, seen = noting()
    life = start(app)
    life.settle()
    handed_in = [Delivery("test", str(n), "A", f'{{"n": {n}}}', 0.0) for n in (1, 2)]
    fails_after_so_many_events(life, 1)

    async def hand_in() -> None:
        life.dispatcher.pipeline.touch()  # the turn is about to be handed over
        life.dispatcher.append(handed_in)

    with pytest.raises(Mistake):
        life.run(hand_in())
    with pytest.raises(Mistake):
        life.stop()
    assert not read(tmp_path / "state", "SELECT * FROM event")

    life = start(app)
    life.append(*handed_in)
    life.settle()
    assert seen == [1, 2]


def test_what_is_durable_after_the_end_was_decided_begins_with_the_next_start(start: Start, tmp_path: Path) -> None:
    app, seen = noting()
    life = start(app)
    life.settle()
    pipeline, commit = life.dispatcher.pipeline, life.engine.journal.commit

    def ends_meanwhile(change: Change, told: Callable[[Any], None]) -> None:
        pipeline.fail(Mistake())
        commit(change, told)

    life.engine.journal.commit = ends_meanwhile
    with pytest.raises(Mistake):
        life.send(A(n=7))
    pipeline.fail(KeyError())  # which comes of the first one, and is not what is told
    with pytest.raises(Mistake):
        life.stop()
    assert (seen, read(tmp_path / "state", "SELECT state FROM run")) == ([], [(1,)])

    start(app).settle()
    assert seen == [7]


@pytest.mark.parametrize("broken", [fails_as_a_listener, fails_after_the_first_event])
def test_half_a_settled_run_is_never_committed_and_the_next_start_carries_it_out_again(
    start: Start, tmp_path: Path, broken: Callable[[Life], None]
) -> None:
    seen: list[int] = []
    app = App("a")

    @app.on(A)
    async def handler(event: A) -> list[B]:
        seen.append(event.n)
        return [B(n=1), B(n=2)]

    @app.on(B)
    async def takes(event: B) -> None: ...

    life = start(app)
    broken(life)
    with pytest.raises(Mistake):
        life.send(A(n=7))
    with pytest.raises(Mistake):
        life.stop()
    assert read(tmp_path / "state", "SELECT type FROM event") == [("A",)]
    assert read(tmp_path / "state", "SELECT state, attempt FROM run") == [(1, 1)]
    assert not read(tmp_path / "state", "SELECT * FROM attempt")

    life = start(app)
    life.settle()
    assert (seen, numbers(life.data(B))) == ([7, 7], [1, 2])
    assert set(life.states()) == {("done", 2), ("done", 1)}
    assert [attempt.outcome for attempt in life.attempts(1)] == ["interrupted"]


APP = """
from pathlib import Path
from triggers import App, Event, dispatcher

class A(Event):
    pass

class B(Event):
    pass

app = App("a")

@app.on(A)
async def handler(event: A) -> B:
    return B()

def mistaken(*arguments):
    raise ZeroDivisionError("a bug of ours")

if not Path("mended").exists():
    dispatcher.emissions = mistaken
"""


@pytest.mark.parametrize("options", [(), ("--drain",)])
def test_a_mistake_in_a_settle_ends_the_process_with_1_and_a_traceback(tmp_path: Path, options: Sequence[str]) -> None:
    (tmp_path / "app.py").write_text(APP)

    def triggers(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "triggers", *words, "--state", "state"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stderr

    assert triggers("send", "A")[0] == 0
    code, said = triggers("run", "app.py", *options)
    assert code == 1
    assert "ZeroDivisionError: a bug of ours" in said
    assert "this is a mistake in triggers; please report it" in said
    assert read(tmp_path / "state", "SELECT type, state FROM event JOIN run ON run.event = event.number") == [("A", 1)]
    (tmp_path / "mended").touch()
    assert triggers("run", "app.py", "--drain")[0] == 0
    assert read(tmp_path / "state", "SELECT type FROM event") == [("A",), ("B",)]


# --- routes that are gone


class Source:
    """A source that delivers one event at a time."""

    def __init__(self, total: int) -> None:
        self.name = "one-by-one"
        self.total = total

    async def deliveries(self, site: Any) -> Any:
        for n in range(self.total):
            batch: list[Delivery] = [delivery(B(n=n), source=self.name)]
            yield batch


def app_of(handler: Any, trigger: type[Event], *sources: Any) -> App:
    app = App("a", sources=sources, backlog=5)
    app.on(trigger)(handler)
    return app


def test_the_runs_of_a_route_that_is_gone_do_not_hold_the_sources_up(start: Start) -> None:
    started: list[int] = []

    async def gone(event: A) -> None:
        started.append(event.n)
        await asyncio.Event().wait()

    async def stays(event: B) -> None: ...

    life = start(app_of(gone, A))
    life.append(*(A(n=n) for n in range(40)))
    life.until(lambda: len(started) == 40)
    life.crash()
    life = start(app_of(stays, B, Source(30)))
    life.settle()
    assert life.states("stays") == [("done", 1)] * 30
    assert life.engine.journal.open_runs == 0


def test_the_delayed_runs_of_a_route_that_is_gone_do_not_hold_the_sources_up(start: Start) -> None:
    async def gone(event: A) -> None:
        raise Later(days=1)

    async def stays(event: B) -> None: ...

    life = start(app_of(gone, A))
    life.send(*(A(n=n) for n in range(40)))
    life.stop()
    life = start(app_of(stays, B, Source(30)))
    for _ in range(30):  # a commit each, of which the source needs one
        life.append(A())
    assert len(life.runs("stays")) == 30
    life.advance(2 * 86_400)
    assert life.engine.journal.open_runs == 0


@pytest.mark.parametrize(("runs", "said"), [(1, "1 run waits for route 'gone'"), (2, "2 runs wait for route 'gone'")])
def test_delayed_runs_of_a_route_that_is_gone_are_told_of(
    start: Start, caplog: pytest.LogCaptureFixture, runs: int, said: str
) -> None:
    async def gone(event: A) -> None:
        raise Later(days=1)

    life = start(app_of(gone, A))
    life.send(*(A(n=n) for n in range(runs)))
    life.stop()
    life = start(App("a"))
    life.settle()
    assert said in caplog.text


def test_driving_the_runs_of_a_route_that_is_gone_does_not_hold_the_sources_up(start: Start) -> None:
    async def gone(event: A) -> None:
        raise Reject("no")

    async def stays(event: B) -> None: ...

    life = start(app_of(gone, A))
    life.send(*(A(n=n) for n in range(40)))
    life.stop()
    life = start(app_of(stays, B))
    life.accept(Redrive(runs=list(range(1, 41))))
    assert {run.state for run in life.runs("gone")} == {"waiting"}
    assert life.engine.journal.open_runs == 0


# --- turns


def test_a_turn_is_prepared_for_each_commit_and_for_no_other_where_nothing_waits(start: Start) -> None:
    app = App("a")

    @app.on(A)
    async def first(event: A) -> B:
        return B(n=event.n)

    @app.on(B)
    async def then(event: B) -> None: ...

    life = start(app)
    life.settle()
    prepared, choose = [0], life.dispatcher.claims.choose

    def counted(turn: Any) -> None:
        prepared[0] += 1
        choose(turn)

    life.dispatcher.claims.choose = counted
    life.send(A(n=1))
    assert life.states() == [("done", 1), ("done", 1)]
    assert prepared[0] == 3 + 1  # the event; the first run's end with the second; that one's end; our question

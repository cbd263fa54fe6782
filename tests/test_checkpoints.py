"""Checkpoints: a run goes on where it was, after a failure, a restart and a death."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import jobs
from tests.jobs import Job, Result
from tests.kit import PATIENCE, Life, delivery
from triggers import App, Context, Retry
from triggers.checkpoints import INTERVAL, MOST, Keeper
from triggers.errors import WiringError
from triggers.journal import prune
from triggers.requests import Drop, Redrive

Start = Callable[..., Life]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(*handlers: Any, **policy: Any) -> Life:
        app = App("a", processes=1)
        for handler in handlers:
            app.on(Job, **{"retry": Retry(attempts=2), **policy})(handler)
        lives.append(Life(app, tmp_path / "state"))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def kept(life: Life) -> list[tuple[Any, ...]]:
    return life.ask("SELECT run, value, done, total, origin FROM checkpoint ORDER BY run")


def results(life: Life) -> list[int]:
    return [Result.model_validate_json(text).n for text in life.data(Result)]


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("handler", [jobs.counts, jobs.counts_on_the_loop])
def test_the_next_attempt_goes_on_at_the_last_checkpoint_wherever_the_handler_runs(
    start: Start, handler: Any, isolate: bool
) -> None:
    life = start(handler, isolate=isolate)
    life.send(Job(n=1000))
    assert kept(life) == [(1, "500", 500, 1000, None)]
    life.advance(60)
    assert life.states() == [("done", 2)]
    assert results(life) == [500]


def test_what_a_run_has_kept_is_forgotten_when_it_is_done(start: Start) -> None:
    life = start(jobs.counts)
    life.send(Job(n=1), Job(n=1000))
    life.advance(60)
    assert life.states() == [("done", 1), ("done", 2)]
    assert kept(life) == []


def test_a_process_that_dies_leaves_what_it_had_told(start: Start) -> None:
    life = start(jobs.counts, isolate=True)
    life.send(Job(n=1000, text="die"))
    life.advance(60)
    assert life.states() == [("done", 2)]
    (begun,) = results(life)
    assert 1 <= begun <= 500


def test_a_dead_run_keeps_its_checkpoint_until_it_is_redriven(start: Start) -> None:
    life = start(jobs.counts, retry=Retry(attempts=1))
    life.send(Job(n=10))
    assert life.states() == [("dead", 1)]
    life.accept(delivery(Redrive(runs=[1]), source="requests"))
    assert results(life) == [5]


def test_a_checkpoint_is_on_disk_while_the_handler_goes_on_also_if_no_other_follows(
    start: Start, tmp_path: Path
) -> None:
    async def waits(event: Job, ctx: Context) -> Result:
        if ctx.restored is None:
            ctx.checkpoint({"item": 1})
            ctx.checkpoint({"item": 2})
            await asyncio.Event().wait()
        return Result(n=ctx.restored["item"])

    life = start(waits)
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    found: list[Any] = []
    while found != [(1, '{"item": 2}', None, None, None)]:
        life.until(lambda: True)
        found = kept(life)
    life.crash()
    again = Life(life.app, tmp_path / "state")
    again.settle()
    assert results(again) == [2]
    again.stop()


def test_a_checkpoint_for_each_of_many_items_costs_little_and_writes_few(start: Start) -> None:
    def many(event: Job, ctx: Context) -> Result:
        begun = time.thread_time()
        for item in range(event.n):
            ctx.checkpoint(item, done=item, total=event.n)
        return Result(n=int(1e9 * (time.thread_time() - begun) / event.n))

    life = start(many)
    rows = 0
    commit = life.engine.journal.commit

    def counting(change: Any, then: Any) -> None:
        nonlocal rows
        rows += len(change.checkpoints)
        commit(change, then)

    life.engine.journal.commit = counting  # type: ignore[method-assign]
    begun = time.monotonic()
    life.send(Job(n=200_000))
    assert rows <= 2 + (time.monotonic() - begun) / INTERVAL
    assert results(life)[0] < 20_000


def test_the_second_attempt_knows_where_it_began(start: Start) -> None:
    def again(event: Job, ctx: Context) -> None:
        ctx.checkpoint(None, done=10 * ctx.attempt)
        raise OSError

    life = start(again, retry=Retry(attempts=2))
    life.send(Job())
    life.advance(60)
    assert kept(life) == [(1, "null", 20, None, 10)]


def test_what_runs_have_left_goes_with_them(start: Start) -> None:
    def leaves(event: Job, ctx: Context) -> None:
        ctx.checkpoint(1)
        raise OSError

    life = start(leaves, retry=Retry(attempts=1))
    life.send(Job(), Job())
    life.accept(delivery(Drop(runs=[1]), source="requests"))
    far = life.clock.now() + 1e6
    life.run(life.dispatcher.pipeline.ordered(prune(far, far, 100)))
    assert [run for run, *_ in kept(life)] == [2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, r"route 'f': ctx.checkpoint\(\) keeps JSON, which set is not"),
        (float("nan"), "keeps JSON, which float is not"),
        ("x" * MOST, "has 65,538 bytes as JSON, the bound is 65,536; write it to a place, and keep its key"),
    ],
)
def test_what_is_no_json_or_too_large_is_refused_at_once(value: Any, message: str) -> None:
    with pytest.raises(WiringError, match=message):
        Keeper(lambda: None).put("f", value, None, None)


def test_what_changes_after_it_was_given_was_kept_as_it_was() -> None:
    keeper, value = Keeper(lambda: None), {"n": 1}
    keeper.put("f", value, None, None)
    value["n"] = 2
    assert keeper.take() == ('{"n": 1}', None, None)
    assert keeper.take() is None


def test_news_are_told_once_until_they_are_taken() -> None:
    told: list[None] = []
    keeper = Keeper(lambda: told.append(None))
    for number in (1, 2):
        keeper.put("f", number, None, None)
    assert len(told) == 1
    keeper.take()
    keeper.put("f", 3, None, None)
    assert len(told) == 2


def test_none_is_lost_between_one_thread_that_puts_and_one_that_takes() -> None:
    told = threading.Semaphore(0)
    keeper = Keeper(told.release)
    last = 20_000
    taken: list[int] = []

    def taking() -> None:
        while not taken or taken[-1] < last:
            assert told.acquire(timeout=PATIENCE)
            if found := keeper.take():
                taken.append(int(found.value))

    thread = threading.Thread(target=taking)
    thread.start()
    for number in range(last + 1):
        keeper.put("f", number, None, None)
    thread.join(PATIENCE)
    assert taken == sorted(set(taken))
    assert taken[-1] == last

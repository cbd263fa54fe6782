"""Handlers in processes of their own, with real processes."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import jobs
from tests.jobs import Job, Result
from tests.kit import PATIENCE, Life
from triggers import App, Folder, Retry, RunFailed
from triggers.errors import HandlerError
from triggers.executor import isolated, watch
from triggers.executor.process import ENDING
from triggers.scheduling.holdings import units

Start = Callable[..., Life]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(*handlers: Any, **policy: Any) -> Life:
        app = App("a", outputs=[Folder(tmp_path / "out")], processes=2)
        for handler in handlers:
            app.on(Job, **{"isolate": True, "retry": Retry(attempts=1), **policy})(handler)
        (tmp_path / "out").mkdir(exist_ok=True)
        lives.append(Life(app, tmp_path / "state"))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def results(life: Life) -> list[Result]:
    return [Result.model_validate_json(text) for text in life.data(Result)]


def test_a_warm_process_runs_one_job_after_the_other_and_what_it_prints_is_no_answer(start: Start) -> None:
    life = start(jobs.good)
    for _ in range(3):
        life.send(Job())
    found = results(life)
    assert len({result.n for result in found}) == 1
    assert found[0].n != os.getpid()
    key = f"{life.engine.journal.id}-r"
    assert [result.text for result in found] == [f"{key}1 1 r1", f"{key}2 1 r2", f"{key}3 1 r3"]


def test_no_more_processes_are_running_than_the_app_allows(start: Start) -> None:
    life = start(jobs.good)
    life.send(*(Job() for _ in range(8)))
    assert len({result.n for result in results(life)}) <= 2


def test_a_coroutine_can_be_isolated(start: Start) -> None:
    life = start(jobs.good_coroutine, timeout=30)
    life.send(Job(n=7))
    assert results(life) == [Result(n=7)]


def test_large_results_come_through_whole(start: Start) -> None:
    life = start(jobs.large)
    life.send(Job())
    assert [(result.n, len(result.text)) for result in results(life)] == [(n, 200_000) for n in range(20)]


def test_an_isolated_handler_writes_to_its_places(start: Start, tmp_path: Path) -> None:
    life = start(jobs.writes, writes={"out"})
    life.send(Job(text="hello"))
    assert (tmp_path / "out" / "a.txt").read_text() == "hello"


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (jobs.leaves, "HandlerError: the process of handler 'leaves' ended with exit code 3"),
        (jobs.killed, "HandlerError: the process of handler 'killed' was killed by SIGKILL; the kernel does that when"),
        (jobs.crashes, "HandlerError: the process of handler 'crashes' was killed by SIGSEGV"),
        (jobs.closes_everything, "HandlerError: the process of handler 'closes_everything' "),
        (jobs.exits, "HandlerError: handler 'exits' called sys.exit('bye'); raise an error instead"),
        (jobs.fails, "FileNotFoundError: x"),
        (jobs.fails_with_bytes, r"ValueError: a\udcff.csv"),
        (jobs.rejects, "Reject: never"),
        (jobs.returns_a_number, "WiringError: handler 'returns_a_number' returned int '7'"),
    ],
)
def test_whatever_happens_in_a_process_ends_one_run_and_the_next_has_a_process(
    start: Start, handler: Any, error: str
) -> None:
    life = start(handler, jobs.good)
    life.send(Job(text="x"))
    life.send(Job(text="x"))
    assert {run.state for run in life.runs(handler.__name__)} == {"dead"}
    assert [(run.error or "").startswith(error) for run in life.runs(handler.__name__)] == [True, True], life.runs()
    assert {run.state for run in life.runs("good")} == {"done"}
    assert len(life.data(RunFailed)) == 2
    assert life.dispatcher.admission.holdings.free == units(life.app.limits.capacity())


def test_the_death_of_a_process_is_tried_again_whatever_retry_names(start: Start) -> None:
    life = start(jobs.leaves, retry=Retry(on=ConnectionError, attempts=3))
    life.send(Job())
    life.advance(600)
    assert life.states() == [("dead", 3)]


@pytest.mark.parametrize(("on", "attempts"), [(Exception, 3), (HandlerError, 3), (OSError, 1), (SystemExit, 1)])
@pytest.mark.parametrize("isolate", [True, False])
def test_an_exit_is_an_error_of_its_handler_wherever_that_runs(
    start: Start, isolate: bool, on: type[BaseException], attempts: int
) -> None:
    life = start(jobs.exits, isolate=isolate, retry=Retry(on=on, attempts=3))
    life.send(Job(text="x"))
    life.advance(600)
    assert life.states() == [("dead", attempts)]
    assert 'sys.exit("bye")' in (life.attempts(1)[0].traceback or "")


@pytest.mark.parametrize(("on", "attempts"), [(OSError, 3), (FileNotFoundError, 3), (ValueError, 1)])
def test_the_kinds_of_an_error_cross_the_border(start: Start, on: type[Exception], attempts: int) -> None:
    life = start(jobs.fails, retry=Retry(on=on, attempts=3))
    life.send(Job(text="x"))
    life.advance(600)
    assert life.states() == [("dead", attempts)]
    assert "raise FileNotFoundError" in (life.attempts(1)[0].traceback or "")


def test_later_crosses_the_border(start: Start) -> None:
    life = start(jobs.puts_off)
    life.send(Job())
    (run,) = life.runs()
    assert (run.state, run.attempt, run.error) == ("delayed", 0, "Later: busy")
    assert run.due_time == life.clock.now() + 300


def gone(*pids: int) -> bool:
    """Wait until the processes have ended."""
    for pid in pids:
        try:
            file = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = bool(select.select([file], [], [], PATIENCE)[0])
        os.close(file)
        if not ended:
            return False
    return True


def test_a_timeout_kills_the_process_and_all_that_it_started(start: Start, tmp_path: Path) -> None:
    life = start(jobs.good, jobs.hangs, timeout=2.0)
    life.send(Job(text=str(tmp_path / "pids")))
    assert gone(*map(int, (tmp_path / "pids").read_text().split()))
    assert [run.error for run in life.runs("hangs")] == ["HandlerError: handler 'hangs' ran out of time: timeout=2 s"]
    life.send(Job(text="/nowhere/x"))
    assert {run.state for run in life.runs("good")} == {"done"}


def test_the_end_of_a_process_is_seen_though_a_child_of_it_lives_on_with_its_socket(
    start: Start, tmp_path: Path
) -> None:
    life = start(jobs.leaves_a_child)
    life.send(Job(text=str(tmp_path / "pid")))
    error = "HandlerError: the process of handler 'leaves_a_child' ended with exit code 3"
    assert [run.error for run in life.runs()] == [error]
    assert gone(int((tmp_path / "pid").read_text()))


def test_an_idle_process_that_died_is_replaced_and_no_attempt_is_lost(start: Start) -> None:
    life = start(jobs.good)
    life.send(Job())
    (first,) = results(life)
    os.kill(first.n, signal.SIGKILL)
    assert gone(first.n)
    life.send(Job())
    assert results(life)[1].n != first.n
    assert life.states() == [("done", 1), ("done", 1)]
    assert life.attempts(2) == []


def test_the_loop_goes_on_while_nobody_knows_yet_how_a_process_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "PATIENCE", ENDING / 4)
    life = start(jobs.hides)

    async def watched() -> None:
        with closing(watch.LoopWatch()) as look_out:
            look_out.wake(asyncio.get_running_loop())
            await life.engine.quiet()

    life.append(Job())
    life.run(watched())
    assert "the event loop has been blocked" not in caplog.text
    assert [run.error for run in life.runs()] == ["HandlerError: the process of handler 'hides' closed its connection"]


def test_a_process_that_cannot_be_started_costs_the_run_no_attempt(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(jobs.good)
    python = sys.executable
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    life.send(Job())
    life.advance(5)
    (run,) = life.runs()
    assert (run.state, run.attempt) == ("delayed", 0)
    assert (run.error or "").startswith(
        "HandlerError: no process could be started for handler 'good', so it was not called: [Errno 2]"
    )
    assert {row.outcome for row in life.attempts(1)} == {"lost"}
    monkeypatch.setattr(sys, "executable", python)
    life.advance(60)
    assert life.states() == [("done", 1)]


def test_where_no_process_can_be_started_at_all_a_run_ends_in_the_dead_letters(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(jobs.good, retry=Retry(on=ConnectionError, attempts=2))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    life.send(Job())
    life.advance(3600)
    assert life.states() == [("dead", 2)]
    assert [row.outcome for row in life.attempts(1)] == [*["lost"] * 5, "failed", *["lost"] * 5, "dead"]


def test_a_process_that_does_not_get_to_its_handler_is_tried_again_whatever_retry_names(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(jobs.good, retry=Retry(on=ConnectionError, attempts=2))
    with monkeypatch.context() as hasty:
        hasty.setattr(isolated, "STARTING", 0.001)
        life.send(Job())
    (run,) = life.runs()
    assert run.error == "HandlerError: the process of handler 'good' had not imported it after 0.001 s"
    life.advance(60)
    assert life.states() == [("done", 2)]


def test_a_warm_process_does_not_hand_context_variables_on(start: Start) -> None:
    life = start(jobs.remembers)
    for n in range(2):
        life.send(Job(n=n + 1))
    assert [result.n for result in results(life)] == [0, 0]


def test_a_stop_kills_what_runs_and_gives_it_back_without_an_attempt(start: Start, tmp_path: Path) -> None:
    life = start(jobs.hangs)
    life.append(Job(text=str(tmp_path / "pids")))
    life.until((tmp_path / "pids").exists)
    life.stop()
    assert gone(*map(int, (tmp_path / "pids").read_text().split()))
    life = start()
    assert [(run.state, run.attempt) for run in life.runs()] == [("waiting", 0)]


def test_an_isolated_run_is_not_blamed_for_the_death_of_its_dispatcher(start: Start, tmp_path: Path) -> None:
    for life_number in range(3):
        life = start(jobs.hangs)
        path = tmp_path / "pids"
        if life_number == 0:
            life.append(Job(text=str(path)))
        life.until(path.exists)
        path.unlink()
        life.crash()
    life = start()
    assert [(run.state, run.attempt) for run in life.runs()] == [("running", 1)]
    outcomes = [(row.attempt, row.outcome) for row in life.attempts(1)]
    assert outcomes == [(1, "interrupted"), (1, "interrupted")]

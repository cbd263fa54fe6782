"""Memory of isolated handlers, in real processes: measured, kept to what is declared, and more of it after a death."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import jobs
from tests.jobs import Job, Result
from tests.kit import Life
from triggers import App, Retry
from triggers.kernel import machine_resources
from triggers.scheduling.holdings import units

Start = Callable[..., Life]
MIB = 2**20


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(*handlers: Any, memory: str | None = None, processes: int = 2, **policy: Any) -> Life:
        app = App("a", processes=processes, resources={"memory": memory} if memory else {})
        for handler in handlers:
            app.on(Job, **{"isolate": True, "retry": Retry(attempts=1), **policy})(handler)
        lives.append(Life(app, tmp_path / "state"))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def usage(life: Life) -> list[tuple[int, int, float, float]]:
    return [
        (run, attempt, memory / MIB, cpu)
        for run, attempt, memory, cpu in life.ask("SELECT run, attempt, memory, cpu FROM usage ORDER BY run")
    ]


def results(life: Life) -> list[Result]:
    return [Result.model_validate_json(text) for text in life.data(Result)]


def test_what_an_attempt_had_at_most_is_kept_with_its_end_however_short_it_was(start: Start) -> None:
    life = start(jobs.grows)
    life.send(Job(n=100))
    life.send(Job(n=1))
    (_, _, most, _), (_, _, least, _) = usage(life)
    assert 100 < most < 160
    assert least < most - 90


def test_cpu_time_is_that_of_the_attempt_and_of_what_it_has_started(start: Start) -> None:
    life = start(jobs.burns)
    for _ in range(2):  # the second finds what it needs imported
        life.send(Job())
    assert 0.35 < usage(life)[1][3] < 0.8


def test_an_attempt_that_has_more_memory_than_is_declared_is_ended_and_says_how_much(start: Start) -> None:
    life = start(jobs.grows, needs={"memory": "80MiB"})
    life.send(Job(n=200, text="30"))
    (run,) = life.runs()
    assert run.state == "dead"
    assert run.error
    assert run.error.startswith("MemoryExceeded: handler 'grows' had ")
    assert "more than the 80MiB that its run may have" in run.error
    assert life.dispatcher.admission.holdings.free == units(life.app.limits.capacity())


def test_what_an_attempt_has_started_counts_too(start: Start) -> None:
    life = start(jobs.grows_in_a_child, needs={"memory": "100MiB"})
    life.send(Job(n=150))
    assert [run.error and run.error.split(":")[0] for run in life.runs()] == ["MemoryExceeded"]


def test_what_processes_share_counts_once(start: Start) -> None:
    life = start(jobs.shares, needs={"memory": "160MiB"})
    life.send(Job(n=80))
    assert life.states() == [("done", 1)], life.runs()
    assert usage(life)[0][2] < 160


def test_a_run_that_the_kernel_killed_while_it_had_most_of_its_memory_gets_more(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(jobs.dies_near_its_limit, needs={"memory": "160MiB"}, retry=Retry(attempts=2))
    holdings, seen = life.dispatcher.admission.holdings, list[float]()
    monkeypatch.setattr(holdings, "correct", lambda held, left: seen.extend(held.values()))
    life.append(Job(n=110, text=str(tmp_path / "now")))
    life.until(lambda: max(seen, default=0.0) > 120 * MIB)
    (tmp_path / "now").touch()
    life.settle()
    life.advance(600)
    assert life.states() == [("done", 2)]
    assert "as the kernel does when memory runs out" in (life.attempts(1)[0].error or "")
    assert life.ask("SELECT memory / 1048576 FROM run") == [(240.0,)]


def test_after_a_death_by_memory_the_next_attempt_takes_half_as_much_again_also_after_a_restart(
    start: Start, tmp_path: Path
) -> None:
    life = start(jobs.holds, needs={"memory": "100MiB"}, retry=Retry(on=OSError, attempts=2))
    life.send(Job(n=120, text=str(tmp_path / "enough")))
    life.stop()
    (tmp_path / "enough").touch()
    again = Life(life.app, tmp_path / "state", life.clock)
    taken = []
    again.dispatcher.listeners.append(
        lambda run, outcome: taken.append(outcome or again.dispatcher.admission.holdings.free["memory"])
    )
    try:
        again.advance(60)
        assert again.states() == [("done", 2)]
        assert results(again)[0].text.startswith("2 ")
    finally:
        again.stop()
    assert taken[0] < units(machine_resources())["memory"] - units({"x": 140 * MIB})["x"]


def test_no_run_gets_more_memory_than_there_is(start: Start) -> None:
    life = start(jobs.grows, memory="110MiB", needs={"memory": "100MiB"}, retry=Retry(attempts=2))
    life.send(Job(n=150, text="30"))
    life.advance(600)
    assert life.states() == [("dead", 2)]
    assert "more than the 110MiB that its run may have" in (life.runs()[0].error or "")


def test_memory_that_an_undeclared_run_has_is_not_free_for_others(start: Start, tmp_path: Path) -> None:
    life = start(jobs.holds, memory="200MiB")
    life.append(Job(n=120, text=str(tmp_path / "enough")))
    life.until(lambda: life.dispatcher.admission.holdings.free["memory"] < units({"x": 80 * MIB})["x"])
    (tmp_path / "enough").touch()
    life.settle()
    assert life.dispatcher.admission.holdings.free == units(life.app.limits.capacity())


def test_eight_tasks_of_three_on_a_capacity_of_four_run_one_after_the_other_and_none_dies(start: Start) -> None:
    life = start(jobs.grows, memory="160MiB", needs={"memory": "120MiB"})
    at_work = []
    life.dispatcher.listeners.append(lambda run, outcome: at_work.append(len(life.dispatcher.running)))
    life.send(*(Job(n=60, text="0.05") for _ in range(8)))
    assert life.states() == [("done", 1)] * 8
    assert max(at_work) == 1


def test_a_process_that_keeps_much_is_not_given_to_a_run_that_may_have_little(start: Start) -> None:
    life = start(jobs.keeps, processes=1, needs={"memory": "120MiB"})
    for _ in range(4):
        life.send(Job(n=30))
    assert life.states() == [("done", 1)] * 4
    assert len({result.n for result in results(life)}) == 2


def test_where_memory_runs_out_the_kernel_ends_isolated_handlers_first(start: Start) -> None:
    life = start(jobs.score)
    life.send(Job())
    assert [(result.n, result.text) for result in results(life)] == [(500, "500")]

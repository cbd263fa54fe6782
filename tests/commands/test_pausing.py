"""`pause`, `resume` and `drain`, and who tells that something is paused."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.commands.conftest import PATIENCE, Process, Project

SLOW = """
import time
from pathlib import Path
from triggers import App, Event

class Job(Event):
    n: int = 0

app = App("churn")

@app.on(Job, isolate=True)
def work(event: Job) -> None:
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.02)

@app.on(Job)
def other(event: Job) -> None: ...
"""


def at_work(project: Project) -> None:
    """Wait until the slow handler has begun."""
    until = time.monotonic() + PATIENCE
    while not (project.home / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_is_paused_is_told_by_all_who_look(project: Project) -> None:
    project.drain("a.csv")
    answer = project("pause", "train")
    assert (answer.code, answer.out) == (0, "")
    assert "handed in: train is paused when `triggers run` next starts" in answer.err
    drained = project.drain("b.csv")
    assert drained.code == 0
    assert "route 'train': paused since" in drained.err
    assert "`triggers resume train` lets it go on" in project("runs").out
    assert "train does not start it: paused since" in project("why", "r4").out
    assert "`triggers resume train` lets it go on" in project("doctor").out
    assert [run["state"] for run in project("runs", "--route", "train", "--json").data] == ["done", "waiting"]
    drained = project("drain", "train")
    assert (drained.code, drained.out) == (
        0, "train is paused, and nothing of it runs\ntrain: 1 waiting, 0 delayed\n",
    )  # fmt: skip
    project("resume", "train")
    project("run", "app.py", "--drain")
    assert [run["state"] for run in project("runs", "--route", "train", "--json").data] == ["done", "done"]


def test_a_route_that_is_not_there_is_not_paused(project: Project) -> None:
    project.drain("a.csv")
    for command in ("pause", "resume", "drain"):
        answer = project(command, "trian")
        assert answer.code == 3
        assert "no route 'trian' in this journal; did you mean 'train'?" in answer.err


def test_drain_waits_until_what_runs_has_ended_and_says_what_is_left(
    project: Project, start: Callable[..., Process]
) -> None:
    project.write("app.py", SLOW)
    process = start("run", "app.py", "--log-format", "plain")
    process.until("runs with")
    send = ("send", "Job", "--app", "app.py")
    assert project(*send).code == 0
    at_work(project)
    late = project("drain", "work", "--timeout", "0.5")
    assert late.code == 1
    assert late.out.startswith("still at work: r1 (work, since ")
    assert project(*send).code == 0
    project.write("go", "")
    drained = project("drain", "work", "--json")
    assert drained.code == 0
    assert drained.data == {"paused": ["work"], "running": [], "left": {"work": {"waiting": 1, "delayed": 0}}}
    assert "paused since" in project("why", "r3").out
    resumed = project("resume", "work")
    assert resumed.out == "work is resumed\n"
    again = project("resume", "work", "other")
    assert (again.code, again.out, again.err) == (0, "", "work was not paused\nother was not paused\n")
    process.until("r3")

"""What is said of events that come together: by `why`, `trace` and `replay`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Project
from tests.kit import Life
from triggers import All, App, Batch, BatchFailure, Event, Join
from triggers.commands.output import clock
from triggers.testing import START


class Row(Event):
    n: int


class Loaded(Event):
    rows: int


class Scored(Event):
    n: int


@pytest.fixture
def life(project: Project) -> Iterator[Life]:
    app = App("churn")

    @app.on(Row, batch=Batch(2, within=60))
    async def load(events: list[Row]) -> Loaded:
        if len(events) == 2 and events[1].n < 0:
            raise BatchFailure({1: "below zero"})
        return Loaded(rows=len(events))

    life = Life(app, Path(".triggers/churn"))
    yield life
    life.end()


def said(project: Project, *args: str) -> list[str]:
    return project(*args).out.splitlines()


def heads(project: Project, id: str) -> list[str]:
    return [line.strip(" │├└─").split("  ")[0] for line in said(project, "trace", id)]


def test_why_says_what_an_event_waits_for_and_what_came_of_its_group(project: Project, life: Life) -> None:
    life.send(Row(n=0))
    until = clock(START.timestamp() + 60)
    [waiting] = said(project, "why", "e1")
    assert waiting.startswith(f"e1 gathered: load waits for others of its group, which has 1 of 2 and ends at {until}")
    life.send(Row(n=1))
    together, run = said(project, "why", "e1")
    assert together == "e1: came together as e3 of 2 events, for load"
    assert run.startswith("e3 r1 done: load ended well")


def test_why_says_how_what_was_dropped_by_itself_is_gathered_once_more(project: Project) -> None:
    app = App("churn")

    @app.on(Join(Row, Loaded, by=lambda event: "all", within=60, repeated="first", missing="drop"))
    async def both(row: Row, loaded: Loaded) -> None: ...

    life = Life(app, Path(".triggers/churn"))
    life.send(Row(n=0), Row(n=1))
    assert said(project, "why", "r1") == [
        "r1 dropped: both does not run it: e1 was there before it (repeated='first'); `triggers replay --route both"
        " --event e2 --yes` has it gathered once more"
    ]
    life.advance(61)
    assert said(project, "why", "r2") == [
        "r2 dropped: both does not run it: 1 of 2 had come within 60 s: e1 (missing='drop'); a replay of all its events"
        " has them gathered once more"
    ]
    life.end()


def test_why_promises_nothing_of_a_replay_where_there_are_too_many_to_come_together(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.journal.gathered.MOST", 1)
    app = App("churn")

    @app.on(Loaded)
    async def take_apart(event: Loaded) -> list[Row]:
        return [Row(n=n) for n in range(event.rows)]

    @app.on(Row)
    async def score(event: Row) -> Scored:
        return Scored(n=event.n)

    @app.on(Scored, batch=All(Row, within=60))
    async def collect(events: list[Scored]) -> None: ...

    life = Life(app, Path(".triggers/churn"))
    life.send(Loaded(rows=2))
    assert said(project, "why", "r5") == [
        "r5 dropped: collect does not run it: r1 emitted 2 Row, and 1 at most come together (batch=All); take the"
        " work apart in steps"
    ]
    life.end()


def test_why_names_what_a_run_emitted_and_not_what_that_came_together_as(project: Project) -> None:
    app = App("churn")

    @app.on(Loaded)
    async def split(event: Loaded) -> Row:
        return Row(n=event.rows)

    @app.on(Row, batch=Batch(1, within=60))
    async def load(events: list[Row]) -> None: ...

    life = Life(app, Path(".triggers/churn"))
    life.send(Loaded(rows=1))
    life.end()
    assert [run.split()[0] for run in project("runs").out.splitlines()[1:]] == ["r1", "r2"]
    assert said(project, "why", "r1")[0].endswith("it emitted e2 Row")


def test_trace_shows_a_group_below_its_last_event_and_names_it_at_the_others(project: Project, life: Life) -> None:
    life.send(Row(n=0), Row(n=1))
    assert heads(project, "e2") == ["e2 Row from test", "e3 triggers.gathered from churn/load", "r1 load", "e4 Loaded"]
    assert "(in e3)" in said(project, "trace", "e1")[0]
    tree: Any = project("trace", "e2", "--json").data["tree"]
    assert tree["gathered"][0]["runs"][0]["emitted"][0]["type"] == "Loaded"


def test_trace_shows_what_failed_in_a_batch_below_the_run_of_the_batch(project: Project, life: Life) -> None:
    life.send(Row(n=0), Row(n=-1))
    assert heads(project, "e2") == [
        "e2 Row from test", "e3 triggers.gathered from churn/load", "r1 load", "e4 triggers.gathered", "r2 load",
        "e5 Loaded",
    ]  # fmt: skip


def test_replay_of_a_batch_is_one_run_of_its_route(project: Project, life: Life) -> None:
    life.send(Row(n=0), Row(n=1))
    for which in (["--event", "e3"], ["--route", "load"]):
        [plan] = project("replay", *which, "--json").data
        assert (plan["event"], plan["routes"]) == ("e3", ["load"])


APP = """
from triggers import App, Event

class Row(Event):
    n: int

app = App("churn")

@app.on(Row, name="load")
async def load(event: Row) -> None: ...
"""


def test_what_waits_for_a_route_that_has_lost_its_batch_is_no_drained_app_until_it_is_replayed(
    project: Project, life: Life
) -> None:
    life.send(Row(n=0))
    life.stop()
    project.write("app.py", APP)
    replay = "triggers replay --route load --event e1 --yes"
    told = "1 event waits to come together for route 'load', which does not gather any more: e1"
    drained = project("run", "app.py", "--drain")
    assert drained.code == 1
    assert f"left over: {told}" in drained.err
    assert said(project, "why", "e1") == [
        f"e1 gathered: load does not gather any more, and it waits for others; `{replay}` has it run by itself"
    ]
    examined = project("doctor")
    assert examined.code == 1
    assert f"{told}; declare it as it was, or run it on each, `{replay}`" in examined.out
    project(*replay.split()[1:])
    assert project("run", "app.py", "--drain").code == 0
    assert said(project, "why", "e1")[0].startswith("e1 r1 done: load ended well")
    assert project("doctor").code == 0


def test_why_says_that_the_route_is_gone_for_which_an_event_waits_for_others(project: Project, life: Life) -> None:
    life.send(Row(n=0))
    life.stop()
    project.write("app.py", APP.replace("load", "store"))
    assert project("run", "app.py", "--drain").code == 1
    assert said(project, "why", "e1") == [
        "e1 gathered: route 'load', for which it waits for others, is gone from the app; known: store; it waits on"
    ]

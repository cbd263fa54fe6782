"""What is said of events that come together: by `why`, `trace` and `replay`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Project
from tests.kit import Life
from triggers import App, Batch, BatchFailure, Event
from triggers.commands.output import clock
from triggers.testing import START


class Row(Event):
    n: int


class Loaded(Event):
    rows: int


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

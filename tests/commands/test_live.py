"""The live view: what it shows of an engine, and how the command behaves on a terminal."""

from __future__ import annotations

import asyncio
import logging
import os
import pty
import select
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.commands.conftest import Project
from tests.kit import Life
from triggers import App, Event, Retry
from triggers.commands.live import Display, share


class Job(Event):
    n: int = 0


def shown(display: Display, width: int = 80, height: int = 24) -> str:
    display.console = Console(width=width, height=height, color_system=None)
    with display.console.capture() as capture:
        display.console.print(display.render())
    return capture.get()


def test_it_shows_what_runs_what_ended_and_what_failed(tmp_path: Path) -> None:
    gate, app = asyncio.Event(), App("live")

    @app.on(Job, retry=Retry(on=OSError, attempts=2, initial=60, maximum=60, jitter=False))
    async def work(event: Job) -> None:
        if event.n == 1:
            raise ValueError("number \x1b one")
        if event.n == 2:
            raise OSError("the disk")
        if event.n == 3:
            await gate.wait()

    life = Life(app, tmp_path / "state")
    display = Display(life.engine, logging.StreamHandler())
    life.dispatcher.listeners.append(display.listen)
    life.send(Job(n=0), Job(n=1), Job(n=2))
    life.append(Job(n=3))
    life.until(lambda: len(life.dispatcher.running) == 1)
    life.engine.intake.failing["inbox"] = "the inbox cannot be listed"
    text = shown(display)
    life.engine.intake.failing.clear()
    life.end()
    head = " ".join(text.split())
    assert "5 events, 1 done, 1 dead since the start; 1 run at work, 2 open" in head
    assert "the next delayed run is due at" in head
    assert "failing: the inbox cannot be listed" in text
    assert "r2 work: ValueError: number \\x1b one" in text
    [route] = [line.split() for line in text.splitlines() if line.startswith("work ")]
    assert route == ["work", "0", "1", "1", "1", "1"]
    [running] = [line for line in text.splitlines() if line.startswith("r4 ")]
    assert "e5 Job" in running
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_replaced_run_is_none_that_is_tried_again(tmp_path: Path) -> None:
    gate, app = asyncio.Event(), App("live")

    @app.on(Job, overlap="replace")
    async def work(event: Job) -> None:
        if event.n == 1:
            await gate.wait()

    life = Life(app, tmp_path / "state")
    display = Display(life.engine, logging.StreamHandler())
    life.dispatcher.listeners.append(display.listen)
    life.append(Job(n=1))
    life.append(Job(n=2))
    life.settle()
    life.end()
    assert dict(display.by_route) == {("work", "done"): 1}


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (100, 40), (80, 12)])
def test_what_fails_runs_and_waits_is_seen_on_a_terminal_of_any_size(tmp_path: Path, width: int, height: int) -> None:
    gate, app = asyncio.Event(), App("live")

    def handler(place: int) -> Callable[[Job], Awaitable[None]]:
        async def work(event: Job) -> None:
            if place == 17:
                raise ValueError("table 17 is bad")
            if place == 23:
                await gate.wait()

        work.__name__ = f"route{place:02}"
        return work

    for place in range(30):
        app.on(Job, where={"n": [place]}, concurrency=1, retry=Retry(attempts=1))(handler(place))
    life = Life(app, tmp_path / "state")
    display = Display(life.engine, logging.StreamHandler())
    life.dispatcher.listeners.append(display.listen)
    life.append(*(Job(n=place) for place in range(30)), *(Job(n=23) for _ in range(5)))
    life.until(lambda: len(display.failures) == 1 and life.dispatcher.counts["done"] == 28)
    lines = shown(display, width, height).splitlines()
    life.end()
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert any("route17: ValueError: table 17 is bad" in line for line in lines)
    assert any(line.split()[:2] == ["r24", "route23"] for line in lines)
    assert ["route23", "5", "1", "0", "0", "0"] in [line.split()[:6] for line in lines]
    routes = [line for line in lines if line.startswith("route") and "waiting" not in line]
    left = 30 - len(routes)
    assert any(line.startswith(f"and {left} more routes") for line in lines) is (left > 0)


def test_each_table_gets_a_few_lines_before_one_gets_more() -> None:
    assert share(20, [3, 10, 2]) == [3, 10, 2]
    assert share(20, [50, 50, 2]) == [14, 4, 2]
    assert share(20, [0, 50, 8]) == [0, 16, 4]
    assert share(6, [50, 50, 2]) == [4, 2, 0]
    assert share(-3, [50, 50, 2]) == [0, 0, 0]


def test_on_a_terminal_it_is_the_default_and_the_cursor_comes_back(project: Project) -> None:
    project.drop("bad.csv")
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm", COLUMNS="80", LINES="30")
        os.execv(sys.executable, [sys.executable, "-m", "triggers", "run", "app.py"])
    told, heard = False, b""
    while select.select([terminal], [], [], 20)[0]:
        try:
            heard += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not told and b"ValueError: this table is bad" in heard:
            os.kill(process, signal.SIGINT)
            told = True
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert b"Ctrl-C stops" in heard
    assert b"stopped: " in heard
    assert heard.rindex(b"\x1b[?25h") > heard.rindex(b"\x1b[?25l")


def test_a_terminal_that_is_closed_stops_the_work_in_order(project: Project) -> None:
    project.drop("a.csv")
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm", COLUMNS="80", LINES="30")
        os.execv(sys.executable, [sys.executable, "-m", "triggers", "run", "app.py"])
    heard = b""
    while b"2 done" not in heard and select.select([terminal], [], [], 20)[0]:
        heard += os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert [run["state"] for run in project("runs", "--json").data] == ["done", "done"]


def test_it_shows_what_waiting_runs_wait_for_and_how_long_those_at_work_will_take(tmp_path: Path) -> None:
    goes, app = asyncio.Event(), App("live", resources={"gpu": 1})
    goes.set()

    async def work(event: Job) -> None:
        await goes.wait()

    app.on(Job, name="limited", where={"n": [0, 1]}, concurrency=1)(work)
    app.on(Job, name="heavy", where={"n": [2]}, needs={"gpu": 1})(work)
    window = ["22:00-23:00 UTC", "00:00-00:30 Europe/Berlin"]
    app.on(Job, name="nightly", where={"n": [3]}, window=window)(work)
    life = Life(app, tmp_path / "state")
    display = Display(life.engine, logging.StreamHandler())
    for _ in range(5):
        life.dispatcher.times.learn("limited", 9, 1e9)
    goes.clear()
    life.append(*(Job(n=n) for n in (1, 1, 2, 2, 3)))
    life.until(lambda: len(life.dispatcher.running) == 2 and not life.dispatcher.pipeline.busy)
    text = shown(display, 100)
    narrow = shown(display, 80)
    goes.set()
    life.dispatcher.admission.flows["nightly"].gates = ()
    life.end()
    row = next(line for line in narrow.splitlines() if line.startswith("nightly"))
    assert row.endswith("…")
    assert len(row) <= 80
    lines = {line.split()[0]: line.rstrip() for line in text.splitlines() if line.strip()}
    assert lines["limited"].endswith("its limit (concurrency=)")
    assert lines["heavy"].endswith("gpu")
    assert "outside its window 22:00-23:00 UTC" in lines["nightly"]
    assert "~" in lines["r1"]

"""`triggers plan`: the next hours, in lines, as a chart, as JSON and as a picture."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.commands.conftest import Project
from tests.kit import Life, delivery
from triggers import App, Batch, Debounce, Event, Retry, cron, every
from triggers.clock import SystemClock
from triggers.commands.planning import MARKS, _chart, _full
from triggers.journal.dues import Forming
from triggers.prediction.outlook import Moments
from triggers.prediction.timeline import Bar, Line, Timeline, svg
from triggers.requests import Drop, accept


class Job(Event):
    kind: str = ""


@pytest.fixture
def at_work(project: Project) -> Iterator[Life]:
    """An app of which one run is at work, one waits behind it, and one for its window; schedules fire."""
    goes = asyncio.Event()
    goes.set()
    app = App("churn")

    @app.on(Job, where={"kind": "train"}, concurrency=1)
    async def train(event: Job) -> None:
        await goes.wait()

    opens = datetime.now(UTC) + timedelta(hours=2)

    @app.on(Job, where={"kind": "report"}, window=f"{opens:%H}:00-{opens + timedelta(hours=1):%H}:00 UTC")
    async def report(event: Job) -> None: ...

    app.on(Job, where={"kind": "fresh"}, concurrency=1, name="fresh")(train)

    @app.on(every(hours=1))
    async def hourly(event: Event) -> None: ...

    @app.on(cron("0 0 1 1 *"))
    async def yearly(event: Event) -> None: ...

    life = Life(app, Path(".triggers/churn"), SystemClock())
    life.send(*(Job(kind="train") for _ in range(6)))
    goes.clear()
    life.append(Job(kind="train"), Job(kind="train"), Job(kind="report"), Job(kind="fresh"), Job(kind="fresh"))
    life.until(lambda: len(life.dispatcher.running) == 2 and not life.dispatcher.pipeline.busy)
    yield life
    goes.set()
    life.end()


def test_no_number_is_no_number_of_hours(project: Project) -> None:
    answer = project("plan", "--hours", "nan")
    assert answer.code == 2
    assert "'nan' is no number to reckon with" in answer.err


def test_what_runs_waits_fires_and_opens_is_in_the_plan(project: Project, at_work: Life) -> None:
    found = {line["route"]: line for line in project("plan", "--json").data["routes"]}
    running, waiting = found["train"]["runs"]
    assert (running["running"], waiting["running"], found["train"]["waiting"]) == (True, False, 1)
    assert waiting["starts"]["p50"] <= waiting["ends"]["p50"]
    assert (found["fresh"]["waiting"], found["fresh"]["unforeseen"], found["fresh"]["runs"][0]["ends"]) == (1, 1, None)
    assert len(found["hourly"]["fires"]) == 12
    assert found["yearly"]["fires"] == [] or len(found["yearly"]["fires"]) == 1
    [opening] = found["report"]["window"]
    assert found["report"]["runs"][0]["starts"]["p50"] == opening[0]
    assert found["report"]["reason"].startswith("outside its window")


def test_where_it_is_piped_it_is_lines_in_the_order_of_time(project: Project, at_work: Life) -> None:
    answer = project("plan", "--hours", "3")
    title, first, *_ = answer.out.splitlines()
    assert title.split() == ["WHEN", "ROUTE", "WHAT"]
    assert "r7 runs, ends" in first
    assert "window open until" in answer.out
    assert answer.out.count("hourly  fires") == 3
    assert "train: 1 waiting" in answer.err


def test_a_window_that_is_open_longer_than_is_shown_has_its_own_end(project: Project, at_work: Life) -> None:
    shown = [
        {line["route"]: line for line in project("plan", "--hours", hours, "--json").data["routes"]} for hours in "42"
    ]
    assert shown[0]["report"]["window"] == shown[1]["report"]["window"] != []


def test_without_a_dispatcher_it_is_what_would_come(project: Project, at_work: Life) -> None:
    at_work.crash()
    answer = project("plan")
    assert "no dispatcher is running; what is expected is so if one is started now" in answer.err
    assert "r7 starts now" in answer.out


def test_it_is_drawn(project: Project, at_work: Life, tmp_path: Path) -> None:
    assert "wrote plan.svg" in project("plan", "--svg", "plan.svg").err
    texts = {element.text for element in ElementTree.parse(tmp_path / "plan.svg").iter() if element.text}
    assert {"train", "report", "hourly", "yearly", "1 waiting"} <= texts


class Sales(Event):
    n: int


def test_what_comes_together_what_is_expected_and_what_goes_in_order_is_in_the_plan(project: Project) -> None:
    app = App("churn")
    goes = asyncio.Event()

    @app.on(Job, batch=Batch(3, within="2h"), name="load")
    async def load(events: list[Job]) -> None: ...

    @app.on(Job, debounce=Debounce("1h"), name="index")
    async def index(event: Job) -> None: ...

    @app.on(Job, in_order="kind")
    async def ordered(event: Job) -> None:
        await goes.wait()

    app.expect(Sales, every="3h", grace="1h")
    app.expect(Sales, every="30d", name="seldom")
    life = Life(app, Path(".triggers/churn"), SystemClock())
    life.append(Job(kind="1"), Job(kind="2"))
    life.until(lambda: life.dispatcher.running and life.engine.intake.idle_all() and not life.dispatcher.pipeline.busy)
    answer = project("plan", "--hours", "6")
    assert re.search("load +2 of 3 events come together", answer.out)
    assert re.search("index +a burst is over, if nothing more comes", answer.out)
    assert re.search("Sales +Sales is told as missing, if none comes", answer.out)
    assert "seldom: missing at" in answer.err
    assert "ordered: 1 waiting, 1 unforeseen, r2 is behind r1 in the order of its data" in answer.err
    plan = project("plan", "--json").data
    groups = {line["route"]: [(one["events"], one["wanted"]) for one in line["gather"]] for line in plan["routes"]}
    assert groups == {"index": [(1, 1)], "load": [(2, 3)], "ordered": []}
    now = datetime.fromisoformat(plan["from"])
    missing = {one["name"]: datetime.fromisoformat(one["missing"]) for one in plan["expected"]}
    assert timedelta(hours=3.9) < missing["Sales"] - now <= timedelta(hours=4)
    goes.set()
    life.end()


class Day(Event):
    day: int
    bad: bool = True


@pytest.fixture
def ordered(project: Project) -> Iterator[Life]:
    """An app whose runs go in the order of their days, and fail: of bad days for good."""
    app = App("churn")

    @app.on(Day, in_order="day", retry=Retry(on=OSError, initial=3600, maximum=3600))
    async def ordered(event: Day) -> None:
        raise ValueError if event.bad else OSError

    life = Life(app, Path(".triggers/churn"), SystemClock())
    yield life
    life.end()


def test_whose_turn_came_as_the_process_died_is_behind_nothing(project: Project, ordered: Life) -> None:
    ordered.send(Day(day=1), Day(day=2))
    assert "ordered: 1 waiting, 1 unforeseen, r2 is behind a dead one" in project("plan").err

    async def die_with_the_drop() -> None:
        await accept(ordered.dispatcher, [delivery(Drop(runs=[1]))])
        ordered.engine.journal.close()

    ordered.run(die_with_the_drop())
    ordered.crash()
    answer = project("plan")
    assert "behind" not in answer.out + answer.err
    assert re.search("ordered +r2 starts now", answer.out)


def test_one_of_two_that_are_before_a_run_holds_it_if_it_is_dead(project: Project, ordered: Life) -> None:
    ordered.send(Day(day=1), Day(day=1, bad=False), Day(day=2))
    assert ordered.states() == [("dead", 1), ("delayed", 1), ("delayed", 0)]
    assert "r3 is behind a dead one" in project("plan").err


@pytest.mark.parametrize(("events", "minutes"), [(2, 18), (1, None), (5, 4.5)])
def test_a_batch_is_full_when_as_many_have_come_as_did_and_no_earlier(events: int, minutes: float | None) -> None:
    full = _full(Forming("r", events, 10, 0.0, HOUR), 120.0)
    assert full == (None if minutes is None else minutes * 60)
    assert _full(Forming("r", 2, 10, 0.0, 1000.0), 120.0) is None  # its time is up by then


HOUR = 3600.0


def at(hours: float) -> Moments:
    return Moments(*(hours * HOUR,) * 3)


PLAN = Timeline(
    "a",
    0.0,
    10 * HOUR,
    [
        Line("train", [Bar(1, True, at(-1), at(3)), Bar(2, False, at(3), at(5)), Bar(3, False, at(5), None)], 2),
        Line("report", [], 0, 0, "", [4 * HOUR], [(2 * HOUR, 6 * HOUR)]),
    ],
)


def test_a_chart_has_a_line_for_each_route(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "38")
    monkeypatch.setenv("NO_COLOR", "1")
    _chart(PLAN)
    _, train, told, report, _ = capsys.readouterr().out.splitlines()
    runs, expected, fires, nothing, closed = MARKS[0]
    assert train == f"train   {runs * 9}{expected * 21}"
    assert told.strip() == "2 waiting"
    assert report == f"report  {closed * 6}{nothing * 6}{fires}{nothing * 5}".ljust(38)


def test_bars_that_overlap_lie_below_one_another_and_the_last_lane_takes_the_rest() -> None:
    bars = [Bar(n, True, at(-1), at(3)) for n in range(40)]
    drawn = ElementTree.fromstring(svg(Timeline("a", 0.0, HOUR, [Line("r", bars)])))
    boxes = [one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.get("class") == "running"]
    assert len({one.get("y") for one in boxes}) == 6 + 1  # and the legend's


def test_what_starts_later_than_is_shown_is_not_drawn() -> None:
    bars = [Bar(1, False, at(0.5), at(0.6)), Bar(2, False, at(3), at(4))]
    drawn = svg(Timeline("a", 0.0, HOUR, [Line("r", bars)]))
    assert ("r1 expected" in drawn, "r2 expected" in drawn) == (True, False)


def test_no_text_of_an_app_breaks_the_picture() -> None:
    ElementTree.fromstring(svg(Timeline("<a & b>", 0.0, HOUR, [Line("r<\x1b>", reason="5 < 6 & more")])))

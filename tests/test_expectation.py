"""What is expected to come, and the news that it has not: of an app at work, through restarts and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life, delivery
from triggers import App, Event, Folder, Missing, ObjectCreated, cron, suffix
from triggers.check.graph import check
from triggers.errors import WiringError
from triggers.expectation import Expectation, make_expectation
from triggers.schedule import Cron
from triggers.sources import Delivery, Site, Source

HOUR, DAY = 3600.0, 86_400.0
Start = Callable[..., Life]


class Sales(Event):
    region: str = "eu"


class Bench:
    """An app that expects something, and notes what it is told to be missing."""

    def __init__(self, *sources: Source, **expected: Any) -> None:
        self.told: list[tuple[str, str, int]] = []
        self.app = App("a", sources=sources)
        self.app.expect(expected.pop("kind", Sales), **expected)
        self.app.on(Missing, name="tell")(self.tell)

    async def tell(self, event: Missing) -> None:
        self.told.append((event.expectation, f"{event.due:%d %H:%M}", event.missed))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(app: App, clock: Any = None) -> Life:
        lives.append(Life(app, tmp_path / "state", clock))
        lives[-1].settle()
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def test_what_does_not_come_in_time_is_told_once_for_each_time_that_it_does_not(start: Start) -> None:
    bench = Bench(every="1d", grace="2h")
    life = start(bench.app)
    life.send(Sales())
    life.advance(25.9 * HOUR)
    assert bench.told == []
    life.advance(0.2 * HOUR)
    assert bench.told == [("Sales", "02 00:00", 1)]
    life.advance(DAY)
    assert bench.told == [("Sales", "02 00:00", 1), ("Sales", "03 00:00", 2)]


def test_an_event_that_comes_late_ends_its_absence(start: Start) -> None:
    bench = Bench(every="1d", grace="2h")
    life = start(bench.app)
    life.advance(30 * HOUR)
    life.send(Sales())
    life.advance(25 * HOUR)
    assert bench.told == [("Sales", "02 00:00", 1)]
    life.advance(2 * HOUR)
    assert bench.told == [("Sales", "02 00:00", 1), ("Sales", "03 06:00", 1)]


def test_what_was_told_is_not_told_again_after_a_crash_and_nothing_is_forgotten(start: Start) -> None:
    bench = Bench(every="1d")
    life = start(bench.app)
    life.send(Sales())
    life.advance(DAY + 60)
    for _ in range(3):
        life.crash()
        life = start(bench.app, life.clock)
    assert bench.told == [("Sales", "02 00:00", 1)]
    life.advance(DAY)
    assert [told[1:] for told in bench.told] == [("02 00:00", 1), ("03 00:00", 2)]
    assert life.ask("SELECT count(*), sum(duplicates) FROM identity WHERE key LIKE 'expect%'") == [(2, 0)]


def test_only_what_meets_the_condition_counts_and_duplicates_do_not(start: Start) -> None:
    bench = Bench(every="1d", where={"region": "eu"}, name="eu sales")
    life = start(bench.app)
    life.append(delivery(Sales(), id="x"))
    life.advance(12 * HOUR)
    life.append(delivery(Sales(), id="x"), Sales(region="us"))
    life.advance(12 * HOUR)
    assert bench.told == [("eu sales", "02 00:00", 1)]


def test_what_came_while_the_app_was_down_is_not_missing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    folder = Folder(tmp_path / "in", name="in")
    bench = Bench(folder, kind=ObjectCreated, every="1d", where={"key": suffix(".csv")}, source="in")
    life = start(bench.app)
    life.stop()
    life.clock.suspend(3 * DAY)
    (tmp_path / "in" / "a.csv").write_text("x")
    life = start(bench.app, life.clock)
    assert bench.told == []
    life.stop()
    life.clock.suspend(3.5 * DAY)
    life = start(bench.app, life.clock)
    assert bench.told == [("ObjectCreated", "07 00:00", 3)]


def test_what_is_missing_is_told_though_some_source_always_has_more(tmp_path: Path) -> None:
    class Stream:
        name = "stream"

        async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
            site.idle(self.name)
            await site.clock.sleep(1)
            while True:
                yield [delivery(Sales(region="us"), source=self.name)]
                await site.clock.sleep(600)

    class Slow:
        name = "slow"

        async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
            await site.clock.sleep(60)
            site.idle(self.name)
            await site.poked(self.name)
            yield []

    bench = Bench(Stream(), Slow(), every="1h", where={"region": "eu"})
    life = Life(bench.app, tmp_path / "state")

    async def passing() -> None:
        until = life.clock.monotonic() + 2.5 * HOUR
        while life.clock.step(until):
            for _ in range(50):
                await asyncio.sleep(0)

    life.until(lambda: life.engine.intake._unread == {"slow"})
    life.run(passing())
    life.end()
    assert bench.told == [("Sales", "01 01:01", 1), ("Sales", "01 02:01", 2)]


class Endless:
    """A source that always has more, and waits between two; `looked` says whether it has had its first look."""

    name = "endless"

    def __init__(self, looked: bool) -> None:
        self.looked = looked

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        while True:
            yield [delivery(Sales(region="us"), source=self.name)]
            if self.looked:
                site.looked(self.name)
            await site.clock.sleep(60)


@pytest.mark.parametrize(("looked", "due", "words"), [(True, "01 00:30", ""), (False, "01 01:30", "endless")])
def test_a_source_that_is_never_idle_holds_up_nothing_once_it_has_looked_or_for_an_hour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, looked: bool, due: str, words: str
) -> None:
    bench = Bench(Endless(looked), every="30m", where={"region": "eu"})
    life = Life(bench.app, tmp_path / "state")

    async def passing() -> None:
        until = life.clock.monotonic() + 1.6 * HOUR
        while True:
            for _ in range(50):
                await asyncio.sleep(0)
            if not life.clock.step(until):
                return

    life.until(lambda: life.engine.intake._unread <= {"endless"})  # the others look in threads, in real time
    life.run(passing())
    life.end()
    assert bench.told[0] == ("Sales", due, 1)
    assert words in caplog.text
    assert ("have not delivered after 3600 s" in caplog.text) is not looked


def test_an_event_is_expected_by_each_instant_of_a_schedule(start: Start) -> None:
    bench = Bench(by=cron("0 8 * * *"), grace="2h")
    life = start(bench.app)
    life.advance(2 * DAY + 9 * HOUR)  # the first was under way when somebody began to look
    life.send(Sales())  # within the grace of the third
    assert bench.told == [("Sales", "02 08:00", 1)]
    life.advance(DAY + 2 * HOUR)
    assert bench.told == [("Sales", "02 08:00", 1), ("Sales", "04 08:00", 1)]


def test_whatever_the_moments_of_looking_each_due_moment_is_told_once_and_in_order() -> None:
    day = Expectation("a", "A", 2 * HOUR, by=Cron("0 8 * * 1-5", "Europe/Berlin"))
    begin = datetime(2026, 3, 20, 12, tzinfo=UTC).timestamp()
    told, found, now = float("-inf"), [], begin
    while now < begin + 21 * DAY:
        if absence := day.absence(begin, told, now):
            told = absence.due
            found.append(absence)
            assert absence.due + 2 * HOUR <= now < absence.due + 3 * HOUR
        assert day.absence(begin, told, now) is None
        now += 0.5 * HOUR
    assert len(found) == 14
    assert all(a.due < b.due and b.missed == a.missed + 1 for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "say when it comes, in one way"),
        ({"every": "1d", "by": cron("@daily")}, "say when it comes, in one way"),
        ({"every": "soon"}, "every='soon' is no span of time"),
        ({"every": 0}, "every=0 is no span of time above 0"),
        ({"every": "1d", "grace": -1}, "grace=-1 is no span of time"),
        ({"every": "1d", "where": {"city": "x"}}, "where= names 'city', which Sales has not"),
        ({"by": "1d"}, "by='1d' is no schedule"),
    ],
)
def test_what_cannot_be_expected_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(WiringError, match="app 'a': expect 'Sales': ") as refused:
        App("a").expect(Sales, **options)
    assert words in str(refused.value)


def test_who_is_told_of_nothing_and_who_listens_to_nothing_is_named_by_check() -> None:
    app = App("a")
    app.expect(Sales, every="1d", source="in")
    problems = [str(problem) for problem in check(app)]
    assert "error: expect 'Sales': source='in' is no source of the app" in problems
    assert any("no route takes Missing" in problem for problem in problems)


def test_spans_are_read_as_they_are_written() -> None:
    made = make_expectation("x", Sales, name="x", every="1d 12h", by=None, grace=90, where=None, source=None)
    assert (made.every, made.grace) == (1.5 * DAY, 90)

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life
from tests.sources.site import FakeSite, run
from triggers import App, Retry, Tick, at, cron, every
from triggers.cloudevents import to_text
from triggers.events import encode
from triggers.requests import Backfill, Pause, Resume
from triggers.schedule import Every, manner, timetable
from triggers.schedule.timetable import MOST
from triggers.sources.inbox import write
from triggers.sources.timer import Timer
from triggers.testing import FakeClock

Start = Callable[..., Life]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(clock: FakeClock, **schedules: Any) -> Life:
        lives.append(Life(app_of(**schedules), tmp_path / "state", clock))
        lives[-1].settle()
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def app_of(**schedules: Any) -> App:
    app = App("a", retry=Retry(attempts=1))

    async def tick(event: Tick) -> None: ...

    for name, schedule in schedules.items():
        app.on(schedule, name=name)(tick)
    return app


def fired(life: Life) -> list[tuple[str, str]]:
    ticks = [Tick.model_validate_json(text) for text in life.data(Tick)]
    return [(tick.schedule, tick.due.strftime("%d %H:%M:%S")) for tick in ticks]


def test_a_schedule_fires_at_each_of_its_instants_and_only_its_route_runs(start: Start) -> None:
    life = start(FakeClock(NOON), five=every(minutes=5), hourly=cron("30 * * * *"))
    assert fired(life) == []
    life.advance(3600)
    assert [due for name, due in fired(life) if name == "five"] == [f"01 12:{m:02}:00" for m in range(5, 60, 5)] + [
        "01 13:00:00"
    ]
    assert [due for name, due in fired(life) if name == "hourly"] == ["01 12:30:00"]
    assert (len(life.runs("five")), len(life.runs("hourly"))) == (12, 1)


def test_a_restart_right_after_a_firing_does_not_fire_again(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(300)
    for end in ("crash", "stop", "crash"):
        getattr(life, end)()
        life = start(clock, five=every(minutes=5))
    assert fired(life) == [("five", "01 12:05:00")]
    life.advance(300)
    assert len(fired(life)) == 2


def test_of_what_was_missed_the_latest_instant_fires(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(300)
    life.crash()
    clock.step(clock.monotonic() + 3600 + 120)
    life = start(clock, five=every(minutes=5))
    assert fired(life) == [("five", "01 12:05:00"), ("five", "01 13:05:00")]
    life.advance(240)
    assert fired(life)[2:] == [("five", "01 13:10:00")]


def test_what_lay_before_a_schedule_was_first_seen_was_not_missed(start: Start) -> None:
    clock = FakeClock(NOON + timedelta(minutes=4))
    life = start(clock, five=every(minutes=5))
    life.crash()
    clock.step(clock.monotonic() + 30)
    life = start(clock, five=every(minutes=5))
    assert fired(life) == []
    life.crash()
    clock.step(clock.monotonic() + 60)
    assert fired(start(clock, five=every(minutes=5))) == [("five", "01 12:05:00")]


def test_a_changed_schedule_begins_anew_and_another_route_is_not_touched(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, job=every(hours=1), other=every(hours=1))
    life.advance(3600)
    life.crash()
    clock.step(clock.monotonic() + 5000)
    life = start(clock, job=every(minutes=30), other=every(hours=1))
    assert fired(life)[2:] == [("other", "01 14:00:00")]
    life.advance(1800)
    assert fired(life)[3:] == [("job", "01 14:30:00")]


def test_a_wall_clock_that_is_set_back_fires_no_instant_twice(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(900)
    clock.set_wall(NOON + timedelta(minutes=1))
    life.advance(1800)
    life.crash()
    clock.set_wall(NOON + timedelta(minutes=16))
    life = start(clock, five=every(minutes=5))
    life.advance(1800)
    due = [instant for _, instant in fired(life)]
    assert due == sorted(set(due))
    assert due[:4] == ["01 12:05:00", "01 12:10:00", "01 12:15:00", "01 12:20:00"]


def test_a_wall_clock_that_is_set_forward_fires_the_latest_instant_once(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    clock.set_wall(NOON + timedelta(hours=5, minutes=2))
    life.advance(300)
    assert fired(life) == [("five", "01 17:00:00"), ("five", "01 17:05:00")]


@pytest.mark.parametrize("years", [1, 30])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_wall_clock_that_was_far_ahead_silences_nothing_once_it_is_right_again(
    start: Start, years: int, restarts: bool
) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    clock.set_wall(NOON.replace(year=NOON.year + years))
    life.advance(60)
    clock.set_wall(NOON + timedelta(minutes=2))
    if restarts:
        life.crash()
        life = start(clock, five=every(minutes=5))
    life.advance(900)
    assert fired(life) == [("five", f"01 12:{minute:02}:00") for minute in (0, 5, 10, 15)]


@pytest.mark.parametrize("missed", ["latest", "all", "skip"])
def test_whichever_way_the_clock_is_set_each_instant_fires_at_most_once(start: Start, missed: str) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5, missed=missed))
    for minutes in (20, -10, 45, -90, 200, -200, 3):
        life.advance(400)
        clock.set_wall(datetime.fromtimestamp(clock.now(), UTC) + timedelta(minutes=minutes))
        life.advance(700)
        life.crash()
        life = start(clock, five=every(minutes=5, missed=missed))
    due = [instant for _, instant in fired(life)]
    assert len(due) == len(set(due))
    assert len(due) > 15


def test_a_machine_that_starts_in_1970_and_learns_the_time_later_does_not_catch_up_on_half_a_century(
    start: Start,
) -> None:
    clock = FakeClock(NOON)
    start(clock, five=every(minutes=5, missed="all")).crash()
    clock.set_wall(datetime(1970, 1, 1, tzinfo=UTC))
    life = start(clock, five=every(minutes=5, missed="all"))
    life.advance(330)
    clock.set_wall(NOON + timedelta(minutes=11))
    life.advance(60)
    assert fired(life) == [("five", "01 00:05:00"), ("five", "01 12:05:00"), ("five", "01 12:10:00")]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_clock_passed_over_while_it_was_ahead_is_missed_when_it_comes_due_unseen(
    start: Start, restarts: bool
) -> None:
    clock = FakeClock(NOON)
    quarters = every(minutes=15)
    life = start(clock, quarters=quarters)
    clock.set_wall(NOON + timedelta(hours=2))
    life.advance(60)
    clock.set_wall(NOON + timedelta(minutes=1))
    life.advance(900)
    assert fired(life) == [("quarters", "01 14:00:00"), ("quarters", "01 12:15:00")]
    if restarts:
        life.crash()
        life = start(clock, quarters=quarters)
    clock.set_wall(NOON + timedelta(hours=2, seconds=10))
    life.advance(60)
    ticks = [Tick.model_validate_json(text) for text in life.data(Tick)][2:]
    assert [(tick.due.strftime("%H:%M"), tick.missed) for tick in ticks] == [("13:45", 5)]
    life.advance(900)
    assert fired(life)[3:] == [("quarters", "01 14:15:00")]


# --- what was missed


def after_an_hour_down(start: Start, **options: Any) -> tuple[FakeClock, Life]:
    clock = FakeClock(NOON)
    start(clock, five=every(minutes=5, **options)).crash()
    clock.step(clock.monotonic() + 3600 + 90)
    return clock, start(clock, five=every(minutes=5, **options))


def minutes(life: Life) -> list[int]:
    ticks = [Tick.model_validate_json(text) for text in life.data(Tick)]
    return [int((tick.due - NOON).total_seconds() // 60) for tick in ticks]


@pytest.mark.parametrize(
    ("options", "fires"),
    [
        ({}, [60]),
        ({"missed": "latest"}, [60]),
        ({"missed": "latest", "missed_within": 60}, []),
        ({"missed": "latest", "missed_within": 90}, [60]),
        ({"missed": "skip"}, []),
        ({"missed": "all"}, list(range(5, 61, 5))),
        ({"missed": "all", "missed_most": 1}, [60]),
        ({"missed": "all", "missed_most": 3}, [50, 55, 60]),
        ({"missed": "all", "missed_most": 100}, list(range(5, 61, 5))),
        ({"missed": "all", "missed_within": 690}, [50, 55, 60]),
        ({"missed": "all", "missed_within": 689}, [55, 60]),
        ({"missed": "all", "missed_within": 60}, []),
        ({"missed": "all", "missed_within": 690, "missed_most": 2}, [55, 60]),
    ],
)
def test_what_fires_of_the_missed_is_as_the_schedule_says(
    start: Start, options: dict[str, Any], fires: list[int]
) -> None:
    clock, life = after_an_hour_down(start, **options)
    assert minutes(life) == fires
    life.crash()
    life = start(clock, five=every(minutes=5, **options))
    life.advance(600)
    assert minutes(life) == [*fires, 65, 70]


def test_what_was_left_out_is_told_by_the_next_tick_and_in_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "triggers.timer")
    _, life = after_an_hour_down(start, missed="skip")
    life.advance(600)
    ticks = [Tick.model_validate_json(text) for text in life.data(Tick)]
    assert [tick.missed for tick in ticks] == [12, 0]
    assert caplog.messages == [
        "schedule 'five': 12 instants were missed and do not fire by themselves (missed='skip'), the first at"
        " 2026-01-01T12:05:00+00:00, the last before 2026-01-01T13:00:00+00:00; `triggers backfill` fires those that it"
        " has not fired yet"
    ]


def test_more_than_can_be_counted_is_told_as_such(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "triggers.timer")
    clock = FakeClock(NOON)
    start(clock, one=every(seconds=1)).crash()
    clock.step(clock.monotonic() + 86_400)
    life = start(clock, one=every(seconds=1))
    assert [Tick.model_validate_json(text).missed for text in life.data(Tick)] == [1000]
    assert "1,000 or more instants were missed" in caplog.text


@pytest.mark.parametrize("jumps", [False, True])
def test_of_the_millions_of_a_year_down_or_a_clock_far_ahead_the_latest_fire_and_a_warning_says_so(
    start: Start, caplog: pytest.LogCaptureFixture, jumps: bool
) -> None:
    clock = FakeClock(NOON)
    schedules = {"one": every(seconds=1, missed="all")}
    life = start(clock, **schedules)
    if jumps:
        clock.set_wall(NOON.replace(year=2056))
        life.advance(1)
    else:
        life.crash()
        clock.step(clock.monotonic() + 365 * 86_400)
        life = start(clock, **schedules)
    due = [instant for (instant,) in life.ask("SELECT time FROM event WHERE type = 'Tick' ORDER BY number")]
    assert due == [clock.now() - n for n in reversed(range(MOST))]
    (warning,) = [record for record in caplog.records if record.name == "triggers.timer"]
    assert warning.levelname == "WARNING"
    assert warning.getMessage().startswith(
        "schedule 'one': 1,000 or more instants were missed and do not fire by themselves (missed='all',"
        " missed_most=10000), the first at 2026-01-01T12:00:01+00:00, the last before 20"
    )
    assert warning.getMessage().endswith("; `triggers backfill` fires those that it has not fired yet")


def test_what_fires_of_many_that_were_missed_comes_by_the_batch_and_is_decided_on_once() -> None:
    asked: list[float] = []

    class Counted(Every):
        def latest(self, after: float, until: float) -> float | None:
            asked.append(until)
            return super().latest(after, until)

    async def batches() -> list[list[float]]:
        site, found = FakeSite(), []
        schedule = timetable(Counted(1), missed="all", missed_most=35_000)
        timer = Timer({"one": schedule})
        await site.remember("timer", {b"one": f"{site.time.now() - 1e6!r} {schedule}".encode()})
        async for batch in timer.deliveries(site):
            found.append([one.time for one in batch])
            if len(found) == 2:
                site.time.leap(5)  # it takes its time
            if sum(map(len, found)) == 35_005:
                return found
        raise AssertionError("it came to an end")

    found = run(batches())
    assert max(map(len, found)) == 10_000
    instants = [instant for batch in found for instant in batch]
    assert instants == [instants[0] + n for n in range(35_005)]
    assert len(asked) < 36_000


def test_what_many_schedules_missed_comes_by_the_batch_too() -> None:
    async def sizes() -> list[int]:
        site, found = FakeSite(), []
        schedule = every(seconds=1, missed="all", missed_most=6_000)
        schedules = dict.fromkeys(("one", "two", "three"), schedule)
        for name in schedules:
            await site.remember("timer", {name.encode(): f"{site.time.now() - 1e6!r} {schedule}".encode()})
        async for batch in Timer(schedules).deliveries(site):
            found.append(len(batch))
            if sum(found) == 18_000:
                break
        return found

    assert run(sizes()) == [10_000, 8_000]


def test_a_clock_set_back_amid_many_that_were_missed_fires_nothing_that_lies_ahead() -> None:
    async def fired_after_it() -> list[float]:
        site = FakeSite()
        schedule = every(seconds=1, missed="all", missed_most=35_000)
        await site.remember("timer", {b"one": f"{site.time.now() - 1e6!r} {schedule}".encode()})
        deliveries = Timer({"one": schedule}).deliveries(site)
        await anext(deliveries)
        site.time.set_wall(datetime.fromtimestamp(site.time.now() - 22_000, UTC))
        return [one.time - site.time.now() for one in await anext(deliveries)]

    late = run(fired_after_it())
    assert max(late) == 0
    assert len(late) == 3_000


def test_a_schedule_that_skips_what_it_missed_fires_what_it_is_there_for(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5, missed="skip"))
    life.advance(600)
    clock.set_wall(datetime.fromtimestamp(clock.now() + 1000, UTC))
    life.advance(600)
    assert minutes(life) == [5, 10, 30, 35]


# --- jitter


def recorded(life: Life) -> list[tuple[float, float]]:
    return life.ask("SELECT time, recorded FROM event WHERE type = 'Tick' ORDER BY number")


def test_jitter_puts_each_firing_off_by_the_same_as_before_a_restart(start: Start) -> None:
    def offsets(name: str, crashes: bool) -> list[float]:
        clock = FakeClock(NOON)
        schedules = {name: every(minutes=5, jitter=120)}
        life = start(clock, **schedules)
        for _ in range(20):
            life.advance(300)
            if crashes:
                life.crash()
                life = start(clock, **schedules)
        found = [round(at - due, 3) for due, at in recorded(life)]
        life.stop()
        for path in sorted(life.folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        return found

    steady, other = offsets("five", False), offsets("other", False)
    assert offsets("five", True) == steady
    assert len(steady) >= 19
    assert all(0 <= offset < 120 for offset in steady)
    assert len(set(steady)) > 15
    assert max(steady) - min(steady) > 60
    assert steady != other


def test_jitter_reaches_never_beyond_the_next_instant_and_loses_none(start: Start) -> None:
    life = start(FakeClock(NOON), one=every(minutes=1, jitter=600))
    life.advance(3600)
    found = recorded(life)
    assert [due for due, _ in found][:59] == [NOON.timestamp() + 60 * n for n in range(1, 60)]
    assert all(0 <= at - due < 60 for due, at in found)
    assert [Tick.model_validate_json(text).missed for text in life.data(Tick)] == [0] * len(found)


# --- bounds


def test_a_timetable_fires_between_its_bounds_and_not_on_excluded_days(start: Start) -> None:
    schedule = every(hours=6, start="2026-01-02T06:00", end="2026-01-05T00:00", exclude={"SAT"})
    life = start(FakeClock(NOON), job=schedule)
    life.advance(7 * 86_400)
    assert [due for _, due in fired(life)] == [f"{day} {hour}:00:00" for day, hour in (
        ("02", "06"), ("02", "12"), ("02", "18"), ("04", "00"), ("04", "06"), ("04", "12"), ("04", "18"),
    )]  # fmt: skip


def test_a_changed_calendar_begins_anew_and_a_changed_jitter_does_not(start: Start) -> None:
    clock = FakeClock(NOON)
    start(clock, one=every(hours=1, exclude={"SAT"}), two=every(hours=1, exclude={"SAT"})).crash()
    clock.step(clock.monotonic() + 4000)
    life = start(clock, one=every(hours=1, exclude={"SUN"}), two=every(hours=1, exclude={"SAT"}, jitter=5))
    assert fired(life) == [("two", "01 13:00:00")]


def test_a_calendar_that_raises_stops_its_own_schedule_only(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(NOON)

    def closed(day: date) -> bool:
        if 1200 <= clock.now() - NOON.timestamp() < 1800:
            raise OSError("no holidays")
        return False

    bad = {"bad": every(minutes=5, exclude=closed), "worse": every(minutes=5, exclude=closed, jitter=1)}
    life = start(clock, **bad, good=every(minutes=5))
    life.advance(3600)
    due = [instant for name, instant in fired(life) if name == "good"]
    assert len(due) == 12
    assert "schedule 'bad' does not say when it fires: OSError('no holidays'); trying again in 60 s" in caplog.text
    assert ("bad", "01 13:00:00") in fired(life)
    assert "source 'timer' failed" not in caplog.text


def test_a_calendar_that_raises_from_the_start_stops_its_own_schedule_only(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(NOON)

    def closed(day: date) -> bool:
        if clock.now() - NOON.timestamp() < 1800:
            raise ValueError("calendar server away")
        return False

    life = start(clock, bad=every(minutes=5, exclude=closed), good=every(minutes=5))
    life.advance(1700)
    assert {name for name, _ in fired(life)} == {"good"}
    assert "schedule 'bad' does not say when it fires: ValueError('calendar server away')" in caplog.text
    life.advance(1900)
    assert [instant for name, instant in fired(life) if name == "bad"][-1] == "01 13:00:00"
    assert len([name for name, _ in fired(life) if name == "good"]) == 12


def test_a_calendar_that_does_not_know_the_year_yet_stops_its_own_schedule_only(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    holidays = {2026: {date(2026, 12, 25)}}

    def closed(day: date) -> bool:
        return day in holidays[day.year]

    clock = FakeClock(datetime(2026, 12, 29, 12, tzinfo=UTC))
    schedules = {"job": cron("0 9 * * *", exclude=closed), "other": every(hours=1)}
    start(clock, **schedules).crash()
    clock.step(clock.monotonic() + 4 * 86_400)
    life = start(clock, **schedules)
    assert fired(life) == [("other", "02 12:00:00")]
    complaint = "schedule 'job' does not say when it fires: KeyError(2027); trying again in 60 s"
    assert caplog.text.count(complaint) == 1
    life.advance(60)
    assert caplog.text.count(complaint) == 2
    holidays[2027] = set()
    life.advance(60)
    assert fired(life)[1:] == [("job", "02 09:00:00")]


def test_an_instant_in_the_past_never_fires_and_one_to_come_fires_once(start: Start) -> None:
    clock = FakeClock(NOON)
    past, coming = at("2025-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")
    life = start(clock, past=past, coming=coming)
    life.advance(3 * 86_400)
    life.crash()
    life = start(clock, past=past, coming=coming)
    life.advance(86_400)
    assert fired(life) == [("coming", "02 00:00:00")]


def test_an_instant_fires_also_where_the_app_was_started_while_the_clock_was_beyond_it(start: Start) -> None:
    clock = FakeClock(NOON)
    clock.set_wall(NOON + timedelta(days=400))
    life = start(clock, once=at("2026-01-03T00:00:00Z"))
    clock.set_wall(NOON)
    life.advance(3 * 86_400)
    assert fired(life) == [("once", "03 00:00:00")]


class Minutely:
    """A schedule of one's own: all that it must have is `next` and `latest`."""

    def next(self, after: float) -> float | None:
        return after // 60 * 60 + 60

    def latest(self, after: float, until: float) -> float | None:
        due = until // 60 * 60
        return due if due > after else None

    def __str__(self) -> str:
        return "minutely"


def test_a_class_with_next_and_latest_is_a_schedule_and_fires_what_it_missed_too(start: Start) -> None:
    clock = FakeClock(NOON)
    schedules = {"mine": Minutely(), "all": timetable(Minutely(), missed="all")}
    start(clock, **schedules).crash()
    clock.step(clock.monotonic() + 630)
    life = start(clock, **schedules)
    assert [due for name, due in fired(life) if name == "mine"] == ["01 12:10:00"]
    assert [due for name, due in fired(life) if name == "all"] == [f"01 12:{n:02}:00" for n in range(1, 11)]


def test_a_schedule_that_says_whole_numbers_is_spread_as_any_other(start: Start) -> None:
    class Whole(Minutely):
        def next(self, after: float) -> float | None:
            return int(after) // 60 * 60 + 60

    life = start(FakeClock(NOON), mine=timetable(Whole(), jitter=30))
    life.advance(630)
    assert len(fired(life)) == 10


def test_a_schedule_whose_next_and_latest_disagree_stops_itself_only(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    class Torn(Minutely):
        def latest(self, after: float, until: float) -> float | None:
            return None

    life = start(FakeClock(NOON), mine=timetable(Torn(), jitter=1), five=every(minutes=5))
    life.advance(330)
    assert fired(life) == [("five", "01 12:05:00")]
    complaints = [record.getMessage() for record in caplog.records if record.name == "triggers.timer"]
    assert len(complaints) == 5
    assert f"next({NOON.timestamp()!r}) says {NOON.timestamp() + 60!r}, and latest(" in complaints[0]


def test_a_schedule_whose_next_instant_is_not_later_stops_itself_only(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(Minutely):
        def next(self, after: float) -> float | None:
            return after

    life = start(FakeClock(NOON), mine=timetable(Stuck(), missed="all"), five=every(minutes=5))
    life.advance(330)
    assert fired(life) == [("five", "01 12:05:00")]
    assert "which is not after it" in caplog.text


def test_an_error_amid_what_was_missed_loses_nothing_of_it_and_fires_no_more_than_was_asked_for(start: Start) -> None:
    errors = [OSError("not now"), OSError("nor now")]

    class Shaky(Minutely):
        def next(self, after: float) -> float | None:
            if after == NOON.timestamp() + 240 and errors:
                raise errors.pop()
            return super().next(after)

    clock = FakeClock(NOON)
    schedules = {"mine": timetable(Shaky(), missed="all", missed_most=8)}
    start(clock, **schedules).crash()
    clock.step(clock.monotonic() + 630)
    life = start(clock, **schedules)
    life.advance(180)
    assert not errors
    assert fired(life) == [("mine", f"01 12:{n:02}:00") for n in range(5, 14)]


def test_a_firing_and_its_run_are_one_commit(start: Start) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.advance(300)
    rows = life.ask("SELECT event.subject, ledger.value FROM ledger JOIN event ON event.number = ledger.event")
    assert [(subject, float(value.split()[0])) for subject, value in rows] == [("five", clock.now())]


def test_a_month_of_five_minutes_fires_every_instant_once(start: Start) -> None:
    life = start(FakeClock(NOON), five=every(minutes=5))
    for _ in range(30):
        life.advance(86_400)
    due = [instant for (instant,) in life.ask("SELECT time FROM event WHERE type = 'Tick' ORDER BY number")]
    first = NOON.timestamp()
    assert due == [first + 300 * n for n in range(1, 30 * 288 + 1)]
    assert life.dispatcher.counts["done"] == len(due)


# --- pausing and backfilling


def test_a_paused_schedule_does_not_fire_and_what_came_due_meanwhile_was_not_missed(start: Start) -> None:
    clock = FakeClock(NOON)
    schedules = {"five": every(minutes=5, missed="all"), "other": every(minutes=5)}
    life = start(clock, **schedules)
    life.advance(300)
    life.accept(Pause(schedule="five"))
    life.advance(600)
    life.crash()
    life = start(clock, **schedules)
    life.advance(600)
    assert [due for name, due in fired(life) if name == "five"] == ["01 12:05:00"]
    assert len([due for name, due in fired(life) if name == "other"]) == 5
    life.advance(30)
    life.accept(Resume(schedule="five"))
    life.crash()
    life = start(clock, **schedules)
    life.advance(600)
    assert [due for name, due in fired(life) if name == "five"] == [f"01 12:{n:02}:00" for n in (5, 30, 35)]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_came_due_before_the_resume_does_not_fire_though_jitter_put_it_off(start: Start, restarts: bool) -> None:
    clock = FakeClock(NOON)
    schedules = {"five": every(minutes=5, jitter=240)}
    offset = manner(schedules["five"]).offset("five", NOON.timestamp() + 300, NOON.timestamp() + 600)
    assert offset > 10
    life = start(clock, **schedules)
    life.accept(Pause(schedule="five"))
    life.advance(300 + offset / 2)
    life.accept(Resume(schedule="five"))
    if restarts:
        life.crash()
        life = start(clock, **schedules)
    life.advance(offset)
    assert fired(life) == []
    life.advance(600)
    assert fired(life)[0] == ("five", "01 12:10:00")


def test_what_was_asked_for_while_the_app_was_down_comes_before_what_it_missed(start: Start, tmp_path: Path) -> None:
    clock = FakeClock(NOON)
    life = start(clock, five=every(minutes=5))
    life.crash()
    clock.step(clock.monotonic() + 3600)
    request = to_text("x", "cli", Pause.__event_type__, 1, None, clock.now(), encode(Pause(schedule="five")))
    write(life.engine.state.requests, [request])
    life = start(clock, five=every(minutes=5))
    life.advance(600)
    assert fired(life) == []


def test_an_instant_that_was_backfilled_does_not_fire_again(start: Start) -> None:
    life = start(FakeClock(NOON), five=every(minutes=5))
    life.accept(Backfill(schedule="five", instants=[NOON.timestamp() + 300, NOON.timestamp() - 300]))
    life.advance(600)
    assert fired(life) == [("five", "01 12:05:00"), ("five", "01 11:55:00"), ("five", "01 12:10:00")]
    life.accept(Backfill(schedule="five", instants=[NOON.timestamp() + 600, NOON.timestamp()]))
    assert fired(life)[3:] == [("five", "01 12:00:00")]
    assert len(life.runs("five")) == 4


def test_a_backfill_of_what_is_no_schedule_is_refused_with_its_name(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    life = start(FakeClock(NOON), five=every(minutes=5))
    life.accept(Backfill(schedule="fife", instants=[NOON.timestamp()]))
    assert fired(life) == []
    assert "the app has no schedule 'fife' to backfill" in caplog.text

"""Schedules with a start, an end, a calendar, jitter and a rule for what was missed."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.errors import ScheduleError
from triggers.schedule import At, Manner, Schedule, Timetable, at, cron, every, firings, manner, timetable, timezone_of
from triggers.schedule.reading import read

ZONES = ("Europe/Berlin", "America/New_York", "Africa/Cairo", "Pacific/Apia", "America/Havana", "UTC")
CLOSED = {"SAT", "SUN", "2026-03-30", date(2026, 12, 25)}


def closed(day: date) -> bool:
    return day.day % 3 == 0


def unix(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("excluded", [CLOSED, closed, {"MON"}], ids=str)
def test_what_is_excluded_is_left_out_of_what_would_fire(zone: str, excluded: Any) -> None:
    tz = ZoneInfo(zone)

    def open_on(day: date) -> bool:
        if callable(excluded):
            return not excluded(day)
        return not ({day.strftime("%a").upper(), day, day.isoformat()} & excluded)

    bounds = {"start": "2026-02-01T05:00", "end": "2026-12-30T00:00"}
    first, end = (unix(moment, zone) for moment in bounds.values())
    plain, made = cron("0 */6 * * *", timezone=zone), cron("0 */6 * * *", timezone=zone, exclude=excluded, **bounds)
    every_one = firings(plain, unix("2026-01-01"), unix("2027-01-01"))
    wanted = [due for due in every_one if first <= due < end and open_on(datetime.fromtimestamp(due, tz).date())]
    assert list(firings(made, -math.inf, math.inf)) == wanted
    backwards, until = [], math.inf
    while (due := made.latest(-math.inf, until)) is not None:
        backwards.append(due)
        until = math.nextafter(due, -math.inf)
    assert backwards[::-1] == wanted


TIMETABLES: list[Schedule] = [
    cron("*/20 * * * *", timezone="Africa/Cairo", exclude={"FRI", "2026-04-24"}),
    every(hours=5, timezone="America/Havana", exclude=closed, start="2026-01-01T12:00"),
    every(minutes=7, end="2026-06-01"),
    at("2026-05-05T05:05", exclude={"SUN"}),
]


@settings(max_examples=200)
@given(
    schedule=st.sampled_from(TIMETABLES),
    after=st.floats(unix("2025-12-01"), unix("2026-12-31")),
    span=st.floats(0, 9e5),
)
def test_next_and_latest_agree(schedule: Schedule, after: float, span: float) -> None:
    due, last = schedule.next(after), schedule.latest(after, after + span)
    if last is None:
        assert due is None or due > after + span
    else:
        assert after < last <= after + span
        following = schedule.next(last)
        assert following is None or following > after + span
        assert due is not None
        assert due <= last


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (every(hours=1, exclude={"SUN", "sat", "2026-12-25"}), "every(1h) except SAT,SUN,2026-12-25"),
        (every(hours=1, exclude={date(2026, 12, 25), "SUN", "SAT"}), "every(1h) except SAT,SUN,2026-12-25"),
        (
            cron("0 9 * * *", timezone="Europe/Berlin", start="2026-01-01T00:00", end="2026-07-01T00:00"),
            "cron(0 9 * * *, Europe/Berlin) from 2025-12-31T23:00:00+00:00 until 2026-06-30T22:00:00+00:00",
        ),
        (every(days=1, timezone="Asia/Tokyo", exclude={"MON"}), "every(1d) except MON in Asia/Tokyo"),
        (every(days=1, exclude=closed), "every(1d) except tests.test_timetable.closed"),
        (every(days=1, jitter=5, missed="all"), "every(1d)"),
        (every(days=1, exclude=set()), "every(1d)"),
        (every(days=1, exclude={}, timezone="Asia/Tokyo"), "every(1d)"),
    ],
)
def test_bounds_and_calendar_are_in_the_text_and_how_it_is_fired_is_not(schedule: Schedule, text: str) -> None:
    assert str(schedule) == text


@pytest.mark.parametrize(
    "schedule",
    [
        cron("0 3 * * MON,fri", timezone="Europe/Berlin"),
        cron("0 9 ? * 6#3 *"),
        every(weeks=1, days=1, seconds=5),
        at("2026-12-01T03:00:00.5"),
        *(one for one in TIMETABLES if "closed" not in str(one)),
    ],
    ids=str,
)
def test_the_text_of_a_schedule_can_be_read_back(schedule: Schedule) -> None:
    again = read(str(schedule))
    assert str(again) == str(schedule)
    assert list(firings(again, unix("2026-01-01"), unix("2026-03-01"))) == list(
        firings(schedule, unix("2026-01-01"), unix("2026-03-01"))
    )


@pytest.mark.parametrize("text", ["every(1d) except app.closed", "mine()", "", "every(1d", "every(1d) except SAT,x"])
def test_a_text_that_does_not_say_all_cannot_be_read_back(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        read(text)
    assert str(caught.value) == f"of {text!r} only the app itself has the calendar, or the schedule"


@pytest.mark.parametrize("text", ["cron(61 * * * *, UTC)", "every(1d) except 2026-13-01"])
def test_a_text_that_is_not_valid_cannot_be_read_back(text: str) -> None:
    with pytest.raises(ScheduleError):
        read(text)


def test_a_timetable_is_a_value() -> None:
    one, two = (every(hours=1, exclude={"SAT"}, jitter=3) for _ in range(2))
    assert one == two == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(two)
    assert one != every(hours=1, exclude={"SAT"})
    assert timezone_of(cron("0 3 * * *", timezone="Asia/Tokyo", jitter=3)) == "Asia/Tokyo"


class FullHours(Schedule):
    """A schedule of a user's own."""

    def next(self, after: float) -> float | None:
        return after // 3600 * 3600 + 3600

    def latest(self, after: float, until: float) -> float | None:
        due = until // 3600 * 3600
        return due if due > after else None

    def __str__(self) -> str:
        return "full hours"


def test_a_schedule_of_ones_own_takes_the_keywords_too() -> None:
    made = timetable(FullHours(), start="2026-01-01T00:30", end="2026-01-01T03:00", jitter=3)
    assert isinstance(made, Timetable)
    assert [due - unix("2026-01-01") for due in firings(made, 0, unix("2027-01-01"))] == [3600, 7200]
    assert manner(made).jitter == 3


@pytest.mark.parametrize("wrong", [object(), 5, None, "0 3 * * *", FullHours])
def test_what_is_no_schedule_gets_no_keywords(wrong: Any) -> None:
    given: list[dict[str, Any]] = [{}, {"jitter": 5}]
    for options in given:
        with pytest.raises(ScheduleError, match=r"is no schedule; write cron\(...\), every\(...\) or at"):
            timetable(wrong, **options)


def test_a_calendar_that_raises_is_asked_again_when_the_schedule_is_to_fire() -> None:
    def closed(day: date) -> bool:
        raise ValueError("calendar server away")

    schedule = every(days=1, exclude=closed)
    with pytest.raises(ValueError, match="calendar server away"):
        schedule.next(0)


def test_a_calendar_without_an_end_that_excludes_everything_is_no_endless_loop() -> None:
    with pytest.raises(ScheduleError, match=r"never fires: start=, end= and exclude= leave nothing of it; widen"):
        every(hours=1, exclude=lambda day: True)


def test_jitter_is_below_its_bound_and_the_gap_and_depends_on_name_and_instant_alone() -> None:
    how = Manner(jitter=90)
    offsets = [how.offset("a", due, due + 60) for due in range(0, 60_000, 60)]
    assert offsets == [how.offset("a", due, due + 60) for due in range(0, 60_000, 60)]
    assert 0 <= min(offsets) < 3
    assert 57 < max(offsets) < 60
    assert 27 < sum(offsets) / len(offsets) < 33
    assert how.offset("a", 60, None) != how.offset("b", 60, None)
    assert Manner().offset("a", 60, 120) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missed": "none"}, "every(5m): missed='none' is none of 'latest', 'all' or 'skip'"),
        ({"missed": "latest", "missed_most": 3}, "every(5m): missed_most=3 bounds what missed='all' fires"),
        ({"missed": "all", "missed_most": 0}, "every(5m): missed_most=0 is no number of instants"),
        ({"missed": "all", "missed_most": True}, "every(5m): missed_most=True is no number of instants"),
        ({"missed": "skip", "missed_within": 60}, "every(5m): missed_within=60 is of no use with missed='skip'"),
        ({"missed_within": -1}, "every(5m): missed_within=-1 is no span of time above 0"),
        ({"missed_within": math.nan}, "every(5m): missed_within=nan is no span of time above 0"),
        ({"jitter": "30"}, "every(5m): jitter='30' is no span of time above 0; write seconds, or text like"),
        ({"jitter": True}, "every(5m): jitter=True is no span of time above 0"),
        ({"start": "soon"}, "every(5m): start 'soon': Invalid isoformat string"),
        ({"start": 5}, "every(5m): start '5': it is a int; write e.g. '2026-12-01T03:00:00'"),
        ({"timezone": "Europe/Berln", "start": "2026-01-01"}, "no time zone named 'Europe/Berln'; did you mean"),
        ({"timezone": 3}, "timezone=3 is no name; write an IANA name"),
        (
            {"timezone": "Europe/Berlin", "end": "2026-03-29T02:30"},
            "every(5m): end '2026-03-29T02:30': the clocks of Europe/Berlin skip this time",
        ),
        ({"start": "2026-02-01", "end": "2026-01-01"}, "never fires: start=, end= and exclude= leave nothing of it"),
        ({"exclude": "SAT"}, "exclude='SAT' is no set of days; write e.g. exclude={'SAT', 'SUN', '2026-12-25'}"),
        ({"exclude": 6}, "exclude=6 is no set of days"),
        ({"exclude": {"Saturnday"}}, "exclude= holds 'Saturnday', which is no day"),
        ({"exclude": {6}}, "exclude= holds 6, which is no day"),
        ({"exclude": {datetime(2026, 1, 1, tzinfo=UTC)}}, "which is no day"),
        ({"exclude": {"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}}, "never fires"),
        (
            {"tz": "UTC"},
            "every(5m) has no option 'tz'; known: end, exclude, jitter, missed, missed_most, missed_w",
        ),
        ({"timezon": "UTC"}, "every(5m) has no option 'timezon'; did you mean 'timezone'?"),
        ({"timezone": "localtime"}, "timezone='localtime' is another zone on each machine; write e.g. 'Europe/Berlin'"),
        ({"jiter": 5}, "every(5m) has no option 'jiter'; did you mean 'jitter'?"),
    ],
)
def test_keywords_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        every(minutes=5, **options)
    assert message in str(caught.value)


class Holidays:
    def __call__(self, day: date) -> bool:
        return False


def test_a_calendar_whose_text_changes_with_every_start_is_refused() -> None:
    with pytest.raises(ScheduleError, match="has no text that outlives a restart; give its class a __repr__"):
        every(hours=1, exclude=Holidays())


def test_keywords_are_given_at_once() -> None:
    with pytest.raises(ScheduleError, match="has its keywords already; give all of them at once"):
        timetable(every(hours=1, jitter=5), jitter=5)


@pytest.mark.parametrize("text", [None, 5, b"0 3 * * *"])
def test_a_cron_text_must_be_text(text: Any) -> None:
    with pytest.raises(ScheduleError, match=r"is no text; write e\.g\. cron"):
        cron(text)


def test_an_interval_says_of_what_it_is() -> None:
    with pytest.raises(ScheduleError, match=r"every: 5 of what\? Write e\.g\. every\(seconds=5\)"):
        every(5)  # type: ignore[arg-type]


def test_an_interval_must_be_numbers() -> None:
    with pytest.raises(ScheduleError, match="every: the interval cannot be counted"):
        every(minutes="5")  # type: ignore[arg-type]


def test_bounds_take_datetimes_and_the_start_fires_and_the_end_does_not() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = every(hours=1, start=start, end=start + timedelta(hours=2))
    assert list(firings(made, 0, math.inf)) == [unix("2026-01-01"), unix("2026-01-01T01:00")]
    assert isinstance(every(hours=1, start=start), Timetable)
    assert isinstance(at("2026-01-01"), At)

"""Schedules are held against an oracle that shares nothing with them: it walks through time and asks zoneinfo."""

from __future__ import annotations

import calendar
import copy
import math
import pickle
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import triggers
from tests import oracle
from tests.oracle import ALL_DAY, COMMON, Spec, changes
from triggers.errors import ScheduleError
from triggers.schedule import At, Cron, Every, Schedule, at, cron, every, firings, zones

ZONES = ("Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "UTC")


def unix(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def wall(moment: float, zone: str = "UTC") -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


def walls(schedule: Schedule, zone: str, first: str, last: str) -> list[str]:
    """The firings in [first, last), in wall time."""
    found = firings(schedule, unix(first, zone) - 1, unix(last, zone) - 1)
    return [wall(moment, zone)[11:] for moment in found]


# --- The oracle ------------------------------------------------------------------------------------------------------


@st.composite
def one_field(draw: st.DrawFn, low: int, high: int) -> tuple[str, frozenset[int]]:
    """A field's text, and the numbers that it means."""
    number = st.integers(low, high)
    shape = draw(st.sampled_from(("star", "star step", "list", "range", "range step", "open step")))
    step = draw(st.integers(1, high - low + 1))
    first, last = sorted((draw(number), draw(number)))
    if shape == "star":
        return "*", frozenset(range(low, high + 1))
    if shape == "star step":
        return f"*/{step}", frozenset(range(low, high + 1, step))
    if shape == "list":
        chosen = draw(st.lists(number, min_size=1, max_size=4))
        return ",".join(map(str, chosen)), frozenset(chosen)
    if shape == "range":
        return f"{first}-{last}", frozenset(range(first, last + 1))
    if shape == "range step":
        return f"{first}-{last}/{step},{low}", frozenset(range(first, last + 1, step)) | {low}
    return f"{first}/{step}", frozenset(range(first, high + 1, step))


@st.composite
def specs(draw: st.DrawFn, quarters: bool = False) -> Spec:
    """Any five-field text; with `quarters`, one that fires on quarter hours only."""
    minutes = draw(one_field(0, 59))
    if quarters:
        minutes = draw(st.sampled_from((("*/15", frozenset({0, 15, 30, 45})), ("30", frozenset({30})))))
    hours = draw(one_field(0, 23) | st.just(("*", ALL_DAY)) | st.just(("0-3,23", frozenset({0, 1, 2, 3, 23}))))
    days = draw(one_field(1, 31))
    months, weekdays = draw(one_field(1, 12)), draw(one_field(0, 6))
    return Spec(
        " ".join((minutes[0], hours[0], days[0], months[0], weekdays[0])),
        minutes[1], hours[1], days[1], months[1], weekdays[1],
        days[0].startswith("*"), weekdays[0].startswith("*"),
    )  # fmt: skip


def cron_or_nothing(spec: Spec, zone: str) -> Cron | None:
    try:
        return cron(spec.text, timezone=zone)
    except ScheduleError as error:
        if "never fires" not in str(error):
            raise
        return None


def agree(spec: Spec, zone: str, start: int, end: int, step: int = 60) -> None:
    expected = oracle.expected(spec, zone, start, end, step)
    schedule = cron_or_nothing(spec, zone)
    assert (list(firings(schedule, start - 1, end - 1)) if schedule else []) == expected
    if schedule:
        for until in range(start, end, (end - start) // 50 + 7):
            place = bisect_right(expected, until)
            assert schedule.latest(start - 1, until) == (expected[place - 1] if place else None)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("spec", COMMON, ids=lambda spec: spec.text)
def test_common_texts_fire_at_the_right_minutes_around_every_change_of_the_clocks(spec: Spec, zone: str) -> None:
    for start, end in changes(zone, 2011, 2013) + changes(zone, 2024, 2026):
        agree(spec, zone, start, end)


def test_a_sample_of_all_zones_fires_at_the_right_minutes_around_its_changes() -> None:
    """`python -m benchmarks daylight` does the same for all of them, and all of their changes."""
    found = list(oracle.changing_zones(sorted(available_timezones())[::23]))
    assert len(found) > 5
    for zone in found:
        for start, end in changes(zone, oracle.FIRST, oracle.LAST)[:2]:
            for spec in {*COMMON, *oracle.at_a_change(zone, start, end)}:
                agree(spec, zone, start, end)


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=10)
@given(data=st.data())
def test_any_text_fires_at_the_right_minutes_around_a_change_of_the_clocks(zone: str, data: st.DataObject) -> None:
    stretches = changes(zone, 2011, 2013) + changes(zone, 2024, 2026) or ((1_700_000_040, 1_700_400_000),)
    agree(data.draw(specs()), zone, *data.draw(st.sampled_from(stretches)))


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=4)
@given(spec=specs(quarters=True))
def test_any_text_fires_at_the_right_quarter_hours_through_a_year(zone: str, spec: Spec) -> None:
    agree(spec, zone, int(unix("2011-07-01")), int(unix("2012-07-01")), 900)


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("America/Boa_Vista", 1980, 2010),  # 6.96 days between two changes in 2000, the shortest of all
        ("Asia/Gaza", 2035, 2075),  # four changes a year, some as near
        ("Africa/Monrovia", 1970, 1975),  # 44 min 30 s behind UTC until 1972
        ("Pacific/Kwajalein", 1985, 2000),  # had no 21 August 1993
        ("Antarctica/Troll", 2000, 2030),  # changes of two hours
    ],
)
def test_noon_comes_once_on_each_day_that_a_zone_has(zone: str, first: int, last: int) -> None:
    tz, expected = ZoneInfo(zone), []
    for number in range(date(first, 1, 1).toordinal(), date(last, 1, 1).toordinal()):
        noon = datetime.combine(date.fromordinal(number), datetime.min.time(), tz).replace(hour=12)
        moment = noon.timestamp()
        if datetime.fromtimestamp(moment, tz) == noon:
            expected.append(moment)
    schedule = cron("0 12 * * *", timezone=zone)
    assert list(firings(schedule, unix(f"{first}-01-01", zone), unix(f"{last}-01-01", zone))) == expected


# --- Clocks that change, in words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "text", "day", "next_day", "fired"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-03-29", "2026-03-30", []),
        ("America/New_York", "30 2 * * *", "2026-03-08", "2026-03-09", []),
        ("Africa/Cairo", "0 0 * * *", "2026-04-24T01:00", "2026-04-25", []),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-04", "2026-10-05", []),
        ("Pacific/Apia", "0 12 * * *", "2011-12-29", "2012-01-01", ["12:00", "12:00"]),
    ],
)
def test_a_wall_time_that_the_clocks_skip_does_not_fire(
    zone: str, text: str, day: str, next_day: str, fired: list[str]
) -> None:
    assert walls(cron(text, timezone=zone), zone, day, next_day) == fired


@pytest.mark.parametrize(
    ("zone", "text", "first"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:30"),
        ("Europe/Berlin", "30 */2 * * *", "2026-10-25T02:30"),
        ("America/New_York", "30 1 * * *", "2026-11-01T01:30"),
        ("Africa/Cairo", "30 23 * * *", "2026-10-29T23:30"),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05T01:45"),
        ("Australia/Adelaide", "55 2 * * *", "2016-04-03T02:55"),  # a block of the survey begins amid this doubled hour
        ("America/Los_Angeles", "30 1 * * *", "2185-11-06T01:30"),
        ("Antarctica/Troll", "55 2 * * *", "2046-10-28T02:55"),
    ],
)
def test_a_time_of_day_that_occurs_twice_fires_at_the_first(zone: str, text: str, first: str) -> None:
    schedule = cron(text, timezone=zone)
    once, twice = unix(first, zone), unix(first, zone, fold=1)
    assert once < twice
    assert list(firings(schedule, once - 1, twice)) == [once]
    assert schedule.latest(once - 1, twice) == once
    assert schedule.next(once) != twice


def test_wherever_a_survey_of_a_zone_begins_what_has_been_seen_before_is_known() -> None:
    block = 1 << 22
    for name in sorted(available_timezones()):
        tz, known = ZoneInfo(name), zones.Zone(ZoneInfo(name))
        for edge in range(block, 2**31, block):
            day_before, before, now = (datetime.fromtimestamp(edge - n, tz).utcoffset() for n in (86_400, 1, 0))
            if day_before != before == now:
                left, right = known.span(edge - 1), known.span(edge)
                wall = edge + right.offset
                assert max(left.unseen, wall) == max(right.unseen, wall), (name, edge)


def test_from_sunday_on_is_sunday_where_it_is_written_as_7() -> None:
    fortnight = unix("2026-03-01"), unix("2026-03-15")
    assert list(firings(cron("0 0 * * 7/2"), *fortnight)) == list(firings(cron("0 0 * * 7"), *fortnight)) != []


@pytest.mark.parametrize("hours", ["*", "*/1", "0-23", "0-11,12-23"])
def test_every_hour_goes_on_through_the_doubled_hour(hours: str) -> None:
    zone = "Europe/Berlin"
    schedule = cron(f"0 {hours} * * *", timezone=zone)
    day = walls(schedule, zone, "2026-10-25", "2026-10-26")
    assert len(day) == 25
    assert day[:5] == ["00:00", "01:00", "02:00", "02:00", "03:00"]
    assert len(walls(schedule, zone, "2026-03-29", "2026-03-30")) == 23


def test_every_quarter_hour_stays_900_seconds_apart_through_both_changes() -> None:
    schedule = cron("*/15 * * * *", timezone="Europe/Berlin")
    year = list(firings(schedule, unix("2026-01-01"), unix("2027-01-01")))
    assert {late - early for early, late in pairwise(year)} == {900}


def test_every_minute_of_one_hour_fires_60_times_when_that_hour_is_doubled() -> None:
    zone = "Europe/Berlin"
    assert len(walls(cron("* 2 * * *", timezone=zone), zone, "2026-10-25", "2026-10-26")) == 60


def test_a_second_pass_before_midnight_counts_when_the_day_is_the_last_that_matches() -> None:
    schedule = cron("0 * 29 10 ? 2026", timezone="Africa/Cairo")  # 24:00 becomes 23:00 at the end of that day
    second = unix("2026-10-29T23:00", "Africa/Cairo", fold=1)
    assert schedule.next(second - 1800) == second
    assert schedule.next(second) is None
    assert schedule.latest(0, math.inf) == second


# --- EventBridge's form ----------------------------------------------------------------------------------------------


def length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def aws_weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


@cache
def is_nearest_weekday(day: date, wanted: int) -> bool:
    """Of the month's days from Monday to Friday this one is the nearest to `wanted`, the day itself first."""
    if wanted > length(day):
        return False
    workdays = [n for n in range(1, length(day) + 1) if day.replace(day=n).weekday() < 5]
    return day.day == min(workdays, key=lambda n: abs(n - wanted))


@cache
def is_last_workday(day: date) -> bool:
    return day.day == max(n for n in range(1, length(day) + 1) if day.replace(day=n).weekday() < 5)


EVENTBRIDGE: dict[str, Callable[[date], bool]] = {
    "0 10 * * ? *": lambda d: True,
    "15 12 ? * * *": lambda d: True,
    "0 18 ? * MON-FRI *": lambda d: aws_weekday(d) in range(2, 7),
    "0 18 ? * 2-6 *": lambda d: aws_weekday(d) in range(2, 7),
    "0 8 1 * ? *": lambda d: d.day == 1,
    "30 6 ? * 1 *": lambda d: d.strftime("%a") == "Sun",
    "30 6 ? * 7 *": lambda d: d.strftime("%a") == "Sat",
    "30 6 ? * SUN,WED *": lambda d: d.strftime("%a") in ("Sun", "Wed"),
    "0 9 ? * 2#1 *": lambda d: d.strftime("%a") == "Mon" and d.day <= 7,
    "0 9 ? * 6#3 *": lambda d: d.strftime("%a") == "Fri" and 15 <= d.day <= 21,
    "0 9 ? * FRI#5 *": lambda d: d.strftime("%a") == "Fri" and d.day >= 29,
    "0 9 ? * 6L *": lambda d: d.strftime("%a") == "Fri" and d.day + 7 > length(d),
    "0 9 ? * SUNL *": lambda d: d.strftime("%a") == "Sun" and d.day + 7 > length(d),
    "0 9 ? * L *": lambda d: d.strftime("%a") == "Sat",
    "0 0 L * ? *": lambda d: d.day == length(d),
    "0 0 L-2 * ? *": lambda d: d.day == length(d) - 2,
    "0 0 L-30 * ? *": lambda d: d.day == length(d) - 30,
    "0 0 LW * ? *": is_last_workday,
    "0 0 15W * ? *": lambda d: is_nearest_weekday(d, 15),
    "0 0 1W * ? *": lambda d: is_nearest_weekday(d, 1),
    "0 0 31W * ? *": lambda d: is_nearest_weekday(d, 31),
    "0 0 10/7 JAN-MAR/2,DEC ? 2024-2026,2028/2": lambda d: (
        d.day in (10, 17, 24, 31) and d.month in (1, 3, 12) and d.year in (2024, 2025, 2026, 2028, 2030)
    ),
    "0 0 29 2 ? *": lambda d: (d.month, d.day) == (2, 29),
}


@pytest.mark.parametrize("text", EVENTBRIDGE)
def test_an_eventbridge_text_fires_on_the_days_that_aws_documents(text: str) -> None:
    minute, hour = map(int, text.split()[:2])
    days = (date(2020, 1, 1) + timedelta(days=n) for n in range(4018))  # to the end of 2030
    expected = [
        datetime(d.year, d.month, d.day, hour, minute, tzinfo=UTC).timestamp() for d in days if EVENTBRIDGE[text](d)
    ]
    schedule = cron(text)
    assert list(firings(schedule, unix("2020-01-01") - 1, unix("2030-12-31T23:59"))) == expected
    assert schedule.latest(0, unix("2030-12-31T23:59")) == expected[-1]


def test_steps_from_a_start_reach_to_the_end_of_the_field() -> None:
    hour = [wall(moment)[14:] for moment in firings(cron("5/20 8 * * ? *"), 0, 86400)]
    assert hour == ["05", "25", "45"]


def test_the_text_may_stand_in_aws_own_brackets() -> None:
    assert cron("cron(0 10 * * ? *)") == cron("0 10 * * ? *")


def test_years_end_where_they_are_said_to() -> None:
    schedule = cron("0 0 1 1 ? 2030,2199")
    assert schedule.next(unix("2030-01-01")) == unix("2199-01-01")
    assert schedule.next(unix("2199-01-01")) is None


# --- Five fields -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * SUN"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * 5-7", "0 0 * * fri-sun"),
        ("0 0 * jan,DEC mon", "0 0 * 1,12 1"),
        ("  0   0 * * *", "0 0 * * *"),
    ],
)
def test_two_ways_to_write_a_text_fire_alike(text: str, same: str) -> None:
    first, second = cron(text), cron(same)
    until = unix("2001-01-01")
    assert list(firings(first, unix("1999-12-01"), until)) == list(firings(second, unix("1999-12-01"), until))


def test_either_day_may_match_when_both_are_restricted() -> None:
    days = [wall(moment)[:10] for moment in firings(cron("0 0 13 * FRI"), unix("2026-03-01"), unix("2026-03-31"))]
    assert days == ["2026-03-06", "2026-03-13", "2026-03-20", "2026-03-27"]
    days = [wall(moment)[:10] for moment in firings(cron("0 0 1 * MON"), unix("2026-01-31"), unix("2026-02-10"))]
    assert days == ["2026-02-01", "2026-02-02", "2026-02-09"]


def test_both_days_must_match_when_one_begins_with_a_star() -> None:
    days = [wall(moment)[:10] for moment in firings(cron("0 0 */2 * MON"), unix("2026-03-01"), unix("2026-03-31"))]
    assert days == ["2026-03-09", "2026-03-23"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("61 * * * *", "cron '61 * * * *': minute 61 is not in 0-59"),
        ("* 24 * * *", "cron '* 24 * * *': hour 24 is not in 0-23"),
        ("* * 0 * *", "cron '* * 0 * *': day 0 is not in 1-31"),
        ("* * * FOO *", "cron '* * * FOO *': month FOO is not in 1-12 or JAN-DEC"),
        ("* * * * 8", "cron '* * * * 8': weekday 8 is not in 0-7 or SUN-SAT"),
        ("* * ? * 0 *", "cron '* * ? * 0 *': weekday 0 is not in 1-7 or SUN-SAT"),
        ("0 0 1 1 ? 1969", "cron '0 0 1 1 ? 1969': year 1969 is not in 1970-2199"),
        ("1,,2 * * * *", "cron '1,,2 * * * *': minute (empty) is not in 0-59"),
        ("-5 * * * *", "cron '-5 * * * *': minute -5 is not in 0-59"),
        ("5- * * * *", "cron '5- * * * *': minute 5- is not in 0-59"),
        ("* * * * -MON", "cron '* * * * -MON': weekday -MON is not in 0-7 or SUN-SAT"),
        ("1-2-3 * * * *", "cron '1-2-3 * * * *': minute 2-3 is not in 0-59"),
        ("1.5 * * * *", "cron '1.5 * * * *': minute 1.5 is not in 0-59"),
        ("\u0665 * * * *", "cron '\u0665 * * * *': minute \u0665 is not in 0-59"),
        (
            "*/0 * * * *",
            "cron '*/0 * * * *': minute step 0 is not in 1-60; for an interval of elapsed time write every()",
        ),
        (
            "*/90 * * * *",
            "cron '*/90 * * * *': minute step 90 is not in 1-60; for an interval of elapsed time write every()",
        ),
        (
            "*/ * * * *",
            "cron '*/ * * * *': minute step (empty) is not in 1-60; for an interval of elapsed time write every()",
        ),
        ("0 22-2 * * *", "cron '0 22-2 * * *': hour 22-2 runs backwards; write 22-23,0-2"),
        ("0 0 * * 7-3", "cron '0 0 * * 7-3': weekday 7-3 runs backwards; write 7-7,0-3"),
        ("0 0 L * *", "cron '0 0 L * *': day L, weekday *: ? L W # need the form with a sixth field, the year"),
        ("0 0 * * 5#3", "cron '0 0 * * 5#3': day *, weekday 5#3: ? L W # need the form with a sixth field, the year"),
        ("0 0 * * * *", "cron '0 0 * * * *': day * and weekday *: exactly one of the two must be ?"),
        ("0 0 ? * ? *", "cron '0 0 ? * ? *': day ? and weekday ?: exactly one of the two must be ?"),
        ("0 0 ? * 3#6 *", "cron '0 0 ? * 3#6 *': weekday 3# 6 is not in 1-5"),
        ("0 0 ? * 3#1,6#3 *", "cron '0 0 ? * 3#1,6#3 *': weekday 3# 1,6#3 is not in 1-5"),
        ("0 0 L-31 * ? *", "cron '0 0 L-31 * ? *': day L- 31 is not in 1-30"),
        ("0 0 32W * ? *", "cron '0 0 32W * ? *': day 32 is not in 1-31"),
        ("0 0 L,15 * ? *", "cron '0 0 L,15 * ? *': day L- L,15 is not in 1-30"),
        (
            "0 3 * *",
            "cron '0 3 * *' has the wrong number of fields, 4; "
            "write 5 (minute hour day month weekday) or EventBridge's 6 (and year)",
        ),
        ("@dayly", "cron '@dayly' has the wrong number of fields, 1; did you mean '@daily'?"),
    ],
)
def test_a_bad_text_is_refused_with_the_field_the_value_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        cron(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["", "*", "x" * 5000, "9" * 5000 + " * * * *", "* * * * * * *", "cron()"])
def test_nonsense_is_a_schedule_error_too(text: str) -> None:
    with pytest.raises(ScheduleError):
        cron(text)


@settings(max_examples=150)
@given(st.lists(st.text("0123456789*/,-?LW#MONJAN ", max_size=6), min_size=5, max_size=6).map(" ".join))
def test_no_text_raises_anything_but_a_schedule_error(text: str) -> None:
    try:
        schedule = cron(text)
    except ScheduleError:
        return
    assert schedule.next(0) is not None or schedule.next(-1) == 0


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("0 0 30 2 *", "UTC"),
        ("0 0 31 4,6,9,11 *", "Europe/Berlin"),
        ("0 0 29 2 ? 2025-2027", "UTC"),
        ("0 0 L-30 2 ? *", "UTC"),
        ("30 2 29 3 ? 2026", "Europe/Berlin"),  # that one night the clocks skip it
        ("0 0 30 12 ? 2011", "Pacific/Apia"),  # a day that Samoa did not have
    ],
)
def test_a_text_that_never_fires_is_refused(text: str, zone: str) -> None:
    with pytest.raises(ScheduleError, match=r"no such time in \S+ from 1970 to 2199; write a day that its months"):
        cron(text, timezone=zone)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", "no time zone named 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
        ("x", "no time zone named 'x'; write an IANA name, such as Europe/Berlin"),
        ("", "no time zone named ''; write an IANA name, such as Europe/Berlin"),
        ("Europe", "no time zone named 'Europe'; "),
        ("../passwd", "no time zone named '../passwd'; "),
    ],
)
def test_an_unknown_time_zone_is_refused_with_a_near_miss(zone: str, hint: str) -> None:
    for make in (lambda: cron("0 3 * * *", timezone=zone), lambda: at("2026-01-01", timezone=zone)):
        with pytest.raises(ScheduleError) as caught:
            make()
        assert str(caught.value).startswith(hint)


# --- What all schedules promise --------------------------------------------------------------------------------------

SCHEDULES: list[Schedule] = [
    cron("*/7 * * * *", timezone="Europe/Berlin"),
    cron("0 3 * * MON-FRI", timezone="America/New_York"),
    cron("0 0 29 2 *"),
    cron("0 9 ? * 6#3 *", timezone="Australia/Lord_Howe"),
    every(minutes=5),
    every(days=3),
    at("2026-12-01T03:00:00"),
]
MOMENTS = st.floats(-1e9, 8e9) | st.integers(0, 4_000_000).map(lambda n: n * 1800.0)


@given(schedule=st.sampled_from(SCHEDULES), moment=MOMENTS)
def test_next_is_strictly_later_and_is_the_latest_at_its_own_moment(schedule: Schedule, moment: float) -> None:
    due = schedule.next(moment)
    if due is not None:
        assert due > moment
        assert schedule.latest(moment, due) == due
        assert schedule.latest(moment, math.nextafter(due, -math.inf)) is None
        assert schedule.next(math.nextafter(due, -math.inf)) == due


@given(schedule=st.sampled_from(SCHEDULES), after=MOMENTS, until=MOMENTS)
def test_nothing_lies_between_the_latest_and_the_end(schedule: Schedule, after: float, until: float) -> None:
    last = schedule.latest(after, until)
    if last is None:
        due = schedule.next(after)
        assert due is None or due > until
    else:
        assert after < last <= until
        due = schedule.next(last)
        assert due is None or due > until


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_ends_of_time_are_no_trouble(schedule: Schedule) -> None:
    first, last = schedule.next(-math.inf), schedule.latest(-math.inf, math.inf)
    assert first is not None
    assert last is not None
    assert 0 <= first <= last < unix("2200-01-02")
    assert schedule.next(math.inf) is None
    assert schedule.next(last) is None
    assert schedule.latest(math.inf, math.inf) is None
    assert schedule.latest(-math.inf, -math.inf) is None


def test_the_last_of_ten_years_of_minutes_is_found_without_counting_them() -> None:
    schedule = cron("* * * * *", timezone="Europe/Berlin")
    start, until = unix("2016-01-01"), unix("2026-01-01")
    began = time.process_time()
    for n in range(200):
        assert schedule.latest(start, until + n * 60) == until + n * 60
    assert time.process_time() - began < 2  # to count them took minutes


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_schedule_survives_pickle_and_copy_and_cannot_be_changed(schedule: Schedule) -> None:
    for twin in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule)):
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert twin.next(1e9) == schedule.next(1e9)
    assert isinstance(schedule, Schedule)
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        schedule.text = "other"  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (cron("0  3 * * mon", timezone="Europe/Berlin"), "cron(0 3 * * MON, Europe/Berlin)"),
        (cron("@daily"), "cron(0 0 * * *, UTC)"),
        (cron("cron(0 10 * * ? *)"), "cron(0 10 * * ? *, UTC)"),
        (every(minutes=5), "every(5m)"),
        (every(minutes=90), "every(1h30m)"),
        (every(seconds=86_400 * 8 + 1), "every(1w1d1s)"),
        (at("2026-12-01T04:00", timezone="Europe/Berlin"), "at(2026-12-01T03:00:00+00:00)"),
    ],
)
def test_a_schedule_is_shown_as_its_canonical_text(schedule: Schedule, text: str) -> None:
    assert str(schedule) == text


def test_equal_texts_in_different_zones_are_different_schedules() -> None:
    assert cron("0 3 * * *") == cron(" 0 3 * * *")
    assert cron("0 3 * * *") != cron("0 3 * * *", timezone="Europe/Berlin")


# --- every and at ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.0, 0.5, 299.9, 1_700_000_000.25])
def test_an_interval_is_aligned_to_the_unix_epoch(after: float) -> None:
    due = every(minutes=5).next(after)
    assert due is not None
    assert due % 300 == 0
    assert 0 < due - after <= 300


def test_a_day_long_interval_fires_at_midnight_utc_and_a_week_long_one_on_thursdays() -> None:
    assert every(days=1).next(unix("2026-03-04T05:00")) == unix("2026-03-05")
    week = every(weeks=1).next(unix("2026-03-04T05:00"))
    assert week is not None
    assert datetime.fromtimestamp(week, UTC).strftime("%A %H:%M") == "Thursday 00:00"


def test_the_parts_of_an_interval_add_up() -> None:
    assert every(weeks=1, days=1, hours=1, minutes=1, seconds=1) == Every(694_861)
    assert every(minutes=0.5) == Every(30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "every: 0 s is not between"),
        ({"seconds": -1}, "every: -1 s is not between"),
        ({"seconds": 0.5}, "every: 0:00:00.500000 is not a whole number of seconds"),
        ({"hours": 1.0001}, "every: 1:00:00.360000 is not a whole number of seconds"),
        ({"days": 90_000}, "every: 7776000000 s is not between"),
        ({"days": math.inf}, "every: the interval cannot be counted"),
        ({"days": math.nan}, "every: the interval cannot be counted"),
    ],
)
def test_an_interval_that_makes_no_sense_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ScheduleError, match=f"^{message}.*write e.g. every"):
        every(**arguments)


@pytest.mark.parametrize(
    "moment",
    [
        "2026-12-01T04:00:00",
        "2026-12-01T03:00:00Z",
        "2026-12-01T05:00+02:00",
        datetime(2026, 12, 1, 4),
        datetime(2026, 12, 1, 3, tzinfo=UTC),
    ],
)
def test_an_instant_without_an_offset_is_read_in_the_time_zone(moment: datetime | str) -> None:
    assert at(moment, timezone="Europe/Berlin") == At(unix("2026-12-01T03:00:00"))


def test_an_instant_fires_once() -> None:
    schedule = at("2026-12-01T03:00:00.5")
    assert list(firings(schedule, 0, math.inf)) == [unix("2026-12-01T03:00:00.5")]
    assert schedule.next(schedule.instant) is None
    assert schedule.latest(schedule.instant, math.inf) is None


def test_an_ambiguous_instant_is_the_first_unless_its_fold_says_otherwise() -> None:
    zone = "Europe/Berlin"
    assert at("2026-10-25T02:30", timezone=zone).instant == unix("2026-10-25T00:30")
    assert at(datetime(2026, 10, 25, 2, 30, fold=1), timezone=zone).instant == unix("2026-10-25T01:30")


@pytest.mark.parametrize("moment", ["2026-03-29T02:30", datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))])
def test_an_instant_that_the_clocks_skip_is_refused(moment: datetime | str) -> None:
    with pytest.raises(ScheduleError, match="clocks of Europe/Berlin skip this time; write '2026-03-29T03:30:00'"):
        at(moment, timezone="Europe/Berlin")


@pytest.mark.parametrize(
    "moment", ["tomorrow", "", "2026-13-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00-05:00"]
)
def test_an_instant_that_cannot_be_read_is_refused(moment: str) -> None:
    with pytest.raises(ScheduleError, match=r"at '.*write e\.g\. '2026-12-01T03:00:00'"):
        at(moment)


def test_importing_schedules_and_retries_loads_nothing_heavy() -> None:
    code = (
        "import sys, types\n"
        f"package = types.ModuleType('triggers'); package.__path__ = {triggers.__path__!r}\n"
        "sys.modules['triggers'] = package\n"  # without what `import triggers` itself loads
        "import triggers.schedule, triggers.retry\n"
        "triggers.schedule.cron('0 3 * * *').next(0)\n"
        "print(sorted({'asyncio', 'zoneinfo', 'tenacity', 'pydantic'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"

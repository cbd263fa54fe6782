"""Windows are held against an oracle that asks the clock on the wall, minute by minute."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers import Window
from triggers.errors import ScheduleError
from triggers.schedule.moments import moment

ZONES = ("Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "UTC")
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CHANGES = {  # a moment near which the clocks change, by zone
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Africa/Cairo": ("2026-04-24", "2026-10-30"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "Pacific/Apia": ("2011-12-30", "2026-06-01"),
    "UTC": ("2026-03-29", "2026-10-25"),
}


def unix(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def open_at(
    now: float, zone: str, days: set[int], start: int, end: int, excluded: set[date], included: set[date]
) -> bool:
    """Say what the clock on the wall says; minutes of the day."""
    wall = datetime.fromtimestamp(now, ZoneInfo(zone))
    minute, today = wall.hour * 60 + wall.minute, wall.date()

    def opens(day: date) -> bool:
        return day.weekday() in days and day not in excluded

    if today in included:
        return True
    if start < end:
        return opens(today) and start <= minute < end
    return (opens(today) and minute >= start) or (opens(today - timedelta(days=1)) and minute < end)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, list[tuple[object, ...]], float]:
    """A window of one text or two, what they mean, and a moment near which the clocks change."""
    texts, meant, zone = [], [], draw(st.sampled_from(ZONES))
    around = date.fromisoformat(draw(st.sampled_from(CHANGES[zone])))
    near = st.integers(-3, 3).map(lambda n: around + timedelta(days=n))
    excluded, included = draw(st.sets(near, max_size=2)), draw(st.sets(near, max_size=1))
    for _ in range(draw(st.integers(1, 2))):
        days = draw(st.sets(st.integers(0, 6), min_size=1))
        start = draw(st.integers(0, 1439))
        end = draw(st.integers(1, 1440).filter(lambda n, start=start: n != start))
        here = draw(st.sampled_from((zone, zone, "UTC")))
        hours = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
        texts.append(f"{','.join(NAMES[n] for n in sorted(days))} {hours} {here}")
        meant.append((here, days, start, end, excluded, included))
    begin = unix(f"{around - timedelta(days=2)}T12:00") + 60 * draw(st.integers(0, 1440))
    return Window(*texts, exclude=excluded, include=included), meant, begin


@given(windows())
@settings(max_examples=40)
def test_a_window_is_open_when_the_clock_on_the_wall_says_so(
    drawn: tuple[Window, list[tuple[object, ...]], float],
) -> None:
    window, meant, begin = drawn
    minutes = [begin + 60 * n for n in range(3 * 1440)]
    wanted = [any(open_at(now, *one) for one in meant) for now in minutes]  # type: ignore[arg-type]
    found = list(window.intervals(begin, minutes[-1] + 60))
    assert [any(one.start <= now < one.end for one in found) for now in minutes] == wanted
    assert all(a.end < b.start for a, b in pairwise(found))
    for number in range(0, len(minutes), 97):
        assert window.contains(minutes[number]) == wanted[number]
        if True in wanted[number:]:
            assert window.next(minutes[number]).start == minutes[wanted.index(True, number)]
    again = Window(str(window))
    assert again == window
    assert list(again.intervals(begin, minutes[-1])) == list(window.intervals(begin, minutes[-1]))


def test_hours_past_midnight_belong_to_the_day_on_which_they_begin() -> None:
    window = Window("Fri 22:00-06:00 Europe/Berlin")
    assert window.contains(unix("2026-01-03T05:59", "Europe/Berlin"))  # a Saturday
    assert not window.contains(unix("2026-01-02T05:59", "Europe/Berlin"))


def test_a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn() -> None:
    def hours(day: str) -> float:
        (night,) = Window("22:00-06:00 Europe/Berlin").intervals(unix(f"{day}T12:00"), unix(f"{day}T12:00") + 86400)
        return (night.end - night.start) / 3600

    assert [hours(day) for day in ("2026-03-28", "2026-06-01", "2026-10-24")] == [7, 8, 9]


def test_it_is_found_where_so_many_seconds_fit_if_need_be_over_the_holidays() -> None:
    window = Window("Mon-Fri 20:00-06:00", include={"2026-12-25", "2026-12-26"})
    noon = unix("2026-06-01T12:00")
    assert window.fits(noon, 10 * 3600) == (unix("2026-06-01T20:00"), unix("2026-06-02T06:00"))
    assert window.fits(noon, 30 * 3600) == (unix("2026-12-24T20:00"), unix("2026-12-27T00:00"))
    assert window.fits(noon, 100 * 3600) is None


def test_what_never_closes_fits_any_run() -> None:
    found = Window("00:00-24:00").fits(unix("2026-06-01T12:00"), 400 * 86400)
    assert found is not None
    assert found.start == unix("2026-06-01T12:00")


def test_days_instead_of_a_week_have_an_end() -> None:
    days = Window("22:00-06:00", exclude=NAMES, include={"2026-12-25", "2028-12-25"})
    assert days.next(unix("2026-12-26T00:00")) == (unix("2028-12-25T00:00"), unix("2028-12-26T00:00"))
    assert days.next(unix("2028-12-26T00:00")) is None
    weekly = Window("22:00-06:00", exclude=NAMES, include={"SUN", "2026-12-25"})
    assert weekly.next(unix("2026-12-26T00:00")) == (unix("2026-12-27T00:00"), unix("2026-12-28T00:00"))


@pytest.mark.parametrize("mark", ["", "\ufeff"])  # which Windows writes before a text
def test_holidays_may_stand_in_a_file(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "holidays.txt"
    file.write_text(f"{mark}2026-12-25  # Christmas\n# of Bavaria\n\n2026-12-26\n", encoding="utf-8")
    assert str(Window("22:00-06:00", exclude=file)) == "22:00-06:00 UTC except 2026-12-25,2026-12-26"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("22:00-22:00", {}, "'22:00-22:00' never opens: it ends when it begins; write 00:00-24:00 for a whole day"),
        ("Sat 01:00-02:00", {"exclude": {"SAT"}}, "never opens: exclude= holds all its days"),
        ("nights", {}, "window 'nights' cannot be read; write e.g. 'Mon-Fri 22:00-06:00 Europe/Berlin'"),
        ("Mon-Fry 22:00-06:00", {}, "'Mon-Fry' is no day of the week"),
        ("22:00-24:01", {}, "'24:01' is no time of the day"),
        ("22:00-06:00 Europe/Berlim", {}, "no time zone named 'Europe/Berlim'; did you mean 'Europe/Berlin'?"),
        ("22:00-06:00", {"exclude": {"2026-02-30"}}, "exclude= holds '2026-02-30', which is no day"),
        ("22:00-06:00", {"include": "2026-02-03"}, "include='2026-02-03' is no set of days"),
        ("22:00-06:00", {"exclude": Path("/nowhere/days")}, "exclude='/nowhere/days' cannot be read"),
    ],
)
def test_a_window_that_never_opens_or_cannot_be_read_is_refused(
    text: str, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ScheduleError) as refused:
        Window(text, **options)  # type: ignore[arg-type]
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("value", "arrival", "found"),
    [
        (3600, "2026-06-01T12:00", "2026-06-01T13:00"),
        ("07:00 Europe/Berlin", "2026-06-01T12:00", "2026-06-02T05:00"),
        ("07:00 Europe/Berlin", "2026-06-02T05:00", "2026-06-03T05:00"),
        ("02:30 Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:30"),  # skipped: as if the clocks had not changed
        ("02:30 Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),  # twice: the first
        ("07:00", "2026-06-01T06:59", "2026-06-01T07:00"),
    ],
)
def test_a_moment_is_reckoned_from_an_arrival(value: object, arrival: str, found: str) -> None:
    assert moment("deadline", value).of(unix(arrival)) == unix(found)


@pytest.mark.parametrize("value", [0, -1, float("nan"), True, "noon", "25:00", "07:00 Berlin", None])
def test_what_is_no_moment_is_refused(value: object) -> None:
    with pytest.raises(ScheduleError, match=r"deadline=.* is no moment|no time zone named 'Berlin'"):
        moment("deadline", value)

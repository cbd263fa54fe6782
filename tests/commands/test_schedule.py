"""`triggers schedule` and `triggers backfill`, and what `why` says of a schedule."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.commands.conftest import Project

TIMES = """
from datetime import date
from triggers import App, Tick, cron, every

def closed(day: date) -> bool:
    return day.weekday() == 6

app = App("churn")

@app.on(cron("30 3 * * *", timezone="Europe/Berlin", exclude={"SAT"}, jitter=600))
def nightly(event: Tick) -> None: ...

@app.on(every(days=1, exclude=closed), overlap="skip")
def daily(event: Tick) -> None: ...

@app.on(every(weeks=1, end="2001-01-01"))
def over(event: Tick) -> None: ...
"""
MINUTELY = """
from triggers import App, Tick

class Minutely:
    def next(self, after):
        return int(after) // 60 * 60 + 60

    def latest(self, after, until):
        due = until // 60 * 60
        return due if due > after else None

    def __str__(self):
        return "minutely"

app = App("own")

@app.on(Minutely())
def minutely(event: Tick) -> None: ...
"""
WEEK = ("--from", "2026-01-01T00:00Z", "--to", "2026-01-08T00:00Z")


@pytest.fixture
def times(project: Project) -> Project:
    project.write("app.py", TIMES)
    assert project("run", "app.py", "--drain").code == 0
    return project


def ticks(project: Project) -> list[tuple[str, str, bool]]:
    events = project("events", "--type", "Tick", "--json").data
    return [(event["subject"], event["data"]["due"], event["data"]["backfill"]) for event in events]


def test_schedule_lists_the_next_firings_in_their_zones_and_in_utc(times: Project) -> None:
    answer = times("schedule", "app.py", "--count", "3")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].split() == ["ROUTE", "FIRES", "IN", "UTC", "SCHEDULE"]
    assert len(lines) == 7
    nightly = [line for line in lines if line.startswith("nightly")]
    assert all(re.search(r"03:30:00 +Europe/Berlin +\S+T0[12]:30:00Z \+", line) for line in nightly)
    assert "over does not fire any more" in answer.err


def test_schedule_lists_a_class_of_ones_own_that_has_next_and_latest(project: Project) -> None:
    project.write("app.py", MINUTELY)
    answer = project("schedule", "app.py", "--count", "3")
    assert (answer.code, answer.err) == (0, "")
    assert [line.split()[-1] for line in answer.out.splitlines()] == ["SCHEDULE", "minutely", "minutely", "minutely"]


def test_schedule_gives_json(times: Project) -> None:
    found = times("schedule", "app.py", "--count", "2", "--route", "nightly", "--json").data
    assert len(found) == 2
    first = found[0]
    assert (first["route"], first["timezone"], first["paused"]) == ("nightly", "Europe/Berlin", None)
    assert first["local"][11:16] == "03:30"
    assert first["due"] < first["released"]
    assert first["schedule"] == "cron(30 3 * * *, Europe/Berlin) except SAT in Europe/Berlin"


def test_schedule_names_what_is_not_there(times: Project) -> None:
    answer = times("schedule", "app.py", "--route", "nighty")
    assert (answer.code, answer.err) == (3, "error: app 'churn' has no schedule 'nighty'; did you mean 'nightly'?\n")
    answer = times("schedule", "pause", "nighty")
    assert (answer.code, answer.err) == (3, "error: the app has no schedule 'nighty'; did you mean 'nightly'?\n")


def test_more_firings_than_anybody_reads_are_not_listed(times: Project) -> None:
    answer = times("schedule", "app.py", "--count", "1000000")
    assert (answer.code, answer.out) == (2, "")
    assert "--count 1,000,000 of 3 schedules would be 3,000,000 firings, and 100,000 are the most" in answer.err
    assert times("schedule", "app.py", "--count", "100000", "--route", "over").code == 0


def test_a_calendar_that_raises_is_told_by_every_command_and_stops_its_own_schedule_only(project: Project) -> None:
    project.write("app.py", AWAY)
    said = "does not say when it fires: ValueError('calendar server away')"
    check = project("check", "app.py")
    assert check.code == 0
    assert f"warning: route 'bad': every(1d) except app.closed {said}" in check.out
    for more in ((), ("--json",)):
        listed = project("schedule", "app.py", *more)
        assert (listed.code, listed.err) == (0, f"warning: schedule 'bad' {said}\n")
        assert listed.out.count("good") == 5
    assert project("run", "app.py", "--drain").code == 0
    refused = project("backfill", "bad", *WEEK, "--app", "app.py")
    assert (refused.code, refused.err) == (4, f"error: schedule 'bad' {said}\n")


AWAY = """
from datetime import date
from triggers import App, Tick, every

def closed(day: date) -> bool:
    raise ValueError("calendar server away")

app = App("churn")

@app.on(every(days=1, exclude=closed))
def bad(event: Tick) -> None: ...

@app.on(every(days=1))
def good(event: Tick) -> None: ...
"""


def test_an_app_without_schedules_is_told_so(project: Project) -> None:
    assert "has no schedules" in project("schedule", "app.py").err


def test_a_paused_schedule_is_shown_as_such_until_it_is_resumed(times: Project) -> None:
    times("schedule", "pause", "nightly")
    times("run", "app.py", "--drain")
    assert "(paused since" in times("schedule", "app.py").out
    assert "has been paused since" in times("why", "nightly").out
    again = times("schedule", "pause", "nightly", "--json")
    assert again.data == {"schedule": "nightly", "paused": True, "taken_in": False}
    times("schedule", "resume", "nightly")
    times("run", "app.py", "--drain")
    assert "paused" not in times("schedule", "app.py").out
    assert "except SAT in Europe/Berlin fires next at" in times("why", "nightly").out


def test_a_running_app_is_paused_at_once(times: Project, start: Callable[..., Any]) -> None:
    process = start("run", "app.py")
    process.until("runs with")
    assert times("schedule", "pause", "nightly").out == "nightly is paused\n"
    assert times("schedule", "pause", "nightly").out == "nightly is paused, as it was before\n"
    assert times("backfill", "nightly", *WEEK, "--yes").out.startswith("fired 6 instants of nightly: e")


def test_why_says_of_a_schedule_when_it_fires_or_where_to_look(times: Project) -> None:
    text = "daily: it fires by every(1d) except app.closed; `triggers schedule MODULE` says when\n"
    assert times("why", "daily").out == text
    assert "does not fire any more" in times("why", "over").out


def test_a_backfill_lists_first_and_fires_when_told_to(times: Project) -> None:
    listed = times("backfill", "nightly", *WEEK)
    assert listed.out.count(" yes") == 6
    assert "6 of 6 instants would fire; add --yes to do it" in listed.err
    assert ticks(times) == []
    times("backfill", "nightly", *WEEK, "--yes")
    times("run", "app.py", "--drain")
    assert ticks(times) == [("nightly", f"2026-01-0{day}T02:30:00Z", True) for day in (1, 2, 4, 5, 6, 7)]
    assert "nightly 2026-01-01T02:30:00Z (backfill)" in times("events").out
    assert [run["state"] for run in times("runs", "--json").data] == ["done"] * 6


def test_an_instant_that_has_fired_is_not_fired_twice_unless_asked_to(times: Project) -> None:
    for _ in range(2):
        times("backfill", "nightly", *WEEK, "--yes")  # both are handed in before either is carried out
    times("run", "app.py", "--drain")
    assert len(ticks(times)) == 6
    answer = times("backfill", "nightly", *WEEK, "--yes")
    assert "all of it has fired, --again does it once more" in answer.err
    fired = times("backfill", "nightly", *WEEK, "--json").data
    assert [one["would_fire"] for one in fired] == [False] * 6
    assert fired[0]["fired"].startswith("e")
    times("backfill", "nightly", *WEEK, "--yes", "--again")
    times("run", "app.py", "--drain")
    assert len(ticks(times)) == 12


def test_a_backfill_runs_all_that_it_fires_whatever_overlap_says(times: Project) -> None:
    times("backfill", "daily", *WEEK, "--app", "app.py", "--yes")
    times("run", "app.py", "--drain")
    assert [run["state"] for run in times("runs", "--route", "daily", "--json").data] == ["done"] * 6


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nighty", *WEEK), 3, "the app has no schedule 'nighty'; did you mean 'nightly'?"),
        (("nightly", "--from", "2026-01-02", "--to", "2026-01-01"), 2, "is no range of the past"),
        (("nightly", "--from", "2026-01-02", "--to", "2199-01-01"), 2, "is no range of the past"),
        (("nightly",), 2, "Missing option '--from'"),
        (
            ("daily", *WEEK),
            2,
            "of 'every(1d) except app.closed' only the app itself has the calendar, or the schedule",
        ),
        (("nighty", *WEEK, "--app", "app.py"), 3, "app 'churn' has no schedule 'nighty'; did you mean 'nightly'?"),
    ],
)
def test_a_backfill_that_cannot_be_is_refused(
    times: Project, arguments: tuple[str, ...], code: int, message: str
) -> None:
    answer = times("backfill", *arguments)
    assert answer.code == code
    assert message in answer.err


def test_a_range_in_which_nothing_lies_is_told_as_such(times: Project) -> None:
    answer = times("backfill", "over", "--from", "2020-01-01", "--to", "2020-02-01")
    assert (answer.code, answer.err) == (0, "no instant lies in that range\n")

"""What `triggers check` foresees of windows and deadlines."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life
from triggers import App, Batch, Event, Prices, Tick, Window, cron
from triggers.check.foresight import foreseen
from triggers.state import StateFolder
from triggers.testing import FakeClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = 3600.0


class Job(Event):
    n: int = 0


def app_with(**options: Any) -> App:
    app = App("a")

    @app.on(Job, **options)
    async def job(event: Job) -> None: ...

    return app


def having_taken(folder: Path, *hours: float) -> Path:
    """Make a journal in which runs have taken so long."""
    life = Life(app_with(), folder, FakeClock(NOON))
    for length in hours:
        (number,) = life.append(Job())
        life.settle()
        life.ask("UPDATE run SET ended = started + ?, took = ? WHERE event = ?", length * HOUR, length * HOUR, number)
    life.stop()
    return folder


def found(app: App, folder: Path) -> list[tuple[bool, str]]:
    return [(one.error, one.message) for one in foreseen(app, StateFolder(folder), NOON.timestamp())]


def test_work_that_is_known_to_fit_no_opening_is_refused(tmp_path: Path) -> None:
    folder = having_taken(tmp_path / "state", *[9.0] * 6)
    ((error, message),) = found(app_with(window="22:00-06:00"), folder)
    assert error
    assert message.startswith(
        "route 'job': its runs take up to 9 h 0 min, by those that ended last, which fits no opening of"
    )


@pytest.mark.parametrize("name", ["deadline", "expires"])
@pytest.mark.parametrize(("seconds", "warned"), [(3599, True), (3600, False)])
def test_a_moment_that_is_shorter_than_its_events_may_take_to_come_together_is_warned_of(
    tmp_path: Path, name: str, seconds: float, warned: bool
) -> None:
    options: Any = {name: seconds}
    app = App("a")

    @app.on(Job, batch=Batch(100, within=HOUR), **options)
    async def job(events: list[Job]) -> None: ...

    said = f"route 'job': {name}=3599 s is reckoned from when its events have come together, which may be 3600 s after"
    assert [(error, message.startswith(said)) for error, message in found(app, tmp_path)] == [(False, True)] * warned


@pytest.mark.parametrize("options", [{"window": "20:00-06:00"}, {"window": "22:00-06:00", "deadline": "09:00"}, {}])
def test_work_that_fits_or_has_a_deadline_or_no_window_is_not(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = having_taken(tmp_path / "state", *[9.0] * 6)
    assert [one for one in found(app_with(**options), folder) if one[0]] == []


def test_what_has_run_too_seldom_says_nothing(tmp_path: Path) -> None:
    folder = having_taken(tmp_path / "state", 9.0)
    assert found(app_with(window="22:00-06:00"), folder) == []
    assert found(app_with(window="22:00-06:00"), tmp_path / "nothing") == []


def test_a_deadline_before_the_window_opens_is_warned_of_with_an_example(tmp_path: Path) -> None:
    ((error, message),) = found(app_with(window="22:00-06:00", deadline=2 * HOUR), tmp_path)
    assert not error
    assert "its deadline (7200 s) comes in 105 of the 168 hours of a week before its window 22:00-06:00 UTC" in message
    assert "as for what arrives on Thu 12:00 UTC; such runs start outside the window" in message
    assert found(app_with(window="22:00-06:00", deadline=24 * HOUR), tmp_path) == []


NIGHT = "22:00-06:00"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"window": NIGHT, "expires": 2 * HOUR},
            "it expires (expires=7200 s) in 105 of the 168 hours of a week before its window 22:00-06:00 UTC opens, as"
            " for what arrives on Thu 12:00 UTC; such runs are dropped without having started",
        ),
        (
            {"not_before": "07:00", "deadline": "06:00"},
            "its deadline (06:00 UTC) comes in 161 of the 168 hours of a week before not_before=07:00 UTC",
        ),
        (
            {"not_before": 20 * HOUR, "expires": "12:00"},
            "it expires (expires=12:00 UTC) in 140 of the 168 hours of a week before not_before=72000 s",
        ),
        (
            {"window": NIGHT, "price": Prices(float, within=HOUR)},
            "it may wait for its price for 3600 s after its event, which are over in 112 of the 168 hours of a week",
        ),
    ],
)
def test_times_that_contradict_each_other_at_some_hours_are_warned_of(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    ((error, message),) = found(app_with(**options), tmp_path)
    assert not error
    assert words in message


def test_what_expires_at_whatever_hour_before_it_may_start_is_an_error(tmp_path: Path) -> None:
    ((error, message),) = found(app_with(not_before="07:00", window=NIGHT, expires="12:00"), tmp_path)
    assert error
    assert "(expires=12:00 UTC) always before its window 22:00-06:00 UTC opens after not_before=07:00 UTC" in message


def test_an_opening_between_two_hours_is_not_overlooked(tmp_path: Path) -> None:
    ((error, message),) = found(app_with(window="12:10-12:50", expires=600), tmp_path)
    assert not error
    assert "in 168 of the 168 hours of a week" in message


def test_what_a_schedule_fires_is_looked_at_when_it_fires(tmp_path: Path) -> None:
    def fired(hours: str) -> App:
        app = App("a")

        @app.on(cron(f"0 {hours} * * *"), window=NIGHT, expires=HOUR)
        async def job(event: Tick) -> None: ...

        return app

    assert found(fired("23"), tmp_path) == []
    assert found(fired("12,23"), tmp_path)[0][1].startswith(
        "route 'job': it expires (expires=3600 s) at 50 of its next"
    )
    assert found(fired("12"), tmp_path)[0][0] is True


WEEK = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@pytest.mark.parametrize(("deadline", "then"), [(None, "wait"), ("2h", "start for their deadlines alone")])
def test_a_window_whose_last_day_is_over_is_told_of(tmp_path: Path, deadline: str | None, then: str) -> None:
    window = Window("00:00-24:00", exclude=WEEK, include={"2025-12-24"})
    ((error, message),) = found(app_with(window=window, deadline=deadline), tmp_path)
    assert error == (deadline is None)
    assert f"does not open any more, so that its runs {then}; give it days to come" in message

"""A schedule in EventBridge Scheduler's words fires when the schedule does, or is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import islice
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers import App, Tick, at, cron, every
from triggers.aws import wire
from triggers.aws.template import expressions
from triggers.aws.template.expressions import Timing
from triggers.aws.template.problems import Problems
from triggers.aws.template.schedules import DUE, tick
from triggers.errors import ScheduleError, WiringError
from triggers.routing import Route
from triggers.schedule import Schedule
from triggers.schedule import firings as schedule_firings
from triggers.sources.timer import backfilled

BEGIN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
RATE = re.compile(r"rate\(([0-9]+) (minute|hour|day)(s?)\)")


def timer(schedule: Schedule) -> Route:
    app = App("a")

    @app.on(schedule)
    def nightly(event: Tick) -> None: ...

    return app.routes["nightly"]


def timing(schedule: Schedule, now: float | None = None) -> Timing:
    return expressions.timing(timer(schedule), now, Problems())


def firings(found: Timing, most: int) -> list[float]:
    """Return when expressions fire, by our own reading of EventBridge's cron texts."""
    each = [islice(schedule_firings(cron(text, timezone=found.timezone), BEGIN, inf), most) for text in found.texts]
    return sorted({moment for moments in each for moment in moments})[:most]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high)
    span = st.tuples(value, value).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(1, high - low)).map(lambda two: f"{two[0]}/{two[1]}")
    return st.one_of(
        st.just("*"), st.lists(st.one_of(value.map(str), span, stepped), min_size=1, max_size=2).map(",".join)
    )


TEXTS = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).map(" ".join)


@given(TEXTS, st.sampled_from(["UTC", "Europe/Berlin"]))
def test_a_cron_text_fires_in_schedulers_words_when_it_does_in_ours(text: str, timezone: str) -> None:
    try:
        schedule = cron(text, timezone=timezone)
    except ScheduleError:  # it never fires, as on the 31st of February
        return
    try:
        found = timing(schedule)
    except WiringError as error:
        if "both the day and the weekday must match" in str(error):
            return
        raise
    assert firings(found, 20) == list(islice(schedule_firings(schedule, BEGIN, inf), 20))
    assert all(len(one) <= 256 and one.count("?") == 1 and len(one.split()) == 6 for one in found.texts)


@given(st.integers(1, 3000))
def test_an_interval_is_a_text_that_fires_with_it_or_a_rate_of_its_length(minutes: int) -> None:
    schedule = every(minutes=minutes)
    [text] = timing(schedule).texts
    if rate := RATE.fullmatch(text):
        size = {"minute": 1, "hour": 60, "day": 1440}[rate[2]]
        assert int(rate[1]) * size == minutes
        assert bool(rate[3]) == (rate[1] != "1")
    else:
        assert firings(timing(schedule), 50) == list(islice(schedule_firings(schedule, BEGIN, inf), 50))


@pytest.mark.parametrize(
    ("schedule", "texts"),
    [
        (cron("0 6 * * MON-FRI"), ["cron(0 6 ? * MON-FRI *)"]),
        (cron("0 6 30 2 MON"), ["cron(0 6 ? 2 MON *)"]),
        (cron("0 6 2 * 0-6"), ["cron(0 6 * * ? *)"]),
        (cron("0 6 * * 5-7"), ["cron(0 6 ? * SUN,FRI-SAT *)"]),
        (cron("*/15 8-17 * * *"), ["cron(0,15,30,45 8-17 * * ? *)"]),
        (cron("0 0 1 * MON"), ["cron(0 0 1 * ? *)", "cron(0 0 ? * MON *)"]),
        (cron("0 8 ? * 6L *"), ["cron(0 8 ? * 6L *)"]),
        (every(minutes=5), ["cron(0/5 * * * ? *)"]),
        (every(minutes=1), ["cron(* * * * ? *)"]),
        (every(hours=1), ["cron(0 * * * ? *)"]),
        (every(hours=6), ["cron(0 0/6 * * ? *)"]),
        (every(days=1), ["cron(0 0 * * ? *)"]),
        (every(weeks=1), ["cron(0 0 ? * THU *)"]),
        (every(minutes=7), ["rate(7 minutes)"]),
        (every(hours=36), ["rate(36 hours)"]),
        (every(days=2), ["rate(2 days)"]),
        (at("2026-12-24T18:00:00", timezone="Europe/Berlin"), ["at(2026-12-24T17:00:00)"]),
    ],
    ids=str,
)
def test_schedules_are_written_so(schedule: Schedule, texts: list[str]) -> None:
    assert list(timing(schedule).texts) == texts


def test_a_text_is_read_in_its_own_time_zone() -> None:
    assert timing(cron("0 6 * * *", timezone="Europe/Berlin")).timezone == "Europe/Berlin"
    assert timing(cron("0 6 * * *", timezone="Europe/Berlin", jitter=30)).timezone == "Europe/Berlin"


def test_a_rate_is_told_to_begin_when_it_is_deployed() -> None:
    problems = Problems()
    expressions.timing(timer(every(minutes=7)), None, problems)
    assert "which Scheduler counts from when the schedule is made" in problems.notes[0]


def test_jitter_is_told_to_be_aws_own() -> None:
    problems = Problems()
    expressions.timing(timer(cron("0 6 * * *", jitter=90)), None, problems)
    assert "jitter=90: Scheduler chooses the moment itself, in a window of 2 min" in problems.notes[0]


def test_jitter_is_a_flexible_window_of_whole_minutes() -> None:
    window = timing(cron("0 6 * * *", jitter=90)).options["FlexibleTimeWindow"]
    assert window == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 2}
    assert timing(cron("0 6 * * *")).options["FlexibleTimeWindow"] == {"Mode": "OFF"}


def test_the_end_is_the_first_moment_that_may_not_fire() -> None:
    options = timing(cron("0 6 * * *", start="2026-02-01", end="2026-03-01")).options
    assert (options["StartDate"], options["EndDate"]) == ("2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z")


def test_a_start_that_is_past_is_left_out_because_aws_refuses_it() -> None:
    schedule = cron("0 6 * * *", start="2026-02-01")
    assert "StartDate" not in timing(schedule, datetime(2026, 2, 2, tzinfo=UTC).timestamp()).options
    assert "StartDate" in timing(schedule, datetime(2026, 1, 2, tzinfo=UTC).timestamp()).options


class Lunar(Schedule):
    def next(self, after: float) -> float | None:
        return None

    def latest(self, after: float, until: float) -> float | None:
        return None


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (every(seconds=90), r"whole minutes; write e\.g\. every\(minutes=1\)"),
        (every(seconds=5), r"whole minutes; write e\.g\. every\(minutes=1\)"),
        (
            cron("0 6 * * *", exclude={"SAT"}),
            "Scheduler knows no days that are excluded; say the days in the cron text",
        ),
        (cron("0 0 */2 * MON"), "both the day and the weekday must match"),
        (at(datetime.fromtimestamp(BEGIN + 0.5, UTC)), "whole seconds only"),
        (cron("0 6 * * *", jitter=100_000), "jitter=100000 is more than the day"),
        (Lunar(), "is a schedule of your own, which AWS does not know; use cron, every or at"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else type(value).__name__,
)
def test_what_scheduler_has_no_words_for_is_refused(schedule: Schedule, reason: str) -> None:
    with pytest.raises(WiringError, match=rf"^route 'nightly': .*{reason}"):
        timing(schedule)


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}),
        ({"missed": "skip"}, {"MaximumRetryAttempts": 0}),
        ({"missed": "all"}, {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}),
        ({"missed_within": 600}, {"MaximumEventAgeInSeconds": 600, "MaximumRetryAttempts": 185}),
        ({"missed_within": 5}, {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 185}),
    ],
)
def test_what_fires_of_the_missed_is_how_long_scheduler_tries(options: Any, policy: dict[str, int]) -> None:
    assert expressions.retrying(timer(cron("0 6 * * *", **options)), Problems()) == policy


def test_what_a_schedule_sends_is_the_tick_that_a_timer_delivers() -> None:
    sent = tick("nightly").replace(DUE, "2026-01-01T03:00:00Z")
    read = wire.read(sent.encode(), now=0.0)
    due = datetime(2026, 1, 1, 3, tzinfo=UTC).timestamp()
    delivered = backfilled("nightly", due)
    assert (read.id, read.source, read.type, read.subject, read.time, read.version) == (
        delivered.id,
        delivered.source,
        delivered.type,
        delivered.subject,
        delivered.time,
        delivered.version,
    )
    assert read.data == delivered.data.replace('"backfill":true', '"backfill":false')

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from triggers.aws.clients import connected
from triggers.aws.firing import Firing, expression
from triggers.errors import ScheduleError
from triggers.testing import FakeClock


class Scheduled:
    """A group of schedules that go to a queue, and a clock to fire them by."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.scheduler, self.sqs = boto3.client("scheduler"), boto3.client("sqs")
        self.scheduler.create_schedule_group(Name=name)
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.clock = FakeClock(datetime.now(UTC))

    def make(self, expression: str, name: str = "one", *, queue: str | None = None, **options: Any) -> None:
        self.scheduler.create_schedule(
            Name=name,
            GroupName=self.name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": f"arn:aws:sqs:us-east-1:123456789012:{queue or self.name}",
                "RoleArn": "arn:aws:iam::123456789012:role/r",
                "Input": "due <aws.scheduler.scheduled-time>",
            },
            **options,
        )

    def look(self, *later: float) -> list[str]:
        """Look now and after each of the times, in seconds, and return what was sent."""

        async def look() -> None:
            async with connected("scheduler") as scheduler, connected("sqs") as sqs:
                firing = Firing(scheduler, sqs, self.name, self.clock)
                await firing.look()
                for seconds in later:
                    self.clock.set_wall(datetime.fromtimestamp(self.clock.now() + seconds, UTC))
                    await firing.look()

        asyncio.run(look())
        return self.sent()

    def sent(self) -> list[str]:
        """Return what lies in the queue, and take it out."""
        sent = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            sent += [message["Body"] for message in messages]
        return sorted(sent)

    def names(self) -> list[str]:
        return [one["Name"] for one in self.scheduler.list_schedules(GroupName=self.name)["Schedules"]]


@pytest.fixture
def scheduled(endpoint: str, unique: str) -> Scheduled:
    return Scheduled(unique)


def test_a_rate_fires_after_each_interval_since_it_was_made(scheduled: Scheduled) -> None:
    scheduled.make("rate(1 minute)")
    assert len(scheduled.look(40, 50, 60, 120)) == 4


def test_a_schedule_names_the_instant_that_was_due_and_not_that_of_its_firing(scheduled: Scheduled) -> None:
    due = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0, tzinfo=None)
    scheduled.make(f"at({due.isoformat()})")
    assert scheduled.look(3000, 700, 60) == [f"due {due.isoformat()}Z"]


def test_a_schedule_that_asks_for_it_is_deleted_once_it_has_fired(scheduled: Scheduled) -> None:
    due = (datetime.now(UTC) + timedelta(minutes=1)).replace(microsecond=0, tzinfo=None)
    scheduled.make(f"at({due.isoformat()})", ActionAfterCompletion="DELETE")
    scheduled.make("rate(1 day)", name="other")
    scheduled.look(90)
    assert scheduled.names() == ["other"]


def test_a_schedule_that_is_disabled_or_over_does_not_fire(scheduled: Scheduled) -> None:
    scheduled.make("rate(1 minute)", State="DISABLED")
    scheduled.make("rate(1 minute)", name="over", EndDate=datetime.now(UTC) + timedelta(seconds=90))
    assert len(scheduled.look(60, 60, 60)) == 1


def test_a_schedule_that_is_made_in_between_is_fired(scheduled: Scheduled) -> None:
    async def look() -> None:
        async with connected("scheduler") as scheduler, connected("sqs") as sqs:
            firing = Firing(scheduler, sqs, scheduled.name, scheduled.clock)
            await firing.look()
            await asyncio.to_thread(scheduled.make, "rate(1 minute)")
            await firing.look()
            scheduled.clock.set_wall(datetime.fromtimestamp(scheduled.clock.now() + 110, UTC))
            await firing.look()

    asyncio.run(look())
    assert len(scheduled.sent()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("banana", "is no schedule expression; write cron"),
        ("rate(5 weeks)", "the units are minutes, hours and days"),
        ("rate(0 minutes)", "write a rate as rate\\(5 minutes\\)"),
        ("cron(0 0 * * * *)", "cron"),
    ],
)
def test_an_expression_that_scheduler_would_not_take_is_refused(text: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        expression(text, "UTC")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "triggers.firing"]


def test_a_schedule_that_fails_is_named_once_and_the_others_fire(
    scheduled: Scheduled, caplog: pytest.LogCaptureFixture
) -> None:
    for name, queue in (("lost", "gone"), ("well", None), ("zealous", None)):
        scheduled.make("rate(1 minute)", name=name, queue=queue)
    assert len(scheduled.look(70, 1, 1)) == 2
    [said] = told(caplog)
    assert said.startswith("schedule 'lost': queue 'gone' does not exist in this account and region; ")


def test_a_schedule_that_is_deleted_is_forgotten_and_told_of_anew_if_it_is_made_again(
    scheduled: Scheduled, caplog: pytest.LogCaptureFixture
) -> None:
    async def look() -> None:
        async with connected("scheduler") as scheduler, connected("sqs") as sqs:
            firing = Firing(scheduler, sqs, scheduled.name, scheduled.clock)
            for _ in range(2):
                await asyncio.to_thread(scheduled.make, "rate(5 weeks)")
                await firing.look()
                await asyncio.to_thread(scheduled.scheduler.delete_schedule, Name="one", GroupName=scheduled.name)
                await firing.look()

    asyncio.run(look())
    assert len(told(caplog)) == 2


class Away:
    """A scheduler that cannot be reached."""

    def get_paginator(self, operation: str) -> Any:
        raise EndpointConnectionError(endpoint_url="http://nowhere")


def test_schedules_that_cannot_be_listed_are_looked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> None:
        firing = Firing(Away(), None, "churn", FakeClock())
        await firing.look()
        await firing.look()

    asyncio.run(look())
    [said] = told(caplog)
    assert said.startswith("schedules of 'churn': Could not connect to the endpoint URL")


def test_moto_itself_never_fires(scheduled: Scheduled) -> None:
    past = datetime.now(UTC).replace(microsecond=0, tzinfo=None) - timedelta(minutes=1)
    scheduled.make(f"at({past.isoformat()})")
    reply = scheduled.sqs.receive_message(QueueUrl=scheduled.url, WaitTimeSeconds=2)
    assert "Messages" not in reply

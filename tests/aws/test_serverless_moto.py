"""A function over moto's table, bus, queues and scheduler: that what it asks of AWS is what AWS takes."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from tests.aws.deployed import Clock, Invocation, batch, create_table, on_the_bus, row
from tests.aws.memory import Killed, Life, Mortal, plain
from triggers import App, Event, Later, Retry
from triggers.aws import direct, names, wire
from triggers.aws.arrivals import Arrivals
from triggers.aws.bus import Bus
from triggers.aws.clients import client
from triggers.aws.handback import Deployment, HandBack
from triggers.aws.records import Records
from triggers.aws.runs import Runs
from triggers.aws.server import ACCOUNT, REGION
from triggers.aws.serverless import Function
from triggers.routing import Router


class Processed(Event):
    n: int


class Trained(Event):
    n: int


class Emulated:
    """The things of one app in moto."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.clock = Clock()
        self.clients = {name: client(name) for name in ("dynamodb", "events", "sqs", "scheduler")}
        self.sqs = self.clients["sqs"]
        self.direct = [direct.client(name) for name in ("dynamodb", "events")]
        create_table(self.clients["dynamodb"], app.name)
        self.clients["events"].create_event_bus(Name=names.bus(app.name))
        self.clients["scheduler"].create_schedule_group(Name=names.schedules(app.name))

    def queue(self, route: str, kind: type[Event] | None = None) -> str:
        """Make a route's queue, and a rule that fills it with events of a type. Return its URL."""
        name = names.queue(self.app.name, route)
        url: str = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        if kind:
            rule, bus = names.rule(self.app.name, route), names.bus(self.app.name)
            pattern = json.dumps({"detail-type": [kind.__event_type__], "source": [names.event_source(self.app.name)]})
            self.clients["events"].put_rule(Name=rule, EventBusName=bus, EventPattern=pattern)
            target = {"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"}
            self.clients["events"].put_targets(Rule=rule, EventBusName=bus, Targets=[target])
        return url

    def received(self, route: str) -> list[dict[str, Any]]:
        """Return what waits in a route's queue, as Lambda would hand it over."""
        name = names.queue(self.app.name, route)
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        got = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]).get("Messages", [])
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
            }
            for message in got
        ]

    def left(self, url: str) -> int:
        """Return how many messages a queue has, those counted that are hidden."""
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        return sum(int(found[name]) for name in wanted)

    def call(self, payload: object, life: Life | None = None) -> Any:
        """Call a function in a new environment."""
        life, app, router = life or Life(), self.app, Router(self.app.routes.values())
        called = *self.direct, self.sqs, self.clients["scheduler"]
        table, bus, sqs, scheduler = (Mortal(one, life) for one in called)
        role = f"arn:aws:iam::{ACCOUNT}:role/schedules"
        deployment = Deployment.of(app.name, f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f", role)
        records = Records(table, names.table(app.name), 30)
        runs = Runs(app, router, records, Bus(lambda: bus, app.name), deployment.journal, now=self.clock)
        hand_back = HandBack(lambda: sqs, lambda: scheduler, deployment)
        function = Function(Arrivals(app, router), runs, records, hand_back, now=self.clock)
        return function(payload, Invocation(self.clock, 60, "request"))

    def records(self) -> list[dict[str, Any]]:
        items = self.clients["dynamodb"].scan(TableName=names.table(self.app.name), ConsistentRead=True)["Items"]
        return [plain(item) for item in items if item["part"]["S"] == "run"]


@pytest.fixture
def app(endpoint: str, unique: str) -> App:
    return App(unique, retry=Retry(attempts=3, initial=10, jitter=False))


def test_a_chain_goes_from_queue_to_queue_by_way_of_the_bus(app: App) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return Trained(n=event.n + 1)

    seen = []

    @app.on(Trained)
    def deploy(event: Trained) -> None:
        seen.append(event.n)

    aws = Emulated(app)
    url = aws.queue("train")
    aws.queue("deploy", Trained)
    aws.sqs.send_message(QueueUrl=url, MessageBody=on_the_bus(row(Processed(n=1))))
    assert aws.call(batch(*aws.received("train"))) == {"batchItemFailures": []}
    assert aws.call(batch(*aws.received("deploy"))) == {"batchItemFailures": []}
    assert seen == [2]
    records = {record["route"]: record for record in aws.records()}
    assert {route: record["state"] for route, record in records.items()} == {"train": "done", "deploy": "done"}
    assert records["train"]["root"] == records["deploy"]["root"] == f"e{wire.number_of('test', '1')}"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("calls", range(1, 6))
def test_a_function_that_is_killed_anywhere_loses_nothing(app: App, calls: int, after: bool) -> None:
    keys = set()

    @app.on(Processed)
    def train(event: Processed) -> Trained:
        keys.add(event.n)
        return Trained(n=event.n + 1)

    aws = Emulated(app)
    aws.queue("deploy", Trained)
    direct = json.loads(wire.write(row(Processed(n=1))))
    with pytest.raises(Killed):
        aws.call(direct, Life(calls, after=after))
    aws.clock.now += 3600
    assert [run["state"] for run in aws.call(direct)["runs"]] == ["done"]
    assert keys == {1}
    assert len({json.loads(message["body"])["detail"]["id"] for message in aws.received("deploy")}) == 1
    [record] = aws.records()
    assert (record["state"], record["published"]) == ("done", True)


def test_a_message_that_waits_is_hidden_and_one_that_waits_for_days_is_scheduled(app: App) -> None:
    waits = [Later(seconds=30), Later(days=2)]

    @app.on(Processed)
    def train(event: Processed) -> None:
        raise waits.pop(0)

    aws = Emulated(app)
    url = aws.queue("train")
    aws.sqs.send_message(QueueUrl=url, MessageBody=on_the_bus(row(Processed(n=1))))
    [message] = aws.received("train")
    assert len(aws.call(batch(message))["batchItemFailures"]) == 1
    assert aws.received("train") == []
    aws.clock.now += 30
    assert aws.call(batch(message)) == {"batchItemFailures": []}
    [schedule] = aws.clients["scheduler"].list_schedules(GroupName=names.schedules(app.name))["Schedules"]
    assert schedule["Target"]["Arn"].endswith(names.queue(app.name, "train"))


def test_many_large_events_are_kept_in_parts_and_come_back_whole(app: App) -> None:
    @app.on(Processed)
    def train(event: Processed) -> list[Large]:
        return [Large(n=n, text="é" * 60_000) for n in range(7)]

    aws = Emulated(app)
    direct = json.loads(wire.write(row(Processed(n=1))))
    with pytest.raises(Killed):
        aws.call(direct, Life(6))  # claim, three parts, settle: the bus has nothing yet
    aws.queue("large", Large)
    aws.call(direct)
    got = [json.loads(message["body"])["detail"]["data"] for message in aws.received("large")]
    assert sorted(data["n"] for data in got) == list(range(7))


class Large(Event):
    n: int
    text: str


def test_a_table_that_is_not_there_is_said(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None: ...

    aws = Emulated(app)
    aws.queue("train")
    boto3.client("dynamodb").delete_table(TableName=names.table(app.name))
    url = aws.sqs.get_queue_url(QueueName=names.queue(app.name, "train"))["QueueUrl"]
    aws.sqs.send_message(QueueUrl=url, MessageBody=on_the_bus(row(Processed(n=1))))
    assert len(aws.call(batch(*aws.received("train")))["batchItemFailures"]) == 1
    assert f"table '{names.table(app.name)}' does not exist in this account and region" in caplog.text

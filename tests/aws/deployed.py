"""An app deployed in memory: what outlives its functions, and functions that may be killed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

from tests.aws.memory import EventBus, Life, Mortal, Queue, Scheduler, Table
from triggers import App, Event
from triggers.aws import names, wire
from triggers.aws.arrivals import Arrivals
from triggers.aws.bus import Bus
from triggers.aws.handback import Deployment, HandBack
from triggers.aws.records import Records
from triggers.aws.runs import Runs
from triggers.aws.serverless import Function
from triggers.aws.template import table as template
from triggers.events import encode
from triggers.lineage import BUDGET, EventRow
from triggers.routing import Router

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:churn"
ROLE = "arn:aws:iam::123456789012:role/schedules"


class Invocation:
    """What Lambda hands over beside the payload; `left` are the seconds that a call has."""

    def __init__(self, clock: Clock, left: float, request: str) -> None:
        self.aws_request_id = request
        self.invoked_function_arn = ARN
        self._clock = clock
        self._until = clock.now + left

    def get_remaining_time_in_millis(self) -> int:
        return int((self._until - self._clock.now) * 1000)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Deployed:
    """Table, bus, queue and scheduler of an app; every call is made to a function of its own unless one is given."""

    def __init__(self, app: App, *, role: str | None = ROLE, only: Sequence[str] | None = None) -> None:
        self.app = app
        self.clock = Clock()
        self.table, self.bus, self.queue, self.scheduler = Table(), EventBus(), Queue(), Scheduler()
        self._role = role
        self._only = only
        self._requests = count(1)
        self._functions: list[Runs] = []

    def function(self, life: Life | None = None) -> Function:
        """Return a function in a new environment."""
        life = life or Life()
        table, bus, queue, scheduler = (
            Mortal(client, life) for client in (self.table, self.bus, self.queue, self.scheduler)
        )
        router = Router(self.app.routes.values())
        deployment = Deployment.of(self.app.name, ARN, self._role)
        records = Records(table, names.table(self.app.name), 30)
        on_bus = Bus(lambda: bus, self.app.name, sleep=lambda seconds: None)
        runs = Runs(self.app, router, records, on_bus, deployment.journal, now=self.clock, sleep=self.clock.sleep)
        self._functions.append(runs)
        hand_back = HandBack(lambda: queue, lambda: scheduler, deployment)
        return Function(Arrivals(self.app, router, self._only), runs, records, hand_back, now=self.clock)

    def call(self, payload: object, *, left: float = 60.0, life: Life | None = None) -> dict[str, Any]:
        return self.function(life)(payload, Invocation(self.clock, left, f"request-{next(self._requests)}"))

    def failures(self, payload: object, **options: Any) -> list[str]:
        """Call with a queue's batch, and return which of its messages are handed back."""
        return [item["itemIdentifier"] for item in self.call(payload, **options)["batchItemFailures"]]

    def published(self) -> list[EventRow]:
        """Return the events on the bus."""
        return [wire.read(entry["Detail"].encode(), 0.0) for entry in self.bus.entries]

    def close(self) -> None:
        for runs in self._functions:
            runs.close()


def create_table(client: Any, app: str) -> None:
    """Make the table of an app's run records, with the indexes that the template gives it."""
    made = template.table(app)["Properties"]
    taken = ("TableName", "BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    client.create_table(**{name: made[name] for name in taken})


def row(event: Event, id: str = "1", source: str = "test") -> EventRow:
    kind, number = type(event), wire.number_of(source, id)
    return EventRow(
        number, id, source, kind.__event_type__, kind.__event_version__, None, 0.0, 0.0, encode(event), None, number, 0,
        BUDGET,
    )  # fmt: skip


def record(
    body: str | Event, id: str = "m1", *, route: str = "train", app: str = "churn", group: str = ""
) -> dict[str, Any]:
    """Return a record of SQS as Lambda hands it over; an event is one of the app's bus."""
    if isinstance(body, Event):
        body = on_the_bus(row(body, id))
    queue = names.queue(app, route, fifo=bool(group))
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1800000000000"}
    return {
        "messageId": id,
        "receiptHandle": f"handle-{id}",
        "body": body,
        "attributes": {**attributes, **({"MessageGroupId": group} if group else {})},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue}",
        "awsRegion": "eu-west-1",
    }


def batch(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def on_the_bus(event: EventRow) -> str:
    """Return what EventBridge hands to a queue for an event on the app's bus."""
    return json.dumps(
        {
            "version": "0",
            "id": "0a1b",
            "detail-type": event.type,
            "source": "triggers.churn",
            "account": "123456789012",
            "time": "2027-01-15T08:00:00Z",
            "region": "eu-west-1",
            "resources": [],
            "detail": json.loads(wire.write(event)),
        }
    )

"""What somebody outside an app does to its AWS: puts objects, sends messages, hands events in, and looks what is left.

AWS is the emulation that botocore finds. Clients are made once, when they are first needed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from triggers.app import App
from triggers.aws import emulation, names, wire
from triggers.aws.attributes import messages_in
from triggers.aws.bus import Bus
from triggers.aws.clients import client
from triggers.aws.emulation import Stack
from triggers.aws.refusals import explained
from triggers.errors import TriggersError
from triggers.lineage import arrived
from triggers.parity import Message, Put, Step
from triggers.parity.envelopes import Created, from_bus, wrapped
from triggers.sources import Delivery
from triggers.sources.queue import Queue

_AGAIN = re.compile(r"r\d+-")
"""What a schedule is called by which a run that waits is sent to its queue again."""


class Hands:
    """Those of one who has the app's AWS before him."""

    def __init__(self, app: App, stack: Stack) -> None:
        self._app = app
        self._stack = stack
        self._client = cache(client)
        self._group = names.schedules(app.name)
        self._places = emulation.places(app)

    def put(self, step: Put) -> None:
        """Put an object, of which S3 tells as it does."""
        bucket, key = self._where(step)
        with explained(f"object {key!r}"):
            self._client("s3").put_object(Bucket=bucket, Key=key, Body=step.content)

    def put_silently(self, step: Put) -> Created:
        """Put an object of which S3 tells nobody, and return what it would have told."""
        bucket, key = self._where(step)
        s3 = self._client("s3")
        with explained(f"object {key!r}"):
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
            etag = s3.put_object(Bucket=bucket, Key=key, Body=step.content)["ETag"].strip('"')
        emulation.notify(s3, bucket)
        now = time.time()
        return Created(bucket, key, len(step.content), etag, f"{int(now * 1e6):018X}", now)

    def tell(self, created: Created, envelope: str) -> None:
        """Have an envelope come to the queues into which S3's rules would have put this object."""
        text, found = json.dumps(wrapped(created, envelope)), self._stack.targets(from_bus(created))
        for url, options in found:
            with explained(f"queue {url!r}"):
                self._client("sqs").send_message(QueueUrl=url, MessageBody=text, **options)

    def post(self, steps: Sequence[Step]) -> None:
        """Send the messages among steps to the queues of their sources, in one call for each queue."""
        for name, messages in by_queue(steps).items():
            sqs, source = self._client("sqs"), self._app.sources[name]
            assert isinstance(source, Queue)
            entries = [
                {"Id": str(number), "MessageBody": one.body, "MessageAttributes": named(one), **ordering(one)}
                for number, one in enumerate(messages)
            ]
            with explained(f"queue {source.queue!r}"):
                url = sqs.get_queue_url(QueueName=source.queue)["QueueUrl"]
                failed = sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")
            if failed:
                raise TriggersError(f"queue {source.queue!r} does not take a message: {failed[0].get('Message')}")

    def publish(self, delivery: Delivery) -> None:
        """Put an event on the app's bus."""
        row = arrived(delivery, wire.number_of(delivery.source, delivery.id), time.time())
        bus = Bus(lambda: self._client("events"), self._app.name)
        bus.publish([bus.entry(row.type, wire.write(row))])

    def left(self, urls: Sequence[str]) -> int:
        """Return how many messages are in the queues, those counted that are hidden, at work, or sent again later."""
        sqs = self._client("sqs")
        with explained("the emulation's queues"):
            messages = sum(messages_in(sqs, url) for url in urls)
        with explained("the emulation's schedules"):
            pages = self._client("scheduler").get_paginator("list_schedules").paginate(GroupName=self._group)
            return messages + sum(bool(_AGAIN.match(one["Name"])) for page in pages for one in page["Schedules"])

    def _where(self, step: Put) -> tuple[str, str]:
        bucket, _, prefix = self._places[step.place].removeprefix("s3://").partition("/")
        return bucket, emulation.checked(f"{prefix}/{step.key}")


def by_queue(steps: Sequence[Step]) -> Mapping[str, Sequence[Message]]:
    """Return the messages among steps by the queues that they come to."""
    found: dict[str, list[Message]] = {}
    for step in steps:
        if isinstance(step, Message):
            found.setdefault(step.queue, []).append(step)
    return found


def named(step: Message) -> Mapping[str, Mapping[str, str]]:
    """Return a message's attributes in SQS's form."""
    return {name: {"StringValue": text, "DataType": "String"} for name, text in step.attributes.items()}


def ordering(step: Message) -> Mapping[str, Any]:
    """Return what a message says of its order, and what it is known by there; nothing where it has no group."""
    if step.group is None:
        return {}
    return {"MessageGroupId": step.group, "MessageDeduplicationId": f"{wire.number_of(step.body)}"}


__all__ = ["Hands", "by_queue", "named", "ordering"]

"""A run as a job of its own: one message is taken from its route's queue, and seen to until its run has ended.

Nobody starts another job for a run that is to be tried again, so a job waits for it: the message is hidden until then,
and taken again, or another one that is there. While a handler is at work, its message is kept from others and the lease
of its run renewed, so that what a machine leaves behind that goes away is free after a minute.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from triggers.app import App
from triggers.aws import names, wire
from triggers.aws.arrivals import Arrival, Arrivals
from triggers.aws.bus import Bus
from triggers.aws.clients import client
from triggers.aws.handback import Deployment
from triggers.aws.logs import JsonLines
from triggers.aws.mapping import record
from triggers.aws.records import DEAD, DONE, REJECTED, RUNNING, WAITING, Records
from triggers.aws.refusals import explained
from triggers.aws.runs import SKEW, Runs
from triggers.aws.serverless import ROLE
from triggers.events import new_id
from triggers.lineage import EventRow
from triggers.routing import Route, Router

WAIT: Final = 20
"""Seconds of a long poll."""
HOLD: Final = 60.0
"""Seconds for which a message and its run are kept, and kept again."""
PATIENCE: Final = 2 * HOLD
"""Seconds until a queue that has no message counts as empty: longer than one is kept by a job that has gone."""
LONGEST: Final = 12 * 3600.0
"""Seconds that SQS hides a message at most."""
UNBOUNDED: Final = 365 * 86_400.0
"""Seconds that a handler without a `timeout=` has."""

log = logging.getLogger("triggers.job")


class Line:
    """A route's queue, one message at a time. `client` is one of SQS."""

    def __init__(self, client: Any, url: str, arn: str) -> None:
        self.arn = arn
        self._client = client
        self._url = url

    def take(self, hold: float) -> dict[str, Any] | None:
        """Return a message as a function would get it, kept from others for so long; None if there is none."""
        with self._explained():
            reply = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=WAIT,
                VisibilityTimeout=math.ceil(hold),
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        found = [dict(record(message, self.arn)) for message in reply.get("Messages", ())]
        return found[0] if found else None

    def hide(self, handle: str, seconds: float) -> None:
        """Keep a message from all for so long."""
        hidden = math.ceil(min(max(seconds, 0.0), LONGEST))
        with self._explained():
            self._client.change_message_visibility(QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=hidden)

    def delete(self, handle: str) -> None:
        """Delete a message."""
        with self._explained():
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=handle)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with explained(f"queue {self._url.rpartition('/')[2]!r}"):
            yield


class Job:
    """Sees to one message of a route's queue. `hold` are the seconds for which it and its run are kept at a time."""

    def __init__(
        self, route: Route, arrivals: Arrivals, runs: Runs, records: Records, line: Line, hold: float = HOLD
    ) -> None:
        self._route = route
        self._arrivals = arrivals
        self._runs = runs
        self._records = records
        self._line = line
        self.hold = hold
        self._name = new_id()

    @classmethod
    def of(cls, app: App, route: Route, lines: JsonLines | None = None) -> Self:
        """Return the job of a route of the app that is deployed where botocore finds AWS; `lines` are what it logs."""
        sqs, name = client("sqs"), names.queue(app.name, route.name, fifo=route.policy.concurrency == 1)
        url = _url(sqs, name)
        arn = f"arn:{sqs.meta.partition}:sqs:{sqs.meta.region_name}:{url.split('/')[-2]}:{name}"
        router = Router(app.routes.values())
        records = Records(client("dynamodb"), names.table(app.name), app.limits.retention)
        bus = Bus(lambda: client("events"), app.name)
        runs = Runs(app, router, records, bus, Deployment.of(app.name, arn, None).journal, lines)
        return cls(route, Arrivals(app, router, [route.name]), runs, records, Line(sqs, url, arn))

    def carry_out(self, patience: float = PATIENCE) -> str | None:
        """Return what became of the message that was taken: done, dead or rejected. None where there was none.

        `patience` are the seconds for which one is waited for.
        """
        until = time.time() + patience
        while True:
            message = self._line.take(self.hold)
            if message is None:
                if time.time() >= until:
                    return None
                continue
            state, again = self._see_to(next(self._arrivals.read({"Records": [message]}, time.time())))
            if again is None:
                self._line.delete(message["receiptHandle"])
                return state
            self._line.hide(message["receiptHandle"], again - time.time())
            until = max(until, again + patience)

    def _see_to(self, arrival: Arrival) -> tuple[str, float | None]:
        """Return what became of a message, and when it is to come again where its run has not ended."""
        if arrival.rejection is not None:
            number = wire.number_of("rejected", arrival.queue, arrival.source, arrival.id)
            log.error("rejected %s: %s", arrival.id, arrival.rejection)
            said = (arrival.source, arrival.id, arrival.body, arrival.rejection)
            self._records.reject(number, self._route.name, *said, time.time())
            return REJECTED, None
        wanted = [event for event in arrival.events if self._arrivals.routes(arrival, event)]
        with self._kept(arrival, wanted):
            stood = [self._run(event) for event in wanted]
        again = [standing.until for standing in stood if standing.state in (RUNNING, WAITING)]
        ended = DEAD if any(standing.state == DEAD for standing in stood) else DONE
        return ended, min(again) if again else None

    def _run(self, event: EventRow) -> Any:
        now = time.time()
        until = now + (self._route.policy.timeout or UNBOUNDED)
        return self._runs.carry_out(event, self._route, self._name, until, now + self.hold)

    @contextmanager
    def _kept(self, arrival: Arrival, events: Sequence[EventRow]) -> Iterator[None]:
        """Keep a message, and the runs on its events, from all others while the block lasts."""
        ended = threading.Event()
        runs = [wire.run_number(event, self._route.name) for event in events]
        keeper = threading.Thread(target=self._keep, args=(arrival.handle, runs, ended), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()

    def _keep(self, handle: str, runs: Sequence[int], ended: threading.Event) -> None:
        while not ended.wait(self.hold / 3):
            try:
                self._line.hide(handle, self.hold)
                for run in runs:
                    self._records.renew(run, self._name, time.time() + self.hold + SKEW)
            except Exception as error:
                log.warning("a message could not be kept, and may be given to another job: %s", error)


def _url(sqs: Any, name: str) -> str:
    """Return a queue's URL: in the account of the role, where one is named, since a job need not ask then."""
    if role := os.environ.get(ROLE):
        return f"{sqs.meta.endpoint_url.rstrip('/')}/{role.split(':')[4]}/{name}"
    with explained(f"queue {name!r}"):
        url: str = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return url


__all__ = ["Job", "Line"]

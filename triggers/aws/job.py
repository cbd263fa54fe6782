"""Runs as a job of their own: the messages of a route's queue are taken one by one, and seen to until their runs ended.

A job is started for each event, but takes whichever message there is. So that none is left without a job, it goes on
until the queue is empty behind what it has deleted, and nobody else waits for a run that is to be tried again: it is
the job's that has put it off. What a job has, its messages and the leases of their runs, is kept from others for a
minute at a time and kept again, so that what a machine leaves behind that goes away is free a minute later.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple, Self

from triggers.app import App
from triggers.aws import names, wire
from triggers.aws.arrivals import Arrival, Arrivals
from triggers.aws.bus import Bus
from triggers.aws.clients import client
from triggers.aws.handback import Deployment
from triggers.aws.logs import JsonLines
from triggers.aws.messages import LONGEST_HIDDEN, record
from triggers.aws.processes import Processes
from triggers.aws.records import DEAD, DONE, REJECTED, RUNNING, WAITING, Records, Sighting, Standing
from triggers.aws.refusals import explained
from triggers.aws.runs import SKEW, Runs
from triggers.errors import TriggersError, WiringError
from triggers.events import new_id
from triggers.lineage import EventRow
from triggers.routing import Route, Router

START: Final = "AWS_BATCH_JOB_ATTEMPT"
"""The environment variable by which Batch numbers the starts of a job, from 1 on."""
WAIT: Final = 20
"""Seconds of a long poll."""
HOLD: Final = 60.0
"""Seconds for which a message and its runs are kept, and kept again."""

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
        hidden = math.ceil(max(seconds, 0.0))
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


class _Kept(NamedTuple):
    """A message, by its latest handle, that is hidden until a moment, and the runs at work on its events."""

    handle: str
    until: float
    runs: Sequence[int]


class Keeper:
    """Keeps messages, and the runs on their events, from all others, in a thread of its own while a block lasts.

    `holder` is who has claimed the runs.
    """

    def __init__(self, line: Line, records: Records, holder: str) -> None:
        self._line = line
        self._records = records
        self._holder = holder
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def at_work(self, arrival: Arrival, runs: Sequence[int]) -> Iterator[None]:
        """Keep a message that was just taken, and the runs on its events, while the block lasts."""
        with self._lock:
            self._kept[arrival.id] = _Kept(arrival.handle, time.time() + LONGEST_HIDDEN, runs)
        try:
            yield
        finally:
            with self._lock:
                del self._kept[arrival.id]

    def put_off(self, arrival: Arrival, until: float) -> None:
        """Hide a message until a moment. It is free earlier where this process ends, or where SQS hides it no more."""
        kept = _Kept(arrival.handle, until, ())
        with self._lock:
            self._kept[arrival.id] = kept
            self._keep(kept, time.time())

    def _work(self) -> None:
        while not self._ended.wait(HOLD / 3):
            with self._lock:
                now = time.time()
                self._kept = {id: kept for id, kept in self._kept.items() if kept.runs or kept.until > now}
                for kept in self._kept.values():
                    self._keep(kept, now)

    def _keep(self, kept: _Kept, now: float) -> None:
        for run in kept.runs:  # first: while the lease is ours, no other job that gets the message calls the handler
            with _tolerated(f"the lease of r{run} could not be renewed"):
                self._records.renew(run, self._holder, now + HOLD + SKEW)
        if kept.until > now or not kept.runs:
            with _tolerated("a message could not be kept, and may be given to another job"):
                self._line.hide(kept.handle, min(kept.until - now, HOLD))


class Job:
    """Sees to the messages of a route's queue. `again` says that its process is not the first one that was started."""

    def __init__(
        self, route: Route, arrivals: Arrivals, runs: Runs, records: Records, line: Line, *, again: bool = False
    ) -> None:
        self._route = route
        self._arrivals = arrivals
        self._runs = runs
        self._records = records
        self._line = line
        self._again = again
        self._name = new_id()
        self._keeper = Keeper(line, records, self._name)

    @classmethod
    def of(cls, app: App, route: Route, lines: JsonLines | None = None) -> Self:
        """Return the job of a route of the app that is deployed where botocore finds AWS; `lines` are what it logs."""
        sqs, name = client("sqs"), names.queue_of(app.name, route)
        url = _url(sqs, name)
        arn = f"arn:{sqs.meta.partition}:sqs:{sqs.meta.region_name}:{url.split('/')[-2]}:{name}"
        router = Router(app.routes.values())
        records = Records(client("dynamodb"), names.table(app.name), app.limits.retention)
        bus = Bus(lambda: client("events"), app.name)
        journal = Deployment.of(app.name, arn, None).journal
        runs = Runs(app, router, records, bus, journal, lines, processes=Processes())
        again = os.environ.get(START, "1") != "1"
        return cls(route, Arrivals(app, router, [route.name]), runs, records, Line(sqs, url, arn), again=again)

    def carry_out(self) -> Counter[str]:
        """Return how many of the messages that it took ended as done, dead or rejected; none where none came."""
        begun, owed, ended = time.time(), dict[str, float](), dict[str, str]()
        with closing(self._runs), self._keeper:
            while True:
                message = self._line.take(HOLD)
                if message is not None:
                    self._see_to(message, owed, ended)
                elif time.time() >= self._until(begun, owed, ended):
                    return Counter(ended.values())

    def _until(self, begun: float, owed: Mapping[str, float], ended: Mapping[str, str]) -> float:
        """Return until when an empty queue is waited for: by then what somebody has who has gone is free.

        That is done for what was put off, for the message that the job was started for, and by a job that was started
        again for what it had before. Behind what has ended there is nothing to wait for.
        """
        since = [*owed.values(), *([begun] if self._again or not ended else [])]
        return max(since) + 2 * HOLD if since else 0.0

    def _see_to(self, message: Mapping[str, Any], owed: dict[str, float], ended: dict[str, str]) -> None:
        """Delete a message whose runs have `ended`; one that is to come again is `owed` from then on."""
        [arrival] = self._arrivals.read({"Records": [message]}, time.time())
        state, due = self._taken(arrival)
        if due is not None:
            owed[arrival.id] = due
            self._keeper.put_off(arrival, due)
            return
        ended[arrival.id] = state
        owed[arrival.id] = time.time() + HOLD  # a FIFO queue deletes nothing that it hides no more, and gives it again
        try:
            self._line.delete(arrival.handle)
            del owed[arrival.id]
        except WiringError:
            raise
        except TriggersError as error:
            log.warning("a message could not be deleted, and comes again: %s", error)

    def _taken(self, arrival: Arrival) -> tuple[str, float | None]:
        """Return what became of a message, and when it is to come again where its run has not ended."""
        if arrival.rejection is not None:
            self._reject(arrival, arrival.rejection)
        wanted = [event for event in arrival.events if self._arrivals.routes(arrival, event)]
        with self._keeper.at_work(arrival, [wire.run_number(event, self._route.name) for event in wanted]):
            stood = [self._run(event, arrival.sightings.get(event.number)) for event in wanted]
        again = [standing.until for standing in stood if standing.state in (RUNNING, WAITING)]
        well = DONE if arrival.rejection is None else REJECTED
        state = DEAD if any(standing.state == DEAD for standing in stood) else well
        return state, min(again) if again else None

    def _reject(self, arrival: Arrival, reason: str) -> None:
        number = wire.number_of("rejected", arrival.queue, arrival.source, arrival.id)
        log.error("rejected %s: %s", arrival.id, reason)
        said = (arrival.source, arrival.id, arrival.body, reason)
        self._records.reject(number, self._route.name, *said, time.time())

    def _run(self, event: EventRow, sighting: Sighting | None) -> Standing:
        return self._runs.carry_out(event, self._route, self._name, math.inf, time.time() + HOLD, sighting)


@contextmanager
def _tolerated(what: str) -> Iterator[None]:
    """Log an error: what has failed is tried again before long."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s", what, error)


def _url(sqs: Any, name: str) -> str:
    """Return a queue's URL: in the account of the role, where one is named, since a job need not ask then."""
    if role := os.environ.get(names.SCHEDULE_ROLE):
        return f"{sqs.meta.endpoint_url.rstrip('/')}/{role.split(':')[4]}/{name}"
    with explained(f"queue {name!r}"):
        url: str = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return url


__all__ = ["Job", "Keeper", "Line"]

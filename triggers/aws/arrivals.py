"""What a function is given, as events: whatever Lambda may hand it, in one shape.

A queue's records come one by one and are answered one by one. Anything else, from S3, a topic, EventBridge, a schedule
or a caller, is pushed: it is answered as a whole.
"""

# without annotations as text, each of which a named tuple would compile

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

from triggers.app import App
from triggers.aws import messages, names, wire
from triggers.aws.records import Sighting
from triggers.errors import EventError, shown
from triggers.events import ObjectCreated, ObjectDeleted, RunFailed, Tick
from triggers.lineage import EventRow, arrived
from triggers.routing import Route, Router
from triggers.sources.bucket import Bucket
from triggers.sources.queue import Queue

if TYPE_CHECKING:
    from triggers.aws.notifications import Notice, Told

LONGEST_SUBJECT = 4096
"""Characters of an event's subject: it is kept in the run record with the rest of the event."""

_QUEUE = "aws:sqs"
_TOPIC = "aws:sns"
_S3 = r's3(:TestEvent)?\\*"'  # one of them is in every body that S3 wrote; compiled where a body might be one
_NONE: Mapping[int, Sighting] = {}
_BUILT_IN = (ObjectCreated, ObjectDeleted, RunFailed, Tick)


class Arrival(NamedTuple):
    """What has come, and what is to be made of it: `events`, or a `rejection` where it can be none. Of several notices
    in one message some may be the one and some the other.

    `item` is what a queue's answer calls it by, and `queue` the queue's ARN; both are empty for what was pushed, as is
    the rest that a queue says. `group` is the message group within which order is kept, None where there is no order.
    `sightings` are what events of objects were made of, by the events' numbers: only of those that a route must not be
    told of again.
    """

    id: str
    body: str
    source: str
    events: Sequence[EventRow] = ()
    sightings: Mapping[int, Sighting] = _NONE
    rejection: str | None = None
    item: str = ""
    queue: str = ""
    queue_name: str = ""
    group: str | None = None
    handle: str = ""
    received: int = 1


_Said = tuple[str, str, str, Sequence[EventRow], Mapping[int, Sighting], str | None]
"""The first fields of an `Arrival`: which message it is, and what it says."""


class Arrivals:
    """Reads what a function of an app is given, and says which routes of those that it has are to run on it."""

    def __init__(self, app: App, router: Router, only: Collection[str] | None = None) -> None:
        self._router = router
        self._only = set(router.routes) if only is None else set(only)
        self._known = {*app.event_types(), *(kind.__event_type__ for kind in _BUILT_IN)}
        self._own = {
            names.queue(app.name, route, fifo=fifo): route for route in router.routes for fifo in (False, True)
        }
        self._taken = {queue: router.routes[route].trigger.__event_type__ for queue, route in self._own.items()}
        self._buckets = _buckets(app)
        self._names = app.sources.keys()
        self._queues = {source.queue: source.name for source in app.sources.values() if isinstance(source, Queue)}
        self._fed = self._fed_of(app) if self._queues and only is not None else {}

    def read(self, payload: object, now: float) -> Sequence[Arrival]:
        """Return what a payload holds, one arrival at least.

        All of it is read before the first run begins. Reading and running in turn takes a seventh longer for each
        record: the code of both does not fit into the processor's nearest cache.
        """
        records = payload.get("Records") if isinstance(payload, dict) else None
        if isinstance(records, list) and records and all(_made_by(record) == _QUEUE for record in records):
            return [self._from_queue(record, now) for record in records]
        if isinstance(records, list) and records and all(_made_by(record) == _TOPIC for record in records):
            return [self._from_topic(record, now) for record in records]
        return [self._pushed(payload, now)]

    def routes(self, arrival: Arrival, event: EventRow) -> Sequence[Route]:
        """Return the routes that run on an event: the queue's own, if it is one's, else all that take it here."""
        matching, queue = self._matching(event), arrival.queue_name
        if own := self._own.get(queue):
            return [route for route in matching if route.name == own]
        here = self._fed.get(queue, self._only)
        return [route for route in matching if route.name in here]

    def elsewhere(self, arrival: Arrival, event: EventRow) -> Sequence[Route]:
        """Return the routes that take an event of a queue of the user's own and hear of it by the app's bus alone."""
        here = self._fed.get(arrival.queue_name) if self._fed else None
        return () if here is None else [route for route in self._matching(event) if route.name not in here]

    def is_declared(self, arrival: Arrival) -> bool:
        """Say whether an arrival is a message of a queue that the app declares."""
        return arrival.queue_name in self._queues

    def route_of(self, arrival: Arrival) -> str:
        """Return the route that the queue of an arrival feeds; empty where it is no route's own."""
        return self._own.get(arrival.queue_name, "")

    def _matching(self, event: EventRow) -> Sequence[Route]:
        return self._router.match(event.type, event.source, event.subject, event.data)

    def _fed_of(self, app: App) -> Mapping[str, Collection[str]]:
        """Return which of this function's routes the messages of each declared queue start, by the queue's name."""
        from triggers.aws.feeding import fed  # who has no such queue need not load it

        return {queue: self._only.intersection(r.name for r in fed(app, name)) for queue, name in self._queues.items()}

    def _from_queue(self, record: Mapping[str, Any], now: float) -> Arrival:
        given = record.get("attributes")
        attributes = given if isinstance(given, dict) else {}
        queue = str(record.get("eventSourceARN", ""))
        name = queue.rpartition(":")[2]
        source = self._queues.get(name, name)
        group = str(attributes.get("MessageGroupId", "")) if name.endswith(names.FIFO) else None
        count = str(attributes.get("ApproximateReceiveCount"))
        received = int(count) if count.isascii() and count.isdecimal() and len(count) < 10 else 1
        item, handle = str(record.get("messageId", "")), str(record.get("receiptHandle", ""))
        return Arrival(*self._read(record, source, now, name), item, queue, name, group, handle, received)

    def _from_topic(self, record: Mapping[str, Any], now: float) -> Arrival:
        given = record.get("Sns")
        notification = given if isinstance(given, dict) else {}
        raw = {
            "messageId": notification.get("MessageId"),
            "body": notification.get("Message"),
            "messageAttributes": notification.get("MessageAttributes"),
        }
        return Arrival(*self._read(raw, str(notification.get("TopicArn", "")).rsplit(":", 1)[-1] or "topic", now))

    def _pushed(self, payload: object, now: float) -> Arrival:
        body = _text(payload)
        if isinstance(payload, dict):
            id, source = str(payload.get("id", "")), str(payload.get("source", "lambda"))
            if "specversion" in payload or "detail-type" in payload or re.search(_S3, body):
                return Arrival(*self._read({"messageId": id or f"{wire.number_of(body):x}", "body": body}, source, now))
        reason = (
            "a function is given records, a notification, an EventBridge event or a CloudEvents object, not"
            f" {body[:80]}; invoke it with one like {messages.FORM}"
        )
        return Arrival(f"{wire.number_of(body):x}", body, "lambda", rejection=reason)

    def _read(self, raw: Mapping[str, Any], source: str, now: float, name: str = "") -> _Said:
        """Return what a message is to `Arrival`; `name` is its queue's."""
        id, body = str(raw.get("messageId")), str(raw.get("body"))
        try:
            if "s3" in body and name not in self._queues and (told := _told(body)) is not None:
                found, rejection = self._of_objects(told, now, name)
                sightings = {event.number: sighting for event, sighting in found if sighting}
                return id, body, source, [event for event, _ in found], sightings, rejection
            return id, body, source, (self._event(raw, source, now, name),), _NONE, None
        except EventError as error:
            return id, body, source, (), _NONE, str(error)

    def _event(self, raw: Mapping[str, Any], source: str, now: float, queue: str) -> EventRow:
        message = messages.read(raw)
        if queue in self._queues:  # whoever sends there begins a chain, as for a dispatcher, whatever lineage is named
            told = messages.delivery_of(message, source, now, self._known, self._names)
            event = arrived(told, wire.number_of(told.source, told.id), now)
        else:
            event = messages.event_of(message, source, now, self._known)
        self._check_taken(event.type, queue)
        if event.subject and len(event.subject) > LONGEST_SUBJECT:
            raise EventError(
                f"subject has {len(event.subject):,} characters, over the limit of {LONGEST_SUBJECT:,}; shorten it"
            )
        return event

    def _check_taken(self, kind: str, queue: str) -> None:
        """Refuse what no rule has put into a route's queue, and nobody would run on."""
        taken = self._taken.get(queue, kind)
        if kind != taken:
            raise EventError(
                f"queue {queue!r} is that of route {self._own[queue]!r}, which takes {taken}, and not {kind}; send it"
                " to the app's event bus, or to a queue that is a source of the app"
            )

    def _of_objects(
        self, told: "Told", now: float, queue: str
    ) -> tuple[Sequence[tuple[EventRow, Sighting | None]], str | None]:
        """Return what `_of_object` makes of notices, and why some can be no events here, if there are such."""
        found: list[tuple[EventRow, Sighting | None]] = []
        refused: list[tuple[Notice, EventError]] = []
        for notice in told.notices:
            try:
                made = list(self._of_object(notice, now))
                for event, _ in made:
                    self._check_taken(event.type, queue)
            except EventError as error:
                refused.append((notice, error))
            else:
                found += made
        return found, told.rejection(refused)

    def _of_object(self, notice: "Notice", now: float) -> Iterator[tuple[EventRow, Sighting | None]]:
        """Yield the event of each source that the object lies in, and the sighting where its content has no version.

        A source that tells deletions has none: nobody would know here that the object had been gone in between. That a
        version was deleted for good says nothing of the object: it was an old one, or an older one shows again.
        """
        from triggers.aws.notifications import creation, deletion

        if notice.kind == "other":
            return
        if notice.bucket not in self._buckets:
            raise EventError(
                f"the app declares no source in bucket {shown(notice.bucket)}; bind one to it (--bind NAME=s3://...),"
                " or take the notification from the bucket"
            )
        for bucket in self._buckets[notice.bucket]:
            key = bucket.key_of(notice.key, notice.size)
            if key is None or (notice.kind == "deleted" and (notice.version or not bucket.deletions)):
                continue
            sighting = None
            if notice.etag and notice.sequencer and not (notice.version or bucket.deletions):
                sighting = Sighting(notice.etag, notice.sequencer)
            made = (
                creation(notice, bucket.name, key)
                if notice.kind == "created"
                else deletion(notice, bucket.name, key, notice.content)
            )
            yield arrived(made, wire.number_of(made.source, made.id), now), sighting


def _told(body: str) -> "Told | None":
    """Return what S3 says in a body, None where it is not S3 that speaks. Raises `EventError`."""
    if not re.search(_S3, body):
        return None
    from triggers.aws.notifications import told  # who is never told by S3 need not load it

    return told(messages.as_json(body))


def _text(payload: object) -> str:
    """Return a payload as JSON."""
    try:
        return to_json(payload, inf_nan_mode="constants", fallback=str).decode()
    except ValueError:  # half of a character, which is none
        return json.dumps(payload, default=str)


def _made_by(record: object) -> object:
    return (record.get("eventSource") or record.get("EventSource")) if isinstance(record, dict) else None


def _buckets(app: App) -> Mapping[str, Sequence[Bucket]]:
    """Return the declared buckets by their name in S3. Several sources may be of one."""
    found: dict[str, list[Bucket]] = {}
    for source in app.sources.values():
        if isinstance(source, Bucket):
            found.setdefault(source.bucket, []).append(source)
    return found


__all__ = ["Arrival", "Arrivals"]

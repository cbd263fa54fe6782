"""What a message of a queue says, however it came: received by a poll, or in the records of a function.

A body in the form of CloudEvents, plain or in an envelope of SNS or EventBridge, is the typed event that it names. Any
other body is a `MessageReceived`. Nothing here knows where the message goes, or keeps anything.
"""

# without annotations as text, each of which a named tuple would compile

from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeGuard

from pydantic_core import from_json

from triggers.aws import wire
from triggers.cloudevents import from_fields
from triggers.errors import SHOWN, EventError, did_you_mean, shown
from triggers.events import MessageReceived, Missing, ObjectCreated, ObjectDeleted, Tick, encode, read_json
from triggers.lineage import EventRow, arrived
from triggers.sources import Delivery

OURS = "triggers."
"""What the `source` of an app's own entries on its bus begins with, see `names.event_source`."""

SYSTEM = ("ApproximateReceiveCount", "MessageGroupId", "MessageDeduplicationId")
"""What SQS knows of a message that its handler may ask for, as attributes `AWS.MessageGroupId` and so on: nobody else
may give an attribute a name that begins so."""

FORM = '{"specversion": "1.0", "id": "1", "source": "me", "type": "Retrain", "data": {}}'
"""An event in the form of CloudEvents, as an example."""

TOLD = frozenset(kind.__event_type__ for kind in (ObjectCreated, ObjectDeleted, Tick, Missing))
"""The types of what only a source of the app tells."""

LONGEST_HIDDEN = 43_200
"""Seconds that SQS hides a message in all, from its receipt on: the longest visibility time-out."""

_CLOUD = '"specversion"'
_TOPIC = '"TopicArn"'
_BUS = '"detail-type"'  # one of the three is in every body that is more than a body
_RECEIVED = ("MessageId", "Body", "Attributes", "MessageAttributes")
_OF_FUNCTION = ("messageId", "body", "attributes", "messageAttributes")
_VALUES = ("StringValue", "stringValue", "BinaryValue", "binaryValue", "Value")


class Message(NamedTuple):
    """A message in one shape, without what SQS or SNS wrapped around it.

    `id` is the message's, where it came through SNS the notification's: SNS may hand it to SQS twice. `event` is the
    CloudEvent that the body holds, or claims to hold: parsed, or as text that is no JSON. Only where it holds none does
    anybody ask for more, so what else is said of the message is kept as it came.
    """

    id: str
    body: str
    event: Mapping[str, Any] | bytes | None
    system: Mapping[str, Any]
    """What SQS says of it."""
    given: object
    """Its own attributes."""
    notified: object
    """Those of the notification that it was wrapped in."""

    @property
    def attributes(self) -> dict[str, str]:
        """Return its attributes as text, with what SQS knows of it."""
        known = {f"AWS.{name}": str(self.system[name]) for name in SYSTEM if name in self.system}
        return _values(self.given) | known | _values(self.notified)

    @property
    def sent(self) -> int | None:
        """Return when it was sent, in Unix milliseconds, where SQS says so."""
        return _number(self.system.get("SentTimestamp"))


def read(raw: Mapping[str, Any]) -> Message:
    """Return a message of `ReceiveMessage` or a record of a function's event; raises `EventError` for what is none."""
    id, body, known, given = map(raw.get, _OF_FUNCTION if "body" in raw else _RECEIVED)
    if not (isinstance(id, str) and isinstance(body, str)):
        has = ", ".join(map(str, raw))[:SHOWN] or "nothing"
        raise EventError(f"a message of a queue has a messageId and a body, this has {has}")
    notified, content = None, as_json(body) if _CLOUD in body or _TOPIC in body or _BUS in body else None
    if _is_notification(content):
        id, body, notified = str(content.get("MessageId") or id), content["Message"], content.get("MessageAttributes")
        content = as_json(body)
    return Message(id, body, _event(body, content), known if isinstance(known, dict) else {}, given, notified)


def record(message: Mapping[str, Any], arn: str) -> Mapping[str, Any]:
    """Return a message, as SQS hands it over, as Lambda hands it on."""
    made = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes") or {}),
        "messageAttributes": {name: _typed(one) for name, one in (message.get("MessageAttributes") or {}).items()},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }
    if digest := message.get("MD5OfMessageAttributes"):
        made["md5OfMessageAttributes"] = digest
    return made


def delivery_of(
    message: Message, source: str, now: float, known: Collection[str], names: Collection[str] = ()
) -> Delivery:
    """Return what a message is to a dispatcher: its own event, or a `MessageReceived` from `source`.

    Raises `EventError` for what claims to be an event and cannot be one, is of a type that is not `known`, or is told
    in the name of another one of the app's sources, whose `names` these are; of an app that does not know
    `MessageReceived`, too, for what does not claim to be one.
    """
    if message.event is None:
        return _received(message, source, now, known)
    delivery = from_fields(_parsed(message.event), now)
    _check(delivery.type, known)
    check_told(delivery.type, delivery.source, source, names)
    return delivery


def event_of(message: Message, source: str, now: float, known: Collection[str]) -> EventRow:
    """Return what a message is to a function: like `delivery_of`, with the lineage that the event has."""
    if message.event is None:
        delivery = _received(message, source, now, known)
        return arrived(delivery, wire.number_of(delivery.source, delivery.id), now)
    event = wire.of_fields(_parsed(message.event), now)
    _check(event.type, known)
    return event


def _received(message: Message, source: str, now: float, known: Collection[str]) -> Delivery:
    if MessageReceived.__event_type__ not in known:
        empty = as_json(message.body) is None and message.body.strip() != "null"
        what = "is not JSON" if empty else "is JSON, but no event in the form of CloudEvents"
        raise EventError(
            f"the body {what}, and no route takes a message as it is; send {FORM}, or add a route on MessageReceived"
        )
    data = encode(MessageReceived(body=message.body, attributes=message.attributes))
    time = now if message.sent is None else message.sent / 1000
    return Delivery(source, message.id, MessageReceived.__event_type__, data, time)


def _check(kind: str, known: Collection[str]) -> None:
    if kind not in known:
        raise EventError(
            f"no route takes or emits events of the type {shown(kind)}{did_you_mean(kind, known)}; add a route on it,"
            " or have it sent elsewhere"
        )


def check_told(kind: str, source: str, queue: str, names: Collection[str]) -> None:
    """Raise `EventError` for what the message of a queue may not say, whoever sends it.

    An `ObjectCreated` names what is read: a path, a bucket. A `Tick` says what time it is. Either is told by the source
    that has seen it, and no message is in the name of another one: its identities are that one's, to be dropped.
    """
    if kind in TOLD:
        raise EventError(
            f"{kind} is told by the app's own sources, which have seen it, and not by a message; send an event of a"
            " type of your own with what the handler needs to know"
        )
    if source != queue and source in names:
        raise EventError(
            f"its source is {shown(source)}, another source of the app, and it came by {queue!r}; name who sent it"
        )


# --- the two shapes, and what is wrapped around a body -------------------------------------------


def _values(attributes: object) -> dict[str, str]:
    """Return a message's attributes as text."""
    return {name: _value(raw) for name, raw in attributes.items()} if isinstance(attributes, dict) else {}


def _value(attribute: Any) -> str:
    """Return an attribute's value as text: binary ones in base64, as functions and SNS hand them over."""
    fields = attribute if isinstance(attribute, dict) else {}
    value = next((value for name in _VALUES if (value := fields.get(name)) is not None), "")
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _typed(attribute: Mapping[str, Any]) -> Mapping[str, Any]:
    value: dict[str, Any] = {}
    if (text := attribute.get("StringValue")) is not None:
        value["stringValue"] = text
    if (data := attribute.get("BinaryValue")) is not None:
        value["binaryValue"] = b64encode(data).decode()
    return {**value, "stringListValues": [], "binaryListValues": [], "dataType": attribute["DataType"]}


def _number(given: object) -> int | None:
    text = str(given)
    return int(text) if len(text) <= 15 and text.isascii() and text.isdecimal() else None


def as_json(text: str) -> Any:
    """Return what a text holds as JSON, None where it holds none."""
    try:
        return from_json(text)
    except ValueError:
        return None


def _is_notification(content: Any) -> TypeGuard[dict[str, Any]]:
    """Say whether this is what SNS wraps around a message, where it is not told to hand it over raw."""
    wrapped = isinstance(content, dict) and content.get("Type") == "Notification" and "TopicArn" in content
    return wrapped and isinstance(content.get("Message"), str)


def _event(body: str, content: Any) -> Mapping[str, Any] | bytes | None:
    """Return the CloudEvent in a body or in the entry of a bus; None where it does not claim to be one."""
    if not isinstance(content, dict):
        cut = content is None and body.lstrip().startswith("{") and _CLOUD in body
        return body.encode("utf-8", "surrogatepass") if cut else None
    if "specversion" in content:
        return content
    detail = content.get("detail")
    if "detail-type" not in content or not isinstance(detail, dict):
        return None
    return detail if "specversion" in detail or str(content.get("source")).startswith(OURS) else None


def _parsed(event: Mapping[str, Any] | bytes) -> object:
    return read_json("the event", event) if isinstance(event, bytes) else event


__all__ = ["FORM", "LONGEST_HIDDEN", "Message", "as_json", "check_told", "delivery_of", "event_of", "read", "record"]

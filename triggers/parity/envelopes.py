"""S3's notice of a new object, in each of the envelopes that it comes in, with all that AWS writes there.

From "Event message structure" and "EventBridge event message structure" in the S3 user guide, and from "Using Lambda
with Amazon SNS" and "Parsing Amazon SNS message formats".
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus

from triggers.aws.server import ACCOUNT, REGION
from triggers.events import moment

QUEUED: Final = "-sqs"
"""How the envelopes end that a queue holds."""

_TOPIC: Final = f"arn:aws:sns:{REGION}:{ACCOUNT}:objects"

Json = Mapping[str, Any]


class Created(NamedTuple):
    """An object that was put, as S3 knows it; `time` in Unix seconds."""

    bucket: str
    key: str
    size: int
    etag: str
    sequencer: str
    time: float


def wrapped(created: Created, envelope: str) -> Json:
    """Return S3's notice in an envelope: what a function is invoked with, or a queue's message says."""
    way, _, queued = envelope.partition("-")
    if way == "eventbridge":
        return from_bus(created)
    if way == "s3":
        return _records(created)
    message = _notification(json.dumps(_records(created)))
    return message if queued else _invocation(message)


def from_bus(created: Created) -> Json:
    """Return the event that EventBridge hands on."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": f"{moment(created.time):%Y-%m-%dT%H:%M:%SZ}",
        "region": REGION,
        "resources": [f"arn:aws:s3:::{created.bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": created.bucket},
            "object": {
                "key": created.key,
                "size": created.size,
                "etag": created.etag,
                "sequencer": created.sequencer,
            },
            "request-id": "C3D13FE58DE4C810",
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            "reason": "PutObject",
        },
    }


def _records(created: Created) -> Json:
    """Return what S3 itself says, where the key is encoded as in a form."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": _millis(created.time),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "objects",
            "bucket": {
                "name": created.bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{created.bucket}",
            },
            "object": {
                "key": quote_plus(created.key, safe="/"),
                "size": created.size,
                "eTag": created.etag,
                "sequencer": created.sequencer,
            },
        },
    }
    return {"Records": [record]}


def _notification(message: str) -> Json:
    """Return what a topic wraps around a message for a queue."""
    certificate = f"https://sns.{REGION}.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
    unsubscribe = f"https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={_TOPIC}:1"
    return {
        "Type": "Notification",
        "MessageId": str(uuid.uuid4()),
        "TopicArn": _TOPIC,
        "Subject": "Amazon S3 Notification",
        "Message": message,
        "Timestamp": json.loads(message)["Records"][0]["eventTime"],
        "SignatureVersion": "1",
        "Signature": "RVhBTVBMRQ==",
        "SigningCertURL": certificate,
        "UnsubscribeURL": unsubscribe,
    }


def _invocation(notification: Json) -> Json:
    """Return what a topic calls a function with, which writes two of the names in its own way."""
    renamed = {"SigningCertURL": "SigningCertUrl", "UnsubscribeURL": "UnsubscribeUrl"}
    sns = {renamed.get(name, name): value for name, value in notification.items()} | {"MessageAttributes": {}}
    record = {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": f"{_TOPIC}:1", "Sns": sns}
    return {"Records": [record]}


def _millis(time: float) -> str:
    return moment(time).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["QUEUED", "Created", "from_bus", "wrapped"]

"""What a function may be given, in every envelope."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from tests.aws.deployed import batch, on_the_bus, record, row
from triggers import App, Event, MessageReceived, ObjectCreated, ObjectDeleted, Tick, every
from triggers.aws import messages, wire
from triggers.aws.arrivals import Arrival, Arrivals
from triggers.aws.records import Sighting
from triggers.lineage import BUDGET, EventRow
from triggers.routing import Router
from triggers.sources.bucket import Bucket
from triggers.sources.queue import Queue


class Processed(Event):
    n: int


app = App(
    "churn",
    sources=[
        Bucket("s3://acme/raw", name="incoming"),
        Bucket("s3://acme", name="all", deletions=True),
        Queue("orders"),
    ],
)


@app.on(ObjectCreated, source="incoming")
def load(event: ObjectCreated) -> Processed:
    return Processed(n=1)


@app.on(ObjectDeleted)
def forget(event: ObjectDeleted) -> None: ...


@app.on(Processed)
def train(event: Processed) -> None: ...


@app.on(MessageReceived)
def order(event: MessageReceived) -> None: ...


@app.on(every(hours=1))
def hourly(event: Tick) -> None: ...


ARRIVALS = Arrivals(app, Router(app.routes.values()))
DIRECT = {"specversion": "1.0", "id": "d1", "source": "me", "type": "Processed", "data": {"n": 5}}


def one(payload: object) -> Arrival:
    [arrival] = ARRIVALS.read(payload, now=9.0)
    return arrival


def event(payload: object) -> EventRow:
    [found] = one(payload).events
    return found


def told_by_s3(key: str = "raw/a+b.csv", bucket: str = "acme", name: str = "ObjectCreated:Put") -> dict[str, Any]:
    thing = {"key": key, "size": 3, "eTag": "abc", "sequencer": "0055AED6"}
    return {
        "Records": [
            {
                "eventVersion": "2.3",
                "eventSource": "aws:s3",
                "awsRegion": "eu-west-1",
                "eventTime": "2027-01-15T08:00:00.000Z",
                "eventName": name,
                "s3": {"bucket": {"name": bucket}, "object": thing},
            }
        ]
    }


def by_topic(message: str) -> dict[str, Any]:
    sns = {"Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:x:1:news", "Message": message}
    return {"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns}]}


def in_a_topics_envelope(message: str) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:x:1:n", "Message": message})


BY_EVENTBRIDGE = {
    "version": "0",
    "id": "1",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "time": "2027-01-15T08:00:00Z",
    "detail": {
        "bucket": {"name": "acme"},
        "object": {"key": "raw/a b.csv", "size": 3, "etag": "abc", "sequencer": "0055AED6"},
        "reason": "PutObject",
    },
}


@pytest.mark.parametrize(
    "payload",
    [
        told_by_s3(),
        by_topic(json.dumps(told_by_s3())),
        BY_EVENTBRIDGE,
        batch(record(json.dumps(told_by_s3()), route="load")),
        batch(record(in_a_topics_envelope(json.dumps(told_by_s3())), route="load")),
        batch(record(json.dumps(BY_EVENTBRIDGE), route="load")),
    ],
    ids=["s3", "s3-sns", "eventbridge", "s3-sqs", "s3-sns-sqs", "eventbridge-sqs"],
)
def test_an_object_is_one_event_in_all_six_envelopes(payload: dict[str, Any]) -> None:
    inner, outer = one(payload).events
    assert (inner.source, inner.id, inner.subject) == ("incoming", "a b.csv@abc-0055AED6", "a b.csv")
    assert (outer.source, outer.id) == ("all", "raw/a b.csv@abc-0055AED6")
    assert json.loads(inner.data)["uri"] == "s3://acme/raw/a%20b.csv"


def test_an_object_outside_of_every_prefix_is_nothing() -> None:
    assert [found.source for found in one(told_by_s3("other/a.csv")).events] == ["all"]


def test_a_bucket_that_nobody_declared_is_rejected_with_the_way_out() -> None:
    said = one(told_by_s3(bucket="foreign")).rejection or ""
    assert said.startswith("the app declares no source in bucket 'foreign'; bind one to it")


def test_a_deletion_is_told_by_the_sources_that_asked_for_it() -> None:
    found = event(told_by_s3(name="ObjectRemoved:Delete"))
    assert (found.type, found.source) == ("ObjectDeleted", "all")


@pytest.mark.parametrize(
    ("version", "told"),
    [({}, True), ({"versionId": "v1"}, False)],
    ids=["object", "version"],
)
def test_a_version_that_is_deleted_for_good_says_nothing_of_the_object(version: dict[str, str], told: bool) -> None:
    payload = told_by_s3(name="ObjectRemoved:Delete")
    payload["Records"][0]["s3"]["object"] |= version
    assert (len(one(payload).events), one(payload).rejection) == (told, None)


def test_a_delete_marker_is_a_deletion() -> None:
    payload = told_by_s3(name="ObjectRemoved:DeleteMarkerCreated")
    payload["Records"][0]["s3"]["object"] |= {"versionId": "v2"}
    assert event(payload).type == "ObjectDeleted"


def test_what_was_seen_of_an_object_is_compared_where_it_has_no_version_and_deletions_are_not_told() -> None:
    arrival = one(told_by_s3())
    inner, outer = arrival.events
    assert (inner.source, outer.source) == ("incoming", "all")
    assert arrival.sightings == {inner.number: Sighting("abc", "0055AED6")}
    versioned = told_by_s3()
    versioned["Records"][0]["s3"]["object"] |= {"versionId": "v1"}
    assert one(versioned).sightings == {}


@pytest.mark.parametrize(
    "body",
    [
        'please copy it to "s3"',
        '{"store":"s3"}\n{"store":"gs"}',
        '{"to":"s3","x":"\\ud800"}',
        json.dumps(told_by_s3()),
        json.dumps(told_by_s3(bucket="foreign")),
        json.dumps(BY_EVENTBRIDGE),
        '{"source":"aws.s3","x":1}',
        '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"acme"}',
    ],
    ids=["text", "lines", "surrogate", "notification", "foreign", "eventbridge", "alike", "test-event"],
)
def test_what_comes_by_a_declared_queue_is_a_message_whatever_it_says_of_s3(body: str) -> None:
    raw = record(body, id="m7")
    raw["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:orders"
    found = event(batch(raw))
    assert (found.type, found.source, json.loads(found.data)["body"]) == ("MessageReceived", "orders", body)
    raw_message = {"MessageId": "m7", "Body": body, "ReceiptHandle": "h"}
    known = {MessageReceived.__event_type__}
    there = messages.delivery_of(messages.read(raw_message), "orders", 9.0, known)
    assert (there.type, json.loads(there.data)["body"]) == (found.type, body), "as a dispatcher has it"


@pytest.mark.parametrize(
    ("claim", "said"),
    [({"type": "ObjectCreated"}, "ObjectCreated is told by"), ({"source": "incoming"}, "its source is 'incoming'")],
)
def test_a_message_of_a_declared_queue_cannot_speak_for_another_source(claim: dict[str, str], said: str) -> None:
    raw = record(json.dumps({**DIRECT, **claim}), id="m7")
    raw["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:orders"
    [arrival] = ARRIVALS.read(batch(raw), 9.0)
    assert said in (arrival.rejection or "")


def test_a_record_that_is_not_as_aws_makes_it_is_rejected_by_itself() -> None:
    odd = {**record("hello"), "attributes": {"ApproximateReceiveCount": "many"}}
    found = ARRIVALS.read(batch(odd, {**record("x"), "attributes": "y"}), 9.0)
    assert [arrival.received for arrival in found] == [1, 1]
    [arrival] = ARRIVALS.read({"Records": [{"EventSource": "aws:sns", "Sns": "hello"}]}, 9.0)
    assert arrival.rejection


def test_text_that_only_mentions_s3_is_a_message_of_any_other_queue_too() -> None:
    found = event(batch(record('copy it to "s3"', app="other", route="queue")))
    assert found.type == MessageReceived.__event_type__


def test_the_test_event_of_s3_is_acknowledged_and_is_nothing() -> None:
    arrival = one(batch(record('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "acme"}')))
    assert (arrival.events, arrival.rejection) == ([], None)


@pytest.mark.parametrize(
    "payload",
    [
        DIRECT,
        by_topic(json.dumps(DIRECT)),
        json.loads(on_the_bus(row(Processed(n=5), "d1", "me"))),
        batch(record(json.dumps(DIRECT))),
        batch(record(in_a_topics_envelope(json.dumps(DIRECT)))),
        batch(record(on_the_bus(row(Processed(n=5), "d1", "me")))),
    ],
    ids=["direct", "sns", "eventbridge", "sqs", "sns-sqs", "eventbridge-sqs"],
)
def test_an_event_keeps_its_identity_in_every_envelope(payload: dict[str, Any]) -> None:
    found = event(payload)
    assert (found.source, found.id, found.type, json.loads(found.data)) == ("me", "d1", "Processed", {"n": 5})
    assert found.number == wire.number_of("me", "d1")


def test_a_schedules_tick_is_for_its_route_alone() -> None:
    tick = {
        "specversion": "1.0", "id": "hourly@2027-01-15T08:00:00Z", "source": "timer", "type": "Tick",
        "subject": "hourly", "data": {"schedule": "hourly", "due": "2027-01-15T08:00:00Z"},
    }  # fmt: skip
    arrival = one(tick)
    assert [route.name for route in ARRIVALS.routes(arrival, arrival.events[0])] == ["hourly"]


def test_a_message_of_a_declared_queue_comes_from_that_source() -> None:
    raw = record("hello", id="m7")
    raw["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:orders"
    found = event(batch(raw))
    assert (found.source, found.id, json.loads(found.data)["body"]) == ("orders", "m7", "hello")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"specversion": "1.0", "id"', "is not JSON"),
        (json.dumps({**DIRECT, "type": "Procesed"}), "'Procesed'; did you mean 'Processed'?"),
        (json.dumps({**DIRECT, "data": {"n": "x" * 300_000}}), "over the limit of 262,144; write the data to a file"),
        (json.dumps({**DIRECT, "subject": "x" * 5000}), "subject has 5,000 characters, over the limit of 4,096"),
        ("x" * 300_000, "over the limit of 262,144; write the data to a file"),
        (json.dumps(told_by_s3(key="%FF")), "does not stand for UTF-8 text"),
    ],
    ids=["cut", "type", "large", "subject", "large-body", "key"],
)
def test_what_can_be_no_event_is_rejected_with_the_reason(body: str, said: str) -> None:
    arrival = one(batch(record(body)))
    assert said in (arrival.rejection or "")
    assert arrival.item == "m1"


def test_a_payload_that_holds_half_of_a_character_is_rejected() -> None:
    assert "a function is given records" in (one({"hello": "\ud800"}).rejection or "")
    assert "half of a surrogate pair" in (one({**DIRECT, "id": "\ud800"}).rejection or "")


@pytest.mark.parametrize("payload", [None, 7, "text", [], {}, {"Records": []}, {"Records": [7]}, {"Records": "no"}])
def test_a_payload_that_is_no_event_is_rejected(payload: object) -> None:
    assert "a function is given records" in (one(payload).rejection or "")


def test_every_message_of_a_batch_is_read_by_itself() -> None:
    told = partial(record, route="order")
    found = list(ARRIVALS.read(batch(told("hello", "a"), told('{"specversion"', "b"), told("you", "c")), 9.0))
    assert [(arrival.item, arrival.rejection is None) for arrival in found] == [("a", True), ("b", False), ("c", True)]


def test_only_an_ordered_queue_has_groups_to_keep_in_order() -> None:
    fair = record("hello")
    fair["attributes"]["MessageGroupId"] = "tenant"
    assert one(batch(fair)).group is None
    assert one(batch(record("hello", group="a"))).group == "a"


@pytest.mark.parametrize("lineage", [{"root": "e5", "depth": 9, "budget": 0}, {"root": "abc"}])
def test_who_sends_to_a_queue_of_ones_own_begins_a_chain_whatever_lineage_is_named(lineage: dict[str, Any]) -> None:
    raw = record(json.dumps({**DIRECT, **lineage}))
    raw["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:orders"
    found = event({"Records": [raw]})
    assert (found.root, found.cause, found.depth, found.budget) == (found.number, None, 0, BUDGET)

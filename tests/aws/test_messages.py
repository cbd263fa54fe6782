from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.aws import names, wire
from triggers.aws.messages import delivery_of, event_of, read
from triggers.errors import EventError
from triggers.lineage import EventRow
from triggers.sources import Delivery

KNOWN = {"Trained", "Retrain", "MessageReceived"}
CLOUD = {"specversion": "1.0", "id": "7", "source": "shell", "type": "Retrain", "data": {"model": "m"}}
ROW = EventRow(wire.number_of("run", "a"), "a", "run", "Trained", 1, None, 5.0, 9.0, '{"model":"m"}', 17, 3, 4, 99)


def received(body: str, **more: Any) -> dict[str, Any]:
    """A message as a poll receives it."""
    system = {"SentTimestamp": "5500", "ApproximateReceiveCount": "2", **more.pop("system", {})}
    return {"MessageId": "m1", "ReceiptHandle": "h1", "Body": body, "Attributes": system, **more}


def record(body: str, **more: Any) -> dict[str, Any]:
    """The same message as a function is given it."""
    own = more.pop("MessageAttributes", {})
    system = {"SentTimestamp": "5500", "ApproximateReceiveCount": "2", **more.pop("system", {})}
    small = {name: {key[0].lower() + key[1:]: value for key, value in one.items()} for name, one in own.items()}
    return {
        **{"messageId": "m1", "receiptHandle": "h1", "body": body, "attributes": system, "messageAttributes": small},
        **{"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:1:orders", "awsRegion": "us-east-1"},
    }


SHAPES = pytest.mark.parametrize("shape", [received, record])


def sns(message: str, **attributes: dict[str, str]) -> str:
    return json.dumps(
        {
            **{"Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": message},
            **{"Timestamp": "2026-01-31T08:00:00.000Z", "MessageAttributes": attributes},
        }
    )


def bus(detail: object, source: str = names.event_source("churn")) -> str:
    return json.dumps({"version": "0", "id": "x", "detail-type": "Trained", "source": source, "detail": detail})


def delivered(raw: dict[str, Any]) -> Delivery:
    return delivery_of(read(raw), "orders", 9.0, KNOWN)


# --- any body ------------------------------------------------------------------------------------


@SHAPES
def test_any_body_is_a_message_of_the_source_with_the_identity_and_the_time_of_the_message(shape: Any) -> None:
    found = delivered(shape("hello"))
    assert (found.source, found.id, found.type, found.time) == ("orders", "m1", "MessageReceived", 5.5)
    assert json.loads(found.data) == {"body": "hello", "attributes": {"AWS.ApproximateReceiveCount": "2"}}


def test_attributes_are_text_and_binary_ones_base64_in_both_shapes() -> None:
    number = {"DataType": "Number", "StringValue": "3"}
    polled = received("x", MessageAttributes={"n": number, "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}})
    given = record("x", MessageAttributes={"n": number, "b": {"DataType": "Binary", "BinaryValue": "AP8="}})
    assert delivered(polled).data == delivered(given).data
    attributes = json.loads(delivered(polled).data)["attributes"]
    assert (attributes["n"], attributes["b"]) == ("3", "AP8=")


@SHAPES
def test_a_message_of_a_fifo_queue_names_its_group_and_what_it_is_deduplicated_by(shape: Any) -> None:
    message = read(shape("x", system={"MessageGroupId": "g", "MessageDeduplicationId": "d"}))
    assert message.attributes["AWS.MessageGroupId"] == "g"
    assert message.attributes["AWS.MessageDeduplicationId"] == "d"
    assert message.id == "m1"  # what is deduplicated by its content may be sent again five minutes later, and is new


@pytest.mark.parametrize("body", ["[1]", "3", '"specversion"', '{"detail-type":"T"}', '{"TopicArn":1}', "{", ""])
def test_json_that_is_no_event_is_handed_over_as_it_is(body: str) -> None:
    assert json.loads(delivered(received(body)).data)["body"] == body


def test_what_another_service_put_on_a_bus_is_handed_over_as_it_is() -> None:
    body = bus({"state": "ended"}, source="aws.batch")
    assert json.loads(delivered(received(body)).data)["body"] == body


# --- events --------------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize(
    "wrapped",
    [
        json.dumps(CLOUD),
        json.dumps(CLOUD, indent=2),
        bus(CLOUD),
        sns(json.dumps(CLOUD)),
        sns(bus(CLOUD)),
    ],
)
def test_a_cloudevent_in_any_envelope_is_the_event_that_it_names(shape: Any, wrapped: str) -> None:
    assert delivered(shape(wrapped)) == Delivery("shell", "7", "Retrain", '{"model":"m"}', 9.0)


@pytest.mark.parametrize("wrap", [str, sns, lambda text: bus(json.loads(text))])
def test_an_event_of_ours_keeps_its_lineage_for_a_function(wrap: Any) -> None:
    assert event_of(read(record(wrap(wire.write(ROW)))), "orders", 9.0, KNOWN) == ROW


def test_any_other_message_is_the_root_of_a_chain_for_a_function() -> None:
    event = event_of(read(record("hello")), "orders", 9.0, KNOWN)
    assert (event.type, event.source, event.id, event.cause) == ("MessageReceived", "orders", "m1", None)
    assert event.number == event.root == wire.number_of("orders", "m1")


def test_a_notification_is_what_was_published_and_one_however_often_sns_hands_it_over() -> None:
    body = sns("hello", kind={"Type": "String", "Value": "a"}, raw={"Type": "Binary", "Value": "AP8="})
    first, again = (delivered({**received(body), "MessageId": id}) for id in ("m1", "m2"))
    assert first == again
    assert first.id == "n1"
    assert json.loads(first.data) == {
        "body": "hello",
        "attributes": {"kind": "a", "raw": "AP8=", "AWS.ApproximateReceiveCount": "2"},
    }


# --- what cannot be an event ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps({**CLOUD, "specversion": "0.3"}), "specversion must be '1.0', not '0.3'"),
        (json.dumps({**CLOUD, "id": ""}), "id must be text and not empty"),
        (json.dumps({**CLOUD, "data": [1]}), "the data of Retrain must be a JSON object"),
        (json.dumps(CLOUD)[:-9], "the event is not JSON"),
        (sns(json.dumps(CLOUD)[:-9]), "the event is not JSON"),
        (bus({"model": "m"}), "specversion must be '1.0', not None"),
        (
            json.dumps({**CLOUD, "type": "Retrian"}),
            "no route takes or emits events of the type 'Retrian'; did you mean",
        ),
        (json.dumps({**CLOUD, "type": "triggers.redrive"}), "of the type 'triggers.redrive'"),
        ("half of a character: \ud800", "MessageReceived cannot be written as JSON"),
        ("x" * 300_000, "MessageReceived is 300,0.. bytes, over the limit of 262,144"),
        (json.dumps({**CLOUD, "data": {"x": "x" * 300_000}}), "Retrain is 300,0.. bytes, over the limit"),
    ],
)
def test_what_claims_to_be_an_event_and_cannot_be_one_is_refused(body: str, said: str) -> None:
    for event in (delivery_of, event_of):
        with pytest.raises(EventError, match=said):
            event(read(record(body)), "orders", 9.0, KNOWN)


@pytest.mark.parametrize("kind", ["ObjectCreated", "ObjectDeleted", "Tick", "Missing"])
def test_no_message_tells_of_files_objects_or_the_time(kind: str) -> None:
    data = {"key": "a", "uri": "file:///etc/passwd", "size": 1, "version": "1-1-1"}
    body = json.dumps({**CLOUD, "type": kind, "source": "incoming", "data": data})
    with pytest.raises(EventError, match=f"^{kind} is told by the app's own sources, .* and not by a message"):
        delivery_of(read(record(body)), "orders", 9.0, {*KNOWN, kind})


def test_no_message_is_in_the_name_of_another_source_whose_identities_it_would_use_up() -> None:
    def told(source: str) -> Delivery:
        body = json.dumps({**CLOUD, "source": source})
        return delivery_of(read(record(body)), "orders", 9.0, KNOWN, {"orders", "timer", "incoming"})

    assert told("orders").source == "orders"
    assert told("shop").source == "shop"
    for name in ("timer", "incoming"):
        with pytest.raises(EventError, match=f"its source is '{name}', another source of the app, and it came by 'ord"):
            told(name)


@pytest.mark.parametrize("raw", [{}, {"body": "x"}, {"MessageId": "m"}, {"messageId": 1, "body": "x"}])
def test_what_is_no_message_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(EventError, match="has a messageId and a body"):
        read(raw)


FIELDS = (
    *("specversion", "id", "source", "type", "data", "root", "time", "detail", "detail-type", "Type", "TopicArn"),
    *("Message", "attributes", "messageAttributes", "SentTimestamp", "MessageGroupId", "stringValue"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(max_size=3),
            inner | st.sampled_from(["1.0", "Notification", "triggers.churn", "Retrain"]),
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=30)
@given(JSON | JSON.map(json.dumps), JSON, JSON)
def test_whatever_comes_is_an_event_or_refused(body: Any, attributes: Any, own: Any) -> None:
    raw = {"messageId": "m", "body": body, "attributes": attributes, "messageAttributes": own}
    for event in (delivery_of, event_of):
        try:
            event(read(raw), "orders", 9.0, KNOWN)
        except EventError:
            continue

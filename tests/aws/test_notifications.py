from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.aws.notifications import Notice, Told, creation, deletion, is_later, told
from triggers.errors import EventError

WHEN = "2026-01-31T08:00:00.000Z"
AT = 1769846400.0


def record(name: str = "ObjectCreated:Put", version: str = "2.3", **thing: Any) -> dict[str, Any]:
    """A record as S3 writes it, in full."""
    return {
        "eventVersion": version,
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": WHEN,
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDA"},
        "requestParameters": {"sourceIPAddress": "10.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D1", "x-amz-id-2": "FMyU"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "in",
            "bucket": {"name": "acme", "ownerIdentity": {"principalId": "A3NL"}, "arn": "arn:aws:s3:::acme"},
            "object": {"key": "raw/a.csv", "size": 5, "eTag": "b1946a", "versionId": "v1", "sequencer": "0A"} | thing,
        },
    }


def direct(**thing: Any) -> dict[str, Any]:
    return {"Records": [record(**thing)]}


def by_bus(name: str = "Object Created", **thing: Any) -> dict[str, Any]:
    """An event as EventBridge hands it on."""
    whole = {"key": "raw/a.csv", "size": 5, "etag": "b1946a", "version-id": "v1", "sequencer": "0A"}
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": name,
        "source": "aws.s3",
        "account": "111122223333",
        "time": WHEN,
        "region": "eu-central-1",
        "resources": ["arn:aws:s3:::acme"],
        "detail": {"version": "0", "bucket": {"name": "acme"}, "object": whole | thing, "reason": "PutObject"},
    }


def by_topic_to_a_queue(body: object) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:x", "Message": json.dumps(body)}


def by_topic_to_a_function(body: object) -> dict[str, Any]:
    sns = {"Type": "Notification", "Message": json.dumps(body)}
    return {"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns}]}


def as_it_is(body: dict[str, Any]) -> dict[str, Any]:
    return body


ENVELOPES = [as_it_is, by_topic_to_a_queue, by_topic_to_a_function]
Envelope = Callable[[Any], dict[str, Any]]


def only(body: object) -> Notice:
    found = told(body)
    assert found is not None
    (notice,) = found.notices
    assert not found.malformed
    return notice


def read(body: object) -> Sequence[Notice]:
    """Return the notices of a body; raise what is wrong with it, or with a record in it."""
    found = told(body) or Told([])
    for why in found.malformed:
        raise EventError(why)
    return found.notices


# --- the same notice in every envelope


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("body", [direct(), by_bus()], ids=["by S3", "by EventBridge"])
def test_an_object_is_the_same_in_every_envelope(envelope: Envelope, body: dict[str, Any]) -> None:
    notice = only(envelope(body))
    assert notice._replace(reason="") == Notice("created", "acme", "raw/a.csv", "v1", "b1946a", 5, "0A", AT, "")
    assert creation(notice, "incoming", "a.csv") == creation(only(direct()), "incoming", "a.csv")


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(KEYS)
def test_a_key_comes_out_as_it_is_called(key: str) -> None:
    as_moto, as_aws = quote_plus(key), quote_plus(key, safe="/")
    assert only(direct(key=as_moto)).key == only(direct(key=as_aws)).key == only(by_bus(key=key)).key == key


def test_only_records_encode_their_keys() -> None:
    assert only(direct(key="a+b%2Bc")).key == "a b+c"
    assert only(by_bus(key="a+b%2Bc")).key == "a+b%2Bc"


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2", "2.3", "2.9", "2.10"])
def test_every_minor_version_of_a_record_is_read(version: str) -> None:
    assert only({"Records": [record(version=version)]}).kind == "created"


def test_a_record_of_a_version_that_changes_its_fields_is_refused() -> None:
    with pytest.raises(EventError, match=r"Records\[0\]\.eventVersion is '3\.0'.*upgrade"):
        read({"Records": [record(version="3.0")]})


# --- what happened


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ObjectCreated:Put", "created"),
        ("ObjectCreated:Post", "created"),
        ("ObjectCreated:Copy", "created"),
        ("ObjectCreated:CompleteMultipartUpload", "created"),
        ("s3:ObjectCreated:Put", "created"),
        ("ObjectRemoved:Delete", "deleted"),
        ("ObjectRemoved:DeleteMarkerCreated", "deleted"),
        ("LifecycleExpiration:Delete", "deleted"),
        ("LifecycleExpiration:DeleteMarkerCreated", "deleted"),
        ("LifecycleTransition", "other"),
        ("ObjectRestore:Post", "other"),
        ("ObjectRestore:Completed", "other"),
        ("ObjectRestore:Delete", "other"),
        ("ReducedRedundancyLostObject", "other"),
        ("Replication:OperationFailedReplication", "other"),
        ("Replication:OperationMissedThreshold", "other"),
        ("Replication:OperationReplicatedAfterThreshold", "other"),
        ("Replication:OperationNotTracked", "other"),
        ("IntelligentTiering", "other"),
        ("ObjectTagging:Put", "other"),
        ("ObjectTagging:Delete", "other"),
        ("ObjectAcl:Put", "other"),
        ("ObjectPolished:Put", "other"),
    ],
)
def test_what_a_record_says_of_the_content(name: str, kind: str) -> None:
    notice = only({"Records": [record(name)]})
    assert (notice.kind, notice.reason) == (kind, name.removeprefix("s3:"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Object Created", "created"),
        ("Object Deleted", "deleted"),
        ("Object Restore Initiated", "other"),
        ("Object Restore Completed", "other"),
        ("Object Restore Expired", "other"),
        ("Object Storage Class Changed", "other"),
        ("Object Access Tier Changed", "other"),
        ("Object ACL Updated", "other"),
        ("Object Tags Added", "other"),
        ("Object Tags Deleted", "other"),
    ],
)
def test_what_an_event_of_the_bus_says_of_the_content(name: str, kind: str) -> None:
    assert only(by_bus(name)).kind == kind


def test_records_with_more_to_say_are_read_all_the_same() -> None:
    more = {
        "glacierEventData": {"restoreEventData": {"lifecycleRestorationExpiryTime": WHEN}},
        "replicationEventData": {"replicationRuleId": "r", "destinationBucket": "arn:aws:s3:::b"},
        "intelligentTieringEventData": {"destinationAccessTier": "ARCHIVE_ACCESS"},
        "lifecycleEventData": {"transitionEventData": {"destinationStorageClass": "GLACIER"}},
    }
    assert only({"Records": [record() | more]}) == only(direct())


def test_an_expired_object_has_neither_a_size_nor_an_etag() -> None:
    expired = record("LifecycleExpiration:Delete")
    expired["s3"]["object"] = {"key": "raw/a.csv", "sequencer": "0055AED6DCD90281E5"}
    notice = only({"Records": [expired]})
    assert (notice.kind, notice.size, notice.etag, notice.version) == ("deleted", None, None, None)


def test_a_delete_marker_is_no_version_of_the_content() -> None:
    by_s3 = only({"Records": [record("ObjectRemoved:DeleteMarkerCreated")]})
    event = by_bus("Object Deleted")
    event["detail"]["deletion-type"] = "Delete Marker Created"
    assert by_s3.content == only(event).content == ""
    assert only(by_bus("Object Deleted")).content == "v1"


def test_the_test_event_of_a_new_configuration_says_nothing() -> None:
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": WHEN, "Bucket": "acme", "RequestId": "1"}
    for body in (test, by_topic_to_a_queue(test)):
        found = told(body)
        assert found is not None
        assert [*found.notices, *found.malformed] == []


def test_several_records_are_several_notices() -> None:
    assert [notice.key for notice in read({"Records": [record(key="a"), record(key="b")]})] == ["a", "b"]


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_record_that_is_malformed_keeps_no_other_from_being_read(envelope: Envelope) -> None:
    found = told(envelope({"Records": [record(key="a"), record(key="%ff"), 7, record(key="b")]}))
    assert found is not None
    assert [notice.key for notice in found.notices] == ["a", "b"]
    assert [why.rpartition("Records")[2][:3] for why in found.malformed] == ["[1]", "[2]"]


# --- poorer than AWS


def test_what_moto_leaves_out_may_be_missing() -> None:
    poor = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": WHEN,
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "acme"}, "object": {"key": "raw%2Fa+b.csv", "size": 5, "eTag": "b1946a"}},
    }
    assert only({"Records": [poor]}) == Notice(
        "created", "acme", "raw/a b.csv", None, "b1946a", 5, None, AT, "ObjectCreated:Put"
    )


def test_the_bus_of_moto_writes_times_and_etags_its_own_way() -> None:
    event = by_bus() | {"time": AT}
    event["detail"]["object"] = {"key": "raw/a.csv", "size": 5, "eTag": "b1946a", "version-id": None, "sequencer": "6"}
    notice = only(event)
    assert (notice.time, notice.etag, notice.version) == (AT, "b1946a", None)


def test_the_version_of_an_object_that_was_put_without_one_is_its_etag() -> None:
    assert only(direct(versionId="null")).content == "b1946a"
    assert only(direct(versionId="null", eTag='"b1946a"')).content == "b1946a"


def test_other_makes_of_s3_may_put_their_own_name_to_a_record() -> None:
    assert only({"Records": [record("s3:ObjectCreated:Put") | {"eventSource": "minio:s3"}]}).kind == "created"


# --- what is not from S3


@pytest.mark.parametrize(
    "body",
    [
        None,
        7,
        [],
        {},
        {"order": 17},
        {"Records": []},
        {"Records": {"a": 1}},
        {"Records": [{"eventSource": "aws:dynamodb"}]},
        {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification", "detail": {}},
        by_topic_to_a_queue({"order": 17}),
        {"Type": "Notification", "Message": "hello"},
        {"Type": "Notification", "Message": '"\\ud800"'},
        by_topic_to_a_function("hello"),
    ],
)
def test_what_is_not_from_s3_is_left_to_others(body: object) -> None:
    assert told(body) is None


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (direct(key=""), r"^Records\[0\]\.s3\.object\.key must be text and not empty, not ''"),
        (direct(key=7), r"^Records\[0\]\.s3\.object\.key must be text, not 7"),
        (direct(key="%ff"), r"^Records\[0\]\.s3\.object\.key '%ff' does not stand for UTF-8"),
        (direct(key="\ud800"), r"^Records\[0\]\.s3\.object\.key must be Unicode text"),
        (direct(size="5"), r"^Records\[0\]\.s3\.object\.size must be a whole number, 0 or more, not '5'"),
        (direct(size=-1), r"size must be a whole number"),
        (direct(size=True), r"size must be a whole number"),
        (direct(size=None), r"^Records\[0\]\.s3\.object\.size is missing"),
        (direct(versionId=None, eTag=None), r"^Records\[0\]\.s3\.object has neither a version nor an ETag"),
        ({"Records": [record() | {"s3": 1}]}, r"^Records\[0\]\.s3 must be a JSON object, not 1"),
        ({"Records": [record() | {"eventTime": "today"}]}, r"^Records\[0\]\.eventTime must be a time like"),
        ({"Records": [record() | {"eventTime": "2026-01-31T08:00:00"}]}, r"eventTime must be a time like"),
        ({"Records": [record() | {"eventName": None}]}, r"^Records\[0\]\.eventName must be text and not empty"),
        ({"Records": [record(), 7]}, r"^Records\[1\] is not from S3, though others"),
        (by_bus() | {"detail": None}, r"^detail must be a JSON object, not None"),
        (by_bus() | {"time": float("nan")}, r"^time must be a time like"),
        (by_bus() | {"time": 1e300}, r"^time must be a time like"),
        (by_bus("AWS API Call via CloudTrail"), r"^detail-type 'AWS API Call via CloudTrail' is not about an object"),
        (by_topic_to_a_queue(direct(key="")), r"^Message: Records\[0\]\.s3\.object\.key must"),
        (by_topic_to_a_function(by_bus(key="")), r"^Records\[0\]\.Sns\.Message: detail\.object\.key must"),
        ({"Type": "Notification"}, r"^Message must be text and not empty"),
        ({"Records": [{"EventSource": "aws:sns", "Sns": []}]}, r"^Records\[0\]\.Sns must be a JSON object"),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(body: object, place: str) -> None:
    with pytest.raises(EventError, match=place):
        read(body)


WORDS = ["Records", "eventSource", "aws:s3", "s3", "object", "key", "source", "aws.s3", "detail", "Type", "Message"]
TEXTS = st.text(max_size=8) | st.sampled_from([*WORDS, "Notification", "detail-type", "Object Created", "\ud800"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)


def refusal(body: object) -> str | None:
    """Return why a body is refused, None where it is not; all that is read must become an event."""
    try:
        for notice in read(body):
            creation(notice, "in", notice.key)
    except EventError as error:
        return str(error)
    return None


@given(JSON)
def test_no_json_brings_the_reader_down(body: object) -> None:
    assert refusal(body) != ""


PLACES = ["eventName", "eventTime", "eventVersion", "s3", "s3.object", "s3.bucket", "s3.bucket.name"]
FIELDS = [f"s3.object.{name}" for name in ("key", "size", "eTag", "versionId", "sequencer")]


@given(st.sampled_from([*PLACES, *FIELDS]), JSON)
def test_no_value_in_place_of_another_brings_the_reader_down(place: str, value: object) -> None:
    body = direct()
    *way, last = place.split(".")
    part = body["Records"][0]
    for step in way:
        part = part[step]
    part[last] = value
    refused = refusal(body)
    assert refused is None or refused.startswith(f"Records[0].{'.'.join(way)}")


# --- what is made of them


def test_an_object_with_a_version_is_known_by_it() -> None:
    event = creation(only(direct(key="raw/a+b.csv")), "incoming", "a b.csv")
    assert (event.source, event.id, event.subject, event.type) == (
        *("incoming", "a b.csv@v1", "a b.csv", "ObjectCreated"),
    )
    assert json.loads(event.data) == {
        "key": "a b.csv",
        "uri": "s3://acme/raw/a%20b.csv?versionId=v1",
        "size": 5,
        "version": "v1",
    }


def test_the_same_content_put_again_is_another_event_where_there_are_sequencers() -> None:
    first = creation(only(direct(versionId=None, sequencer="0A")), "incoming", "a.csv")
    again = creation(only(direct(versionId=None, sequencer="0B")), "incoming", "a.csv")
    assert (first.id, again.id) == ("a.csv@b1946a-0A", "a.csv@b1946a-0B")
    assert first.data == again.data


def test_a_key_with_a_line_break_stays_in_one_line_of_its_uri() -> None:
    event = creation(only(by_bus(key="a\nb")), "incoming", "a\nb")
    assert json.loads(event.data)["uri"] == "s3://acme/a%0Ab?versionId=v1"


def test_a_key_as_long_as_s3_takes_leaves_room_in_an_identity() -> None:
    long = [creation(only(by_bus(key="x" * 1023 + last)), "in", "x" * 1023 + last).id for last in "ab"]
    assert max(map(len, long)) <= 1024
    assert long[0] != long[1]


def test_a_deletion_names_the_content_that_was_told_last() -> None:
    event = deletion(only({"Records": [record("ObjectRemoved:Delete")]}), "incoming", "a.csv", "v0")
    assert json.loads(event.data) == {"key": "a.csv", "uri": "s3://acme/raw/a.csv", "version": "v0"}
    assert event.id == "a.csv@v0-gone-0A"


@pytest.mark.parametrize(
    ("earlier", "later"), [("0A", "0B"), ("0055AED6DCD90281E5", "0055AED6DCD90281E6"), ("0a", "0B"), ("0A", "0A01")]
)
def test_sequencers_order_the_notices_of_a_key(earlier: str, later: str) -> None:
    assert is_later(later, earlier)
    assert not is_later(earlier, later)


def test_a_sequencer_is_not_later_than_itself_padded() -> None:
    assert not is_later("0A00", "0A")
    assert not is_later("0A", "0A00")

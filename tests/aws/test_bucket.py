from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.sources.site import FakeSite, SiteClock, Tap, tapped
from triggers import App, Bucket, ObjectCreated
from triggers.aws import names
from triggers.engine import Engine
from triggers.errors import TriggersError, WiringError
from triggers.sources import Delivery
from triggers.state import StateFolder

PATIENCE = 30.0  # seconds; moto answers a few hundred calls a second, and other tests use it, too

NOBODY = "http://127.0.0.1:9"  # the port of a service that throws away what it is told, if anybody had it

Story = Callable[[Tap], Awaitable[None]]


@cache
def client(service: str) -> Any:
    """Return a client of the emulation; to make one takes longer than most tests."""
    return boto3.client(service)


class Place:
    """A bucket of the test's own with a queue that the source listens to, and a source over its prefix `raw`."""

    def __init__(self, unique: str) -> None:
        self.s3, self.sqs = client("s3"), client("sqs")
        self.bucket = unique
        self.site = FakeSite()
        self.queue = names.source_queue(unique, "incoming")
        self.s3.create_bucket(Bucket=self.bucket)
        self.url = self.sqs.create_queue(QueueName=self.queue)["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = attributes["Attributes"]["QueueArn"]

    def source(self, **options: Any) -> Bucket:
        return Bucket(f"s3://{self.bucket}/raw", name="incoming", **options)

    def put(self, key: str, content: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content.encode())

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def keep_versions(self) -> None:
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def notify(self, **configuration: Any) -> None:
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration=configuration, SkipDestinationValidation=True
        )

    def notify_the_queue(self) -> None:
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        self.notify(QueueConfigurations=[{"QueueArn": self.arn, "Events": events}])

    def send(self, body: object) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.url, MessageBody=text)

    def say(self, key: str, etag: str, name: str = "ObjectCreated:Put", **thing: Any) -> None:
        """Have S3 tell the queue of an object, whatever is in the bucket."""
        self.send(
            {
                "Records": [
                    {
                        "eventVersion": "2.1",
                        "eventSource": "aws:s3",
                        "eventTime": "2026-01-31T08:00:00.000Z",
                        "eventName": name,
                        "s3": {
                            "bucket": {"name": thing.pop("bucket", self.bucket)},
                            "object": {"key": key, "size": 1, "eTag": etag, **thing},
                        },
                    }
                ]
            }
        )

    def waiting(self) -> int:
        """Return how many messages are in the queue, received or not."""
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=wanted)["Attributes"]
        return sum(int(found[name]) for name in wanted)

    def version(self, key: str) -> str:
        version: str = self.s3.head_object(Bucket=self.bucket, Key=key)["VersionId"]
        return version

    def etag(self, key: str) -> str:
        etag: str = self.s3.head_object(Bucket=self.bucket, Key=key)["ETag"]
        return etag.strip('"')

    def run(self, story: Story, *, watches: bool = True, **options: Any) -> list[Delivery]:
        """Run the source for as long as the story goes on; return what it told and nobody took."""

        before, self.site = self.site, FakeSite(watches=watches)
        self.site.app, self.site.ledger = self.bucket, before.ledger

        async def main() -> list[Delivery]:
            async with asyncio.timeout(PATIENCE), tapped(self.source(**options), self.site) as tap:
                await story(tap)
                return [tap.arrived.get_nowait() for _ in range(tap.arrived.qsize())]

        return asyncio.run(main())

    def listed(self, **options: Any) -> list[Delivery]:
        """Return what a listing tells."""
        return self.run(poked, watches=False, **options)


@pytest.fixture
def place(endpoint: str, unique: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("triggers.aws.polling.GLANCE", 0)  # moto has one server, and a second is long
    return Place(unique)


def seen(deliveries: list[Delivery]) -> list[tuple[str, str | None, str]]:
    return [(one.type, one.subject, json.loads(one.data)["version"]) for one in deliveries]


async def idle(tap: Tap) -> None:
    await tap.idle()


async def poked(tap: Tap) -> None:
    await tap.idle()
    await tap.poke()


# --- what arrives


def test_an_object_is_told_as_soon_as_its_notification_arrives(place: Place) -> None:
    place.notify_the_queue()

    async def story(tap: Tap) -> None:
        await tap.idle()
        place.put("raw/2026/a b.csv", "one")
        (told,) = await tap.take()
        assert (told.source, told.subject) == ("incoming", "2026/a b.csv")
        assert json.loads(told.data) == {
            "key": "2026/a b.csv",
            "uri": f"s3://{place.bucket}/raw/2026/a%20b.csv",
            "size": 3,
            "version": place.etag("raw/2026/a b.csv"),
        }

    assert place.run(story) == []


def test_a_notification_through_a_topic_is_the_same(place: Place) -> None:
    sns = client("sns")
    topic = sns.create_topic(Name=place.bucket)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=place.arn)
    place.notify(TopicConfigurations=[{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}])

    async def story(tap: Tap) -> None:
        await tap.idle()
        place.put("raw/a.csv", "one")
        assert await tap.keys() == ["a.csv"]

    assert place.run(story) == []


def test_a_notification_through_eventbridge_is_the_same(place: Place) -> None:
    events = client("events")
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [place.bucket]}}}
    events.put_rule(Name=place.bucket, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=place.bucket, Targets=[{"Id": "queue", "Arn": place.arn}])
    place.notify(EventBridgeConfiguration={})

    async def story(tap: Tap) -> None:
        await tap.idle()
        place.put("raw/a+b.csv", "one")
        assert await tap.keys() == ["a+b.csv"]
        place.put("raw/a+b.csv", "two")  # moto's sequencer is always the same: it orders nothing
        assert await tap.keys() == ["a+b.csv"]

    assert place.run(story) == []


def test_what_is_there_at_the_start_is_told(place: Place) -> None:
    place.put("raw/a.csv", "one")
    place.put("raw/b/c.csv", "two")
    told = place.run(idle)
    assert seen(told) == [
        ("ObjectCreated", "a.csv", place.etag("raw/a.csv")),
        ("ObjectCreated", "b/c.csv", place.etag("raw/b/c.csv")),
    ]
    assert place.site.looks == {told[0].source}


def test_a_listing_of_many_pages_tells_every_object_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triggers.aws.bucket.BATCH", 2)
    for number in range(5):
        place.put(f"raw/{number}.csv", "one")
    assert [told.subject for told in place.listed()] == [f"{number}.csv" for number in range(5)]
    assert place.listed() == []


def test_a_restart_with_nothing_new_tells_nothing(place: Place) -> None:
    place.notify_the_queue()

    async def story(tap: Tap) -> None:
        await tap.idle()
        place.put("raw/a.csv", "one")
        await tap.take()

    place.run(story)
    assert place.run(idle) == []
    assert place.waiting() == 0


def test_an_object_whose_notification_was_lost_is_found_by_the_next_listing(place: Place) -> None:
    async def story(tap: Tap) -> None:
        await tap.idle()
        place.put("raw/a.csv", "one")
        await place.site.time.advance(600)
        assert await tap.keys() == ["a.csv"]

    assert place.run(story, audit=600) == []


def test_where_nobody_may_watch_it_lists_only_when_it_is_poked(place: Place) -> None:
    async def story(tap: Tap) -> None:
        await tap.idle()
        assert tap.told == 0
        place.put("raw/a.csv", "one")
        await tap.poke()
        assert await tap.keys() == ["a.csv"]

    assert place.run(story, watches=False) == []


# --- once


def test_a_notification_of_what_a_listing_showed_tells_nothing_new(place: Place) -> None:
    place.notify_the_queue()
    place.put("raw/a.csv", "one")
    assert [told.subject for told in place.run(idle)] == ["a.csv"]
    assert place.waiting() == 0


def test_what_comes_two_ways_is_told_once(place: Place) -> None:
    place.notify_the_queue()
    place.put("raw/a.csv", "one")
    place.say("raw/a.csv", place.etag("raw/a.csv"), sequencer="0A")
    place.say("raw/a.csv", place.etag("raw/a.csv"), sequencer="0A")
    assert [told.subject for told in place.run(idle)] == ["a.csv"]


def test_new_content_is_told_again_and_the_same_content_is_not(place: Place) -> None:
    place.notify_the_queue()

    async def story(tap: Tap) -> None:
        for content in ("one", "two", "two"):
            place.put("raw/a.csv", content)
        await tap.idle()

    told = seen(place.run(story))
    assert told[-1] == ("ObjectCreated", "a.csv", place.etag("raw/a.csv"))
    assert len(set(told)) == len(told)


def test_an_earlier_notification_that_comes_late_tells_nothing(place: Place) -> None:
    async def story(tap: Tap) -> None:
        await tap.idle()
        place.say("raw/a.csv", "second", sequencer="0B")
        await tap.take()
        place.say("raw/a.csv", "first", sequencer="0A")
        place.say("raw/b.csv", "other", sequencer="0A")
        assert await tap.keys() == ["b.csv"]

    assert place.run(story) == []
    assert b"second" in place.site.ledger["incoming", b"a.csv"]


def test_the_sequencer_of_a_duplicate_orders_what_comes_after_it(place: Place) -> None:
    async def story(tap: Tap) -> None:
        await tap.idle()
        for etag, sequencer in (("same", "0A"), ("same", "0C"), ("old", "0B"), ("new", "0D")):
            place.say("raw/a.csv", etag, sequencer=sequencer)
        await tap.take(2)

    assert place.run(story) == []
    assert place.site.ledger["incoming", b"a.csv"] == b" new 0D"


def test_where_nobody_says_what_was_first_the_bucket_does(place: Place) -> None:
    place.put("raw/a.csv", "now")
    place.put("raw/b.csv", "now")

    async def story(tap: Tap) -> None:
        await tap.take(2)
        place.say("raw/a.csv", "long-ago", sequencer="0A")  # the listing knew of no sequencer
        place.put("raw/b.csv", "newer")
        place.say("raw/b.csv", "long-ago", sequencer="0A")
        (told,) = await tap.take()
        assert seen([told]) == [("ObjectCreated", "b.csv", place.etag("raw/b.csv"))]
        await tap.idle()

    assert place.run(story) == []


# --- versions


def test_each_version_is_told_and_named(place: Place) -> None:
    place.keep_versions()
    place.put("raw/a.csv", "one")
    place.put("raw/a.csv", "two")
    latest = place.version("raw/a.csv")
    (told,) = place.listed()
    assert seen([told]) == [("ObjectCreated", "a.csv", latest)]
    assert json.loads(told.data)["uri"] == f"s3://{place.bucket}/raw/a.csv?versionId={latest}"
    assert place.listed() == []


def test_the_same_content_put_anew_is_another_version(place: Place) -> None:
    place.keep_versions()

    async def story(tap: Tap) -> None:
        place.put("raw/a.csv", "one")
        await poked(tap)
        place.put("raw/a.csv", "one")
        await tap.poke()
        assert len(set(seen(await tap.take(2)))) == 2

    assert place.run(story, watches=False) == []


def test_a_notification_without_a_version_and_a_listing_with_one_are_one_event(place: Place) -> None:
    place.keep_versions()
    place.notify_the_queue()  # moto's records name no versions

    async def story(tap: Tap) -> None:
        await tap.idle()
        place.put("raw/a.csv", "one")
        await tap.take()
        await tap.poke()

    assert place.run(story) == []
    assert place.listed() == []
    version = place.version("raw/a.csv")
    assert version.encode() in place.site.ledger["incoming", b"a.csv"]


def test_versions_that_are_turned_on_later_tell_nothing_again(place: Place) -> None:
    place.put("raw/a.csv", "one")
    assert len(place.listed()) == 1
    place.keep_versions()
    assert place.listed() == []


def test_a_version_that_shows_again_is_told_again(place: Place) -> None:
    place.keep_versions()
    place.put("raw/a.csv", "one")
    first = place.version("raw/a.csv")
    place.put("raw/a.csv", "two")

    async def story(tap: Tap) -> None:
        await tap.take()
        second = place.version("raw/a.csv")
        place.s3.delete_object(Bucket=place.bucket, Key="raw/a.csv", VersionId=second)
        place.say("raw/a.csv", "", "ObjectRemoved:Delete", versionId=second, sequencer="0A")
        assert seen(await tap.take()) == [("ObjectCreated", "a.csv", first)]

    assert place.run(story, deletions=True) == []


def test_moto_tells_no_versions_no_delete_markers_and_no_deletions_of_versions(place: Place) -> None:
    place.keep_versions()
    place.notify_the_queue()
    place.put("raw/a.csv", "one")
    first = place.version("raw/a.csv")
    place.put("raw/a.csv", "two")
    place.s3.delete_object(Bucket=place.bucket, Key="raw/a.csv", VersionId=first)
    place.delete("raw/a.csv")
    received = place.sqs.receive_message(QueueUrl=place.url, MaxNumberOfMessages=10)["Messages"]
    records = [record for message in received for record in json.loads(message["Body"]).get("Records", ())]
    assert [record["eventName"] for record in records] == ["ObjectCreated:Put"] * 2
    assert {name for record in records for name in record["s3"]["object"]} == {"key", "size", "eTag"}


# --- deletions


def test_a_deletion_is_told_where_it_is_asked_for(place: Place) -> None:
    place.put("raw/a.csv.gz", "one")  # the next one that begins so
    place.notify_the_queue()

    async def story(tap: Tap) -> None:
        assert await tap.keys() == ["a.csv.gz"]
        place.put("raw/a.csv", "one")
        (created,) = await tap.take()
        place.delete("raw/a.csv")
        (gone,) = await tap.take()
        version = json.loads(created.data)["version"]
        assert json.loads(gone.data) == {"key": "a.csv", "uri": f"s3://{place.bucket}/raw/a.csv", "version": version}
        place.put("raw/a.csv", "one")
        assert await tap.keys() == ["a.csv"]

    assert place.run(story, deletions=True) == []


def test_a_deletion_is_not_told_where_it_is_not_asked_for(place: Place) -> None:
    place.notify_the_queue()

    async def story(tap: Tap) -> None:
        await tap.idle()
        place.put("raw/a.csv", "one")
        await tap.take()
        place.delete("raw/a.csv")
        place.put("raw/b.csv", "one")
        assert await tap.keys() == ["b.csv"]

    assert place.run(story) == []


@pytest.mark.parametrize("versions", [False, True])
def test_what_was_deleted_while_it_was_down_is_told_by_the_listing(
    place: Place, versions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.aws.bucket.BATCH", 2)
    if versions:
        place.keep_versions()
    for key in "abcdefg":
        place.put(f"raw/{key}.csv", "one")
    assert len(place.listed(deletions=True)) == 7
    for key in "adg":
        place.delete(f"raw/{key}.csv")
    told = place.listed(deletions=True)
    assert sorted((one.type, one.subject) for one in told) == [("ObjectDeleted", f"{key}.csv") for key in "adg"]
    assert place.listed(deletions=True) == []


def test_what_was_gone_before_deletions_were_asked_for_is_not_told(place: Place) -> None:
    place.put("raw/a.csv", "one")
    place.put("raw/b.csv", "one")
    assert len(place.listed()) == 2
    place.delete("raw/a.csv")
    assert place.listed(deletions=True) == []
    place.delete("raw/b.csv")
    assert [one.subject for one in place.listed(deletions=True)] == ["b.csv"]


def test_a_deletion_of_an_earlier_version_deletes_no_object(place: Place) -> None:
    place.keep_versions()
    place.put("raw/a.csv", "one")
    first = place.version("raw/a.csv")
    place.put("raw/a.csv", "two")
    place.say("raw/a.csv", "", "ObjectRemoved:Delete", versionId=first, sequencer="0A")

    assert [one.type for one in place.run(idle, deletions=True)] == ["ObjectCreated"]


def test_an_object_that_is_gone_does_not_come_back_by_a_late_notification(place: Place) -> None:
    async def story(tap: Tap) -> None:
        await tap.idle()
        place.say("raw/a.csv", "one", sequencer="0A")
        await tap.take()
        place.say("raw/a.csv", "", "ObjectRemoved:Delete", sequencer="0C")
        (gone,) = await tap.take()
        assert gone.type == "ObjectDeleted"
        place.say("raw/a.csv", "two", sequencer="0B")
        place.say("raw/b.csv", "one", sequencer="0A")
        assert await tap.keys() == ["b.csv"]

    assert place.run(story, deletions=True) == []


# --- what is not told


def test_what_lies_outside_or_is_ignored_is_not_told(place: Place) -> None:
    place.notify_the_queue()
    keys = ["other/a.csv", "rawer/a.csv", "raw/.hidden", "raw/.git/config", "raw/a.tmp", "raw/b.csv"]

    async def story(tap: Tap) -> None:
        await tap.idle()
        place.s3.put_object(Bucket=place.bucket, Key="raw/", Body=b"")
        place.s3.put_object(Bucket=place.bucket, Key="raw/folder/", Body=b"")
        for key in keys:
            place.put(key, "one")
        assert await tap.keys() == ["b.csv"]

    assert (place.run(story), place.site.rejected) == ([], [])
    assert place.listed() == []


def test_the_test_event_and_what_changes_no_content_are_acknowledged(place: Place) -> None:
    place.notify_the_queue()  # sends a test event
    place.say("raw/a.csv", "one", "ObjectRestore:Completed")
    place.say("raw/a.csv", "one", "ObjectTagging:Put")
    assert place.run(idle, deletions=True) == []
    assert (place.waiting(), place.site.rejected) == (0, [])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "the message is not JSON"),
        ({"order": 17}, "the message is not from S3; nobody but the bucket"),
        ({"Records": [{"eventSource": "aws:s3"}]}, "Records[0].s3 must be a JSON object"),
    ],
)
def test_a_message_that_says_nothing_of_objects_is_rejected_and_holds_up_nothing(
    place: Place, body: object, reason: str
) -> None:
    place.send(body)
    place.say("raw/a.csv", "one")
    told = place.run(idle)
    assert [one.subject for one in told] == ["a.csv"]
    ((source, _, content, why),) = place.site.rejected
    assert (source, content) == ("incoming", body if isinstance(body, str) else json.dumps(body))
    assert why.startswith(reason)
    assert place.waiting() == 0


def test_an_object_of_a_bucket_that_was_not_declared_is_rejected(place: Place) -> None:
    place.say("raw/a.csv", "one", bucket="somebody-elses")
    assert place.run(idle) == []
    ((_, _, _, why),) = place.site.rejected
    assert why.startswith(
        f"the message is about the bucket 'somebody-elses', and 'incoming' is s3://{place.bucket}/raw/"
    )


def test_what_of_a_message_is_malformed_or_foreign_holds_up_nothing_else_in_it(place: Place) -> None:
    made = {"eventVersion": "2.3", "eventSource": "aws:s3", "eventTime": "2027-01-15T08:00:00.000Z"}
    named = {**made, "eventName": "ObjectCreated:Put"}
    objects = [(place.bucket, "raw/%FF"), ("somebody-elses", "raw/a.csv"), (place.bucket, "raw/b.csv")]
    told = [
        {**named, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "eTag": "abc"}}}
        for bucket, key in objects
    ]
    place.send({"Records": told})
    assert [one.subject for one in place.run(idle)] == ["b.csv"]
    ((_, _, content, why),) = place.site.rejected
    assert content == json.dumps({"Records": told})
    assert why.startswith(
        "2 of its 3 notices can be no events: (1) ObjectCreated:Put of 'raw/a.csv': the message is about the bucket"
        " 'somebody-elses', and "
    )
    assert "; (2) Records[0].s3.object.key " in why


# --- in an app


def pipeline(place: Place) -> tuple[App, list[str]]:
    app, ran = App(place.bucket, sources=[place.source()]), []

    @app.on(ObjectCreated)
    async def take(event: ObjectCreated) -> None:
        ran.append(event.key)

    return app, ran


async def drained(app: App, state: Path) -> int:
    """Run an app until nothing is left; return how many messages it rejected."""
    async with asyncio.timeout(PATIENCE), Engine(app, StateFolder(state)) as engine:
        await engine.drained()
        return engine.rejected


def test_an_app_runs_once_for_each_object_across_restarts(place: Place, tmp_path: Path) -> None:
    place.notify_the_queue()
    place.put("raw/a.csv", "one")
    app, ran = pipeline(place)
    asyncio.run(drained(app, tmp_path))
    place.put("raw/b.csv", "one")
    place.say("raw/a.csv", place.etag("raw/a.csv"))
    asyncio.run(drained(app, tmp_path))
    asyncio.run(drained(app, tmp_path))
    assert ran == ["a.csv", "b.csv"]
    assert place.waiting() == 0


def test_what_an_app_rejects_lies_in_its_state_folder(place: Place, tmp_path: Path) -> None:
    place.send({"order": 17})
    app, _ = pipeline(place)
    assert asyncio.run(drained(app, tmp_path)) == 1
    (kept,) = (tmp_path / "rejected").glob("*.json")
    assert kept.read_text() == '{"order": 17}'


def test_a_bucket_out_of_reach_is_reported_until_it_is_back(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("raw/a.csv", "one")
    app, ran = pipeline(place)
    clock = SiteClock()
    there = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), Engine(app, StateFolder(tmp_path), clock=clock) as engine:
            with pytest.raises(TriggersError, match=r"source 'incoming' fails.*check AWS_ENDPOINT_URL"):
                await engine.quiet()
            monkeypatch.setenv("AWS_ENDPOINT_URL", there)
            await clock.advance(1.0)
            while engine.intake.failing:
                await engine.dispatcher.pipeline.changed()
            await engine.quiet()

    asyncio.run(main())
    assert ran == ["a.csv"]


# --- what cannot work


def refused(source: Bucket) -> str:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), tapped(source, FakeSite()) as tap:
            await tap.idle()

    with pytest.raises(TriggersError) as caught:
        asyncio.run(main())
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_bucket_that_is_missing_is_named(endpoint: str, unique: str) -> None:
    assert refused(Bucket(f"s3://{unique}")).startswith(f"WiringError: bucket {unique!r} does not exist")


def test_a_queue_that_is_missing_is_named(place: Place) -> None:
    wanted = f"WiringError: queue 'app-source-{place.bucket}' does not exist"
    assert refused(Bucket(f"s3://{place.bucket}")).startswith(wanted)


def test_nothing_is_listed_before_the_queue_has_answered(place: Place) -> None:
    place.put("raw/a.csv", "one")
    with pytest.raises(WiringError, match=r"queue '.*-missing' does not exist"):
        place.run(idle, queue=f"{place.url}-missing")
    assert place.site.ledger == {}


def test_credentials_that_are_missing_are_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    assert "no AWS credentials were found" in refused(place.source())


def test_an_endpoint_that_is_away_is_said_and_may_come_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert refused(place.source()).startswith("TriggersError: bucket")


# --- declaring


@pytest.mark.parametrize(
    ("uri", "name", "prefix"),
    [
        ("s3://acme", "acme", ""),
        ("s3://acme/", "acme", ""),
        ("s3://acme/raw", "raw", "raw/"),
        ("s3://acme/in/raw/", "raw", "in/raw/"),
        ("s3://acme/a%20b", "a b", "a b/"),
    ],
)
def test_a_bucket_has_a_name_and_a_prefix(uri: str, name: str, prefix: str) -> None:
    bucket = Bucket(uri)
    assert (bucket.bucket, bucket.name, bucket.prefix) == ("acme", name, prefix)


def test_a_bucket_that_is_bound_elsewhere_keeps_all_but_its_place() -> None:
    bucket = Bucket("s3://acme/raw", name="incoming", queue="q", deletions=True, ignore=["x"], audit=60)
    moved = bucket.bind("s3://other/in")
    assert moved.uri == "s3://other/in/"
    kept = ("name", "queue", "deletions", "ignore", "audit")
    assert [getattr(moved, field) for field in kept] == [getattr(bucket, field) for field in kept]


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("data/in", {}, "'data/in' is no bucket; write it as 's3://bucket/prefix'"),
        ("s3://", {}, "names no bucket: ''"),
        ("s3://a b/raw", {}, "names no bucket: 'a b'"),
        ("s3://UPPER_case/raw", {}, "'UPPER_case' is not what one can be called, which is 3 to 63 lower-case letters"),
        ("s3://ab/raw", {}, "names no bucket: 'ab'"),
        ("s3://acme-/raw", {}, "names no bucket: 'acme-'"),
        (f"s3://{'a' * 64}/raw", {}, "names no bucket: 'a{64}'"),
        ("s3://acme--use1-az4--x-s3", {}, "is a directory bucket, which tells nobody"),
        ("s3://acme/raw?x", {}, r"write \? as %3F"),
        ("s3://acme", {"name": ""}, "needs a name of its own"),
        ("s3://acme", {"queue": ""}, "queue='' names no queue"),
        ("s3://acme", {"ignore": "*.tmp"}, r"must be a list of patterns: \['\*\.tmp'\]"),
        ("s3://acme", {"audit": 0}, "audit=0 is no span of time above 0"),
    ],
)
def test_a_bucket_that_cannot_be_is_refused(uri: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WiringError, match=message):
        Bucket(uri, **options)

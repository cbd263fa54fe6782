"""A deployment, on moto where moto can, in memory where it cannot."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.aws.cloud import Cloud, event
from triggers import App, Event, Folder, MessageReceived, ObjectCreated, Queue
from triggers.aws import names, template
from triggers.aws.account import Account, CodeBucket, DataBucket
from triggers.aws.attributes import check_feed
from triggers.aws.deployment import Rollout
from triggers.aws.removal import Counted, Removal
from triggers.aws.server import ACCOUNT, REGION
from triggers.aws.stack import Stack, Step
from triggers.errors import TriggersError, WiringError


class Wanted(Event):
    model: str


def app_of(name: str, *, timeout: float = 30, folder: bool = False) -> App:
    app = App(name, sources=[Folder("incoming", name="incoming")] if folder else [])

    @app.on(Wanted, name="train", timeout=timeout)
    def train(event: Wanted) -> None: ...

    if folder:

        @app.on(ObjectCreated, name="process")
        def process(event: ObjectCreated) -> None: ...

    return app


def rollout(app: App, zipped: Path | None, bucket: str | None = None, **more: Any) -> Rollout:
    binds = {"incoming": f"s3://{bucket}/raw"} if bucket else {}
    return Rollout.prepare(app, template.render(app, "app:app", binds), zipped, **more)


def quiet(step: Step) -> None: ...


@pytest.fixture
def zipped(tmp_path: Path, unique: str) -> Path:
    """Return a zip that no other test has."""
    file = tmp_path / "functions.zip"
    file.write_bytes(unique.encode())
    return file


def function(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = boto3.client("lambda").get_function(FunctionName=names.function(name, "train"))
    return found


# --- deploying -----------------------------------------------------------------------------------


def test_an_app_is_deployed_looked_at_changed_and_destroyed(endpoint: str, unique: str, zipped: Path) -> None:
    first = rollout(app_of(unique), zipped)
    assert (first.live, first.code_changes, first.changes_something) == (None, True, True)
    assert {change.kind for change in first.changes} == {"added"}
    told: list[Step] = []
    assert first.carry_out(told.append) is True
    assert (told[-1].name, told[-1].status) == (names.stack(unique), "CREATE_COMPLETE")
    assert function(unique)["Configuration"]["Timeout"] == 35
    item = boto3.client("dynamodb").get_item(
        TableName=names.table(unique), Key={"run": {"S": "app"}, "part": {"S": unique}}
    )["Item"]
    assert json.loads(item["routes"]["S"])[0][0] == "train"

    again = rollout(app_of(unique), zipped)
    assert again.changes_something is False
    assert again.carry_out(told.append) is False

    changed = rollout(app_of(unique, timeout=60), zipped)
    assert (changed.changes[0].kind, changed.changes[0].name) == ("changed", "TrainFunction")
    assert changed.code_changes is False
    assert changed.carry_out(quiet) is False
    assert function(unique)["Configuration"]["Timeout"] == 65

    zipped.write_bytes(b"other code of " + unique.encode())
    other = rollout(app_of(unique, timeout=60), zipped)
    assert (other.changes, other.code_changes) == ([], True)
    assert other.carry_out(quiet) is True

    removal = Removal.prepare(Stack(unique))
    assert removal
    removal.carry_out(quiet)
    assert Removal.prepare(Stack(unique)) is None


def test_what_was_chosen_for_a_parameter_stays_until_something_else_is(
    endpoint: str, unique: str, zipped: Path
) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    told = {"OldestMessageSeconds": "60"}
    rollout(app_of(unique), zipped, given=told, code_bucket=unique).carry_out(quiet)
    again = rollout(app_of(unique), zipped)
    assert again.changes_something is False
    assert again.parameters["OldestMessageSeconds"] == "60"
    assert again.parameters["CodeBucket"] == unique
    other = rollout(app_of(unique), zipped, given={"OldestMessageSeconds": "61"})
    assert [(one.place, one.before, one.after) for one in other.edits] == [("OldestMessageSeconds", "60", "61")]


def test_a_default_that_nobody_chose_follows_the_template(here: Cloud) -> None:
    made = template.render(app_of("churn"), "app:app", {})
    made["Parameters"] = {**made["Parameters"], "OldestMessageSeconds": {"Default": 60}}
    found = Rollout.prepare(app_of("churn"), made, given=AT, stack=of(here))
    assert found.parameters["OldestMessageSeconds"] == "60"
    assert found.parameters["AlarmTopicArn"] == "chosen"


AT = {"CodeBucket": "code", "CodeKey": "churn/1.zip"}


@pytest.fixture
def here(endpoint: str) -> Cloud:
    """Return a stack of the app `churn` that is deployed."""
    parameters = {"CodeKey": "churn/1.zip", "AlarmTopicArn": "chosen", "OldestMessageSeconds": "21600"}
    made = template.render(app_of("churn"), "app:app", {})
    return Cloud(status="UPDATE_COMPLETE", template=made, parameters=parameters, region=REGION)


def of(cloud: Cloud) -> Stack:
    """Return the stack that the cloud has."""
    return Stack("churn", cloud=cloud, pause=cloud.pauses.append)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"OldestMessage": "1"}, "the template has no such parameter; did you mean 'OldestMessageSeconds'?"),
        ({}, r"parameter ImageUri needs a value \(.*\): add --image URI"),
    ],
)
def test_a_parameter_that_is_wrong_or_missing_is_named(
    endpoint: str, unique: str, given: dict[str, str], said: str
) -> None:
    made = template.render(app_of(unique), "app:app", {}, code=template.Code(image=True))
    with pytest.raises(WiringError, match=said):
        Rollout.prepare(app_of(unique), made, given=given)


def test_functions_of_a_zip_do_not_become_those_of_an_image(here: Cloud) -> None:
    made = template.render(app_of("churn"), "app:app", {}, code=template.Code(image=True))
    with pytest.raises(WiringError, match=r"TrainFunction .* because PackageType changes, .*: triggers destroy churn"):
        Rollout.prepare(
            app_of("churn"), made, given={"ImageUri": "1.dkr.ecr.us-east-1.amazonaws.com/a:1"}, stack=of(here)
        )


def test_a_stack_that_cannot_be_changed_keeps_anything_from_being_put(endpoint: str, zipped: Path) -> None:
    cloud = Cloud(status="ROLLBACK_COMPLETE", events=[event("A", "CREATE_FAILED", "quota")])
    with pytest.raises(WiringError, match="quota"):
        rollout(app_of("churn"), zipped, stack=of(cloud))


# --- buckets -------------------------------------------------------------------------------------


def test_a_bucket_tells_eventbridge_beside_those_whom_it_told_before(endpoint: str, unique: str, zipped: Path) -> None:
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    s3.create_bucket(Bucket=unique)
    for queue in ("other", "heard"):
        sqs.create_queue(QueueName=f"{unique}-{queue}")
    before = {
        "Id": "other",
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{unique}-other",
        "Events": ["s3:ObjectCreated:*"],
    }
    s3.put_bucket_notification_configuration(Bucket=unique, NotificationConfiguration={"QueueConfigurations": [before]})
    made = rollout(app_of(unique, folder=True), zipped, unique)
    assert [bucket.name for bucket in made.untold] == [unique]
    made.carry_out(quiet)
    assert s3.get_bucket_notification_configuration(Bucket=unique)["QueueConfigurations"] == [before]
    heard(unique)
    s3.put_object(Bucket=unique, Key="raw/a.csv", Body=b"1")
    for queue in ("other", "heard"):
        url = sqs.get_queue_url(QueueName=f"{unique}-{queue}")["QueueUrl"]
        bodies = [one["Body"] for one in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]
        assert any("a.csv" in body for body in bodies), queue


def heard(unique: str) -> None:
    """Have EventBridge send what the bucket tells to a queue of the test's own."""
    events = boto3.client("events")
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [unique]}}}
    events.put_rule(Name=f"{unique}-heard", EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{unique}-heard"}
    events.put_targets(Rule=f"{unique}-heard", Targets=[target])


def test_moto_does_not_say_that_a_bucket_tells_eventbridge(endpoint: str, unique: str) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    bucket = DataBucket(Account(ACCOUNT, REGION), boto3.client("s3"), unique)
    assert bucket.tell() is True
    assert bucket.tells() is False, "moto answers as S3 does now: the tests may rely on it"


def test_a_bucket_that_tells_already_is_left_alone() -> None:
    class S3:
        def get_bucket_notification_configuration(self, **_: str) -> dict[str, Any]:
            return {"ResponseMetadata": {}, "EventBridgeConfiguration": {}}

    assert DataBucket(Account(ACCOUNT, REGION), S3(), "acme").tell() is False


def test_a_missing_bucket_is_found_before_anything_is_changed(endpoint: str, unique: str, zipped: Path) -> None:
    with pytest.raises(WiringError, match=rf"bucket '{unique}' of account {ACCOUNT} does not exist"):
        rollout(app_of(unique, folder=True), zipped, unique)
    assert Stack(unique).look() is None


def test_a_bucket_in_another_region_cannot_be_heard_of(
    endpoint: str, unique: str, zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(WiringError, match=r"is in us-east-1 and .* the app would be in eu-west-1; set AWS_REGION"):
        rollout(app_of(unique, folder=True), zipped, unique)


def test_the_code_bucket_is_made_closed_to_the_public(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    bucket = CodeBucket(Account(ACCOUNT, "eu-central-1"), boto3.client("s3"))
    bucket.check()
    assert bucket.put("a/1.zip", b"1") is True
    s3 = boto3.client("s3")
    assert s3.get_bucket_location(Bucket=bucket.name)["LocationConstraint"] == "eu-central-1"
    closed = s3.get_public_access_block(Bucket=bucket.name)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    found = CodeBucket(Account(ACCOUNT, "eu-central-1"), boto3.client("s3"))
    found.check()
    assert found.put("a/1.zip", b"1") is False


@pytest.mark.parametrize(
    ("name", "said"), [(None, r"is another account's, .* name a bucket of yours by --code-bucket"), ("acme", "denied")]
)
def test_a_code_bucket_of_somebody_else_is_not_used(name: str | None, said: str) -> None:
    class S3:
        def head_bucket(self, **options: str) -> None:
            assert ("ExpectedBucketOwner" in options) is (name is None)
            answer = {"Error": {"Code": "403", "Message": "Forbidden"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, "HeadBucket")

    with pytest.raises(WiringError, match=said):
        CodeBucket(Account(ACCOUNT, REGION), S3(), name).check()


def test_a_code_bucket_that_is_missing_or_elsewhere_is_named(endpoint: str, unique: str) -> None:
    s3 = boto3.client("s3")
    with pytest.raises(WiringError, match=f"bucket '{unique}' does not exist"):
        CodeBucket(Account(ACCOUNT, REGION), s3, unique).check()
    s3.create_bucket(Bucket=unique)
    with pytest.raises(WiringError, match="is in us-east-1, and functions in eu-west-1 take their code from there"):
        CodeBucket(Account(ACCOUNT, "eu-west-1"), s3, unique).check()


def test_a_bucket_that_may_not_be_told_is_named_with_the_action(
    endpoint: str, unique: str, zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    made = rollout(app_of(unique, folder=True), zipped, unique)

    def denied(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutBucketNotificationConfiguration")

    monkeypatch.setattr(made.untold[0]._s3, "put_bucket_notification_configuration", denied)
    with pytest.raises(TriggersError, match=r"may not s3:PutBucketNotification .* deployed but not at work: mend this"):
        made.carry_out(quiet)


# --- queues of the user's own --------------------------------------------------------------------


def fed_by(queue: str, app: str, timeout: float = 30) -> App:
    made = App(app, sources=[Queue(queue)])

    @made.on(MessageReceived, name="take", timeout=timeout)
    def take(event: MessageReceived) -> None: ...

    return made


def queue_of(name: str, **attributes: str) -> str:
    url: str = boto3.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url


def test_a_queue_that_is_to_feed_a_function_and_is_not_there_is_named(endpoint: str, unique: str, zipped: Path) -> None:
    with pytest.raises(WiringError, match=f"queue '{unique}' does not exist in this account and region"):
        rollout(fed_by(unique, unique), zipped)


def test_a_queue_that_hides_its_messages_for_less_than_the_function_may_take_is_refused_with_what_sets_it(
    endpoint: str, unique: str, zipped: Path
) -> None:
    url = queue_of(unique)  # with the 30 s that SQS gives it
    with pytest.raises(WiringError, match=r"for 30 s, and the function .* may take 65: Lambda refuses that") as refused:
        rollout(fed_by(unique, unique, timeout=60), zipped)
    way = f"aws sqs set-queue-attributes --queue-url {url} --attributes VisibilityTimeout=390"
    assert str(refused.value).endswith(way)
    boto3.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "390"})
    assert rollout(fed_by(unique, unique, timeout=60), zipped).notes == []


def test_of_a_queue_that_gives_messages_up_early_it_is_said_what_that_does_to_runs(
    endpoint: str, unique: str, zipped: Path
) -> None:
    queue_of(f"{unique}-dead")
    dead = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{unique}-dead"
    policy = {"deadLetterTargetArn": dead, "maxReceiveCount": 3}
    url = queue_of(unique, VisibilityTimeout="300", RedrivePolicy=json.dumps(policy))
    [said] = rollout(fed_by(unique, unique), zipped).notes
    assert "gives a message up after 3 receipts, and each attempt, each Later" in said
    *_, written = shlex.split(said)
    boto3.client("sqs").set_queue_attributes(QueueUrl=url, Attributes=json.loads(written))
    assert rollout(fed_by(unique, unique), zipped).notes == []


@pytest.mark.parametrize(
    ("queue", "action"),
    [("https://sqs.eu-west-1.amazonaws.com/1/orders", "GetQueueAttributes"), ("orders", "GetQueueUrl")],
)
def test_a_queue_that_may_not_be_looked_at_does_not_keep_an_app_from_being_deployed(queue: str, action: str) -> None:
    class Sqs:
        def get_queue_attributes(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetQueueAttributes")

        def get_queue_url(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetQueueUrl")

    said = check_feed(Sqs(), queue, 65)
    assert said
    assert f"was not looked at: sqs:{action} is denied" in said


def test_of_an_image_that_is_named_by_a_tag_it_is_said_that_what_is_behind_it_is_not_seen(here: Cloud) -> None:
    made = template.render(app_of("churn"), "app:app", {}, code=template.Code(image=True))
    here._template["Resources"] = made["Resources"]
    for uri, told in ((IMAGE, 0), ("1.dkr.ecr.us-east-1.amazonaws.com/a:1", 1)):
        found = Rollout.prepare(app_of("churn"), made, given={"ImageUri": uri}, stack=of(here))
        assert len(found.notes) == told


IMAGE = "1.dkr.ecr.us-east-1.amazonaws.com/a@sha256:1"


# --- destroying ----------------------------------------------------------------------------------


def test_what_goes_with_an_app_is_counted_before_it_goes(endpoint: str, unique: str, zipped: Path) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    rollout(app_of(unique, folder=True), zipped, unique).carry_out(quiet)
    sqs, dead = boto3.client("sqs"), names.dead_letters(names.queue(unique, "train"))
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=dead)["QueueUrl"], MessageBody="x")
    for number, state in enumerate(["done", "done", "dead"]):
        item = {"run": {"S": f"r{number}"}, "part": {"S": "run"}, "state": {"S": state}, "changed": {"N": "1"}}
        boto3.client("dynamodb").put_item(TableName=names.table(unique), Item=item)
    removal = Removal.prepare(Stack(unique))
    assert removal
    assert removal.runs == {"done": Counted(2, False), "dead": Counted(1, False)}
    assert removal.messages == {dead: 1}
    assert removal.uncounted == []
    assert removal.buckets == [unique]
    assert removal.code
    assert removal.code.startswith(f"s3://triggers-code-{ACCOUNT}-{REGION}/{unique}/")


def test_what_cannot_be_counted_does_not_keep_an_app_from_being_destroyed(
    endpoint: str, unique: str, zipped: Path
) -> None:
    rollout(app_of(unique), zipped).carry_out(quiet)
    boto3.client("dynamodb").delete_table(TableName=names.table(unique))
    removal = Removal.prepare(Stack(unique))
    assert removal
    assert removal.runs == {}
    [why] = removal.uncounted
    assert "does not exist" in why


def test_a_stack_that_was_only_planned_has_nothing_to_count(endpoint: str) -> None:
    removal = Removal.prepare(of(Cloud(status="REVIEW_IN_PROGRESS")))
    assert removal
    assert (removal.resources, removal.buckets, removal.code) == ([], [], None)

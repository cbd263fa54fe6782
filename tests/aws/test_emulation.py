"""What the emulation makes of an app, and what moto does that it works around."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from botocore.parsers import ResponseParserError
from moto import mock_aws
from moto.sqs.models import Queue as SimulatedQueue

from tests.aws.deployed import batch
from tests.aws.test_serverless_moto import Emulated, Processed
from triggers import App, Bucket, Folder, MessageReceived, Queue
from triggers.aws import emulation, template
from triggers.aws.attributes import check_feed
from triggers.aws.deployed import Deployed
from triggers.commands.emulating import verdict
from triggers.commands.failures import FAILED, OK
from triggers.errors import WiringError

ACCOUNT = "123456789012"


def test_a_bucket_is_heard_of_by_the_queue_that_its_declaration_names(endpoint: str, unique: str) -> None:
    app = App(unique, sources=[Bucket("s3://acme/raw", name="raw", queue=f"https://sqs/1/{unique}-mine")])
    emulation.polled(app).create()
    bucket, _, prefix = emulation.places(app)["raw"].removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/a.csv", Body=b"1")
    boto3.client("s3").put_object(Bucket=bucket, Key="elsewhere/b.csv", Body=b"1")
    sqs = boto3.client("sqs")
    [told] = sqs.receive_message(QueueUrl=f"{endpoint}/{ACCOUNT}/{unique}-mine", MaxNumberOfMessages=10)["Messages"]
    assert json.loads(told["Body"])["detail"]["object"]["key"] == "raw/a.csv"


def test_a_queue_of_ones_own_is_as_deploy_would_have_it(endpoint: str, unique: str) -> None:
    app = App(unique, sources=[Queue(f"{unique}.fifo", name="orders")])

    @app.on(MessageReceived, source="orders", name="take", timeout=40)
    async def take(event: MessageReceived) -> None: ...

    rendered = template.render(app, "app:app", {}, now=0.0)
    emulation.Stack(app, rendered).create()
    [function] = [one for one in rendered["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    assert check_feed(boto3.client("sqs"), f"{unique}.fifo", function["Properties"]["Timeout"]) is None


@pytest.mark.parametrize("name", ["x" * 64, "Über.App_v2 " * 7])
def test_an_app_of_any_name_has_a_bucket(endpoint: str, unique: str, name: str) -> None:
    app = App(f"{unique}{name}", sources=[Folder("incoming")])
    emulation.polled(app).create()
    boto3.client("s3").head_bucket(Bucket=emulation.bucket(app))


def test_a_key_that_moto_does_not_take_is_refused_with_the_reason() -> None:
    with pytest.raises(WiringError, match=r"key 'two\\nlines' has a line feed, which S3 takes and moto does not"):
        emulation.checked("two\nlines")


def test_a_message_that_was_rejected_fails_a_drained_run_and_is_told(
    endpoint: str, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App(unique)

    @app.on(Processed, name="train")
    def train(event: Processed) -> None: ...

    aws = Emulated(app)
    assert verdict(Deployed(unique)) == OK
    aws.sqs.send_message(QueueUrl=aws.queue("train"), MessageBody="no event")
    aws.call(batch(*aws.received("train")))
    assert verdict(Deployed(unique)) == FAILED
    [told] = [one.getMessage() for one in caplog.records if one.getMessage().startswith("rejected: ")]
    assert "the body is not JSON" in told


# --- moto ----------------------------------------------------------------------------------------


def resource(kind: str, **properties: Any) -> Mapping[str, Any]:
    return {"Type": kind, "Properties": properties}


def stack(name: str, **resources: Any) -> None:
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))


def test_moto_takes_no_reference_to_a_bus_in_a_rule(endpoint: str, unique: str) -> None:
    bus = resource("AWS::Events::EventBus", Name=unique)
    rule = resource("AWS::Events::Rule", Name=unique, EventBusName={"Ref": "Bus"}, EventPattern={"source": ["x"]})
    with pytest.raises(ResponseParserError, match="500"):
        stack(unique, Bus=bus, Rule=rule)


def test_moto_makes_no_schedules_of_a_template_and_lists_them_without_a_type(endpoint: str, unique: str) -> None:
    stack(unique, Group=resource("AWS::Scheduler::ScheduleGroup", Name=unique))
    [listed] = boto3.client("cloudformation").list_stack_resources(StackName=unique)["StackResourceSummaries"]
    assert listed["ResourceType"] == ""
    assert unique not in [one["Name"] for one in boto3.client("scheduler").list_schedule_groups()["ScheduleGroups"]]


def test_moto_calls_a_mapped_function_with_each_message_as_it_is_sent(endpoint: str, unique: str) -> None:
    code, sqs, functions = io.BytesIO(), boto3.client("sqs"), boto3.client("lambda")
    with zipfile.ZipFile(code, "w") as file:
        file.writestr("f.py", "")
    role = boto3.client("iam").create_role(RoleName=unique, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    url = sqs.create_queue(QueueName=unique)["QueueUrl"]
    functions.create_function(
        FunctionName=unique, Runtime="python3.12", Role=role, Handler="f.h", Code={"ZipFile": code.getvalue()}
    )
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{unique}"
    functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=unique)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    [message] = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "2", "moto leaves the message to who receives it"


def test_moto_has_one_sequencer_for_all_objects(endpoint: str, unique: str) -> None:
    app = App(unique, sources=[Bucket("s3://acme/raw", name="raw", queue=f"{unique}-told")])
    emulation.polled(app).create()
    for body in (b"a", b"b", b"a"):
        boto3.client("s3").put_object(Bucket=emulation.bucket(app), Key="raw/a.csv", Body=body)
    asked = {"QueueUrl": f"{endpoint}/{ACCOUNT}/{unique}-told", "MaxNumberOfMessages": 10}
    told = [
        json.loads(one["Body"])["detail"]["object"] for one in boto3.client("sqs").receive_message(**asked)["Messages"]
    ]
    assert len(told) == 3
    assert len({one["sequencer"] for one in told}) == 1, "moto orders them: what it does otherwise is one less"


def test_moto_goes_on_with_a_long_poll_whose_caller_has_gone(endpoint: str, unique: str) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=unique)["QueueUrl"]
    hasty = boto3.client("sqs", config=Config(read_timeout=0.5, retries={"total_max_attempts": 1}))
    with pytest.raises(ReadTimeoutError):
        hasty.receive_message(QueueUrl=url, WaitTimeSeconds=5)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1), "nobody took it: polls may be longer"


def test_moto_waits_for_nothing_while_a_long_poll_finds_a_shut_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        sqs = boto3.client("sqs")
        ordered = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        url = sqs.create_queue(QueueName="q.fifo", Attributes=ordered)["QueueUrl"]
        for body in ("first", "second"):
            sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="x")
        sqs.receive_message(QueueUrl=url)
        wait, waits = SimulatedQueue.wait_for_messages, list[int]()
        monkeypatch.setattr(SimulatedQueue, "wait_for_messages", lambda *all: waits.append(all[1]) or wait(*all))
        assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
        assert len(waits) > 10, "moto waits now: a FIFO queue may be asked by long polls"

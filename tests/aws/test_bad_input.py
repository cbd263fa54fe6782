"""What is wrong with what an app in AWS is given, wherever it can be: said with its name and the way out.

More of it is beside what it is about: the words for each refusal in `test_refusals`, stacks that failed in
`test_stack`, packages over the limit in `test_bundle`, patterns in `test_template_matching`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.aws.deployed import Deployed, batch, record
from tests.aws.scripted import Reply, Scripted, scripted
from tests.aws.stub import Stub, serving
from tests.commands.conftest import Project
from tests.sources.site import FakeSite, run, tapped
from triggers import App, Event, MessageReceived, ObjectCreated, ObjectDeleted, Queue
from triggers.aws import bundle, direct, names
from triggers.aws.bus import Bus
from triggers.aws.clients import asking, client, connected
from triggers.aws.objects import fetch, forget
from triggers.aws.records import Records
from triggers.aws.refusals import PATHS
from triggers.aws.server import ACCOUNT, credentials
from triggers.commands.failures import FAILED, INVALID, NOT_FOUND, OK, TROUBLE
from triggers.errors import TriggersError
from triggers.sources.bucket import Bucket

CODE = """
from triggers import App, Event, MessageReceived, ObjectCreated, Queue

class Processed(Event):
    n: int

app = App("churn", sources=[Queue("orders")])

@app.on(MessageReceived, timeout=30)
def note(event: MessageReceived) -> None: ...

@app.on(Processed, timeout=30)
def train(event: Processed) -> None: ...
"""
IMAGE = ("--image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn@sha256:1")
READERS = [
    ("runs", "--aws", "churn"),
    ("dead", "--aws", "churn"),
    ("trace", "r1", "--aws", "churn"),
    ("why", "r1", "--aws", "churn"),
    ("retry", "r1", "--aws", "churn"),
    ("dead", "drop", "r1", "--aws", "churn"),
    ("dead", "redrive", "r1", "--aws", "churn"),
    ("dead", "show", "r1", "--aws", "churn"),
    ("events", "--aws", "churn"),
    ("replay", "--event", "e1", "--yes", "--aws", "churn"),
]
WORKERS = [("run", "app.py", "--drain"), ("exec", "app.py", "--route", "note")]
STACKERS = [("deploy", "app.py", *IMAGE, "--yes"), ("diff", "app.py", *IMAGE), ("destroy", "churn", "--yes")]
ASKING = [READERS[0], *WORKERS, *STACKERS]
"""Commands that ask AWS for something, one of each kind."""

each = pytest.mark.parametrize


def told(command: tuple[str, ...], code: int) -> int:
    """Return the code by which a command tells of an error that others exit with `code` for."""
    return TROUBLE if (command[0], code) == ("diff", FAILED) else code


by_name = {"ids": lambda command: command[0] if isinstance(command, tuple) else None}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing of AWS be named but credentials and a region, and no call be made again."""
    for name in (*direct._FOREIGN, "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    nothing = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    once = {"AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in {**credentials(), **nothing, **once}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    made, root, package = Project(tmp_path), logging.getLogger(), logging.getLogger("triggers")
    before = root.handlers[:], root.level, package.level
    made.write("app.py", CODE)
    yield made
    sys.modules.pop("app", None)
    root.handlers[:], level, package_level = before
    root.setLevel(level)
    package.setLevel(package_level)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have an endpoint be the one that is found."""
    return lambda service: monkeypatch.setenv("AWS_ENDPOINT_URL", service.endpoint)


# --- settings that cannot be ---------------------------------------------------------------------

SETTINGS: list[tuple[dict[str, str | None], int, str]] = [
    ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, INVALID, "no AWS credentials were found"),
    ({"AWS_SECRET_ACCESS_KEY": None}, INVALID, "missing: AWS_SECRET_ACCESS_KEY); set AWS_PROFILE, or"),
    ({"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, INVALID, "no AWS region is named; set AWS_REGION"),
    ({"AWS_REGION": "us east"}, INVALID, "'us east' doesn't match a supported format; check the AWS_ variab"),
    ({"AWS_PROFILE": "prod"}, INVALID, "(prod) could not be found; set AWS_PROFILE to one of those in ~/.aws/config"),
    ({"AWS_ENDPOINT_URL": "localhost:4566"}, INVALID, "Invalid endpoint: localhost:4566; check AWS_ENDPOINT_URL"),
    ({"AWS_CA_BUNDLE": "/nowhere.pem"}, INVALID, "AWS_CA_BUNDLE=/nowhere.pem is not there; name a file"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, FAILED, f'to the endpoint URL: "http://127.0.0.1:1/"; {PATHS}'),
    (
        {"AWS_ENDPOINT_URL": "http://127.0.0.2:1", "HTTP_PROXY": "http://127.0.0.1:1"},
        FAILED,
        'Failed to connect to proxy URL: "http://127.0.0.1:1"; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY',
    ),
]


@each("command", ASKING, **by_name)
@each(("settings", "code", "said"), SETTINGS, ids=lambda found: "-".join(found) if isinstance(found, dict) else "")
def test_settings_by_which_nobody_finds_aws_are_named_by_every_command(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    settings: dict[str, str | None],
    code: int,
    said: str,
) -> None:
    for name, value in settings.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    answer = project(*command)
    assert said in answer.err
    assert answer.code == told(command, code)
    assert "again" not in answer.err.splitlines()[-1], "a command makes no call again"


def test_a_template_is_made_without_credentials_and_without_a_region(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in credentials():
        monkeypatch.delenv(name)
    assert project("template", "app.py").code == OK
    assert project("template", "app.py", "--polled").code == OK


def test_an_emulation_is_used_whatever_other_settings_say(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_DYNAMODB", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "prod")
    project.write("config", "[default]\nignore_configured_endpoint_urls = true\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", "config")
    answer = project("run", "app.py", "--aws", "--drain")
    assert answer.code == OK, answer.err


# --- what AWS refuses ----------------------------------------------------------------------------

NOT_ALLOWED = "User: arn:u is not authorized to perform: x:Y on resource: arn:r because no policy allows it"
LATE = "Signature expired: 20261123T090000Z is now earlier than 20261123T091000Z"
NO_KEY = "User: arn:u is not authorized to perform: kms:Decrypt on resource: arn:key because no policy allows it"
REFUSALS = [
    ("ExpiredToken", "The token is expired", FAILED, "the credentials have expired (The token is expired); renew them"),
    ("InvalidClientTokenId", "no such key", INVALID, "AWS does not take these credentials (no such key); check AWS_PR"),
    ("AccessDenied", NOT_ALLOWED, INVALID, "access denied: arn:u may not x:Y on arn:r because no policy allows it; al"),
    ("AccessDenied", NO_KEY, INVALID, "allow arn:u kms:Decrypt on the key, in the identity's policy and in the key's"),
    ("RequestTimeTooSkewed", "The difference is too large", INVALID, "this machine's clock is not AWS's (The differen"),
    ("SignatureDoesNotMatch", LATE, INVALID, "this machine's clock is not AWS's (Signature expired"),
    ("Throttling", "Rate exceeded", FAILED, "AWS throttles "),
]


def refused(command: tuple[str, ...], code: str, said: str) -> Reply:
    """Return an error in the words of the service that the command asks first."""
    if command in STACKERS:
        error = f"<ErrorResponse><Error><Code>{code}</Code><Message>{said}</Message></Error></ErrorResponse>"
        return Reply(error.encode(), 403)
    return Reply({"__type": code, "message": said}, 400)


@each("command", ASKING, **by_name)
@each(("error", "message", "code", "said"), REFUSALS, ids=lambda found: found if str(found).isalpha() else "")
def test_what_aws_refuses_is_said_by_every_command_with_the_way_out(
    project: Project, named: Any, command: tuple[str, ...], error: str, message: str, code: int, said: str
) -> None:
    with scripted(refused(command, error, message)) as service:
        named(service)
        answer = project(*command)
    assert said in answer.err
    assert answer.code == told(command, code)


THINGS = {"run": "queue 'orders'", "exec": "queue 'churn-note'", "destroy": "stack 'triggers-churn' of app 'churn'"}


@each("command", [*READERS, *WORKERS, STACKERS[-1]], **by_name)
def test_what_may_not_be_looked_at_is_named(project: Project, named: Any, command: tuple[str, ...]) -> None:
    with scripted(refused(command, "AccessDenied", "Access to the resource is denied.")) as service:
        named(service)
        answer = project(*command)
    thing = THINGS.get(command[0], "run table 'churn-runs' of app 'churn'")
    assert f"error: {thing}: access denied: this identity may not " in answer.err
    assert answer.err.rstrip().endswith("where that belongs to another account")
    assert answer.code == INVALID


# --- what is not AWS -----------------------------------------------------------------------------

SIGN_IN = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><p>Who are you?<br></body></html>"


@each("status", [200, 403, 407, 502])
@each("command", ASKING, **by_name)
def test_a_web_page_in_place_of_an_answer_is_said_to_be_one(
    project: Project, named: Any, command: tuple[str, ...], status: int
) -> None:
    with scripted(Reply(SIGN_IN, status)) as service:
        named(service)
        answer = project(*command)
    assert "Sign in" in answer.err
    assert "Traceback" not in answer.err
    assert answer.code == told(command, FAILED)


@each("status", [200, 404])
@each("command", ASKING, **by_name)
def test_another_program_at_the_endpoint_is_said_not_to_be_aws(
    project: Project, named: Any, command: tuple[str, ...], status: int
) -> None:
    with scripted(Reply(b"page not found\n", status)) as service:
        named(service)
        answer = project(*command)
    assert "is not AWS" in answer.err
    assert PATHS in answer.err
    assert answer.code == told(command, FAILED)


@each("body", [SIGN_IN, b"OK", b""])
def test_an_event_is_not_taken_for_published_because_a_proxy_has_answered(named: Any, body: bytes) -> None:
    with scripted(Reply(body)) as service:
        named(service)
        bus = Bus(lambda: client("events"), "churn")
        with pytest.raises(TriggersError, match=r"event bus 'churn': what answered PutEvents is not AWS, but sent"):
            bus.publish([bus.entry("Trained", "{}")])


def test_a_run_is_not_taken_for_recorded_because_a_proxy_has_answered(named: Any) -> None:
    with scripted(Reply(SIGN_IN)) as service:
        named(service)
        with pytest.raises(TriggersError, match="table 'runs': what answered UpdateItem is not AWS"):
            Records(client("dynamodb"), "runs", 30).published(5, 1, 0.0)


def test_a_queue_is_not_taken_for_empty_because_a_proxy_has_answered(named: Any) -> None:
    async def main(service: Scripted) -> None:
        async with connected("sqs") as sqs, asking("queue 'orders'"):
            await sqs.receive_message(QueueUrl=f"{service.endpoint}/1/orders")

    with scripted(Reply(SIGN_IN)) as service:
        named(service)
        with pytest.raises(TriggersError, match="queue 'orders': what answered ReceiveMessage is not AWS"):
            run(main(service))


@each("status", [200, 502])
def test_an_object_is_not_taken_for_a_page_of_a_proxys(named: Any, tmp_path: Path, status: int) -> None:
    forget()
    with scripted(Reply(SIGN_IN, status, kind="text/html")) as service, open(tmp_path / "copy", "w+b") as file:
        named(service)
        with pytest.raises(OSError, match=r"bucket 'acme': .* a web page"):
            fetch("a.csv", "s3://acme/a.csv", "", file)
    forget()


# --- what is not there ---------------------------------------------------------------------------


@pytest.fixture
def at_moto(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)


@each("command", READERS, **by_name)
def test_an_app_that_is_not_deployed_is_named_by_whoever_looks_at_it(
    project: Project, at_moto: None, command: tuple[str, ...]
) -> None:
    answer = project(*command)
    assert "error: no app 'churn' is deployed in us-east-1" in answer.err
    assert answer.code == NOT_FOUND


def test_who_may_not_look_at_stacks_is_told_of_the_table_that_is_missing(project: Project, named: Any) -> None:
    gone = Reply({"__type": "ResourceNotFoundException", "message": "Requested resource not found"}, 400)
    with scripted(gone, refused(STACKERS[0], "AccessDenied", NOT_ALLOWED)) as service:
        named(service)
        answer = project(*READERS[0])
    assert "run table 'churn-runs' of app 'churn' does not exist in this account and region; create or" in answer.err
    assert answer.code == INVALID


def test_a_reader_of_an_app_under_a_name_nearly_its_own_is_told_that_name(
    project: Project, at_moto: None, unique: str
) -> None:
    body = json.dumps({"Description": f"The app {unique}", "Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
    boto3.client("cloudformation").create_stack(StackName=names.stack(unique), TemplateBody=body)
    answer = project("runs", "--aws", f"{unique}x")
    assert f"no app '{unique}x' is deployed in us-east-1; did you mean '{unique}'?" in answer.err


@each(("command", "queue"), [(WORKERS[0], "orders"), (WORKERS[1], "churn-note")])
def test_a_queue_that_is_missing_is_named_by_whoever_works_it_off(
    project: Project, at_moto: None, command: tuple[str, ...], queue: str
) -> None:
    answer = project(*command)
    assert f"error: queue {queue!r} does not exist in this account and region; create or deploy it" in answer.err
    assert answer.code == INVALID


def test_a_drained_run_tells_of_messages_that_its_queue_hides(project: Project, at_moto: None, unique: str) -> None:
    project.write("hiding.py", f"from triggers import App, Queue\napp = App('churn', sources=[Queue('{unique}')])\n")
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=unique)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="given to somebody else")
    assert sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.send_message(QueueUrl=url, MessageBody="delayed", DelaySeconds=600)
    answer = project("run", "hiding.py", "--drain")
    assert f"left over: about 2 messages of queue {unique!r}, hidden: given to others, or delayed" in answer.err
    assert answer.code == 0


MISSING = """
from triggers import App, Bucket, Queue

app = App("churn", sources=[Bucket("s3://nobodys-bucket", name="incoming"), Queue("orders"), Queue("notes")])
"""


def test_all_that_is_missing_is_named_at_once(project: Project, at_moto: None) -> None:
    project.write("missing.py", MISSING)
    answer = project("run", "missing.py", "--drain")
    told = re.findall(r"^error: (.*?) does not exist", answer.err, re.MULTILINE)
    wanted = ["bucket 'nobodys-bucket'", "queue 'churn-source-incoming'", "queue 'notes'", "queue 'orders'"]
    assert (sorted(told), answer.code) == (wanted, INVALID)


def test_a_bucket_that_is_missing_is_named_at_the_start_and_before_it_is_deployed(
    project: Project, at_moto: None
) -> None:
    project.write("app.py", SOURCE)
    bind = ("--bind", "incoming=s3://nobodys-bucket/raw")
    for command in (("run", "app.py", "--drain"), ("deploy", "app.py", *IMAGE, "--yes"), ("diff", "app.py", *IMAGE)):
        sys.modules.pop("app", None)
        answer = project(*command, *bind)
        assert "bucket 'nobodys-bucket'" in answer.err
        assert "does not exist in this account and region; create or deploy it, or check its name" in answer.err
        assert answer.code == INVALID


SOURCE = """
from triggers import App, Folder, ObjectCreated, suffix
app = App("churn", sources=[Folder("incoming", name="incoming")])
@app.on(ObjectCreated, timeout=30)
def process(event: ObjectCreated) -> None: ...
"""


def test_a_function_whose_table_is_denied_says_so_and_hands_the_message_back(
    named: Any, caplog: pytest.LogCaptureFixture
) -> None:
    deployed, said = churn(), "User: arn:f is not authorized to perform: dynamodb:UpdateItem on resource: arn:t"
    with scripted(Reply({"__type": "AccessDeniedException", "Message": said}, 400)) as service:
        named(service)
        deployed.table = client("dynamodb")  # type: ignore[assignment]
        assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert (
        "a run could not be seen through, and comes again: table 'churn-runs': access denied: arn:f may not dyna"
        in (caplog.text)
    )


# --- a stack in a failed state -------------------------------------------------------------------

WHO = f"""<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{ACCOUNT}</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""
FAILED_STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackId>id</StackId>
<StackName>triggers-churn</StackName><StackStatus>ROLLBACK_COMPLETE</StackStatus></member></Stacks>
</DescribeStacksResult></DescribeStacksResponse>"""
EVENTS = """<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents><member><EventId>1</EventId>
<LogicalResourceId>NoteQueue</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType>
<ResourceStatus>CREATE_FAILED</ResourceStatus><ResourceStatusReason>over a quota</ResourceStatusReason></member>
</StackEvents></DescribeStackEventsResult></DescribeStackEventsResponse>"""


@each("command", STACKERS[:2], **by_name)
def test_a_stack_in_a_failed_state_is_named_with_what_failed_and_how_to_go_on(
    project: Project, named: Any, command: tuple[str, ...]
) -> None:
    replies = [Reply(text.encode()) for text in (WHO, WHO, FAILED_STACK, EVENTS)]
    with scripted(*replies) as service:
        named(service)
        answer = project(*command)
    assert answer.err.endswith(
        "error: stack 'triggers-churn' of app 'churn' is ROLLBACK_COMPLETE (NoteQueue, AWS::SQS::Queue: over a quota);"
        " nothing can be deployed to it: remove it by `triggers destroy churn`, and deploy again\n"
    )
    assert answer.code == INVALID


# --- what a package and a rule cannot hold -------------------------------------------------------


def test_a_package_over_the_limit_is_refused_by_whoever_packs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "UNPACKED", 10_000)
    answer = project("run", "app.py", "--aws", "--lambda", "--drain")
    assert "unpacked, and Lambda takes 0.0 MB; the largest parts are " in answer.err
    assert (
        "leave out what the functions do not need, deploy an image (infra/Dockerfile), or have the routes" in answer.err
    )
    assert answer.code == INVALID


@each(
    "command",
    [("template", "app.py"), STACKERS[0], STACKERS[1], ("run", "app.py", "--aws", "--lambda", "--drain")],
    **by_name,
)
def test_a_where_that_eventbridge_would_refuse_is_refused_with_the_route_and_the_reason(
    project: Project, named: Any, command: tuple[str, ...]
) -> None:
    project.write("app.py", CODE.replace("Processed, timeout=30", 'Processed, timeout=30, where={"n": [*range(3000)]}'))
    answer = project(*command)
    assert "error: route 'train': where= is " in answer.err
    assert "and EventBridge takes 4,096; say less in where= and ask the rest in the handler" in answer.err
    assert answer.code == INVALID


# --- bodies, types and keys ----------------------------------------------------------------------


class Processed(Event):
    n: int


def churn() -> Deployed:
    app = App("churn", sources=[Queue("orders")])

    @app.on(Processed)
    def train(event: Processed) -> None: ...

    return Deployed(app)


NO_EVENTS = [
    ("hello", "the body is not JSON, and no route takes a message as it is; send {"),
    ('{"n": 1}', "the body is JSON, but no event in the form of CloudEvents, and no route takes a message as it is"),
    ('{"specversion": "1.0", "id"', "the event is not JSON"),
    (
        '{"specversion": "1.0", "id": "1", "source": "s", "type": "Procesed", "data": {}}',
        "of the type 'Procesed'; did you mean 'Processed'?; add a route on it, or have it sent elsewhere",
    ),
]


@each(("body", "said"), NO_EVENTS)
def test_a_body_that_is_no_event_is_rejected_by_a_function_with_the_way_out(
    body: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    deployed = churn()
    foreign = {**record(body), "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders"}
    for number, one in enumerate((record(body), foreign)):
        caplog.clear()
        assert deployed.failures(batch(one)) == []
        assert f"rejected m1 from {('churn-train', 'orders')[number]}: " in caplog.text
        assert said in caplog.text
    kept = [item for item in deployed.table.items.values() if item["state"]["S"] == "rejected"]
    assert len(kept) == 2
    assert all(said in item["error"]["S"] for item in kept)


@each(("body", "said"), NO_EVENTS)
def test_a_body_that_is_no_event_is_rejected_by_a_dispatcher_with_the_way_out(
    body: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> FakeSite:
        stub, site = Stub(), FakeSite()
        site.types = {"Processed"}
        stub.put(body)
        async with serving(stub):
            monkeypatch.setenv("AWS_ENDPOINT_URL", stub.endpoint)
            async with tapped(Queue("orders"), site) as tap:
                await tap.idle()
        assert stub.left() == 0
        return site

    [(source, _, _, why)] = run(main()).rejected
    assert source == "orders"
    assert said in why


def test_what_a_routes_queue_is_not_for_is_rejected_and_not_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    app = App("churn", sources=[Queue("orders")])

    @app.on(Processed)
    def train(event: Processed) -> None: ...

    @app.on(MessageReceived)
    def note(event: MessageReceived) -> None: ...

    deployed = Deployed(app)
    assert deployed.failures(batch(record("hello"))) == []
    assert (
        "rejected m1 from churn-train: queue 'churn-train' is that of route 'train', which takes Processed, and not"
        " MessageReceived; send it to the app's event bus, or to a queue that is a source of the app"
    ) in caplog.text
    caplog.clear()
    assert deployed.failures(batch(record("hello", route="note"))) == []
    assert "rejected" not in caplog.text


def test_what_s3_says_in_the_queue_of_a_route_on_something_else_is_rejected(caplog: pytest.LogCaptureFixture) -> None:
    app = App("churn", sources=[Bucket("s3://acme/raw", name="incoming")])

    @app.on(Processed)
    def train(event: Processed) -> None: ...

    assert Deployed(app).failures(batch(record(told_of("acme")))) == []
    assert "route 'train', which takes Processed, and not ObjectCreated; send it to the app's event bus" in caplog.text


@pytest.mark.parametrize(
    ("takes", "runs"), [(ObjectCreated, "ObjectCreated"), (ObjectDeleted, "ObjectDeleted")], ids=["created", "deleted"]
)
def test_of_a_creation_and_a_deletion_in_one_message_a_routes_queue_has_the_one_run_and_the_other_rejected(
    takes: type[ObjectCreated] | type[ObjectDeleted], runs: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, ran = App("churn", sources=[Bucket("s3://acme/raw", name="incoming", deletions=True)]), list[str]()

    @app.on(takes)
    def train(event: ObjectCreated | ObjectDeleted) -> None:
        ran.append(event.__event_type__)

    deployed = Deployed(app)
    body = told_of("acme", "ObjectCreated:Put", "ObjectRemoved:Delete")
    assert deployed.failures(batch(record(body))) == []
    assert ran == [runs]
    other = {"ObjectCreated": "ObjectRemoved:Delete", "ObjectDeleted": "ObjectCreated:Put"}[runs]
    [kept] = [item for item in deployed.table.records() if item["state"] == "rejected"]
    assert kept["error"].startswith(f"{other} of 'raw/two")
    assert kept["event"] == body


def test_a_notice_of_a_foreign_bucket_is_in_the_way_of_no_other(caplog: pytest.LogCaptureFixture) -> None:
    app, ran = App("churn", sources=[Bucket("s3://acme/raw", name="incoming")]), list[str]()

    @app.on(ObjectCreated)
    def train(event: ObjectCreated) -> None:
        ran.append(event.key)

    notices = [json.loads(told_of(bucket))["Records"][0] for bucket in ("foreign", "acme", *30 * ["strange"])]
    deployed = Deployed(app)
    assert deployed.failures(batch(record(json.dumps({"Records": notices})))) == []
    assert ran == [KEY]
    assert "31 of its 32 notices can be no events: (1) ObjectCreated:Put of" in caplog.text
    [kept] = [item for item in deployed.table.records() if item["state"] == "rejected"]
    assert kept["error"].count("the app declares no source in bucket 'foreign'") == 1
    assert kept["error"].count("the app declares no source in bucket 'strange'") == 30


def test_a_record_that_is_malformed_is_rejected_by_its_place_and_in_the_way_of_no_other() -> None:
    app, ran = App("churn", sources=[Bucket("s3://acme/raw", name="incoming")]), list[str]()

    @app.on(ObjectCreated)
    def train(event: ObjectCreated) -> None:
        ran.append(event.key)

    deployed, told = Deployed(app), json.loads(told_of("acme", "ObjectCreated:Put", "ObjectCreated:Put"))
    told["Records"][0]["s3"] = told["Records"][0]["s3"] | {"object": {"key": "raw/%FF"}}
    assert deployed.failures(batch(record(json.dumps(told)))) == []
    assert ran == [KEY]
    [kept] = [item for item in deployed.table.records() if item["state"] == "rejected"]
    assert kept["error"] == "Records[0].s3.object.key 'raw/%FF' does not stand for UTF-8 text"


KEY = 'two\nlines "é" 100%+.csv'


def told_of(bucket: str, *reasons: str) -> str:
    """Return what S3 tells of an object with that key: that it was put, or all that is named."""
    thing = {"key": quote_plus(f"raw/{KEY}"), "size": 1, "eTag": "abc", "sequencer": "0055AED6"}
    made = {"eventVersion": "2.3", "eventSource": "aws:s3", "eventTime": "2027-01-15T08:00:00.000Z"}
    said = {**made, "s3": {"bucket": {"name": bucket}, "object": thing}}
    return json.dumps({"Records": [{**said, "eventName": reason} for reason in reasons or ["ObjectCreated:Put"]]})


def test_an_object_whose_key_has_a_newline_is_told_as_any_other_and_breaks_no_line(
    project: Project, at_moto: None, unique: str
) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=names.source_queue(unique, "incoming"))["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=told_of(unique))
    refusing = SOURCE.replace("None: ...", "None:\n    raise ValueError(f'{event.key} is no good')\n")
    project.write("app.py", refusing.replace('"churn"', f'"{unique}"'))
    bound = ("--bind", f"incoming=s3://{unique}/raw", "--state", "state", "--log-format", "plain")
    answer = project("run", "app.py", "--drain", *bound)
    assert answer.code == FAILED, answer.err
    assert [line for line in answer.err.splitlines() if line.startswith("lines")] == []
    told, failed = project("events", "--state", "state", "--json").data
    assert (told["data"]["key"], failed["type"]) == (KEY, "RunFailed")
    for command, lines in (("runs", 2), ("dead", 2), ("events", 3)):  # the first has the names of the columns
        shown = project(command, "--state", "state").out
        assert len(shown.splitlines()) == lines, shown


def test_an_object_whose_key_has_a_newline_runs_in_a_function(caplog: pytest.LogCaptureFixture) -> None:
    app, keys = App("churn", sources=[Bucket("s3://acme/raw", name="incoming")]), []

    @app.on(ObjectCreated, name="train")
    def train(event: ObjectCreated) -> None:
        keys.append((event.key, event.uri))

    deployed = Deployed(app)
    assert deployed.failures(batch(record(told_of("acme")))) == []
    assert keys == [(KEY, "s3://acme/raw/two%0Alines%20%22%C3%A9%22%20100%25%2B.csv")]


def test_moto_takes_no_key_with_a_newline(at_moto: None, unique: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=unique)
    with pytest.raises(ClientError, match="404"):
        s3.put_object(Bucket=unique, Key=KEY, Body=b"x")

"""`triggers deploy`, `triggers diff`, `triggers destroy`, over moto."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import boto3
import pytest

from tests.commands.conftest import PATIENCE, Answer, Project
from triggers.aws import names
from triggers.aws.server import ACCOUNT, REGION, environment, serve

APP = """
from triggers import App, Event, Folder, ObjectCreated

class Wanted(Event):
    model: str

app = App("NAME")

@app.on(Wanted, timeout=30)
def train(event: Wanted) -> None: ...
"""
IMAGE = ("--image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn@sha256:1")
WHERE = f"account {ACCOUNT}, {REGION}"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serve() as server:
        yield server.endpoint


@pytest.fixture
def app(moto: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return an app of the test's own, which is deployed nowhere."""
    for name, value in environment(moto).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return App(project, f"t{uuid.uuid4().hex[:12]}")


class App:
    """The app of a project, as its author edits it."""

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.name = name
        self.write(APP)

    def write(self, text: str) -> None:
        self.project.write("app.py", text.replace("NAME", self.name))

    def __call__(self, command: str, *args: str) -> Answer:
        """Call `deploy` or `diff` as in a new process."""
        sys.modules.pop("app", None)
        return self.project(command, "app.py", *args)


def test_an_app_is_deployed_changed_and_destroyed(app: App) -> None:
    first = app("deploy", *IMAGE, "--yes")
    assert first.code == 0, first.err
    assert first.out == ""
    lines = first.err.splitlines()
    assert lines[0].startswith(f"{app.name} is not deployed to {WHERE} (stack triggers-{app.name}); ")
    assert "  +   1 Lambda::Function" in lines
    assert f"  CREATE_COMPLETE          triggers-{app.name} (CloudFormation::Stack)" in lines
    assert lines[-1] == f"triggers runs --aws {app.name}"

    same = app("diff", *IMAGE)
    assert (same.code, same.err) == (0, "")
    assert same.out == (
        f"{app.name} is deployed to {WHERE} (stack triggers-{app.name}) as it is here; nothing would change\n"
    )
    again = app("deploy", *IMAGE)
    assert again.code == 0, "where nothing would change nobody is asked"

    app.write(APP.replace("timeout=30", "timeout=60"))
    changed = app("diff", *IMAGE[:1], IMAGE[1] + "2", "--parameter", "OldestMessageSeconds=60")
    assert changed.code == 1
    assert changed.out.splitlines()[1:] == [
        "  ~ TrainFunction (Lambda::Function)",
        "      Timeout: 35 -> 65",
        "  ~ TrainQueue (SQS::Queue)",
        "      VisibilityTimeout: 210 -> 390",
        f"  ~ code: {IMAGE[1]} -> {IMAGE[1]}2",
        '  ~ parameter OldestMessageSeconds: "21600" -> "60"',
    ]

    gone = app.project("destroy", app.name, "--yes")
    assert gone.code == 0, gone.err
    assert f"{app.name} is destroyed" in gone.err
    assert app.project("destroy", app.name, "--yes").code == 3


def test_a_zip_is_uploaded_once_under_its_digest(app: App, pinned: str) -> None:
    packed = app("deploy", "--requirement", pinned, "--yes", "--json")
    assert packed.code == 0, packed.err
    assert packed.data["deployed"] is True
    assert packed.data["new"] is True
    code = packed.data["code"]
    assert code["CodeBucket"] == f"triggers-code-{ACCOUNT}-{REGION}"
    function = boto3.client("lambda").get_function(FunctionName=names.function(app.name, "train"))
    size = boto3.client("s3").head_object(Bucket=code["CodeBucket"], Key=code["CodeKey"])["ContentLength"]
    assert function["Configuration"]["CodeSize"] == size
    assert "packed " in packed.err
    assert f"code: s3://{code['CodeBucket']}/{code['CodeKey']}" in packed.err

    app.write(APP + "\nLIMIT = 3\n")
    other = app("diff", "--requirement", pinned, "--json")
    assert other.code == 1
    assert (other.data["resources"], other.data["code_changed"]) == ([], True)
    assert [one["place"] for one in other.data["parameters"]] == ["CodeKey"]


def test_what_is_lost_is_said_before_it_is(app: App) -> None:
    app("deploy", *IMAGE, "--yes")
    app.write(APP.replace("timeout=30", 'name="retrain"'))
    lines = app("diff", *IMAGE).out.splitlines()
    assert "  + RetrainQueue (SQS::Queue)" in lines
    assert "  - TrainQueue (SQS::Queue): its messages would be lost" in lines
    sqs, dead = boto3.client("sqs"), names.dead_letters(names.queue(app.name, "train"))
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=dead)["QueueUrl"], MessageBody="x")
    gone = app.project("destroy", app.name, "--yes", "--json")
    assert f"  - 1 message in queue {dead}" in gone.err
    assert "  - run records: none" in gone.err
    assert gone.data["messages"] == {dead: 1}


def test_what_there_is_to_know_of_what_is_there_is_noted_before_it_is_asked(app: App) -> None:
    answer = app("diff", "--image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn:1")
    assert answer.code == 1
    assert answer.err.startswith(
        "note: the image 123456789012.dkr.ecr.us-east-1.amazonaws.com/churn:1 is named by a tag"
    )


def test_nothing_is_changed_where_nobody_can_be_asked(app: App) -> None:
    answer = app("deploy", *IMAGE)
    assert answer.code == 2
    assert "there is no terminal to ask at, and nothing was changed; add --yes to go on" in answer.err
    assert app.project("destroy", app.name).code == 3


@pytest.mark.parametrize(("word", "code", "end"), [("n", 1, "nothing was changed"), ("y", 0, "is destroyed")])
def test_at_a_terminal_it_is_asked(app: App, word: str, code: int, end: str) -> None:
    app("deploy", *IMAGE, "--yes")
    ours, theirs = os.openpty()
    try:
        os.write(ours, f"{word}\n".encode())
        command = [sys.executable, "-m", "triggers", "destroy", app.name]
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=PATIENCE)
    finally:
        os.close(ours)
        os.close(theirs)
    assert f"Destroy {app.name} in {WHERE}? [y/N]: " in done.stderr
    assert (done.returncode, end in done.stderr) == (code, True), done.stderr


def test_a_bucket_that_is_to_tell_eventbridge_is_named(app: App) -> None:
    app.write(
        APP.replace('App("NAME")', 'App("NAME", sources=[Folder("in", name="incoming")])')
        + "\n@app.on(ObjectCreated)\ndef process(event: ObjectCreated) -> None: ...\n"
    )
    bind = ("--bind", f"incoming=s3://{app.name}/raw")
    missing = app("deploy", *IMAGE, *bind, "--yes")
    assert missing.code == 4
    assert missing.err.startswith(f"error: bucket '{app.name}' of account {ACCOUNT} does not exist")
    boto3.client("s3").create_bucket(Bucket=app.name)
    deployed = app("deploy", *IMAGE, *bind, "--yes")
    assert f"  ~ bucket {app.name} tells EventBridge of its objects" in deployed.err
    assert f"bucket {app.name} tells of new objects in about five minutes" in deployed.err
    gone = app.project("destroy", app.name, "--yes")
    assert f"what stays: {app.name} with all objects, and telling EventBridge of them" in gone.err


def test_what_aws_cannot_honour_is_refused_before_anything_is_packed(app: App) -> None:
    app.write(APP.replace("timeout=30", 'overlap="skip"'))
    answer = app("deploy", "--yes")
    assert answer.code == 4
    assert answer.err.startswith("error: route 'train': overlap='skip' cannot be honoured")


def test_without_credentials_it_is_said_before_anything_is_packed(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    answer = app("deploy", "--requirement", "app.py", "--yes")
    assert answer.code == 4
    assert "no AWS credentials were found" in answer.err
    assert "packed" not in answer.err


def test_a_package_over_the_limit_is_refused_before_it_is_uploaded(
    app: App, pinned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.aws.bundle.UNPACKED", 10_000)
    answer = app("deploy", "--requirement", pinned, "--yes")
    assert answer.code == 4
    assert "unpacked, and Lambda takes 0.0 MB; the largest parts are triggers (" in answer.err


def test_an_app_that_is_not_deployed_has_a_near_miss(app: App) -> None:
    app("deploy", *IMAGE, "--yes")
    answer = app.project("destroy", f"{app.name}x", "--yes")
    assert answer.code == 3
    assert answer.err == f"error: no app '{app.name}x' is deployed in {REGION}; did you mean '{app.name}'?\n"

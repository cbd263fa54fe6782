"""`triggers doctor`, over what an app needs of AWS."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner

from triggers.aws import checkup, names
from triggers.commands import cli

Doctor = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doctor]:
    """Return what examines an app with these sources, and says what was seen by what was looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def doctor(*words: str, sources: str = "", outputs: str = "") -> dict[str, tuple[str, str]]:
        code = "from triggers import App, Bucket, Folder, Queue\n"
        (tmp_path / "examined.py").write_text(f"{code}app = App('churn', sources=[{sources}], outputs=[{outputs}])\n")
        sys.modules.pop("examined", None)
        target = ["examined"] if sources or outputs else []
        result = CliRunner().invoke(cli, ["doctor", "--json", *target, *words], prog_name="triggers")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return {one["what"]: (one["verdict"], one["seen"]) for one in json.loads(result.stdout)["findings"]}

    yield doctor
    sys.modules.pop("examined", None)


def test_buckets_and_queues_that_are_well_are_said_to_be(doctor: Doctor, endpoint: str, unique: str) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    for queue in (f"{unique}-told", f"{unique}-orders.fifo"):
        fifo = {"FifoQueue": "true"} if queue.endswith(".fifo") else {}
        boto3.client("sqs").create_queue(QueueName=queue, Attributes=fifo)
    found = doctor(
        sources=f"Bucket('s3://{unique}/raw', name='in', queue='{unique}-told'),"
        f" Queue('{unique}-orders.fifo', name='o')",
        outputs=f"Bucket('s3://{unique}/out', name='out')",
    )
    assert found["aws credentials"] == ("ok", "found by env")
    assert found["aws region"][0] == "ok"
    assert found["bucket in"] == ("ok", f"s3://{unique}/raw/ may be listed")
    assert found["queue of in"] == ("ok", f"{unique}-told may be received from")
    assert found["queue o"] == ("ok", f"{unique}-orders.fifo may be received from")
    assert found["bucket out"] == ("ok", f"s3://{unique}/out/ may be listed; writing was not tried")


def test_what_is_missing_is_named(doctor: Doctor, endpoint: str, unique: str) -> None:
    found = doctor(
        sources=f"Bucket('s3://{unique}', name='{unique}'), Queue('{unique}-orders', name='orders')",
        outputs=f"Bucket('s3://{unique}-out', name='out')",
    )
    assert found[f"bucket {unique}"][0] == "problem"
    assert f"bucket '{unique}' does not exist in this account and region" in found[f"bucket {unique}"][1]
    assert f"bucket '{unique}-out' does not exist" in found["bucket out"][1]
    made = names.source_queue("churn", unique)
    assert f"queue '{made}' does not exist in this account and region" in found[f"queue of {unique}"][1]
    assert f"queue '{unique}-orders' does not exist" in found["queue orders"][1]


def test_a_message_that_waits_is_still_there_afterwards(doctor: Doctor, endpoint: str, unique: str) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=unique)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    assert doctor(sources=f"Queue('{unique}', name='orders')")["queue orders"][0] == "ok"
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "hello"


def test_a_queue_with_dead_letters_is_not_received_from_where_that_would_count(
    doctor: Doctor, endpoint: str, unique: str
) -> None:
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName=f"{unique}-dead")
    policy = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:123456789012:{unique}-dead", "maxReceiveCount": 1}
    url = sqs.create_queue(QueueName=unique, Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    seen = doctor(sources=f"Queue('{unique}', name='orders')")["queue orders"]
    assert seen == (
        "ok",
        f"{unique} is there; to receive was not tried: it would count, since the queue has dead letters",
    )
    [message] = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_without_credentials_or_a_region_nobody_is_asked(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    found = doctor(sources="Queue('orders')")
    assert found["aws credentials"][0] == "problem"
    assert "none were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID" in found["aws credentials"][1]
    assert found["aws region"] == ("problem", "none is named; set AWS_REGION, or `region` in the profile")
    assert "queue orders" not in found


def test_a_profile_that_does_not_exist_is_named(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    verdict, seen = doctor(sources="Queue('orders')")["aws credentials"]
    assert verdict == "problem"
    assert "profile (nobodys) could not be found" in seen


def test_what_never_answers_is_given_up(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in credentials(f"http://127.0.0.1:{silent.getsockname()[1]}").items():
            monkeypatch.setenv(name, value)
        begun = time.monotonic()
        found = doctor(sources="Queue('orders'), Bucket('s3://acme', name='in')")
        assert time.monotonic() - begun < 30
    for what in ("queue orders", "bucket in", "queue of in"):
        assert found[what][0] == "problem"
        assert "AWS did not answer within 0.5 s; check the network" in found[what][1]


class Denying(BaseHTTPRequestHandler):
    """An SQS with every queue, whose policy allows to ask for a URL only."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        action = self.headers["X-Amz-Target"].rpartition(".")[2]
        if action == "GetQueueUrl":
            status, said = 200, {"QueueUrl": "http://localhost/123456789012/orders"}
        else:
            text = f"User: arn:aws:iam::123456789012:user/me is not authorized to perform: sqs:{action.lower()}"
            status, said = 403, {"__type": "com.amazon.coral.service#AccessDeniedException", "message": text}
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def denying(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Denying) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for name, value in credentials(f"http://127.0.0.1:{server.server_port}").items():
            monkeypatch.setenv(name, value)
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("denying")
def test_a_queue_that_may_not_be_received_from_is_a_problem_that_names_the_action(doctor: Doctor) -> None:
    verdict, seen = doctor(sources="Bucket('s3://acme', name='in')")["queue of in"]
    assert verdict == "problem"
    assert "queue 'churn-source-in': access denied" in seen
    assert "sqs:receivemessage" in seen


@pytest.mark.usefixtures("denying")
def test_where_nobody_says_whether_a_queue_has_dead_letters_it_is_not_received_from(doctor: Doctor) -> None:
    verdict, seen = doctor(sources="Queue('orders')")["queue orders"]
    assert verdict == "ok"
    assert "orders is there; to receive was not tried" in seen
    assert "sqs:GetQueueAttributes, which says so, is denied" in seen


def credentials(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "eu-west-1",
    }


def test_an_app_that_is_not_deployed_is_a_problem(doctor: Doctor, endpoint: str, unique: str) -> None:
    verdict, seen = doctor("--aws", unique)[f"run table {unique}-runs"]
    assert verdict == "problem"
    assert f"run table '{unique}-runs' of app '{unique}' does not exist" in seen


def test_an_app_without_anything_in_aws_asks_nobody(doctor: Doctor) -> None:
    found = doctor(outputs="Folder('out')")
    assert found["wiring"][0] != "problem"
    assert not any(what.startswith(("aws", "queue", "bucket")) for what in found)

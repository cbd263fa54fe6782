"""The direct client: it asks what boto3 asks, is answered as boto3 is, and is as patient where something goes wrong."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.aws.scripted import Reply, Scripted, scripted
from triggers.aws import direct
from triggers.aws.bus import Bus
from triggers.aws.clients import CONNECT, READ, client
from triggers.aws.direct import SQS, DynamoDB, EventBridge
from triggers.aws.records import Records
from triggers.aws.refusals import PATHS, explain
from triggers.errors import TriggersError, WiringError

REGION = "eu-central-1"
THROTTLED = Reply({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slower"}, 400)
DENIED = Reply(
    {
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "Message": "User: me is not authorized to perform: dynamodb:PutItem on resource: arn:table",
    },
    400,
)
HELD = Reply(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": {"run": {"S": "r5"}},
    },
    400,
)
BROKEN = Reply({"__type": "InternalServerError", "message": "again"}, 500)
PROXY = Reply(b"<html>Bad gateway</html>", 502)
MISSING = Reply({"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "no table"}, 400)
CODED = Reply({"__type": "ValidationException:http://internal/", "message": "empty key"}, 400)
HIDDEN = {
    "QueueUrl": "https://sqs.test/1/orders",
    "Entries": [{"Id": "0", "ReceiptHandle": "h", "VisibilityTimeout": 3}],
}
DONE = Reply({"ConsumedCapacity": {}})

AWS = pytest.mark.parametrize


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment be as that of a function."""
    for name in direct._FOREIGN | {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_DEFAULT_REGION"}:
        monkeypatch.delenv(name, raising=False)
    values = {"ACCESS_KEY_ID": "AKIDEXAMPLE", "SECRET_ACCESS_KEY": "secret", "SESSION_TOKEN": "token", "REGION": REGION}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


class Slept(list[float]):
    """What a client waited, of which nothing passes."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def table(service: Scripted, slept: Slept | None = None, read: float = READ) -> DynamoDB:
    return DynamoDB(REGION, service.endpoint, sleep=Slept() if slept is None else slept, read=read)


def theirs(name: str, endpoint: str, read: float = READ) -> Any:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=read)
    return boto3.client(name, region_name=REGION, endpoint_url=endpoint, config=config)


# --- what is asked and answered ------------------------------------------------------------------

VALUES: Any = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
        st.builds(lambda number: {"N": str(number)}, st.integers()),
        st.builds(lambda truth: {"BOOL": truth}, st.booleans()),
    ),
    lambda inner: st.builds(lambda values: {"L": values}, st.lists(inner, max_size=3)),
    max_leaves=5,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(item=st.dictionaries(st.text("abcé#", min_size=1, max_size=5), VALUES, min_size=1, max_size=4))
def test_an_item_is_put_and_answered_as_by_boto3(item: dict[str, Any]) -> None:
    with scripted(Reply({"Attributes": item})) as service:
        answers = [
            client.put_item(TableName="runs", Item=item, ReturnValues="ALL_OLD")
            for client in (table(service), theirs("dynamodb", service.endpoint))
        ]
        assert answers[0]["Attributes"] == answers[1]["Attributes"] == item
        ours, boto = service.asked
        assert json.loads(ours.body) == json.loads(boto.body)
        for name in ("host", "content-type", "x-amz-target", "x-amz-security-token"):
            assert ours.headers[name] == boto.headers[name]


@AWS(
    ("name", "kind", "method", "arguments"),
    [
        ("dynamodb", DynamoDB, "update_item", {"TableName": "runs", "Key": {"run": {"S": "r1"}}}),
        ("dynamodb", DynamoDB, "query", {"TableName": "runs", "KeyConditionExpression": "a = :b"}),
        ("sqs", SQS, "change_message_visibility_batch", HIDDEN),
        ("events", EventBridge, "put_events", {"Entries": [{"Source": "a", "DetailType": "b", "Detail": "{}"}]}),
    ],
)
def test_every_call_is_asked_as_boto3_asks_it(
    name: str, kind: type[DynamoDB | EventBridge | SQS], method: str, arguments: dict[str, Any]
) -> None:
    with scripted(Reply({"FailedEntryCount": 0, "Items": []})) as service:
        for client in (kind(REGION, service.endpoint), theirs(name, service.endpoint)):
            getattr(client, method)(**arguments)
        ours, boto = service.asked
        assert json.loads(ours.body) == json.loads(boto.body)
        for header in ("content-type", "x-amz-target"):
            assert ours.headers[header] == boto.headers[header]
        assert _scope(ours.headers) == _scope(boto.headers)
        assert abs(_moment(ours.headers) - _moment(boto.headers)) < 60


def _moment(headers: dict[str, str]) -> float:
    return datetime.strptime(headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()


def _scope(headers: dict[str, str]) -> str:
    return headers["authorization"].split("/", 2)[2].partition(",")[0]


@AWS("reply", [THROTTLED, DENIED, HELD, BROKEN, PROXY, MISSING, CODED], ids=lambda reply: str(reply.body)[:60])
def test_a_refusal_is_what_boto3_makes_of_it_and_is_put_into_the_same_words(reply: Reply) -> None:
    with scripted(reply) as service:
        ours, boto = (_error(client) for client in (table(service), checked(service)))
    assert isinstance(ours, ClientError)
    assert isinstance(boto, ClientError)
    assert ours.response["Error"]["Code"] == boto.response["Error"]["Code"]
    assert ours.response.get("Item") == boto.response.get("Item")
    assert ours.response["ResponseMetadata"]["HTTPStatusCode"] == boto.response["ResponseMetadata"]["HTTPStatusCode"]
    assert str(explain(ours, "table 'runs'")) == str(explain(boto, "table 'runs'"))
    assert type(explain(ours, "table 'runs'")) is type(explain(boto, "table 'runs'"))


def _error(client: Any) -> Exception:
    with pytest.raises((ClientError, BotoCoreError)) as caught:
        client.put_item(TableName="runs", Item={"run": {"S": "r1"}})
    error: Exception = caught.value
    return error


@AWS("status", [200, 403, 407])
@AWS("body", [b"<html><title>Sign in</title>", b" <!doctype html>", b"OK", b""])
def test_what_is_no_answer_of_aws_is_told_as_boto3s_client_tells_it(body: bytes, status: int) -> None:
    with scripted(Reply(body, status)) as service:
        ours, boto = (explain(_error(client), "it") for client in (table(service), checked(service)))
    assert str(ours) == str(boto)
    assert "what answered PutItem" in str(ours)
    assert type(ours) is type(boto) is TriggersError


def checked(service: Scripted) -> Any:
    """Return boto3's client as `triggers.aws.clients` makes it, for a single try."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", service.endpoint)
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        return client("dynamodb")


@AWS("fault", ["gone", "reset", "silent"])
def test_a_call_without_an_answer_is_explained_as_boto3s_is(fault: Any) -> None:
    with scripted(Reply(fault=fault)) as service:
        ours, boto = (_error(c) for c in (table(service, read=0.2), theirs("dynamodb", service.endpoint, 0.2)))
    assert isinstance(ours, BotoCoreError)
    assert type(ours) is type(boto)
    assert str(explain(ours, "table 'runs'")).endswith(f"; {PATHS}")
    with pytest.raises(TriggersError, match="table 'runs': "):
        raise explain(ours, "table 'runs'")


def test_an_endpoint_where_nobody_is_is_explained_as_boto3_does() -> None:
    with scripted(DONE) as service:
        gone = service.endpoint
    ours, boto = (_error(client) for client in (DynamoDB(REGION, gone, sleep=Slept()), theirs("dynamodb", gone)))
    assert type(ours) is type(boto)
    assert str(ours) == str(boto).replace(f"{gone}/", gone)


# --- patience ------------------------------------------------------------------------------------


def test_calls_share_a_connection() -> None:
    with scripted(DONE) as service:
        client = table(service)
        for _ in range(3):
            client.put_item(TableName="runs", Item={})
        assert [request.connection for request in service.asked] == [1, 1, 1]


def test_a_kept_connection_that_was_closed_is_made_anew_at_once() -> None:
    with scripted(DONE._replace(closes=True), DONE) as service:
        client = table(service, slept := Slept())
        for _ in range(3):
            client.put_item(TableName="runs", Item={})
        assert [request.connection for request in service.asked] == [1, 2, 2]
        assert slept == []


def test_a_kept_connection_that_is_reset_under_a_call_is_made_anew_at_once() -> None:
    with scripted(DONE, Reply(fault="reset"), DONE) as service:
        client = table(service, slept := Slept())
        for _ in range(2):
            client.put_item(TableName="runs", Item={})
        assert [request.connection for request in service.asked] == [1, 1, 2]
        assert slept == []


@AWS("reply", [THROTTLED, BROKEN, PROXY, *(Reply(fault=fault) for fault in ("cut", "gone", "reset", "silent"))])
def test_what_passes_is_tried_again_after_a_while_and_a_third_time(reply: Reply) -> None:
    with scripted(reply, reply, DONE) as service:
        slept = Slept()
        assert table(service, slept, read=0.2).put_item(TableName="runs", Item={}) == DONE.body
        assert len(slept) == 2
        assert 0 <= slept[0] <= 1
        assert 0 <= slept[1] <= 2


@AWS("reply", [THROTTLED, BROKEN, Reply(fault="gone")])
def test_what_does_not_pass_after_three_tries_is_raised(reply: Reply) -> None:
    with scripted(reply) as service:
        _error(table(service))
        assert len(service.asked) == 3


@AWS("reply", [DENIED, HELD, MISSING, CODED])
def test_a_refusal_for_good_is_not_tried_again(reply: Reply) -> None:
    with scripted(reply) as service:
        slept = Slept()
        _error(table(service, slept))
        assert len(service.asked) == 1
        assert slept == []


def test_an_answer_that_was_given_up_is_not_taken_for_that_of_the_next_call() -> None:
    with scripted(DONE, Reply(fault="silent"), Reply(fault="silent"), Reply(fault="silent"), Reply({"Items": []})) as s:
        client = table(s, read=0.2)
        client.put_item(TableName="runs", Item={})
        assert "Read timeout" in str(_error(client))
        assert client.query(TableName="runs") == {"Items": []}
        assert len({request.connection for request in s.asked}) == 4


def test_an_answer_may_take_longer_than_a_connection() -> None:
    with scripted(DONE) as service:
        client = table(service)
        client.put_item(TableName="runs", Item={})
        assert client._connection.sock.gettimeout() == READ > CONNECT


def test_an_answer_that_is_no_json_is_tried_again() -> None:
    with scripted(Reply(b"[1]"), Reply(b"<html>"), DONE) as service:
        assert table(service).put_item(TableName="runs", Item={}) == DONE.body


@pytest.fixture
def issued(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the certificate of a service, which vouches for itself, and what that answers with."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aws")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = made.add_extension(address, critical=False).sign(key, SHA256())
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (file := tmp_path / "aws.pem").write_bytes(key.private_bytes(*form) + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_a_certificate_that_is_not_trusted_is_for_a_person_to_mend(issued: tuple[Path, ssl.SSLContext]) -> None:
    with scripted(DONE, tls=issued[1]) as service:
        error = _error(table(service))
        assert service.asked == []
    with pytest.raises(WiringError, match=r"the endpoint's certificate is not trusted .* set AWS_CA_BUNDLE"):
        raise explain(error, "table 'runs'")


def test_a_connection_by_tls_is_kept_and_made_anew(
    issued: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(issued[0]))
    with scripted(DONE, DONE._replace(closes=True), DONE, tls=issued[1]) as service:
        client = table(service, slept := Slept())
        for _ in range(3):
            client.put_item(TableName="runs", Item={})
        assert [request.connection for request in service.asked] == [1, 1, 2]
        assert slept == []


# --- as records and bus use it -------------------------------------------------------------------


def test_records_see_what_is_there_where_a_condition_does_not_hold() -> None:
    with scripted(HELD) as service:
        Records(table(service), "runs", 30).published(5, 1, 0.0)


@AWS("fault", ["gone", "silent"])
def test_records_name_the_table_where_nobody_answers(fault: Any) -> None:
    with (
        scripted(Reply(fault=fault)) as service,
        pytest.raises(TriggersError, match=f"table 'runs': .*; {PATHS}"),
    ):
        Records(table(service, read=0.1), "runs", 30).published(5, 1, 0.0)


def test_the_bus_names_itself_where_it_is_denied() -> None:
    with scripted(DENIED) as service:
        bus = Bus(lambda: EventBridge(REGION, service.endpoint), "churn")
        entry = bus.entry("trained", "{}")
        with pytest.raises(TriggersError, match=r"event bus '.*': access denied: me may not"):
            bus.publish([entry])


# --- who is taken --------------------------------------------------------------------------------


def test_credentials_are_read_anew_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(DONE) as service:
        client = table(service)
        client.put_item(TableName="runs", Item={})
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "RENEWED")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "")
        client.put_item(TableName="runs", Item={})
        first, second = (request.headers for request in service.asked)
    assert "Credential=AKIDEXAMPLE/" in first["authorization"]
    assert first["x-amz-security-token"] == "token"
    assert "Credential=RENEWED/" in second["authorization"]
    assert "x-amz-security-token" not in second


def test_credentials_that_are_gone_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with scripted(DONE) as service, pytest.raises(NoCredentialsError):
        table(service).put_item(TableName="runs", Item={})
    assert service.asked == []


@AWS("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1", "ap-southeast-7", "mx-central-1"])
@AWS("service", ["dynamodb", "events", "sqs"])
def test_an_endpoint_is_where_boto3_finds_it(service: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    found = direct.client(service)
    assert isinstance(found, direct.Direct)
    assert found.endpoint == boto3.client(service, region_name=region).meta.endpoint_url


def test_of_two_regions_in_the_environment_that_counts_which_other_clients_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = direct.client("sqs")
    assert isinstance(found, direct.Direct)
    assert found.endpoint == client("sqs").meta.endpoint_url


@AWS(
    ("variables", "endpoint"),
    [
        ({"AWS_ENDPOINT_URL": "http://all:1"}, "http://all:1"),
        ({"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_EVENTBRIDGE": "http://one:2/"}, "http://one:2"),
        ({"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_DYNAMODB": "http://other:2"}, "http://all:1"),
    ],
)
def test_an_endpoint_that_is_named_is_the_one_that_boto3_takes(
    variables: dict[str, str], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert direct.client("events").endpoint == endpoint
    assert boto3.client("events", region_name=REGION).meta.endpoint_url.rstrip("/") == endpoint


@AWS(
    "variables",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_REGION": "us-iso-east-1"},
        {"AWS_REGION": "eusc-de-east-1"},
        {"AWS_ENDPOINT_URL": "http://host/path"},
        {"AWS_ENDPOINT_URL_DYNAMODB": "http://name:word@host"},
        {"HTTPS_PROXY": "http://proxy:3128"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_MAX_ATTEMPTS": "2"},
    ],
    ids=lambda variables: next(iter(variables.items()))[0],
)
def test_what_only_botocore_knows_is_left_to_boto3(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not isinstance(direct.client("dynamodb"), direct.Direct)


def test_a_call_that_goes_well_loads_nothing_of_botocore() -> None:
    code = """
import sys
from triggers.aws import direct
from triggers.aws.serverless import Function
client = direct.client("dynamodb")
client.put_item(TableName="runs", Item={})
print("botocore" in sys.modules, "boto3" in sys.modules)
"""
    with scripted(DONE) as service:
        environment = {"AWS_ENDPOINT_URL": service.endpoint}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=True
        )
    assert done.stdout.split() == ["False", "False"]

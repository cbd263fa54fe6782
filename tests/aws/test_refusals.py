from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

import triggers.aws
from triggers.aws import clients
from triggers.aws.clients import asking
from triggers.aws.refusals import ACTIONS, explain, explained
from triggers.aws.server import REGION
from triggers.errors import TriggersError, WiringError


def answered(code: str, message: str = "said", operation: str = "ReceiveMessage", **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": more}, operation)


DETAILED = (
    "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: dynamodb:PutItem on resource:"
    " arn:aws:dynamodb:us-east-1:1:table/runs because no identity-based policy allows the dynamodb:PutItem action"
)
SAID_DENIED = (
    "arn:aws:sts::1:assumed-role/r/s may not dynamodb:PutItem on arn:aws:dynamodb:us-east-1:1:table/runs because no"
    " identity-based policy allows the dynamodb:PutItem action; allow it in the identity's policy"
)
OF_S3 = 'User: arn:u is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::b" with an explicit deny'
OF_A_KEY = "User: arn:u is not authorized to perform: kms:GenerateDataKey on resource: arn:key because no policy"
NO_KEY = "The ciphertext refers to a customer master key that does not exist, or you may not access it."
LATE = "Signature expired: 20261123T090000Z is now earlier than 20261123T091000Z"
BUCKET = {"x-amz-bucket-region": "eu-west-1"}
SETTINGS = "check the AWS_ variables and ~/.aws/config"


ECHO = (
    "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this"
    " request should have been\n'POST\n/\n\nx-amz-date:20261123T090000Z\nx-amz-security-token:IQoJb3JpZ2lu\n'"
)


def test_a_signature_that_does_not_match_shows_nothing_of_the_sessions_token() -> None:
    said = str(explain(answered("InvalidSignatureException", ECHO), "the thing"))
    assert "these credentials (The request signature we calculated does not match the signature you provided);" in said
    assert "IQoJ" not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answered("AccessDeniedException", DETAILED, "PutItem"), SAID_DENIED),
        (answered("AccessDenied", OF_S3, "ListObjectsV2"), "arn:u may not s3:ListBucket on arn:aws:s3:::b with an exp"),
        (
            answered("AccessDenied", "Access Denied", "ListObjectsV2"),
            "this identity may not s3:ListBucket on the thing; allow",
        ),
        (answered("403", "Forbidden", "HeadObject"), "may not s3:GetObject on the thing"),
        (answered("AccessDenied", "Access Denied", "PutRule"), "may not PutRule on the thing"),
        (answered("AccessDenied", OF_A_KEY), "the key that encrypts it: User: arn:u is not authorized to perform: kms"),
        (
            answered("AccessDenied", OF_A_KEY),
            "allow arn:u kms:GenerateDataKey on the key, in the identity's policy and",
        ),
        (answered("KmsAccessDenied", NO_KEY), "allow this identity kms:Decrypt and kms:GenerateDataKey on the key"),
        (answered("KMS.AccessDeniedException", NO_KEY), "access denied to the key that encrypts it"),
        (answered("KMS.DisabledException", "key is disabled"), "cannot be used: key is disabled; enable or restore it"),
        (answered("KmsInvalidState"), "the key that encrypts it cannot be used"),
        (answered("AWS.SimpleQueueService.NonExistentQueue"), "the thing does not exist in this account and region"),
        (answered("QueueDoesNotExist"), "create or deploy it, or check its name, AWS_REGION and the credentials"),
        (answered("NoSuchBucket"), "does not exist"),
        (answered("404", "Not Found", "HeadBucket"), "does not exist"),
        (answered("ResourceNotFoundException"), "does not exist"),
        (answered("PermanentRedirect", HTTPHeaders=BUCKET), "in another region; set AWS_REGION=eu-west-1"),
        (answered("301", "", "HeadBucket"), "in another region; set AWS_REGION to the region that it is in"),
        (answered("InvalidClientTokenId"), "AWS does not take these credentials (said); check AWS_PROFILE"),
        (answered("UnrecognizedClientException"), "whether the account has the region enabled"),
        (answered("SignatureDoesNotMatch"), "does not take these credentials"),
        (answered("RequestTimeTooSkewed"), "this machine's clock is not AWS's (said); set it, as with NTP"),
        (answered("InvalidSignatureException", LATE), "this machine's clock is not AWS's (Signature expired"),
        (answered("SignatureDoesNotMatch", LATE.replace("expired", "not yet current")), "clock is not AWS's"),
        (boto.ProfileNotFound(profile="prod"), "(prod) could not be found; set AWS_PROFILE to one of those"),
        (boto.SSLError(endpoint_url="https://x", error="self signed"), "set AWS_CA_BUNDLE"),
        (boto.ParamValidationError(report="Invalid\nbucket name"), "failed: Invalid bucket name; check its name"),
        (boto.InvalidRegionError(region_name="a b"), SETTINGS),
        (boto.ConfigParseError(path="/c"), f"Unable to parse config file: /c; {SETTINGS}"),
        (boto.InfiniteLoopConfigError(source_profile="a", visited_profiles=["a"]), SETTINGS),
    ],
)
def test_what_a_person_must_mend_is_named_with_the_way_out(error: Exception, said: str) -> None:
    found = explain(error, "the thing")
    assert isinstance(found, WiringError)
    assert str(found).startswith("the thing")
    assert said in str(found)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (boto.NoCredentialsError(), "no AWS credentials were found (Unable to locate credentials); set AWS_PROFILE"),
        (boto.PartialCredentialsError(provider="env", cred_var="secret"), "no AWS credentials were found (Partial"),
        (boto.NoRegionError(), "no AWS region is named; set AWS_REGION"),
    ],
)
def test_what_is_missing_for_all_of_aws_is_said_in_the_same_words_whatever_was_asked_about(
    error: Exception, said: str
) -> None:
    found = explain(error, "the thing")
    assert isinstance(found, WiringError)
    assert str(found).startswith(said)
    assert "the thing" not in str(found)


PATHS = "check AWS_ENDPOINT_URL, AWS_REGION, the network and its proxy"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answered("ThrottlingException"), "AWS throttles ReceiveMessage (said); it passes by itself"),
        (answered("RequestThrottled"), "AWS throttles"),
        (answered("ProvisionedThroughputExceededException"), "AWS throttles"),
        (answered("SlowDown"), "AWS throttles"),
        (answered("LimitExceededException", operation="CreateStack"), "CreateStack is over a limit of the account"),
        (answered("ExpiredToken"), "the credentials have expired (said); renew them"),
        (answered("ExpiredTokenException"), "the credentials have expired"),
        (
            answered("400", "Bad Request", "HeadObject"),
            "has no room for a reason; the usual one is that the credential",
        ),
        (answered("OverLimit"), "as many messages in flight as a queue may have"),
        (answered("InternalError", HTTPStatusCode=500), "AWS answered InternalError to ReceiveMessage: said"),
        (answered("", "", HTTPStatusCode=503), "AWS answered 503 to ReceiveMessage: no reason given"),
        (answered("502", "<html><title>Bad</title>"), "AWS answered 502 to ReceiveMessage: a web page, 'Bad'"),
        (answered("404", "no such\npage"), f"ReceiveMessage with 404 is not AWS (no such page); {PATHS}"),
        (answered("403", "Forbidden"), "what answered ReceiveMessage with 403 is not AWS"),
        (ResponseParserError("no XML"), f"what answered is not AWS (no XML); {PATHS}"),
        (boto.HTTPClientError(error="no host"), f"the thing: no host; {PATHS}"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), f'to the endpoint URL: "http://x"; {PATHS}'),
        (boto.ProxyConnectionError(proxy_url="http://p"), 'proxy URL: "http://p"; check HTTPS_PROXY, HTTP_PROXY'),
        (boto.ReadTimeoutError(endpoint_url="http://x"), "Read timeout"),
        (boto.ConnectionClosedError(endpoint_url="http://x"), "Connection was closed"),
        (boto.CredentialRetrievalError(provider="sso", error_msg="x"), "the credentials could not be fetched"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login"),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), "the thing: 1 read, but total bytes expected"),
    ],
)
def test_what_may_pass_is_named_and_may_be_tried_again(error: Exception, said: str) -> None:
    found = explain(error, "the thing")
    assert type(found) is TriggersError
    assert said in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("host", "nowhere"),
    [
        ("sqs.nowhere.amazonaws.com", True),
        ("a-bucket.s3.eu-west.amazonaws.com", True),
        ("a-bucket.s3.eu-west-1.amazonaws.com", False),
        ("dynamodb.us-gov-east-1.amazonaws.com", False),
        ("a-bucket.s3.amazonaws.com", False),
    ],
)
def test_a_region_that_is_written_like_none_is_said_to_be_none(host: str, nowhere: bool) -> None:
    found = explain(boto.EndpointConnectionError(endpoint_url=f"https://{host}/"), "the thing")
    assert ("AWS has no region of that name: set AWS_REGION" in str(found)) is nowhere
    assert isinstance(found, WiringError) is nowhere


def test_whether_a_call_is_made_again_is_left_to_who_makes_it() -> None:
    """A command that is called once does not, a source that is followed does."""
    errors = [answered("ThrottlingException"), boto.ConnectTimeoutError(endpoint_url="http://x")]
    assert not [error for error in errors if "again" in str(explain(error, "the thing"))]


def test_every_call_that_is_made_has_the_action_that_allows_it() -> None:
    """What S3 and SQS say of a refusal often names no action."""
    services = "s3", "sqs", "dynamodb", "events", "scheduler", "cloudformation", "sts"
    models = [boto3.client(name, region_name=REGION).meta.service_model for name in services]
    operations = {xform_name(name): name for model in models for name in model.operation_names}
    named = {name for file in Path(triggers.aws.__path__[0]).rglob("*.py") for name in _names(file)}
    called = {operations[name] for name in named & operations.keys()}
    assert {"ListObjectsV2", "ReceiveMessage", "UpdateItem", "PutEvents", "UpdateStack"} <= called
    assert called <= ACTIONS.keys()


def _names(file: Path) -> set[str]:
    """Return the attributes that a module reads, and its texts: by either an operation is named."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} | texts


def test_what_is_no_error_of_aws_is_left_alone() -> None:
    with pytest.raises(KeyError), explained("the thing"):
        raise KeyError("ours")


def test_the_error_of_aws_stays_the_cause() -> None:
    refused = answered("NoSuchBucket")
    with pytest.raises(TriggersError) as raised, explained("the thing"):
        raise refused
    assert raised.value.__cause__ is refused


def test_a_call_has_a_total_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "CALL", 0.01)

    async def main() -> None:
        async with asking("the thing"):
            await asyncio.Event().wait()

    with pytest.raises(TriggersError, match=f"the thing: AWS did not answer within 0.01 s; {PATHS}"):
        asyncio.run(main())


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "find_spec", lambda name: None)
    with pytest.raises(WiringError, match=r"AWS needs boto3; install it with: pip install 'triggers-ml\[aws\]'"):
        clients.client("sqs")


def test_the_region_of_the_environment_counts_before_that_of_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[default]\nregion = ap-south-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    assert clients.client("sqs").meta.region_name == "ap-south-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert clients.client("sqs").meta.region_name == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert clients.client("sqs").meta.region_name == clients.region() == "eu-west-1"
    assert asyncio.run(polling_region()) == "eu-west-1"


async def polling_region() -> str:
    """Return the region that a dispatcher's client asks."""
    async with clients.connected("sqs") as client:
        return str(client.meta.region_name)


def test_a_region_that_only_other_tools_know_of_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert clients.client("sqs").meta.region_name == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(WiringError, match=r"^no AWS region is named"):
        clients.client("sqs")

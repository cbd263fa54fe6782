from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from triggers.aws import clients
from triggers.aws.clients import asking
from triggers.aws.refusals import explain, explained
from triggers.errors import TriggersError, WiringError


def answered(code: str, message: str = "said", operation: str = "ReceiveMessage", **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": more}, operation)


DETAILED = (
    "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: dynamodb:PutItem on resource:"
    " arn:aws:dynamodb:us-east-1:1:table/runs because no identity-based policy allows the dynamodb:PutItem action"
)
SAID_DENIED = (
    "arn:aws:sts::1:assumed-role/r/s may not dynamodb:PutItem on arn:aws:dynamodb:us-east-1:1:table/runs; allow"
)
BUCKET = {"x-amz-bucket-region": "eu-west-1"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answered("AccessDeniedException", DETAILED, "PutItem"), SAID_DENIED),
        (
            answered("AccessDenied", "Access Denied", "ListObjectsV2"),
            "this identity may not s3:ListBucket on the thing",
        ),
        (answered("403", "Forbidden", "HeadObject"), "may not s3:GetObject on the thing"),
        (answered("AccessDenied", "Access Denied", "PutRule"), "may not PutRule on the thing"),
        (answered("AWS.SimpleQueueService.NonExistentQueue"), "the thing does not exist in this account and region"),
        (answered("QueueDoesNotExist"), "does not exist"),
        (answered("NoSuchBucket"), "does not exist"),
        (answered("404", "Not Found", "HeadBucket"), "does not exist"),
        (answered("ResourceNotFoundException"), "does not exist"),
        (answered("PermanentRedirect", HTTPHeaders=BUCKET), "in another region; set AWS_REGION=eu-west-1"),
        (answered("301", HTTPStatusCode=301), "in another region; set AWS_REGION to the region that it is in"),
        (answered("InvalidClientTokenId"), "AWS does not take these credentials (said); check AWS_PROFILE"),
        (answered("UnrecognizedClientException"), "does not take these credentials"),
        (answered("SignatureDoesNotMatch"), "does not take these credentials"),
        (answered("RequestTimeTooSkewed"), "this machine's clock is not AWS's"),
        (boto.NoCredentialsError(), "no AWS credentials were found (Unable to locate credentials)"),
        (boto.PartialCredentialsError(provider="env", cred_var="secret"), "no AWS credentials were found"),
        (boto.ProfileNotFound(profile="prod"), "(prod) could not be found; set AWS_PROFILE to one of those"),
        (boto.NoRegionError(), "no AWS region is named; set AWS_REGION"),
        (boto.SSLError(endpoint_url="https://x", error="self signed"), "set AWS_CA_BUNDLE"),
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
        (answered("ThrottlingException"), "AWS throttles ReceiveMessage (said)"),
        (answered("RequestThrottled"), "AWS throttles"),
        (answered("ProvisionedThroughputExceededException"), "AWS throttles"),
        (answered("SlowDown"), "AWS throttles"),
        (answered("ExpiredToken"), "the credentials have expired (said); renew them"),
        (answered("ExpiredTokenException"), "the credentials have expired"),
        (answered("OverLimit"), "as many messages in flight as a queue may have"),
        (answered("InternalError", HTTPStatusCode=500), "AWS answered InternalError to ReceiveMessage: said"),
        (answered("", "", HTTPStatusCode=503), "AWS answered 503 to ReceiveMessage: no reason given"),
        (
            boto.EndpointConnectionError(endpoint_url="http://x"),
            'Could not connect to the endpoint URL: "http://x"; it is',
        ),
        (boto.ReadTimeoutError(endpoint_url="http://x"), "Read timeout"),
        (boto.ConnectionClosedError(endpoint_url="http://x"), "Connection was closed"),
        (boto.CredentialRetrievalError(provider="sso", error_msg="x"), "the credentials could not be fetched"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login"),
        (boto.ParamValidationError(report="Missing"), "the thing: Parameter validation failed"),
    ],
)
def test_what_may_pass_is_named_and_may_be_tried_again(error: Exception, said: str) -> None:
    found = explain(error, "the thing")
    assert type(found) is TriggersError
    assert said in str(found)


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

    with pytest.raises(TriggersError, match=r"the thing: AWS did not answer within 0.01 s"):
        asyncio.run(main())


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "find_spec", lambda name: None)
    with pytest.raises(WiringError, match=r"AWS needs boto3; install it with: pip install 'triggers-ml\[aws\]'"):
        clients.client("sqs")


def test_a_region_that_only_other_tools_know_of_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert clients.client("sqs").meta.region_name == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(WiringError, match="sqs: no AWS region is named"):
        clients.client("sqs")

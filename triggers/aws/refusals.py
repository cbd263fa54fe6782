"""What AWS refused, in words: which thing, which action on which resource, and the way out.

A `WiringError` is for a person to mend: nothing there by that name, not allowed, no credentials. Any other
`TriggersError` may pass by itself: throttled, out of reach, out of order, credentials that somebody renews.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from triggers.errors import TriggersError, WiringError

LONGEST = 500
"""Characters of what AWS says that are passed on."""

_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "HeadObject": "s3:GetObject",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "CreateBucket": "s3:CreateBucket",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "SendMessageBatch": "sqs:SendMessage",
}  # operations that are not called as the action that allows them
_DENIED = re.compile(
    r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w:*-]+)(?: on resource: (?P<resource>\S+))?"
)

Words = Callable[[str, Mapping[str, Any]], TriggersError]
"""From a thing and what AWS said of it to our words."""


@contextmanager
def explained(thing: str) -> Iterator[None]:
    """Raise what botocore raises in the block as a `TriggersError` about the thing, as in `queue 'orders'`."""
    try:
        yield
    except Exception as error:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # loaded by whoever raised it

        if isinstance(error, BotoCoreError | ClientError | HTTPClientError):
            raise explain(error, thing) from error
        raise


def explain(error: Exception, thing: str) -> TriggersError:
    """Return an error of botocore's as one of ours."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and "Error" in response:
        return _answered(thing, {**response, "operation": getattr(error, "operation_name", "")})
    return _unanswered(thing, error)


# --- AWS answered --------------------------------------------------------------------------------


def _answered(thing: str, response: Mapping[str, Any]) -> TriggersError:
    code = str(response["Error"].get("Code", ""))
    if words := _WORDS.get(code.removeprefix("AWS.SimpleQueueService.").removesuffix("Exception")):
        return words(thing, response)
    if _status(response) in (301, 307):
        return _elsewhere(thing, response)
    return TriggersError(
        f"{thing}: AWS answered {code or _status(response)} to {_operation(response)}: {_said(response)}"
    )


def _denied(thing: str, response: Mapping[str, Any]) -> TriggersError:
    found = _DENIED.search(_said(response))
    operation = response["operation"]
    action = found["action"] if found else _ACTIONS.get(operation, operation)
    who = (found and found["who"]) or "this identity"
    resource = (found and found["resource"]) or thing
    return WiringError(
        f"{thing}: access denied: {who} may not {action} on {resource}; allow it in the identity's policy,"
        " and in the resource's where that belongs to another account"
    )


def _missing(thing: str, response: Mapping[str, Any]) -> TriggersError:
    return WiringError(
        f"{thing} does not exist in this account and region; create it, or check its name, AWS_REGION and the"
        f" credentials ({_said(response)})"
    )


def _elsewhere(thing: str, response: Mapping[str, Any]) -> TriggersError:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or response["Error"].get("Region")
    way = f"set AWS_REGION={region}" if region else "set AWS_REGION to the region that it is in"
    return WiringError(f"{thing} is in another region; {way}")


def _unknown_key(thing: str, response: Mapping[str, Any]) -> TriggersError:
    return WiringError(
        f"{thing}: AWS does not take these credentials ({_said(response)}); check AWS_PROFILE, AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY, and whether they are for this account and endpoint"
    )


def _expired(thing: str, response: Mapping[str, Any]) -> TriggersError:
    return TriggersError(
        f"{thing}: the credentials have expired ({_said(response)}); renew them, as with `aws sso login`: a profile is"
        " read anew, environment variables only by a new process"
    )


def _throttled(thing: str, response: Mapping[str, Any]) -> TriggersError:
    return TriggersError(
        f"{thing}: AWS throttles {_operation(response)} ({_said(response)}); it passes by itself, or ask for a"
        " higher quota"
    )


def _too_many(thing: str, response: Mapping[str, Any]) -> TriggersError:
    return TriggersError(
        f"{thing} has as many messages in flight as a queue may have; who received them must delete them, or they"
        " come back when their visibility time-out is over"
    )


def _skewed(thing: str, response: Mapping[str, Any]) -> TriggersError:
    return WiringError(f"{thing}: this machine's clock is not AWS's ({_said(response)}); set it, as with NTP")


_WORDS: dict[str, Words] = {
    **dict.fromkeys(
        ("AccessDenied", "UnauthorizedOperation", "Forbidden", "403", "KmsAccessDenied", "KMS.AccessDenied"), _denied
    ),
    **dict.fromkeys(
        ("NonExistentQueue", "QueueDoesNotExist", "NoSuchBucket", "ResourceNotFound", "NotFound", "404"), _missing
    ),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "301"), _elsewhere
    ),
    **dict.fromkeys(
        (
            *("InvalidClientTokenId", "UnrecognizedClient", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
            *("InvalidSignature", "MissingAuthenticationToken", "InvalidToken", "InvalidSecurity"),
        ),
        _unknown_key,
    ),
    **dict.fromkeys(("ExpiredToken", "TokenRefreshRequired"), _expired),
    **dict.fromkeys(
        (
            *("Throttling", "Throttled", "RequestThrottled", "RequestLimitExceeded", "TooManyRequests", "SlowDown"),
            *("ProvisionedThroughputExceeded", "LimitExceeded", "BandwidthLimitExceeded", "KmsThrottled"),
        ),
        _throttled,
    ),
    "OverLimit": _too_many,
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _skewed),
}
"""By the code of the error, without `Exception` at its end."""


def _said(response: Mapping[str, Any]) -> str:
    error = response["Error"]
    return str(error.get("Message") or error.get("Code") or "no reason given")[:LONGEST]


def _operation(response: Mapping[str, Any]) -> str:
    return response["operation"] or "the call"


def _status(response: Mapping[str, Any]) -> int:
    status: int = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


# --- nobody answered -----------------------------------------------------------------------------


def _unanswered(thing: str, error: Exception) -> TriggersError:
    from botocore import exceptions as boto

    said = str(error)[:LONGEST]
    if isinstance(error, boto.NoRegionError):
        return WiringError(f"{thing}: no AWS region is named; set AWS_REGION, or `region` in the profile")
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return WiringError(
            f"{thing}: no AWS credentials were found ({said.rstrip('.')}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY, or give the machine a role"
        )
    if isinstance(error, boto.ProfileNotFound):
        return WiringError(f"{thing}: {said}; set AWS_PROFILE to one of those in ~/.aws/config")
    if isinstance(error, boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.SSOError):
        return TriggersError(
            f"{thing}: the credentials could not be fetched ({said}); renew them, as with `aws sso login`"
        )
    if isinstance(error, boto.SSLError):
        return WiringError(
            f"{thing}: the endpoint's certificate is not trusted ({said}); set AWS_CA_BUNDLE to its issuer's"
        )
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError):
        return TriggersError(f"{thing}: {said.rstrip('.')}; it is tried again, check the network and AWS_ENDPOINT_URL")
    return TriggersError(f"{thing}: {said}")


__all__ = ["explain", "explained"]

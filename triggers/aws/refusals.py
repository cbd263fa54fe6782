"""What AWS refused, in words: which thing, which action on which resource, and the way out.

A `WiringError` is for a person to mend: nothing there by that name, not allowed, no credentials. Any other
`TriggersError` may pass by itself: throttled, out of reach, out of order, credentials that somebody renews. Whether the
call is made again is not known here: who makes it again says so.
"""

# without annotations as text, each of which a named tuple would compile

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from triggers.errors import TriggersError, WiringError

LONGEST: Final = 500
"""Characters of what AWS says that are passed on."""
PAGE: Final = "Page"
"""Under this name, beside an error, is what web page came in place of it."""
PATHS: Final = "check AWS_ENDPOINT_URL, AWS_REGION, the network and its proxy"
"""What to do where nobody answers, or another one than AWS."""

_LIBRARIES: Final = ("botocore", "aiobotocore", "boto3", "s3transfer")


class _Words(NamedTuple):
    """`text` may name the thing, what AWS said, and the other fields of `_facts`."""

    kind: type[TriggersError]
    text: str


@contextmanager
def explained(thing: str) -> Iterator[None]:
    """Raise what botocore raises in the block as a `TriggersError` about the thing, as in `queue 'orders'`."""
    try:
        yield
    except Exception as error:
        if is_theirs(error):
            raise explain(error, thing) from error
        raise


def is_theirs(error: BaseException) -> bool:
    """Say whether an error is one of botocore's, or of a library on top of it. None of them is loaded for that."""
    return any(kind.__module__.partition(".")[0] in _LIBRARIES for kind in type(error).__mro__)


def explain(error: Exception, thing: str) -> TriggersError:
    """Return an error of botocore's as one of ours."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and "Error" in response:
        facts = _facts(thing, response, getattr(error, "operation_name", None) or "the call")
        words = _answered(facts)
    elif isinstance(cause := getattr(error, "kwargs", {}).get("error"), RecursionError):
        facts, words = {}, _LOST
    else:
        wraps = type(error).__name__ == "HTTPClientError"  # and says less than what is in it
        facts = {"said": _line(cause if wraps and cause else error)}
        words = next(
            (_UNANSWERED[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _UNANSWERED), _SAID
        )
        words = _NOWHERE if words is _UNREACHED and _is_nowhere(facts["said"]) else words
    return words.kind(words.text.format_map({**facts, "thing": thing, "paths": PATHS}))


def is_missing(error: TriggersError) -> bool:
    """Say whether an error of `explain`'s tells of something that AWS has not."""
    return _is(error, _MISSING)


def is_denied(error: TriggersError) -> bool:
    """Say whether an error of `explain`'s tells that somebody may not do what he did."""
    return _is(error, _DENIED)


def _is(error: TriggersError, words: _Words) -> bool:
    response = getattr(error.__cause__, "response", None)
    return isinstance(response, Mapping) and "Error" in response and _of_code(response["Error"]) is words


def page(body: bytes) -> str | None:
    """Return what to call the web page that came in place of an answer; None where it is none."""
    if body.lstrip()[:1] != b"<":
        return None
    return _page(body[:_HEAD].decode("utf-8", "replace"))


def not_aws(operation: str, body: bytes) -> Exception:
    """Return an error of botocore's for an answer that AWS has not given: a proxy, or whoever is at the endpoint."""
    from botocore.exceptions import HTTPClientError  # none of it is needed when all goes well

    said = page(body) or repr(body[:80].decode("utf-8", "replace"))
    made: Exception = HTTPClientError(error=f"what answered {operation} is not AWS, but sent {said}")
    return made


# --- AWS answered --------------------------------------------------------------------------------

_OPERATIONS: Final = {
    "s3": "CreateBucket GetBucketVersioning GetObject PutObject",
    "sqs": "ChangeMessageVisibility CreateQueue DeleteMessage GetQueueAttributes GetQueueUrl ListQueueTags"
    " ReceiveMessage SendMessage",
    "dynamodb": "GetItem PutItem Query Scan UpdateItem",
    "events": "PutEvents",
    "batch": "SubmitJob",
    "scheduler": "CreateSchedule CreateScheduleGroup DeleteSchedule GetSchedule ListSchedules",
    "cloudformation": "CreateStack DeleteStack DescribeStackEvents DescribeStacks GetTemplate ListStackResources"
    " ListStacks UpdateStack",
    "sts": "GetCallerIdentity",
}
ACTIONS: Final = {
    **{name: f"{service}:{name}" for service, names in _OPERATIONS.items() for name in names.split()},
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "HeadObject": "s3:GetObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "SendMessageBatch": "sqs:SendMessage",
}
"""The action that allows each operation which is called here."""

# patterns as text, which is compiled when one is asked for: an entry that is refused nothing waits for none
_REFUSED: Final = (
    r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w:*-]+)"
    r"(?: on (?:the )?resource: \"?(?P<resource>[^\s\"]+)\"?)?(?P<why> (?:because|with) .+)?"
)
_CLOCK: Final = "Signature (expired|not yet current)"
_WEB: Final = r"\s*(<!doctype html|<html)\b"
_TITLE: Final = r"<title[^>]*>\s*([^<]+?)\s*</title>"
_HEAD: Final = 4096
_ECHO: Final = "The Canonical String for this request"
"""Behind it, where a signature does not match, AWS says what was sent, the session's token included."""

_DENIED: Final = _Words(
    WiringError,
    "{thing}: access denied: {who} may not {action} on {resource}{why}; allow it in the identity's policy, and in the"
    " resource's where that belongs to another account",
)
_KEY_DENIED: Final = _Words(
    WiringError,
    "{thing}: access denied to the key that encrypts it: {said}; allow {who} {key_action} on the key, in the identity's"
    " policy and in the key's",
)
_KEY: Final = _Words(
    WiringError,
    "{thing}: the key that encrypts it cannot be used: {said}; enable or restore it in KMS, or choose another",
)
_MISSING: Final = _Words(
    WiringError,
    "{thing} does not exist in this account and region; create or deploy it, or check its name, AWS_REGION and the"
    " credentials ({said})",
)
_ELSEWHERE: Final = _Words(WiringError, "{thing} is in another region; set AWS_REGION{region}")
_UNKNOWN: Final = _Words(
    WiringError,
    "{thing}: AWS does not take these credentials ({said}); check AWS_PROFILE, AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY, whether they are for this account and endpoint, and whether the account has the region"
    " enabled",
)
_EXPIRED: Final = _Words(
    TriggersError,
    "{thing}: the credentials have expired ({said}); renew them, as with `aws sso login`: a profile is read anew,"
    " environment variables only by a new process",
)
_THROTTLED: Final = _Words(
    TriggersError,
    "{thing}: AWS throttles {operation} ({said}); it passes by itself, or ask for a higher quota",
)
_FULL: Final = _Words(
    TriggersError,
    "{thing}: {operation} is over a limit of the account ({said}); remove what is not needed, or ask AWS for a higher"
    " quota",
)
_IN_FLIGHT: Final = _Words(
    TriggersError,
    "{thing} has as many messages in flight as a queue may have; who received them must delete them, or they come back"
    " when their visibility time-out is over",
)
_SKEWED: Final = _Words(WiringError, "{thing}: this machine's clock is not AWS's ({said}); set it, as with NTP")
_FOREIGN: Final = _Words(
    TriggersError,
    "{thing}: what answered {operation} with {code} is not AWS ({said}); {paths}",
)
_UNSAID: Final = _Words(
    TriggersError,
    "{thing}: AWS answered 400 to {operation}, which has no room for a reason; the usual one is that the credentials"
    " have expired: renew them, as with `aws sso login`",
)
_OTHER: Final = _Words(TriggersError, "{thing}: AWS answered {code} to {operation}: {said}")

_BY_CODE: Final[Mapping[str, _Words]] = {
    code: words
    for words, codes in (
        (_DENIED, "AccessDenied UnauthorizedOperation Forbidden 403"),
        (_KEY_DENIED, "KmsAccessDenied KMSAccessDenied KMS.AccessDenied"),
        (_KEY, "KmsDisabled KmsInvalidState KmsInvalidKeyUsage KmsNotFound KmsOptInRequired"),
        (_KEY, "KMS.Disabled KMS.NotFound KMS.KMSInvalidState KMSDisabled KMSInvalidState KMSNotFound"),
        (_MISSING, "NonExistentQueue QueueDoesNotExist NoSuchBucket ResourceNotFound NotFound 404"),
        (_ELSEWHERE, "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraint 301"),
        (_UNKNOWN, "InvalidClientTokenId UnrecognizedClient InvalidAccessKeyId SignatureDoesNotMatch InvalidSignature"),
        (_UNKNOWN, "MissingAuthenticationToken InvalidToken InvalidSecurity AuthFailure"),
        (_EXPIRED, "ExpiredToken TokenRefreshRequired"),
        (_THROTTLED, "Throttling Throttled RequestThrottled RequestLimitExceeded TooManyRequests SlowDown"),
        (_THROTTLED, "ProvisionedThroughputExceeded BandwidthLimitExceeded KmsThrottled"),
        (_FULL, "LimitExceeded ServiceQuotaExceeded TooManyBuckets"),
        (_IN_FLIGHT, "OverLimit"),
        (_UNSAID, "400"),
        (_SKEWED, "RequestTimeTooSkewed RequestExpired RequestInTheFuture"),
    )
    for code in codes.split()
}
"""By the code of the error, without `Exception` at its end."""


def _of_code(error: Mapping[str, Any]) -> _Words:
    code = str(error.get("Code"))
    return _BY_CODE.get(code.removeprefix("AWS.SimpleQueueService.").removesuffix("Exception"), _OTHER)


def _answered(facts: Mapping[str, str]) -> _Words:
    code = facts["code"]
    if code.isdecimal() and not facts["operation"].startswith("Head"):  # to all but these AWS gives a code in words
        return _FOREIGN if code < "500" else _OTHER
    words = _of_code({"Code": code})
    if words is _UNKNOWN and re.search(_CLOCK, facts["said"]):
        return _SKEWED
    if words is _DENIED and facts["action"].startswith("kms:"):
        return _KEY_DENIED
    return words


def _facts(thing: str, response: Mapping[str, Any], operation: str) -> dict[str, str]:
    error, about = response["Error"], response.get("ResponseMetadata", {})
    said = response.get(PAGE) or _line(error.get("Message") or error.get("Code") or "no reason given")
    found = re.search(_REFUSED, said)
    action, who, resource, why = found.group("action", "who", "resource", "why") if found else (None,) * 4
    region = about.get("HTTPHeaders", {}).get("x-amz-bucket-region") or error.get("Region")
    return {
        "said": said,
        "operation": operation,
        "code": str(error.get("Code") or about.get("HTTPStatusCode", "nothing")),
        "action": action or ACTIONS.get(operation, operation),
        "key_action": action if action and action.startswith("kms:") else "kms:Decrypt and kms:GenerateDataKey",
        "who": who or "this identity",
        "resource": resource or thing,
        "why": why or "",
        "region": f"={region}" if region else " to the region that it is in",
    }


def _line(said: object) -> str:
    """Return what was said in one line, of a web page what it is called."""
    text = str(said).partition(_ECHO)[0].rstrip(". \n")
    return _page(text) or " ".join(text.split())[:LONGEST]


def _page(text: str) -> str | None:
    if not re.match(_WEB, text, re.IGNORECASE):
        return None
    title = re.search(_TITLE, text, re.IGNORECASE)
    return f"a web page, {' '.join(title[1].split())[:80]!r}" if title else "a web page"


# --- nobody answered -----------------------------------------------------------------------------

_NOWHERE: Final = _Words(
    WiringError, "{thing}: {said}; AWS has no region of that name: set AWS_REGION, or `region` in the profile"
)
_NAMED: Final = r"\b(?:batch|cloudformation|dynamodb|events|s3|scheduler|sqs|sts)\.([\w-]+)\.amazonaws\.com"
_REGION: Final = r"[a-z]+(-[a-z]+)+-[0-9]+"


def _is_nowhere(said: str) -> bool:
    """Say whether nobody answers in a region whose name is written like none of AWS's."""
    named = re.search(_NAMED, said)
    return named is not None and not re.fullmatch(_REGION, named[1])


_SAID: Final = _Words(TriggersError, "{thing}: {said}")
_SETTINGS: Final = _Words(WiringError, "{thing}: {said}; check the AWS_ variables and ~/.aws/config")
_NONE: Final = _Words(
    WiringError,
    "no AWS credentials were found ({said}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
    " or give the machine a role",
)  # it is so for everything: who asks about several things says it once
_UNFETCHED: Final = _Words(
    TriggersError, "{thing}: the credentials could not be fetched ({said}); renew them, as with `aws sso login`"
)
_LOST: Final = _Words(  # botocore asks for the region by a call that is answered in the same way, again and again
    WiringError, "{thing} is in another region, and the answer does not say in which; set AWS_REGION to that"
)
_UNREACHED: Final = _Words(TriggersError, "{thing}: {said}; {paths}")

_UNANSWERED: Final[Mapping[str, _Words]] = {
    "NoRegionError": _Words(WiringError, "no AWS region is named; set AWS_REGION, or `region` in the profile"),
    "ProfileNotFound": _Words(WiringError, "{thing}: {said}; set AWS_PROFILE to one of those in ~/.aws/config"),
    "SSLError": _Words(
        WiringError, "{thing}: the endpoint's certificate is not trusted ({said}); set AWS_CA_BUNDLE to its issuer's"
    ),
    "ParamValidationError": _Words(WiringError, "{thing}: {said}; check its name"),
    "ProxyConnectionError": _Words(TriggersError, "{thing}: {said}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
    "ResponseParserError": _Words(
        TriggersError,
        "{thing}: what answered is not AWS ({said}); {paths}",
    ),
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError"), _NONE),
    **dict.fromkeys(("CredentialRetrievalError", "TokenRetrievalError", "SSOError", "LoginError"), _UNFETCHED),
    **dict.fromkeys(("ConnectionError", "HTTPClientError"), _UNREACHED),
    **dict.fromkeys(("InvalidRegionError", "InvalidRetryModeError", "InvalidRetryConfigurationError"), _SETTINGS),
    **dict.fromkeys(("InvalidMaxRetryAttemptsError", "InvalidConfigError", "InvalidProxiesConfigError"), _SETTINGS),
    **dict.fromkeys(("ConfigParseError", "ConfigNotFound", "UnknownCredentialError"), _SETTINGS),
}
"""By the class of the error, or the nearest of those above it."""


__all__ = [
    "ACTIONS",
    "PAGE",
    "PATHS",
    "explain",
    "explained",
    "is_denied",
    "is_missing",
    "is_theirs",
    "not_aws",
    "page",
]

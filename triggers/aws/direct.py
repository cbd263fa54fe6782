"""DynamoDB, EventBridge and SQS without boto3: the five calls that a function makes of its own.

Importing boto3 and making its clients takes several times the CPU that all the rest of a function's cold start takes.
The calls of `Records`, `Bus` and `HandBack` are JSON already, so what remains of a client is a signed POST over a kept
connection.

It is as patient as `triggers.aws.clients` is, and raises what botocore would raise, so that nobody who calls can tell
the two apart. Where the environment asks for anything that is not known here, `client` returns boto3's.

DynamoDB's `x-amz-crc32` is not checked: TLS already tells an answer that was altered, and its length one that was cut.
"""

from __future__ import annotations

import json
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from weakref import finalize

from triggers import __version__
from triggers.aws import clients
from triggers.aws.clients import CONNECT, READ
from triggers.aws.refusals import PAGE, not_aws, page
from triggers.aws.signing import Credentials, Scope, signed

TRIES: Final = 3
"""How often a call is made at most, as botocore's standard mode does; a second time at once does not count."""

_FOREIGN: Final = frozenset(
    {
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
        *("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"),
        *("AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"),
    }
)
"""Variables that botocore obeys and this client does not know."""

_SUFFIXES: Final = {
    r"(us|eu|ap|sa|ca|me|af|il|mx|us-gov)-[a-z]+-\d+": "amazonaws.com",
    r"cn-[a-z]+-\d+": "amazonaws.com.cn",
}
"""Where a region's endpoints are; any other region is botocore's to know."""

_PASSING: Final = frozenset(
    {
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled"),
        *("TooManyRequestsException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"),
        *("BandwidthLimitExceeded", "LimitExceededException", "SlowDown", "TransactionInProgressException"),
        *("RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete", "ReplicatedWriteConflictException"),
    }
)
"""Codes of errors that pass by themselves, as botocore knows them."""

_CLOSED = ConnectionError, ssl.SSLEOFError


class Service(NamedTuple):
    """How a service is spoken to. `name` is in its endpoint and in signatures, `variable` in `AWS_ENDPOINT_URL_...`."""

    name: str
    target: str
    version: str
    variable: str


class Meta(NamedTuple):
    """Where a client calls, by the name that boto3's clients have for it."""

    endpoint_url: str


class Direct:
    """Calls one service at an endpoint, `https://host[:port]`, for one thread at a time.

    Raises what botocore raises: `ClientError` where AWS refused, `ConnectionError` or `HTTPClientError` where nobody
    answered. An answer of which nothing more comes is given up after `read` seconds.
    """

    service: Service

    def __init__(
        self, region: str, endpoint: str, *, sleep: Callable[[float], None] = time.sleep, read: float = READ
    ) -> None:
        self.endpoint = endpoint
        self.meta = Meta(endpoint)
        self._scope = Scope(region, self.service.name)
        self._sleep = sleep
        self._read = read
        self._connection = _connection(endpoint)
        finalize(self, self._connection.close)

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(request).encode()
        for tried in range(1, TRIES):
            try:
                return self._tried(operation, body)
            except Exception as error:
                if not _passes(error):
                    raise
            self._sleep(random.uniform(0, 2 ** (tried - 1)))  # noqa: S311  # spreads load
        return self._tried(operation, body)

    def _tried(self, operation: str, body: bytes) -> dict[str, Any]:
        headers = self._headers(operation, body)
        try:
            answer = self._asked(body, headers)
        except (_Unreached, OSError, HTTPException, ValueError) as error:
            raise _unanswered(error, self.endpoint) from error
        if answer.status != 200:
            raise _refused(answer, operation)
        try:
            return answer.said()
        except ValueError as error:
            raise not_aws(operation, answer.body) from error

    def _headers(self, operation: str, body: bytes) -> dict[str, str]:
        headers = {
            "Host": urlsplit(self.endpoint).netloc,
            "Content-Type": f"application/x-amz-json-{self.service.version}",
            "X-Amz-Target": f"{self.service.target}.{operation}",
        }
        made = signed(headers, body, self._scope, _credentials(), time.time())
        return {**made, "User-Agent": f"triggers-ml/{__version__}"}

    def _asked(self, body: bytes, headers: Mapping[str, str]) -> _Answer:
        """Post; and once more at once, where a connection that was kept proves to be closed, as after a long freeze."""
        kept = self._connection.sock is not None
        try:
            return self._posted(body, headers)
        except _CLOSED:
            if not kept:
                raise
            return self._posted(body, headers)

    def _posted(self, body: bytes, headers: Mapping[str, str]) -> _Answer:
        connection = self._connection
        try:
            if connection.sock is None:
                self._connect()
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            return _Answer(response.status, {**response.headers}, response.read())
        except BaseException:  # whatever of the answer is still to come must not answer the next call
            connection.close()
            raise

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except OSError as error:
            raise _Unreached(error) from error
        self._connection.sock.settimeout(self._read)


class DynamoDB(Direct):
    """The calls of run records, with boto3's names and arguments."""

    service = Service("dynamodb", "DynamoDB_20120810", "1.0", "DYNAMODB")

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Update an item, if its condition holds."""
        return self._call("UpdateItem", request)

    def put_item(self, **request: Any) -> dict[str, Any]:
        """Put an item in the place of what is there."""
        return self._call("PutItem", request)

    def query(self, **request: Any) -> dict[str, Any]:
        """Return a page of the items of one partition."""
        return self._call("Query", request)


class EventBridge(Direct):
    """The call of the app's bus, with boto3's name and arguments."""

    service = Service("events", "AWSEvents", "1.1", "EVENTBRIDGE")

    def put_events(self, **request: Any) -> dict[str, Any]:
        """Put entries on a bus."""
        return self._call("PutEvents", request)


class SQS(Direct):
    """The call by which messages are handed back, with boto3's name and arguments.

    It is often made in the last seconds of an invocation, in which importing boto3 may take longer than there is.
    """

    service = Service("sqs", "AmazonSQS", "1.0", "SQS")

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        """Hide messages for some time."""
        return self._call("ChangeMessageVisibilityBatch", request)


_KINDS: Final[Mapping[str, type[Direct]]] = {"dynamodb": DynamoDB, "events": EventBridge, "sqs": SQS}


def client(service: str) -> Any:
    """Return a client of one of these services for a function: a direct one where the environment is as Lambda's is.

    Anywhere else, boto3's; raises as `triggers.aws.clients.client` does.
    """
    return known(service) or clients.client(service)


def known(service: str) -> Direct | None:
    """Return a direct client of a service, which calls nobody yet; None where the environment is another.

    It must have plain credentials, a region of a known suffix, an endpoint without a path, and nothing that only
    botocore knows how to obey.
    """
    kind, variables = _KINDS[service], os.environ
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or ""
    endpoint = _endpoint(kind.service, region)
    plain = variables.get("AWS_ACCESS_KEY_ID") and variables.get("AWS_SECRET_ACCESS_KEY")
    if not (plain and endpoint) or any(variables.get(name) for name in _FOREIGN):
        return None
    return kind(region, endpoint)


def _endpoint(service: Service, region: str) -> str | None:
    """Return where a service is, `scheme://host[:port]`; None where only botocore can say."""
    suffix = next((suffix for pattern, suffix in _SUFFIXES.items() if re.fullmatch(pattern, region)), None)
    if suffix is None:
        return None
    named = os.environ.get(f"AWS_ENDPOINT_URL_{service.variable}") or os.environ.get("AWS_ENDPOINT_URL")
    if not named:
        return f"https://{service.name}.{region}.{suffix}"
    found = re.fullmatch(r"(https?://[^/?#@]+)/?", named)
    return found[1] if found else None


def _credentials() -> Credentials:
    """Return those of the environment as they are now."""
    names = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
    found = Credentials(*(os.environ.get(name, "") for name in names))
    if not (found.key and found.secret):
        from botocore.exceptions import NoCredentialsError

        raise NoCredentialsError
    return found


def _connection(endpoint: str) -> HTTPConnection:
    address = urlsplit(endpoint)
    host = address.hostname or ""
    if address.scheme == "http":
        return HTTPConnection(host, address.port, timeout=CONNECT)
    return HTTPSConnection(host, address.port, timeout=CONNECT, context=_trust(clients.bundle()))


@cache
def _trust(bundle: str | None) -> ssl.SSLContext:
    """Return what tells AWS from others: reading all issuers takes 40 ms, so it is done once for all clients."""
    return ssl.create_default_context(cafile=bundle)


# --- what went wrong, in botocore's words --------------------------------------------------------


class _Unreached(Exception):
    """There is no connection; the reason is the cause."""


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def said(self) -> dict[str, Any]:
        """Return the JSON object that the answer is; raises `ValueError` where it is none."""
        found = json.loads(self.body)
        if not isinstance(found, dict):
            raise ValueError("the answer is no JSON object")
        return found


def _refused(answer: _Answer, operation: str) -> Exception:
    """Return a `ClientError`, which has the fields of the answer beside the error, as that of `clients` has.

    A web page that is no passing disorder is what `clients` makes of it.
    """
    from botocore.exceptions import ClientError

    if (web := page(answer.body)) and answer.status < 500:
        return not_aws(operation, answer.body)
    try:
        said = answer.said()
    except ValueError:  # by something on the way, that is not AWS
        said = {PAGE: web} if web else {"message": answer.body.decode(errors="replace")}
    code = str(said.pop("__type", answer.status)).partition(":")[0].rpartition("#")[2]
    message = said.pop("message", None) or said.pop("Message", "")
    headers = {name.lower(): value for name, value in answer.headers.items()}
    about = {"HTTPStatusCode": answer.status, "HTTPHeaders": headers, "RequestId": headers.get("x-amzn-requestid", "")}
    response: Any = {**said, "Error": {"Code": code, "Message": message}, "ResponseMetadata": about}
    made: Exception = ClientError(response, operation)
    return made


def _unanswered(error: Exception, endpoint: str) -> Exception:
    from botocore import exceptions as boto

    cause = error.__cause__ if isinstance(error, _Unreached) else None
    if isinstance(cause, ssl.SSLError):
        kind = boto.SSLError
    elif isinstance(cause, TimeoutError):
        kind = boto.ConnectTimeoutError
    elif cause is not None:
        kind = boto.EndpointConnectionError
    elif isinstance(error, TimeoutError):
        kind = boto.ReadTimeoutError
    else:
        kind = boto.ConnectionClosedError
    made: Exception = kind(endpoint_url=endpoint, error=cause or error)
    return made


def _passes(error: Exception) -> bool:
    """Say whether a call that failed may well succeed when it is made again."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    if not isinstance(error, ClientError):
        return isinstance(error, ConnectionError | HTTPClientError)
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status in (500, 502, 503, 504) or error.response["Error"]["Code"] in _PASSING


__all__ = ["SQS", "Direct", "DynamoDB", "EventBridge", "client", "known"]

"""Clients of AWS: where they find it, how long they wait for it, and how often they ask again.

Endpoint, region and credentials are found as botocore defines it (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SQS`,
`AWS_PROFILE`, ...); before all that it knows of regions counts `AWS_REGION`, as in the SDKs of other languages.
Credentials that botocore can renew, it renews.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

from triggers import __version__
from triggers.aws.refusals import PAGE, PATHS, explained, not_aws, page
from triggers.errors import TriggersError, WiringError

CONNECT = 5.0
"""Seconds until a connection that is not made is given up."""
READ = 30.0
"""Seconds until an answer of which nothing more comes is given up: more than the 20 of a long poll."""
CALL = 60.0
"""Seconds until a call is given up, with all that botocore tries again in it."""
POOL = 64
"""Connections that a client of plain functions keeps: they call from as many threads as an app has handlers in."""


@asynccontextmanager
async def connected(service: str) -> AsyncIterator[Any]:
    """Yield an aiobotocore client, as for `sqs`. What its calls raise, `asking` puts into words.

    Raises `WiringError` where aiobotocore is not installed, no region is named, or a setting makes no sense.
    """
    require("aiobotocore")
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    async with AsyncExitStack() as opened:
        with _made(service):
            session = _prepared(get_session())
            client = session.create_client(service, config=AioConfig(**_settings()))
            connection = await opened.enter_async_context(client)
        yield connection


@asynccontextmanager
async def asking(thing: str, seconds: float | None = None) -> AsyncIterator[None]:
    """Carry out calls about a thing, as `queue 'orders'`: in so many seconds, `CALL` if not given, or not at all.

    Raises what goes wrong as a `TriggersError` that names the thing.
    """
    import asyncio  # a function in Lambda has no use for it

    limit = CALL if seconds is None else seconds
    try:
        with explained(thing):
            async with asyncio.timeout(limit):
                yield
    except TimeoutError as error:
        raise TriggersError(f"{thing}: AWS did not answer within {limit:g} s; {PATHS}") from error


def client(service: str) -> Any:
    """Return a boto3 client, as for `dynamodb`: for plain functions and for Lambda. Making one takes 0.1 s: keep it.

    Its calls are bounded by `CONNECT` and `READ` for each attempt. Raises `WiringError` as `connected` does.
    """
    require("boto3")
    from boto3.session import Session
    from botocore.config import Config
    from botocore.session import get_session

    with _made(service):
        session = Session(botocore_session=_prepared(get_session()))
        return session.client(service, config=Config(**_settings(), max_pool_connections=POOL))


def region() -> str | None:
    """Return the region that clients ask, None where none is named."""
    from botocore.session import get_session

    named: str | None = _prepared(get_session()).get_config_variable("region")
    return named


def require(library: str) -> None:
    """Raise `WiringError` where a library of the `aws` extra is not installed."""
    if find_spec(library) is None:
        raise WiringError(f"AWS needs {library}; install it with: pip install 'triggers-ml[aws]'")


def bundle() -> str | None:
    """Return the file that says who is trusted, None for all whom the system trusts. Raises `WiringError`."""
    name = next((name for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE") if os.environ.get(name)), None)
    if name and not os.path.exists(os.environ[name]):
        raise WiringError(f"{name}={os.environ[name]} is not there; name a file with certificates, or unset it")
    return os.environ[name] if name else None


@contextmanager
def _made(service: str) -> Iterator[None]:
    """Make a client in the block. What the settings name that cannot be is raised as a `WiringError`."""
    bundle()
    try:
        with explained(service):
            yield
    except ValueError as error:
        raise WiringError(
            f"{service}: {error}; check AWS_ENDPOINT_URL, AWS_REGION and the other AWS_ variables, and ~/.aws/config"
        ) from error


def _prepared(session: Any) -> Any:
    """Return a session of botocore's in the region meant, whose clients take only what AWS says for an answer."""
    if named := os.environ.get("AWS_REGION"):
        session.set_config_variable("region", named)
    session.register_component("data_loader", _loader())
    session.register("before-parse", _check_answer)
    return session


def _check_answer(
    operation_model: Any, response_dict: Mapping[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Raise what a proxy, or another program at the endpoint, has answered: botocore would take it for an empty reply.

    What is out of order for a while is left to botocore, which asks again; its error then has the page beside it.
    """
    body, status = response_dict["body"], response_dict["status_code"]
    if not isinstance(body, bytes):  # an object that is read bit by bit: from S3, it has an ETag
        if "html" in response_dict["headers"].get("content-type", "") and "etag" not in response_dict["headers"]:
            raise not_aws(operation_model.name, b"<html>")
    elif web := page(body):
        if status < 500:
            raise not_aws(operation_model.name, body)
        customized_response_dict[PAGE] = web
    elif status < 300 and not _is_answer(operation_model, body):
        raise not_aws(operation_model.name, body)


def _is_answer(operation_model: Any, body: bytes) -> bool:
    """Say whether a body may be an answer. One that is not XML botocore's own parser tells."""
    if "json" not in operation_model.service_model.resolved_protocol:
        return True
    return body.lstrip()[:1] == b"{" or not (body or operation_model.output_shape)


@cache
def _loader() -> Any:
    """Return what reads botocore's descriptions of services: 0.2 s, which need not be spent again for every client."""
    from botocore.loaders import create_loader

    return create_loader(os.environ.get("AWS_DATA_PATH"))


def _settings() -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT,
        "read_timeout": READ,
        "retries": {"mode": "standard"},
        "user_agent": f"triggers-ml/{__version__}",  # botocore's own is made anew for every call: a fifth of its time
    }


__all__ = ["asking", "bundle", "client", "connected", "region", "require"]

"""One emulated AWS for all tests; each test makes things of its own in it, by names that no other test has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import boto3
import botocore.session
import pytest
from botocore.loaders import Loader

from triggers.aws import objects
from triggers.aws.server import environment, serve


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """Have the sessions of botocore share what they read of the services: 0.1 s of this machine for each client."""
    known: dict[object, object] = {}

    def loader(_: object) -> Loader:
        made = Loader()
        made._cache = known  # the parameter of that name is ignored
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", loader)
        yield


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Yield the address of moto's server."""
    with serve() as server:
        yield server.endpoint


@pytest.fixture
def endpoint(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of an AWS that botocore finds by itself."""
    objects.forget()  # another test may have asked for some where there was no AWS, and the next ones have none
    for name, value in environment(moto).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    yield moto
    objects.forget()


@pytest.fixture
def unique() -> str:
    """Return a name that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"

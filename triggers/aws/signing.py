"""Signature Version 4: how AWS is told who calls. Only what a JSON service needs: a POST of bytes to `/`.

The algorithm is AWS's, as "Signature Version 4 for API requests" in its IAM User Guide has it.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple

ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """Who calls. `token` is there where they are passing ones, as a role's are."""

    key: str
    secret: str
    token: str = ""


class Scope(NamedTuple):
    """What a signature is good for. `service` is the name that it signs by, as `dynamodb`."""

    region: str
    service: str


def signed(
    headers: Mapping[str, str], body: bytes, scope: Scope, credentials: Credentials, moment: float
) -> dict[str, str]:
    """Return the headers of a POST to `/`, signed at a moment (Unix s); `Host` must be among those given.

    All that are given are signed, so nothing on the way may change them.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    made = {**headers, "X-Amz-Date": stamp}
    if credentials.token:
        made["X-Amz-Security-Token"] = credentials.token
    path = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    names, request = _canonical(made, body)
    text = f"{ALGORITHM}\n{stamp}\n{path}\n{sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_key(credentials.secret, path), text.encode(), sha256).hexdigest()
    made["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.key}/{path}, SignedHeaders={names}, Signature={signature}"
    )
    return made


def _canonical(headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """Return the names of the headers that are signed, and the request in its one form."""
    lines = dict(sorted((name.lower(), " ".join(value.split())) for name, value in headers.items()))
    names = ";".join(lines)
    said = "".join(f"{name}:{value}\n" for name, value in lines.items())
    return names, f"POST\n/\n\n{said}\n{names}\n{sha256(body).hexdigest()}"


def _key(secret: str, path: str) -> bytes:
    """Return the key that signs on one day, in one region, for one service."""
    key = f"AWS4{secret}".encode()
    for part in path.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


__all__ = ["Credentials", "Scope", "signed"]

"""Signature Version 4: the vectors that AWS publishes, and botocore as the oracle for everything else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Theirs
from hypothesis import given
from hypothesis import strategies as st

from triggers.aws.signing import Credentials, Scope, signed

EXAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
    "x7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY"
    "9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
HOST = {"Host": "example.amazonaws.com"}
FORM = {**HOST, "Content-Type": "application/x-www-form-urlencoded"}
MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()

HEADERS = st.dictionaries(
    st.from_regex(r"x-[a-z]{1,8}(-[a-z]{1,8})?", fullmatch=True).filter(lambda name: not name.startswith("x-amz")),
    st.text("abcXYZ019 ,;:=/+_.-", min_size=1, max_size=30),
    max_size=5,
)
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
SECRET = st.text("abcXYZ019/+=", min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("headers", "body", "token", "names", "signature"),
    [
        (HOST, b"", "", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            {"My-Header1": "value1", **HOST}, b"", "", "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            {**HOST, "My-Header1": "VALUE1"}, b"", "", "host;my-header1;x-amz-date",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            HOST, b"", TOKEN, "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
        (
            FORM, b"Param1=value1", "", "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["post-vanilla", "post-header-key-sort", "post-header-value-case", "post-sts-header-before", "post-x-www-form"],
)  # fmt: skip
def test_the_vectors_that_aws_publishes(
    headers: dict[str, str], body: bytes, token: str, names: str, signature: str
) -> None:
    made = signed(headers, body, Scope("us-east-1", "service"), EXAMPLE._replace(token=token), MOMENT)
    assert made["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders={names}, Signature={signature}"
    )


@given(
    headers=HEADERS,
    body=st.binary(max_size=200),
    scope=st.builds(Scope, WORD, WORD),
    credentials=st.builds(Credentials, WORD, SECRET, st.one_of(st.just(""), SECRET)),
    moment=st.floats(0, 4_000_000_000),
)
def test_botocore_signs_the_same(
    headers: dict[str, str], body: bytes, scope: Scope, credentials: Credentials, moment: float
) -> None:
    made = signed({**headers, "Host": "some.host:8000"}, body, scope, credentials, moment)
    auth = SigV4Auth(Theirs(credentials.key, credentials.secret, credentials.token), scope.service, scope.region)
    request = AWSRequest("POST", "http://some.host:8000/", {**headers, "X-Amz-Date": made["X-Amz-Date"]}, body)
    request.context["timestamp"] = made["X-Amz-Date"]
    if credentials.token:
        request.headers["X-Amz-Security-Token"] = credentials.token
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert made["Authorization"].endswith(f"Signature={auth.signature(text, request)}")
    assert f"SignedHeaders={auth.signed_headers(auth.headers_to_sign(request))}," in made["Authorization"]
    assert f"Credential={auth.scope(request)}," in made["Authorization"]
    assert ("X-Amz-Security-Token" in made) == bool(credentials.token)

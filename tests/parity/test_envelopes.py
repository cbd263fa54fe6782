"""S3's notice says the same in every envelope, and comes in the shape that each has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from triggers.aws.notifications import told
from triggers.errors import WiringError
from triggers.parity import ENVELOPES, Put
from triggers.parity.envelopes import Created, wrapped

CREATED = Created("acme", "raw/a b+ü.csv", 3, "b1946a", "0055AED6DCD90281E5", 1769846400.0)

SHAPES: dict[str, list[object]] = {
    "s3": ["Records", 0, "s3"],
    "s3-sqs": ["Records", 0, "s3"],
    "sns": ["Records", 0, "Sns", "Message"],
    "sns-sqs": ["Message"],
    "eventbridge": ["detail", "object"],
    "eventbridge-sqs": ["detail", "object"],
}


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_the_notice_is_the_same_in_every_envelope(envelope: str) -> None:
    found = told(json.loads(json.dumps(wrapped(CREATED, envelope))))
    assert found is not None
    (notice,) = found.notices
    assert (notice.kind, notice.version) == ("created", None)
    assert (notice.bucket, notice.key, notice.size, notice.etag, notice.sequencer, notice.time) == CREATED


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_each_envelope_has_its_shape(envelope: str) -> None:
    inside: Any = wrapped(CREATED, envelope)
    for name in SHAPES[envelope]:
        inside = inside[name]
    assert inside


def test_an_envelope_that_there_is_not_is_refused() -> None:
    with pytest.raises(WiringError, match=r"envelope='sqs' is none of s3, s3-sqs.*did you mean"):
        Put("incoming", "a.csv", b"", "sqs")

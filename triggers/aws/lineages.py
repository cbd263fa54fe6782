"""The lineage of objects: what a run writes carries it in its metadata, so that no chain ends in a bucket.

Whoever may write an object may write its metadata. So what is not exactly as a run of ours says it is no lineage.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pydantic_core import from_json

from triggers.lineage import BUDGET
from triggers.sources import Lineage
from triggers.sources.bucket import Bucket

MARK: Final = "triggers-"
"""How the names of our metadata begin."""

FIRST_BYTE: Final = "bytes=0-0"

_NUMBER = r"([1-9][0-9]{0,17})"  # at most 18 digits, as many as every reader of whole numbers takes
_FORMS = {
    "root": re.compile(f"e{_NUMBER}"),
    "cause": re.compile(f"r{_NUMBER}"),
    "depth": re.compile(r"([1-9][0-9]{0,8})"),
    "budget": re.compile(r"(0|[1-9][0-9]{0,6})"),
}
_PASSING: Final = (408, 429)
"""Refusals that pass by themselves; of those that do not, the status is 4xx, too."""
_RENEWED: Final = ("ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed")
"""Refusals of the credentials or of the clock, which somebody mends: they say nothing of the object."""
_GONE: Final = (404, 405, 412)
"""There is no such object or version; 405 is said of a delete marker."""

log = logging.getLogger("triggers.bucket")


def written(marks: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata by which an object says what wrote it."""
    return {f"{MARK}{name}": quote(value) for name, value in marks.items()}


def read(metadata: Mapping[str, str]) -> Lineage | None:
    """Return the lineage that an object's metadata says; None where it says none that a run of ours could have."""
    found = {name: form.fullmatch(metadata.get(MARK + name, "")) for name, form in _FORMS.items()}
    numbers = {name: int(match[1]) for name, match in found.items() if match}
    if len(numbers) < len(_FORMS) or numbers["budget"] > BUDGET:
        return None
    effect, tail = unquote(metadata.get(f"{MARK}effect", "")), f"-r{numbers['cause']}"
    return Lineage(effect.removesuffix(tail), **numbers) if effect.endswith(tail) else None


def named(uri: str) -> dict[str, str]:
    """Return what names the object of an event's `uri` in S3's calls."""
    parts = urlsplit(uri)
    found = {"Bucket": parts.netloc, "Key": unquote(parts.path.removeprefix("/"))}
    version = parts.query.removeprefix("versionId=")
    return {**found, "VersionId": unquote(version)} if version else found


class Question(NamedTuple):
    """Which object's lineage is asked for: by its names in S3's calls, and the `version` of an event that names it."""

    named: Mapping[str, str]
    version: str

    @property
    def bucket(self) -> str:
        """Return the bucket, as errors name it."""
        return f"bucket {self.named['Bucket']!r}"

    def answered(self, reply: Mapping[str, Any]) -> Lineage | None:
        """Return the lineage that the head of the object says; None where it has none, or is other content by now."""
        if "VersionId" not in self.named and reply.get("ETag", "").strip('"') != self.version:
            return None
        return read(reply.get("Metadata", {}))


def question(data: str, bucket: Bucket) -> Question | None:
    """Return what is to be asked about an `ObjectCreated`, by its payload; None where it is of no object in there."""
    payload = from_json(data)
    uri, version = payload.get("uri"), payload.get("version")
    if not (isinstance(uri, str) and isinstance(version, str) and uri.startswith(f"s3://{bucket.bucket}/")):
        return None
    found = named(uri)
    return Question(found, version) if bucket.key_of(found["Key"]) else None


class Refusals:
    """What S3 would not say of objects. Why is logged once for each bucket; such objects begin chains of their own."""

    def __init__(self) -> None:
        self._said: set[tuple[str, int]] = set()

    def take(self, error: Exception, asked: Question) -> None:
        """Take note that a lineage is not told; raise the error itself where asking again may help."""
        response = getattr(error, "response", None) or {}
        status: int = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if not 400 <= status < 500 or status in _PASSING or response.get("Error", {}).get("Code") in _RENEWED:
            raise error
        if (asked.bucket, status) not in self._said:
            self._said.add((asked.bucket, status))
            log.warning(
                "%s: which run wrote %r, and others, is not known: %s", asked.bucket, asked.named["Key"], _why(status)
            )


def says_nothing(error: Exception) -> bool:
    """Say whether S3 refused a head with 400, which has no room for a reason: a `FIRST_BYTE` of the object has."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    status: int = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status == 400


def _why(status: int) -> str:
    if status in _GONE:
        return f"it is gone ({status})"
    if status == 403:
        return (
            "access denied (403): it is gone, or s3:GetObject, and s3:GetObjectVersion where there are versions, is not"
            " allowed on it; allow it, or no loop over this bucket is seen"
        )
    return f"S3 refused to say it ({status}); no loop over such objects is seen"


__all__ = ["FIRST_BYTE", "MARK", "Question", "Refusals", "named", "question", "read", "says_nothing", "written"]

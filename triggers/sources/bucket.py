"""A bucket of S3, or what lies below a prefix in it, as a source of events."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from urllib.parse import unquote

from triggers.errors import WiringError
from triggers.sources import Delivery, Site
from triggers.sources.folder import IGNORED
from triggers.spans import Span, seconds

AUDIT = 3600.0
"""Seconds after which a bucket is listed again, to find what nobody told of."""

_SCHEME = "s3://"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # S3's rule for general purpose buckets
_UNORDERED = "--x-s3"  # how the name of a directory bucket ends


class Bucket:
    """A bucket, or a prefix in it as `s3://acme/raw`; every object becomes one `ObjectCreated` for each content.

    `name` is how routes and bindings call it, the last part of the URI if not given. It hears of objects through a
    queue of SQS: `queue` is its name or URL, if not given the one that the generated template makes for it. Every
    bucket needs a queue of its own. At the start, and every `audit` seconds, the bucket is listed and compared with
    what was told, so nothing depends on the notifications but how soon it is told.

    `ignore` are shell patterns, for the last part of a key and for those between slashes before it. Ignored too are
    the empty objects by which consoles mark folders, whose keys end in a slash. With `deletions`, an object that was
    told and is gone becomes an `ObjectDeleted`.
    """

    __slots__ = ("_is_ignored", "audit", "bucket", "deletions", "ignore", "name", "prefix", "queue")

    def __init__(
        self,
        uri: str,
        *,
        name: str | None = None,
        queue: str | None = None,
        deletions: bool = False,
        ignore: Iterable[str] = IGNORED,
        audit: Span = AUDIT,
    ) -> None:
        self.bucket, self.prefix = _read_uri(uri)
        self.name = (self.prefix.rstrip("/").rpartition("/")[2] or self.bucket) if name is None else name
        if isinstance(ignore, str):
            raise WiringError(f"bucket {uri!r}: ignore={ignore!r} must be a list of patterns: [{ignore!r}]")
        if not self.name:
            raise WiringError(f"the bucket {uri!r} needs a name of its own; give it name='...', or leave name= out")
        if queue == "":
            raise WiringError(f"bucket {self.name!r}: queue='' names no queue; write its name or URL, or leave it out")
        self.queue = queue
        self.deletions = deletions
        self.ignore = tuple(ignore)
        self.audit = seconds(f"bucket {self.name!r}", "audit", audit)
        self._is_ignored = re.compile("|".join(map(fnmatch.translate, self.ignore)) or "(?!)").match

    def __repr__(self) -> str:
        return f"Bucket({self.uri!r}, name={self.name!r})"

    @property
    def uri(self) -> str:
        """Return where it is, as `s3://acme-incoming/raw/`: the prefix as it is written in keys."""
        return f"{_SCHEME}{self.bucket}/{self.prefix}"

    def bind(self, uri: str) -> Bucket:
        """Return the same source with its objects at another place in S3."""
        return Bucket(
            uri,
            name=self.name,
            queue=self.queue,
            deletions=self.deletions,
            ignore=self.ignore,
            audit=self.audit,
        )

    def key_of(self, key: str, size: int | None = None) -> str | None:
        """Return the key relative to the source, None for an object that it does not tell. `size` is in bytes."""
        inside = key.removeprefix(self.prefix)
        if not inside or not key.startswith(self.prefix) or (size == 0 and key.endswith("/")):
            return None
        return None if any(map(self._is_ignored, inside.split("/"))) else inside

    def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield what the bucket holds and the ledger does not know, then what arrives.

        Raises `WiringError` where the bucket or its queue is missing, or may not be used.
        """
        from triggers.aws.bucket import follow  # loads asyncio: a bucket is declared by functions, too

        return follow(self, site)


def _read_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the prefix, which is empty or ends in a slash."""
    if not isinstance(uri, str) or not uri.startswith(_SCHEME):
        raise WiringError(f"{uri!r} is no bucket; write it as 's3://bucket/prefix'")
    bucket, _, rest = uri.removeprefix(_SCHEME).partition("/")
    if not _NAME.fullmatch(bucket):
        raise WiringError(
            f"{uri!r} names no bucket: {bucket!r} is not what one can be called, which is 3 to 63 lower-case letters,"
            " digits, dots and hyphens, with a letter or digit at both ends; write 's3://bucket/prefix'"
        )
    if bucket.endswith(_UNORDERED):
        raise WiringError(
            f"{uri!r} is a directory bucket, which tells nobody of its objects and lists them in no order;"
            " use a general purpose bucket"
        )
    if "?" in rest or "#" in rest:
        raise WiringError(f"{uri!r}: write ? as %3F and # as %23 in the prefix")
    prefix = unquote(rest).rstrip("/")
    return bucket, f"{prefix}/" if prefix else ""


__all__ = ["AUDIT", "Bucket"]

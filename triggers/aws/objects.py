"""Objects in S3: a place that is a prefix in a bucket, and the very content that an event names.

What AWS refuses is a `WiringError` that names the bucket and the way out. What may pass by itself, a throttled call or
an endpoint out of reach, is an `OSError`, as it is of a disk.

Nothing but `s3:GetObject`, `s3:PutObject` and `s3:ListBucket` below the prefix is asked for. Who may list only that is
told of a missing object that access is denied; a listing then says what is true.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import IO, Any, Final
from urllib.parse import quote

from triggers.aws.clients import client
from triggers.aws.lineages import FIRST_BYTE, MARK, Question, Refusals, named, says_nothing, written
from triggers.aws.refusals import explain, explained, is_theirs
from triggers.errors import HandlerError, Reject, WiringError
from triggers.places import Seen, absent, taken
from triggers.sources import Lineage
from triggers.sources.bucket import Bucket

IN_PARTS: Final = 64 * 1024 * 1024
"""Bytes from which an object is put in parts, several of them at a time."""
TRIES: Final = 4
"""How often an answer that is cut is read on."""
LONGEST_KEY: Final = 1024
"""Bytes of a key in S3."""

_BLOCK = 1024 * 1024
_DIGEST = f"{MARK}sha256"
_WRITE = f"{MARK}write"

_GONE = {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "405", "MethodNotAllowed"}  # the last two: a delete marker
_OTHER = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_DENIED = {"AccessDenied", "403", "Forbidden"}


class _Gone(Exception):
    """There is no such object, or no such version."""


class _Other(Exception):
    """The object is another than the one that was named."""


class Objects:
    """The objects of the place `name`, below the prefix of an `s3://` URI."""

    def __init__(self, name: str, uri: str) -> None:
        bucket = Bucket(uri, name=name or "bucket")
        self._name = name
        self._bucket = bucket.bucket
        self._prefix = bucket.prefix
        self.uri = f"s3://{bucket.bucket}/{quote(bucket.prefix)}"

    def read(self, key: str) -> bytes:
        """Return what an object holds."""
        content = io.BytesIO()
        self._get(key, content)
        return content.getvalue()

    def open(self, key: str) -> IO[bytes]:
        """Return a copy of an object in a file without a name."""
        return _copied(lambda file: self._get(key, file))

    def exists(self, key: str) -> bool:
        """Say whether there is an object."""
        there = _ask("list_objects_v2", Bucket=self._bucket, Prefix=self._full(key), MaxKeys=1)
        return any(entry["Key"] == self._full(key) for entry in there.get("Contents", ()))

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix."""
        found: list[str] = []
        options = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            page = _ask("list_objects_v2", **options)
            found += (entry["Key"].removeprefix(self._prefix) for entry in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return found
            options["ContinuationToken"] = page["NextContinuationToken"]

    def look(self, key: str) -> Seen | None:
        """Return what an object holds, and its ETag; None where there is none."""
        content = io.BytesIO()
        try:
            version = self._get(key, content)
        except FileNotFoundError:
            return None
        return Seen(content.getvalue(), version)

    @contextmanager
    def output(self, key: str, marks: Mapping[str, str]) -> Iterator[IO[bytes]]:
        """Yield a file that becomes an object when the block ends well; one of the same content stays as it is."""
        with tempfile.TemporaryFile() as file:
            yield file
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            there = self._head(key)
            if (there.get("ContentLength"), _metadata(there).get(_DIGEST)) != (size, digest):
                file.seek(0)
                self._put(key, file, size, {**written(marks), _DIGEST: digest})

    def replace(self, key: str, data: bytes, seen: Seen | None, marks: Mapping[str, str]) -> None:
        """Put an object if what is there is what was seen. Raises `Conflict`.

        Where the answer was lost, botocore asks again, and is told that somebody was first: that may be ourselves.
        """
        write = uuid.uuid4().hex
        condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen.version}
        metadata = {**written(marks), _DIGEST: hashlib.sha256(data).hexdigest(), _WRITE: write}
        try:
            _ask("put_object", **self._named(key), Body=data, Metadata=metadata, **condition)
        except (_Other, _Gone):
            if _metadata(self._head(key)).get(_WRITE) != write:
                raise taken(self._name, key, seen) from None

    def _get(self, key: str, into: IO[bytes]) -> str:
        """Write an object into a file, and return its ETag; raise `FileNotFoundError` where there is none."""
        try:
            return download(into, **self._named(key))
        except _Gone:
            raise absent(self.uri, key) from None
        except WiringError as error:
            if _code(error.__cause__) in _DENIED and not self.exists(key):
                raise absent(self.uri, key) from None
            raise

    def _head(self, key: str) -> Mapping[str, Any]:
        """Return what S3 knows of an object; nothing where there is none."""
        try:
            found: Mapping[str, Any] = _ask("head_object", **self._named(key))
        except _Gone:
            return {}
        except WiringError as error:
            if _code(error.__cause__) in _DENIED and not self.exists(key):
                return {}
            raise
        return found

    def _put(self, key: str, file: IO[bytes], size: int, metadata: Mapping[str, str]) -> None:
        named = self._named(key)
        if size < IN_PARTS:
            _ask("put_object", **named, Body=file, Metadata=metadata)
        else:
            _ask("upload_fileobj", Fileobj=file, **named, ExtraArgs={"Metadata": metadata})

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._full(key)}

    def _full(self, key: str) -> str:
        full = self._prefix + key
        try:
            size = len(full.encode())
        except UnicodeEncodeError:
            raise HandlerError(f"{key!r} is not Unicode, and keys in S3 are; name it otherwise") from None
        if size > LONGEST_KEY:
            raise HandlerError(f"the key {key[:80]!r}... has {size:,} bytes, over S3's limit of {LONGEST_KEY:,}")
        return full


# --- what an event names


def open_object(key: str, uri: str, version: str) -> IO[bytes]:
    """Return a copy of the content that an event names, in a file without a name; raise `Reject` where it is gone."""
    return _copied(lambda file: fetch(key, uri, version, file))


def fetch(key: str, uri: str, version: str, into: IO[bytes]) -> None:
    """Write the content that an event names into a file: its version, or where there is none what has its ETag.

    `key` is how messages call it. Raises `Reject` where the content is gone or was overwritten.
    """
    wanted = named(uri)
    if "VersionId" not in wanted and version:
        wanted["IfMatch"] = f'"{version}"'
    try:
        download(into, **wanted)
    except _Gone:
        raise Reject(f"{key}: the object that arrived is gone: {uri} was deleted after this event") from None
    except _Other:
        raise Reject(f"{key} was overwritten after this event; the newer content has an event of its own") from None


def lineage_of(asked: Question, refusals: Refusals) -> Lineage | None:
    """Return the lineage of an object; None where no run of ours wrote it, or S3 does not say.

    Raises `TriggersError` where asking again may help.
    """
    with explained(asked.bucket):
        try:
            return asked.answered(_told(asked.named))
        except Exception as error:
            refusals.take(error, asked)
            return None


def _told(named: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what S3 knows of an object, or raise why it does not say."""
    try:
        head: Mapping[str, Any] = _client().head_object(**named)
    except Exception as error:
        if not says_nothing(error):
            raise
        head = _client().get_object(**named, Range=FIRST_BYTE)
        head["Body"].close()
    return head


# --- calls


def download(into: IO[bytes], **named: str) -> str:
    """Write an object into a file, and return its ETag. An answer that is cut is read on, of the same content."""
    for left in reversed(range(TRIES)):
        start = into.tell()
        reply = _ask("get_object", **named, **({"Range": f"bytes={start}-"} if start else {}))
        named["IfMatch"] = reply["ETag"]
        try:
            shutil.copyfileobj(reply["Body"], into, _BLOCK)
        except Exception as error:
            if not left or not _is_cut(error):
                raise _explained(error, named["Bucket"]) from error
        else:
            break
    return named["IfMatch"]


def _ask(operation: str, **options: Any) -> Any:
    """Make a call of S3's; raise `_Gone`, `_Other`, `WiringError` or `OSError`."""
    call = getattr(_client(), operation)
    try:
        return call(**options)
    except Exception as error:
        code = _code(error)
        if code in _GONE:
            raise _Gone from error
        if code in _OTHER:
            raise _Other from error
        raise _explained(error, options["Bucket"]) from error


def _client() -> Any:
    with _making:  # making one takes longer than most calls, and many threads may ask for the first
        return _made()


_making = threading.Lock()


@cache
def _made() -> Any:
    return client("s3")


def forget() -> None:
    """Make the client anew at the next call: AWS is to be found somewhere else."""
    _made.cache_clear()


def _code(error: BaseException | None) -> str:
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, Mapping) and "Error" in response else ""


def _is_cut(error: Exception) -> bool:
    from botocore.exceptions import BotoCoreError, HTTPClientError  # loaded with the client

    return isinstance(error, BotoCoreError | HTTPClientError)


def _explained(error: Exception, bucket: str) -> Exception:
    """Return an error in words: for a person to mend, or as an `OSError`, which a route's `retry=` may name."""
    if not is_theirs(error):
        return error
    said = explain(error, f"bucket {bucket!r}")
    return said if isinstance(said, WiringError) else OSError(errno.EIO, str(said))


def _copied(fill: Callable[[IO[bytes]], object]) -> IO[bytes]:
    with ExitStack() as opened:
        file = opened.enter_context(tempfile.TemporaryFile())
        fill(file)
        file.seek(0)
        opened.pop_all()  # it is open for who asked, and closed only where filling it fails
    return file


def _metadata(reply: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = reply.get("Metadata", {})
    return found


__all__ = ["Objects", "fetch", "forget", "lineage_of", "open_object"]

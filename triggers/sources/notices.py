"""What is told of files, and what is remembered of them with it."""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes

from pydantic_core import to_json

from triggers.clock import Clock
from triggers.content import content_version
from triggers.events import ObjectCreated, ObjectDeleted
from triggers.sources import Delivery

GONE = b""
"""What the ledger holds for a file that was told and is gone."""

_MOST_GONE = 10_000  # of those that were found gone last, the names are kept, to see where they were moved


class Notices:
    """Makes the deliveries of one folder. A memory is the version that was told, with the mark of its disk."""

    def __init__(self, source: str, root: bytes, clock: Clock) -> None:
        self._source = source
        self._uri = f"file://{quote_from_bytes(root)}/"
        self._clock = clock
        self._gone: dict[str, bytes] = {}

    def created(self, key: bytes, status: os.stat_result, mark: bytes) -> Delivery:
        """Return the notice of a content on the disk of that mark, with the name that it had before if it was moved."""
        text = key.decode("utf-8", "backslashreplace")
        version = content_version(status)
        uri = self._uri + quote_from_bytes(key)
        payload: dict[str, object] = {"key": text, "uri": uri, "size": status.st_size, "version": version}
        if self._gone and (moved := self._gone.pop(version, None)):
            payload["moved_from"] = moved.decode("utf-8", "backslashreplace")
        return Delivery(
            source=self._source,
            id=f"{text}@{version}",
            type=ObjectCreated.__event_type__,
            data=to_json(payload).decode(),
            time=status.st_mtime,
            subject=text,
            memory=(key, version.encode() + mark),
        )

    def deleted(self, key: bytes, known: bytes) -> Delivery:
        """Return the notice that a file is gone of which that is remembered."""
        text, version, now = key.decode("utf-8", "backslashreplace"), version_in(known), self._clock.now()
        self._gone[version] = key
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        return Delivery(
            source=self._source,
            id=f"{text}@{version}-gone-{int(now * 1e6):x}",
            type=ObjectDeleted.__event_type__,
            data=to_json({"key": text, "uri": self._uri + quote_from_bytes(key), "version": version}).decode(),
            time=now,
            subject=text,
            memory=(key, GONE),
        )


def version_in(known: bytes) -> str:
    """Return the version that a memory holds."""
    return known.partition(b"@")[0].decode()


def is_on(known: bytes, mark: bytes | None) -> bool:
    """Return whether a file was told on the disk of that mark."""
    return b"".join(known.partition(b"@")[1:]) == mark


__all__ = ["GONE", "Notices", "is_on", "version_in"]

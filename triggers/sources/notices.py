"""What is told of files, and what is remembered of them with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    """Makes the deliveries of one folder.

    A memory is the version that was told, with the mark of its disk; where a key was told on several, of each.
    """

    def __init__(self, source: str, root: bytes, clock: Clock) -> None:
        self._source = source
        self._uri = f"file://{quote_from_bytes(root)}/"
        self._clock = clock
        self._gone: dict[str, bytes] = {}

    def created(
        self, key: bytes, mark: bytes, known: bytes | None, status: os.stat_result, left: Mapping[str, bytes]
    ) -> Delivery:
        """Return the notice of a content on the disk of that mark, with the name that it had before if it was moved.

        `known` is what is remembered of the file, `left` has the contents that other files had until now.
        """
        text = key.decode("utf-8", "backslashreplace")
        version = content_version(status)
        uri = self._uri + quote_from_bytes(key)
        payload: dict[str, object] = {"key": text, "uri": uri, "size": status.st_size, "version": version}
        if (self._gone or left) and (moved := self._gone.pop(version, None) or left.get(version)):
            payload["moved_from"] = moved.decode("utf-8", "backslashreplace")
        return Delivery(
            source=self._source,
            id=f"{text}@{version}",
            type=ObjectCreated.__event_type__,
            data=to_json(payload).decode(),
            time=status.st_mtime,
            subject=text,
            memory=(key, revised(known, mark, version) if known else version.encode() + mark),
        )

    def deleted(self, key: bytes, mark: bytes, known: bytes) -> Delivery:
        """Return the notice that a file is gone of which that is remembered, on the disk of that mark among others."""
        text, version, now = key.decode("utf-8", "backslashreplace"), version_on(known, mark) or "", self._clock.now()
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
            memory=(key, revised(known, mark)),
        )


def was_told(known: bytes, version: str) -> bool:
    """Return whether a file was told with that content, on whichever disk."""
    wanted = version.encode()
    return known == wanted or (b"@" in known and any(each.partition(b"@")[0] == wanted for each in known.split(b" ")))


def version_on(known: bytes, mark: bytes | None) -> str | None:
    """Return the version that was told last on the disk of that mark, None if there is none."""
    for each in known.split(b" "):
        version, at, disk = each.partition(b"@")
        if version and at + disk == mark:
            return version.decode()
    return None


def revised(known: bytes, mark: bytes, version: str | None = None) -> bytes:
    """Return a memory with that version on the disk of that mark, or with none there.

    What it holds of other disks stays, but for the same version: that was the same disk by another mark.
    """
    now = [version.encode() + mark] if version else []
    others = [each for each in known.split(b" ") if each and version_on(each, mark) is None]
    return b" ".join([*(each for each in others if not version or not was_told(each, version)), *now])


__all__ = ["GONE", "Notices", "revised", "version_on", "was_told"]

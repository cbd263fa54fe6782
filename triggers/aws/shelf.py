"""What a bucket holds: its objects page by page, or one of them. Where there are versions, the latest of each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from triggers.aws.clients import asking
from triggers.aws.notifications import Notice
from triggers.sources.bucket import Bucket

LISTED = "listed"
"""The reason of a notice that was made from a listing: it has no sequencer, and is true now."""

_VERSIONED = ("Enabled", "Suspended")  # where versions were kept once, the objects have them still


class Page(NamedTuple):
    """A part of a listing, in the order of keys. `last` is the last key that it covers, None for the last page."""

    objects: list[Notice]
    last: str | None


class Shelf:
    """The objects of a bucket, by an aiobotocore client. What AWS refuses is raised as a `TriggersError`."""

    def __init__(self, bucket: Bucket, client: Any) -> None:
        self._bucket = bucket.bucket
        self._prefix = bucket.prefix
        self._thing = f"bucket {bucket.bucket!r}"
        self._client = client
        self._versioned = False

    async def listing(self, size: int) -> Listing:
        """Begin to list everything below the prefix, so many entries to a page."""
        reply = await self._ask("get_bucket_versioning")
        self._versioned = reply.get("Status") in _VERSIONED
        return Listing(self, self._prefix, size)

    async def look(self, key: str) -> Notice | None:
        """Return the object that has a key now, None if there is none."""
        page = await Listing(self, key, 1).next()  # among those that begin with it, the key itself comes first
        return next((found for found in page.objects if found.key == key), None) if page else None

    async def page(self, prefix: str, size: int, start: Mapping[str, str]) -> tuple[Page, dict[str, str]]:
        """Return a page and where the next one starts, nothing after the last one."""
        options = {"Prefix": prefix, "MaxKeys": size, **start}
        if self._versioned:
            reply = await self._ask("list_object_versions", **options)
            entries = [*reply.get("Versions", ()), *reply.get("DeleteMarkers", ())]
            objects = [entry for entry in reply.get("Versions", ()) if entry["IsLatest"]]
            marks = {"KeyMarker": reply.get("NextKeyMarker"), "VersionIdMarker": reply.get("NextVersionIdMarker")}
        else:
            reply = await self._ask("list_objects_v2", **options)
            objects = entries = reply.get("Contents", [])
            marks = {"ContinuationToken": reply.get("NextContinuationToken")}
        following = {name: mark for name, mark in marks.items() if mark} if reply.get("IsTruncated") else {}
        last = max((entry["Key"] for entry in entries), default=None) if following else None
        return Page([self._notice(entry) for entry in objects], last), following

    def _notice(self, entry: Mapping[str, Any]) -> Notice:
        version = entry.get("VersionId")
        return Notice(
            kind="created",
            bucket=self._bucket,
            key=entry["Key"],
            version=None if version == "null" else version,
            etag=entry.get("ETag", "").strip('"') or None,
            size=entry["Size"],
            sequencer=None,
            time=entry["LastModified"].timestamp(),
            reason=LISTED,
        )

    async def _ask(self, operation: str, **options: object) -> Mapping[str, Any]:
        async with asking(self._thing):
            reply: Mapping[str, Any] = await getattr(self._client, operation)(Bucket=self._bucket, **options)
        return reply


class Listing:
    """Everything below a prefix, read on page by page."""

    def __init__(self, shelf: Shelf, prefix: str, size: int) -> None:
        self._shelf = shelf
        self._prefix = prefix
        self._size = size
        self._start: dict[str, str] | None = {}

    async def next(self) -> Page | None:
        """Return the next page, None after the last one."""
        if self._start is None:
            return None
        page, following = await self._shelf.page(self._prefix, self._size, self._start)
        self._start = following or None
        return page


__all__ = ["LISTED", "Listing", "Page", "Shelf"]

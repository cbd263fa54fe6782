"""What a bucket remembers of its objects, and so what of them is told: each content of a key once, and its end.

A row holds the version, the ETag and the sequencer that were told last, as far as they are known. Versions are compared
where both sides have one, else ETags; sequencers only say which of two notices is the later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from triggers.aws.notifications import Notice, creation, deletion, is_later
from triggers.aws.shelf import LISTED, Page, Shelf
from triggers.sources import Delivery, Site
from triggers.sources.bucket import Bucket

ROWS = 1000
"""How many rows of the ledger are read at a time."""

_PLACE = b""  # the key under which stands of which place deletions are told
_GONE = b""  # what is remembered of an object that is gone, where no sequencer says when

Found = tuple[bytes, Notice]
"""A key of the ledger, and what is to be said of it."""


class Row(NamedTuple):
    """What the ledger holds for a key; what is not known is empty. Without version and ETag, the object is gone."""

    version: str
    etag: str
    sequencer: str

    @classmethod
    def read(cls, value: bytes) -> Self:
        """Return the row that was written as `value`."""
        version, etag, sequencer = [*value.decode("utf-8", "replace").split(" "), "", ""][:3]
        return cls(version, etag, sequencer)

    @classmethod
    def of(cls, notice: Notice) -> Self:
        """Return what is to be remembered of a notice."""
        there = notice.kind == "created"
        return cls((there and notice.version) or "", (there and notice.etag) or "", notice.sequencer or "")

    def write(self) -> bytes:
        """Return the row as it is kept."""
        return " ".join(self).encode() if any(self) else _GONE

    @property
    def content(self) -> str:
        """Return what names the content; nothing where the object is gone."""
        return self.version or self.etag

    def holds(self, notice: Notice) -> bool:
        """Say whether a notice is about the content that was told."""
        if notice.kind != "created":
            return False
        if self.version and notice.version:
            return self.version == notice.version
        return bool(self.etag) and self.etag == notice.etag

    def completed(self, notice: Notice) -> Row:
        """Return the row with what a notice of the same content knows besides."""
        later = notice.sequencer and (not self.sequencer or is_later(notice.sequencer, self.sequencer))
        sequencer = notice.sequencer if later and notice.sequencer else self.sequencer
        return Row(notice.version or self.version, notice.etag or self.etag, sequencer)

    def order(self, notice: Notice) -> int:
        """Return 1 where a notice is later than what was told, -1 where it is earlier, 0 where nobody can say."""
        if not (self.sequencer and notice.sequencer):
            return 0
        return is_later(notice.sequencer, self.sequencer) - is_later(self.sequencer, notice.sequencer)


class Ledger:
    """Turns what is heard and seen into deliveries. Each list must be committed before the next one is asked for."""

    def __init__(self, bucket: Bucket, site: Site, shelf: Shelf) -> None:
        self._bucket = bucket
        self._site = site
        self._shelf = shelf
        self._known = _Known(bucket, site)
        self._unsaid: dict[bytes, bytes] = {}
        self._forgets = False

    async def open(self) -> None:
        """Begin to tell deletions, or cease to.

        What was gone before they were asked for, and what was told of another place, is forgotten and not told.
        """
        place = self._bucket.uri.encode() if self._bucket.deletions else b""
        known = (await self._site.recall(self._bucket.name, [_PLACE])).get(_PLACE, b"")
        self._forgets = known != place
        if self._forgets and not place:
            await self.settled()

    async def settled(self) -> None:
        """Take note that a listing is through: from now on, what is gone is told."""
        self._known = _Known(self._bucket, self._site)
        if self._forgets:
            place = self._bucket.uri.encode() if self._bucket.deletions else b""
            await self._site.remember(self._bucket.name, {_PLACE: place})
            self._forgets = False

    async def heard(self, notices: Iterable[Notice]) -> list[Delivery]:
        """Return what there is to tell of notices from a queue."""
        wanted = ("created", "deleted") if self._bucket.deletions else ("created",)
        return await self._told([*self._found(notice for notice in notices if notice.kind in wanted)])

    async def seen(self, page: Page) -> list[Delivery]:
        """Return what there is to tell of a page of a listing, which must have been read after the last commit."""
        found = [*self._found(page.objects)]
        if self._bucket.deletions:
            found += await self._missing(page)
        return await self._told(found)

    async def committed(self) -> None:
        """Remember what was learnt of objects without there being anything to tell. Not before the commit: a row of
        what is not committed would be the only trace of it."""
        if self._unsaid:
            await self._site.remember(self._bucket.name, self._unsaid)
            self._unsaid = {}

    def _found(self, notices: Iterable[Notice]) -> Iterable[Found]:
        for notice in notices:
            key = self._bucket.key_of(notice.key, notice.size if notice.kind == "created" else None)
            if key is not None:
                yield key.encode(), notice

    async def _missing(self, page: Page) -> Sequence[Found]:
        """Return what is remembered of the keys that a page covers, and is not in it."""
        cut = len(self._bucket.prefix)
        there = {notice.key[cut:].encode() for notice in page.objects}
        known = await self._known.upto(None if page.last is None else page.last[cut:].encode())
        gone = [key for key, value in known.items() if key not in there and Row.read(value).content]
        if self._forgets:
            self._unsaid.update(dict.fromkeys(gone, _GONE))
            return []
        return [(key, self._absent(key)) for key in gone]

    def _absent(self, key: bytes) -> Notice:
        whole, now = self._bucket.prefix + key.decode("utf-8", "backslashreplace"), self._site.clock.now()
        return Notice("deleted", self._bucket.bucket, whole, None, None, None, None, now, LISTED)

    async def _told(self, found: Sequence[Found]) -> list[Delivery]:
        rows = await self._site.recall(self._bucket.name, [key for key, _ in found])
        told = []
        for key, notice in found:
            row = Row.read(rows[key]) if key in rows else None
            if (now := await self._now(notice, row)) is None:
                continue
            if row and row.holds(now):
                if (value := row.completed(now).write()) != rows[key]:
                    rows[key] = self._unsaid[key] = value
            elif delivery := self._delivery(key, now, row):
                rows[key] = value = Row.of(now).write()
                delivery.memory = key, value
                self._unsaid.pop(key, None)
                told.append(delivery)
        return told

    async def _now(self, notice: Notice, row: Row | None) -> Notice | None:
        """Return what is true of a notice: itself, what the bucket says instead, or None where it is out of date."""
        if row is None or row.holds(notice) or notice.reason == LISTED:
            return notice
        order = row.order(notice)
        if order < 0:
            return None
        if (order > 0 and notice.kind == "created") or (notice.kind == "deleted" and not row.content):
            return notice
        return await self._shelf.look(notice.key) or notice._replace(kind="deleted")

    def _delivery(self, key: bytes, notice: Notice, row: Row | None) -> Delivery | None:
        """Return what is told of an object that is new, or gone; None where there is nothing to tell."""
        text = key.decode("utf-8", "backslashreplace")
        if notice.kind == "created":
            return creation(notice, self._bucket.name, text)
        if self._bucket.deletions and row and row.content:
            return deletion(notice, self._bucket.name, text, row.content)
        return None


class _Known:
    """What is remembered of the keys, in their order, read on as far as a listing has come."""

    def __init__(self, bucket: Bucket, site: Site) -> None:
        self._name = bucket.name
        self._site = site
        self._after = b""
        self._ahead: dict[bytes, bytes] = {}

    async def upto(self, last: bytes | None) -> dict[bytes, bytes]:
        """Return the rows that follow those returned before, up to the key `last`; all of them if it is None."""
        found: dict[bytes, bytes] = {}
        while self._ahead or await self._read_on():
            for key in list(self._ahead):
                if last is not None and key > last:
                    return found
                found[key] = self._ahead.pop(key)
        self._after = max(self._after, last or b"")  # what is told of this page is none of the next one's
        return found

    async def _read_on(self) -> bool:
        self._ahead = await self._site.remembered(self._name, b"", self._after, ROWS)
        self._after = max(self._ahead, default=self._after)
        return bool(self._ahead)


__all__ = ["Ledger", "Row"]

"""Whatever comes of a bucket's notifications on their way, and whenever it is listed, what is told of it is true."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from itertools import pairwise
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from tests.sources.site import FakeSite
from triggers import Bucket
from triggers.aws.ledger import Ledger, Row
from triggers.aws.notifications import Notice
from triggers.aws.shelf import LISTED, Page, Shelf
from triggers.sources import Delivery


class Objects:
    """A bucket in memory, with what it would say of itself. Every content is another one."""

    def __init__(self, *, versions: bool, sequencers: bool) -> None:
        self.there: dict[str, Notice] = {}
        self.said: list[Notice] = []
        self._versions, self._sequencers = versions, sequencers
        self._count = 0
        self.looks = 0

    def put(self, key: str) -> None:
        self._count += 1
        version = f"v{self._count:03}" if self._versions else None
        self.there[key] = Notice("created", "acme", key, version, f"e{self._count:03}", 1, None, 0.0, LISTED)
        self._say(self.there[key])

    def delete(self, key: str) -> None:
        self._count += 1
        if self.there.pop(key, None):
            self._say(Notice("deleted", "acme", key, None, None, None, None, 0.0, ""))

    def purge(self, key: str) -> None:
        """Delete an earlier version for good; the object stays."""
        self._count += 1
        if key in self.there:
            self._say(Notice("deleted", "acme", key, "v000", None, None, None, 0.0, ""))

    def _say(self, notice: Notice) -> None:
        sequencer = f"{self._count:04X}" if self._sequencers else None
        self.said.append(notice._replace(sequencer=sequencer, reason="said"))

    async def look(self, key: str) -> Notice | None:
        self.looks += 1
        return self.there.get(key)

    def pages(self) -> list[Page]:
        """A listing with one object to a page."""
        found = [self.there[key] for key in sorted(self.there)]
        return [*(Page([one], one.key) for one in found), Page([], None)]


class Telling:
    """A bucket's ledger at work on a site, and what it told of each key."""

    def __init__(self, objects: Objects, *, deletions: bool) -> None:
        self._objects = objects
        self._site = FakeSite()
        self._ledger = Ledger(Bucket("s3://acme", deletions=deletions), self._site, cast(Shelf, objects))
        self.told: defaultdict[str, list[Delivery]] = defaultdict(list)

    async def open(self) -> None:
        await self._ledger.open()
        await self.audit()

    async def hear(self, notices: list[Notice]) -> None:
        await self._commit(await self._ledger.heard(notices))

    async def audit(self) -> None:
        for page in self._objects.pages():
            await self._commit(await self._ledger.seen(page))
        await self._ledger.settled()

    async def _commit(self, batch: list[Delivery]) -> None:
        fresh = self._site.commit(batch)
        assert fresh == batch, "the ledger and the journal agree on what is new"
        for delivery in fresh:
            self.told[cast(str, delivery.subject)].append(delivery)
        await self._ledger.committed()


def version(delivery: Delivery) -> str:
    return cast(str, json.loads(delivery.data)["version"])


KEYS = st.sampled_from(["a", "a/b", "b"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "purge"]), KEYS)
    | st.tuples(st.just("hear"), st.lists(st.integers(0, 9), min_size=1, max_size=4))
    | st.tuples(st.just("audit"), st.none()),
    max_size=25,
)


@given(st.booleans(), st.booleans(), st.booleans(), STEPS, st.randoms(use_true_random=False))
def test_however_notifications_come_what_is_told_is_true_and_told_once(
    versions: bool, sequencers: bool, deletions: bool, steps: list[tuple[str, Any]], chance: Any
) -> None:
    objects = Objects(versions=versions, sequencers=sequencers)

    async def story() -> Telling:
        telling = Telling(objects, deletions=deletions)
        await telling.open()
        for what, which in steps:
            if what in ("put", "delete", "purge"):
                getattr(objects, what)(which)
            elif what == "audit":
                await telling.audit()
            elif objects.said:  # some of them, again and again
                await telling.hear([objects.said[number % len(objects.said)] for number in which])
        last = objects.said * 2
        chance.shuffle(last)
        for notice in last:
            await telling.hear([notice])
        await telling.audit()
        return telling

    for key, told in asyncio.run(story()).told.items():
        created = [version(one) for one in told if one.type == "ObjectCreated"]
        assert created == sorted(set(created)), "each content once, and none after a later one"
        kinds = [one.type for one in told]
        assert deletions or "ObjectDeleted" not in kinds
        assert ("ObjectDeleted", "ObjectDeleted") not in pairwise(kinds)
        if now := objects.there.get(key):
            assert (kinds[-1], version(told[-1])) == ("ObjectCreated", now.content)
        elif deletions:
            assert kinds[-1] == "ObjectDeleted"


@given(st.booleans(), st.lists(KEYS, min_size=1, max_size=6))
def test_every_object_is_told_by_a_listing_alone(versions: bool, keys: list[str]) -> None:
    objects = Objects(versions=versions, sequencers=True)
    for key in keys:
        objects.put(key)

    async def story() -> Telling:
        telling = Telling(objects, deletions=False)
        await telling.open()
        await telling.audit()
        return telling

    told = asyncio.run(story()).told
    assert {key: [version(one) for one in some] for key, some in told.items()} == {
        key: [notice.content] for key, notice in objects.there.items()
    }


def test_nobody_is_asked_where_the_sequencers_say_what_was_first() -> None:
    objects = Objects(versions=False, sequencers=True)
    for _ in range(3):
        objects.put("a")
    first, second, third = objects.said

    async def story() -> Telling:
        telling = Telling(objects, deletions=True)
        for notice in (second, first, second, third):
            await telling.hear([notice])
        return telling

    assert [version(one) for one in asyncio.run(story()).told["a"]] == ["e002", "e003"]
    assert objects.looks == 0


@given(st.booleans())
def test_what_came_and_went_is_told_as_deleted_only_where_that_is_asked_for(deletions: bool) -> None:
    objects = Objects(versions=False, sequencers=False)
    objects.put("a")
    objects.put("a")
    objects.delete("a")

    async def story() -> Telling:
        telling = Telling(objects, deletions=deletions)
        for notice in objects.said[:2]:
            await telling.hear([notice])
        return telling

    kinds = [one.type for one in asyncio.run(story()).told["a"]]
    assert kinds == ["ObjectCreated", "ObjectDeleted"][: 1 + deletions]


NAMES = st.text("abc0123456789._-", max_size=8)


@given(NAMES, NAMES, NAMES)
def test_a_row_comes_out_of_the_ledger_as_it_went_in(version: str, etag: str, sequencer: str) -> None:
    row = Row(version, etag, sequencer)
    assert Row.read(row.write()) == row


def test_a_row_of_a_folder_that_is_bound_to_a_bucket_now_holds_no_content_of_it() -> None:
    row = Row.read(b"18c2f-5-1f2@disk")
    assert not row.holds(Notice("created", "acme", "a", None, "e1", 1, None, 0.0, LISTED))

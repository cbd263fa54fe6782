"""The running part of a bucket: what its queue says of objects, and what a listing shows of them.

A notification is a hint, the bucket is the truth, a row of the ledger is the memory. Notifications come late, doubled
and out of order. Where the sequencers say which of two was first, they are believed; where they do not, and for every
deletion, the bucket is asked what it holds now.

One thing is looked at after the other: a page of a listing is compared with the ledger before anything else is told.
So what the page shows is never older than what the ledger knows, and what it lacks is gone.

Where a run may have written what is new, each object is asked for its lineage before it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from triggers.aws import lineages, names
from triggers.aws.clients import asking, connected
from triggers.aws.ledger import Ledger
from triggers.aws.lineages import Question, Refusals
from triggers.aws.notifications import Notice, told
from triggers.aws.polling import Poller, Raw, polling
from triggers.aws.refusals import is_denied, is_missing
from triggers.aws.shelf import Listing, Shelf
from triggers.errors import EventError, TriggersError, WiringError, shown
from triggers.events import ObjectCreated, read_json
from triggers.sources import Delivery, Lineage, Site
from triggers.sources.bucket import Bucket

BATCH = 1000
"""The most entries in a page of a listing, and so deliveries in a batch: as many as S3 takes."""
AT_ONCE = 10
"""How many objects are asked for their lineage at the same time: as many connections as botocore keeps."""


async def follow(bucket: Bucket, site: Site) -> AsyncIterator[Sequence[Delivery]]:
    """Yield the deliveries of a bucket for as long as it is iterated."""
    if not site.watches:  # a test that does not ask for AWS need not have it
        site.idle(bucket.name)
        await site.poked(bucket.name)
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(connected("s3"))
        shelf = Shelf(bucket, client)
        listing = await _begun(shelf, bucket, site)
        poller = await opened.enter_async_context(_listening(bucket, site)) if site.watches else None
        ledger = Ledger(bucket, site, shelf)
        await ledger.open()
        work = Work(bucket, site, shelf, ledger, poller, listing)
        tracing = Tracing(bucket, client) if site.traces else None
        opened.push_async_callback(work.close)
        await work.reached()
        while True:
            batch = await work.next()
            yield await tracing.traced(batch) if tracing else batch
            await work.committed()


async def _begun(shelf: Shelf, bucket: Bucket, site: Site) -> Listing:
    """Begin to list. Where a person must make the bucket, or allow it, the same of its queue is told with it."""
    try:
        return await shelf.listing(BATCH)
    except WiringError as error:
        if not (site.watches and (is_missing(error) or is_denied(error)) and (other := await _complaint(bucket, site))):
            raise
        raise WiringError(f"{error}\n{other}") from error.__cause__


async def _complaint(bucket: Bucket, site: Site) -> WiringError | None:
    """Return what a person must mend before the bucket's queue can be listened to."""
    try:
        async with _listening(bucket, site):
            return None
    except TriggersError as error:
        return error if isinstance(error, WiringError) else None


@asynccontextmanager
async def _listening(bucket: Bucket, site: Site) -> AsyncIterator[Poller]:
    """Yield what receives from the bucket's queue."""
    queue = bucket.queue or names.source_queue(site.app, bucket.name)
    async with connected("sqs") as client:
        async with asking(f"queue {queue!r}"):
            url = queue if "://" in queue else (await client.get_queue_url(QueueName=queue))["QueueUrl"]
        async with polling(client, url, site.clock) as poller:
            yield poller


class Work:
    """What to look at next: messages and the pages of a listing in turn, so that neither holds up the other."""

    def __init__(
        self, bucket: Bucket, site: Site, shelf: Shelf, ledger: Ledger, poller: Poller | None, listing: Listing
    ) -> None:
        self._bucket = bucket
        self._site = site
        self._shelf = shelf
        self._ledger = ledger
        self._poller = poller
        self._listing: Listing | None = listing
        self._receiving = asyncio.ensure_future(poller.__anext__()) if poller else None
        self._asked: asyncio.Future[None] | None = None
        self._messages: list[Raw] = []
        self._ways = [self._heard, self._seen]
        self._quiet = poller is None

    async def reached(self) -> None:
        """Wait until the queue has answered. Else each start over would begin with a listing while it does not."""
        if self._receiving:
            await asyncio.wait([self._receiving])

    async def next(self) -> list[Delivery]:
        """Return what there is to tell next, which may be nothing. Waits until there is something to look at."""
        while True:
            for look in self._ways:
                if (batch := await look()) is not None:
                    self._ways.reverse()
                    return batch
            await self._changed()

    async def committed(self) -> None:
        """Take note that what was returned last is durable: its messages are of no more use."""
        await self._ledger.committed()
        if self._poller and self._receiving is None:
            await self._poller.done(self._messages)
            self._receiving = asyncio.ensure_future(self._poller.__anext__())

    async def close(self) -> None:
        """End what is under way."""
        tasks = [task for task in (self._receiving, self._asked) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _heard(self) -> list[Delivery] | None:
        if self._poller is None or self._receiving is None or not self._receiving.done():
            return None
        self._messages, self._receiving = self._receiving.result(), None
        self._quiet = not self._messages
        return await self._ledger.heard(await self._read(self._messages))

    async def _seen(self) -> list[Delivery] | None:
        if self._listing is None:
            return None
        if page := await self._listing.next():
            return await self._ledger.seen(page)
        await self._ledger.settled()
        self._listing = None
        self._site.looked(self._bucket.name)
        self._asked = asyncio.ensure_future(_asked(self._bucket, self._site))
        return None

    async def _changed(self) -> None:
        """Wait for messages, and for the time to list the bucket anew."""
        if self._quiet and self._asked and not self._asked.done():
            self._site.idle(self._bucket.name)
        waited = [task for task in (self._receiving, self._asked) if task]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if self._asked and self._asked.done():
            self._asked.result()
            self._asked = None
            self._listing = await self._shelf.listing(BATCH)

    async def _read(self, messages: Sequence[Raw]) -> list[Notice]:
        """Return what messages say; what of them says nothing of this bucket is rejected, and holds up no other."""
        found = list[Notice]()
        for message in messages:
            said, why = _said(message["Body"], self._bucket)
            found += said
            if why is not None:
                await self._site.reject(self._bucket.name, message["MessageId"], message["Body"], why)
        return found


class Tracing:
    """Asks objects for their lineage, some at a time. `client` is one of S3, of aiobotocore."""

    def __init__(self, bucket: Bucket, client: Any) -> None:
        self._bucket = bucket
        self._client = client
        self._refusals = Refusals()

    async def traced(self, batch: list[Delivery]) -> list[Delivery]:
        """Return the deliveries, those of objects that a run wrote with its lineage. Raises `TriggersError`."""
        created = iter([delivery for delivery in batch if delivery.type == ObjectCreated.__event_type__])
        askers = [asyncio.ensure_future(self._trace(created)) for _ in batch[:AT_ONCE]]
        try:
            await asyncio.gather(*askers)
        finally:
            for asker in askers:
                asker.cancel()
            await asyncio.gather(*askers, return_exceptions=True)
        return batch

    async def _trace(self, created: Iterator[Delivery]) -> None:
        for delivery in created:
            if asked := lineages.question(delivery.data, self._bucket):
                delivery.lineage = await self._ask(asked)

    async def _ask(self, asked: Question) -> Lineage | None:
        async with asking(asked.bucket):
            try:
                return asked.answered(await self._told(asked.named))
            except Exception as error:
                self._refusals.take(error, asked)
                return None

    async def _told(self, named: Mapping[str, str]) -> Mapping[str, Any]:
        """Return what S3 knows of an object, or raise why it does not say."""
        try:
            head: Mapping[str, Any] = await self._client.head_object(**named)
        except Exception as error:
            if not lineages.says_nothing(error):
                raise
            head = await self._client.get_object(**named, Range=lineages.FIRST_BYTE)
            head["Body"].close()
        return head


async def _asked(bucket: Bucket, site: Site) -> None:
    """Wait until the bucket is to be listed again."""
    ways = [asyncio.ensure_future(site.poked(bucket.name))]
    if site.watches:
        ways.append(asyncio.ensure_future(site.clock.sleep(bucket.audit)))
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ways:
            task.cancel()
    for task in done:
        task.result()  # what went wrong in there goes wrong here


def _said(body: str, bucket: Bucket) -> tuple[Sequence[Notice], str | None]:
    """Return the notices of a message that are about this bucket, and why the rest is rejected, if there is any."""
    try:
        found = told(read_json("the message", body.encode("utf-8", "surrogatepass")))
    except EventError as error:
        return [], str(error)
    if found is None:
        return [], f"the message is not from S3; nobody but the bucket {bucket.bucket!r} may send to its queue"
    foreign = [(notice, _foreign(notice, bucket)) for notice in found.notices if notice.bucket != bucket.bucket]
    return [notice for notice in found.notices if notice.bucket == bucket.bucket], found.rejection(foreign)


def _foreign(notice: Notice, bucket: Bucket) -> EventError:
    return EventError(
        f"the message is about the bucket {shown(notice.bucket)}, and {bucket.name!r} is {bucket.uri}: declare a Bucket"
        " for it with a queue of its own, or take this queue out of its notifications"
    )


__all__ = ["follow"]

"""Receiving from a queue: one long poll after the other, and what was received kept, deleted or handed back.

::

    async with connected("sqs") as client, polling(client, url, site.clock) as poller:
        async for messages in poller:
            ...
            await poller.done(messages)

While a batch is worked on, the next one is received and the one before is deleted; but a FIFO queue is asked for more
only when what it gave is deleted, since until then it keeps back what follows in the same groups. What is received and
not done yet is kept from all other receivers, however long it takes; what is left at the end is handed back at once.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar

from triggers.aws.clients import CALL, asking
from triggers.clock import Clock
from triggers.errors import TriggersError

BATCH = 10
"""Messages to one call: as many as SQS takes."""
WAIT = 20
"""Seconds of a long poll: as many as SQS takes."""
GLANCE = 1
"""Seconds after which a queue that had messages counts as empty. With 0, SQS would ask only some of its servers."""
HOLD = 60
"""Seconds for which nobody else is given what was received, whatever the queue says."""
RENEW = 20.0
"""Seconds after which what is still held is held for another `HOLD`."""
PARTING = 2.0
"""Seconds that the last deletions and the handing back may take at the end."""
AT_ONCE = 4
"""Calls under way at once that receive, where the last one got as much as it could, and as many that delete."""

ATTRIBUTES = ("SentTimestamp", "ApproximateReceiveCount", "MessageGroupId", "MessageDeduplicationId")
"""What is asked for besides a message's own attributes."""

Raw = Mapping[str, Any]
"""A message as SQS hands it over."""

T = TypeVar("T")

log = logging.getLogger("triggers.queue")


@asynccontextmanager
async def polling(client: Any, url: str, clock: Clock, *, wait: int = WAIT) -> AsyncIterator[Poller]:
    """Yield what receives from the queue at `url`, by an aiobotocore client; `wait` are the seconds of a long poll.

    What AWS refuses is raised as a `TriggersError` that names the queue, a `WiringError` where a person must mend it.
    """
    poller = Poller(client, url, clock, wait)
    try:
        yield poller
    finally:
        await poller.close()


class Poller:
    """An endless iterator of batches. An empty one says that the queue has nothing to hand over at present."""

    def __init__(self, client: Any, url: str, clock: Clock, wait: int) -> None:
        self.thing = f"queue {url.rsplit('/', 1)[-1]!r}"
        self._client = client
        self._url = url
        self._clock = clock
        self._wait = wait
        self._ordered = url.endswith(".fifo")
        self._empty = False
        self._asking: set[asyncio.Task[list[Raw]]] = set()
        """Those who ask for more while what was received is worked on."""
        self._keeper: asyncio.Task[None] | None = None
        self._deletions: set[asyncio.Task[None]] = set()
        self._held: dict[str, float] = {}
        """When what was received, and is not done, was last kept from others, by its receipt handle."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Raw]:
        _ended(self._deletions)
        if self._ordered:  # until then their groups are shut, and the queue looks empty
            await self._deleted()
        messages = await (self._first() if self._asking else self._received())
        self._empty = not messages
        if self._empty:
            await self._deleted()
        elif not self._ordered:
            wanted = 1 if len(messages) < BATCH else AT_ONCE
            while len(self._asking) < wanted:
                self._asking.add(asyncio.ensure_future(self._received()))
        return messages

    async def _first(self) -> list[Raw]:
        """Return what the first of those who ask were given, nothing where none of them was given anything."""
        messages: list[Raw] = []
        while self._asking and not messages:
            await asyncio.wait(self._asking, return_when=asyncio.FIRST_COMPLETED)
            messages = [message for batch in _ended(self._asking) for message in batch]
        return messages

    async def done(self, messages: Sequence[Raw]) -> None:
        """Have messages deleted, and raise what went wrong with those before them."""
        while len(self._deletions) >= AT_ONCE:
            await asyncio.wait(self._deletions, return_when=asyncio.FIRST_COMPLETED)
            _ended(self._deletions)
        _ended(self._deletions)
        for first in range(0, len(messages), BATCH):
            self._deletions.add(asyncio.ensure_future(self._delete(messages[first : first + BATCH])))

    async def hand_back(self, messages: Sequence[Raw], seconds: int = 0) -> None:
        """Let others receive messages, after so many seconds."""
        await self._hide([message["ReceiptHandle"] for message in messages], seconds)
        self._forget(messages)

    async def close(self) -> None:
        """Wait for what is under way, and hand back what is held."""
        under_way = [*self._asking, *self._deletions]
        rest = [*under_way, self._keeper] if self._keeper else under_way
        with suppress(TimeoutError, TriggersError):  # what is not handed back comes back by itself
            async with asyncio.timeout(PARTING):
                await asyncio.gather(*under_way, return_exceptions=True)
                await self._hide(list(self._held), 0)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # --- calls

    async def _received(self) -> list[Raw]:
        wait = self._wait if self._empty else min(GLANCE, self._wait)
        options = {"ReceiveRequestAttemptId": uuid.uuid4().hex} if self._ordered else {}  # for a reply that is lost
        async with asking(self.thing, wait + CALL):
            reply = await self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=wait,
                VisibilityTimeout=HOLD,
                MessageSystemAttributeNames=ATTRIBUTES,
                MessageAttributeNames=["All"],
                **options,
            )
        messages: list[Raw] = reply.get("Messages", [])
        self._keep(messages)
        return messages

    async def _delete(self, messages: Sequence[Raw]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
        async with asking(self.thing):
            reply = await self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        self._forget(messages)
        for failure in reply.get("Failed", ()):
            log.warning(
                "%s: a message was not deleted (%s) and will come again, to be known as a duplicate",
                *(self.thing, failure.get("Message") or failure.get("Code")),
            )

    async def _hide(self, handles: Sequence[str], seconds: int) -> None:
        for first in range(0, len(handles), BATCH):
            entries = [
                {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for n, handle in enumerate(handles[first : first + BATCH])
            ]
            async with asking(self.thing):
                await self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    # --- what is held

    async def _deleted(self) -> None:
        """Wait for all deletions."""
        if self._deletions:
            await asyncio.wait(self._deletions)
        _ended(self._deletions)

    def _keep(self, messages: Sequence[Raw]) -> None:
        if not messages:
            return
        now = self._clock.monotonic()
        self._held.update((message["ReceiptHandle"], now) for message in messages)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.ensure_future(self._renew())

    def _forget(self, messages: Sequence[Raw]) -> None:
        for message in messages:
            self._held.pop(message["ReceiptHandle"], None)

    async def _renew(self) -> None:
        """Hold on to what takes long, until nothing is held."""
        while self._held:
            await self._clock.sleep(RENEW)
            now = self._clock.monotonic()
            late = [handle for handle, since in self._held.items() if since + RENEW <= now]
            try:
                await self._hide(late, HOLD)
            except TriggersError as error:
                log.warning("%s; what is being taken in may come again, to be known as a duplicate", error)
            else:
                self._held.update((handle, now) for handle in late if handle in self._held)


def _ended(tasks: set[asyncio.Task[T]]) -> list[T]:
    """Take those that have ended out, and return what came of them. Raises what one met, which is left in."""
    results = []
    for task in [task for task in tasks if task.done()]:
        results.append(task.result())
        tasks.discard(task)
    return results


__all__ = ["BATCH", "Poller", "Raw", "polling"]

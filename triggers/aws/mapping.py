"""An event source mapping: what carries a queue's messages to a function, by the rules of Lambda's own.

Messages are received in batches and handed to the function; what it has not failed on is deleted, and what it has
failed on comes back when the queue's visibility time-out is over, until the queue's redrive policy moves it away. The
order of a FIFO group is kept by SQS, which shuts a group until what it gave of it is deleted.

Where Lambda starts more pollers, or fewer after errors, this has one, and `concurrency` invocations at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

from triggers.aws.clients import CALL, asking
from triggers.aws.handback import WINDOW
from triggers.aws.messages import record
from triggers.aws.runtime import Result
from triggers.aws.runtime_api import LIMIT
from triggers.clock import Clock, SystemClock
from triggers.errors import PatternError, TriggersError, WiringError
from triggers.patterns import Pattern, compile

REPORT: Final = "ReportBatchItemFailures"
USUAL: Final = 10
"""Messages of a batch: as many as one call to SQS returns."""
MOST: Final = 10_000
BEGINNING: Final = 5
"""Invocations at once where no maximum is set: as many as Lambda begins with."""
WAIT: Final = 20
"""Seconds of a long poll."""
IDLE: Final = 0.5
"""Seconds until an empty queue is asked again, where it is asked by short polls."""
PAUSES: Final = (1.0, 30.0)
"""Seconds after which a queue that could not be asked is asked again: the first, doubled up to the last."""
PARTING: Final = 2.0
"""Seconds that handing back may take at the end."""

_ENVELOPE: Final = len('{"Records": []}')
_SEPARATOR: Final = len(", ")

Raw = Mapping[str, Any]
Record = Mapping[str, Any]

log = logging.getLogger("triggers.mapping")


class Invocable(Protocol):
    """A function."""

    async def invoke(self, payload: object) -> Result:
        """Return what came of an invocation."""
        ...


@dataclass(frozen=True)
class Terms:
    """How a mapping works, in Lambda's words. Raises `WiringError` for what Lambda would not take.

    `window` is in seconds, `concurrency` the maximum of invocations at once, `filters` are patterns of which a message
    must match one, and `partial` says that the function reports the messages that it failed on.
    """

    batch: int = USUAL
    window: int = 0
    concurrency: int | None = None
    filters: Sequence[str | Mapping[str, object]] = ()
    partial: bool = False

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Terms:
        """Return what the properties of an `AWS::Lambda::EventSourceMapping` say."""
        criteria = properties.get("FilterCriteria") or {}
        return cls(
            batch=properties.get("BatchSize", USUAL),
            window=properties.get("MaximumBatchingWindowInSeconds", 0),
            concurrency=(properties.get("ScalingConfig") or {}).get("MaximumConcurrency"),
            filters=tuple(one["Pattern"] for one in criteria.get("Filters") or ()),
            partial=REPORT in (properties.get("FunctionResponseTypes") or ()),
        )

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST:
            raise WiringError(f"BatchSize is {self.batch}; Lambda takes 1 to {MOST:,}")
        if not 0 <= self.window <= WINDOW:
            raise WiringError(f"MaximumBatchingWindowInSeconds is {self.window}; Lambda takes 0 to {WINDOW}")
        if self.batch > USUAL and self.window == 0:
            raise WiringError(
                f"BatchSize is {self.batch}; above {USUAL}, MaximumBatchingWindowInSeconds must be 1 or more"
            )
        if self.concurrency is not None and not 2 <= self.concurrency <= 1000:
            raise WiringError(f"MaximumConcurrency is {self.concurrency}; Lambda takes 2 to 1,000")
        if len(self.filters) > 10:
            raise WiringError(f"FilterCriteria has {len(self.filters)} filters; Lambda takes up to 10")
        assert self.patterns is not None

    def check(self, queue: str) -> None:
        """Raise `WiringError` where the terms are not for this queue, given its name, ARN or URL."""
        if queue.endswith(".fifo") and self.batch > USUAL:
            raise WiringError(f"queue {_name(queue)!r}: BatchSize is {self.batch}; for a FIFO queue {USUAL} at most")
        if queue.endswith(".fifo") and self.window:
            raise WiringError(f"queue {_name(queue)!r}: a FIFO queue takes no MaximumBatchingWindowInSeconds")

    @cached_property
    def patterns(self) -> Sequence[Pattern]:
        """Return the filters, compiled."""
        try:
            return [compile(one) for one in self.filters]
        except PatternError as error:
            raise WiringError(f"FilterCriteria: {error}") from error


class EventSourceMapping:
    """Feeds a function from the queue at `url`, as an aiobotocore client finds it, while `run` is awaited.

    `wait` are the seconds of a long poll; with 0, an empty queue is asked again after `IDLE` seconds.
    """

    def __init__(
        self,
        client: Any,
        url: str,
        arn: str,
        function: Invocable,
        terms: Terms,
        *,
        wait: int = WAIT,
        clock: Clock | None = None,
    ) -> None:
        terms.check(arn)
        self._client = client
        self._url = url
        self._arn = arn
        self._thing = f"queue {_name(arn)!r}"
        self._function = function
        self._terms = terms
        self._wait = wait
        self._clock = clock or SystemClock()
        self._left: list[Raw] = []
        """What was received and is in no batch yet."""

    async def run(self) -> None:
        """Carry messages until cancelled; what is on its way then is handed back to the queue.

        What goes wrong is logged and tried again: a queue that is not there may be made.
        """
        room = asyncio.Semaphore(self._terms.concurrency or BEGINNING)
        deliveries: set[asyncio.Task[None]] = set()
        try:
            while True:
                await room.acquire()
                delivery = asyncio.ensure_future(self._deliver(await self._gather()))
                deliveries.add(delivery)
                delivery.add_done_callback(deliveries.discard)
                delivery.add_done_callback(lambda _: room.release())
        finally:
            for delivery in deliveries:
                delivery.cancel()
            await asyncio.gather(*deliveries, self._hand_back(self._left), return_exceptions=True)

    # --- a batch

    async def _gather(self) -> list[Raw]:
        """Return the next batch: full, or all that came within the window after its first message."""
        batch: list[Raw] = []
        until = math.inf
        try:
            while True:
                full = self._fill(batch)
                if batch and until == math.inf:
                    until = self._clock.monotonic() + self._terms.window
                left = until - self._clock.monotonic()
                if full or left <= 0:
                    return batch
                count = min(USUAL, self._terms.batch - len(batch))
                self._left += await self._wanted(await self._receive(count, min(self._wait, left)))
        except BaseException:
            self._left[:0] = batch
            raise

    def _fill(self, batch: list[Raw]) -> bool:
        """Move what has been received into the batch, and say whether no more goes into it."""
        size = _ENVELOPE + sum(self._size(message) for message in batch)
        while self._left:
            size += self._size(self._left[0])
            if batch and size > LIMIT:
                return True
            batch.append(self._left.pop(0))
        return len(batch) >= self._terms.batch

    def _size(self, message: Raw) -> int:
        return len(json.dumps(record(message, self._arn), ensure_ascii=False).encode("utf-8", "replace")) + _SEPARATOR

    async def _wanted(self, messages: Sequence[Raw]) -> list[Raw]:
        """Return the messages that the function wants; the others are deleted, as Lambda does."""
        patterns = self._terms.patterns
        if not patterns:
            return list(messages)
        wanted = [one for one in messages if _matches(patterns, record(one, self._arn))]
        await self._delete([one for one in messages if one not in wanted])
        return wanted

    async def _deliver(self, batch: Sequence[Raw]) -> None:
        """Invoke the function with a batch, and delete what it has not failed on."""
        try:
            failed = await self._invoke([record(message, self._arn) for message in batch])
            if failed is None:
                await self._hand_back(_behind(batch))
            else:
                await self._delete([message for message in batch if message["MessageId"] not in failed])
        except asyncio.CancelledError:
            await self._hand_back(batch)
            raise

    async def _invoke(self, records: Sequence[Record]) -> Collection[str] | None:
        """Return the ids of the messages that the function has failed on; None where it has failed itself."""
        ids = [one["messageId"] for one in records]
        try:
            result = await self._function.invoke({"Records": records})
        except Exception as error:  # its process could not be started, say
            log.error("%s: a batch of %d could not be handed over: %s", self._thing, len(ids), error)
            return None
        if result.error is not None:
            said = f"{result.error.get('errorType')}: {result.error.get('errorMessage')}"
            log.error("%s: the function failed on a batch of %d: %s", self._thing, len(ids), said)
            return None
        return failures(result.payload, ids) if self._terms.partial else ()

    # --- calls

    async def _receive(self, count: int, seconds: float) -> list[Raw]:
        wait = math.ceil(seconds)
        pause, longest = PAUSES
        while True:
            try:
                async with asking(self._thing, wait + CALL):
                    reply = await self._client.receive_message(
                        QueueUrl=self._url,
                        MaxNumberOfMessages=count,
                        WaitTimeSeconds=wait,
                        MessageSystemAttributeNames=["All"],
                        MessageAttributeNames=["All"],
                    )
                messages: list[Raw] = reply.get("Messages", [])
                if not (messages or wait):
                    await self._clock.sleep(IDLE)
                return messages
            except TriggersError as error:
                log.warning("%s; asked again in %g s", error, pause)
                await self._clock.sleep(pause)
                pause = min(2 * pause, longest)

    async def _delete(self, messages: Sequence[Raw]) -> None:
        for first in range(0, len(messages), USUAL):
            entries = _entries(messages[first : first + USUAL])
            try:
                async with asking(self._thing):
                    reply = await self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
                kept = len(reply.get("Failed", ()))
            except TriggersError as error:
                log.warning("%s", error)
                kept = len(entries)
            if kept:
                log.warning("%s: %d messages were not deleted, and come again", self._thing, kept)

    async def _hand_back(self, messages: Sequence[Raw]) -> None:
        """Let messages be received again at once; what is not handed back comes back by itself."""
        with suppress(TriggersError):
            for first in range(0, len(messages), USUAL):
                entries = [{**one, "VisibilityTimeout": 0} for one in _entries(messages[first : first + USUAL])]
                async with asking(self._thing, PARTING):
                    await self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def failures(response: object, ids: Collection[str]) -> Collection[str]:
    """Return the ids of the messages that a function with partial responses has failed on.

    None, where it returned nothing, or a null or empty list of failures. All, where a failure names no message, or
    one that is not in the batch, and where the response is no object, since then nobody knows which.
    """
    if response is None:
        return ()
    reported = response.get("batchItemFailures") if isinstance(response, Mapping) else [response]
    if reported is None:
        return ()
    if not isinstance(reported, list):
        return ids
    failed: list[Any] = [one.get("itemIdentifier") if isinstance(one, Mapping) else None for one in reported]
    return failed if all(one in ids for one in failed) else ids


def _matches(patterns: Sequence[Pattern], record: Record) -> bool:
    """Say whether a record matches a pattern. A body of JSON is compared as JSON, any other as text."""
    body = record["body"]
    try:
        parsed = isinstance(json.loads(body, parse_constant=_refuse), dict | list)
    except (ValueError, RecursionError):
        parsed = False
    rest = json.dumps({name: value for name, value in record.items() if name != "body"})
    text = f'{rest[:-1]}, "body": {body if parsed else json.dumps(body)}}}'  # numbers are compared as they are written
    return any(pattern.matches(text) for pattern in patterns)


def _refuse(word: str) -> None:
    raise ValueError(word)


def _behind(messages: Sequence[Raw]) -> list[Raw]:
    """Return those that are not the first of their group: it shuts the group until it comes again, and needs no help.

    To SQS it makes no difference whether they are hidden. moto hands out the last one first where all of a group become
    visible at once.
    """
    groups = [message.get("Attributes", {}).get("MessageGroupId") for message in messages]
    return [one for n, one in enumerate(messages) if groups[n] is not None and groups[n] in groups[:n]]


def _entries(messages: Sequence[Raw]) -> list[dict[str, Any]]:
    return [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]


def _name(queue: str) -> str:
    return queue.replace("/", ":").rsplit(":", 1)[-1]


__all__ = ["EventSourceMapping", "Terms", "failures"]

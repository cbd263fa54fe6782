"""The running part of a queue: messages are received, become events, and are deleted once those are in the journal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from math import inf
from typing import Any

from triggers.aws.clients import asking, connected
from triggers.aws.messages import Message, delivery_of, read
from triggers.aws.polling import GLANCE, WAIT, Raw, polling
from triggers.errors import EventError
from triggers.sources import Delivery, Site
from triggers.sources.queue import Queue


async def follow(queue: Queue, site: Site) -> AsyncIterator[Sequence[Delivery]]:
    """Yield the events of a queue's messages for as long as it is iterated."""
    if not site.watches:  # a test that does not ask for AWS need not have it
        site.idle(queue.name)
        await site.poked(queue.name)
    async with connected("sqs") as client:
        url, begun = queue.url or await _url(client, queue.queue), site.clock.now()
        async with polling(client, url, site.clock, wait=WAIT if site.watches else GLANCE) as poller:
            async for messages in poller:
                yield await _events(queue, site, messages)
                await poller.done(messages)
                if _sent(messages) >= begun:
                    site.looked(queue.name)
                if not messages:
                    site.idle(queue.name)
                    if not site.watches:
                        await site.poked(queue.name)


async def _url(client: Any, name: str) -> str:
    async with asking(f"queue {name!r}"):
        reply = await client.get_queue_url(QueueName=name)
    url: str = reply["QueueUrl"]
    return url


async def _events(queue: Queue, site: Site, messages: Sequence[Raw]) -> list[Delivery]:
    """Return the events of messages. Those that cannot be events are put away, so that they hold nothing up."""
    now, events = site.clock.now(), []
    for message in map(read, messages):
        try:
            events.append(delivery_of(message, queue.name, now, site.types, site.names))
        except EventError as error:
            await site.reject(queue.name, message.id, _kept(message), str(error))
    return events


def _sent(messages: Sequence[Raw]) -> float:
    """Return when the first of some messages was sent, in Unix seconds: those before it have come, or are few."""
    return min((sent / 1000 for one in map(read, messages) if (sent := one.sent) is not None), default=-inf)


def _kept(message: Message) -> str:
    """Return what is to be kept of a message that is rejected."""
    return json.dumps({"id": message.id, "body": message.body, "attributes": message.attributes}, indent=2)


__all__ = ["follow"]

"""Messages a second out of a queue: taken in by an app, with its journal, and by a loop that only receives and deletes.

The queue is a stub in a process of its own, which answers out of memory, so what is measured is the receiving side.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiobotocore.session import get_session

from triggers import App, MessageReceived, Queue
from triggers.aws.server import credentials
from triggers.engine import Engine
from triggers.state import StateFolder

Result = dict[str, Any]

WARM = 500
"""Messages that go before, so that connecting is not measured."""


class Seen:
    """How many messages there were, and when the first and the last of those that count."""

    def __init__(self, count: int) -> None:
        self.number = 0
        self.begin = 0.0
        self.end = 0.0
        self._last = WARM + count

    def take(self, number: int = 1) -> None:
        """Note messages; the clock starts with the first after the warm-up."""
        self.number += number
        if self.number >= WARM and not self.begin:
            self.begin = time.monotonic()
        if self.number >= self._last:
            self.end = time.monotonic()


async def ours(folder: Path, count: int) -> Result:
    """Take messages in and have each handled by a run of its own."""
    seen = Seen(count)
    with _served(count) as url:
        app = App("sqs", sources=[Queue("orders", url=url)])

        @app.on(MessageReceived)
        async def handle(event: MessageReceived) -> None:
            seen.take()

        async with Engine(app, StateFolder(folder)) as engine:
            await engine.drained()
            assert engine.dispatcher.counts["done"] == WARM + count
    return {"rate": count / (seen.end - seen.begin)}


async def bare(folder: Path, count: int) -> Result:
    """Receive messages and delete them, one call after the other."""
    seen = Seen(count)
    with _served(count) as url:
        async with get_session().create_client("sqs") as client:
            while not seen.end:
                reply = await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
                entries = [
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(reply["Messages"])
                ]
                await client.delete_message_batch(QueueUrl=url, Entries=entries)
                seen.take(len(entries))
    return {"rate": count / (seen.end - seen.begin)}


@contextmanager
def _served(count: int) -> Iterator[str]:
    """Have a queue with messages served, and clients find it."""
    command = [sys.executable, "-m", "tests.aws.stub", str(WARM + count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        os.environ.update({**credentials(), "AWS_ENDPOINT_URL": url.rsplit("/", 2)[0]})
        yield url
        assert process.stdin
        process.stdin.close()

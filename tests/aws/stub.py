"""A stub of SQS: it speaks the JSON protocol out of memory, and goes wrong by plan.

What may go wrong with a call: `throttled` and `broken` (500) do nothing and say so; `silent` does nothing and says
nothing; `cut` and `lost` do it, but half of the answer is missing, or all. `keys` are the access keys that are taken,
`away` and `back` let the endpoint go and come. Messages that are hidden are so by the clock that the stub is given.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from bisect import insort
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

LONG = 2
"""Seconds; a poll for longer is held until there is a message."""

Plan = Callable[[str, int], str | None]
"""From an action and how often it was asked for before to what goes wrong with it."""


@dataclass(order=True)
class Stored:
    """A message."""

    number: int
    body: str = field(compare=False)
    group: str | None = field(compare=False, default=None)
    attributes: dict[str, Any] = field(compare=False, default_factory=dict)
    sent: int = field(compare=False, default=0)
    received: int = field(compare=False, default=0)
    hidden_until: float = field(compare=False, default=0.0)

    @property
    def id(self) -> str:
        return f"m{self.number}"

    @property
    def handle(self) -> str:
        return f"{self.id}#{self.received}"


class Stub:
    """One queue behind every URL whose last part is its name; any other does not exist."""

    def __init__(self, name: str = "orders", plan: Plan = lambda action, number: None, twice: bool = False) -> None:
        self.name = name
        self.plan = plan
        self.twice = twice
        self.now: Callable[[], float] = time.monotonic
        self.keys: set[str] | None = None
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.port = 0
        self.waits = False
        """Whether a long poll finds nothing."""
        self.deleted: list[str] = []
        self._waiting: list[Stored] = []
        self._hidden: dict[str, Stored] = {}
        self._attempts: dict[str, list[Stored]] = {}
        self._count = 0
        self._came = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._place: socket.socket | None = None
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.endpoint}/123456789012/{self.name}"

    def put(
        self,
        *bodies: str,
        group: str | None = None,
        attributes: dict[str, Any] | None = None,
        sent: float = 1_700_000_000,
    ) -> None:
        for body in bodies:
            self._waiting.append(Stored(self._count, body, group, attributes or {}, round(1000 * sent)))
            self._count += 1
        self._came.set()

    def left(self) -> int:
        """How many messages there are, hidden ones too."""
        return len(self._waiting) + len(self._hidden)

    def hidden(self) -> set[str]:
        return {message.id for message in self._hidden.values() if message.hidden_until > self.now()}

    def look(self) -> None:
        """Have those who wait look again: time has passed."""
        self._came.set()

    async def back(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._place or self._bound())

    async def away(self) -> None:
        assert self._server
        self._server.close()
        for connection in self._open:
            connection.cancel()
        await asyncio.gather(*self._open)
        await self._server.wait_closed()
        self._place = self._bound()  # so that nobody else gets the port meanwhile; whoever connects is refused

    def _bound(self) -> socket.socket:
        place = socket.socket()
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", self.port))
        self.port = place.getsockname()[1]
        return place

    def close(self) -> None:
        if self._place:
            self._place.close()

    # --- HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) and await self._answer(head.decode(), reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        size = re.search(r"(?i)content-length: (\d+)", head)
        request = json.loads(await reader.readexactly(int(size[1]) if size else 0))
        action = re.search(r"(?i)x-amz-target: \w+\.(\w+)", head)
        assert action, head
        fault = self.plan(action[1], self.calls[action[1]])
        self.calls[action[1]] += 1
        self.faults.update([fault] if fault else ())
        if fault == "silent":
            await reader.read()
            return False
        status, reply = await self._carried_out(action[1], request, head, fault)
        text = json.dumps(reply).encode()
        answer = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        whole = answer.encode() + text
        writer.write({"cut": whole[: -len(text) // 2], "lost": b""}.get(fault or "", whole))
        if fault in ("cut", "lost"):
            await writer.drain()
            writer.close()
            return False
        return True

    async def _carried_out(
        self, action: str, request: dict[str, Any], head: str, fault: str | None
    ) -> tuple[int, dict[str, Any]]:
        key = re.search(r"Credential=(\w+)/", head)
        if self.keys is not None and (not key or key[1] not in self.keys):
            return _error("ExpiredToken", "The security token included in the request is expired", 403)
        if fault == "throttled":
            return _error("RequestThrottled", "Rate exceeded")
        if fault == "broken":
            return _error("InternalError", "We encountered an internal error", 500)
        if fault == "denied":
            said = f"User: arn:aws:iam::1:user/u is not authorized to perform: sqs:{action.lower()} on resource: arn:q"
            return _error("AccessDenied", said, 403)
        queue = request.get("QueueName") or request.get("QueueUrl", self.name).rsplit("/", 1)[-1]
        if queue != self.name:
            return _error("QueueDoesNotExist", "The specified queue does not exist.")
        return 200, await getattr(self, f"_{action}")(request)

    # --- SQS

    async def _GetQueueUrl(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"QueueUrl": self.url}

    async def _ReceiveMessage(self, request: dict[str, Any]) -> dict[str, Any]:
        attempt = request.get("ReceiveRequestAttemptId")
        messages = self._attempts.get(attempt, []) if attempt else []
        while not (messages or (messages := self._received(request))) and request.get("WaitTimeSeconds", 0) >= LONG:
            self._came.clear()
            self.waits = True
            await self._came.wait()
            self.waits = False
        if attempt:
            self._attempts[attempt] = messages
        return {"Messages": [_shown(message) for message in messages]} if messages else {}

    async def _DeleteMessageBatch(self, request: dict[str, Any]) -> dict[str, Any]:
        done, failed = [], []
        for entry in request["Entries"]:
            message = self._hidden.pop(entry["ReceiptHandle"], None)
            if message and message.hidden_until > self.now():
                self._delete(message)
            elif message or any(one.id == entry["ReceiptHandle"].split("#")[0] for one in self._waiting):
                if message:
                    insort(self._waiting, message)
                failed.append({"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": True})
                continue
            done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}

    async def _ChangeMessageVisibilityBatch(self, request: dict[str, Any]) -> dict[str, Any]:
        for entry in request["Entries"]:
            if message := self._hidden.get(entry["ReceiptHandle"]):
                message.hidden_until = self.now() + entry["VisibilityTimeout"]
        self._came.set()
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}

    def _received(self, request: dict[str, Any]) -> list[Stored]:
        now = self.now()
        for handle, message in list(self._hidden.items()):
            if message.hidden_until <= now:
                insort(self._waiting, self._hidden.pop(handle))
        shut = {message.group for message in self._hidden.values()} - {None} if self.name.endswith(".fifo") else set()
        free = (message for message in self._waiting if message.group not in shut)
        taken = list(islice(free, request["MaxNumberOfMessages"]))
        for message in taken:
            self._waiting.remove(message)
            message.received += 1
            message.hidden_until = now + request.get("VisibilityTimeout", 30)
            self._hidden[message.handle] = message
        return taken

    def _delete(self, message: Stored) -> None:
        self.deleted.append(message.id)
        if self.twice and message.received == 1:
            insort(self._waiting, message)
            self._came.set()


def _shown(message: Stored) -> dict[str, Any]:
    system = {"SentTimestamp": str(message.sent), "ApproximateReceiveCount": str(message.received)}
    if message.group is not None:
        system["MessageGroupId"] = message.group
    own = {"MessageAttributes": message.attributes} if message.attributes else {}
    shown = {"MessageId": message.id, "ReceiptHandle": message.handle, "Body": message.body, "Attributes": system}
    return {**shown, **own}


def _error(code: str, said: str, status: int = 400) -> tuple[int, dict[str, Any]]:
    return status, {"__type": f"com.amazonaws.sqs#{code}", "message": said}


@asynccontextmanager
async def serving(stub: Stub) -> AsyncIterator[Stub]:
    await stub.back()
    try:
        yield stub
    finally:
        await stub.away()
        stub.close()


async def main(count: int) -> None:
    """Serve a queue with so many messages in a process of its own, and end with standard input."""
    stub = Stub()
    stub.put(*(f'{{"number":{number}}}' for number in range(count)))
    async with serving(stub):
        print(stub.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

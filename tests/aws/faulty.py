"""All that a function calls, and its mapping, behind one endpoint that goes wrong by plan: in memory, or moto's."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from typing import Any
from urllib.parse import urlsplit

from tests.aws.memory import EventBus, Refused, Table
from tests.aws.stub import Plan, Stub

VISIBILITY = 360
"""Seconds that a received message is hidden: six times a function's, as Lambda wants it."""


class Services(Stub):
    """A queue, a table and a bus in memory. `stirred` is set whenever a poll begins to wait."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.stirred = asyncio.Event()
        self.table, self.bus = Table(), EventBus()
        self.received = 0
        super().__init__(name, plan)

    @property
    def waits(self) -> bool:
        return self._waits

    @waits.setter
    def waits(self, value: bool) -> None:
        self._waits = value
        self.stirred.set()

    async def _carried_out(self, action: str, request: dict[str, Any], head: str, fault: str | None) -> Any:
        try:
            return await super()._carried_out(action, request, head, fault)
        except Refused as refused:
            return 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{refused}", "Item": refused.response["Item"]}

    async def _ReceiveMessage(self, request: dict[str, Any]) -> dict[str, Any]:
        received = (await super()._ReceiveMessage({"VisibilityTimeout": VISIBILITY, **request})).get("Messages", [])
        self.received += len(received)
        return {"Messages": [{**one, "MD5OfBody": _md5(one["Body"])} for one in received]}

    async def _UpdateItem(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.table.update_item(**request)

    async def _PutItem(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.table.put_item(**request)

    async def _Query(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.table.query(**request)

    async def _PutEvents(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.bus.put_events(**request)


class Relay(Stub):
    """Hands on to another endpoint what does not go wrong. What is hidden is so for a `fast`-th of the time."""

    def __init__(self, endpoint: str, plan: Plan, fast: float) -> None:
        super().__init__(plan=plan)
        self._behind = urlsplit(endpoint)
        self._fast = fast

    async def _carried_out(self, action: str, request: dict[str, Any], head: str, fault: str | None) -> Any:
        if fault in ("throttled", "broken"):
            return await super()._carried_out(action, request, head, fault)
        for entry in request["Entries"] if action == "ChangeMessageVisibilityBatch" else ():
            entry["VisibilityTimeout"] = math.ceil(entry["VisibilityTimeout"] / self._fast)
        body = json.dumps(request).encode()
        kept = [line for line in head.split("\r\n") if line and not re.match("(?i)(content-length|connection):", line)]
        asked = "\r\n".join([*kept, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body
        reader, writer = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        try:
            writer.write(asked)
            told, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return int(told.split(maxsplit=2)[1]), json.loads(answer or "{}")


def outages(fault: str, of: int = 25, length: int = 7) -> Plan:
    """Have so many calls in a row go wrong of each so many of an action: more than are made until one is given up."""
    return lambda action, call: fault if call % of >= of - length else None


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

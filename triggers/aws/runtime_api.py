"""The HTTP side of Lambda's Runtime API, for one process of AWS's runtime client.

The client asks for work (`GET .../invocation/next`), which is answered when there is some, and posts what came of it.
Each process has an address of its own, so that nobody need say who asks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = "/2018-06-01/runtime"
LIMIT: Final = 6_291_556
"""Bytes of a payload, to a function or from it: the 6 MiB of AWS, and 100."""

_TOO_LARGE: Final = "Function.ResponseSizeTooLarge"
_CHUNK: Final = 1 << 20
_PHRASES: Final = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 413: "Payload Too Large"}

Fault = Mapping[str, Any]
"""What went wrong as Lambda says it: `errorType`, `errorMessage` and perhaps more."""


def fault(kind: str, message: str) -> Fault:
    """Return an error as Lambda itself would word it."""
    return {"errorType": kind, "errorMessage": message}


@dataclass(frozen=True, slots=True)
class Work:
    """An invocation as the client is given it."""

    request: str
    headers: Mapping[str, str]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: a payload, or an error."""

    payload: bytes = b""
    error: Fault | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes | None
    """None where it is over the limit."""


class RuntimeApi:
    """The server. `asked` is set while the process asks for work, which it does as soon as it is initialized."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._work: asyncio.Queue[Work] = asyncio.Queue()
        self._answer: asyncio.Future[Answer] = asyncio.Future()
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Listen, and return the address for `AWS_LAMBDA_RUNTIME_API`."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def give(self, work: Work) -> None:
        """Hand work over to the process that has asked for it."""
        self.asked.clear()
        self._work.put_nowait(work)

    async def answer(self) -> Answer:
        """Return, once, what came of the work, or why the process could not be initialized."""
        answer = await asyncio.shield(self._answer)
        self._answer = asyncio.Future()
        return answer

    def close(self) -> None:
        """Listen no longer, and let go of who is connected."""
        self._server.close()
        for connection in self._connections:
            connection.cancel()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):  # the process has ended
                while True:
                    writer.write(await self._respond(await _read(reader, writer)))
                    await writer.drain()
        finally:
            writer.close()

    async def _respond(self, request: _Request) -> bytes:
        match request.method, request.path.removeprefix(VERSION).split("/"):
            case "GET", ["", "invocation", "next"]:
                return await self._next()
            case "POST", ["", "invocation", _, "response"]:
                return self._responded(request.body)
            case "POST", ["", "invocation", _, "error"] | ["", "init", "error"]:
                self._settle(Answer(error=_fault(request.body)))
                return _response(202, b'{"status":"OK"}')
        return _response(404, json.dumps(fault("NotFound", f"no {request.method} {request.path} here")).encode())

    async def _next(self) -> bytes:
        self.asked.set()
        work = await self._work.get()
        return _response(200, work.payload, {"Lambda-Runtime-Aws-Request-Id": work.request, **work.headers})

    def _responded(self, body: bytes | None) -> bytes:
        if body is not None:
            self._settle(Answer(body))
            return _response(202, b'{"status":"OK"}')
        error = fault(_TOO_LARGE, f"Response payload size exceeded maximum allowed payload size ({LIMIT} bytes).")
        self._settle(Answer(error=error))
        return _response(413, json.dumps(error).encode())

    def _settle(self, answer: Answer) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)


def _fault(body: bytes | None) -> Fault:
    try:
        error = json.loads(body or b"")
    except ValueError:
        error = None
    return error if isinstance(error, dict) else fault("Unknown", (body or b"").decode("utf-8", "replace"))


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    size = int(headers.get("content-length", 0))
    if size <= LIMIT:
        return _Request(method, path, await reader.readexactly(size))
    while size:  # read it all the same, or the process would never look at the reply
        size -= len(await reader.readexactly(min(size, _CHUNK)))
    return _Request(method, path, None)


def _response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"HTTP/1.1 {status} {_PHRASES[status]}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


__all__ = ["LIMIT", "Answer", "Fault", "RuntimeApi", "Work", "fault"]

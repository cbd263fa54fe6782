"""A service of AWS that answers by a script, whatever it is asked, and remembers what that was."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Fault = Literal["cut", "gone", "reset", "silent"]


class Reply(NamedTuple):
    """An answer, of a `kind` of content, or what happens in its place; `closes` the connection after it, unsaid."""

    body: Any = None
    status: int = 200
    fault: Fault | None = None
    closes: bool = False
    kind: str = "application/x-amz-json-1.0"

    def written(self) -> bytes:
        text = self.body if isinstance(self.body, bytes) else json.dumps(self.body or {}).encode()
        if self.fault == "cut":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"
        head = f"HTTP/1.1 {self.status} Said\r\nContent-Length: {len(text)}\r\nContent-Type: {self.kind}\r\n"
        return f"{head}x-amzn-RequestId: one\r\n\r\n".encode() + text


@dataclass
class Asked:
    """A request, and the number of the connection that it came by."""

    headers: dict[str, str]
    body: bytes
    connection: int


class Scripted:
    """Answers by the script in the order of asking; when that is at its end, by its last reply again."""

    def __init__(self, script: Sequence[Reply], tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._script = script
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        self._threads[0].start()

    def close(self) -> None:
        for one in (self._socket, *self._open):
            with suppress(OSError):  # it may be closed
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection, len(self._open))))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            while request := _read(stream, number):
                reply = self._script[min(len(self.asked), len(self._script) - 1)]
                self.asked.append(request)
                if not _answer(connection, reply):
                    return


def _read(stream: Any, number: int) -> Asked | None:
    try:
        lines = list(iter(lambda: stream.readline().rstrip(), b""))
        pairs = (line.decode("latin-1").partition(": ") for line in lines[1:])
        headers = {name.lower(): value for name, _, value in pairs}
        return Asked(headers, stream.read(int(headers.get("content-length", 0))), number) if lines else None
    except OSError:
        return None


def _answer(connection: socket.socket, reply: Reply) -> bool:
    """Answer, and say whether the connection is kept."""
    if reply.fault == "silent":
        return True
    if reply.fault == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if reply.fault in ("reset", "gone"):
        return False
    connection.sendall(reply.written())
    return not (reply.closes or reply.fault)


@contextmanager
def scripted(*script: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Yield a service at work."""
    service = Scripted(script, tls)
    service.start()
    try:
        yield service
    finally:
        service.close()

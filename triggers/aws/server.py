"""moto's server on this machine, in a process of its own: the AWS that an app is emulated on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Thread

from triggers.errors import TriggersError
from triggers.kernel import end_of

ACCOUNT = "123456789012"
"""The account that moto takes everybody for."""
REGION = "us-east-1"
PATIENCE = 60.0
"""Seconds until a server that does not answer is given up."""
LOOK = 1.0
"""Seconds between two looks at a server, where the kernel does not say that it ends."""
LAST_WORDS = 5
"""Lines of what a server has written last that are told where it ends."""
LONGEST_LINE = 300
"""Characters of such a line that are told."""

_MISLEADING = frozenset(
    {
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_CA_BUNDLE"),
        *("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
        *("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
    }
)

_NEAR = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no way to this machine

_SERVE = """
import logging, os, sys, threading
from werkzeug.serving import make_server
from moto.dynamodb.responses import DynamoHandler
from moto.server import DomainDispatcherApplication, create_backend_app
logging.disable(logging.WARNING)  # neither a line for each request nor what moto leaves out: errors are told
answer, alone = DynamoHandler.call_action, threading.Lock()
def answer_alone(handler):
    with alone:
        return answer(handler)
DynamoHandler.call_action = answer_alone
server = make_server("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
"""
# It ends with its standard input, that is, with the process that started it, however that ends. DynamoDB's calls are
# answered one by one: moto checks a condition, puts the bare key and then updates that, in threads and without a lock.


class ServerEnded(TriggersError):
    """moto's server ended while it was needed, and what it held is gone."""


class Server:
    """A server at work; `endpoint` is its address, `http://127.0.0.1:PORT`."""

    def __init__(self, process: subprocess.Popen[str], endpoint: str, words: Words) -> None:
        self.endpoint = endpoint
        self._process = process
        self._words = words

    async def ended(self) -> None:
        """Wait until the server ends before its time, and raise `ServerEnded`."""
        while True:
            try:
                await end_of(self._process.pid)
            except ProcessLookupError:  # somebody has seen it already
                pass
            except OSError:  # a kernel that can't tell
                await asyncio.sleep(LOOK)
            self.check()

    def check(self) -> None:
        """Raise `ServerEnded` where the server has ended."""
        if (code := self._process.poll()) is not None:
            how = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
            hint = "; the kernel does that when memory runs out" if code == -signal.SIGKILL else ""
            raise ServerEnded(
                f"moto's server, which emulates AWS here, has ended ({how}{hint}), and with it all that it held: start"
                f" again{self._words.told()}"
            )


class Words:
    """What a process writes to its stderr: read to its end by a thread, and the last of it kept."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._last: deque[str] = deque(maxlen=LAST_WORDS)
        self._stream = process.stderr
        self._thread = Thread(target=self._read, name="triggers-moto", daemon=True)
        self._thread.start()

    def told(self) -> str:
        """Return the last words of a process that has ended, as the end of a sentence."""
        self._thread.join(1.0)  # somebody else may hold the other end
        return "".join(["; its last words:", *(f"\n  {line}" for line in self._last)]) if self._last else ""

    def _read(self) -> None:
        assert self._stream
        for line in self._stream:
            if said := line.rstrip():
                self._last.append(said[:LONGEST_LINE])


@contextmanager
def serve(port: int = 0) -> Iterator[Server]:
    """Run a server and yield it; on a free port if none is named.

    Raises `TriggersError` where moto is not installed or does not come up.
    """
    if find_spec("moto") is None or find_spec("werkzeug") is None:
        raise TriggersError("the emulation of AWS needs moto; install it with: pip install 'triggers-ml[emulation]'")
    command = [sys.executable, "-W", "ignore", "-c", _SERVE, str(port)]
    with subprocess.Popen(
        command,
        env={**_plain(os.environ), **credentials()},  # it has clients of its own
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for the command, which may still need it then
    ) as process:
        words = Words(process)
        try:
            assert process.stdout
            if not (line := process.stdout.readline()):
                raise TriggersError(
                    f"moto's server did not start on port {port}; is something else listening there?{words.told()}"
                )
            server = Server(process, f"http://127.0.0.1:{int(line)}", words)
            _await(server.endpoint)
            yield server
        finally:
            process.kill()
            words.told()  # before its stream is closed


def credentials() -> dict[str, str]:
    """Return environment variables with credentials that open nothing real."""
    return {
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "emulated"),
        **dict.fromkeys(("AWS_SESSION_TOKEN",), ""),
        **dict.fromkeys(("AWS_DEFAULT_REGION", "AWS_REGION"), REGION),
    }


def environment(endpoint: str) -> Mapping[str, str]:
    """Return the environment variables by which botocore, wherever it runs, finds the emulation and nothing else."""
    return {**credentials(), "AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}


def misleading(variables: Iterable[str]) -> list[str]:
    """Return those environment variables by which botocore would look elsewhere although it is told of an endpoint."""
    return [name for name in variables if name in _MISLEADING or name.startswith("AWS_ENDPOINT_URL_")]


def _plain(variables: Mapping[str, str]) -> dict[str, str]:
    left_out = misleading(variables)
    return {name: value for name, value in variables.items() if name not in left_out}


def reset(endpoint: str) -> None:
    """Have a server forget everything."""
    asked = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")  # noqa: S310  # our own
    _NEAR.open(asked, timeout=PATIENCE).close()


def _await(endpoint: str) -> None:
    """Return once the server answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            _NEAR.open(f"{endpoint}/moto-api/data.json", timeout=PATIENCE).close()
            return
        except urllib.error.URLError as error:
            if time.monotonic() > end:
                raise TriggersError(f"moto's server at {endpoint} does not answer: {error}") from error

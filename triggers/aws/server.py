"""moto's server on this machine, in a process of its own: the AWS that an app is emulated on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from triggers.errors import TriggersError

ACCOUNT = "123456789012"
"""The account that moto takes everybody for."""
REGION = "us-east-1"
PATIENCE = 60.0
"""Seconds until a server that does not answer is given up."""

_MISLEADING = frozenset(
    {
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_CA_BUNDLE"),
        *("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
        *("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
    }
)

_NEAR = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no way to this machine

_SERVE = """
import os, sys, threading
from werkzeug.serving import make_server
from moto.dynamodb.responses import DynamoHandler
from moto.server import DomainDispatcherApplication, create_backend_app
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


@contextmanager
def serve(port: int = 0) -> Iterator[str]:
    """Run a server and yield its address, `http://127.0.0.1:PORT`; a free port if none is named.

    Raises `TriggersError` where moto is not installed or does not come up.
    """
    if find_spec("moto") is None or find_spec("werkzeug") is None:
        raise TriggersError("the emulation of AWS needs moto; install it with: pip install 'triggers-ml[emulation]'")
    command = [sys.executable, "-c", _SERVE, str(port)]
    with subprocess.Popen(
        command,
        env={**_plain(os.environ), **credentials()},  # it has clients of its own
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout
            if not (line := process.stdout.readline()):
                raise TriggersError(f"moto's server did not start on port {port}; is something else listening there?")
            endpoint = f"http://127.0.0.1:{int(line)}"
            _await(endpoint)
            yield endpoint
        finally:
            process.kill()


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

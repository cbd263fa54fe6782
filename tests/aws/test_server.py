from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from subprocess import PIPE

import boto3
import pytest

from triggers.aws.server import serve
from triggers.errors import TriggersError


def test_a_client_finds_the_emulation_by_the_environment(endpoint: str, unique: str) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    names = [bucket["Name"] for bucket in boto3.client("s3", endpoint_url=endpoint).list_buckets()["Buckets"]]
    assert unique in names


STARTED = """
import sys
from triggers.aws.server import serve
with serve() as endpoint:
    print(endpoint, flush=True)
    sys.stdin.read()
"""


def test_the_server_ends_with_a_process_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTED], stdin=PIPE, stdout=PIPE, text=True) as parent:
        assert parent.stdout
        endpoint = parent.stdout.readline().strip()
        assert answers(endpoint)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    while answers(endpoint):  # until the kernel has closed the pipe and the server has seen it
        pass


def answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=30).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def test_a_port_that_is_taken_is_named() -> None:
    with serve() as endpoint:
        port = int(endpoint.rsplit(":", 1)[1])
        with pytest.raises(TriggersError, match=f"did not start on port {port}"), serve(port):
            pass

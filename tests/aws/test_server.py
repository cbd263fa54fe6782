from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE
from threading import Barrier
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.dynamodb.models.table import Table

from tests.aws.deployed import create_table, row
from triggers import Event
from triggers.aws import names, wire
from triggers.aws.records import Claim, Records
from triggers.aws.runtime_api import RuntimeApi
from triggers.aws.server import Server, ServerEnded, Words, serve
from triggers.errors import TriggersError


def test_a_client_finds_the_emulation_by_the_environment(endpoint: str, unique: str) -> None:
    boto3.client("s3").create_bucket(Bucket=unique)
    names = [bucket["Name"] for bucket in boto3.client("s3", endpoint_url=endpoint).list_buckets()["Buckets"]]
    assert unique in names


def reached(host: str, port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex((host, port)) == 0


def test_the_emulation_listens_for_its_own_machine_alone(endpoint: str) -> None:
    async def runtime() -> tuple[bool, bool]:
        api = RuntimeApi()
        port = int((await api.open()).rpartition(":")[2])
        try:
            return reached("127.0.0.1", port), reached("127.0.0.2", port)
        finally:
            api.close()

    port = int(endpoint.rpartition(":")[2])
    # Another address of this machine: what listens on all of them is reached by it, too.
    assert (reached("127.0.0.1", port), reached("127.0.0.2", port)) == (True, False)
    assert asyncio.run(runtime()) == (True, False)


STARTED = """
import sys
from triggers.aws.server import serve
with serve() as server:
    print(server.endpoint, flush=True)
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
    with serve() as server:
        port = int(server.endpoint.rsplit(":", 1)[1])
        with pytest.raises(TriggersError, match=f"did not start on port {port}"), serve(port):
            pass


def test_a_server_that_has_ended_is_told_with_how_and_its_last_words() -> None:
    dies = "import sys; print(*range(9), sep='\\n', file=sys.stderr); sys.exit('no memory is left')"
    with subprocess.Popen([sys.executable, "-c", dies], stderr=PIPE, text=True) as process:
        server = Server(process, "http://127.0.0.1:1", Words(process))
        process.wait()
        with pytest.raises(ServerEnded) as told:
            server.check()
    assert "has ended (exit code 1), and with it all that it held: start again; its last words:" in str(told.value)
    assert str(told.value).splitlines()[1:] == ["  5", "  6", "  7", "  8", "  no memory is left"]


class Ordered(Event):
    n: int


def winners(records: Records, run: int, claimants: int) -> int:
    """Return how many of those that claim a run at once have it."""
    event = row(Ordered(n=1))

    def claim(holder: int) -> bool:
        claimed = records.claim(run, "ship", event, wire.write(event), f"holder-{holder}", 1.8e9, 1.8e9 + 60)
        return isinstance(claimed, Claim)

    with ThreadPoolExecutor(claimants) as pool:
        return sum(pool.map(claim, range(claimants)))


def test_one_of_those_that_claim_a_run_at_once_has_it(endpoint: str, unique: str) -> None:
    dynamodb = boto3.client("dynamodb")
    create_table(dynamodb, unique)
    records = Records(dynamodb, names.table(unique), 30)
    assert [winners(records, run, claimants=4) for run in range(6)] == [1] * 6


def test_moto_itself_lets_two_claim_one_run(monkeypatch: pytest.MonkeyPatch, unique: str) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    past_the_condition, put = Barrier(2, timeout=30), Table.put_item

    def put_late(table: Table, *given: Any) -> Any:
        past_the_condition.wait()
        return put(table, *given)

    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        create_table(dynamodb, unique)
        monkeypatch.setattr(Table, "put_item", put_late)
        two = winners(Records(dynamodb, names.table(unique), 30), 1, claimants=2)
    assert two == 2, "moto updates an item in one now: its server needs no lock"

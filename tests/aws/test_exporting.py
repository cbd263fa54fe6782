"""A failure of a deployed app as a test, which has it happen again here."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from tests.aws.deployed import create_table, row
from tests.aws.memory import EventBus
from tests.commands.exported import Exported, Make, statements
from triggers import Event, ObjectCreated
from triggers.aws import names, wire
from triggers.aws.bus import Bus
from triggers.aws.deployed import declared
from triggers.aws.records import Records
from triggers.aws.runs import Runs
from triggers.commands import cli
from triggers.commands.loading import load_app
from triggers.lineage import EventRow
from triggers.routing import Router, describe_route

FAR = 1e11
"""A moment that no invocation lasts to."""

APP = """
from pydantic import SecretStr

from triggers import App, Bucket, Event, Later, ObjectCreated, Retry

mended = []
opened = []

class Read(Event):
    text: str

class Login(Event):
    user: str
    password: SecretStr

app = App(NAME, sources=[Bucket("s3://acme/raw", name="raw")], retry=Retry(attempts=1))

@app.on(ObjectCreated)
def read(event: ObjectCreated) -> Read:
    return Read(text=event.path().read_text())

@app.on(Read, where={"text": [{"prefix": "x"}]})
def learn(event: Read) -> None:
    if not mended:
        raise ValueError(f"cannot do {event.text}")

@app.on(Read, where={"text": [{"prefix": "later"}]})
def wait(event: Read) -> None:
    if event.text not in opened:
        opened.append(event.text)
        raise Later("it is shut", minutes=20)
    raise ValueError("it was of no use")

@app.on(Login)
def login(event: Login) -> None:
    raise ValueError(f"no {event.user}, who has {event.password.get_secret_value()}")
"""


class Failed:
    """An app whose runs failed in AWS: its records are there, its code is in the current directory."""

    def __init__(self, name: str, home: Path, harness: Make) -> None:
        (home / "app.py").write_text(APP.replace("NAME", repr(name)))
        self.app, self._home, self._harness = load_app("app.py"), home, harness
        self.types: dict[str, Any] = vars(sys.modules["app"])
        self._passed = 0.0
        client = boto3.client("dynamodb")
        create_table(client, name)
        described = [describe_route(route) for route in self.app.routes.values()]
        client.put_item(TableName=names.table(name), Item=declared(name, described, [*self.app.sources]))
        self._bus, records = EventBus(), Records(client, names.table(name), 30)
        bus = Bus(lambda: self._bus, name)
        self._router = Router(self.app.routes.values())
        self.runs = Runs(self.app, self._router, records, bus, name, now=lambda: time.time() + self._passed)

    def feed(self, *events: EventRow, after: float = 0.0) -> None:
        """Run what the events trigger, and what comes of it, so many seconds later than now."""
        self._passed = after
        waiting = list(events)
        while waiting:
            event = waiting.pop(0)
            for route in self._router.match(event.type, event.source, None, event.data):
                self.runs.carry_out(event, route, "request", FAR)
            waiting += [wire.read(entry["Detail"].encode(), 0.0) for entry in self._bus.entries]
            self._bus.entries.clear()

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--aws", self.app.name], prog_name="triggers")

    def export(self, run: str, *options: str) -> Exported:
        file = self._home / f"test_{run}_{len(options)}.py"
        said = self("export-test", run, "--app", "app.py", "-o", str(file), *options)
        assert said.exit_code == 0, said.stderr
        return Exported(file, self._harness)


@pytest.fixture
def failed(
    endpoint: str, unique: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harness: Make
) -> Iterator[Failed]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    failed = Failed(unique, tmp_path, harness)
    yield failed
    failed.runs.close()
    sys.modules.pop("app", None)


def put(bucket: str, content: bytes) -> Event:
    """Put an object into a bucket, and return what is told of it."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    etag = s3.put_object(Bucket=bucket, Key="raw/a.csv", Body=content)["ETag"].strip('"')
    return ObjectCreated(key="a.csv", uri=f"s3://{bucket}/raw/a.csv", size=len(content), version=etag)


def ids(text: str) -> list[str]:
    return re.findall(r"\br\d+", text)


def test_a_failure_in_aws_happens_again_here_with_the_object_that_came(failed: Failed, unique: str) -> None:
    failed.feed(row(put(unique, b"x,y\n"), "a", "raw"))
    [learned] = ids(failed("dead").stdout)
    told = failed("dead", "show", learned).stderr
    assert f"`triggers export-test {learned} --app MODULE --aws {unique}` writes a test of it" in told
    wanted, seen = failed.export(learned), failed.export(learned, "--expect", "failure")
    assert statements(wanted) == [
        r"pipeline.drop('raw', 'a.csv', 'x,y\n')",
        "assert {(run.state, run.error) for run in pipeline.runs('learn')} == {('done', None)}",
    ]
    assert (wanted.passes(), seen.passes()) == (False, True)
    failed.types["mended"].append(True)
    assert (wanted.passes(), seen.passes()) == (True, False)


def test_a_run_that_put_itself_off_before_it_failed_does_so_again(failed: Failed) -> None:
    came = row(failed.types["Read"](text="later"))
    run = f"r{wire.run_number(came, 'wait')}"
    failed.feed(came)
    assert f"{run} is delayed and its record has no attempt that failed" in failed("export-test", run).stderr
    failed.feed(came, after=1201)
    failed.types["opened"].clear()
    assert failed.export(run, "--expect", "failure").passes()


def test_a_secret_in_a_record_is_not_in_the_test(failed: Failed) -> None:
    came = row(failed.types["Read"](text="x"))
    came = came._replace(type="Login", data='{"user": "ann", "password": "letmein"}')
    failed.feed(came)
    text = failed.export(f"r{wire.run_number(came, 'login')}").text
    assert "ValueError: no ann, who has **********" in text
    assert "letmein" not in text


def test_what_a_record_does_not_say_is_asked_for_and_what_it_does_not_keep_is_named(
    failed: Failed, unique: str
) -> None:
    failed.types["mended"].append(True)
    well, dead = row(failed.types["Read"](text="x"), "1"), row(failed.types["Read"](text="later"), "2")
    failed.types["opened"].append("later")
    failed.feed(well, dead)
    answer = failed("export-test", f"r{wire.run_number(well, 'learn')}", "--app", "app.py")
    assert "is done and its record has no attempt that failed (it keeps none once another went well)" in answer.stderr
    answer = failed("export-test", "2")
    assert (
        f"where the app's code is does not stand in the records of '{unique}' in AWS; name it: --app" in answer.stderr
    )

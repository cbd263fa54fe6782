"""`triggers exec`, as Batch would run it, but here: a process that takes one message and sees its run through."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from tests.aws.deployed import on_the_bus, row
from tests.aws.test_serverless_moto import Emulated, Processed, Trained
from triggers import App
from triggers.aws import names
from triggers.aws.job import Job
from triggers.aws.server import ACCOUNT, environment

CODE = """
import sys
from triggers import App, Context, Event, Retry
class Processed(Event):
    n: int
class Trained(Event):
    n: int
app = App({name!r}, retry=Retry(on=OSError, attempts=3, initial=0))
@app.on(Processed)
def train(event: Processed, ctx: Context) -> Trained:
    if event.n == 13:
        raise ValueError("13 is bad")
    if event.n == 99 and ctx.attempt == 1:
        print("at work", flush=True)
        sys.stdin.read()
    if ctx.attempt == 1:
        raise OSError("the disk had a moment")
    return Trained(n=event.n + 1)
"""

SHORT = """
from trained import app
from triggers.aws.job import Job
job = Job.of(app, app.routes["train"])
job.hold = 1.0
job.carry_out()
"""


class Deployment:
    """An app in the emulation, with queues for the job's route and for what it emits."""

    def __init__(self, endpoint: str, name: str, folder: Path) -> None:
        (folder / "trained.py").write_text(CODE.format(name=name))
        self.app = App(name)
        self.aws = Emulated(self.app)
        self.url = self.aws.queue("train")
        self.aws.queue("deploy", Trained)
        role = f"arn:aws:iam::{ACCOUNT}:role/schedules"
        self.variables = {**os.environ, **environment(endpoint), "TRIGGERS_SCHEDULE_ROLE": role}
        self.folder = folder

    def send(self, body: str) -> None:
        self.aws.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def job(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "triggers", "exec", "trained.py", *options]
        return subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def left(self) -> int:
        """Return how many messages the route's queue has, those counted that are hidden."""
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.aws.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=wanted)["Attributes"]
        return sum(int(found[name]) for name in wanted)


@pytest.fixture
def deployment(endpoint: str, unique: str, tmp_path: Path) -> Deployment:
    return Deployment(endpoint, unique, tmp_path)


def test_a_job_sees_one_message_through_to_its_end_and_publishes_what_came_of_it(deployment: Deployment) -> None:
    deployment.send(on_the_bus(row(Processed(n=1))))
    done = deployment.job("--route", "train")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "train: done"
    [record] = deployment.aws.records()
    assert (record["state"], int(record["counted"]), record["published"]) == ("done", 2, True)
    [told] = deployment.aws.received("deploy")
    assert '"n":2' in told["body"].replace(" ", "").replace("\\", "")
    assert deployment.left == 0


def test_what_a_job_leaves_behind_that_is_killed_is_taken_up_by_the_next_one(deployment: Deployment) -> None:
    deployment.send(on_the_bus(row(Processed(n=99))))
    with subprocess.Popen(
        [sys.executable, "-c", SHORT],
        cwd=deployment.folder,
        env=deployment.variables,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "at work\n"
        first.kill()
    done = deployment.job("--route", "train")
    assert done.returncode == 0, done.stderr
    [record] = deployment.aws.records()
    assert (record["state"], int(record["counted"])) == ("done", 2)
    assert deployment.left == 0


@pytest.mark.parametrize(
    ("body", "state"), [(on_the_bus(row(Processed(n=13))), "dead"), ('{"specversion": "1.0"}', "rejected")]
)
def test_a_job_whose_run_is_dead_or_whose_message_is_no_event_fails(
    deployment: Deployment, body: str, state: str
) -> None:
    deployment.send(body)
    done = deployment.job("--route", "train")
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == f"train: {state}"
    assert [record["state"] for record in deployment.aws.records()] == [state]
    assert deployment.left == 0


def test_a_route_that_there_is_not_is_named(deployment: Deployment) -> None:
    done = deployment.job("--route", "trian")
    assert done.returncode == 3
    assert "has no route 'trian'; did you mean 'train'?" in done.stderr


# --- while a handler is at work


@pytest.fixture
def release() -> Iterator[Flag]:
    flag = Flag()
    yield flag
    flag.set()


def test_while_a_handler_is_at_work_its_message_and_its_run_are_nobody_elses(
    deployment: Deployment, release: Flag
) -> None:
    app, begun = App(deployment.app.name), Flag()

    @app.on(Processed)
    def train(event: Processed) -> None:
        begun.set()
        release.wait(30)

    def record() -> dict[str, Any]:
        [found] = deployment.aws.records()
        return found

    deployment.send(on_the_bus(row(Processed(n=1))))
    job = Job.of(app, app.routes["train"])
    job.hold = 1.0
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(job.carry_out)
        assert begun.wait(30)
        first = record()["lease"]
        others = deployment.aws.sqs.receive_message(QueueUrl=deployment.url, WaitTimeSeconds=3).get("Messages", [])
        assert others == []
        assert record()["lease"] > first
        release.set()
        assert work.result(30) == "done"
    assert deployment.left == 0


def test_a_queue_without_a_message_is_no_failure(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(deployment.app.name)
    app.on(Processed, name="train")(_take)
    monkeypatch.setattr("triggers.aws.job.WAIT", 1)
    assert Job.of(app, app.routes["train"]).carry_out(patience=0.0) is None
    assert names.queue(app.name, "train") in deployment.url


def _take(event: Processed) -> None: ...

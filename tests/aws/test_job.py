"""`triggers exec`, as Batch would run it, but here: a process that sees the messages of a route's queue through."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from tests.aws.deployed import on_the_bus, row
from tests.aws.test_serverless_moto import Emulated, Processed, Trained
from triggers import App, Bucket, Context, ObjectCreated, Retry
from triggers.aws import names, template
from triggers.aws.arrivals import Arrival
from triggers.aws.job import Job, Keeper, Line
from triggers.aws.records import Records
from triggers.aws.server import ACCOUNT, REGION, environment

CODE = """
import sys, time
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
@app.on(Trained, timeout=1)
def tune(event: Trained, ctx: Context) -> None:
    if event.n == 3:
        app.send(event)
    if event.n == 1 or ctx.attempt == 1:
        time.sleep(60)
"""

SHORT = """
from triggers.aws import job
from triggers.__main__ import main
job.HOLD, job.WAIT = 1.0, 1
main()
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
        return subprocess.run(
            self.command(*options),
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, *options: str) -> list[str]:
        """Return what runs `triggers exec` in less time."""
        return [sys.executable, "-c", SHORT, "exec", "trained.py", *options]

    @property
    def left(self) -> int:
        """Return how many messages the route's queue has, those counted that are hidden."""
        return self.aws.left(self.url)


@pytest.fixture
def deployment(endpoint: str, unique: str, tmp_path: Path) -> Deployment:
    return Deployment(endpoint, unique, tmp_path)


def test_a_job_sees_one_message_through_to_its_end_and_publishes_what_came_of_it(deployment: Deployment) -> None:
    deployment.send(on_the_bus(row(Processed(n=1))))
    done = deployment.job("--route", "train")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "train: 1 done"
    [record] = deployment.aws.records()
    assert (record["state"], int(record["counted"]), record["published"]) == ("done", 2, True)
    [told] = deployment.aws.received("deploy")
    assert '"n":2' in told["body"].replace(" ", "").replace("\\", "")
    assert deployment.left == 0


def test_what_a_job_leaves_behind_that_is_killed_is_taken_up_by_the_next_one(deployment: Deployment) -> None:
    deployment.send(on_the_bus(row(Processed(n=99))))
    with subprocess.Popen(
        deployment.command("--route", "train"),
        cwd=deployment.folder,
        env=deployment.variables,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "at work\n"
        first.kill()
    assert started_again(exit_code=128 - first.returncode, status_reason="Essential container in task exited")
    done = deployment.job("--route", "train")
    assert done.returncode == 0, done.stderr
    [record] = deployment.aws.records()
    assert (record["state"], int(record["counted"])) == ("done", 2)
    assert deployment.left == 0


@pytest.mark.parametrize(
    ("body", "state"), [(on_the_bus(row(Processed(n=13))), "dead"), ('{"specversion": "1.0"}', "rejected")]
)
def test_a_job_whose_run_is_dead_or_whose_message_is_no_event_fails_and_is_not_started_again(
    deployment: Deployment, body: str, state: str
) -> None:
    deployment.send(body)
    done = deployment.job("--route", "train")
    assert done.returncode == 6, done.stderr
    assert not started_again(exit_code=done.returncode, reason="", status_reason="Essential container in task exited")
    assert done.stderr.splitlines()[-1] == f"train: 1 {state}"
    assert [record["state"] for record in deployment.aws.records()] == [state]
    assert deployment.left == 0


def test_a_job_whose_machine_went_away_is_started_again() -> None:
    assert started_again(status_reason="Host EC2 (instance i-0abc) terminated.")
    assert started_again(exit_code=6, status_reason="Host EC2 (instance i-0abc) terminated.")


def test_a_job_that_does_not_reach_aws_leaves_its_message_and_is_started_again(deployment: Deployment) -> None:
    deployment.send(on_the_bus(row(Processed(n=1))))
    there = deployment.variables
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        deployment.variables = {**there, "AWS_ENDPOINT_URL": away, "AWS_MAX_ATTEMPTS": "1"}
        failed = deployment.job("--route", "train")
    assert (failed.returncode, deployment.left) == (1, 1), failed.stderr
    assert started_again(exit_code=failed.returncode, status_reason="Essential container in task exited")


@pytest.mark.parametrize(("attempts", "starts"), [(1, 3), (2, 3), (5, 6), (9, 10), (50, 10)])
def test_a_job_is_started_once_more_than_its_handler_may_end_the_process(attempts: int, starts: int) -> None:
    assert strategy(retry=Retry(attempts=attempts))["Attempts"] == starts


def strategy(**policy: Any) -> dict[str, Any]:
    """Return what the template has Batch do with a job that failed."""
    app = App("churn")
    app.on(Processed, name="train", needs={"gpu": 1}, **policy)(_take)
    made = template.render(app, "app:app", {})["Resources"]["TrainJob"]["Properties"]
    found: dict[str, Any] = made["RetryStrategy"]
    return found


def started_again(**ended: object) -> bool:
    """Say whether Batch starts a job again, by the rules of `EvaluateOnExit` in its API reference.

    The first entry counts of which all conditions fit, and a job is started again where none does. A pattern is a text
    that may end in `*`.
    """
    told = {"OnExitCode": "exit_code", "OnReason": "reason", "OnStatusReason": "status_reason"}
    for entry in strategy()["EvaluateOnExit"]:
        asked = {told[name]: pattern for name, pattern in entry.items() if name != "Action"}
        if all(fnmatchcase(str(ended.get(name, "")), pattern) for name, pattern in asked.items()):
            return bool(entry["Action"] == "RETRY")
    return True


def test_a_route_that_there_is_not_is_named(deployment: Deployment) -> None:
    done = deployment.job("--route", "trian")
    assert done.returncode == 3
    assert "has no route 'trian'; did you mean 'train'?" in done.stderr


# --- what is left


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a job keep messages for a second, and wait for them so long."""
    monkeypatch.setattr("triggers.aws.job.HOLD", 1.0)
    monkeypatch.setattr("triggers.aws.job.WAIT", 1)


def carry_out(app: App) -> dict[str, int]:
    return dict(Job.of(app, app.routes["train"]).carry_out())


@pytest.mark.usefixtures("short")
def test_a_job_stays_for_what_it_put_off_though_it_ends_another_message_meanwhile(deployment: Deployment) -> None:
    app, called = App(deployment.app.name, retry=Retry(on=OSError, initial=3, jitter=False)), list[int]()

    @app.on(Processed)
    def train(event: Processed, ctx: Context) -> None:
        called.append(event.n)
        if event.n == 1 and ctx.attempt == 1:
            raise OSError("the disk had a moment")

    for n in (1, 2):
        deployment.send(on_the_bus(row(Processed(n=n), f"{n}")))
    assert carry_out(app) == {"done": 2}
    assert called == [1, 2, 1]
    assert deployment.left == 0


@pytest.mark.usefixtures("short")
def test_a_job_takes_what_came_to_its_ordered_queue_while_it_was_at_work(deployment: Deployment) -> None:
    app, sqs = App(deployment.app.name), deployment.aws.sqs
    ordered = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    name = names.queue(app.name, "train", fifo=True)
    url = sqs.create_queue(QueueName=name, Attributes=ordered)["QueueUrl"]

    def send(n: int) -> None:
        sqs.send_message(QueueUrl=url, MessageBody=on_the_bus(row(Processed(n=n), f"{n}")), MessageGroupId="all")

    @app.on(Processed, concurrency=1)
    def train(event: Processed) -> None:
        if event.n == 1:
            send(2)

    send(1)
    assert carry_out(app) == {"done": 2}
    assert deployment.aws.left(url) == 0


@pytest.mark.usefixtures("short")
def test_a_job_that_was_given_a_duplicate_takes_the_next_message_too(deployment: Deployment) -> None:
    app, called = App(deployment.app.name), list[int]()

    @app.on(Processed)
    def train(event: Processed) -> None:
        called.append(event.n)

    once, next_one = (on_the_bus(row(Processed(n=n), f"{n}")) for n in (1, 2))
    deployment.send(once)
    assert carry_out(app) == {"done": 1}
    deployment.send(once)
    deployment.send(next_one)
    assert carry_out(app) == {"done": 2}
    assert called == [1, 2]
    assert deployment.left == 0


@pytest.mark.usefixtures("short")
def test_what_of_a_message_can_be_no_event_keeps_a_job_from_nothing_else_in_it(deployment: Deployment) -> None:
    app, called = App(deployment.app.name, sources=[Bucket("s3://acme", name="incoming")]), list[str]()

    @app.on(ObjectCreated)
    def train(event: ObjectCreated) -> None:
        called.append(event.key)

    made = {"eventVersion": "2.3", "eventSource": "aws:s3", "eventTime": "2027-01-15T08:00:00.000Z"}
    named = {**made, "eventName": "ObjectCreated:Put"}
    thing = {"key": "a.csv", "size": 1, "eTag": "abc"}
    told = [{**named, "s3": {"bucket": {"name": name}, "object": thing}} for name in ("foreign", "acme")]
    deployment.send(json.dumps({"Records": told}))
    assert carry_out(app) == {"rejected": 1}
    assert (called, deployment.left) == (["a.csv"], 0)
    assert sorted(record["state"] for record in deployment.aws.records()) == ["done", "rejected"]


@pytest.mark.usefixtures("short")
def test_a_message_that_could_not_be_deleted_is_taken_again_and_deleted(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, called, tried, delete = App(deployment.app.name), list[int](), list[str](), Line.delete

    @app.on(Processed)
    def train(event: Processed) -> None:
        called.append(event.n)

    def late(line: Line, handle: str) -> None:
        tried.append(handle)
        delete(line, handle if len(tried) > 1 else "of another receipt")

    monkeypatch.setattr(Line, "delete", late)
    deployment.send(on_the_bus(row(Processed(n=1))))
    assert carry_out(app) == {"done": 1}
    assert (called, len(tried), deployment.left) == ([1], 2, 0)


@pytest.mark.usefixtures("short")
def test_a_job_that_was_started_again_waits_for_what_it_had_before(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App(deployment.app.name)
    app.on(Processed, name="train")(_take)
    monkeypatch.setattr("triggers.aws.job.HOLD", 2.0)
    monkeypatch.setenv("AWS_BATCH_JOB_ATTEMPT", "2")
    deployment.send(on_the_bus(row(Processed(n=1), "1")))
    deployment.aws.sqs.receive_message(QueueUrl=deployment.url, VisibilityTimeout=3)
    deployment.send(on_the_bus(row(Processed(n=2), "2")))
    assert carry_out(app) == {"done": 2}


@pytest.mark.usefixtures("short")
def test_what_a_job_put_off_is_hidden_as_long_as_the_job_is_there(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.aws.job.HOLD", 3.0)  # for two of which the machine may stand still
    deployment.send("x")
    sqs, arn = deployment.aws.sqs, f"arn:aws:sqs:{REGION}:{ACCOUNT}:train"
    line = Line(sqs, deployment.url, arn)
    taken = line.take(3.0)
    assert taken
    arrival = Arrival(taken["messageId"], "x", "train", handle=taken["receiptHandle"])
    with Keeper(line, Records(deployment.aws.clients["dynamodb"], "none", 30), "me") as keeper:
        keeper.put_off(arrival, time.time() + 3600)
        for _ in range(4):
            assert line.take(1.0) is None
    assert any(line.take(1.0) for _ in range(10))


# --- while a handler is at work


@pytest.fixture
def release() -> Iterator[Flag]:
    flag = Flag()
    yield flag
    flag.set()


@pytest.mark.usefixtures("short")
def test_while_a_handler_is_at_work_its_message_and_its_run_are_nobody_elses(
    deployment: Deployment, release: Flag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.aws.job.HOLD", 3.0)  # for two of which the machine may stand still
    app, begun = App(deployment.app.name), Flag()

    @app.on(Processed)
    def train(event: Processed) -> None:
        begun.set()
        release.wait(30)

    def record() -> dict[str, Any]:
        [found] = deployment.aws.records()
        return found

    deployment.send(on_the_bus(row(Processed(n=1))))
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(carry_out, app)
        assert begun.wait(30)
        first = record()["lease"]
        others = deployment.aws.sqs.receive_message(QueueUrl=deployment.url, WaitTimeSeconds=4).get("Messages", [])
        assert others == []
        assert record()["lease"] > first
        release.set()
        assert work.result(30) == {"done": 1}
    assert deployment.left == 0


@pytest.mark.usefixtures("short")
def test_a_run_stays_its_jobs_where_its_message_cannot_be_kept(deployment: Deployment) -> None:
    app, leases = App(deployment.app.name), list[Any]()

    @app.on(Processed)
    def train(event: Processed) -> None:
        deployment.aws.sqs.purge_queue(QueueUrl=deployment.url)
        until = time.monotonic() + 30
        while len(set(leases)) < 2 and time.monotonic() < until:
            leases.append(deployment.aws.records()[0]["lease"])

    deployment.send(on_the_bus(row(Processed(n=1))))
    assert carry_out(app) == {"done": 1}
    assert leases[0] < leases[-1]


def test_a_handler_that_takes_too_long_is_ended_and_has_its_other_attempts(deployment: Deployment) -> None:
    url = deployment.aws.queue("tune")
    for n in (1, 2):
        deployment.aws.sqs.send_message(QueueUrl=url, MessageBody=on_the_bus(row(Trained(n=n), f"{n}")))
    ended = deployment.job("--route", "tune")
    assert sorted(ended.stderr.splitlines()[-1].removeprefix("tune: ").split(", ")) == ["1 dead", "1 done"]
    records = {record["state"]: record for record in deployment.aws.records()}
    assert [int(records[state]["counted"]) for state in ("dead", "done")] == [3, 2]
    assert records["dead"]["error"] == "HandlerError: handler 'tune' ran out of time: timeout=1 s"
    assert deployment.aws.left(url) == 0


def test_sending_in_a_job_is_refused_in_the_process_of_its_handler_too(deployment: Deployment) -> None:
    url = deployment.aws.queue("tune")
    deployment.aws.sqs.send_message(QueueUrl=url, MessageBody=on_the_bus(row(Trained(n=3))))
    assert deployment.job("--route", "tune").returncode == 6
    [record] = deployment.aws.records()
    assert "send() in the job of route 'tune' would write into a state folder" in record["error"]
    assert not (deployment.folder / ".triggers").exists()


@pytest.mark.usefixtures("short")
def test_a_coroutine_has_all_its_time(deployment: Deployment) -> None:
    app = App(deployment.app.name, retry=Retry(attempts=1))

    @app.on(Processed, timeout=1.5)
    async def train(event: Processed) -> None:
        await asyncio.sleep(0.2 if event.n == 1 else 60)

    for n in (1, 2):
        deployment.send(on_the_bus(row(Processed(n=n), f"{n}")))
    assert carry_out(app) == {"done": 1, "dead": 1}
    [error] = [record["error"] for record in deployment.aws.records() if record["state"] == "dead"]
    assert error == "HandlerError: handler 'train' ran out of time: timeout=1.5 s"


@pytest.mark.usefixtures("short")
def test_a_queue_without_a_message_is_no_failure(deployment: Deployment) -> None:
    app = App(deployment.app.name)
    app.on(Processed, name="train")(_take)
    assert carry_out(app) == {}
    assert names.queue(app.name, "train") in deployment.url


def test_a_job_needs_nothing_of_what_runs_functions_here() -> None:
    asked = "import sys, triggers.aws.job; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert not {f"triggers.aws.{name}" for name in ("mapping", "runtime", "environment")} & {*done.stdout.split()}


def _take(event: Processed) -> None: ...

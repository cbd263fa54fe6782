"""A deployment that is killed between any two of its changes: deploying again completes it, destroying removes all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from tests.aws.memory import Killed
from tests.aws.test_deployment import app_of, quiet, rollout
from triggers.aws import names
from triggers.aws.account import Account, CodeBucket
from triggers.aws.removal import Removal
from triggers.aws.server import ACCOUNT
from triggers.aws.stack import Stack

DEPLOYED = ["PutObject", "PutObject", "CreateStack", "PutBucketNotificationConfiguration", "PutItem"]
"""What a first deployment changes: the zip, the template, the stack, who is told of objects, the declaration."""
CHANGED = ["PutObject", "PutObject", "UpdateStack", "PutBucketNotificationConfiguration", "PutItem"]
CHANGES = ("Create", "Delete", "Put", "Update")


class Life:
    """A process that makes so many changes and is killed before the next one; none if no number is given."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.made: list[str] = []

    def begin(self, left: int | None = None) -> None:
        self.left, self.made = left, []

    def change(self, operation: str) -> None:
        if self.left is not None and len(self.made) == self.left:
            raise Killed
        self.made.append(operation)


@pytest.fixture
def life(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Return the life of the process, which ends at a call of any client."""
    made, call = Life(), BaseClient._make_api_call

    def called(client: Any, operation: str, arguments: Any) -> Any:
        if operation.startswith(CHANGES):
            made.change(operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", called)
    return made


class Site:
    """An app of a name of its own, and the buckets that it needs."""

    def __init__(self, name: str, zipped: Path) -> None:
        self.name, self._zipped = name, zipped
        for bucket in (name, f"{name}-code"):
            boto3.client("s3").create_bucket(Bucket=bucket)

    def deploy(self, timeout: float = 30) -> bool:
        """Deploy as a new process does; return whether anything of the stack or its parameters was to be changed."""
        app = app_of(self.name, folder=True, timeout=timeout)
        found = rollout(app, self._zipped, self.name, code_bucket=f"{self.name}-code")
        found.carry_out(quiet)
        return bool(found.changes or found.edits)

    def destroy(self) -> None:
        if removal := Removal.prepare(Stack(self.name)):
            removal.carry_out(quiet)

    def whole(self, timeout: int = 30) -> bool:
        """Say whether all of the app is there: its functions, and its declaration beside its run records."""
        found = boto3.client("lambda").get_function(FunctionName=names.function(self.name, "train"))["Configuration"]
        table, key = names.table(self.name), {"run": {"S": "app"}, "part": {"S": self.name}}
        declared = boto3.client("dynamodb").get_item(TableName=table, Key=key)
        return found["Timeout"] == timeout + 5 and "Item" in declared

    def left(self) -> list[str]:
        """Return what AWS still has of the app, but its buckets."""
        return [one for one in _all() if self.name in one]


def _all() -> Iterator[str]:
    """Yield the names of all that there is, of every kind that a stack has."""
    yield from _listed("sqs", "list_queues", "QueueUrls")
    yield from _listed("dynamodb", "list_tables", "TableNames")
    yield from _listed("lambda", "list_functions", "Functions", "FunctionName")
    yield from _listed("lambda", "list_event_source_mappings", "EventSourceMappings", "EventSourceArn")
    yield from _listed("events", "list_event_buses", "EventBuses", "Name")
    yield from _listed("events", "list_rules", "Rules", "Name")
    yield from _listed("logs", "describe_log_groups", "logGroups", "logGroupName")
    yield from _listed("iam", "list_roles", "Roles", "RoleName")
    yield from _listed("scheduler", "list_schedule_groups", "ScheduleGroups", "Name")
    yield from _listed("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName")
    yield from _listed("cloudformation", "describe_stacks", "Stacks", "StackName")


def _listed(service: str, operation: str, field: str, name: str | None = None) -> Iterator[str]:
    client = boto3.client(service)
    pages = client.get_paginator(operation).paginate() if client.can_paginate(operation) else [_call(client, operation)]
    for page in pages:
        yield from (one if name is None else one[name] for one in page.get(field, ()))


def _call(client: Any, operation: str) -> Any:
    return getattr(client, operation)()


@pytest.fixture
def site(life: Life, unique: str, zipped: Path) -> Site:
    made = Site(unique, zipped)
    life.begin()
    return made


@pytest.fixture
def zipped(tmp_path: Path, unique: str) -> Path:
    """Return a zip that no other test has."""
    file = tmp_path / "functions.zip"
    file.write_bytes(unique.encode())
    return file


def killed(life: Life, after: int, work: Callable[[], object]) -> None:
    life.begin(after)
    with pytest.raises(Killed):
        work()
    life.begin()


def test_the_kills_reach_every_change(life: Life, site: Site) -> None:
    site.deploy()
    assert life.made == DEPLOYED
    life.begin()
    site.deploy(timeout=60)
    assert life.made == CHANGED[1:]  # the zip is the same


@pytest.mark.parametrize("after", range(len(DEPLOYED)))
def test_a_first_deployment_that_was_killed_is_completed_by_the_next_and_destroyed_whole(
    life: Life, site: Site, after: int
) -> None:
    killed(life, after, site.deploy)
    site.deploy()
    assert "PutBucketNotificationConfiguration" in DEPLOYED[:after] + life.made
    assert site.whole()
    assert site.deploy() is False
    killed(life, 0, site.destroy)
    site.destroy()
    assert site.left() == []


@pytest.mark.parametrize("after", range(1, len(DEPLOYED)))
def test_what_a_killed_deployment_has_made_is_destroyed_whole(life: Life, site: Site, after: int) -> None:
    killed(life, after, site.deploy)
    site.destroy()
    assert site.left() == []


@pytest.mark.parametrize("after", range(1, len(CHANGED) - 1))
def test_a_change_that_was_killed_is_completed_by_the_next_deployment(life: Life, site: Site, after: int) -> None:
    site.deploy()
    killed(life, after, lambda: site.deploy(timeout=60))
    site.deploy(timeout=60)
    assert site.whole(timeout=60)
    assert life.made[-1] == "PutItem"
    assert site.deploy(timeout=60) is False


@pytest.mark.parametrize("after", [1, 2])
def test_a_code_bucket_is_closed_to_the_public_though_who_made_it_was_killed(
    life: Life, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    region = ("ap-south-1", "ap-south-2")[after - 1]
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    s3 = boto3.client("s3")

    def put() -> None:
        bucket = CodeBucket(Account(ACCOUNT, region), s3)
        bucket.check()
        bucket.put("a/1.zip", b"1")

    killed(life, after, put)
    put()
    name = f"triggers-code-{ACCOUNT}-{region}"
    closed = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    assert s3.head_object(Bucket=name, Key="a/1.zip")["ContentLength"] == 1
    life.begin()
    put()
    assert life.made == []

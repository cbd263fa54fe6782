"""What is public, and what it costs to import it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import triggers

HEAVY = {"boto3", "botocore", "aiobotocore", "moto", "watchdog", "apsw", "asyncio", "pydantic"}
FOR_OTHERS = {"asyncio", "watchdog", "apsw", "tenacity", "rich", "click"}

DOCUMENTED = {
    "Adaptive", "All", "App", "Batch", "BatchFailure", "Breaker", "Bucket", "Conflict", "Context", "Debounce",
    "Downstream", "Event", "Folder", "Join", "Later", "MessageReceived", "Missing", "ObjectCreated", "ObjectDeleted",
    "Place", "Pressure", "Prices", "Queue", "Rate", "Reject", "Retry", "RunFailed", "Tick", "TriggersError", "Window",
    "above",
    "any_of", "anything_but", "at", "below", "between", "cidr", "cron", "equals_ignore_case", "every", "exists",
    "prefix", "suffix", "wildcard",
}  # fmt: skip


ENTRY = {
    "triggers", "triggers.app", "triggers.attempt", "triggers.aws", "triggers.aws.arrivals",
    "triggers.aws.bus", "triggers.aws.handback", "triggers.aws.items", "triggers.aws.logs",
    "triggers.aws.messages", "triggers.aws.names", "triggers.aws.records", "triggers.aws.refusals",
    "triggers.aws.runs", "triggers.aws.serverless", "triggers.aws.wire", "triggers.binding", "triggers.checkpoints",
    "triggers.cloudevents", "triggers.content", "triggers.context", "triggers.copies", "triggers.emission",
    "triggers.errors", "triggers.events", "triggers.given", "triggers.limits", "triggers.lineage", "triggers.options",
    "triggers.places", "triggers.quantities", "triggers.relocation", "triggers.resource", "triggers.retry",
    "triggers.routing", "triggers.secrecy", "triggers.signature", "triggers.sources", "triggers.sources.bucket",
    "triggers.sources.folder", "triggers.sources.queue", "triggers.spans",
}  # fmt: skip
"""What of ours a function waits for whose routes are plain: each module more is a part of a millisecond more."""
BESIDE = {"_json", "atexit", "fcntl", "json", "logging", "traceback"}
"""What of Python's own it waits for besides, beyond what pydantic has loaded."""

FUNCTION = """
import sys
from pydantic import BaseModel
class Made(BaseModel):
    n: int
there = set(sys.modules)
import triggers.aws.serverless
from triggers import App, Event
class Trained(Event):
    n: int
app = App("churn")
@app.on(Trained)
def take(event: Trained) -> None: ...
print(*set(sys.modules) - there)
"""


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after it ran `code`."""
    report = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_public_names_are_the_documented_ones() -> None:
    assert set(triggers.__all__) == DOCUMENTED
    assert triggers.__all__ == sorted(triggers.__all__)


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    assert getattr(triggers, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Ap'"):
        triggers.Ap  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import triggers") & HEAVY


def test_declaring_an_app_loads_neither_the_loop_nor_the_journal() -> None:
    assert not loaded_by("from triggers import App, Bucket, Event, Folder") & FOR_OTHERS


def test_a_declared_app_with_every_kind_of_policy_loads_neither_the_loop_nor_the_journal() -> None:
    code = """
from triggers import App, Event, Folder, ObjectCreated, Retry, cron, suffix
app = App("a", sources=[Folder("in", name="in")])
@app.on(ObjectCreated, where={"key": suffix(".csv")}, retry=Retry(attempts=3), timeout=5, needs={"cpu": 1})
def handler(event: ObjectCreated) -> None: ...
@app.on(cron("@daily"))
def daily(event): ...
"""
    assert not loaded_by(code) & FOR_OTHERS


def test_a_function_with_plain_routes_loads_nothing_of_what_others_use() -> None:
    done = subprocess.run([sys.executable, "-c", FUNCTION], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.split(".")[0] == "triggers"}
    assert ours == ENTRY
    assert {name.split(".")[0] for name in loaded - ours} <= BESIDE

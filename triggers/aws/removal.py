"""Destroying a deployed app: what goes with it, told before it does, and what stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from triggers.aws import names
from triggers.aws.account import Account
from triggers.aws.attributes import messages_in
from triggers.aws.clients import client
from triggers.aws.refusals import explained
from triggers.aws.stack import Live, Stack, Told
from triggers.errors import TriggersError

STATES: Final = ("running", "waiting", "done", "dead", "dropped", "rejected")
"""The states of run records."""


class Counted(NamedTuple):
    """How many there are. `more`: there are more, which nobody has counted."""

    number: int
    more: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """An app that can be destroyed, by what it consists of in AWS."""

    stack: Stack
    live: Live
    account: Account
    resources: Sequence[tuple[str, str]]
    """Types and physical IDs."""
    runs: Mapping[str, Counted]
    """Run records that go, by their states."""
    messages: Mapping[str, int]
    """Messages that go, by the names of their queues."""
    uncounted: Sequence[str]
    """Why some of them could not be counted."""
    buckets: Sequence[str]
    """Buckets that stay, with their objects, and go on to tell EventBridge."""
    code: str | None
    """Where the zip of the functions stays."""

    @classmethod
    def prepare(cls, stack: Stack) -> Removal | None:
        """Look at what is there, and change nothing; return None where the app is not deployed.

        Raises `WiringError` where its stack is none of ours, or somebody is changing it.
        """
        if (live := stack.look()) is None:
            return None
        stack.check_idle(live)
        planned = live.status == "REVIEW_IN_PROGRESS"  # there is neither a template nor a resource yet
        told = {} if planned else stack.template()["Metadata"]["Triggers"]
        resources = [] if planned else stack.resources()
        kinds = {kind for kind, _ in resources}
        uncounted: list[str] = []
        lies = [live.parameters.get(name) for name in ("CodeBucket", "CodeKey")]
        return cls(
            stack,
            live,
            Account.here(stack.region),
            resources,
            _runs(stack.app, uncounted) if "AWS::DynamoDB::Table" in kinds else {},
            _messages([id for kind, id in resources if kind == "AWS::SQS::Queue"], uncounted),
            uncounted,
            told.get("BucketsToEventBridge", []),
            f"s3://{lies[0]}/{lies[1]}" if all(lies) else None,
        )

    def carry_out(self, told: Told) -> None:
        """Destroy it; `told` hears of each step. Raises `TriggersError` that names what cannot be deleted."""
        self.stack.delete(self.live, told)


@contextmanager
def _counting(thing: str, uncounted: list[str]) -> Iterator[None]:
    """Count something, or say in the list why that was not possible: it need not keep an app from being destroyed."""
    try:
        with explained(thing):
            yield
    except TriggersError as error:
        uncounted.append(str(error))


def _runs(app: str, uncounted: list[str]) -> dict[str, Counted]:
    """Return how many run records there are by their states, of each as many as one request counts."""
    table = names.table(app)
    found: dict[str, Counted] = {}
    with _counting(f"run table {table!r} of app {app!r}", uncounted):
        dynamodb = client("dynamodb")
        for state in STATES:
            page = dynamodb.query(
                TableName=table,
                IndexName="by-state",
                Select="COUNT",
                KeyConditionExpression="#state = :state",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":state": {"S": state}},
            )
            found[state] = Counted(page["Count"], "LastEvaluatedKey" in page)
    return {state: counted for state, counted in found.items() if counted.number}


def _messages(urls: Sequence[str], uncounted: list[str]) -> dict[str, int]:
    sqs: Any = client("sqs")
    found: dict[str, int] = {}
    for url in urls:
        name = url.rpartition("/")[2]
        with _counting(f"queue {name!r}", uncounted):
            found[name] = messages_in(sqs, url)
    return {name: number for name, number in found.items() if number}


__all__ = ["Counted", "Removal"]

"""What a function or a job may do: what its routes declare, and nothing else.

No statement has a `*` for an action or for a whole resource. A star stands where keys, log streams or names of
delayed runs do, below a name of ours or a prefix that is bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from triggers.aws import names
from triggers.aws.template.locations import Location
from triggers.aws.template.references import Json, arn, arn_of, policy, s3_arn
from triggers.aws.template.schedules import ROLE

TABLE = "Runs"


@dataclass(frozen=True, slots=True)
class Reach:
    """What the handlers of a function read and write beyond their events, and where their objects come from."""

    reads: frozenset[Location]
    writes: frozenset[Location]

    def __or__(self, other: Reach) -> Reach:
        """Return what either may do."""
        return Reach(self.reads | other.reads, self.writes | other.writes)


def role(service: str, trusted: Json, statements: Iterable[Json]) -> Json:
    """Return a role that a service takes for our account, under the condition."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": trusted,
    }
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": policy(trust),
            "Policies": [{"PolicyName": "work", "PolicyDocument": policy(*statements)}],
        },
    }


def statements(app: str, queues: Sequence[Json], reach: Reach, *, delays: bool) -> Iterator[Json]:
    """Yield what a handler's function may do. `queues` feed it; `delays`: it may have runs sent later."""
    yield allow(
        "Receive",
        ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
        *queues,
    )
    yield allow("Record", ["dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"], arn_of(TABLE))
    yield allow("Emit", ["events:PutEvents"], arn("events", f"event-bus/{names.bus(app)}"))
    if delays:
        yield from _delaying(app)
    yield from objects(reach)


def logging(group: str) -> Json:
    """Return the statement by which a function writes to its own log group, by the group's name."""
    return allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], arn("logs", f"log-group:{group}:log-stream:*"))


def _delaying(app: str) -> Iterator[Json]:
    """Yield what it takes to put a run back for longer than a queue holds it: a schedule of one firing."""
    yield allow("Delay", ["scheduler:CreateSchedule"], arn("scheduler", f"schedule/{names.schedules(app)}/*"))
    yield {
        **allow("DelayAs", ["iam:PassRole"], arn_of(ROLE)),
        "Condition": {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
    }


def objects(reach: Reach) -> Iterator[Json]:
    """Yield what it takes to read, list and write objects."""
    readable = _sorted(reach.reads | reach.writes)
    if readable:
        found = [place.objects for place in readable]
        yield allow("Read", ["s3:GetObject", "s3:GetObjectVersion"], *found)
    for number, bucket in enumerate(sorted({place.bucket for place in readable}), 1):
        below = [place.prefix for place in readable if place.bucket == bucket]
        listing = allow(f"List{number}", ["s3:ListBucket"], s3_arn(bucket))
        if "" not in below:
            listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in below]}}
        yield listing
    if written := _sorted(reach.writes):
        yield allow("Write", ["s3:PutObject", "s3:AbortMultipartUpload"], *(place.objects for place in written))


def allow(sid: str, actions: list[str], *resources: Json) -> Json:
    """Return the statement that allows actions on resources."""
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _sorted(places: Iterable[Location]) -> list[Location]:
    return sorted(places, key=lambda place: (place.bucket, place.prefix))

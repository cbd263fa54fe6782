"""What a dispatcher may do in AWS: hear of its buckets, receive from its queues, and reach what its routes declare.

It is written as managed policies, which are attached to the role or the user that the dispatcher runs as. No statement
has a `*` for an action or for a whole resource; a star stands for keys below a bound prefix.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from triggers.app import App
from triggers.aws import names
from triggers.aws.template.locations import Location
from triggers.aws.template.permissions import Reach, allow, objects
from triggers.aws.template.plan import queue_arn
from triggers.aws.template.references import Json, Resources, arn, policy, s3_arn
from triggers.sources.bucket import Bucket
from triggers.sources.queue import Queue

LONGEST: Final = 6_144
"""Characters that a managed policy may have."""
TOGETHER: Final = 20
"""Queues in one statement, at most: far fewer than a policy has room for."""

_RECEIVING: Final = [
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
]
_ASKING: Final = ["sqs:GetQueueAttributes"]
"""Of the user's own queues: whether they have dead letters, as `doctor` tells, and hide messages, as a drain does."""


def policies(app: App, places: Mapping[str, Location]) -> Resources:
    """Return the policies by their logical names: one, or as many as it takes where it would be too long."""
    sources = {name: place for name, place in places.items() if name in app.sources}
    statements = [*_receiving(app, sources), *_listing(sources.values()), *objects(_reach(app, places, sources))]
    return {
        f"Dispatcher{number if number > 1 else ''}": _policy(app, part)
        for number, part in enumerate(_packed(statements), 1)
    }


def _policy(app: App, statements: Iterable[Json]) -> Json:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": f"What a dispatcher of the app {app.name} may do",
            "PolicyDocument": policy(*statements),
        },
    }


def _receiving(app: App, sources: Mapping[str, Location]) -> Iterator[Json]:
    """Yield by which the dispatcher receives from the queues of its buckets, and from those of the user's own."""
    heard = [name for name, source in app.sources.items() if name in sources or isinstance(source, Queue)]
    yield from _on_queues("Receive", _RECEIVING, [_queue_of(app, name) for name in heard])
    yield from _on_queues("Ask", _ASKING, [_queue_of(app, name) for name in heard if _is_own(app.sources[name])])


def _on_queues(sid: str, actions: list[str], queues: Sequence[Json]) -> Iterator[Json]:
    for number, first in enumerate(range(0, len(queues), TOGETHER), 1):
        yield allow(f"{sid}{number}", actions, *queues[first : first + TOGETHER])


def _queue_of(app: App, name: str) -> Json:
    """Return the ARN of the queue by which a source is heard of."""
    source = app.sources[name]
    if isinstance(source, Queue):
        return queue_arn(source)
    if isinstance(source, Bucket) and source.queue is not None:
        url = source.queue if "://" in source.queue else None
        return queue_arn(Queue(source.queue.rstrip("/").rpartition("/")[2], url=url))
    return arn("sqs", names.source_queue(app.name, name))


def _is_own(source: object) -> bool:
    """Say whether a source is heard of by a queue of the user's own."""
    return isinstance(source, Queue) or (isinstance(source, Bucket) and source.queue is not None)


def _listing(sources: Iterable[Location]) -> Iterator[Json]:
    """Yield by which buckets are compared with what was told of them; `objects` has how they are listed."""
    heard = list(sources)
    for number, bucket in enumerate(sorted({place.bucket for place in heard}), 1):
        below = sorted(place.prefix for place in heard if place.bucket == bucket)
        versions = allow(f"Versions{number}", ["s3:ListBucketVersions"], s3_arn(bucket))
        if "" not in below:
            versions["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in below]}}
        yield versions
        yield allow(f"Versioning{number}", ["s3:GetBucketVersioning"], s3_arn(bucket))


def _reach(app: App, places: Mapping[str, Location], sources: Mapping[str, Location]) -> Reach:
    """Return what the routes declare, and the objects of which is told."""
    declared = [route.policy for route in app.routes.values()]
    reads = {places[name] for policy in declared for name in policy.reads if name in places}
    writes = {places[name] for policy in declared for name in policy.writes if name in places}
    return Reach(frozenset(reads | set(sources.values())), frozenset(writes))


def _packed(statements: Iterable[Json]) -> list[list[Json]]:
    """Return the statements in policies that are short enough, in their order."""
    packed: list[list[Json]] = []
    for statement in statements:
        if not packed or len(json.dumps(policy(*packed[-1], statement))) > LONGEST:
            packed.append([])
        packed[-1].append(statement)
    return packed

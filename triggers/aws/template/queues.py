"""Queues: one for each route, its dead letters, who may send to it, and the mapping from it to a function.

What a queue and a mapping promise each other holds for whatever is made here, because both are made from one `Size`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from triggers.aws import names
from triggers.aws.attributes import RECEIVES, hidden_for
from triggers.aws.template.fit import Size
from triggers.aws.template.references import Json, Resources, arn_of, from_account, logical, policy, ref
from triggers.routing import Route

RETENTION: Final = 1_209_600
"""Seconds, 14 days: the longest."""


def queue(app: str, route: Route, more: Json) -> Resources:
    """Return a route's queue and the queue of its dead letters. `more` it has for what takes its messages."""
    name, dead = names.queue_of(app, route), logical(route.name, "DeadLetters")
    redrive = {"RedrivePolicy": {"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": RECEIVES}}
    return {
        logical(route.name, "Queue"): plain_queue(name, more | redrive),
        dead: plain_queue(names.dead_letters(name)),
    }


def for_function(size: Size) -> Json:
    """Return what the queue of a function has: for how many seconds a message that was taken is not given to others."""
    return {"VisibilityTimeout": hidden_for(size.timeout)}


def plain_queue(name: str, more: Json | None = None) -> Json:
    """Return a queue, an ordered one where it is called so."""
    properties: Json = {"QueueName": name}
    if name.endswith(names.FIFO):
        properties |= {"FifoQueue": True, "ContentBasedDeduplication": True}
    properties |= {"MessageRetentionPeriod": RETENTION, "SqsManagedSseEnabled": True, **(more or {})}
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": properties,
    }


def access(queue_name: str, rules: Sequence[str]) -> Json:
    """Return the policy of a queue by which the rules, by their logical names, may send to it."""
    statement: Json = {
        "Sid": "Rules",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn_of(queue_name),
        "Condition": from_account(source=[arn_of(rule) for rule in rules]),
    }
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {"Queues": [ref(queue_name)], "PolicyDocument": policy(statement)},
    }


def target(route: Route) -> Json:
    """Return a route's queue as the target of a rule or of a schedule. One message group keeps all in order."""
    found: Json = {"Arn": arn_of(logical(route.name, "Queue"))}
    if group := names.group_of(route):
        found["SqsParameters"] = {"MessageGroupId": group}
    return found


def mapping(function: str, source: Json, batch: int, concurrency: int | None = None, *, ordered: bool) -> Json:
    """Return what feeds a function from a queue, an `ordered` one or not. A `concurrency` of 1 is the FIFO queue's own.

    No message waits for others that may come after it: handlers take one event at a time, so that a window would save
    invocations only, and what it holds up it would count against the visibility of the queue. FIFO queues take none.
    """
    properties: Json = {
        "EventSourceArn": source,
        "FunctionName": ref(function),
        "BatchSize": batch,
        **({} if ordered else {"MaximumBatchingWindowInSeconds": 0}),
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    if concurrency is not None and concurrency > 1:
        properties["ScalingConfig"] = {"MaximumConcurrency": concurrency}
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}

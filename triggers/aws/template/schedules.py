"""Schedules: a timer's firings as messages in the queues of the routes that take them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from triggers.aws import names
from triggers.aws.template import queues
from triggers.aws.template.expressions import Timing
from triggers.aws.template.references import Json, Resources, arn, arn_of, from_account, logical, policy, ref
from triggers.aws.template.rules import UNDELIVERED
from triggers.events import Tick
from triggers.routing import Route
from triggers.sources.timer import NAME

GROUP: Final = "Schedules"
ROLE: Final = "Scheduling"
DUE: Final = "<aws.scheduler.scheduled-time>"
"""What Scheduler replaces by the instant that is due."""


def group(app: str) -> Json:
    """Return the group of an app's schedules, by which their role knows them."""
    return {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": names.schedules(app)}}


def role(app: str, allowed: Sequence[Json]) -> Json:
    """Return the role in which schedules of the group send to the queues."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": from_account(source=arn("scheduler", f"schedule-group/{names.schedules(app)}")),
    }
    properties: Json = {"AssumeRolePolicyDocument": policy(trust)}
    properties["Policies"] = [{"PolicyName": "send", "PolicyDocument": policy(*allowed)}]
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def may_send(routes: Sequence[Route]) -> Json:
    """Return the statement by which the role sends to the routes' queues, and to the one of what cannot be sent."""
    to = [arn_of(logical(route.name, "Queue")) for route in routes]
    return {"Sid": "Send", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": [*to, arn_of(UNDELIVERED)]}


def to_queue(timer: Route, route: Route) -> Json:
    """Return the queue of a route as the target of a timer's schedule."""
    return {**queues.target(route), "Input": tick(timer.name)}


def to_jobs(submission: Json) -> Json:
    """Return Batch as the target of a schedule."""
    return {"Arn": {"Fn::Sub": "arn:${AWS::Partition}:scheduler:::aws-sdk:batch:submitJob"}, "Input": submission}


def schedules(app: str, name: str, timing: Timing, target: Json, retrying: Json) -> Resources:
    """Return the schedules that a timer amounts to, one for each of its expressions."""
    sent = {
        **target,
        "RoleArn": arn_of(ROLE),
        "RetryPolicy": retrying,
        "DeadLetterConfig": {"Arn": arn_of(UNDELIVERED)},
    }
    made: Resources = {}
    for number, text in enumerate(timing.texts, 1):
        each = name if number == 1 else f"{name}-{number}"
        made[logical(each, "Schedule")] = {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                "Name": names.rule(app, each),
                "GroupName": ref(GROUP),
                "ScheduleExpression": text,
                "ScheduleExpressionTimezone": timing.timezone,
                **timing.options,
                "Target": sent,
            },
        }
    return made


def tick(schedule: str) -> str:
    """Return what a schedule sends: the `Tick` of the instant that is due, as a timer's own delivery has it."""
    data = {"schedule": schedule, "due": DUE, "missed": 0, "backfill": False}
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{schedule}@{DUE}",
            "source": NAME,
            "type": Tick.__event_type__,
            "dataversion": Tick.__event_version__,
            "subject": schedule,
            "time": DUE,
            "data": data,
        }
    )

"""Jobs: routes that no function is large enough for, as AWS Batch job definitions.

The rule sends the event to the route's queue, as for any route, and submits a job beside it, which takes a message from
there. So an event of any size arrives whole, and what a job does not finish is in the queue still.

A definition sets no bound of time: Batch would count a job's waits, too, and not start it again. The job ends its
handler itself, at the `timeout=` of one attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from triggers.aws import names
from triggers.aws.template import permissions
from triggers.aws.template.fit import Machine
from triggers.aws.template.functions import log_group
from triggers.aws.template.permissions import Reach
from triggers.aws.template.references import Json, Resources, arn, arn_of, from_account, logical, ref
from triggers.routing import Route

QUEUE: Final = "JobQueueArn"
IMAGE: Final = "JobImage"
SUBMITTER: Final = "Submitting"
STARTS: Final = (3, 10)
"""How often Batch starts a job that did not see its run through, at least and at most; ten is Batch's own bound.

A handler's failure is for `retry=`, and the job's own to see to. Of a handler that ends its process each start uses an
attempt up, and one more start is needed to find that they are used up and the run dead.
"""
ENDED_BADLY: Final = 6
"""The exit status by which `triggers exec` says that a run is dead or a message was rejected, and none is left."""
RETRIED: Final[Sequence[Json]] = (
    {"Action": "RETRY", "OnStatusReason": "Host EC2*"},  # the machine went away
    {"Action": "EXIT", "OnExitCode": str(ENDED_BADLY)},
)
"""What Batch does with a job that failed, by the first that fits; where none does, it starts the job again.

So a process that was killed, or did not reach AWS, is started again: its message is in the queue still, and maybe no
other job comes for it. Where the run has ended there is no message, and a job that finds none ends well: nobody would
see in Batch that the run is dead.
"""

PARAMETERS: Final[Json] = {
    QUEUE: {"Type": "String", "Description": "The ARN of the Batch job queue, with machines that the jobs fit on"},
    IMAGE: {"Type": "String", "Description": "The jobs' image, with the app and `triggers` in it"},
}


def job(
    app: str,
    target: str,
    route: Route,
    machine: Machine,
    reach: Reach,
    environment: Mapping[str, Any],
    retention: float,
) -> Resources:
    """Return a route's job definition, its role and its log group. `target` is `module:app`."""
    name, logs, role = names.function(app, route.name), logical(route.name, "Logs"), logical(route.name, "Role")
    wanted = [("VCPU", machine.cpus), ("MEMORY", machine.memory), *([("GPU", machine.gpus)] if machine.gpus else [])]
    container = {
        "Image": ref(IMAGE),
        "Command": ["triggers", "exec", target, "--route", route.name],
        "ResourceRequirements": [{"Type": kind, "Value": str(value)} for kind, value in wanted],
        "JobRoleArn": arn_of(role),
        "Environment": [{"Name": key, "Value": value} for key, value in environment.items()],
        "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": ref(logs)}},
        "Privileged": False,
    }
    properties: Json = {
        "JobDefinitionName": name,
        "Type": "container",
        "PlatformCapabilities": ["EC2"],
        "ContainerProperties": container,
        "RetryStrategy": {"Attempts": starts(route), "EvaluateOnExit": [dict(one) for one in RETRIED]},
    }
    queue = arn_of(logical(route.name, "Queue"))
    trusted = from_account(source=arn("ecs", "*"))
    return {
        logical(route.name, "Job"): {"Type": "AWS::Batch::JobDefinition", "Properties": properties},
        role: permissions.role(
            "ecs-tasks.amazonaws.com", trusted, permissions.statements(app, [queue], reach, delays=False)
        ),
        logs: log_group(f"/aws/batch/{name}", retention),
    }


def for_job() -> Json:
    """Return what the queue of a job has: where jobs are submitted."""
    return {"Tags": [{"Key": names.JOB_QUEUE, "Value": ref(QUEUE)}]}


def starts(route: Route) -> int:
    """Return how often Batch starts a job of a route."""
    least, most = STARTS
    return min(max(route.policy.retry.attempts + 1, least), most)


def target(app: str, route: Route) -> Json:
    """Return what a rule submits."""
    return {
        "Arn": ref(QUEUE),
        "RoleArn": arn_of(SUBMITTER),
        "BatchParameters": {
            "JobDefinition": ref(logical(route.name, "Job")),
            "JobName": names.function(app, route.name),
        },
    }


def submission(app: str, route: Route) -> Json:
    """Return what a schedule submits."""
    words = {"JobName": names.function(app, route.name), "JobQueue": "${JobQueueArn}", "JobDefinition": "${Job}"}
    text = ",".join(f'"{key}":"{value}"' for key, value in words.items())
    return {"Fn::Sub": ["{" + text + "}", {"Job": ref(logical(route.name, "Job"))}]}


def may_submit(app: str, routes: list[Route]) -> Json:
    """Return the statement by which the routes' jobs may be submitted, and no others."""
    of_any_revision = [arn("batch", f"job-definition/{names.function(app, route.name)}") for route in routes]
    of_this = [ref(logical(route.name, "Job")) for route in routes]
    resources = [ref(QUEUE), *of_any_revision, *of_this]
    return {"Sid": "Submit", "Effect": "Allow", "Action": "batch:SubmitJob", "Resource": resources}


def submitter(app: str, routes: list[Route], rules: list[Json]) -> Json:
    """Return the role in which the rules, by their ARNs, submit jobs."""
    return permissions.role("events.amazonaws.com", from_account(source=rules), [may_submit(app, routes)])

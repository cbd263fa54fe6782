"""Rules: which events of a bus go to which queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from triggers.aws import names
from triggers.aws.template.references import Json, arn, arn_of

BUS: Final = "Bus"
UNDELIVERED: Final = "Undelivered"
"""The queue of what EventBridge and Scheduler could not put into a route's own."""


def bus(app: str) -> Json:
    """Return the bus that carries what handlers emit."""
    return {"Type": "AWS::Events::EventBus", "Properties": {"Name": names.bus(app)}}


def rule(name: str, pattern: Json, targets: Sequence[Json], bus: str | None = None) -> Json:
    """Return a rule of a bus, which is the app's own, or of the default one."""
    made: Json = {"Type": "AWS::Events::Rule"}
    properties: Json = {"Name": name}
    if bus is not None:
        made["DependsOn"] = BUS
        properties["EventBusName"] = bus  # by its name: moto does not take a reference
    return made | {"Properties": {**properties, "EventPattern": pattern, "Targets": list(targets)}}


def arn_by_name(rule: Json) -> Json:
    """Return the ARN of a rule without a reference to it, for whom it refers to itself."""
    properties = rule["Properties"]
    on = f"{properties['EventBusName']}/" if "EventBusName" in properties else ""
    return arn("events", f"rule/{on}{properties['Name']}")


def kept(target: Json, id: str) -> Json:
    """Return a target of a rule or a schedule, whose events are kept where they cannot be sent."""
    return {"Id": id, **target, "DeadLetterConfig": {"Arn": arn_of(UNDELIVERED)}}

"""CloudFormation in memory, for what moto leaves out: steps of resources, failures, and stacks in states of failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

STACK = "AWS::CloudFormation::Stack"


def event(name: str, status: str, reason: str = "", type: str = "AWS::SQS::Queue") -> dict[str, str]:
    return {"LogicalResourceId": name, "ResourceType": type, "ResourceStatus": status, "ResourceStatusReason": reason}


class Cloud:
    """One stack. Whatever is begun goes through the `script`: at each look the next state, and the events until then.

    `calls` has the operations that change something, with what they were given.
    """

    def __init__(
        self,
        script: Sequence[tuple[str, Sequence[Mapping[str, str]]]] = (),
        *,
        status: str | None = None,
        events: Sequence[Mapping[str, str]] = (),
        template: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        refuses: str = "",
        region: str = "eu-west-1",
    ) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.pauses: list[float] = []
        self.meta = SimpleNamespace(region_name=region)
        self.exceptions = SimpleNamespace(ClientError=ClientError)
        self._script = list(script)
        self._status = status
        self._events: list[dict[str, str]] = []
        self._template = template or {"Metadata": {"Triggers": {"BucketsToEventBridge": []}}, "Resources": {}}
        self._parameters = parameters or {}
        self._refuses = refuses
        self._begun = False
        self._happens(events)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if self._begun and self._script:
            self._status, events = self._script.pop(0)
            self._happens(events)
        if self._status is None or (self._status == "DELETE_COMPLETE" and StackName != "id"):
            raise self._error("DescribeStacks", f"Stack with id {StackName} does not exist")
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in self._parameters.items()]
        return {"Stacks": [{"StackId": "id", "StackStatus": self._status, "Parameters": parameters}]}

    def create_stack(self, **options: Any) -> dict[str, str]:
        return self._begin("create_stack", options)

    def update_stack(self, **options: Any) -> dict[str, str]:
        return self._begin("update_stack", options)

    def delete_stack(self, **options: Any) -> dict[str, str]:
        return self._begin("delete_stack", options)

    def get_template(self, **options: Any) -> dict[str, Any]:
        return {"TemplateBody": json.loads(json.dumps(self._template))}

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:
        return {"StackEvents": self._events[::-1]}

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=getattr(self, f"_pages_of_{operation}"))

    def _pages_of_describe_stack_events(self, StackName: str) -> Iterator[dict[str, Any]]:
        for one in self._events[::-1]:
            yield {"StackEvents": [one]}

    def _begin(self, operation: str, options: dict[str, Any]) -> dict[str, str]:
        if self._refuses:
            raise self._error(operation, self._refuses)
        self.calls.append((operation, options))
        self._begun = True
        return {"StackId": "id"}

    def _happens(self, events: Sequence[Mapping[str, str]]) -> None:
        self._events += [{"EventId": f"{len(self._events) + n}", **one} for n, one in enumerate(events)]

    def _error(self, operation: str, message: str) -> ClientError:
        return ClientError({"Error": {"Code": "ValidationError", "Message": message}}, operation)

"""An app's stack in CloudFormation: looked at, put, deleted, and followed until what was begun has ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from triggers.aws import names
from triggers.aws.clients import client
from triggers.aws.refusals import explained
from triggers.errors import TriggersError, WiringError, did_you_mean
from triggers.events import new_id

TITLE: Final = "The app "
"""How the description of an app's stack begins."""
LOOK: Final = 2.0
"""Seconds between two looks at a stack at work."""

_GOOD: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_DEAD: Final = ("CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
"""States that lead to nothing but deletion."""
_NEVER_MADE: Final = ("CREATE_FAILED", "ROLLBACK_COMPLETE")
_NOT_THERE: Final = ("CREATE_FAILED", "DELETE_COMPLETE", "DELETE_SKIPPED")
_STACK: Final = "AWS::CloudFormation::Stack"
_MEANING: Final = {
    "DELETE_COMPLETE": "nothing of it is left",
    "DELETE_FAILED": "what could be deleted is gone",
    "ROLLBACK_COMPLETE": "nothing of it is left but its name",
    "ROLLBACK_FAILED": "some of it is left",
    "UPDATE_ROLLBACK_COMPLETE": "what was at work before is at work again",
    "UPDATE_ROLLBACK_FAILED": "some of it is as it was before and some is not",
}


@dataclass(frozen=True, slots=True)
class Live:
    """A stack as it is."""

    id: str
    status: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """What has happened to a resource: its logical name and type, its state, and the reason where AWS gives one."""

    name: str
    type: str
    status: str
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Say whether it is a failure of its own, and not given up because of another's."""
        return self.status.endswith("_FAILED") and "cancelled" not in self.reason.lower()


Told = Callable[[Step], None]
"""What is called with each step of a stack at work."""


class Stack:
    """The stack of an app, by the app's name. What AWS refuses is raised as a `TriggersError`."""

    def __init__(self, app: str, *, cloud: Any = None, pause: Callable[[float], None] = time.sleep) -> None:
        self.app = app
        self.name = names.stack(app)
        self._thing = f"stack {self.name!r} of app {app!r}"
        self._cloud = cloud or client("cloudformation")
        self._pause = pause

    @property
    def region(self) -> str:
        """Return the region that it is in."""
        return str(self._cloud.meta.region_name)

    def look(self) -> Live | None:
        """Return the stack as it is, None where there is none."""
        with explained(self._thing):
            try:
                return self._described(self.name)
            except self._cloud.exceptions.ClientError as error:
                if "does not exist" in error.response["Error"].get("Message", ""):
                    return None
                raise

    def template(self) -> Mapping[str, Any]:
        """Return the template at work. Raises `WiringError` where it is none of ours."""
        with explained(self._thing):
            found = self._cloud.get_template(StackName=self.name, TemplateStage="Original")["TemplateBody"]
        made = json.loads(json.dumps(found))
        if not (isinstance(made, dict) and "Triggers" in made.get("Metadata", {})):
            raise WiringError(
                f"{self._thing} was not made by triggers, which leaves it alone; give the app another name, or remove"
                f" the stack: aws cloudformation delete-stack --stack-name {self.name}"
            )
        return made

    def others(self) -> list[str]:
        """Return the names of the apps that are deployed beside it."""
        with explained(f"the stacks in {self.region}"):
            pages = self._cloud.get_paginator("list_stacks").paginate()
            found = [one for page in pages for one in page["StackSummaries"]]
        said = [one.get("TemplateDescription") or "" for one in found if one["StackStatus"] != "DELETE_COMPLETE"]
        return [one.removeprefix(TITLE) for one in said if one.startswith(TITLE)]

    def absence(self) -> str:
        """Return the words for an app that is not deployed, with the near miss."""
        return f"no app {self.app!r} is deployed in {self.region}{did_you_mean(self.app, self.others())}"

    def put(self, body: Mapping[str, str], parameters: Mapping[str, str], told: Told) -> None:
        """Create the stack or update it, and return when it is complete.

        `body` is `TemplateBody` or `TemplateURL`. Raises `TriggersError` that names the first resource that failed,
        after CloudFormation has put back what there was before: nothing, for a stack that was to be created.
        """
        live = self.look()
        since = None if live is None else self._newest()
        options = {
            "StackName": self.name,
            **body,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": ["CAPABILITY_IAM"],
            "ClientRequestToken": new_id(),  # by which a call made again, its answer lost, is known for the same
        }
        with explained(self._thing):
            if live is None:
                id = self._cloud.create_stack(**options, OnFailure="DELETE")["StackId"]
            elif (id := self._updated(options)) is None:
                return
        self._settle(id, since, told, _GOOD, "deployed")

    def delete(self, live: Live, told: Told) -> None:
        """Delete the stack, and return when it is gone. Raises `TriggersError` that names what cannot be deleted."""
        since = self._newest()
        with explained(self._thing):
            self._cloud.delete_stack(StackName=live.id, ClientRequestToken=new_id())
        self._settle(live.id, since, told, ("DELETE_COMPLETE",), "destroyed")

    def check_changeable(self, live: Live) -> None:
        """Raise `WiringError` with the way out where CloudFormation changes nothing in the state that it is in."""
        if live.status in _DEAD:
            raise WiringError(
                f"{self._thing} is {live.status}{self._why(live)}; nothing can be deployed to it: remove it by"
                f" `triggers destroy {self.app}`, and deploy again"
            )
        if live.status == "UPDATE_ROLLBACK_FAILED":
            raise WiringError(
                f"{self._thing} is {live.status}{self._why(live)}; mend that, then run `aws cloudformation"
                f" continue-update-rollback --stack-name {self.name}`, and deploy again when it has ended"
            )
        self.check_idle(live)

    def check_idle(self, live: Live) -> None:
        """Raise `WiringError` while somebody changes the stack."""
        if live.status.endswith("_IN_PROGRESS") and live.status not in _DEAD:
            raise WiringError(
                f"{self._thing} is {live.status}: somebody is changing it; wait until that has ended (`aws"
                f" cloudformation describe-stack-events --stack-name {self.name}` shows it), then try again"
            )

    def resources(self) -> list[tuple[str, str]]:
        """Return the type and the physical ID of each resource that there is."""
        with explained(self._thing):
            pages = self._cloud.get_paginator("list_stack_resources").paginate(StackName=self.name)
            found = [one for page in pages for one in page["StackResourceSummaries"]]
        return [
            (one["ResourceType"], one.get("PhysicalResourceId") or "")
            for one in found
            if one["ResourceType"] and one["ResourceStatus"] not in _NOT_THERE  # moto lists what it dropped, typeless
        ]

    # --- at work

    def _updated(self, options: Mapping[str, Any]) -> str | None:
        try:
            return str(self._cloud.update_stack(**options)["StackId"])
        except self._cloud.exceptions.ClientError as error:
            if "No updates are to be performed" in error.response["Error"].get("Message", ""):
                return None
            raise

    def _settle(self, id: str, since: str | None, told: Told, good: tuple[str, ...], word: str) -> None:
        """Follow the stack until it stands still, and raise `TriggersError` where that is in no good state."""
        try:
            status, steps = self._follow(id, since, told)
        except TriggersError as error:
            again = "what was begun goes on in AWS; run this again to see how it ended"
            raise TriggersError(f"{error}; {again}") from error
        if status in good:
            return
        first = next((step for step in steps if step.failed), None)
        why = f"{first.name} ({first.type}) failed: {first.reason}" if first else "AWS does not say why"
        meaning = f": {_MEANING[status]}" if status in _MEANING else ""
        raise TriggersError(f"app {self.app!r} was not {word}: {why}; stack {self.name!r} is {status}{meaning}")

    def _follow(self, id: str, since: str | None, told: Told) -> tuple[str, list[Step]]:
        steps: list[Step] = []
        while True:
            with explained(self._thing):
                status = self._described(id).status  # before the steps, so that none is left when it has ended
                found = self._steps(id, since)
            for event, step in found:
                since = event
                steps.append(step)
                told(step)
            if not status.endswith("_IN_PROGRESS"):
                return status, steps
            self._pause(LOOK)

    def _steps(self, id: str, since: str | None) -> list[tuple[str, Step]]:
        """Return the steps after an event, with the events' IDs, the oldest first."""
        found: list[tuple[str, Step]] = []
        pages = self._cloud.get_paginator("describe_stack_events").paginate(StackName=id)
        for one in (one for page in pages for one in page["StackEvents"]):
            if one["EventId"] == since:
                break
            step = Step(
                one["LogicalResourceId"],
                one["ResourceType"],
                one["ResourceStatus"],
                one.get("ResourceStatusReason") or "",
            )
            found.append((one["EventId"], step))
        return found[::-1]

    def _newest(self) -> str | None:
        """Return the ID of the newest event of the stack."""
        with explained(self._thing):
            events = self._cloud.describe_stack_events(StackName=self.name)["StackEvents"]
        return events[0]["EventId"] if events else None

    def _why(self, live: Live) -> str:
        """Return which resource brought it into its state, where one did."""
        with explained(self._thing):
            failed = [step for _, step in self._steps(live.id, None) if step.failed and step.type != _STACK]
        if not failed:
            return ""
        step = failed[0 if live.status in _NEVER_MADE else -1]
        return f" ({step.name}, {step.type}: {step.reason})"

    def _described(self, name: str) -> Live:
        found = self._cloud.describe_stacks(StackName=name)["Stacks"][0]
        parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
        return Live(found["StackId"], found["StackStatus"], parameters)


__all__ = ["Live", "Stack", "Step", "Told"]

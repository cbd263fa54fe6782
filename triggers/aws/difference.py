"""What a deployment changes: the template at work and the one to come, compared resource by resource.

CloudFormation changes most properties where they are. For a few of them it makes the resource anew and deletes the one
before, with all that it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Json = Mapping[str, Any]
Kind = Literal["added", "changed", "replaced", "removed"]

FIXED: Final[Mapping[str, frozenset[str]]] = {
    "AWS::Batch::JobDefinition": frozenset({"JobDefinitionName"}),
    "AWS::DynamoDB::Table": frozenset({"TableName", "KeySchema"}),
    "AWS::Events::EventBus": frozenset({"Name"}),
    "AWS::Events::Rule": frozenset({"Name", "EventBusName"}),
    "AWS::Lambda::EventSourceMapping": frozenset({"EventSourceArn"}),
    "AWS::Lambda::Function": frozenset({"FunctionName", "PackageType"}),
    "AWS::IAM::ManagedPolicy": frozenset({"Description"}),
    "AWS::Logs::LogGroup": frozenset({"LogGroupName"}),
    "AWS::SQS::Queue": frozenset({"QueueName", "FifoQueue"}),
    "AWS::Scheduler::Schedule": frozenset({"Name"}),
    "AWS::Scheduler::ScheduleGroup": frozenset({"Name"}),
}
"""By type: the properties of ours whose change means another resource, by the types' schemas."""
HOLDING: Final = {
    "AWS::DynamoDB::Table": "its run records",
    "AWS::Logs::LogGroup": "its logs",
    "AWS::SQS::Queue": "its messages",
}
"""By type: what goes with a resource."""

_NAMES: Final = ("FunctionName", "JobDefinitionName", "LogGroupName", "Name", "QueueName", "TableName")


@dataclass(frozen=True, slots=True)
class Edit:
    """A value at a place in a resource, as in `Timeout` or `Environment.Variables.TZ`; None where there is none."""

    place: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a resource. `stuck`: it would be replaced under the name that it has, which AWS refuses."""

    kind: Kind
    name: str
    type: str
    edits: tuple[Edit, ...] = ()
    stuck: bool = False

    @property
    def fixed(self) -> list[str]:
        """Return the properties that change and cannot be changed where they are."""
        return [edit.place for edit in self.edits if _is_fixed(self.type, edit)]

    @property
    def loses(self) -> str | None:
        """Return what is lost with it, None where nothing is."""
        return HOLDING.get(self.type) if self.kind in ("replaced", "removed") else None


def compare(before: Json, after: Json) -> list[Change]:
    """Return what changes from one template's resources to another's, in the order of the new one; what goes is last.

    Metadata, descriptions and outputs do not count: they change nothing that works.
    """
    old, new = before.get("Resources", {}), after["Resources"]
    found = [change for name, one in new.items() if (change := _change(name, old.get(name), one))]
    return [*found, *(Change("removed", name, one["Type"]) for name, one in old.items() if name not in new)]


def edits(before: Any, after: Any, place: str = "") -> Iterator[Edit]:
    """Yield the values that differ, each at its innermost place; of lists of unequal length what came and went."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from edits(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from edits(one, other, f"{place}[{number}]")
    elif isinstance(before, list) and isinstance(after, list) and (moved := [*_moves(before, after, place)]):
        yield from moved
    elif before != after:
        yield Edit(place, before, after)


def _moves(before: list[Any], after: list[Any], place: str) -> Iterator[Edit]:
    """Yield what of a list went, and what came."""
    yield from (Edit(f"{place}[]", one, None) for one in before if one not in after)
    yield from (Edit(f"{place}[]", None, one) for one in after if one not in before)


def _change(name: str, before: Json | None, after: Json) -> Change | None:
    if before is None:
        return Change("added", name, after["Type"])
    made = _plain(before), _plain(after)
    found = tuple(edits(*made))
    if not found:
        return None
    if not any(_is_fixed(after["Type"], edit) for edit in found):
        return Change("changed", name, after["Type"], found)
    called = [one.get(next((key for key in _NAMES if key in one), "")) for one in made]
    return Change("replaced", name, after["Type"], found, stuck=called[0] is not None and called[0] == called[1])


def _is_fixed(kind: str, edit: Edit) -> bool:
    """Say whether an edit is of a property that cannot be changed where it is."""
    return edit.place.partition(".")[0].partition("[")[0] in FIXED.get(kind, ())


def _plain(resource: Json) -> Json:
    """Return a resource's properties and attributes side by side, the attributes that only describe it left out."""
    rest = {key: value for key, value in resource.items() if key not in ("Metadata", "Properties", "Type")}
    return {**resource.get("Properties", {}), **rest}


__all__ = ["FIXED", "HOLDING", "Change", "Edit", "Kind", "compare", "edits"]

from __future__ import annotations

from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from infra.templates import templates
from triggers.aws.difference import _NAMES, FIXED, Edit, compare, edits


def template(**resources: Any) -> dict[str, Any]:
    return {"Resources": resources}


def resource(type: str = "SQS::Queue", more: Any = None, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{type}", "Properties": properties, **(more or {})}


def test_a_template_does_not_differ_from_itself() -> None:
    made = template(A=resource(Delay=3, Tags=[{"a": 1}]))
    assert compare(made, made) == []


def test_where_nothing_is_deployed_everything_is_added() -> None:
    assert [(one.kind, one.name) for one in compare({}, template(A=resource()))] == [("added", "A")]


def test_what_changes_is_named_with_the_innermost_place_of_each_value() -> None:
    [change] = compare(
        template(A=resource("Lambda::Function", Timeout=3, Environment={"Variables": {"A": "1", "B": "2"}})),
        template(A=resource("Lambda::Function", Timeout=9, Environment={"Variables": {"A": "1", "C": "3"}})),
    )
    assert change.kind == "changed"
    assert change.edits == (
        Edit("Timeout", 3, 9),
        Edit("Environment.Variables.B", "2", None),
        Edit("Environment.Variables.C", None, "3"),
    )


def test_of_lists_is_said_what_came_and_went() -> None:
    assert list(edits([1, 2], [2, 3, 4], "A")) == [Edit("A[]", 1, None), Edit("A[]", None, 3), Edit("A[]", None, 4)]


def test_lists_of_equal_length_are_compared_item_by_item() -> None:
    assert list(edits([{"a": 1}, 2], [{"a": 5}, 2], "A")) == [Edit("A[0].a", 1, 5)]


@pytest.mark.parametrize(("before", "after"), [([1, 1], [1]), ([1], [1, 1])])
def test_a_list_that_only_repeats_itself_is_another_list(before: list[int], after: list[int]) -> None:
    assert list(edits(before, after, "A")) == [Edit("A", before, after)]


def test_attributes_beside_the_properties_count_and_descriptions_do_not() -> None:
    [change] = compare(
        template(A=resource(more={"DeletionPolicy": "Delete", "Metadata": {"was": 1}})),
        template(A=resource(more={"DeletionPolicy": "Retain", "Metadata": {"was": 2}})),
    )
    assert change.edits == (Edit("DeletionPolicy", "Delete", "Retain"),)


def test_a_queue_that_is_made_anew_loses_its_messages() -> None:
    before = template(A=resource(QueueName="a"))
    [change] = compare(before, template(A=resource(QueueName="a.fifo", FifoQueue=True)))
    assert (change.kind, change.loses, change.stuck) == ("replaced", "its messages", False)


def test_a_table_with_another_key_is_stuck_wherever_in_the_key_it_is() -> None:
    before = template(A=resource("DynamoDB::Table", TableName="a", KeySchema=[{"AttributeName": "a"}]))
    [change] = compare(
        before, template(A=resource("DynamoDB::Table", TableName="a", KeySchema=[{"AttributeName": "b"}]))
    )
    assert (change.kind, change.stuck, change.fixed) == ("replaced", True, ["KeySchema[0].AttributeName"])


def test_what_is_removed_comes_last_with_what_is_lost() -> None:
    before = template(A=resource("DynamoDB::Table", TableName="a"), B=resource("Events::Rule", Name="b"))
    found = compare(before, template(C=resource("IAM::Role")))
    assert [(one.kind, one.name, one.loses) for one in found] == [
        ("added", "C", None),
        ("removed", "A", "its run records"),
        ("removed", "B", None),
    ]


def test_what_would_be_made_anew_under_its_name_is_stuck() -> None:
    before = template(A=resource("Lambda::Function", FunctionName="a"))
    [change] = compare(before, template(A=resource("Lambda::Function", FunctionName="a", PackageType="Image")))
    assert (change.kind, change.stuck, change.fixed) == ("replaced", True, ["PackageType"])


@pytest.mark.parametrize("kind", sorted(FIXED))
def test_what_cannot_be_changed_where_it_is_is_what_the_schema_of_the_type_says(kind: str) -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    said = [*schema["createOnlyProperties"], *schema.get("conditionalCreateOnlyProperties", [])]
    assert FIXED[kind] <= {one.rpartition("/")[2] for one in said}


def test_all_that_our_templates_have_and_that_cannot_be_changed_is_known() -> None:
    import json

    for text in templates().values():
        for one in json.loads(text)["Resources"].values():
            schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", one["Type"]).schema
            said = [*schema.get("createOnlyProperties", ()), *schema.get("conditionalCreateOnlyProperties", ())]
            fixed = {place.rpartition("/")[2] for place in said} & set(one["Properties"])
            assert fixed <= FIXED.get(one["Type"], frozenset()), one["Type"]


def test_every_name_is_one_that_cannot_be_changed() -> None:
    assert set(_NAMES) <= {name for names in FIXED.values() for name in names}

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.aws.cloud import STACK, Cloud, event
from triggers.aws.stack import Stack, Step
from triggers.errors import TriggersError, WiringError

BODY = {"TemplateURL": "https://s3.eu-west-1.amazonaws.com/code/churn/1.json"}


def stack(cloud: Cloud) -> Stack:
    return Stack("churn", cloud=cloud, pause=cloud.pauses.append)


def put(cloud: Cloud) -> list[Step]:
    told: list[Step] = []
    stack(cloud).put(BODY, {"CodeKey": "k"}, told.append)
    return told


def test_a_stack_is_created_and_every_step_is_told_once() -> None:
    cloud = Cloud(
        [
            ("CREATE_IN_PROGRESS", [event("triggers-churn", "CREATE_IN_PROGRESS", "User Initiated", STACK)]),
            ("CREATE_IN_PROGRESS", [event("A", "CREATE_IN_PROGRESS"), event("B", "CREATE_IN_PROGRESS")]),
            ("CREATE_COMPLETE", [event("A", "CREATE_COMPLETE"), event("triggers-churn", "CREATE_COMPLETE", "", STACK)]),
        ]
    )
    told = put(cloud)
    assert [(step.name, step.status) for step in told] == [
        ("triggers-churn", "CREATE_IN_PROGRESS"),
        ("A", "CREATE_IN_PROGRESS"),
        ("B", "CREATE_IN_PROGRESS"),
        ("A", "CREATE_COMPLETE"),
        ("triggers-churn", "CREATE_COMPLETE"),
    ]
    assert cloud.pauses == [2.0, 2.0]
    [(operation, options)] = cloud.calls
    assert operation == "create_stack"
    assert options["OnFailure"] == "DELETE"
    assert options["TemplateURL"] == BODY["TemplateURL"]
    assert options["Parameters"] == [{"ParameterKey": "CodeKey", "ParameterValue": "k"}]


def test_each_change_has_a_token_of_its_own_by_which_it_is_known_when_it_is_asked_for_again() -> None:
    """Botocore asks again where an answer was lost; without a token the stack would be there already, or at work."""
    tokens = []
    for status in (None, "UPDATE_COMPLETE", "UPDATE_COMPLETE"):
        cloud = Cloud([("UPDATE_COMPLETE", [])], status=status)
        put(cloud)
        tokens.append(cloud.calls[0][1]["ClientRequestToken"])
    assert len(set(tokens)) == 3


def test_of_a_stack_that_is_updated_nothing_is_told_that_was_before() -> None:
    before = [event("A", "CREATE_FAILED", "long ago"), event("B", "CREATE_COMPLETE")]
    script = [("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", [event("C", "CREATE_COMPLETE")]), ("UPDATE_COMPLETE", [])]
    cloud = Cloud(script, status="CREATE_COMPLETE", events=before)
    assert [step.name for step in put(cloud)] == ["C"]
    assert cloud.calls[0][0] == "update_stack"


def test_what_failed_first_is_named_and_that_nothing_is_left() -> None:
    cloud = Cloud(
        [
            (
                "CREATE_IN_PROGRESS",
                [
                    event("B", "CREATE_IN_PROGRESS"),
                    event("B", "CREATE_FAILED", "Resource creation cancelled"),
                    event("TrainFunction", "CREATE_FAILED", "not authorized to perform: iam:PassRole", "AWS::L::F"),
                    event("C", "CREATE_FAILED", "because of TrainFunction"),
                ],
            ),
            ("DELETE_COMPLETE", [event("B", "DELETE_COMPLETE")]),
        ]
    )
    with pytest.raises(TriggersError) as raised:
        put(cloud)
    assert str(raised.value) == (
        "app 'churn' was not deployed: TrainFunction (AWS::L::F) failed: not authorized to perform: iam:PassRole; stack"
        " 'triggers-churn' is DELETE_COMPLETE: nothing of it is left"
    )


def test_an_update_that_failed_is_rolled_back_and_says_so() -> None:
    script = [("UPDATE_ROLLBACK_COMPLETE", [event("A", "UPDATE_FAILED", "no such layer")])]
    with pytest.raises(
        TriggersError, match=r"A \(AWS::SQS::Queue\) failed: no such layer; .* UPDATE_ROLLBACK_COMPLETE:"
    ):
        put(Cloud(script, status="UPDATE_COMPLETE"))


def test_a_failure_without_a_reason_is_no_crash() -> None:
    with pytest.raises(TriggersError, match=r"AWS does not say why; stack 'triggers-churn' is UPDATE_FAILED$"):
        put(Cloud([("UPDATE_FAILED", [])], status="UPDATE_COMPLETE"))


def test_where_cloudformation_finds_nothing_to_do_nothing_is_done() -> None:
    assert put(Cloud(status="CREATE_COMPLETE", refuses="No updates are to be performed.")) == []


def test_what_cloudformation_refuses_is_passed_on() -> None:
    with pytest.raises(TriggersError, match=r"stack 'triggers-churn' of app 'churn': AWS answered .*: Template error"):
        put(Cloud(refuses="Template error: unresolved"))


def test_when_aws_goes_away_while_it_is_looked_at_the_stack_goes_on() -> None:
    class Away(Cloud):
        def get_paginator(self, operation: str) -> Any:
            raise self._error(operation, "away")

    with pytest.raises(TriggersError, match="away; what was begun goes on in AWS; run this again"):
        put(Away([("CREATE_IN_PROGRESS", [])]))


@pytest.mark.parametrize(
    ("status", "events", "said"),
    [
        (
            "ROLLBACK_COMPLETE",
            [event("A", "CREATE_FAILED", "quota"), event("B", "CREATE_FAILED", "because of A")],
            r"is ROLLBACK_COMPLETE \(A, AWS::SQS::Queue: quota\); .* `triggers destroy churn`, and deploy again",
        ),
        ("CREATE_FAILED", [], r"is CREATE_FAILED; .* `triggers destroy churn`"),
        (
            "DELETE_FAILED",
            [event("A", "DELETE_FAILED", "old"), event("B", "DELETE_FAILED", "not empty"),
             event("triggers-churn", "DELETE_FAILED", "B", STACK)],
            r"is DELETE_FAILED \(B, AWS::SQS::Queue: not empty\); .* `triggers destroy churn`",
        ),
        ("ROLLBACK_FAILED", [], "`triggers destroy churn`"),
        ("REVIEW_IN_PROGRESS", [], "`triggers destroy churn`"),
        (
            "UPDATE_ROLLBACK_FAILED",
            [event("A", "UPDATE_FAILED", "gone")],
            r"\(A, AWS::SQS::Queue: gone\); mend that, then run `aws cloudformation continue-update-rollback"
            " --stack-name triggers-churn`",
        ),
        ("UPDATE_IN_PROGRESS", [], "somebody is changing it; wait until that has ended"),
        ("DELETE_IN_PROGRESS", [], "somebody is changing it"),
    ],
)  # fmt: skip
def test_a_stack_that_cannot_be_changed_says_why_and_the_way_out(
    status: str, events: Sequence[dict[str, str]], said: str
) -> None:
    found = stack(Cloud(status=status, events=events))
    live = found.look()
    assert live
    with pytest.raises(WiringError, match=said):
        found.check_changeable(live)


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED"])
def test_a_stack_that_stands_still_can_be_changed(status: str) -> None:
    found = stack(Cloud(status=status))
    live = found.look()
    assert live
    found.check_changeable(live)


def test_a_stack_that_failed_can_be_deleted() -> None:
    cloud = Cloud([("DELETE_IN_PROGRESS", []), ("DELETE_COMPLETE", [])], status="ROLLBACK_COMPLETE")
    found = stack(cloud)
    live = found.look()
    assert live
    found.check_idle(live)
    found.delete(live, lambda step: None)
    [(operation, options)] = cloud.calls
    assert (operation, options["StackName"]) == ("delete_stack", "id")


def test_what_cannot_be_deleted_is_named() -> None:
    script = [("DELETE_FAILED", [event("Bucket", "DELETE_FAILED", "The bucket is not empty")])]
    found = stack(Cloud(script, status="CREATE_COMPLETE"))
    live = found.look()
    assert live
    with pytest.raises(TriggersError, match=r"was not destroyed: Bucket .* is not empty; .* DELETE_FAILED: what could"):
        found.delete(live, lambda step: None)


@pytest.mark.parametrize("template", [{"Resources": {}}, {"Metadata": {}, "Resources": {}}])
def test_a_stack_that_somebody_else_made_is_left_alone(template: dict[str, Any]) -> None:
    with pytest.raises(WiringError, match="was not made by triggers, which leaves it alone"):
        stack(Cloud(status="CREATE_COMPLETE", template=template)).template()

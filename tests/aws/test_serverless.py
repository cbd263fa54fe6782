"""What a function does with what it is given, over a table, a bus and a queue in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.deployed import ROLE, Deployed, Invocation, batch, record, row
from tests.aws.memory import Killed, Life, Refused
from tests.aws.scripted import Reply, scripted
from triggers import App, Bucket, Context, Event, Later, MessageReceived, ObjectCreated, Queue, Reject, Retry, RunFailed
from triggers.aws import wire
from triggers.aws.logs import JsonLines
from triggers.aws.serverless import Unfinished, load
from triggers.errors import WiringError
from triggers.patterns import above


class Processed(Event):
    n: int


class Trained(Event):
    n: int


class Text(Event):
    text: str


PATIENT = Retry(attempts=3, initial=10, jitter=False)


@pytest.fixture
def app() -> App:
    return App("churn", retry=PATIENT)


@pytest.fixture
def deployed(app: App) -> Iterator[Deployed]:
    deployed = Deployed(app)
    yield deployed
    deployed.close()


def test_a_chain_emits_no_more_in_functions_than_the_app_allows() -> None:
    bounded = App("churn", max_events=3)

    @bounded.on(Processed)
    def train(event: Processed) -> list[Trained]:
        return [Trained(n=n) for n in range(event.n)]

    deployed = Deployed(bounded)
    deployed.call(batch(record(Processed(n=3), id="1"), record(Processed(n=4), id="2")))
    deployed.close()
    assert [event.type for event in deployed.published()] == ["Trained", "Trained", "Trained", "RunFailed"]
    assert "its budget of 3 events (max_events=)" in deployed.published()[3].data


# --- one message -----------------------------------------------------------------------------------------------------


def test_a_message_runs_its_queues_route_and_what_it_returns_is_on_the_bus(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return Trained(n=event.n + 1)

    assert deployed.failures(batch(record(Processed(n=1)))) == []
    [event] = deployed.published()
    assert (event.type, event.data, event.source, event.depth) == ("Trained", '{"n":2}', "churn/train", 1)
    entry = deployed.bus.entries[0]
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("triggers.churn", "Trained", "churn")


def test_an_emitted_event_belongs_to_its_chain(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return Trained(n=1)

    parent = row(Processed(n=1))
    deployed.call(batch(record(Processed(n=1), id="1")))
    [event] = deployed.published()
    assert (event.root, event.cause) == (parent.number, wire.run_number(parent, "train"))


def test_a_record_says_what_ran_and_how_it_ended(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return Trained(n=1)

    deployed.call(batch(record(Processed(n=1), id="1")))
    kept = deployed.table.record()
    assert {name: kept[name] for name in ("route", "source", "event_id", "state", "attempt", "counted", "parts")} == {
        "route": "train", "source": "test", "event_id": "1", "state": "done", "attempt": 1, "counted": 1, "parts": 1,
    }  # fmt: skip
    assert kept["published"] is True
    assert kept["root"] == f"e{wire.number_of('test', '1')}"
    assert kept["expires"] == deployed.clock.now + 30 * 86_400
    assert "lease" not in kept


def test_a_queue_runs_no_other_route_than_its_own(app: App, deployed: Deployed) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        ran.append("train")

    @app.on(Processed)
    def report(event: Processed) -> None:
        ran.append("report")

    deployed.call(batch(record(Processed(n=1), route="report")))
    assert ran == ["report"]


def test_a_queue_of_somebody_elses_runs_all_routes_that_the_function_has(app: App) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        ran.append("train")

    @app.on(Processed)
    def report(event: Processed) -> None:
        ran.append("report")

    @app.on(Processed)
    def elsewhere(event: Processed) -> None:
        ran.append("elsewhere")

    Deployed(app, only=["train", "report"]).call(batch(record(Processed(n=1), app="other", route="queue")))
    assert ran == ["train", "report"]


def test_an_event_that_does_not_meet_the_routes_condition_is_acknowledged(app: App, deployed: Deployed) -> None:
    @app.on(Processed, where={"n": [7]})
    def train(event: Processed) -> None:
        raise AssertionError

    assert deployed.failures(batch(record(Processed(n=1)))) == []
    assert deployed.table.records() == []


def test_a_message_that_comes_twice_runs_once(app: App, deployed: Deployed) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> Trained:
        ran.append(event.n)
        return Trained(n=1)

    for _ in range(2):
        assert deployed.failures(batch(record(Processed(n=1)))) == []
    assert (ran, len(deployed.bus.entries)) == ([1], 1)


def test_another_body_is_a_message_with_its_id_and_attributes(app: App, deployed: Deployed) -> None:
    seen = []

    @app.on(MessageReceived)
    def train(event: MessageReceived, context: Context) -> None:
        seen.append((event.body, event.attributes["colour"], context.envelope.id))

    raw = record("hello", id="m7")
    raw["messageAttributes"] = {"colour": {"stringValue": "red", "dataType": "String"}}
    deployed.call(batch(raw))
    assert seen == [("hello", "red", "m7")]


def test_an_isolated_route_runs_in_the_functions_own_process(app: App, deployed: Deployed) -> None:
    where = []

    @app.on(Processed, isolate=True)
    def train(event: Processed) -> None:
        where.append(os.getpid())

    deployed.call(batch(record(Processed(n=1))))
    assert where == [os.getpid()]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_failed_run_waits_for_its_back_off_hidden_in_its_queue(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None:
        raise OSError("the disk")

    assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert deployed.queue.hidden == {"handle-m1": 10}
    assert deployed.queue.urls == ["https://sqs.test/123456789012/churn-train"]
    kept = deployed.table.record()
    assert (kept["state"], kept["due"], kept["error"]) == ("waiting", deployed.clock.now + 10, "OSError: the disk")
    assert "in train" in kept["traceback"]


def test_a_message_that_comes_before_the_run_is_due_is_handed_back_until_then(app: App, deployed: Deployed) -> None:
    tries = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        tries.append(1)
        raise OSError

    deployed.call(batch(record(Processed(n=1))))
    deployed.clock.now += 4
    assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert (len(tries), deployed.queue.hidden) == (1, {"handle-m1": 6})


def test_attempts_are_counted_by_the_record_until_the_run_is_dead(app: App, deployed: Deployed) -> None:
    attempts = []

    @app.on(Processed)
    def train(event: Processed, context: Context) -> None:
        attempts.append(context.attempt)
        raise OSError("no")

    answers = []
    for _ in range(4):
        answers.append(deployed.failures(batch(record(Processed(n=1)))))
        deployed.clock.now += 100
    assert (attempts, answers) == ([1, 2, 3], [["m1"], ["m1"], [], []])
    [failure] = deployed.published()
    assert failure.type == "RunFailed"
    assert json.loads(failure.data)["attempts"] == 3
    assert deployed.table.record()["state"] == "dead"


def test_later_uses_no_attempt(app: App, deployed: Deployed) -> None:
    attempts = []

    @app.on(Processed)
    def train(event: Processed, context: Context) -> None:
        attempts.append(context.attempt)
        raise Later(minutes=5)

    for _ in range(4):
        deployed.call(batch(record(Processed(n=1))))
        assert deployed.queue.hidden == {"handle-m1": 300}
        deployed.clock.now += 300
    assert attempts == [1, 1, 1, 1]


def test_the_next_attempt_goes_on_at_the_checkpoint_of_one_that_failed_or_was_put_back(
    app: App, deployed: Deployed
) -> None:
    found = []

    @app.on(Processed)
    def train(event: Processed, context: Context) -> None:
        found.append(context.restored)
        if len(found) == 3:
            raise OSError("before it came to anything")
        context.checkpoint({"row": len(found)})
        raise Later(minutes=5) if len(found) == 1 else OSError("no")

    for _ in range(4):
        deployed.call(batch(record(Processed(n=1))))
        deployed.clock.now += 600
    assert found == [None, {"row": 1}, {"row": 2}, {"row": 2}]
    assert deployed.table.record()["state"] == "dead"
    assert json.loads(deployed.table.record()["checkpoint"]) == {"row": 4}  # a redriven run goes on there


def test_a_run_that_is_done_leaves_no_checkpoint(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed, context: Context) -> None:
        if context.restored is None:
            context.checkpoint(1)
            raise OSError("no")

    for _ in range(2):
        deployed.call(batch(record(Processed(n=1))))
        deployed.clock.now += 600
    assert deployed.table.record()["state"] == "done"
    assert "checkpoint" not in deployed.table.record()


def test_a_rejected_event_is_dead_at_once(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None:
        raise Reject("never")

    assert deployed.failures(batch(record(Processed(n=1)))) == []
    assert deployed.table.record()["error"] == "Reject: never"


def test_an_attempt_that_took_the_process_with_it_is_made_again_after_its_lease(app: App, deployed: Deployed) -> None:
    attempts = []

    @app.on(Processed)
    def train(event: Processed, context: Context) -> None:
        attempts.append(context.attempt)

    call_and_die(deployed)
    assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert deployed.queue.hidden == {"handle-m1": 65}  # the time that it had, and as much as clocks may differ
    deployed.clock.now += 66
    assert deployed.failures(batch(record(Processed(n=1)))) == []
    assert attempts == [1, 2]


def test_a_run_that_kills_each_process_is_dead_when_its_attempts_are_used_up(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None: ...

    for _ in range(3):
        call_and_die(deployed)
        deployed.clock.now += 100
    assert deployed.failures(batch(record(Processed(n=1)))) == []
    kept = deployed.table.record()
    assert (kept["state"], kept["counted"]) == ("dead", 3)
    assert "the function ended in attempt 3 of 3" in kept["error"]
    third = deployed.clock.now - 100
    assert (kept["started"], kept["ended"]) == (third, third + 60), "not when the attempt was found to be lost"


def call_and_die(deployed: Deployed) -> None:
    """Call with a message, and be killed when the run is to be settled."""
    with pytest.raises(Killed):
        deployed.call(batch(record(Processed(n=1))), life=Life(2))


def test_a_message_that_nobody_can_read_is_kept_with_the_reason_and_does_not_block_the_rest(
    app: App, deployed: Deployed, caplog: pytest.LogCaptureFixture
) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        ran.append(event.n)

    poison = record('{"specversion": "1.0", "type": "Nobody", "id": "9", "source": "s", "data": {}}', id="bad")
    assert deployed.failures(batch(poison, record(Processed(n=2), id="good"))) == []
    assert ran == [2]
    [kept] = [item for item in deployed.table.records() if item["state"] == "rejected"]
    assert (kept["route"], kept["event_id"], kept["event"]) == ("train", "bad", poison["body"])
    assert "'Nobody'" in kept["error"]
    assert "rejected bad from churn-train" in caplog.text


def test_an_event_that_the_bus_cannot_carry_fails_the_run_with_the_way_out(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Text:
        return Text(text="x" * 262_000)

    deployed.call(batch(record(Processed(n=1))))
    kept = deployed.table.record()
    assert kept["state"] == "dead"
    assert "over the limit of 262,144 for an entry of EventBridge; write the data to a place" in kept["error"]
    assert [event.type for event in deployed.published()] == ["RunFailed"]


def test_a_number_that_eventbridge_does_not_carry_fails_the_run(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return Trained(n=2**63)

    deployed.call(batch(record(Processed(n=1))))
    assert "more than 64 bits" in deployed.table.record()["error"]


def test_a_table_that_fails_hands_its_message_back_and_goes_on(app: App, deployed: Deployed) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        ran.append(event.n)

    update, failing = deployed.table.update_item, [True]

    def update_item(**arguments: Any) -> dict[str, Any]:
        if failing.pop() if failing else False:
            raise Refused("ThrottlingException")
        return update(**arguments)

    deployed.table.update_item = update_item  # type: ignore[method-assign]
    assert deployed.failures(batch(record(Processed(n=1), id="a"), record(Processed(n=2), id="b"))) == ["a"]
    assert (ran, deployed.queue.hidden) == ([2], {"handle-a": 30})


@pytest.mark.parametrize(("seconds", "ran"), [(20, [1]), (70, [1, 1])], ids=["passing", "lasting"])
def test_what_a_run_has_done_is_settled_again_and_again_while_its_lease_is_its_own(
    app: App, deployed: Deployed, seconds: float, ran: list[int]
) -> None:
    seen = []

    @app.on(Processed)
    def train(event: Processed) -> Trained:
        seen.append(event.n)
        return Trained(n=1)

    update, begun = deployed.table.update_item, deployed.clock.now

    def update_item(**arguments: Any) -> dict[str, Any]:
        if seen and deployed.clock.now < begun + seconds:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "too fast"}}, "UpdateItem")
        return update(**arguments)

    deployed.table.update_item = update_item  # type: ignore[method-assign]
    while deployed.failures(batch(record(Processed(n=1)))):
        assert deployed.clock.now < begun + 200
        deployed.clock.now += 70 - (deployed.clock.now - begun) % 70
    assert seen == ran
    assert len(deployed.bus.entries) == 1


def test_an_attempt_has_the_event_of_the_first_one(app: App, deployed: Deployed) -> None:
    seen = []

    @app.on(MessageReceived)
    def train(event: MessageReceived) -> None:
        seen.append(event.attributes["AWS.ApproximateReceiveCount"])
        if len(seen) == 1:
            raise OSError

    raw = record("hello")
    deployed.call(batch(raw))
    deployed.clock.now += 10
    raw["attributes"]["ApproximateReceiveCount"] = "2"
    assert deployed.failures(batch(raw)) == []
    assert seen == ["1", "1"]


def test_no_other_run_is_begun_without_time_though_the_first_one_could_not_be_claimed(
    app: App, deployed: Deployed
) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None:
        raise AssertionError

    def update_item(**_: Any) -> dict[str, Any]:
        deployed.clock.now += 30  # as long as botocore tries
        raise Refused("ThrottlingException")

    deployed.table.update_item = update_item  # type: ignore[method-assign]
    given = batch(record(Processed(n=1), id="a"), record(Processed(n=2), id="b"))
    assert deployed.failures(given, left=40) == ["a", "b"]
    assert deployed.queue.hidden == {"handle-a": 30, "handle-b": 0}


def test_two_events_of_one_number_are_an_error_and_never_taken_for_one(
    app: App, deployed: Deployed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None: ...

    monkeypatch.setattr(wire, "run_number", lambda event, route: 7)
    assert deployed.failures(batch(record(Processed(n=1), id="a"), record(Processed(n=2), id="b"))) == ["b"]
    assert "two events have one number; send the event again under another id" in caplog.text


def test_events_that_the_bus_fails_to_take_are_put_again(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> list[Trained]:
        return [Trained(n=n) for n in range(12)]

    deployed.bus.failing = [3, 1]
    assert deployed.failures(batch(record(Processed(n=1)))) == []
    assert deployed.bus.calls == [10, 3, 1, 2]
    assert sorted(json.loads(event.data)["n"] for event in deployed.published()) == list(range(12))


def test_events_that_the_bus_never_takes_come_with_the_next_delivery(app: App, deployed: Deployed) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> Trained:
        ran.append(event.n)
        return Trained(n=1)

    deployed.bus.failing = [1] * 6
    assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert deployed.failures(batch(record(Processed(n=1)))) == []
    assert (ran, len(deployed.bus.entries)) == ([1], 1)


# --- long waits ------------------------------------------------------------------------------------------------------


def test_a_run_that_waits_longer_than_a_message_can_is_sent_again_by_a_schedule(app: App, deployed: Deployed) -> None:
    ready: list[bool] = []

    @app.on(Processed)
    def train(event: Processed) -> Trained:
        if not ready:
            raise Later(days=2)
        return Trained(n=event.n)

    assert deployed.failures(batch(record(Processed(n=1), id="1"))) == []
    [schedule] = deployed.scheduler.schedules.values()
    assert schedule["ScheduleExpression"] == "at(2027-01-17T08:00:00)"
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert schedule["Target"]["Arn"] == "arn:aws:sqs:eu-west-1:123456789012:churn-train"
    assert schedule["Target"]["RoleArn"] == ROLE
    undelivered = "arn:aws:sqs:eu-west-1:123456789012:churn-undelivered-dead"
    assert schedule["Target"]["DeadLetterConfig"] == {"Arn": undelivered}
    ready.append(True)
    deployed.clock.now += 2 * 86_400
    assert deployed.failures(batch(record(schedule["Target"]["Input"], id="another"))) == []
    assert [event.type for event in deployed.published()] == ["Trained"]


def test_a_schedule_that_is_there_is_not_made_again(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None:
        raise Later(days=2)

    for _ in range(2):
        assert deployed.failures(batch(record(Processed(n=1)))) == []
    assert len(deployed.scheduler.schedules) == 1


def test_without_a_role_for_schedules_a_message_is_hidden_as_long_as_may_be(app: App) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None:
        raise Later(days=2)

    deployed = Deployed(app, role=None)
    assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert deployed.queue.hidden == {"handle-m1": 12 * 3600 - 300}


# --- order and time --------------------------------------------------------------------------------------------------


def test_after_a_failure_the_rest_of_its_group_is_handed_back_untouched(app: App, deployed: Deployed) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        ran.append(event.n)
        if event.n == 2:
            raise OSError

    messages = [(1, "a"), (2, "a"), (3, "a"), (4, "b")]
    given = batch(*(record(Processed(n=n), id=f"m{n}", group=group) for n, group in messages))
    assert deployed.failures(given) == ["m2", "m3"]
    assert ran == [1, 2, 4]
    assert deployed.queue.hidden == {"handle-m2": 10, "handle-m3": 0}, "the first of a group shuts it, and no other"


def test_an_ordered_message_that_waits_for_days_keeps_its_place(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None:
        raise Later(days=2)

    assert deployed.failures(batch(record(Processed(n=1), group="a"))) == ["m1"]
    assert deployed.scheduler.schedules == {}


def told(etag: str, sequencer: str, id: str = "m1", size: int = 3) -> dict[str, Any]:
    thing = {"key": "raw/a.csv", "size": size, "eTag": etag, "sequencer": sequencer}
    notice = {
        "eventVersion": "2.3", "eventSource": "aws:s3", "eventTime": "2027-01-15T08:00:00.000Z",
        "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "acme"}, "object": thing},
    }  # fmt: skip
    return record(json.dumps({"Records": [notice]}), id=id)


def test_the_same_bytes_put_again_are_no_new_event_and_what_a_retry_waits_for_is_not_dropped() -> None:
    app, seen = App("churn", sources=[Bucket("s3://acme/raw", name="incoming")], retry=PATIENT), []

    @app.on(ObjectCreated)
    def train(event: ObjectCreated) -> None:
        seen.append(event.version)
        if len(seen) == 1:
            raise OSError

    deployed = Deployed(app)
    assert deployed.failures(batch(told("one", "01"))) == ["m1"]
    assert deployed.failures(batch(told("one", "02", "m2"), told("two", "03", "m3"), told("one", "04", "m4"))) == []
    assert seen == ["one", "two", "one"]
    deployed.clock.now += 10
    assert deployed.failures(batch(told("one", "01"), told("two", "03", "m5"), told("two", "00", "m6"))) == []
    assert seen == ["one", "two", "one", "one"], "the first one's second attempt"
    assert {item["state"] for item in deployed.table.records()} == {"done"}


def test_content_that_is_back_after_other_that_the_route_does_not_take_is_told_again() -> None:
    app, seen = App("churn", sources=[Bucket("s3://acme/raw", name="incoming")]), []

    @app.on(ObjectCreated, where={"size": above(0)})
    def train(event: ObjectCreated) -> None:
        seen.append(event.version)

    Deployed(app).call(batch(told("one", "01"), told("none", "02", "m2", size=0), told("one", "03", "m3")))
    assert seen == ["one", "one"]


def test_an_object_is_told_though_the_function_was_killed_after_it_was_seen() -> None:
    app, seen = App("churn", sources=[Bucket("s3://acme/raw", name="incoming")]), []

    @app.on(ObjectCreated)
    def train(event: ObjectCreated) -> None:
        seen.append(event.version)

    deployed = Deployed(app)
    with pytest.raises(Killed):
        deployed.call(batch(told("one", "01")), life=Life(1, after=True))
    assert deployed.failures(batch(told("one", "01"))) == []
    assert seen == ["one"]


def test_a_batch_stops_before_the_deadline_and_hands_back_the_rest(app: App, deployed: Deployed) -> None:
    ran = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        ran.append(event.n)
        deployed.clock.now += 8

    given = batch(*(record(Processed(n=n), id=f"m{n}") for n in range(4)))
    assert deployed.failures(given, left=25) == ["m2", "m3"]  # 9 s are left then, 2 of them to settle
    assert ran == [0, 1]
    assert deployed.queue.hidden == {"handle-m2": 0, "handle-m3": 0}
    assert len(deployed.table.records()) == 2


def test_a_run_whose_timeout_is_longer_than_what_is_left_is_not_begun(app: App, deployed: Deployed) -> None:
    ran = []

    @app.on(Processed, timeout=20)
    def train(event: Processed) -> None:
        ran.append(event.n)
        deployed.clock.now += 5

    given = batch(*(record(Processed(n=n), id=f"m{n}") for n in range(2)))
    assert deployed.failures(given, left=26) == ["m1"]
    assert ran == [0]


# --- coroutines ------------------------------------------------------------------------------------------------------


def test_coroutines_run_on_one_loop_for_the_environment(app: App, deployed: Deployed) -> None:
    loops = []

    @app.on(Processed)
    async def train(event: Processed) -> Trained:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return Trained(n=1)

    function = deployed.function()
    for n in range(2):
        function(batch(record(Processed(n=n), id=f"m{n}")), Invocation(deployed.clock, 60, "request"))
    assert len(loops) == 2
    assert loops[0] is loops[1]
    assert len(deployed.published()) == 2


def test_a_resource_is_made_once_for_the_environment(app: App, deployed: Deployed) -> None:
    made = []

    @app.resource
    def client() -> str:
        made.append(1)
        return "client"

    @app.on(Processed)
    def train(event: Processed) -> None:
        assert client() == "client"

    function = deployed.function()
    for n in range(2):
        function(batch(record(Processed(n=n), id=f"m{n}")), Invocation(deployed.clock, 60, "request"))
    assert made == [1]


def test_a_coroutine_is_cancelled_at_its_timeout_and_tried_again(app: App, deployed: Deployed) -> None:
    @app.on(Processed, timeout=0.01)
    async def train(event: Processed) -> None:
        await asyncio.Event().wait()

    assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert "ran out of time: timeout=0.01 s" in deployed.table.record()["error"]


def test_a_coroutine_is_ended_before_the_function_is(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    async def train(event: Processed) -> None:
        await asyncio.Event().wait()

    assert deployed.failures(batch(record(Processed(n=1))), left=2.01) == ["m1"]
    assert "was ended before the function's own time-out" in deployed.table.record()["error"]


def test_a_coroutine_that_cancels_itself_has_failed(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    async def train(event: Processed) -> None:
        raise asyncio.CancelledError

    assert deployed.failures(batch(record(Processed(n=1)))) == ["m1"]
    assert "cancelled by itself" in deployed.table.record()["error"]


def test_a_coroutines_own_time_out_is_not_the_routes(app: App, deployed: Deployed) -> None:
    @app.on(Processed, timeout=30)
    async def train(event: Processed) -> None:
        raise TimeoutError("the server")

    deployed.call(batch(record(Processed(n=1))))
    assert deployed.table.record()["error"] == "TimeoutError: the server"


VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


def test_context_variables_of_one_run_are_not_the_next_ones(app: App, deployed: Deployed) -> None:
    seen = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("left behind")

    deployed.call(batch(record(Processed(n=1), "a"), record(Processed(n=2), "b")))
    assert seen == ["unset", "unset"]


# --- what is pushed --------------------------------------------------------------------------------------------------

DIRECT = {"specversion": "1.0", "id": "d1", "source": "me", "type": "Processed", "data": {"n": 5}}


def test_a_caller_is_told_what_ran(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return Trained(n=event.n)

    @app.on(Processed)
    def report(event: Processed) -> None:
        raise Reject("no")

    answer = deployed.call(DIRECT)
    assert [(run["route"], run["state"]) for run in answer["runs"]] == [("train", "done"), ("report", "dead")]


def test_a_pushed_event_whose_run_waits_is_sent_to_the_routes_queue(app: App, deployed: Deployed) -> None:
    @app.on(Processed)
    def train(event: Processed) -> None:
        raise OSError

    assert [run["state"] for run in deployed.call(DIRECT)["runs"]] == ["waiting"]
    [schedule] = deployed.scheduler.schedules.values()
    assert schedule["Target"]["Arn"].endswith(":churn-train")
    assert schedule["ScheduleExpression"] == "at(2027-01-15T08:00:10)", "not before it can have been made"
    deployed.clock.now += 60
    assert deployed.failures(batch(record(schedule["Target"]["Input"]))) == ["m1"]
    assert deployed.table.record()["attempt"] == 2


def test_a_pushed_event_whose_run_must_keep_its_place_in_an_ordered_queue_is_left_to_who_calls(
    app: App, deployed: Deployed
) -> None:
    @app.on(Processed, concurrency=1)
    def train(event: Processed) -> None:
        raise OSError

    with pytest.raises(Unfinished, match="of 'train' is waiting"):
        deployed.call(DIRECT)
    assert deployed.scheduler.schedules == {}


def test_a_pushed_event_that_could_not_be_put_off_raises_so_that_lambda_calls_again(app: App) -> None:
    tries = []

    @app.on(Processed)
    def train(event: Processed) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError

    deployed = Deployed(app, role=None)
    with pytest.raises(Unfinished, match="of 'train' is waiting"):
        deployed.call(DIRECT)
    deployed.clock.now += 60
    assert [run["state"] for run in deployed.call(DIRECT)["runs"]] == ["done"]


def test_a_caller_whose_payload_is_no_event_is_told_what_to_send(app: App, deployed: Deployed) -> None:
    answer = deployed.call({"hello": "world"})
    assert answer["runs"] == []
    assert "invoke it with one like" in answer["rejected"][0]


def test_a_payload_with_half_of_a_character_is_kept_and_said_like_any_other(deployed: Deployed) -> None:
    assert "invoke it with one like" in deployed.call({"id": "\ud800"})["rejected"][0]
    kept = deployed.table.record()
    assert [kept[name].encode() for name in ("event", "error", "event_id")]
    line = JsonLines().format(logging.makeLogRecord({"msg": "rejected \ud800"}))
    assert json.loads(line)["message"] == "rejected \ud800"


# --- logs and start --------------------------------------------------------------------------------------------------


STARTED = """
import json, sys
from tests.aws.deployed import Clock, Deployed, Invocation, batch, on_the_bus, record, row
from triggers import App, Context, Event
import logging
from triggers.aws import logs, serverless
class Processed(Event):
    n: int
app = App("churn")
@app.on(Processed)
def train(event: Processed, context: Context) -> None:
    logging.getLogger("mine").warning("in the handler")
    context.log.info("by the context")
deployed = Deployed(app)
function = deployed.function()
function._lines = function._runs._lines = logs.set_up()
caused = row(Processed(n=1), "m1")._replace(root=5, cause=7, depth=2)
function(batch(record(on_the_bus(caused))), Invocation(Clock(), 60, "request-7"))
"""
OWN_LINES = """
import logging, sys
from triggers.aws import logs
own = logging.StreamHandler(sys.stdout)
own.setFormatter(logging.Formatter("%(levelname)s %(name)s %(module)s %(threadName)s %(message)s"))
logging.getLogger("triggers").addHandler(own)
logs.set_up()
logs.ended("done", outcome="done")
"""


def test_every_line_that_is_logged_names_its_run(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["message"] for line in lines] == ["in the handler", "by the context", "done"]
    number = wire.number_of("test", "m1")
    for line in lines:
        assert line["request"] == "request-7"
        assert (line["route"], line["event"], line["attempt"]) == ("train", f"e{number}", 1)
        assert (line["root"], line["cause"], line["depth"]) == ("e5", "r7", 2)
        assert line["run"] == f"r{wire.number_of('test', 'm1', 'train')}"
    assert lines[2]["outcome"] == "done"


def test_an_end_may_be_formatted_in_any_way(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OWN_LINES], capture_output=True, text=True, check=True)
    assert (done.stderr, done.stdout.splitlines()[0].split()[:2]) == ("", ["INFO", "triggers.run"])


def test_the_entry_loads_neither_the_loop_nor_boto_nor_the_command_line() -> None:
    code = "import sys; import triggers.aws.serverless; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unwanted = {"asyncio", "boto3", "botocore", "aiobotocore", "apsw", "watchdog", "click", "rich"}
    assert not unwanted & set(done.stdout.split())


FIRST = """
import sys
from triggers import App, Event
class Processed(Event):
    n: int
class Trained(Event):
    n: int
app = App("churn")
@app.on(Processed)
async def train(event: Processed) -> Trained:
    return Trained(n=event.n)
class Invocation:
    aws_request_id, invoked_function_arn = "request-7", "arn:aws:lambda:us-east-1:123456789012:function:churn"
    def get_remaining_time_in_millis(self):
        return 60_000
from triggers.aws import serverless
function = serverless.handler
built, there = [kind.__pydantic_complete__ for kind in (Processed, Trained)], set(sys.modules)
event = {"specversion": "1.0", "id": "1", "source": "me", "type": "Processed", "data": {"n": 1}}
[run] = function(event, Invocation())["runs"]
loaded = {name.partition(".")[0] for name in set(sys.modules) - there}
print(run["state"], built, loaded & {"triggers", "pydantic", "asyncio", "http", "ssl"}, file=sys.stderr)
"""


def test_a_first_event_finds_all_loaded_and_built() -> None:
    claimed = Reply({"Attributes": {"attempt": {"N": "1"}, "counted": {"N": "1"}, "first": {"N": "1"}}})
    with scripted(claimed) as service:
        environment = {
            "TRIGGERS_APP": "__main__:app",
            "AWS_ENDPOINT_URL": service.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        done = subprocess.run(
            [sys.executable, "-c", FIRST], capture_output=True, text=True, env={**os.environ, **environment}, check=True
        )
    assert done.stderr == "done [True, True] set()\n"


HANDED_BACK = """
import sys
from tests.aws.deployed import Clock, Invocation, batch, record
from triggers import App, Event
class Processed(Event):
    n: int
app = App("churn")
@app.on(Processed)
def train(event: Processed) -> None:
    raise OSError
from triggers.aws import serverless
answer = serverless.handler(batch(record(Processed(n=1))), Invocation(Clock(), 60, "request-7"))
print(answer["batchItemFailures"], {"boto3"} & set(sys.modules), file=sys.stderr)
"""


def test_a_message_is_handed_back_without_waiting_for_boto3() -> None:
    claimed = Reply({"Attributes": {"attempt": {"N": "1"}, "counted": {"N": "1"}, "first": {"N": "1"}}})
    with scripted(claimed, Reply({}), Reply({"Successful": [], "Failed": []})) as service:
        environment = {
            "TRIGGERS_APP": "__main__:app",
            "AWS_ENDPOINT_URL": service.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        command = [sys.executable, "-c", HANDED_BACK]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=True)
    assert done.stderr == "[{'itemIdentifier': 'm1'}] set()\n"
    asked = service.asked[-1]
    assert asked.headers["x-amz-target"] == "AmazonSQS.ChangeMessageVisibilityBatch"
    assert json.loads(asked.body)["QueueUrl"] == f"{service.endpoint}/123456789012/churn-train"


def test_a_type_that_cannot_be_built_fails_its_runs_and_not_the_function() -> None:
    code = """
from triggers import App, Event
class Lock: ...
class Odd(Event):
    lock: Lock
app = App("churn")
@app.on(Odd)
def take(event: Odd) -> None: ...
from triggers.aws import serverless
serverless.handler
"""
    environment = {**os.environ, "TRIGGERS_APP": "__main__:app"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "TRIGGERS_APP='' names no app; write module:app"),
        ({"TRIGGERS_APP": "churn"}, "TRIGGERS_APP='churn' names no app; write module:app"),
        ({"TRIGGERS_APP": ".app:app"}, "TRIGGERS_APP='.app:app' names no app; write module:app"),
        (
            {"TRIGGERS_APP": "nomod:app"},
            "TRIGGERS_APP='nomod:app': the function has no module 'nomod'; write module:app as",
        ),
        (
            {"TRIGGERS_APP": "tests.aws.lambda_app:nothing"},
            "TRIGGERS_APP='tests.aws.lambda_app:nothing': module 'tests.aws.lambda_app' has no App called 'nothing';"
            " known: app",
        ),
        (
            {"TRIGGERS_APP": "tests.aws.lambda_app:Trained"},
            "module 'tests.aws.lambda_app' has a ModelMetaclass, and no App, called 'Trained'; known: app",
        ),
        (
            {"TRIGGERS_APP": "tests.aws.lambda_app:app", "TRIGGERS_ROUTES": "trian"},
            "TRIGGERS_ROUTES names 'trian', which app 'lambda' has not; did you mean 'train'?",
        ),
    ],
)
def test_what_is_wrong_with_the_environment_is_said(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WiringError) as told:
        load()
    assert said in str(told.value)


def test_a_library_that_the_app_imports_and_that_is_not_packed_is_named_by_python_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_packed.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TRIGGERS_APP", "half_packed:app")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_library'"):
        load()


# --- what a queue of the user's own brings for routes that hear of it by the bus --------------------------------------


@pytest.fixture
def shop() -> Deployed:
    """Return an app whose queue brings what a handler emits, too, in a function that has not the routes on that."""
    app = App("churn", sources=[Queue("orders")], retry=PATIENT)

    @app.on(MessageReceived, source="orders")
    def receive(event: MessageReceived) -> Processed:
        return Processed(n=0)

    @app.on(Processed, where={"n": above(0)})
    def train(event: Processed) -> None: ...

    @app.on(RunFailed)
    def tell(event: RunFailed) -> None: ...

    return Deployed(app, only=["receive"])


def ordered(kind: str = "Processed", id: str = "1", source: str = "shell", **data: Any) -> dict[str, Any]:
    """Return a message of the queue "orders" with an event as CloudEvents."""
    body = {"specversion": "1.0", "id": id, "source": source, "type": kind, "data": data}
    queue = "arn:aws:sqs:eu-west-1:123456789012:orders"
    return {**record(json.dumps(body), f"m{id}"), "eventSourceARN": queue}


def test_an_event_that_no_route_of_the_function_takes_goes_on_by_the_bus_as_itself(shop: Deployed) -> None:
    failed = RunFailed(
        run="r1", route="far", event_id="1", event_type="Text", error="OSError", message="no", attempts=1
    )
    sent = batch(ordered(n=1), ordered("RunFailed", "2", **failed.model_dump()))
    assert shop.failures(sent) == []
    first, second = shop.published()
    assert (first.type, first.source, first.id, first.data) == ("Processed", "shell", "1", '{"n":1}')
    assert (first.root, first.depth, first.cause) == (wire.number_of("shell", "1"), 0, None), "it begins a chain"
    assert (second.type, second.id) == ("RunFailed", "2")
    assert shop.table.records() == [], "whoever takes it by the bus has the run"


def test_an_event_that_goes_on_by_the_bus_again_is_the_same_one(shop: Deployed) -> None:
    with pytest.raises(Killed):
        shop.call(batch(ordered(n=1)), life=Life(1, after=True))
    shop.call(batch(ordered(n=1)))
    assert [event.number for event in shop.published()] == [wire.number_of("shell", "1")] * 2


def test_a_message_whose_event_the_bus_does_not_take_comes_again(shop: Deployed) -> None:
    shop.bus.failing = [1] * 6
    assert shop.failures(batch(ordered(n=1), ordered(id="2", n=2))) == ["m1"]
    assert [event.id for event in shop.published()] == ["2"]


def test_an_event_that_the_bus_cannot_carry_is_rejected(shop: Deployed) -> None:
    assert shop.failures(batch(ordered(n=1, more=2**70))) == []
    [kept] = shop.table.records()
    assert kept["state"] == "rejected"
    assert "which EventBridge does not carry" in str(kept)
    assert shop.bus.entries == []


def test_an_event_that_nothing_takes_is_logged_and_goes_nowhere(
    shop: Deployed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert shop.failures(batch(ordered(n=-1))) == []
    assert "Processed '1' of orders is left: no route takes it" in caplog.text
    assert shop.bus.entries == []

"""The event source mapping: its rules over a queue in memory, and what SQS does about them over moto's."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from triggers.aws.clients import connected
from triggers.aws.mapping import EventSourceMapping, Terms, failures, record
from triggers.aws.runtime import Function, Result, Settings
from triggers.errors import EventError, WiringError
from triggers.testing import FakeClock

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
Answer = Callable[[Any], Awaitable[Any]]


class Queue:
    """A queue in memory, with the calls of a client that a mapping makes. A long poll ends by the clock."""

    def __init__(self, clock: FakeClock, *bodies: str) -> None:
        self.clock = clock
        self.visible = [message(number, body) for number, body in enumerate(bodies)]
        self.deleted: list[str] = []
        self.back: list[str] = []
        self.asked: list[tuple[int, int]] = []
        self.troubles: list[Exception] = []
        self.stuck: Exception | None = None
        self.arrived = asyncio.Event()

    def put(self, one: Mapping[str, Any]) -> None:
        self.visible.append(dict(one))
        self.arrived.set()

    async def receive_message(self, **request: Any) -> Mapping[str, Any]:
        self.asked.append((request["MaxNumberOfMessages"], request["WaitTimeSeconds"]))
        if self.troubles:
            raise self.troubles.pop(0)
        if not self.visible:
            self.arrived.clear()
            waits = [
                asyncio.ensure_future(one)
                for one in (self.clock.sleep(request["WaitTimeSeconds"]), self.arrived.wait())
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        taken = self.visible[: request["MaxNumberOfMessages"]]
        del self.visible[: len(taken)]
        return {"Messages": taken} if taken else {}

    async def delete_message_batch(self, **request: Any) -> Mapping[str, Any]:
        assert len(request["Entries"]) <= 10
        if self.stuck:
            raise self.stuck
        self.deleted += [entry["ReceiptHandle"] for entry in request["Entries"]]
        return {}

    async def change_message_visibility_batch(self, **request: Any) -> Mapping[str, Any]:
        assert all(entry["VisibilityTimeout"] == 0 for entry in request["Entries"])
        self.back += [entry["ReceiptHandle"] for entry in request["Entries"]]
        return {}


class Fake:
    """A function that answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.batches: list[list[str]] = []
        self._answer = answer

    async def invoke(self, payload: Any) -> Result:
        self.batches.append([one["body"] for one in payload["Records"]])
        found = await self._answer(payload)
        error = {"errorType": "ValueError", "errorMessage": str(found)} if isinstance(found, Exception) else None
        return Result("1", None if error else found, error, 0.0, (), cold=False)


def message(number: int, body: str, **more: Any) -> dict[str, Any]:
    return {"MessageId": f"m{number}", "ReceiptHandle": f"h{number}", "Body": body, "MD5OfBody": "x", **more}


def answering(value: Any) -> Answer:
    async def answer(_: Any) -> Any:
        return value

    return answer


def carried(
    *bodies: str,
    answer: Answer | None = None,
    seconds: float = 100,
    troubles: Sequence[Exception] = (),
    stuck: Exception | None = None,
    late: Mapping[float, str] | None = None,
    wait: int = 20,
    **terms: Any,
) -> tuple[Queue, Fake]:
    """Let a mapping carry messages for some time of a fake clock; `late` come after so many seconds."""
    clock = FakeClock()
    queue, function = Queue(clock, *bodies), Fake(answer or answering(None))
    queue.troubles, queue.stuck = list(troubles), stuck

    async def arrive(after: float, body: str) -> None:
        await clock.sleep(after)
        queue.put(message(len(bodies) + 1, body))

    async def main() -> None:
        mapping = EventSourceMapping(queue, "https://x/1/orders", ARN, function, Terms(**terms), wait=wait, clock=clock)
        coming = [asyncio.ensure_future(arrive(*one)) for one in (late or {}).items()]
        task = asyncio.ensure_future(mapping.run())
        await settle()
        while clock.step(1000.0 + seconds):
            await settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.gather(*coming)

    asyncio.run(main())
    return queue, function


async def settle(turns: int = 200) -> None:
    """Let all do what can be done without the clock."""
    for _ in range(turns):
        await asyncio.sleep(0)


def numbered(count: int) -> list[str]:
    return [f"b{number}" for number in range(count)]


# --- batches


def test_messages_come_in_batches_and_are_deleted_when_the_function_returns() -> None:
    queue, function = carried(*numbered(12))
    assert function.batches == [numbered(12)[:10], ["b10", "b11"]]
    assert queue.deleted == [f"h{number}" for number in range(12)]


def test_no_batch_is_larger_than_its_size() -> None:
    _, function = carried(*numbered(5), batch=2)
    assert [len(batch) for batch in function.batches] == [2, 2, 1]


def test_without_a_window_a_batch_does_not_wait() -> None:
    _, function = carried("a", late={1: "b"}, batch=10)
    assert function.batches == [["a"], ["b"]]


def test_a_window_begins_with_the_first_message_and_gathers_what_comes_within_it() -> None:
    _, function = carried(late={3: "a", 7: "b", 8.5: "c"}, window=5)
    assert function.batches == [["a", "b"], ["c"]]


def test_a_full_batch_does_not_wait_for_its_window() -> None:
    _, function = carried(*numbered(25), batch=20, window=300, seconds=1)
    assert function.batches == [numbered(20)]


def test_a_batch_ends_before_six_mebibytes() -> None:
    _, function = carried(*["x" * 1_000_000] * 8, batch=10)
    assert [len(batch) for batch in function.batches] == [6, 2]


def test_an_empty_queue_is_asked_by_long_polls() -> None:
    queue, _ = carried(seconds=60)
    assert set(queue.asked) == {(10, 20)}


def test_an_empty_queue_that_is_asked_by_short_polls_has_a_pause_between_them() -> None:
    queue, _ = carried(seconds=10, wait=0)
    assert queue.asked == [(10, 0)] * 21


# --- what comes of a batch


def test_a_batch_on_which_the_function_fails_is_left_to_the_queue() -> None:
    queue, _ = carried("a", "b", answer=answering(ValueError("no such table")), partial=True)
    assert (queue.deleted, queue.back) == ([], [])


@pytest.mark.parametrize("error", [EventError("too large"), OSError("no process could be started")])
def test_a_batch_that_cannot_be_handed_over_is_left_to_the_queue_which_is_named(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_: Any) -> Any:
        raise error

    queue, function = carried("a", answer=refuse)
    assert len(function.batches) == 1
    assert queue.deleted == []
    assert f"queue 'orders': a batch of 1 could not be handed over: {error}" in caplog.text


def test_only_what_is_reported_as_failed_is_left_to_the_queue() -> None:
    answer = answering({"batchItemFailures": [{"itemIdentifier": "m1"}]})
    assert carried("a", "b", "c", answer=answer, partial=True)[0].deleted == ["h0", "h2"]


def test_a_report_counts_only_where_it_is_asked_for() -> None:
    answer = answering({"batchItemFailures": [{"itemIdentifier": "m1"}]})
    assert carried("a", "b", answer=answer)[0].deleted == ["h0", "h1"]


@pytest.mark.parametrize("response", [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}, {"other": 1}])
def test_an_empty_report_is_success(response: object) -> None:
    assert failures(response, ["m0", "m1"]) in ((), [])


@pytest.mark.parametrize(
    "reported",
    [
        [{"itemIdentifier": ""}],
        [{"itemIdentifier": None}],
        [{"itemIdentifer": "m0"}],
        [{"itemIdentifier": "unknown"}],
        [{"itemIdentifier": "m0"}, {"itemIdentifier": "unknown"}],
        [{"itemIdentifier": 7}],
        [{"itemIdentifier": ["m0"]}],
        ["m0"],
        "m0",
        {"itemIdentifier": "m0"},
    ],
)
def test_a_report_that_names_no_message_of_the_batch_is_complete_failure(reported: object) -> None:
    assert failures({"batchItemFailures": reported}, ["m0", "m1"]) == ["m0", "m1"]


@pytest.mark.parametrize("response", ["done", 7, ["m0"], True])
def test_a_response_that_is_no_object_is_complete_failure(response: object) -> None:
    assert failures(response, ["m0"]) == ["m0"]


# --- filters


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ({"body": {"n": [{"numeric": [">", 1]}]}}, ['{"n": 2}']),
        ({"body": ["text"]}, ["text"]),
        ({"eventSource": ["aws:sqs"]}, ['{"n": 1}', '{"n": 2}', "text", "[1"]),
        ({"body": {"n": [{"exists": False}]}, "awsRegion": ["eu-west-1"]}, ["text", "[1"]),
    ],
)
def test_a_body_of_json_is_matched_as_json_and_any_other_as_text(pattern: Any, wanted: list[str]) -> None:
    queue, function = carried('{"n": 1}', '{"n": 2}', "text", "[1", filters=[json.dumps(pattern)])
    assert function.batches == [wanted]
    assert sorted(queue.deleted) == ["h0", "h1", "h2", "h3"]


def test_one_of_several_filters_is_enough() -> None:
    filters = [{"body": {"n": [1]}}, {"body": {"n": [2]}}]
    assert carried('{"n": 1}', '{"n": 3}', '{"n": 2}', filters=filters)[1].batches == [['{"n": 1}', '{"n": 2}']]


def test_what_is_filtered_out_is_deleted_although_the_function_fails_and_counts_for_no_batch() -> None:
    bodies = [json.dumps({"n": n % 2}) for n in range(8)]
    filters = [{"body": {"n": [1]}}]
    queue, function = carried(*bodies, answer=answering(ValueError()), batch=4, window=1, filters=filters)
    assert function.batches == [['{"n": 1}'] * 4]
    assert queue.deleted == ["h0", "h2", "h4", "h6"]


# --- at once


@pytest.mark.parametrize(("concurrency", "most"), [(2, 2), (7, 7), (None, 5)])
def test_no_more_invocations_are_at_work_than_the_maximum(concurrency: int | None, most: int) -> None:
    at_work: list[int] = []
    working = 0
    end = asyncio.Event()

    async def answer(_: Any) -> None:
        nonlocal working
        working += 1
        at_work.append(working)
        if working == most:
            await settle(50)  # another one would have begun
            end.set()
        await end.wait()
        working -= 1

    queue, _ = carried(*numbered(20), answer=answer, batch=1, concurrency=concurrency)
    assert max(at_work) == most
    assert len(queue.deleted) == 20


def test_what_is_on_its_way_at_the_end_is_handed_back() -> None:
    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    queue, _ = carried(*numbered(5), answer=never, batch=3, window=300)
    assert sorted(queue.back) == ["h0", "h1", "h2", "h3", "h4"]
    assert queue.deleted == []


# --- trouble


def throttled(code: str = "ThrottlingException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "slow down"}}, "ReceiveMessage")


def test_a_queue_that_cannot_be_asked_is_asked_again_later_and_later(caplog: pytest.LogCaptureFixture) -> None:
    _, function = carried("a", troubles=[throttled()] * 7)
    assert function.batches == [["a"]]
    assert [line.rsplit(" ", 2)[1] for line in caplog.messages] == ["1", "2", "4", "8", "16", "30", "30"]


def test_a_message_that_cannot_be_deleted_is_left_to_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    queue, _ = carried("a", stuck=throttled())
    assert queue.deleted == []
    assert "1 messages were not deleted, and come again" in caplog.text


def test_a_queue_that_is_not_there_is_named_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    _, function = carried("a", troubles=[throttled("AWS.SimpleQueueService.NonExistentQueue")])
    assert function.batches == [["a"]]
    assert "queue 'orders' does not exist" in caplog.text


# --- terms


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"batch": 0}, "BatchSize is 0; Lambda takes 1 to 10,000"),
        ({"batch": 10_001, "window": 1}, "BatchSize is 10001"),
        ({"batch": 11}, "BatchSize is 11; above 10, MaximumBatchingWindowInSeconds must be 1 or more"),
        ({"window": 301}, "MaximumBatchingWindowInSeconds is 301; Lambda takes 0 to 300"),
        ({"concurrency": 1}, "MaximumConcurrency is 1; Lambda takes 2 to 1,000"),
        ({"filters": [{"body": [1]}] * 11}, "11 filters; Lambda takes up to 10"),
        ({"filters": ['{"body": [{"prefx": "a"}]}']}, "FilterCriteria: body"),
    ],
)
def test_terms_that_lambda_would_not_take_are_refused(terms: dict[str, Any], reason: str) -> None:
    with pytest.raises(WiringError, match=reason):
        Terms(**terms)


@pytest.mark.parametrize("terms", [{"batch": 100, "window": 1}, {"window": 1}])
def test_a_fifo_queue_takes_ten_messages_at_most_and_no_window(terms: dict[str, Any]) -> None:
    with pytest.raises(WiringError, match=r"queue 'orders.fifo': .*FIFO"):
        EventSourceMapping(None, "https://x/1/orders.fifo", ARN + ".fifo", Fake(answering(None)), Terms(**terms))


def test_terms_are_read_from_a_templates_properties() -> None:
    properties = {
        "BatchSize": 20,
        "MaximumBatchingWindowInSeconds": 3,
        "ScalingConfig": {"MaximumConcurrency": 4},
        "FilterCriteria": {"Filters": [{"Pattern": '{"body": ["a"]}'}]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert Terms.of(properties) == Terms(20, 3, 4, ('{"body": ["a"]}',), partial=True)
    assert Terms.of({"EventSourceArn": ARN}) == Terms()


def test_a_record_has_the_shape_of_lambdas() -> None:
    given = message(
        1,
        "text",
        Attributes={"ApproximateReceiveCount": "2"},
        MD5OfMessageAttributes="y",
        MessageAttributes={
            "word": {"StringValue": "a", "DataType": "String"},
            "data": {"BinaryValue": b"\x00\xff", "DataType": "Binary"},
        },
    )
    assert record(given, ARN) == {
        "messageId": "m1",
        "receiptHandle": "h1",
        "body": "text",
        "attributes": {"ApproximateReceiveCount": "2"},
        "messageAttributes": {
            "word": {"stringValue": "a", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
            "data": {
                "binaryValue": base64.b64encode(b"\x00\xff").decode(),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "Binary",
            },
        },
        "md5OfBody": "x",
        "md5OfMessageAttributes": "y",
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": "eu-west-1",
    }


# --- over SQS itself

POISONED = """
def handler(event, context):
    failed = [{"itemIdentifier": one["messageId"]} for one in event["Records"] if one["body"] == "poison"]
    return {"batchItemFailures": failed}
"""


def made(name: str, **attributes: str) -> tuple[str, str]:
    """Make a queue, and return its URL and ARN."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


async def until(found: Callable[[], bool], url: str, arn: str, function: Any, terms: Terms) -> None:
    """Let a mapping carry what is in a queue until something is found."""
    async with connected("sqs") as client:
        task = asyncio.ensure_future(EventSourceMapping(client, url, arn, function, terms, wait=1).run())
        try:
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(found):
                    assert not task.done() or task.result()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def waiting(url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(map(int, found.values()))


def test_a_poison_message_ends_in_the_dead_letter_queue_and_the_others_are_done(
    endpoint: str, unique: str, tmp_path: Path
) -> None:
    sqs = boto3.client("sqs")
    dead, dead_arn = made(f"{unique}-dead")
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = made(unique, VisibilityTimeout="1", RedrivePolicy=policy)
    for body in ("a", "poison", "b"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    (tmp_path / "poisoned.py").write_text(POISONED)

    async def main() -> None:
        async with Function(tmp_path, Settings("poisoned.handler", {}, timeout=60)) as function:
            await until(lambda: waiting(url) == 0 and waiting(dead) == 1, url, arn, function, Terms(partial=True))

    asyncio.run(main())
    [left] = sqs.receive_message(QueueUrl=dead)["Messages"]
    assert left["Body"] == "poison"


def test_a_group_keeps_its_order_though_its_first_message_fails_once(endpoint: str, unique: str) -> None:
    sqs = boto3.client("sqs")
    url, arn = made(f"{unique}.fifo", VisibilityTimeout="1", FifoQueue="true", ContentBasedDeduplication="true")
    for number in range(3):
        for group in ("x", "y"):
            sqs.send_message(QueueUrl=url, MessageBody=f"{group}{number}", MessageGroupId=group)
    done: list[str] = []
    tries: list[str] = []

    async def first_fails_once(payload: Any) -> Any:
        failed, stopped = [], set()
        for one in payload["Records"]:
            group = one["attributes"]["MessageGroupId"]
            tries.append(one["body"])
            if group in stopped or (tries.count("x0") == 1 and one["body"] == "x0"):
                stopped.add(group)
                failed.append({"itemIdentifier": one["messageId"]})
            else:
                done.append(one["body"])
        return {"batchItemFailures": failed}

    asyncio.run(until(lambda: len(done) == 6, url, arn, Fake(first_fails_once), Terms(batch=2, partial=True)))
    assert [body for body in done if body[0] == "x"] == ["x0", "x1", "x2"]
    assert [body for body in done if body[0] == "y"] == ["y0", "y1", "y2"]


def ordered(unique: str, *bodies: str) -> tuple[str, str]:
    """Make a queue that holds messages of one group; one that was received is hidden for a second."""
    url, arn = made(f"{unique}.fifo", VisibilityTimeout="1", FifoQueue="true", ContentBasedDeduplication="true")
    for body in bodies:
        boto3.client("sqs").send_message(QueueUrl=url, MessageBody=body, MessageGroupId="x")
    return url, arn


def test_moto_hands_out_the_last_of_a_group_first_where_all_of_it_becomes_visible_at_once(
    endpoint: str, unique: str
) -> None:
    url, _ = ordered(unique, "first", "second", "last")
    sqs = boto3.client("sqs")
    assert len(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]) == 3
    again = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)["Messages"]
    assert again[0]["Body"] == "last", "moto keeps the order of SQS now: a mapping need not help"


def test_a_group_keeps_its_order_though_the_function_itself_fails_once(endpoint: str, unique: str) -> None:
    url, arn = ordered(unique, "a", "b", "c")
    tries: list[list[str]] = []

    async def fails_once(payload: Any) -> Any:
        tries.append([one["body"] for one in payload["Records"]])
        return ValueError("no") if len(tries) == 1 else None

    asyncio.run(until(lambda: waiting(url) == 0, url, arn, Fake(fails_once), Terms(batch=3, partial=True)))
    assert [body for batch in tries[1:] for body in batch] == ["a", "b", "c"]


def test_a_record_of_a_real_queue_is_complete(endpoint: str, unique: str) -> None:
    url, arn = made(unique)
    attributes = {"word": {"StringValue": "a", "DataType": "String"}}
    boto3.client("sqs").send_message(QueueUrl=url, MessageBody="text", MessageAttributes=attributes)
    seen: list[dict[str, Any]] = []

    async def look(payload: Any) -> None:
        seen.extend(payload["Records"])

    asyncio.run(until(lambda: bool(seen), url, arn, Fake(look), Terms()))
    [found] = seen
    assert set(found["attributes"]) >= {
        *("ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"),
    }
    assert found["messageAttributes"]["word"]["stringValue"] == "a"
    assert found["md5OfBody"] == "1cb251ec0d568de6a929b520c4aed8d1"
    assert found["eventSourceARN"] == arn

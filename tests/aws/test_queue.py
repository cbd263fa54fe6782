from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws.stub import Plan, Stub, serving
from tests.sources.site import FakeSite, Tap, run, tapped
from triggers import App, MessageReceived, Queue, TriggersError
from triggers.aws import clients, polling
from triggers.aws.refusals import PATHS
from triggers.aws.server import credentials
from triggers.engine import Engine
from triggers.errors import WiringError
from triggers.journal.views import runs
from triggers.state import StateFolder
from triggers.testing import FakeClock

COUNT = 200


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # what is tried again by us, and when, is what is tested
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@asynccontextmanager
async def served(monkeypatch: pytest.MonkeyPatch, stub: Stub) -> AsyncIterator[Stub]:
    async with serving(stub):
        monkeypatch.setenv("AWS_ENDPOINT_URL", stub.endpoint)
        yield stub


Use = Callable[[Stub, FakeSite, Tap], Any]


@pytest.fixture
def using(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have a queue followed, and do something meanwhile."""

    def use(work: Use, stub: Stub | None = None, **options: Any) -> None:
        async def main() -> None:
            async with served(monkeypatch, stub or Stub()) as served_stub:
                site = FakeSite()
                served_stub.now = site.time.monotonic
                async with tapped(Queue(served_stub.name, **options), site) as tap:
                    await work(served_stub, site, tap)

        run(main())

    return use


# --- what is delivered ---------------------------------------------------------------------------


def test_what_waits_and_what_comes_is_delivered_and_deleted(using: Any) -> None:
    stub = Stub()
    stub.put(*map(str, range(25)))

    async def work(stub: Stub, site: FakeSite, tap: Tap) -> None:
        waiting = await tap.take(25)
        assert [json.loads(one.data)["body"] for one in waiting] == [str(number) for number in range(25)]
        assert {(one.source, one.type) for one in waiting} == {("orders", "MessageReceived")}
        await tap.idle()
        assert stub.left() == 0
        stub.put("late")
        (late,) = await tap.take(1)
        assert json.loads(late.data)["body"] == "late"

    using(work, stub)


@pytest.mark.parametrize(("later", "looked"), [(-1.0, set()), (0.0, {"orders"})])
def test_a_queue_has_looked_when_it_gives_what_was_sent_since_the_start(
    using: Any, later: float, looked: set[str]
) -> None:
    stub = Stub()
    stub.put("a", sent=FakeClock().now() + later)

    async def work(stub: Stub, site: FakeSite, tap: Tap) -> None:
        await tap.take(1)
        await tap.idle()
        assert site.looks == looked

    using(work, stub)


def test_a_message_is_not_deleted_before_the_next_batch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(monkeypatch, Stub()) as stub:
            stub.put("a")
            batches = aiter(Queue("orders").deliveries(FakeSite()))
            assert len(await anext(batches)) == 1
            while stub.calls["ReceiveMessage"] < 2:  # noqa: ASYNC110  # more is asked for meanwhile
                await asyncio.sleep(0)
            for _ in range(200):  # turns of the loop: time enough for a call
                await asyncio.sleep(0)
            assert stub.calls["DeleteMessageBatch"] == 0
            assert await anext(batches) == []
            while not stub.deleted:  # noqa: ASYNC110  # the stub deletes it as soon as the loop turns
                await asyncio.sleep(0)
            await batches.aclose()  # type: ignore[attr-defined]  # it is a generator

    run(main())


def test_events_of_a_group_keep_their_order_and_one_that_is_worked_on_holds_its_group_back(using: Any) -> None:
    stub = Stub("orders.fifo")
    for number in range(40):
        stub.put(str(number), group=f"g{number % 3}")

    async def work(stub: Stub, site: FakeSite, tap: Tap) -> None:
        found = [json.loads(one.data) for one in await tap.take(40)]
        for group in ("g0", "g1", "g2"):
            numbers = [int(one["body"]) for one in found if one["attributes"]["AWS.MessageGroupId"] == group]
            assert numbers == sorted(numbers)
        await tap.idle()
        assert stub.left() == 0

    using(work, stub)


def test_a_queue_of_another_account_is_followed_by_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(monkeypatch, Stub()) as stub:
            stub.put("a")
            site = FakeSite()
            async with tapped(Queue("theirs", url=stub.url), site) as tap:
                assert [one.source for one in await tap.take()] == ["theirs"]
            assert stub.calls["GetQueueUrl"] == 0

    run(main())


def test_what_cannot_be_an_event_is_put_away_and_the_rest_goes_on(using: Any) -> None:
    stub = Stub()
    torn = '{"specversion":"1.0","id":"7"'
    stub.put("before", torn, '{"specversion":"1.0","id":"7","source":"s","type":"Nobodys"}', "x" * 300_000, "after")

    async def work(stub: Stub, site: FakeSite, tap: Tap) -> None:
        assert [json.loads(one.data)["body"] for one in await tap.take(2)] == ["before", "after"]
        await tap.idle()
        assert stub.left() == 0
        reasons = [reason for _, _, _, reason in site.rejected]
        assert "the event is not JSON" in reasons[0]
        assert "no route takes or emits events of the type 'Nobodys'" in reasons[1]
        assert "over the limit of 262,144" in reasons[2]
        source, id, content, _ = site.rejected[0]
        assert (source, id, json.loads(content)["body"]) == ("orders", "m1", torn)

    using(work, stub)


def test_a_source_that_may_not_look_by_itself_looks_when_it_is_poked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        site = FakeSite(watches=False)
        async with tapped(Queue("orders"), site) as tap:
            await tap.idle()  # and nothing is there to be asked
            async with served(monkeypatch, Stub()) as stub:
                for body in ("a", "b"):
                    stub.put(body)
                    await tap.poke()
                    assert tap.arrived.qsize() == 1
                    await tap.take()

    run(main())


# --- what is held --------------------------------------------------------------------------------


def test_what_takes_long_is_kept_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(monkeypatch, Stub()) as stub:
            site = FakeSite()
            stub.now = site.time.monotonic
            stub.put("a")
            batches = aiter(Queue("orders").deliveries(site))
            await anext(batches)
            for renewed in range(1, 11):
                await site.time.advance(polling.RENEW)
                assert stub.hidden() == {"m0"}
                while stub.calls["ChangeMessageVisibilityBatch"] < renewed:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                assert stub.hidden() == {"m0"}
            await batches.aclose()  # type: ignore[attr-defined]

    run(main())


def test_what_was_received_and_not_taken_in_is_handed_back_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(monkeypatch, Stub()) as stub:
            stub.put(*map(str, range(20)))
            batches = aiter(Queue("orders").deliveries(FakeSite()))
            await anext(batches)
            while len(stub.hidden()) < 20:  # noqa: ASYNC110  # the next ones are received meanwhile
                await asyncio.sleep(0)
            await batches.aclose()  # type: ignore[attr-defined]
            assert (stub.hidden(), stub.left()) == (set(), 20)

    run(main())


def test_an_answer_of_a_fifo_queue_that_is_lost_is_given_again(using: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    stub = Stub("orders.fifo", plan=lambda action, call: "lost" if (action, call) == ("ReceiveMessage", 0) else None)
    stub.put("a", "b", group="g")

    async def work(stub: Stub, site: FakeSite, tap: Tap) -> None:
        assert [one.id for one in await tap.take(2)] == ["m0", "m1"]  # though nobody let the time pass
        assert stub.calls["ReceiveMessage"] >= 2

    using(work, stub)


# --- faults --------------------------------------------------------------------------------------


class PauseClock(FakeClock):
    """A clock that tells when a source that failed pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = 0

    async def sleep(self, seconds: float) -> None:
        pause = seconds in (1, 2, 4, 8, 16, 32, 60)
        self.pauses += pause
        await super().sleep(seconds)
        self.pauses -= pause


class Work:
    """An app that takes numbers in from a queue which goes wrong, and notes each that its handler is given."""

    def __init__(self, folder: Path, stub: Stub) -> None:
        self.folder = folder
        self.stub = stub
        self.clock = PauseClock()
        self.failures: list[str] = []
        self.seen: list[int] = []
        stub.now = self.clock.monotonic
        stub.put(*(json.dumps({"number": number}) for number in range(COUNT)))

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[Engine]:
        app = App("app", sources=[Queue(self.stub.name)])

        @app.on(MessageReceived)
        async def note(event: MessageReceived) -> None:
            self.seen.append(event.json_body()["number"])

        async with Engine(app, StateFolder(self.folder), clock=self.clock, durable=False) as engine:
            yield engine

    async def until(self, engine: Engine, over: Callable[[], bool]) -> None:
        """Let time pass whenever it is what is waited for, until a condition is true."""
        while not over():
            await asyncio.sleep(0)
            if self.clock.pauses:
                self.failures.append(engine.intake.failing["orders"])
            if self.clock.pauses or self.stub.waits:
                self.clock.step(self.clock.monotonic() + 5)
                self.stub.look()
            if error := await engine.intake.error():
                raise error

    async def done(self, engine: Engine) -> None:
        """Wait until the queue is empty; check that each number was taken in and handled once."""
        await self.until(engine, lambda: not self.stub.left() and engine.dispatcher.quiet())
        assert sorted(self.seen) == list(range(COUNT))
        rows = await engine.dispatcher.pipeline.asked(lambda journal: runs(journal, limit=2 * COUNT))
        assert [(run.state, run.attempt) for run in rows] == [("done", 1)] * COUNT


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have an app work off a queue that goes wrong."""

    def work_off(stub: Stub, check: Callable[[Work, Engine], Any] | None = None) -> list[str]:
        async def main() -> list[str]:
            async with served(monkeypatch, stub):
                working = Work(tmp_path / "state", stub)
                async with working.begun() as engine:
                    if check:
                        await check(working, engine)
                    await working.done(engine)
                return working.failures

        return asyncio.run(asyncio.wait_for(main(), 60))

    return work_off


def every(most: int, fault: str, *actions: str) -> Plan:
    return lambda action, call: fault if action in actions and call % most == most - 1 else None


SOME = ("ReceiveMessage", "DeleteMessageBatch")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("throttled", "queue 'orders': AWS throttles .*Rate exceeded"),
        ("broken", "queue 'orders': AWS answered InternalError"),
        ("lost", "queue 'orders': Connection was closed before we received a valid response"),
        ("cut", "queue 'orders': .*; check AWS_ENDPOINT_URL, AWS_REGION, the network and its proxy"),
    ],
)
def test_nothing_is_lost_or_done_twice_where_calls_go_wrong(work: Any, fault: str, said: str) -> None:
    stub = Stub(plan=every(3, fault, *SOME))
    failures = work(stub)
    assert stub.faults[fault] > 5
    assert any(re.search(said, failure) for failure in failures), failures


def test_what_botocore_tries_again_does_not_even_show(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    stub = Stub(plan=lambda action, call: "broken" if call == 1 else None)
    assert work(stub) == []
    assert stub.faults["broken"] >= 2


def test_an_endpoint_that_never_answers_is_given_up(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "CALL", 1.0)  # seconds: what a loaded machine may take for an answer
    monkeypatch.setattr(polling, "CALL", 1.0)
    monkeypatch.setattr(polling, "GLANCE", 0)
    stub = Stub(plan=lambda action, call: "silent" if (action, call) in silent else None)
    silent = {("ReceiveMessage", 3), ("DeleteMessageBatch", 2)}
    failures = work(stub)
    assert stub.faults["silent"] == 2
    assert set(failures) == {f"queue 'orders': AWS did not answer within 1 s; {PATHS}"}


def test_messages_that_come_twice_are_done_once(work: Any) -> None:
    stub = Stub(twice=True)
    assert work(stub) == []
    assert len(stub.deleted) == 2 * COUNT


def test_an_endpoint_that_is_away_for_an_hour_shows_as_failing_until_it_is_back(work: Any) -> None:
    async def away(working: Work, engine: Engine) -> None:
        await working.until(engine, lambda: len(working.seen) >= 50)
        await working.stub.away()
        hour = working.clock.monotonic() + 3600
        await working.until(engine, lambda: working.clock.monotonic() > hour)
        assert len(working.failures) > 60
        assert "Could not connect to the endpoint URL" in engine.intake.failing["orders"]
        passing = asyncio.ensure_future(working.until(engine, lambda: False))
        with pytest.raises(TriggersError, match="source 'orders' fails"):
            await engine.quiet()
        passing.cancel()
        await working.stub.back()
        await working.done(engine)
        assert engine.intake.failing == {}

    work(Stub(), away)


def test_credentials_that_expire_are_read_anew_once_they_are_renewed(
    work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))

    def write(key: str) -> None:
        profile.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")

    async def expire(working: Work, engine: Engine) -> None:
        await working.until(engine, lambda: len(working.seen) >= 50)
        working.stub.keys = {"second"}
        await working.until(engine, lambda: bool(engine.intake.failing))
        assert "the credentials have expired" in engine.intake.failing["orders"]
        write("second")

    stub = Stub()
    stub.keys = {"first"}
    write("first")
    work(stub, expire)


def test_a_queue_that_goes_away_at_work_is_awaited(work: Any) -> None:
    async def vanish(working: Work, engine: Engine) -> None:
        await working.until(engine, lambda: len(working.seen) >= 50)
        working.stub.name = "other"
        await working.until(engine, lambda: "does not exist" in engine.intake.failing.get("orders", ""))
        working.stub.name = "orders"

    work(Stub(), vanish)


def test_a_restart_at_work_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(monkeypatch, Stub()) as stub:
            working = Work(tmp_path / "state", stub)
            for part in (50, 100, 150):
                async with working.begun() as engine:
                    await working.until(engine, lambda part=part: len(working.seen) >= part)  # type: ignore[misc]
            async with working.begun() as engine:
                await working.done(engine)

    asyncio.run(asyncio.wait_for(main(), 60))


# --- what a person must mend ---------------------------------------------------------------------


def refused(monkeypatch: pytest.MonkeyPatch, stub: Stub, queue: str = "orders") -> str:
    async def main() -> str:
        async with served(monkeypatch, stub):
            with pytest.raises(WiringError) as raised:
                await anext(aiter(Queue(queue).deliveries(FakeSite())))
            return str(raised.value)

    return run(main())


def test_a_queue_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "queue 'ordres' does not exist in this account and region; create or deploy it" in refused(
        monkeypatch, Stub(), "ordres"
    )


def test_what_is_not_allowed_is_named_with_the_action_and_the_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, Stub(plan=lambda action, call: "denied" if action == "ReceiveMessage" else None))
    assert "arn:aws:iam::1:user/u may not sqs:receivemessage on arn:q; allow it in the identity's policy" in said


def test_where_there_are_no_credentials_it_says_where_to_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "no AWS credentials were found" in refused(monkeypatch, Stub())


def test_where_no_region_is_named_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    assert "no AWS region is named; set AWS_REGION" in refused(monkeypatch, Stub())
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert "does not exist" in refused(monkeypatch, Stub(), "ordres")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"queue": "https://sqs.eu-west-1.amazonaws.com/1/orders"}, "is no name of a queue; .* URL as url="),
        ({"queue": "a.b"}, "'a.b' is no name of a queue"),
        ({"queue": "a" * 81}, "is no name of a queue"),
        ({"queue": "orders", "url": "orders"}, "url='orders' is no URL of a queue; copy it from"),
        ({"queue": "orders", "name": ""}, "name='' names no source"),
    ],
)
def test_what_cannot_be_a_queue_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(WiringError, match=said):
        Queue(**given)


def test_a_queue_is_called_by_its_name_without_its_kind() -> None:
    assert (Queue("orders.fifo").name, Queue("orders", name="in").name) == ("orders", "in")


# --- over moto -----------------------------------------------------------------------------------


def test_messages_of_every_form_come_through_an_emulated_queue(endpoint: str, unique: str) -> None:
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName=unique)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=unique)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    cloud = {"specversion": "1.0", "id": "7", "source": "shell", "type": "Counted", "data": {"number": 7}}
    kind = {"kind": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    sqs.send_message(QueueUrl=url, MessageBody="raw", MessageAttributes=kind)
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(cloud))
    sns.publish(TopicArn=topic, Message="told")
    sns.publish(TopicArn=topic, Message=json.dumps({**cloud, "id": "8"}))

    async def main() -> None:
        site = FakeSite()
        site.types = {"Counted", "MessageReceived"}
        async with tapped(Queue(unique), site) as tap:
            found = sorted((one.type, one.id if one.type == "Counted" else one.data) for one in await tap.take(4))
            await tap.idle()
        assert [one for kind, one in found if kind == "Counted"] == ["7", "8"]
        raw, told = (json.loads(data) for kind, data in found if kind == "MessageReceived")
        assert (raw["body"], raw["attributes"]["kind"], told["body"]) == ("raw", "AP8=", "told")

    run(main())
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (left["ApproximateNumberOfMessages"], left["ApproximateNumberOfMessagesNotVisible"]) == ("0", "0")

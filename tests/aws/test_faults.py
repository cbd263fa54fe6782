"""Functions fed by their mapping, as Lambda does it, over an AWS that goes wrong: nothing is lost, nothing done twice.

The entry runs in this process as the handler that Lambda looks up: configured by the environment, with clients that it
makes of its own, in as many environments as there are invocations at once. An outside that is told of an effect twice
under one key makes it once, and so does what the handlers write to here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from tests.aws.deployed import Clock, Invocation, on_the_bus, row
from tests.aws.faulty import Relay, Services, outages
from tests.aws.stub import LONG, Plan, serving
from tests.aws.test_serverless_moto import Emulated
from triggers import App, Context, Event, Retry
from triggers.aws import clients, direct, mapping, names, serverless
from triggers.aws.bus import Bus
from triggers.aws.clients import connected
from triggers.aws.logs import JsonLines
from triggers.aws.mapping import PAUSES, EventSourceMapping, Terms
from triggers.aws.runtime import Result
from triggers.aws.server import ACCOUNT, REGION, environment
from triggers.clock import SystemClock
from triggers.testing import FakeClock

COUNT = 200
SHARE = int(os.environ.get("TRIGGERS_FAULTS", "20"))
"""Messages of those over moto, which takes 20 ms for a call: `make faults` has all."""
PATIENCE = 60.0
"""Seconds of this machine until a test that does not end is given up."""
TERMS = Terms(concurrency=3, partial=True)
FAST = 30.0
"""How many seconds pass for functions in one of ours."""


class Processed(Event):
    n: int


class Trained(Event):
    n: int


class Effects:
    """What the handlers did to the outside, by idempotency key, and how often they were called."""

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self.calls: list[str] = []

    def app(self, name: str) -> App:
        app = App(name, retry=Retry(attempts=20, initial=1, jitter=False))

        @app.on(Processed)
        def train(event: Processed, context: Context) -> Trained:
            self.calls.append(context.effect_key)
            assert self.made.setdefault(context.effect_key, event.n) == event.n
            return Trained(n=event.n)

        return app


class Environments:
    """A function as Lambda has it: an environment has one invocation at a time, and is used again."""

    def __init__(self, now: Callable[[], float], ended: Callable[[], None], most: int = 3) -> None:
        self.at_work = 0
        self._room = asyncio.Semaphore(most)
        self._now = now
        self._ended = ended
        self._free: list[Callable[[object, Any], dict[str, Any]]] = []

    async def invoke(self, payload: object) -> Result:
        async with self._room:
            return await self._invoke(payload)

    async def _invoke(self, payload: object) -> Result:
        function = self._free.pop() if self._free else serverless.load()
        clock = Clock()
        clock.now = self._now()
        invocation = Invocation(clock, 60.0, uuid.uuid4().hex)
        self.at_work += 1
        try:
            answer = await asyncio.to_thread(function, json.loads(json.dumps(payload)), invocation)
            return Result(invocation.aws_request_id, answer, None, 0.0, (), cold=False)
        finally:
            self.at_work -= 1
            self._free.append(function)
            self._ended()


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Have threads take turns often: the services are in this process, and asked from several of them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)


def pause(seconds: float) -> None:
    """Have a function wait before it tells anew what came of an attempt, in its time."""
    time.sleep(seconds / FAST)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, effects: Effects) -> Callable[..., App]:
    """Have Lambda's environment name an app and its endpoint, and from then on no call be waited for in vain."""
    once = {"retries": {"total_max_attempts": 1}, "read_timeout": 1.5}  # of the mapping, and of what is handed back
    told = clients._settings()

    def deploy(name: str, endpoint: str, now: Callable[[], float]) -> App:
        module = ModuleType("faulty_app")
        module.app = effects.app(name)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "faulty_app", module)
        for variable, value in {**environment(endpoint), "TRIGGERS_APP": "faulty_app:app"}.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(serverless, "set_up", JsonLines)  # the log is the tests'
        monkeypatch.setattr(serverless, "Runs", partial(serverless.Runs, now=now, sleep=pause))
        monkeypatch.setattr(serverless, "Function", partial(serverless.Function, now=now))
        monkeypatch.setattr(clients, "_settings", lambda: {**told, **once})
        monkeypatch.setitem(direct.Direct.__init__.__kwdefaults__, "sleep", lambda seconds: None)
        monkeypatch.setitem(direct.Direct.__init__.__kwdefaults__, "read", 0.15)
        monkeypatch.setattr(Bus.__init__, "__defaults__", (lambda seconds: None,))
        monkeypatch.setattr(mapping, "CALL", 0.5)
        monkeypatch.setattr(clients, "CALL", 0.5)
        return module.app

    return deploy


def bodies(count: int = COUNT) -> Iterable[str]:
    return (on_the_bus(row(Processed(n=n), id=f"p{n}")) for n in range(count))


def check(
    effects: Effects, records: list[Mapping[str, Any]], published: Iterable[Mapping[str, Any]], count: int = COUNT
) -> None:
    """Check that each message was seen through, by one effect under one key and one event under one id."""
    assert sorted(effects.made.values()) == list(range(count))
    assert [(one["state"], one["published"]) for one in records] == [("done", True)] * count
    assert len(effects.calls) <= sum(one["counted"] for one in records)
    ids = defaultdict(set)
    for event in published:
        ids[event["data"]["n"]].add(event["id"])
    assert sorted(ids) == list(range(count))
    assert {len(found) for found in ids.values()} == {1}


# --- over services in memory ---------------------------------------------------------------------


class Pauses(FakeClock):
    """A clock that tells when somebody waits for it."""

    def __init__(self, stirred: asyncio.Event) -> None:
        super().__init__()
        self.waiting = 0
        self._stirred = stirred

    async def sleep(self, seconds: float) -> None:
        self.waiting += 1
        self._stirred.set()
        try:
            await super().sleep(seconds)
        finally:
            self.waiting -= 1


async def worked_off(deployed: Callable[..., App], plan: Plan, environments_at_once: int = 3) -> Services:
    """Have a queue of messages worked off over services that go wrong; time passes where it is what is waited for."""
    services = Services(names.queue("faulty", "train"), plan)
    clock = Pauses(services.stirred)
    services.now = clock.monotonic
    services.put(*bodies())
    async with serving(services):
        deployed("faulty", services.endpoint, clock.now)
        environments = Environments(clock.now, services.stirred.set, environments_at_once)
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{services.name}"
        async with connected("sqs") as sqs:
            feeding = EventSourceMapping(sqs, services.url, arn, environments, TERMS, wait=LONG, clock=clock)
            task = asyncio.ensure_future(feeding.run())
            task.add_done_callback(lambda _: services.stirred.set())
            while services.left() or environments.at_work:
                await services.stirred.wait()
                services.stirred.clear()
                assert not task.done(), task.result()
                if (services.waits or clock.waiting) and not environments.at_work:
                    clock.step(clock.monotonic() + PAUSES[1])
                    services.look()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return services


SILENT = {
    ("ReceiveMessage", 3),
    ("DeleteMessageBatch", 2),
    ("ChangeMessageVisibilityBatch", 1),
    *(("UpdateItem", call) for call in range(60, 75)),
    *(("PutItem", call) for call in range(40, 50)),
    *(("PutEvents", call) for call in range(20, 30)),
}
PLANS: Mapping[str, Plan] = {
    **{fault: outages(fault) for fault in ("throttled", "broken", "lost", "cut")},
    "silent": lambda action, call: "silent" if (action, call) in SILENT else None,
}


@pytest.mark.parametrize("fault", PLANS)
def test_messages_are_seen_through_once_where_calls_go_wrong_until_they_are_given_up(
    effects: Effects, deployed: Callable[..., App], fault: str
) -> None:
    services = asyncio.run(asyncio.wait_for(worked_off(deployed, PLANS[fault]), PATIENCE))
    assert services.faults[fault] > 30
    assert services.received > COUNT  # what was given up came again
    check(effects, services.table.records(), [json.loads(entry["Detail"]) for entry in services.bus.entries])


@pytest.mark.parametrize("fault", ["throttled", "broken", "lost", "cut"])
def test_a_call_that_goes_wrong_once_is_made_again_and_costs_no_attempt(
    effects: Effects, deployed: Callable[..., App], fault: str
) -> None:
    services = asyncio.run(asyncio.wait_for(worked_off(deployed, outages(fault, of=3, length=1), 1), PATIENCE))
    assert services.faults[fault] > COUNT
    check(effects, services.table.records(), [json.loads(entry["Detail"]) for entry in services.bus.entries])
    assert len(effects.calls) == COUNT
    assert {record["attempt"] for record in services.table.records()} == {1}
    assert services.calls["Query"] == 0  # no run had to be caught up with


# --- over moto -----------------------------------------------------------------------------------


class Impatient(SystemClock):
    """A clock by which a mapping does not pause for long, and which counts the pauses."""

    def __init__(self, stirred: asyncio.Event) -> None:
        self.pauses = 0
        self._stirred = stirred

    async def sleep(self, seconds: float) -> None:
        self.pauses += 1
        self._stirred.set()
        await super().sleep(seconds / FAST)


async def carried_on(deployed: Callable[..., App], effects: Effects, endpoint: str, aws: Emulated, url: str) -> None:
    """Have a queue worked off by way of a relay that loses answers, and is away for a while."""
    stirred = asyncio.Event()
    began = time.monotonic()

    def now() -> float:
        return Clock().now + FAST * (time.monotonic() - began)

    def lost(action: str, call: int) -> str | None:
        stirred.set()
        return "lost" if call % 9 == 8 else None

    async def until(over: Callable[[], bool]) -> None:
        while not over():
            await stirred.wait()
            stirred.clear()
            assert not task.done(), task.result()

    relay, clock = Relay(endpoint, lost, FAST), Impatient(stirred)
    async with serving(relay):
        app = deployed(aws.app.name, relay.endpoint, now)
        environments = Environments(now, stirred.set)
        name = names.queue(app.name, "train")
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        async with connected("sqs") as sqs:
            feeding = EventSourceMapping(
                sqs, f"{relay.endpoint}/{ACCOUNT}/{name}", arn, environments, TERMS, wait=1, clock=clock
            )
            task = asyncio.ensure_future(feeding.run())
            task.add_done_callback(lambda _: stirred.set())
            await until(lambda: len(effects.made) >= SHARE / 4)
            await relay.away()
            away = clock.pauses
            await until(lambda: clock.pauses == away + 3)
            await relay.back()
            await until(lambda: len(effects.made) == SHARE and not environments.at_work and not aws.left(url))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert relay.faults["lost"] > SHARE / 4


def test_what_is_away_for_a_while_and_comes_back_with_what_it_had_costs_nothing(
    endpoint: str, unique: str, effects: Effects, deployed: Callable[..., App]
) -> None:
    aws = Emulated(effects.app(unique))  # moto forgets all when it ends: so it goes on, and the way to it is away
    url = aws.queue("train")
    aws.queue("deploy", Trained)
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "2"})
    given = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies(SHARE))]
    for first in range(0, SHARE, 10):
        aws.sqs.send_message_batch(QueueUrl=url, Entries=given[first : first + 10])
    asyncio.run(asyncio.wait_for(carried_on(deployed, effects, endpoint, aws, url), PATIENCE))
    published = [json.loads(one["body"])["detail"] for one in drained(aws, "deploy")]
    check(effects, aws.records(), published, SHARE)


def drained(aws: Emulated, route: str) -> list[dict[str, Any]]:
    """Return all that waits in a route's queue."""
    found: list[dict[str, Any]] = []
    while more := aws.received(route):
        found += more
    return found

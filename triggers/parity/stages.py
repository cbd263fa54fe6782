"""Where a scenario is carried out: on this machine alone, by a dispatcher that polls AWS, and by functions in AWS.

Where AWS is needed, it is the one that botocore finds: an emulation with nothing in it. A stage returns when nothing is
left to do, and with what came of it all.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggers.app import App
from triggers.aws import emulation, template, wire
from triggers.aws.bus import Bus
from triggers.aws.clients import client
from triggers.aws.deployed import Deployed
from triggers.aws.emulation import Stack
from triggers.aws.messages import delivery_of, read
from triggers.cloudevents import to_text
from triggers.engine import Engine
from triggers.errors import EventError
from triggers.events import encode
from triggers.journal import views
from triggers.lineage import arrived
from triggers.parity import Message, Put, Scenario, Send, Step
from triggers.parity.trees import Tree, trees
from triggers.places import Place
from triggers.sources import Delivery, Site
from triggers.sources.inbox import write
from triggers.sources.queue import Queue
from triggers.state import StateFolder

SENDER = "send"
"""The source of what is handed in."""
LOOK = 0.2
"""Seconds after which it is looked again whether anything is left."""
STILL = 3
"""How many times in a row nothing must have been."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario: the chains, and the reasons of what was rejected."""

    trees: list[Tree]
    rejected: list[str]

    def as_list(self) -> list[Tree]:
        """Return all of it as one list, to be compared."""
        return [*self.trees, *({"rejected": reason} for reason in self.rejected)]


# --- this machine alone --------------------------------------------------------------------------


class Fed:
    """What stands for a queue where nothing is of AWS: its messages are read as the queue's would be."""

    def __init__(self, queue: Queue) -> None:
        self.name = queue.name
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self._count = 0

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield what is read of the messages, one by one."""
        while True:
            if self.messages.empty():
                site.idle(self.name)
            message = await self.messages.get()
            self._count += 1
            raw = {"MessageId": f"m{self._count}", "Body": message.body, "ReceiptHandle": "none"}
            attributes = {"ApproximateReceiveCount": "1"}
            if message.group is not None:
                attributes |= {"MessageGroupId": message.group, "MessageDeduplicationId": f"d{self._count}"}
            named = {name: {"StringValue": text, "DataType": "String"} for name, text in message.attributes.items()}
            told = read({**raw, "Attributes": attributes, "MessageAttributes": named})
            try:
                delivered = [delivery_of(told, self.name, site.clock.now(), site.types)]
            except EventError as error:
                await site.reject(self.name, told.id, message.body, str(error))
                delivered = []
            yield delivered


async def here(scenario: Scenario) -> Outcome:
    """Carry a scenario out by a dispatcher on folders."""
    with tempfile.TemporaryDirectory(prefix="triggers-parity-") as home:
        folders = {name: Path(home, name) for name in scenario.app.places()}
        for folder in folders.values():
            folder.mkdir()
        app = copy(scenario.app.bound(folders))
        fed = {name: Fed(source) for name, source in app.sources.items() if isinstance(source, Queue)}
        app.sources = {**app.sources, **fed}

        async def put(step: Step, engine: Engine) -> None:
            if isinstance(step, Message):
                await fed[step.queue].messages.put(step)
                await asyncio.sleep(0)
            else:
                await _hand_in(step, engine, {name: str(folder) for name, folder in folders.items()})

        return await _dispatched(scenario, app, StateFolder(Path(home, "state")), put, lambda: 0)


# --- a dispatcher that polls AWS -----------------------------------------------------------------


async def polled(scenario: Scenario) -> Outcome:
    """Carry a scenario out by a dispatcher that polls AWS."""
    app, uris = scenario.app, emulation.places(scenario.app)
    stack = Stack(app, template.polled(app, uris))
    await asyncio.to_thread(stack.create)
    urls = stack.heard()

    async def put(step: Step, engine: Engine) -> None:
        if isinstance(step, Message):
            await asyncio.to_thread(_post, step, app)
        else:
            await _hand_in(step, engine, uris)

    with tempfile.TemporaryDirectory(prefix="triggers-parity-") as home:
        return await _dispatched(scenario, app.bound(uris), StateFolder(Path(home)), put, lambda: _left(urls))


async def _dispatched(
    scenario: Scenario,
    app: App,
    state: StateFolder,
    put: Callable[[Step, Engine], Awaitable[None]],
    left: Callable[[], int],
) -> Outcome:
    """Run an app over a state folder, take the steps, and wait until nothing is `left` outside nor inside."""
    async with Engine(app, state) as engine:
        for step in scenario.steps:
            await put(step, engine)
            await engine.drained()
        await asyncio.sleep(scenario.lasts)

        async def waiting() -> int:
            await engine.drained()
            return await asyncio.to_thread(left)

        await _still(waiting)
    connection = views.open_reader(state)
    try:
        reasons = [path.read_text().strip() for path in state.rejected.glob("*.reason")]
        return Outcome(trees(connection), sorted(reasons))
    finally:
        connection.close()


# --- functions in AWS ----------------------------------------------------------------------------


async def functions(scenario: Scenario, target: str, folder: Path) -> Outcome:
    """Carry a scenario out by the app's functions in AWS, whose zip is unpacked in `folder`."""
    app, uris = scenario.app, emulation.places(scenario.app)
    stack = Stack(app, template.render(app, target, uris, now=time.time()))
    await asyncio.to_thread(stack.create)
    async with stack.functions(folder, lambda function, result: None):
        for step in scenario.steps:
            await asyncio.to_thread(_into_aws, step, app, uris)
            await _still(lambda: asyncio.to_thread(_left, stack.queues()))
        await asyncio.sleep(scenario.lasts)
        await _still(lambda: asyncio.to_thread(_left, stack.queues()))
    return await asyncio.to_thread(_of_records, Deployed(app.name))


def _into_aws(step: Step, app: App, uris: dict[str, str]) -> None:
    if isinstance(step, Message):
        _post(step, app)
    elif isinstance(step, Send):
        row = arrived(_delivery(step), wire.number_of(SENDER, step.id), time.time())
        bus = Bus(lambda: client("events"), app.name)
        bus.publish([bus.entry(row.type, wire.write(row))])
    else:
        _put(step, uris)


def _of_records(deployed: Deployed) -> Outcome:
    connection = deployed.everything()
    try:
        return Outcome(trees(connection), sorted(deployed.rejections()))
    finally:
        connection.close()


# --- steps ---------------------------------------------------------------------------------------


async def _hand_in(step: Step, engine: Engine, places: dict[str, str]) -> None:
    """Take a step by what a dispatcher listens to."""
    if isinstance(step, Put):
        await asyncio.to_thread(_put, step, places)
        engine.intake.poke(step.place)
    elif isinstance(step, Send):
        d = _delivery(step)
        write(engine.state.inbox, [to_text(d.id, d.source, d.type, d.version, d.subject, d.time, d.data)])
        engine.intake.poke("inbox")


def _put(step: Put, places: dict[str, str]) -> None:
    with Place(places[step.place]).output(step.key) as file:
        file.write(step.content)


def _delivery(step: Send) -> Delivery:
    kind = type(step.event)
    return Delivery(SENDER, step.id, kind.__event_type__, encode(step.event), time.time(), kind.__event_version__)


def _post(step: Message, app: App) -> None:
    """Send a message to the queue of a source."""
    sqs, source = client("sqs"), app.sources[step.queue]
    assert isinstance(source, Queue)
    named = {name: {"StringValue": text, "DataType": "String"} for name, text in step.attributes.items()}
    order: dict[str, Any] = {}
    if step.group is not None:
        order = {"MessageGroupId": step.group, "MessageDeduplicationId": f"{wire.number_of(step.body)}"}
    url = sqs.get_queue_url(QueueName=source.queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=step.body, MessageAttributes=named, **order)


# --- the end -------------------------------------------------------------------------------------


async def _still(left: Callable[[], Awaitable[int]]) -> None:
    """Wait until nothing has been left for a while."""
    still = 0
    while still < STILL:
        still = 0 if await left() else still + 1
        await asyncio.sleep(LOOK)


def _left(urls: Sequence[str]) -> int:
    """Return how many messages are in the queues, those counted that are hidden or at work."""
    sqs = client("sqs")
    names = [f"ApproximateNumberOfMessages{part}" for part in ("", "NotVisible", "Delayed")]
    found = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in urls]
    return sum(int(each[name]) for each in found for name in names)


__all__ = ["Outcome", "functions", "here", "polled"]

"""Where a scenario is carried out: on this machine alone, by a dispatcher that polls AWS, and by functions in AWS.

Where AWS is needed, it is the one that botocore finds: an emulation with nothing in it. A stage returns when nothing is
left to do, and with what came of it all.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import apsw

from triggers.app import App
from triggers.aws import emulation, template
from triggers.aws.deployed import Deployed
from triggers.aws.emulation import Heard, Stack
from triggers.aws.messages import delivery_of, read
from triggers.aws.runtime import Result
from triggers.clock import SystemClock
from triggers.cloudevents import to_text
from triggers.engine import Engine
from triggers.errors import EventError, TriggersError
from triggers.events import encode
from triggers.journal import views
from triggers.parity import Message, Put, Scenario, Send, Step
from triggers.parity.envelopes import QUEUED, wrapped
from triggers.parity.hands import Hands, by_queue, named, ordering
from triggers.parity.trees import Tree, order, trees
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
PATIENCE = 120.0
"""Seconds after which a step that still has something to do is given up."""

Take = Callable[[Sequence[Step], Engine], Awaitable[None]]
"""What takes steps at once where a dispatcher is at work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario: the chains, the order of what had one, and the reasons of what was rejected."""

    trees: list[Tree]
    order: list[Tree]
    rejected: list[str]

    @classmethod
    def of(cls, app: App, connection: apsw.Connection, places: Mapping[str, str], rejected: Sequence[str]) -> Outcome:
        """Return what is compared of a journal, and of what was rejected."""
        serial = [name for name, route in app.routes.items() if route.serial]
        return cls(trees(connection, places), order(connection, places, serial), sorted(rejected))

    def as_list(self) -> list[Tree]:
        """Return all of it as one list, to be compared."""
        return [*self.trees, *self.order, *({"rejected": reason} for reason in self.rejected)]


class SetClock(SystemClock):
    """The machine's clock, set to another time when it is made."""

    def __init__(self, scenario: Scenario) -> None:
        self._ahead = 0.0 if scenario.begins is None else scenario.begins.timestamp() - super().now()

    def now(self) -> float:
        """Return the time that it shows."""
        return super().now() + self._ahead


# --- this machine alone --------------------------------------------------------------------------


class Fed:
    """What stands for a queue where nothing is of AWS: its messages are read as the queue's would be."""

    def __init__(self, queue: Queue) -> None:
        self.name = queue.name
        self.messages: asyncio.Queue[Sequence[Message]] = asyncio.Queue()

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield what is read of the messages, as many at once as came at once."""
        while True:
            while self.messages.empty():
                site.idle(self.name)
                await site.poked(self.name)
            told = [await self._read(message, site) for message in self.messages.get_nowait()]
            yield [delivery for delivery in told if delivery]

    async def _read(self, message: Message, site: Site) -> Delivery | None:
        """Return what a message is; None where it is rejected."""
        told = read(
            {
                "MessageId": uuid.uuid4().hex,
                "Body": message.body,
                "Attributes": {"ApproximateReceiveCount": "1", **ordering(message)},
                "MessageAttributes": named(message),
            }
        )
        try:
            return delivery_of(told, self.name, site.clock.now(), site.types, site.names)
        except EventError as error:
            await site.reject(self.name, told.id, message.body, str(error))
            return None


async def here(scenario: Scenario) -> Outcome:
    """Carry a scenario out by a dispatcher on folders."""
    with tempfile.TemporaryDirectory(prefix="triggers-parity-") as home:
        folders = {name: Path(home, "places", name) for name in scenario.app.places()}
        for folder in folders.values():
            folder.mkdir(parents=True)
        places = {name: str(folder) for name, folder in folders.items()}
        app = copy(scenario.app.bound(places))
        fed = {name: Fed(source) for name, source in app.sources.items() if isinstance(source, Queue)}
        app.sources = {**app.sources, **fed}

        async def take(steps: Sequence[Step], engine: Engine) -> None:
            for queue, messages in by_queue(steps).items():
                fed[queue].messages.put_nowait(messages)
                engine.intake.poke(queue)  # it is busy until it says that it is idle
            for step in steps:
                if isinstance(step, Put):
                    await asyncio.to_thread(_drop, step, places)
                    engine.intake.poke(step.place)
                elif isinstance(step, Send):
                    _hand_in(step, engine)

        return await _dispatched(scenario, app, StateFolder(Path(home, "state")), places, take)


def _drop(step: Put, places: Mapping[str, str]) -> None:
    with Place(places[step.place]).output(step.key) as file:
        file.write(step.content)


# --- a dispatcher that polls AWS -----------------------------------------------------------------


async def polled(scenario: Scenario) -> Outcome:
    """Carry a scenario out by a dispatcher that polls AWS."""
    app, uris = scenario.app, emulation.places(scenario.app)
    stack = emulation.polled(app)
    await asyncio.to_thread(stack.create)
    hands, urls = Hands(app, stack), stack.heard()

    async def take(steps: Sequence[Step], engine: Engine) -> None:
        await asyncio.to_thread(hands.post, steps)
        for step in steps:
            if isinstance(step, Send):
                _hand_in(step, engine)
            elif isinstance(step, Put) and step.envelope is None:
                await asyncio.to_thread(hands.put, step)
            elif isinstance(step, Put):
                created = await asyncio.to_thread(hands.put_silently, step)
                await asyncio.to_thread(hands.tell, created, f"{step.envelope}".removesuffix(QUEUED) + QUEUED)

    with tempfile.TemporaryDirectory(prefix="triggers-parity-") as home:
        state, left = StateFolder(Path(home)), lambda: hands.left(urls)
        return await _dispatched(scenario, app.bound(uris), state, uris, take, left)


async def _dispatched(
    scenario: Scenario,
    app: App,
    state: StateFolder,
    places: Mapping[str, str],
    take: Take,
    left: Callable[[], int] | None = None,
) -> Outcome:
    """Run an app over a state folder, take the steps, and wait until nothing is left inside, nor `left` outside.

    Where nothing is outside, sources look when they are poked: a step is seen to then, however late the kernel tells.
    """
    async with Engine(app, state, clock=SetClock(scenario), watches=left is not None) as engine:

        async def waiting() -> int:
            await engine.drained()
            return await asyncio.to_thread(left) if left else 0

        async def settled() -> None:
            await _still(waiting, STILL if left else 1)

        await settled()  # what a source begins with is over: what it tells from now on, it was told
        for steps in _at_once(scenario.steps):
            await take(steps, engine)
            await settled()
        await asyncio.sleep(scenario.lasts)
        await settled()
    connection = views.open_reader(state)
    try:
        reasons = [path.read_text().strip() for path in state.rejected.glob("*.reason")]
        return Outcome.of(app, connection, places, reasons)
    finally:
        connection.close()


def _hand_in(step: Send, engine: Engine) -> None:
    d = _delivery(step)
    write(engine.state.inbox, [to_text(d.id, d.source, d.type, d.version, d.subject, d.time, d.data)])
    engine.intake.poke("inbox")


def _delivery(step: Send) -> Delivery:
    kind = type(step.event)
    return Delivery(SENDER, step.id, kind.__event_type__, encode(step.event), time.time(), kind.__event_version__)


# --- functions in AWS ----------------------------------------------------------------------------


class Faults:
    """What functions have failed by, which their handlers never do: where one cannot start, its messages come again
    and again."""

    def __init__(self) -> None:
        self._last = ""

    def told(self, function: str, result: Result) -> None:
        """Take note of an invocation."""
        if result.error is not None:
            said = f"{result.error.get('errorType')}: {result.error.get('errorMessage')}"
            self._last = f" The last function that failed was {function}: {said}"

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Have what goes wrong in a block say by what a function failed, if one did."""
        try:
            yield
        except TriggersError as error:
            raise TriggersError(f"{error}{self._last}") from error


async def functions(scenario: Scenario, target: str, folder: Path) -> Outcome:
    """Carry a scenario out by the app's functions in AWS, whose zip is unpacked in `folder`."""
    app, uris = scenario.app, emulation.places(scenario.app)
    stack = Stack(app, template.render(app, target, uris, now=SetClock(scenario).now()))
    await asyncio.to_thread(stack.create)
    hands, urls, faults = Hands(app, stack), stack.queues(), Faults()

    async def left() -> int:
        return await asyncio.to_thread(hands.left, urls)

    async with stack.functions(folder, faults.told, SetClock(scenario)) as running:
        with faults.explaining():
            for steps in _at_once(scenario.steps):
                await _take(steps, hands, running)
                await _still(left)
            await asyncio.sleep(scenario.lasts)
            await _still(left)
    return await asyncio.to_thread(_of_records, app, uris)


async def _take(steps: Sequence[Step], hands: Hands, functions: Mapping[str, Heard]) -> None:
    await asyncio.to_thread(hands.post, steps)
    for step in steps:
        if isinstance(step, Send):
            await asyncio.to_thread(hands.publish, _delivery(step))
        elif isinstance(step, Put) and step.envelope is None:
            await asyncio.to_thread(hands.put, step)
        elif isinstance(step, Put):
            await _announce(step, f"{step.envelope}", hands, functions)


async def _announce(step: Put, envelope: str, hands: Hands, functions: Mapping[str, Heard]) -> None:
    """Put an object, and have its notice come in an envelope: to the queues, or to all functions."""
    created = await asyncio.to_thread(hands.put_silently, step)
    if envelope.endswith(QUEUED):
        await asyncio.to_thread(hands.tell, created, envelope)
        return
    for name, function in functions.items():
        result = await function.invoke(wrapped(created, envelope))
        if result.error is not None:
            raise TriggersError(
                f"function {name!r} failed on {step.key!r} in the envelope {envelope!r}: {result.error}"
            )


def _of_records(app: App, places: Mapping[str, str]) -> Outcome:
    deployed = Deployed(app.name)
    connection = deployed.everything()
    try:
        return Outcome.of(app, connection, places, [one.reason for one in deployed.rejections()])
    finally:
        connection.close()


# --- steps, and the end --------------------------------------------------------------------------


def _at_once(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Yield the steps as they are taken: messages that follow one another together, all others one by one."""
    for is_message, several in groupby(steps, lambda step: isinstance(step, Message)):
        if is_message:
            yield list(several)
        else:
            yield from ([step] for step in several)


async def _still(left: Callable[[], Awaitable[int]], times: int = STILL) -> None:
    """Wait until nothing has been left so many times in a row. Raises `TriggersError` where that does not come."""
    still = 0
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                still = 0 if await left() else still + 1
                if still == times:
                    return
                await asyncio.sleep(LOOK)
    except TimeoutError as error:
        raise TriggersError(
            f"after {PATIENCE:g} s there is still something to do; is a handler at work, or a run tried again for ever?"
        ) from error


__all__ = ["Outcome", "functions", "here", "polled"]

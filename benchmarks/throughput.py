"""Rates: events, events from another process, chains of three hops, and blocking handlers."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import peer
from benchmarks.workload import First, Made, Second, Third, batches, deliveries, fields
from triggers import App
from triggers.engine import Engine
from triggers.state import StateFolder

Result = dict[str, Any]

WARM = 500
"""Events that go before, so that what is loaded or started once is not measured."""
HUEY_WARM = 100


class Seen:
    """What the handlers saw: each number in the order of the handlers, and when the last of them was there.

    An append to a list needs no lock, so it costs both sides next to nothing, in threads too.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.last = 0.0
        self._numbers: list[int] = []

    @property
    def handled(self) -> int:
        """Return how many were handled."""
        return len(self._numbers)

    def take(self, number: int) -> None:
        """Note one handled event."""
        self._numbers.append(number)
        if len(self._numbers) >= self.count:
            self.last = time.monotonic()

    def check(self) -> None:
        """Raise if an event was lost or handled twice."""
        assert sorted(self._numbers) == list(range(self.count))


# --- triggers ------------------------------------------------------------------------------------


async def triggers_events(folder: Path, count: int, in_flight: int) -> Result:
    """Send events in the engine's process and wait until the last one is settled."""
    seen = {"value": Seen(WARM)}
    app = App("bench")

    @app.on(Made)
    async def handle(event: Made) -> None:
        seen["value"].take(event.number)

    async with Engine(app, StateFolder(folder)) as engine:
        await check_durable(engine)
        await send(engine, Made, WARM)
        await engine.drained()
        seen["value"] = Seen(count)
        begin = time.monotonic()
        await send(engine, Made, count, in_flight)
        sent = time.monotonic()
        await engine.drained()
        end = time.monotonic()
        seen["value"].check()
        await check_done(engine, WARM + count)
    return {"rate": count / (end - begin), "start_rate": count / (seen["value"].last - begin),
            "send_rate": count / (sent - begin)}  # fmt: skip


async def triggers_sent(folder: Path, count: int) -> Result:
    """Have another process send in batches, and wait until the last event is settled."""
    seen = Seen(count)
    app = App("bench")

    @app.on(Made)
    async def handle(event: Made) -> None:
        seen.take(event.number)

    async with Engine(app, StateFolder(folder)) as engine:
        await check_durable(engine)
        producer = peer.Producer("triggers_events", str(folder), str(count))
        producer.go()
        async with asyncio.timeout(300):
            while seen.handled < count:
                await engine.dispatcher.pipeline.changed()
        await engine.drained()
        end = time.monotonic()
        times = json.loads(producer.ended())
        seen.check()
        await check_done(engine, count)
    return {"rate": count / (end - times["begin"]), "start_rate": count / (seen.last - times["begin"]),
            "send_rate": count / (times["end"] - times["begin"])}  # fmt: skip


async def triggers_chains(folder: Path, count: int, in_flight: int) -> Result:
    """Send the first event of each chain, and wait until the last chain is settled."""
    seen = {"value": Seen(WARM)}
    app = App("bench")

    @app.on(First)
    async def one(event: First) -> Second:
        return Second(number=event.number, name=event.name, score=event.score, labels=event.labels, text=event.text)

    @app.on(Second)
    async def two(event: Second) -> Third:
        return Third(number=event.number, name=event.name, score=event.score, labels=event.labels, text=event.text)

    @app.on(Third)
    async def three(event: Third) -> None:
        seen["value"].take(event.number)

    async with Engine(app, StateFolder(folder)) as engine:
        await check_durable(engine)
        await send(engine, First, WARM)
        await engine.drained()
        seen["value"] = Seen(count)
        begin = time.monotonic()
        await send(engine, First, count, in_flight)
        await engine.drained()
        end = time.monotonic()
        seen["value"].check()
        await check_done(engine, 3 * (WARM + count))
    return {"rate": count / (end - begin), "start_rate": count / (seen["value"].last - begin)}


async def send(engine: Engine, kind: type[Made], count: int, in_flight: int = 1) -> None:
    """Append in batches, of which `in_flight` are under way at once; when this returns, every event is durable."""
    under_way: deque[Any] = deque()
    for numbers in batches(count):
        under_way.append(engine.dispatcher.append(deliveries(kind, numbers)))
        if len(under_way) == in_flight:
            await under_way.popleft()
    for future in under_way:
        await future


async def check_durable(engine: Engine) -> None:
    """Raise unless every commit of the journal is synced."""
    assert await engine.dispatcher.pipeline.asked(lambda connection: connection.pragma("synchronous")) == 2
    assert await engine.dispatcher.pipeline.asked(lambda connection: connection.pragma("journal_mode")) == "wal"


async def check_done(engine: Engine, count: int) -> None:
    """Raise unless the journal holds exactly so many runs, and all are done."""
    sql = "SELECT count(*), sum(state = 3) FROM run"
    assert await engine.dispatcher.pipeline.asked(lambda connection: connection.execute(sql).fetchone()) == (
        count,
        count,
    )


# --- huey ----------------------------------------------------------------------------------------


def huey_tasks(huey: Any, seen: Seen | None = None) -> SimpleNamespace:
    """Register huey's tasks; the consumer and the producer must know the same ones."""

    def take(payload: dict[str, Any]) -> None:
        assert seen
        seen.take(payload["number"])

    @huey.task()  # type: ignore[untyped-decorator]
    def handle(payload: dict[str, Any]) -> None:
        take(payload)

    @huey.task()  # type: ignore[untyped-decorator]
    def three(payload: dict[str, Any]) -> None:
        take(payload)

    @huey.task()  # type: ignore[untyped-decorator]
    def two(payload: dict[str, Any]) -> None:
        three(payload)

    @huey.task()  # type: ignore[untyped-decorator]
    def one(payload: dict[str, Any]) -> None:
        two(payload)

    return SimpleNamespace(handle=handle, one=one, two=two, three=three)


def huey_rate(folder: Path, count: int, workers: int, producer: str, task: str = "handle") -> Result:
    """Enqueue tasks one at a time and wait until the last one began. `producer` is where they come from.

    `process`: another process beside the running consumer. `thread`: this process, beside the running consumer.
    `before`: this process before the consumer starts, so that the two never wait for each other.
    """
    seen = Seen(count)
    huey = peer.opened(folder)
    enqueue = getattr(huey_tasks(huey, seen), task)
    if producer == "process":
        sender = peer.Producer("huey_events", str(folder), task, str(count))
        with peer.consuming(huey, workers):
            _warm(huey)
            sender.go()
            peer.wait_until(lambda: seen.handled == count)
        begin = json.loads(sender.ended())["begin"]
    elif producer == "thread":
        with peer.consuming(huey, workers):
            _warm(huey)
            begin = _enqueue(enqueue, count)
            peer.wait_until(lambda: seen.handled == count)
    else:
        begin = _enqueue(enqueue, count)
        with peer.consuming(huey, workers):
            peer.wait_until(lambda: seen.handled == count)
    seen.check()
    assert huey.storage.queue_size() == 0
    rate = count / (seen.last - begin)
    return {"rate": rate, "start_rate": rate}


def _warm(huey: Any) -> None:
    """Let huey carry out some tasks of another kind, so that its threads run and its file is in use."""
    done: list[int] = []

    @huey.task()  # type: ignore[untyped-decorator]
    def warm(number: int) -> None:
        done.append(number)

    for number in range(HUEY_WARM):
        warm(number)
    peer.wait_until(lambda: len(done) == HUEY_WARM)


def _enqueue(enqueue: Callable[[dict[str, object]], object], count: int) -> float:
    begin = time.monotonic()
    for number in range(count):
        enqueue(fields(number))
    return begin

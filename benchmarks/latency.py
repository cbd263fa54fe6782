"""Latency of one event on an idle app: from its sending, or from the closing of a file, to its handler's start."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

from benchmarks import peer
from benchmarks.measure import percentile
from benchmarks.throughput import check_durable
from benchmarks.workload import Made, deliveries, fields
from triggers import App, Folder, ObjectCreated
from triggers.engine import Engine
from triggers.state import StateFolder

PAUSE = (0.005, 0.015)
"""Seconds, drawn at random, from one event to the next: longer than an event takes, so the app is idle again."""

Result = dict[str, Any]


async def triggers_append(folder: Path, samples: int) -> Result:
    """Send from the engine's process, one event at a time."""
    began: dict[int, float] = {}
    app = App("bench")

    @app.on(Made)
    async def handle(event: Made) -> None:
        began[event.number] = time.monotonic()

    sent: dict[int, float] = {}
    async with Engine(app, StateFolder(folder)) as engine:
        await check_durable(engine)
        for number in range(samples):
            await asyncio.sleep(random.uniform(*PAUSE))
            await engine.drained()
            sent[number] = time.monotonic()
            engine.dispatcher.append(deliveries(Made, [number]))
        await engine.drained()
    return latencies(sent, began)


async def triggers_sent(folder: Path, samples: int) -> Result:
    """Have another process send, one event at a time."""
    began: dict[str, float] = {}
    app = App("bench")

    @app.on(Made)
    async def handle(event: Made) -> None:
        began[str(event.number)] = time.monotonic()

    return await _from_process(app, folder, "triggers_singly", folder, samples, began)


async def triggers_file(folder: Path, samples: int) -> Result:
    """Have another process write files into a watched folder."""
    began: dict[str, float] = {}
    incoming = folder.parent / "incoming"
    incoming.mkdir()
    app = App("bench", sources=[Folder(incoming)])

    @app.on(ObjectCreated)
    async def handle(event: ObjectCreated) -> None:
        began[event.key.removesuffix(".csv")] = time.monotonic()

    return await _from_process(app, folder, "files", incoming, samples, began)


async def _from_process(
    app: App, folder: Path, producer: str, place: Path, samples: int, began: dict[str, float]
) -> Result:
    async with Engine(app, StateFolder(folder)) as engine:
        await check_durable(engine)
        await engine.drained()
        sender = await asyncio.to_thread(peer.Producer, producer, str(place), str(samples))
        sender.go()
        async with asyncio.timeout(120):
            while len(began) < samples:
                await engine.dispatcher.pipeline.changed()
        await engine.drained()
    return latencies(json.loads(sender.ended()), began)


def huey_append(folder: Path, samples: int, workers: int, delay: float, max_delay: float) -> Result:
    """Enqueue in the consumer's process, one task at a time."""
    began: dict[int, float] = {}
    huey = peer.opened(folder)

    @huey.task()  # type: ignore[untyped-decorator]
    def handle(payload: dict[str, Any]) -> None:
        began[payload["number"]] = time.monotonic()

    sent: dict[int, float] = {}
    with peer.consuming(huey, workers, delay, max_delay):
        for number in range(samples):
            time.sleep(random.uniform(*PAUSE))
            while len(began) < number:
                time.sleep(0.001)
            sent[number] = time.monotonic()
            handle(fields(number))
        peer.wait_until(lambda: len(began) == samples)
    return latencies(sent, began)


def latencies(sent: dict[Any, float], began: dict[Any, float]) -> Result:
    """Return the percentiles in milliseconds; raise if an event was lost."""
    assert sent.keys() == began.keys()
    found = [1000 * (began[key] - sent[key]) for key in sent]
    return {"p50": percentile(found, 50), "p99": percentile(found, 99), "all": [round(value, 3) for value in found]}

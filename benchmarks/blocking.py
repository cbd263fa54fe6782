"""Many blocking handlers at 32 at a time: how much of the ideal time is reached."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks import peer
from benchmarks.throughput import Seen, check_done, check_durable, send
from benchmarks.workload import Made, fields
from triggers import App
from triggers.engine import Engine
from triggers.state import StateFolder

SECONDS = 0.02
AT_ONCE = 32

Result = dict[str, Any]


async def triggers(folder: Path, count: int) -> Result:
    """Send all, and wait until the last one is settled. The app is warm: its threads exist."""
    seen = {"value": Seen(AT_ONCE)}
    app = App("bench", threads=AT_ONCE)

    @app.on(Made)
    def handle(event: Made) -> None:
        time.sleep(SECONDS)
        seen["value"].take(event.number)

    async with Engine(app, StateFolder(folder)) as engine:
        await check_durable(engine)
        await send(engine, Made, AT_ONCE)
        await engine.drained()
        seen["value"] = Seen(count)
        begin = time.monotonic()
        await send(engine, Made, count)
        await engine.drained()
        took = time.monotonic() - begin
        seen["value"].check()
        await check_done(engine, AT_ONCE + count)
    return {"share": count * SECONDS / AT_ONCE / took}


def huey(folder: Path, count: int, before: bool) -> Result:
    """Enqueue all and wait until the last one has returned.

    With `before` the queue is filled first, and only the consumer's own time counts.
    """
    seen = Seen(count)
    opened = peer.opened(folder)

    @opened.task()  # type: ignore[untyped-decorator]
    def handle(payload: dict[str, Any]) -> None:
        time.sleep(SECONDS)
        seen.take(payload["number"])

    begin = 0.0
    if before:
        for number in range(count):
            handle(fields(number))
        begin = time.monotonic()
    with peer.consuming(opened, AT_ONCE, 0.005, 0.005):
        if not before:
            time.sleep(0.2)
            begin = time.monotonic()
            for number in range(count):
                handle(fields(number))
        peer.wait_until(lambda: seen.handled == count)
        took = seen.last - begin
    seen.check()
    return {"share": count * SECONDS / AT_ONCE / took}

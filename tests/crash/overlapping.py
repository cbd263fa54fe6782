"""A schedule whose handler waits at a gate, so that its firings overlap: at 12:05, 12:10 and so on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.deadly import arm
from tests.kit import Life
from triggers import App, Tick, every
from triggers.testing import FakeClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REAL = {"durable": True, "threaded": True}

LOG = Path("log")
GATE = "gate"
"""A named pipe: who opens it to read waits until somebody has it open to write."""


def tell(word: str, event: Tick) -> None:
    with LOG.open("ab", buffering=0) as log:
        log.write(f"{word} {event.due.minute}\n".encode())


def told() -> list[str]:
    return LOG.read_text().splitlines() if LOG.exists() else []


def pass_gate() -> None:
    with open(GATE):
        pass


def isolated(event: Tick) -> None:
    tell("begins", event)
    pass_gate()
    tell("ends", event)


async def coroutine(event: Tick) -> None:
    tell("begins", event)
    await asyncio.to_thread(pass_gate)
    tell("ends", event)


def app_of(overlap: str, kind: str) -> App:
    app = App("overlapping")
    handler = {"isolated": isolated, "coroutine": coroutine}[kind]
    app.on(every(minutes=5), name="job", overlap=overlap, isolate=kind == "isolated")(handler)
    return app


def dealt_with(life: Life) -> bool:
    """Say whether all that is due has fired, and what comes of it is decided and durable."""
    ending = life.dispatcher._displaced._ending
    return life.engine.intake.idle_all() and not life.dispatcher.pipeline.busy and not ending


def die(overlap: str, kind: str, firings: int, point: Sequence[str] = ()) -> None:
    """Let so many firings come, and have the process killed: at a point, see `deadly`, or when they are dealt with."""
    if point:
        when, what, at = point
        arm(when, what, int(at))
    os.mkfifo(GATE)
    life = Life(app_of(overlap, kind), Path("state"), FakeClock(NOON), **REAL)
    life.until(lambda: dealt_with(life))
    for firing in range(firings):
        fire(life, begins=firing + 1 if overlap == "replace" else 1)
    os.kill(os.getpid(), signal.SIGKILL)


def fire(life: Life, begins: int) -> None:
    """Let five minutes pass, and wait until the firing is dealt with and so many handlers have begun."""
    until = life.clock.monotonic() + 300
    while life.clock.step(until):
        pass
    life.until(lambda: len(told()) == begins and dealt_with(life))

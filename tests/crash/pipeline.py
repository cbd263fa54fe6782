"""The pipeline that is killed: folder -> thread -> coroutine -> process, each step with an effect on the disk.

An effect is a file named by its key that appears whole; doing it again finds it there. Every application is also
appended to a log, synced, so that the test sees which keys were used for which event and route.
"""

from __future__ import annotations

import os
from pathlib import Path

from triggers import App, Context, Event, Folder, ObjectCreated, Retry

HOME = Path(os.environ.get("CRASH_HOME", "."))


class First(Event):
    key: str


class Second(Event):
    key: str


class Third(Event):
    key: str


app = App("crash", sources=[Folder(HOME / "in", name="in")], retry=Retry(attempts=50, initial=0, maximum=0), threads=4)


def apply(ctx: Context, content: str) -> None:
    """Apply the effect once under its key, and log it."""
    with (HOME / "effects.log").open("ab", buffering=0) as log:
        log.write(f"{ctx.effect_key} {ctx.route} {ctx.envelope.id} {content}\n".encode())
        os.fsync(log.fileno())
    target = HOME / "effects" / ctx.effect_key
    if not target.exists():
        unfinished = target.with_suffix(f".{os.getpid()}-{ctx.attempt}.tmp")
        unfinished.write_text(f"{ctx.route} {content}")
        unfinished.rename(target)


@app.on(ObjectCreated)
def one(event: ObjectCreated, ctx: Context) -> First:
    apply(ctx, event.path().read_text())
    return First(key=event.key)


@app.on(First)
async def two(event: First, ctx: Context) -> Second:
    apply(ctx, event.key)
    return Second(key=event.key)


@app.on(Second, isolate=True)
def three(event: Second, ctx: Context) -> Third:
    apply(ctx, event.key)
    return Third(key=event.key)

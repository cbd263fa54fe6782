"""An app with a route of every kind that matters to a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from copy import copy
from functools import cache

from tests.faults.world import Mail, world
from triggers import (
    App,
    Batch,
    BatchFailure,
    Context,
    Debounce,
    Event,
    Join,
    Later,
    Missing,
    Rate,
    Reject,
    Retry,
    RunFailed,
    Tick,
    every,
)


class Start(Event):
    n: int
    kind: str


class Cleaned(Event):
    n: int


class Trained(Event):
    n: int


RATED = 20.0
"""Seconds in which one run of the limited route is taken in."""
OPENS, OPEN_FROM = 60.0, "00:01-23:59 UTC"
"""When the window of the route with hours opens: seconds after the start of a storm, which begins at midnight."""
DELAY = 25.0
"""Seconds before which no run of the postponed route starts."""
PUT_OFF = 20.0
"""Seconds by which the waiting route puts off its first attempt."""
LASTS = 6.0
"""Seconds after which a run expires that has not started, where runs do."""
BEAT, GRACE = 25.0, 3.0
"""Seconds after which the next beat is expected, and how much longer it is waited for."""


def tenant(event: Start) -> str:
    """Return whose run it is: whose share it counts for, or whose others it must not run beside."""
    return f"t{event.n % 2}"


SHARES = {"t1": 4.0}
"""The weights of the tenants' shares, 1 where there is none."""

app = App("storm", sources=[Mail()], retry=Retry(attempts=4, initial=0.5, maximum=4.0), shares=SHARES)


@app.on(Start, where={"kind": ["chain"]})
async def clean(event: Start, ctx: Context) -> Cleaned:
    world.begin(ctx)
    await asyncio.sleep(0)
    return Cleaned(n=event.n)


@app.on(Cleaned)
def train(event: Cleaned, ctx: Context) -> Trained:
    world.begin(ctx)
    if event.n % 3 == 0 and ctx.attempt == 1:
        raise OSError("not yet")
    return Trained(n=event.n)


@app.on(Trained)
async def report(event: Trained, ctx: Context) -> None:
    world.begin(ctx)


@app.on(Trained, batch=Batch(2, within=5))
async def together(events: list[Trained], ctx: Context) -> None:
    world.begin(ctx)
    world.inputs[int(ctx.run[1:])] = [("Trained", event.n) for event in events]
    wrong = [event.n for event in events if event.n % 4 == 1]
    if wrong and len(events) > 1:
        world.failed[int(ctx.run[1:])] = wrong
        raise BatchFailure({event: "not in this company" for event in events if event.n in wrong})


@app.on(Join(Cleaned, Trained, by="n", within=40, missing="partial"))
async def paired(cleaned: Cleaned | None, trained: Trained | None, ctx: Context) -> None:
    world.begin(ctx)
    both = [("Cleaned", cleaned), ("Trained", trained)]
    world.inputs[int(ctx.run[1:])] = [(kind, event.n) for kind, event in both if event]


@app.on(Trained, debounce=Debounce(3, longest=8))
async def last(event: Trained, ctx: Context) -> None:
    world.begin(ctx)


@app.on(Start, where={"kind": ["ordered"]}, in_order="n")
async def ordered(event: Start, ctx: Context) -> None:
    world.begin(ctx)
    world.in_turn(ctx)
    await asyncio.sleep(1)
    if event.n % 3 == 2 and ctx.attempt == 1:
        raise OSError("not yet")


@app.on(Start, where={"kind": ["ordered"]}, throttle=Rate(1, per=5))
async def paced(event: Start, ctx: Context) -> None:
    world.begin(ctx)


@app.on(Start, where={"kind": ["long"]})
async def resuming(event: Start, ctx: Context) -> None:
    world.begin(ctx)
    world.resumed(ctx)
    for step in range((ctx.restored or 0) + 1, 5):
        await asyncio.sleep(1)
        ctx.checkpoint(step)
        if step == 2 and ctx.attempt == 1:
            raise OSError("not yet")


@app.on(Start, where={"kind": ["single"]}, overlap="skip")
async def skipping(event: Start, ctx: Context) -> None:
    world.begin(ctx, most=1)
    await asyncio.sleep(3)
    world.end(ctx)


@app.on(Start, where={"kind": ["single"]}, overlap="queue")
async def queueing(event: Start, ctx: Context) -> None:
    world.begin(ctx, most=1)
    await asyncio.sleep(1)
    world.end(ctx)
    if event.n % 3 == 1 and ctx.attempt == 1:
        raise OSError("not yet")


@app.on(Start, where={"kind": ["single"]}, overlap="replace")
async def replacing(event: Start, ctx: Context) -> Trained:
    world.begin(ctx)
    await asyncio.sleep(2)
    return Trained(n=event.n)


@app.on(Start, where={"kind": ["keyed", "isolated"]}, key=tenant, per_key=1, concurrency=2)
async def keyed(event: Start, ctx: Context) -> None:
    world.begin(ctx, most=2)
    await asyncio.sleep(0.5)
    world.end(ctx)


@app.on(Start, where={"kind": ["isolated"]}, isolate=True)
async def isolated(event: Start, ctx: Context) -> Cleaned:
    world.begin(ctx)
    await asyncio.sleep(2)
    return Cleaned(n=event.n)


@app.on(Start, where={"kind": ["later"]})
async def waiting(event: Start, ctx: Context) -> Cleaned:
    world.begin(ctx)
    if world.tries(ctx) == 1:
        raise Later(seconds=PUT_OFF)
    return Cleaned(n=event.n)


@app.on(Start, where={"kind": ["bad"]})
async def failing(event: Start, ctx: Context) -> None:
    world.begin(ctx)
    raise Reject("never")


@app.on(RunFailed)
async def mourn(event: RunFailed, ctx: Context) -> None:
    world.begin(ctx)


@app.on(every(minutes=1, missed="all", missed_most=10))
async def tick(event: Tick, ctx: Context) -> None:
    world.begin(ctx)


@app.on(Start, where={"kind": ["limited"]}, rate_limit=Rate(1, per=RATED))
async def limited(event: Start, ctx: Context) -> None:
    world.begin(ctx)


@app.on(Start, where={"kind": ["shared"]}, key=tenant, share=True, concurrency=1)
async def shared(event: Start, ctx: Context) -> None:
    world.begin(ctx, most=1)
    await asyncio.sleep(2)
    world.end(ctx)


@app.on(Start, where={"kind": ["timed"]}, window=OPEN_FROM)
async def nightly(event: Start, ctx: Context) -> None:
    world.begin(ctx)


@app.on(Start, where={"kind": ["timed"]}, not_before=DELAY)
async def postponed(event: Start, ctx: Context) -> None:
    world.begin(ctx)


@app.on(Start, where={"kind": ["timed"]}, expires=LASTS, concurrency=1)
async def fleeting(event: Start, ctx: Context) -> None:
    world.begin(ctx, most=1)
    await asyncio.sleep(4)
    world.end(ctx)
    if event.n % 2 and ctx.attempt == 1:
        raise OSError("not yet")


app.expect(Start, where={"kind": ["beat"]}, every=BEAT, grace=GRACE, name="beat")


@app.on(Missing)
async def missed(event: Missing, ctx: Context) -> None:
    world.begin(ctx)


KINDS = ("chain", "chain", "single", "single", "keyed", "isolated", "isolated", "later", "bad",
         "ordered", "ordered", "long", "limited", "shared", "timed", "beat")  # fmt: skip
TRIGGERED = {
    "chain": ("clean",), "single": ("skipping", "queueing", "replacing"), "keyed": ("keyed",),
    "isolated": ("keyed", "isolated"), "later": ("waiting",), "bad": ("failing",),
    "ordered": ("ordered", "paced"), "long": ("resuming",), "limited": ("limited",), "shared": ("shared",),
    "timed": ("nightly", "postponed", "fleeting"), "beat": (),
}  # fmt: skip
EMITS = {"clean": "Cleaned", "train": "Trained", "replacing": "Trained", "isolated": "Cleaned", "waiting": "Cleaned"}
FOLLOWING = {"Cleaned": ("train", "paired"), "Trained": ("report", "together", "paired", "last")}
ALWAYS = ("tick", "mourn")


@cache
def wired(kinds: Collection[str]) -> App:
    """Return the app with the routes that letters of some kinds lead to: what has nothing to do costs time only."""
    names = {*ALWAYS, *(name for kind in kinds for name in TRIGGERED[kind])}
    for emitted in ("Cleaned", "Trained"):  # what is emitted may lead to more, in this order
        if any(EMITS.get(name) == emitted for name in names):
            names.update(FOLLOWING[emitted])
    part = copy(app)
    if "beat" in kinds:
        names.add("missed")
    else:
        part.expectations = {}
    part.routes = {name: route for name, route in app.routes.items() if name in names}
    return part

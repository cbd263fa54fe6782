"""An app with a route of every kind that matters to a crash, and the world that its handlers act on.

The world outlives every process, and sees what no row tells: which attempt acted when, beside whom, under which key.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.kit import delivery
from triggers import App, Batch, Context, Debounce, Event, Join, Later, Rate, Reject, Retry, RunFailed, Tick, every
from triggers.journal import DROPPED, RUNNING
from triggers.sources import Delivery, Site
from triggers.testing import boundary


class Start(Event):
    n: int
    kind: str


class Cleaned(Event):
    n: int


class Trained(Event):
    n: int


@dataclass(slots=True)
class Letter:
    """A message that comes again until it is acknowledged."""

    delivery: Delivery
    due: float


@dataclass(slots=True)
class Act:
    """Something that a handler did, which can be seen from outside."""

    route: str
    run: int
    attempt: int
    key: str
    event: int


@dataclass(slots=True)
class World:
    """Everything outside of the process."""

    trial: Any = None
    letters: list[Letter] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    at_work: dict[str, list[str | None]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    """What was seen that must never be."""
    inputs: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    """The types and numbers of the events that came together in each run, as its handler got them."""
    given_back: set[int] = field(default_factory=set)
    """How many acts there were whenever the app was stopped: what was at work then has used no attempt."""

    @property
    def journal(self) -> Any:
        return self.trial._engine.journal

    def born(self) -> None:
        """A process begins: nobody is at work in it."""
        self.at_work.clear()

    def begin(self, ctx: Context, most: int | None = None, key: str | None = None) -> None:
        """See a handler begin: its claim must be durable, and of this owner; no more than so many at once."""
        number, journal = int(ctx.run[1:]), self.journal
        row = journal._connection.execute("SELECT state, attempt, epoch FROM run WHERE number = ?", (number,)).get
        replaced = (DROPPED, ctx.attempt, journal.epoch)  # committed, and not told yet to who was about to begin
        if row not in ((RUNNING, ctx.attempt, journal.epoch), replaced if ctx.route == "replacing" else None):
            self.wrong.append(f"{ctx.run} is at work as attempt {ctx.attempt} in {journal.epoch}; its row says {row}")
        others = self.at_work[ctx.route]
        if most is not None and others.count(key) >= most:
            self.wrong.append(f"{ctx.run} is at work beside {others.count(key)} others of {ctx.route}")
        others.append(key)
        self.acts.append(Act(ctx.route, number, ctx.attempt, ctx.effect_key, ctx.envelope.number))
        boundary()

    def end(self, ctx: Context, key: str | None = None) -> None:
        if key in self.at_work[ctx.route]:
            self.at_work[ctx.route].remove(key)

    def in_turn(self, ctx: Context) -> None:
        """See that those are over that came before and go before."""
        if others := self.journal._connection.execute(_BEFORE, {"run": int(ctx.run[1:])}).get:
            self.wrong.append(f"{ctx.run} of {ctx.route} is at work before r{others}")

    def resumed(self, ctx: Context) -> None:
        """See that a run finds what it had left, if it was written down."""
        left = self.journal._connection.execute(_LEFT, (int(ctx.run[1:]),)).get
        if ctx.restored != (None if left is None else json.loads(left)):
            self.wrong.append(f"{ctx.run} finds {ctx.restored!r} where it has left {left}")

    def tries(self, ctx: Context) -> int:
        """Return how often the run has acted before."""
        return sum(act.run == int(ctx.run[1:]) for act in self.acts)

    def acknowledge(self, letters: Sequence[Letter]) -> None:
        """Forget letters: their events must be durable."""
        for letter in letters:
            key = letter.delivery.id.encode()
            sql = "SELECT 1 FROM identity WHERE key = ? UNION ALL SELECT 1 FROM ledger WHERE source = ? AND key = ?"
            name = letter.delivery.source
            if not self.journal._connection.execute(sql, (f"{name}\0{letter.delivery.id}", name, key)).get:
                self.wrong.append(f"letter {letter.delivery.id} was acknowledged and is not durable")
            self.letters.remove(letter)


_BEFORE = """
SELECT other.number FROM run JOIN event ON event.number = run.event
JOIN run AS other ON other.route = run.route AND other.number < run.number AND other.state < 3
JOIN event AS before ON before.number = other.event
WHERE run.number = :run AND before.data -> 'n' < event.data -> 'n'"""
_LEFT = "SELECT value FROM checkpoint WHERE run = ?"

world = World()


class Mail:
    """A source of letters."""

    name = "mail"

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        while True:
            now = site.clock.monotonic()
            if here := [letter for letter in world.letters if letter.due <= now]:
                yield [letter.delivery for letter in here]
                world.acknowledge(here)
            elif world.letters:
                await site.clock.sleep(min(letter.due for letter in world.letters) - now)
            else:
                site.idle(self.name)
                await site.poked(self.name)


def letter(n: int, kind: str, now: float, due: float) -> Letter:
    made = delivery(Start(n=n, kind=kind), id=f"letter{n}", source="mail")
    made.time = now
    if n % 2:  # known by what the source remembers, as a file is
        made.memory = (made.id.encode(), b"1")
    return Letter(made, due)


app = App("storm", sources=[Mail()], retry=Retry(attempts=4, initial=0.5, maximum=4.0))


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


@app.on(Start, where={"kind": ["keyed", "isolated"]}, key="n", per_key=1, concurrency=2)
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
        raise Later(seconds=20)
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


KINDS = ("chain", "chain", "single", "single", "keyed", "isolated", "isolated", "later", "bad",
         "ordered", "ordered", "long")  # fmt: skip
EMITS = {"clean": "Cleaned", "train": "Trained", "replacing": "Trained", "isolated": "Cleaned", "waiting": "Cleaned"}

"""What comes together must not depend on when anybody looks, or on what crashes: random stories, lived at random.

A story is what a journal has recorded: events with their times. It is lived with random pauses, groups of commits and
crashes in between, and what its handlers were called with, and what was dropped or failed, is compared with an oracle
that works it out from the story alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import apsw

from benchmarks.measure import Row, Trials
from triggers import App, Batch, Context, Debounce, Event, Join, Retry
from triggers.dispatcher import Dispatcher
from triggers.events import GATHERED, encode
from triggers.journal import STATES, Journal
from triggers.routing import Router
from triggers.sources import Delivery
from triggers.state import StateFolder
from triggers.testing import FakeClock

Result = dict[str, Any]
Outcome = tuple[str, str, tuple[int | None, ...]]
"""The route, what became of it, and which events it was about."""

FAR = 10_000.0
"""Seconds after which every group has ended."""


class Left(Event):
    """One of the two types of a join; batches and bursts are of it, too."""

    n: int
    key: str | None = None


class Right(Event):
    """The other one."""

    n: int
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a story: when it was recorded, in seconds after its start."""

    at: float
    event: Left | Right


@dataclass(frozen=True, slots=True)
class Story:
    """What was recorded, and how it comes together."""

    told: Sequence[Told]
    batch: Batch
    debounce: Debounce
    late: Literal["new", "drop"]
    missing: Literal["drop", "fail", "partial"]
    repeated: Literal["latest", "first", "queue"]
    within: float


def story(seed: int) -> Story:
    """Return a random story: some of its events come at the very moment at which a group ends."""
    rng = random.Random(seed)
    at, told = 0.0, []
    for n in range(rng.randint(6, 18)):
        at += rng.choice([0, 0, 1, 2, 5, 10, 10, 30])
        key = rng.choice(["a", "a", "b", None])
        told.append(Told(at, Left(n=n, key=key) if rng.random() < 0.5 else Right(n=n, key=key)))
    quiet = rng.choice([2.0, 10.0])
    return Story(
        told,
        Batch(rng.randint(1, 4), within=rng.choice([5.0, 10.0, 30.0])),
        Debounce(quiet, longest=rng.choice([None, quiet, 3 * quiet])),
        rng.choice(["new", "drop"]),
        rng.choice(["drop", "fail", "partial"]),
        rng.choice(["latest", "first", "queue"]),
        rng.choice([5.0, 10.0, 30.0]),
    )


# --- the oracle


def expected(told: Story) -> Counter[Outcome]:
    """Work out what must become of a story, each key and route for itself."""
    found: Counter[Outcome] = Counter()
    keys: dict[str | None, list[Told]] = {}
    for one in told.told:
        keys.setdefault(one.event.key, []).append(one)
    for key, events in keys.items():
        lefts = [one for one in events if isinstance(one.event, Left)]
        found.update(_batches(told, lefts))
        found.update(_bursts(told, lefts))
        if key is None:
            found.update(("evaluate", "by", (one.event.n,)) for one in events)
        else:
            found.update(_pairs(told, events))
    return found


def _batches(told: Story, events: Sequence[Told]) -> Iterator[Outcome]:
    group: list[Told] = []
    for one in events:
        if group and one.at >= group[0].at + told.batch.within:
            yield "load", "done", tuple(member.event.n for member in group)
            group = []
        group.append(one)
        if len(group) == told.batch.most:
            yield "load", "done", tuple(member.event.n for member in group)
            group = []
    if group:
        yield "load", "done", tuple(member.event.n for member in group)


def _bursts(told: Story, events: Sequence[Told]) -> Iterator[Outcome]:
    burst: list[Told] = []
    for one in events:
        if burst and one.at >= min(burst[-1].at + told.debounce.quiet, burst[0].at + (told.debounce.longest or FAR)):
            yield "build", "done", (burst[-1].event.n,)
            burst = []
        elif burst:
            yield "build", "debounce", (burst[-1].event.n,)
        burst.append(one)
    if burst:
        yield "build", "done", (burst[-1].event.n,)


@dataclass(slots=True)
class _Pair:
    opened: float
    left: int | None = None
    right: int | None = None

    def both(self) -> tuple[int | None, int | None]:
        return self.left, self.right


def _pairs(told: Story, events: Sequence[Told]) -> Iterator[Outcome]:
    pairs: list[_Pair] = []
    had = False
    for one in events:
        side = "left" if isinstance(one.event, Left) else "right"
        for pair in [pair for pair in pairs if one.at >= pair.opened + told.within]:
            pairs.remove(pair)
            had = True
            yield _lacking(told, pair)
        lacking = [pair for pair in pairs if getattr(pair, side) is None]
        if not lacking and pairs and told.repeated == "first":
            yield "evaluate", "repeated", (one.event.n,)
            continue
        if not lacking and pairs and told.repeated == "latest":
            yield "evaluate", "repeated", (getattr(pairs[0], side),)
            lacking = pairs[:1]
        if not lacking:
            if had and told.late == "drop":
                yield "evaluate", "late", (one.event.n,)
                continue
            lacking = [_Pair(one.at)]
            pairs += lacking
        setattr(lacking[0], side, one.event.n)
        if None not in lacking[0].both():
            pairs.remove(lacking[0])
            had = True
            yield "evaluate", "done", lacking[0].both()
    yield from (_lacking(told, pair) for pair in pairs)


def _lacking(told: Story, pair: _Pair) -> Outcome:
    there = tuple(n for n in pair.both() if n is not None)
    word = {"fail": "dead", "drop": "missing", "partial": "done"}[told.missing]
    return "evaluate", word, pair.both() if told.missing == "partial" else there


# --- a life


class SleepyClock(FakeClock):
    """A clock on which time may pass without anybody being woken, as on a machine that is too busy."""

    def oversleep(self, seconds: float) -> None:
        """Let time pass."""
        self._monotonic += seconds


@dataclass(slots=True)
class Life:
    """A story as it is lived: with pauses, commits and crashes as the dice have it."""

    told: Story
    dice: random.Random
    folder: Path
    clock: SleepyClock = field(default_factory=SleepyClock)
    called: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    """What handlers were called with, by their effect keys."""
    crashes: int = 0
    _journal: Journal = field(init=False)

    def app(self) -> App:
        """Return the app, whose handlers note what they are called with."""
        app = App("gatherings", retry=Retry(attempts=100))
        told = self.told

        @app.on(Left, batch=told.batch, key="key")
        async def load(events: list[Left], ctx: Context) -> None:
            await self._note(ctx, *(event.n for event in events))

        @app.on(Left, debounce=told.debounce, key="key")
        async def build(event: Left, ctx: Context) -> None:
            await self._note(ctx, event.n)

        policies = {"late": told.late, "missing": told.missing, "repeated": told.repeated}

        @app.on(Join(Left, Right, by="key", within=told.within, **policies))  # type: ignore[arg-type]  # they are words
        async def evaluate(left: Left | None, right: Right | None, ctx: Context) -> None:
            await self._note(ctx, left.n if left else None, right.n if right else None)

        return app

    async def live(self) -> Counter[Outcome]:
        """Live the story to its end, and return what became of it."""
        app, start = self.app(), self.clock.now()
        dispatcher = self._begin(app)
        told = list(self.told.told)
        while told:
            turn = []
            for one in told[: self.dice.choice([1, 1, 2, 3])]:  # recorded at different times, in one commit
                await self._pass(start + one.at)
                turn.append(dispatcher.append([_delivery(one.event, self.clock.now())]))
            del told[: len(turn)]
            await asyncio.gather(*turn)
            for _ in range(self.dice.choice([0, 1, 2, 3, 5, 8, 20])):
                await asyncio.sleep(0)
            if self.dice.random() < 0.25:
                dispatcher = await self._crash(app, dispatcher)
        if self.dice.random() < 0.5:
            dispatcher = await self._crash(app, dispatcher)
        await self._settle(dispatcher, self.clock.monotonic() + FAR)
        found = await dispatcher.pipeline.asked(_outcomes)
        await self._end(dispatcher)
        return Counter(found) + Counter()

    def _begin(self, app: App) -> Dispatcher:
        state = StateFolder(self.folder).create()
        journal = Journal(state, self.clock, durable=False, threaded=False)
        dispatcher = Dispatcher(app.name, Router(app.routes.values()), journal, app.limits)
        self._journal = journal
        dispatcher.start()
        return dispatcher

    async def _pass(self, moment: float) -> None:
        """Let time pass until a moment: sometimes whoever waits for one is woken in time, and sometimes not."""
        until = self.clock.monotonic() + moment - self.clock.now()
        if self.dice.random() < 0.5:
            while self.clock.step(until):
                for _ in range(self.dice.choice([1, 2, 6])):
                    await asyncio.sleep(0)
        else:
            self.clock.oversleep(max(0.0, until - self.clock.monotonic()))

    async def _settle(self, dispatcher: Dispatcher, until: float) -> None:
        while True:
            while dispatcher.pipeline.busy or not dispatcher.quiet():
                await dispatcher.pipeline.changed()
            if not self.clock.step(until):
                return
            await asyncio.sleep(0)

    async def _crash(self, app: App, dispatcher: Dispatcher) -> Dispatcher:
        self.crashes += 1
        await self._end(dispatcher)
        return self._begin(app)

    async def _end(self, dispatcher: Dispatcher) -> None:
        """End as a killed process does: nothing more gets to the disk."""
        self._journal.close()
        dispatcher.pipeline.fatal = ConnectionAbortedError("killed")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        dispatcher._executor.close()

    async def _note(self, ctx: Context, *members: int | None) -> None:
        if self.dice.random() < 0.3:
            await asyncio.sleep(0)
        assert self.called.setdefault(ctx.effect_key, members) == members, "a run was called with something else"


def _delivery(event: Event, now: float) -> Delivery:
    kind = type(event)
    return Delivery("story", f"{event.n}", kind.__event_type__, encode(event), now)  # type: ignore[attr-defined]  # both have one


def _outcomes(connection: apsw.Connection) -> list[Outcome]:
    """Return what the journal says of each run: its route, what became of it, and which events it was about."""
    events = {number: (kind, data) for number, kind, data in connection.execute("SELECT number, type, data FROM event")}
    found = []
    for route, state, error, event in connection.execute("SELECT route, state, error, event FROM run"):
        kind, data = events[event]
        members = [events[one] for one in json.loads(data)["events"]] if kind == GATHERED else [(kind, data)]
        of = {kind: json.loads(data)["n"] for kind, data in members}
        numbers = [json.loads(data)["n"] for _, data in members]
        word = STATES[state]
        if word == "dropped":
            word = next(word for word in WHY if f"({word}=" in error)
        elif word == "done" and route == "evaluate":
            numbers = [of.get("Left"), of.get("Right")]
        found.append((route, word, tuple(numbers)))
    return found


WHY = ("debounce", "repeated", "late", "missing", "by")
"""What a reason for being dropped names."""


def difference(seed: int, folder: Path) -> tuple[str, int]:
    """Live a story; return how what became of it differs from what must, if it does, and how often it crashed."""
    told = story(seed)
    wanted = expected(told)
    life = Life(told, random.Random(f"dice of {seed}"), folder / str(seed))
    found = asyncio.run(life.live())
    called = Counter(life.called.values())
    done = Counter(members for _, word, members in found.elements() if word == "done")
    said = ""
    if found != wanted:
        said = f"seed {seed}: {dict(found - wanted)} in the place of {dict(wanted - found)}"
    elif called != done:
        said = f"seed {seed}: called with {dict(called - done)} in the place of {dict(done - called)}"
    return said, life.crashes


def together(folder: Path, seeds: int) -> Result:
    """Live so many stories, and count those that differ, and the crashes."""
    began = time.perf_counter()
    with ProcessPoolExecutor(initializer=logging.disable) as pool:
        found = list(pool.map(partial(difference, folder=folder), range(seeds), chunksize=10))
    seconds = time.perf_counter() - began
    wrong = [said for said, _ in found if said]
    return {"wrong": len(wrong), "first": wrong[:3], "crashes": sum(times for _, times in found), "seconds": seconds}


def rows(trials: Trials) -> list[Row]:
    """Return how many stories went otherwise than they must, and how long it took to live them."""
    seeds = trials.setup.few(1000, 100)
    found = trials.run("gatherings.together", seeds=seeds)
    note = f"{seeds:,} random stories of batches, bursts and joins, {found['crashes']:,} crashes"
    return [
        Row("what comes together, by timing and crashes: differences", "", "less", 0, [found["wrong"]], note=note),
        Row("the same: time for all", "s", "less", 45 * seeds / 1000, [found["seconds"]]),
    ]

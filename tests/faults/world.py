"""The world that the storm's handlers act on, and that its letters come from.

It outlives every process, and sees what no row tells: which attempt acted when, beside whom, under which key.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.kit import delivery
from triggers import Context, Event
from triggers.intake import OPERATORS
from triggers.journal import DROPPED, RUNNING
from triggers.requests import PauseRoutes, ResumeRoutes
from triggers.sources import Delivery, Site
from triggers.testing import boundary


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
    epoch: int
    key: str
    event: int
    at: float
    """When, by the clock on the wall."""


@dataclass(slots=True)
class World:
    """Everything outside of the process."""

    trial: Any = None
    letters: list[Letter] = field(default_factory=list)
    wishes: list[Letter] = field(default_factory=list)
    """What operators ask for, until it is durable."""
    durable: dict[str, float] = field(default_factory=dict)
    """When letters were acknowledged at the latest, by their identities."""
    fair: bool = False
    """Whether runs compete for shares."""
    halts: bool = False
    """Whether operators pause anything."""
    acts: list[Act] = field(default_factory=list)
    at_work: dict[str, list[str | None]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    """What was seen that must never be."""
    inputs: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    """The types and numbers of the events that came together in each run, as its handler got them."""
    failed: dict[int, list[int]] = field(default_factory=dict)
    """The numbers of the events that each run of a batch said it could not do."""
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
        claim, now = (ctx.route, number, ctx.attempt, journal.epoch), self.trial.clock.now()
        self.acts.append(Act(*claim, ctx.effect_key, ctx.envelope.number, now))
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

    def ask(self, request: PauseRoutes | ResumeRoutes) -> None:
        """Have an operator ask for something."""
        asked = delivery(request, source=OPERATORS)
        asked.time = self.trial.clock.now()
        self.wishes.append(Letter(asked, 0.0))

    def acknowledge(self, box: list[Letter], letters: Sequence[Letter]) -> None:
        """Forget letters: their events must be durable."""
        for letter in letters:
            key = letter.delivery.id.encode()
            sql = "SELECT 1 FROM identity WHERE key = ? UNION ALL SELECT 1 FROM ledger WHERE source = ? AND key = ?"
            name = letter.delivery.source
            if not self.journal._connection.execute(sql, (f"{name}\0{letter.delivery.id}", name, key)).get:
                self.wrong.append(f"letter {letter.delivery.id} was acknowledged and is not durable")
            self.durable.setdefault(letter.delivery.id, self.trial.clock.now())
            box.remove(letter)


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
            box = self._box()
            if here := [letter for letter in box if letter.due <= now]:
                yield [letter.delivery for letter in here]
                world.acknowledge(box, here)
            elif box:
                await site.clock.sleep(min(letter.due for letter in box) - now)
            else:
                site.idle(self.name)
                await site.poked(self.name)

    def _box(self) -> list[Letter]:
        return world.letters


class Desk(Mail):
    """The source of what operators ask, as the inbox of requests is."""

    name = OPERATORS

    def _box(self) -> list[Letter]:
        return world.wishes


def letter(event: Event, n: int, now: float, due: float) -> Letter:
    """Return a letter with an event, which comes until it is acknowledged."""
    made = delivery(event, id=f"letter{n}", source="mail")
    made.time = now
    if n % 2:  # known by what the source remembers, as a file is
        made.memory = (made.id.encode(), b"1")
    return Letter(made, due)

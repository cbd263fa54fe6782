"""Power loss: what was not synced is gone, or there in part. What was acknowledged is there, and is seen through."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import apsw
import pytest

from tests.kit import Life, delivery
from tests.torture import TIMES
from tests.torture.storage import Platter, Synced, heard
from triggers import App, Context, Event
from triggers.journal.soundness import unsound
from triggers.journal.views import open_reader
from triggers.state import StateFolder

LOSSES = 10  # of each machine
FAILING = {"read": 0.05, "write": 0.05, "sync": 0.3, "truncate": 0.05, "delete": 0.0}
"""How often what is asked of a disk fails."""
SEED = 20261123


class Step(Event):
    n: int


class Last(Event):
    n: int


Acts = list[tuple[str, str, int]]
"""What was done: under which key, by which route, for which event."""


def app_of(acts: Acts) -> App:
    app = App("power")

    @app.on(Step)
    async def one(event: Step, ctx: Context) -> Last:
        acts.append((ctx.effect_key, "one", event.n))
        return Last(n=event.n)

    @app.on(Last)
    async def two(event: Last, ctx: Context) -> None:
        acts.append((ctx.effect_key, "two", event.n))

    return app


@dataclass
class Loss:
    """What a power loss has left, and what was promised and done by then."""

    folder: Path
    acknowledged: set[int]
    acts: Acts


@dataclass
class Machine:
    """An app at work whose power fails again and again, each time for a copy of it alone."""

    home: Path
    wanted: int
    chance: random.Random
    losses: list[Loss] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    acts: Acts = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def live(self, *, durable: bool = True) -> None:
        """Take events in, by both ways, until the power has failed as often as is wanted."""
        app, numbers = app_of(self.acts), count()
        with self._watched() as (platter, inbox):
            life = Life(app, self.home / "state", durable=durable, threaded=True)
            life.ask("PRAGMA wal_autocheckpoint = 20")  # pages, so that there are checkpoints too
            platter.before = lambda operation: self._fail(platter, inbox)
            while len(self.losses) < self.wanted:
                steps = [Step(n=next(numbers)) for _ in range(self.chance.randint(1, 3))]
                if self.chance.random() < 0.3:
                    app.send(*steps, state=self.home / "state")
                    life.engine.intake.poke("inbox")
                else:
                    life.append(*steps)
                self.acknowledged.update(step.n for step in steps)
            platter.before = lambda operation: None
            life.crash()

    def begin(self, share: float) -> None:
        """Start for the first time, and have this end at a share of all operations: by a power loss, or a kill."""
        app = app_of(self.acts)
        with self._watched() as (platter, inbox):
            platter.before = lambda operation: self._end(platter, inbox, share)
            life = Life(app, self.home / "state", durable=True, threaded=True)
            life.append(Step(n=0))
            self.acknowledged.add(0)
            life.settle()
            platter.before = lambda operation: None
            life.crash()

    def _end(self, platter: Platter, inbox: Synced, share: float) -> None:
        if self.chance.random() < share:
            self._keep(platter, inbox, killed=self.chance.random() < 0.5)

    def suffer(self, batches: int) -> None:
        """Take so many batches in, and more until reads, writes and syncs have failed; then have the power fail.

        There are no checkpoints: SQLite ignores their failures, and goes on, but this VFS raises them from the commit.
        """
        app, numbers = app_of(self.acts), count()
        with self._watched() as (platter, inbox):
            life = Life(app, self.home / "state", durable=True, threaded=True)
            life.ask("PRAGMA cache_size = 10")  # pages, so that some are read
            life.ask("PRAGMA wal_autocheckpoint = 0")
            while batches > 0 or not self.failed.keys() >= {"read", "write", "sync"}:
                batches -= 1
                platter.before = self._refuse
                steps = [Step(n=next(numbers)) for _ in range(self.chance.randint(1, 3))]
                life.run(patiently(life, steps))
                self.acknowledged.update(step.n for step in steps)
            platter.before = lambda operation: None
            self._keep(platter, inbox)
            life.crash()

    def _refuse(self, operation: str) -> None:
        if self.chance.random() < FAILING[operation]:
            self.failed[operation] += 1
            raise self.chance.choice((apsw.IOError, apsw.FullError))(f"a {operation} that was to fail")

    @contextmanager
    def _watched(self) -> Iterator[tuple[Platter, Synced]]:
        platter, inbox = Platter(), Synced(self.home / "state" / "inbox")
        with heard(platter), inbox.watching():
            yield platter, inbox

    def _fail(self, platter: Platter, inbox: Synced) -> None:
        if len(self.losses) < self.wanted and self.chance.random() < 0.05:
            self._keep(platter, inbox)

    def _keep(self, platter: Platter, inbox: Synced, *, killed: bool = False) -> None:
        """Keep what is left of the machine as it is now."""
        loss = Loss(self.home / f"loss{len(self.losses)}", set(self.acknowledged), list(self.acts))
        inbox.lose(loss.folder / "inbox")
        platter.lose(loss.folder, self.chance, killed=killed)
        self.losses.append(loss)


async def patiently(life: Life, steps: Sequence[Step]) -> None:
    """Hand events in, and let time pass until they are durable: what the disk refuses is tried again every second."""
    done = life.dispatcher.append([delivery(step) for step in steps])
    while not done.done():
        life.clock.step(life.clock.monotonic() + 1)
        await asyncio.sleep(0.001)


def see_through(loss: Loss) -> None:
    """Start the app on what is left, and prove that all that was acknowledged ends well, under the keys that it had."""
    acts = list(loss.acts)
    life = Life(app_of(acts), loss.folder)
    life.settle()
    life.stop()
    with closing(open_reader(StateFolder(loss.folder))) as connection:
        assert connection.pragma("integrity_check") == "ok"
        assert unsound(connection) == []
        rows = list(connection.execute("SELECT json_extract(data, '$.n'), count(*) FROM event GROUP BY 1"))
        assert not connection.execute("SELECT 1 FROM run WHERE state <> 3").get
    assert {number for _, number in rows} <= {2}
    assert loss.acknowledged <= {n for n, _ in rows}, "what was acknowledged is lost"
    keys = defaultdict(set)
    for key, route, n in acts:
        keys[route, n].add(key)
    assert loss.acknowledged <= {n for route, n in keys if route == "two"}
    for n, _ in rows:
        assert len(keys["one", n]) == len(keys["two", n]) == 1, "an effect has two keys"


@pytest.mark.parametrize("times", range(TIMES))
def test_a_power_loss_takes_nothing_that_was_acknowledged(tmp_path: Path, times: int) -> None:
    machine = Machine(tmp_path, LOSSES, random.Random(SEED + times))
    machine.live()
    for loss in machine.losses:
        see_through(loss)
    print("seed", SEED + times, "power losses", len(machine.losses), "acknowledged", len(machine.acknowledged))


def test_a_first_start_that_ends_anywhere_is_begun_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 0, random.Random(SEED))
    machine.begin(0.1 if TIMES == 1 else 1.0)
    for loss in machine.losses:
        see_through(loss)
    print("seed", SEED, "first starts cut off", len(machine.losses))


def test_what_is_not_synced_is_seen_to_be_lost(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 3, random.Random(SEED))
    machine.live(durable=False)
    with pytest.raises((AssertionError, apsw.CorruptError)):
        see_through(machine.losses[-1])


def test_a_disk_that_fails_now_and_then_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 0, random.Random(SEED))
    machine.suffer(20 * TIMES)
    see_through(machine.losses[-1])
    print("seed", SEED, "failed", dict(machine.failed), "acknowledged", len(machine.acknowledged))

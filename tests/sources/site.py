"""What a running app would give to its sources, small and in the hands of the test."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from triggers.clock import Clock
from triggers.harness import FakeClock, Sleeper
from triggers.sources import Delivery, Source

T = TypeVar("T")
PATIENCE = 30.0  # seconds after which a test gives up on what should take milliseconds

MOMENT = 0.01
LONG = 1800.0  # seconds: what a source does after that is not what a test of something else waits for


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def in_time() -> T:
        return await asyncio.wait_for(coroutine, PATIENCE)

    return asyncio.run(in_time())


class SiteClock(FakeClock):
    """The fake clock on which only moments that no test can mean pass by themselves, and sleepers can be awaited."""

    def __init__(self) -> None:
        super().__init__()
        self._slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds < MOMENT:
            self.leap(seconds)
            await asyncio.sleep(seconds)
        else:
            await super().sleep(seconds)

    async def someone_sleeps(self) -> None:
        """Wait until somebody waits for time to pass, and not for most of an hour."""
        while not any(due < self.monotonic() + LONG and not waking.done() for due, _, waking in self._sleepers):
            self._slept.clear()
            await self._slept.wait()

    async def advance(self, seconds: float) -> None:
        """Let time pass, as soon as somebody waits for it."""
        await self.someone_sleeps()
        self.leap(seconds)

    def leap(self, seconds: float) -> None:
        """Let time pass at once, whoever waits for it."""
        until = self.monotonic() + seconds
        while self.step(until):
            pass

    def wake(self, due: float, sleeper: Sleeper) -> None:
        super().wake(due, sleeper)
        self._slept.set()


class FakeSite:
    """A ledger that is a dict, a fake clock, and pokes."""

    def __init__(self, *, watches: bool = True) -> None:
        self.time = SiteClock()
        self.clock: Clock = self.time
        self.watches = watches
        self.app = "app"
        self.types: Collection[str] = {"MessageReceived"}
        self.names: Collection[str] = ()
        self.traces = False
        self.looks: set[str] = set()
        """The sources that have delivered what was there when they began."""
        self.rejected: list[tuple[str, str, str, str]] = []
        self.ledger: dict[tuple[str, bytes], bytes] = {}
        self.ids: set[tuple[str, str]] = set()
        self._idle: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._poke: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def recall(self, source: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {key: self.ledger[source, key] for key in keys if (source, key) in self.ledger}

    async def remembered(self, source: str, folder: bytes, after: bytes, most: int) -> dict[bytes, bytes]:
        below = folder + b"/" if folder else b""
        keys = sorted(key for name, key in self.ledger if name == source and key > after and key.startswith(below))
        known = [key for key in keys if self.ledger[source, key]]
        return {key: self.ledger[source, key] for key in known[:most]}

    async def remember(self, source: str, memories: Mapping[bytes, bytes]) -> None:
        self.ledger.update({(source, key): value for key, value in memories.items()})

    async def reject(self, source: str, id: str, content: str, reason: str) -> None:
        self.rejected.append((source, id, content, reason))

    def idle(self, source: str) -> None:
        self._idle[source].set()

    def looked(self, source: str) -> None:
        self.looks.add(source)

    async def poked(self, source: str) -> None:
        await self._poke[source].wait()
        self._poke[source].clear()

    def poke(self, source: str) -> None:
        self._idle[source].clear()
        self._poke[source].set()

    def begin(self, source: str) -> None:
        """A source starts (again): that another run of it was idle counts no more."""
        self._idle[source].clear()

    async def until_idle(self, source: str) -> None:
        await self._idle[source].wait()

    def is_idle(self, source: str) -> bool:
        return self._idle[source].is_set()

    def commit(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """Do what the journal does: take in what is new, and return it."""
        fresh = []
        for delivery in batch:
            known = False
            if delivery.memory is not None:
                key, value = delivery.memory
                known = self.ledger.get((delivery.source, key)) == value
                self.ledger[delivery.source, key] = value
            if delivery.unique or delivery.memory is None:
                known = known or (delivery.source, delivery.id) in self.ids
                self.ids.add((delivery.source, delivery.id))
            if not known:
                fresh.append(delivery)
        return fresh


class Tap:
    """What a running source has delivered, after the ledger dropped what it knew."""

    def __init__(self, source: Source, site: FakeSite) -> None:
        self._source = source
        self._site = site
        self.arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self.told = 0
        """How many deliveries the source made, with those that the ledger dropped."""

    async def pump(self) -> None:
        async for batch in self._source.deliveries(self._site):
            self.told += len(batch)
            for delivery in self._site.commit(batch):
                self.arrived.put_nowait(delivery)

    async def take(self, number: int = 1) -> list[Delivery]:
        return [await self.arrived.get() for _ in range(number)]

    async def keys(self, number: int = 1) -> list[str | None]:
        return [delivery.subject for delivery in await self.take(number)]

    async def idle(self) -> None:
        await self._site.until_idle(self._source.name)

    async def poke(self) -> None:
        """Ask the source to look again, and wait until it has."""
        self._site.poke(self._source.name)
        await self.idle()


@asynccontextmanager
async def tapped(source: Source, site: FakeSite) -> AsyncIterator[Tap]:
    """Run a source until the end of the block; what goes wrong in it goes wrong in the test."""
    tap = Tap(source, site)
    site.begin(source.name)
    pumping = asyncio.ensure_future(tap.pump())

    owner = asyncio.current_task()
    pumping.add_done_callback(lambda task: owner.cancel() if owner and not task.cancelled() else None)
    try:
        yield tap
    except asyncio.CancelledError:
        if pumping.done() and not pumping.cancelled():
            pumping.result()
        raise
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)

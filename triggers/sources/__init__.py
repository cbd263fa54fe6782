"""What a source is: a named, asynchronous iterator of batches of deliveries.

Being asked for the next batch is the acknowledgement of the last one: whatever a source does after its `yield` (unlink
a file, delete a message) happens only after the commit that holds those events is durable::

    async def deliveries(self, site):
        async for path, batch in self.batches(site):
            yield batch
            path.unlink()
"""

# without annotations as text, each of which a named tuple would compile

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from triggers.clock import Clock  # loads asyncio, which who only declares an app has no use for

PAUSED = "paused"
"""The source under which the ledger keeps the schedules that are paused."""

PAUSED_ROUTES = "paused routes"
"""The same of the routes that are paused."""

EXPECT = "expect"
"""The source that tells what is missing."""

ARRIVALS = "expected arrivals"
"""The source under which the ledger keeps when the last of the expected events came."""

RESERVED = ("inbox", "requests", "send", "timer", PAUSED, PAUSED_ROUTES, EXPECT, ARRIVALS)
"""The names of what every app has: no source or output of its own is called so, or their memories would mix."""


class Lineage(NamedTuple):
    """What chain an event goes on with that was found to be the work of a run.

    `journal` names the run's journal or deployment: nowhere else do the numbers of `cause` and `root` mean anything.
    `depth` and `budget` are the event's own.
    """

    journal: str
    cause: int
    root: int
    depth: int
    budget: int


@dataclass(slots=True)
class Delivery:
    """One event as its source hands it in, not yet in the journal.

    `id` is the event's identity within `source`: a second delivery with the same one is dropped and recorded as a
    duplicate. With `memory`, a key and a value, the identity is the change instead: the delivery counts only when the
    value differs from the one that the source remembers for the key, and the two are committed together. Where it is
    `unique`, its identity must be new as well.
    `data` is the payload as JSON text, `time` the event's own time as Unix seconds. With a `lineage` it goes on with a
    chain, else it begins one.
    """

    source: str
    id: str
    type: str
    data: str
    time: float
    version: int = 1
    subject: str | None = None
    memory: tuple[bytes, bytes] | None = None
    unique: bool = False
    lineage: Lineage | None = None


class Site(Protocol):
    """What a running app gives to its sources."""

    clock: "Clock"
    watches: bool
    """Whether the kernel may be asked to watch. Where not (in tests), a source looks only when it is poked."""
    app: str
    """The app's name."""
    types: Collection[str]
    """The types of the events that the app's routes take and emit."""
    names: Collection[str]
    """The names of the app's sources."""
    traces: bool
    """Whether an object's lineage is to be asked for: some route writes into a bucket, so it may be of a chain."""

    async def recall(self, source: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return what the source remembers for these keys; a key that it never remembered is absent."""
        ...

    async def remembered(self, source: str, folder: bytes, after: bytes, most: int) -> dict[bytes, bytes]:
        """Return what the source remembers for the keys below `folder` that follow `after`, in their order, but for
        empty values; `most` of them at a time. Keys are paths; the folder `b""` holds all."""
        ...

    async def remember(self, source: str, memories: Mapping[bytes, bytes]) -> None:
        """Commit what a source wants to remember although it delivers nothing."""
        ...

    async def reject(self, source: str, id: str, content: str, reason: str) -> None:
        """Keep what came and cannot be an event where a person finds it, with the reason, and say so."""
        ...

    def idle(self, source: str) -> None:
        """Say that everything the source knows of has been delivered, and that it now waits."""
        ...

    def looked(self, source: str) -> None:
        """Say that everything has been delivered that was there when the source began to look, although there may
        always be more. Who is `idle` need not say it."""
        ...

    async def poked(self, source: str) -> None:
        """Wait until somebody asks the source to look again."""
        ...


class Source(Protocol):
    """Anything with a name that yields batches of deliveries for as long as it is iterated."""

    @property
    def name(self) -> str:
        """The name by which routes, bindings and people call the source."""
        ...

    def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield batches; asking for the next one acknowledges the last."""
        ...


__all__ = ["ARRIVALS", "EXPECT", "PAUSED", "PAUSED_ROUTES", "RESERVED", "Delivery", "Lineage", "Site", "Source"]

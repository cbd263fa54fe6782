"""Events in: every source is listened to by a task of its own, and read on only when its last batch is durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from triggers.dispatcher import Dispatcher
from triggers.errors import TriggersError, WiringError
from triggers.journal import failing, memories, memories_below, remember
from triggers.rejections import Rejections
from triggers.requests import accept
from triggers.sources import EXPECT, Source
from triggers.sources.timer import NAME as TIMER

T = TypeVar("T")

log = logging.getLogger("triggers.intake")

OPERATORS = "requests"
"""The source of what operators ask. It is read on whatever the backlog: it may be what clears it."""

FIRST_LOOK = 3600.0
"""Seconds that a source has to deliver what was there at the start; then what it may still bring counts as missing."""

SOON = 3.0
"""Seconds for which it is waited for others where one source cannot be listened to at all."""

LONGEST_PAUSE = 60.0
"""Seconds; a source that keeps failing is tried again after 1, 2, 4, ... and at most so many."""


class Intake:
    """The site of an app's sources: what they ask the app for, and which of them have something to tell."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        sources: Iterable[Source],
        rejections: Rejections,
        *,
        watches: bool = True,
        traces: bool = False,
    ) -> None:
        self.clock = dispatcher.clock
        self.watches = watches
        self.traces = traces
        self.app = dispatcher.app
        routes = dispatcher.router.routes.values()
        self.types: Collection[str] = {
            kind for r in routes for kind in (*(t.__event_type__ for t in r.takes), *r.emits)
        }
        if dispatcher.awaited:
            self.types = {*self.types, *dispatcher.awaited.kinds}
        self.rejections = rejections
        self.sources = {source.name: source for source in sources}
        self.names: Collection[str] = self.sources.keys()
        self.failing: dict[str, str] = {}
        """Why a source does not deliver at present, by its name."""
        self._dispatcher = dispatcher
        self._busy = set(self.sources)
        self._pokes = {name: asyncio.Event() for name in self.sources}
        self._tasks: list[asyncio.Task[None]] = []
        self._unread = self.sources.keys() - {EXPECT}
        """The sources that have not delivered yet what was there at the start, and do not fail."""
        self._looked = asyncio.Event()
        """Set once there are none of those."""
        self._asked = asyncio.Event()
        """Set once all is carried out that operators asked for while the app was down."""

    def start(self) -> None:
        """Begin to listen to all sources."""
        for source in self.sources.values():
            task = asyncio.get_running_loop().create_task(self._listen(source))
            task.add_done_callback(lambda _: self._dispatcher.pipeline.wake())
            self._tasks.append(task)

    async def stop(self) -> None:
        """Stop reading. What is not durable yet is not acknowledged, and comes again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def idle_all(self) -> bool:
        """Say whether every source has delivered all that it knows of."""
        return not self._busy

    async def error(self) -> BaseException | None:
        """Return the error of a source that can't be listened to at all.

        Where a person must mend it, what else is to be mended is told with it, a line for each: sources that have not
        begun yet are waited for, but not for long. What is so for several is told once.
        """
        if not (found := self._errors()):
            return None
        if not isinstance(found[0], WiringError):
            return found[0]
        with suppress(TimeoutError):
            async with asyncio.timeout(SOON):
                while not self._begun():
                    await self._dispatcher.pipeline.changed()
        wrong = {str(error): error for error in self._errors() if isinstance(error, WiringError)}
        return found[0] if len(wrong) == 1 else WiringError("\n".join(wrong))

    def _errors(self) -> list[BaseException]:
        ended = (task for task in self._tasks if task.done() and not task.cancelled())
        return [error for task in ended if (error := task.exception())]

    def _begun(self) -> bool:
        """Say whether every source has told what was there, or fails."""
        ended = {name for name, task in zip(self.sources, self._tasks, strict=True) if task.done()}
        return not self._unread - ended

    def poke(self, source: str) -> None:
        """Have a source look again; those that watch do so by themselves."""
        if not self.watches:
            self._busy.add(source)
            self._pokes[source].set()

    # --- what a source asks its site for

    async def recall(self, source: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return what the source remembers under these keys."""
        known: dict[bytes, bytes] = await self._dispatcher.pipeline.asked(memories(source, keys))
        return known

    async def remembered(self, source: str, folder: bytes, after: bytes, most: int) -> dict[bytes, bytes]:
        """Return a page of what the source remembers for keys below a folder."""
        known: dict[bytes, bytes] = await self._dispatcher.pipeline.asked(memories_below(source, folder, after, most))
        return known

    async def remember(self, source: str, known: Mapping[bytes, bytes]) -> None:
        """Commit what the source wants to remember."""
        await self._dispatcher.pipeline.ordered(remember(source, known))

    def idle(self, source: str) -> None:
        """Take note that the source waits: it has found nothing more to deliver, so it does not fail any more."""
        if not self._pokes[source].is_set():  # else it has not begun the look that it was asked for meanwhile
            self._busy.discard(source)
        if source == OPERATORS:
            self._asked.set()
            self._dispatcher.open()
        self._delivers(source)
        self.looked(source)
        self._dispatcher.pipeline.wake()

    def looked(self, source: str) -> None:
        """Take note that the source has delivered what was there at the start."""
        self._unread.discard(source)
        if not self._unread:
            self._looked.set()

    async def poked(self, source: str) -> None:
        """Wait until the source is to look again."""
        await self._pokes[source].wait()
        self._pokes[source].clear()

    async def reject(self, source: str, id: str, content: str, reason: str) -> None:
        """Keep what came and cannot be an event."""
        await self.rejections.keep(source, id, content, reason)

    async def _first_looks(self) -> None:
        """Wait for what was there at the start: what is missing may be among it. For none so long that nothing would
        ever be."""
        self.looked(EXPECT)
        ways = [asyncio.ensure_future(self._looked.wait()), asyncio.ensure_future(self.clock.sleep(FIRST_LOOK))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
        if self._unread:
            log.warning(
                "sources that have not delivered after %g s what was there at the start: %s; what is expected and not"
                " in the journal counts as missing from now on, though they may still bring it",
                *(FIRST_LOOK, ", ".join(sorted(self._unread))),
            )

    async def _listen(self, source: Source) -> None:
        pause, worked = 1.0, False
        if source.name == TIMER and OPERATORS in self.sources:
            await self._asked.wait()  # a schedule may have been paused
        if source.name == EXPECT:
            await self._first_looks()
        while True:
            try:
                async with _closing(source.deliveries(self)) as batches:
                    async for batch in batches:
                        self._busy.add(source.name)
                        if batch:
                            await accept(self._dispatcher, batch)
                            if source.name != OPERATORS:
                                await self._dispatcher.room()
                        self._delivers(source.name)
                        pause, worked = 1.0, True
                self.idle(source.name)
                return
            except Exception as error:  # a source that breaks must not take the others with it
                if isinstance(error, WiringError) and not worked:
                    raise  # no use in trying again: the app is not wired to what is there
                if not self._report(source.name, error, pause):
                    return
                await self.clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _delivers(self, source: str) -> None:
        """Take note that a source does deliver."""
        if self.failing.pop(source, None):
            self._note()

    def _report(self, source: str, error: Exception, pause: float) -> bool:
        """Say that a source failed, and return whether there is a journal left that it can be started again for."""
        self._dispatcher.pipeline.verify()
        if self._dispatcher.pipeline.fatal:
            return False
        why = str(error) or type(error).__name__
        if self.failing.get(source) != why:
            self.failing[source] = why
            self._note()
        self.looked(source)
        self._dispatcher.pipeline.wake()
        trace = None if isinstance(error, TriggersError) else error  # what was foreseen says all in its words
        log.error("source %r failed: %s; it is started again in %g s", source, why, pause, exc_info=trace)
        return True

    def _note(self) -> None:
        """Write down which sources fail, for readers in other processes."""
        self._dispatcher.pipeline.order(failing(self.failing), lambda _: None)


@asynccontextmanager
async def _closing(batches: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Yield an iterator and close it afterwards, if it can be: a generator stops its watchers then, not later."""
    try:
        yield batches
    finally:
        if isinstance(batches, AsyncGenerator):
            await batches.aclose()

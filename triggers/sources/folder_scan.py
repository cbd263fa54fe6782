"""The running part of a folder: one scan for the start, for hints, for overflows and for new folders.

Names come from a hint or from a listing, the ledger says what is known of them, and what differs is examined. For
deletions it goes the other way, too: names come from the ledger, and the tree says whether they are still there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from functools import partial
from math import inf
from typing import Any

from triggers.sources import Delivery, Site
from triggers.sources.folder import Folder
from triggers.sources.listing import BATCH
from triggers.sources.notices import GONE
from triggers.sources.tree import Tree
from triggers.sources.waitlist import AGAIN
from triggers.sources.watch import EVERYWHERE, Files, Hints, changed

AUDIT = 3600.0
"""Seconds after which everything is looked at although nothing hints at it, in case the kernel had nothing to tell:
of what another name of a file was written by, of the target of a link."""

_FEW = 8  # files that are examined at once, which takes less than to wake the thread

InThread = Callable[..., Awaitable[Any]]
Make = Callable[[list[Delivery]], Coroutine[Any, Any, list[Delivery] | None]]


async def follow(folder: Folder, site: Site) -> AsyncIterator[Sequence[Delivery]]:
    """Yield the deliveries of a folder for as long as it is iterated."""
    with ExitStack() as running:
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"triggers-{folder.name}")
        running.callback(thread.shutdown, wait=False, cancel_futures=True)
        in_thread = partial(asyncio.get_running_loop().run_in_executor, thread)
        tree: Tree = await in_thread(Tree, folder, site.clock, site.watches)
        running.callback(tree.close)
        ledger = Ledger(folder, site, tree, in_thread)
        await ledger.open()
        hints = Hints(tree.wants)
        hints.everywhere()
        if site.watches:
            running.callback(tree.watch(hints))
            running.callback(asyncio.ensure_future(_audit(site, hints)).cancel)
        work = Work(hints, tree, ledger, in_thread)
        while True:
            async with aclosing(_batches(partial(_examined, work, tree, ledger, in_thread))) as batches:
                async for batch in batches:
                    yield batch
                    if work.looked(site.clock.monotonic()):
                        site.looked(folder.name)
            if work.looked(site.clock.monotonic()):
                site.looked(folder.name)
            if not tree.waitlist.settling():
                site.idle(folder.name)
            await changed(site, folder.name, hints, tree.waitlist.seconds_left())


async def _batches(make: Make) -> AsyncGenerator[list[Delivery]]:
    """Yield what there is to tell. While a batch is being committed, the next one is made."""
    ahead = asyncio.ensure_future(make([]))
    try:
        while (batch := await ahead) is not None:
            ahead = asyncio.ensure_future(make(batch))
            if batch:
                yield batch
    finally:
        ahead.cancel()


async def _examined(
    work: Work, tree: Tree, ledger: Ledger, in_thread: InThread, handed: list[Delivery]
) -> list[Delivery] | None:
    """Return what there is to tell of the next files, None if there are no more.

    What was handed in before may not be in the ledger yet, but counts as remembered.
    """
    files = await work.next()
    if not files:
        return None
    known = await ledger.known(files)
    known.update(delivery.memory for delivery in handed if delivery.memory)
    few = len(files) <= _FEW and not tree.remote
    found: list[Delivery] = tree.examine(files, known) if few else await in_thread(tree.examine, files, known)
    await ledger.remember(tree.seen_again())
    return found


async def _audit(site: Site, hints: Hints) -> None:
    while True:
        await site.clock.sleep(AUDIT)
        hints.everywhere()


class Work:
    """What to examine: hinted files first, which need not wait for the end of a long scan; then listed ones."""

    def __init__(self, hints: Hints, tree: Tree, ledger: Ledger, in_thread: InThread) -> None:
        self._hints = hints
        self._tree = tree
        self._ledger = ledger
        self._in_thread = in_thread
        self._walk: Iterator[Files] | None = None
        self._settled = inf
        """When those are told that were there at the start, in monotonic seconds: known at the end of the first walk.
        Only time tells that some of them are complete; more of that kind may come at any time."""

    def looked(self, now: float) -> bool:
        """Say whether all has been told that was there at the start."""
        return now > self._settled

    async def next(self) -> Files:
        """Return up to `BATCH` files; none when all hints are used up."""
        self._tree.waitlist.recheck(self._hints)
        while self._walk or self._hints:
            if hinted := self._tree.released(self._hints.take_files(BATCH), self._hints):
                return hinted
            if self._walk is None and self._hints:
                place = self._hints.take_folder()
                self._ledger.begin(place)
                self._walk = self._tree.walk(place)
            if missing := await self._ledger.missing():  # first, so that what was moved is known by its new name
                return missing
            if listed := await self._in_thread(next, self._walk or iter(()), {}):
                return dict(listed)
            self._walk = None
            if self._settled == inf:
                self._settled = self._tree.waitlist.settled() + AGAIN
        return {}


class Ledger:
    """What a folder remembers of its files; where it is to tell deletions, what of it is gone."""

    def __init__(self, folder: Folder, site: Site, tree: Tree, in_thread: InThread) -> None:
        self._folder = folder
        self._site = site
        self._tree = tree
        self._in_thread = in_thread
        self._place: bytes | None = None
        self._after = b""

    async def open(self) -> None:
        """Begin to tell deletions, or cease to.

        What was gone before they were asked for is forgotten, not told: it may be years of files that were archived.
        """
        name = self._folder.name
        disk = (await self._site.recall(name, [EVERYWHERE])).get(EVERYWHERE)
        if not self._folder.deletions:
            if disk:
                await self.remember({EVERYWHERE: b""})
            return
        now = await self._in_thread(self._tree.disk)
        self._tree.expect(disk or now)
        if now and not disk:
            self.begin(EVERYWHERE)
            while gone := await self.missing():
                await self.remember(dict.fromkeys(gone, GONE))
            await self.remember({EVERYWHERE: now})

    async def known(self, files: Files) -> dict[bytes, bytes]:
        """Return what is remembered of these files."""
        return await self._site.recall(self._folder.name, list(files))

    async def remember(self, memories: Mapping[bytes, bytes]) -> None:
        """Remember what is not told."""
        if memories:
            await self._site.remember(self._folder.name, memories)

    def begin(self, place: bytes) -> None:
        """Go through what is remembered of the files at or below a folder."""
        if self._folder.deletions:
            self._place, self._after = place, place + b"/" if place else b""

    async def missing(self) -> Files:
        """Return some files that are remembered and gone; none at the end."""
        while self._place is not None:
            page = await self._site.remembered(self._folder.name, self._place, self._after, BATCH)
            if not page:
                self._place = None
                break
            self._after = max(page)
            if gone := await self._in_thread(self._tree.missing, page):
                return dict(gone)
        return {}


__all__ = ["AUDIT", "follow"]

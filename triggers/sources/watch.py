"""The kernel's hints that something changed in a folder.

A hint only says where to look: the tree is the truth, the ledger is the memory. So a hint may be late, doubled or
about something that is gone, and when hints are lost the one that remains is "look everywhere". What must not happen
is that the kernel's queue (16,384 events) overflows because its reader is busy. So watchdog's emitter, a thread, only
drains the queue and wakes the event loop once for all that it drained; the source looks at the files elsewhere.

Importing this module loads watchdog; only running sources do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from time import monotonic
from typing import Protocol

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, EventEmitter, EventQueue, ObservedWatch

from triggers.sources import Site
from triggers.sources.mounts import Mount, mounted_below

EVERYWHERE = b""
"""The key of the watched folder itself: a hint about it means the whole tree."""

Files = dict[bytes, bool | None]
"""Keys of files. True: their writer was seen to close or rename them. None: it was seen to make them, and will be seen
to close them. False: nothing was seen."""

_MOST_HINTS = 100_000  # what is held for a slow reader; beyond it, one scan is cheaper than the list


class Hints:
    """What was hinted at and not yet looked at. It belongs to the event loop's thread, and it is bounded.

    Keys are paths relative to the watched folder, as bytes, without a slash at either end. A hint about a file that is
    not `wanted` wakes nobody.
    """

    def __init__(self, wanted: Callable[[bytes], bool] | None = None) -> None:
        self._wanted = wanted
        self._files: Files = {}
        self._folders: dict[bytes, None] = {}
        self._some = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._files or self._folders)

    def add(self, files: Mapping[bytes, bool | None], folders: Mapping[bytes, None]) -> None:
        """Take in files and folders to be listed. What is hinted at without knowing more takes back nothing."""
        if self._wanted:
            files = {key: closed for key, closed in files.items() if self._wanted(key)}
        if self._files and False in files.values():
            files = {key: self._files.get(key, False) if closed is False else closed for key, closed in files.items()}
        self._files.update(files)
        self._folders.update(folders)
        if EVERYWHERE in self._folders or len(self._files) + len(self._folders) > _MOST_HINTS:
            self._files.clear()
            self._folders = {EVERYWHERE: None}
        if self:
            self._some.set()

    def everywhere(self) -> None:
        """Say that all of the tree must be looked at."""
        self.add({}, {EVERYWHERE: None})

    def take_files(self, most: int) -> Files:
        """Return and forget up to `most` hinted files, oldest hint first."""
        return {key: self._files.pop(key) for key in list(islice(self._files, most))}

    def take_folder(self) -> bytes:
        """Return and forget the folder that was hinted at first; there must be one."""
        key = next(iter(self._folders))
        del self._folders[key]
        return key

    def clear(self) -> None:
        """Forget all hints."""
        self._files.clear()
        self._folders.clear()

    async def wait(self) -> None:
        """Wait until there is a hint."""
        if not self:
            self._some.clear()
            await self._some.wait()


async def changed(site: Site, source: str, hints: Hints, seconds: float | None) -> None:
    """Wait for a hint, or for somebody to poke the source where it may not watch; at most so many seconds."""
    woken = hints.wait() if site.watches else site.poked(source)
    if seconds is None:
        await woken
    else:
        tasks = [asyncio.ensure_future(woken), asyncio.ensure_future(site.clock.sleep(seconds))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for task in done:
            task.result()  # what went wrong in there goes wrong here
    if not site.watches:
        hints.everywhere()


class Watcher(Protocol):
    """A running watch on one folder."""

    def add(self, key: bytes) -> None:
        """Watch the folder `key`; list it only after this returned. Raises `OSError` when it cannot be watched."""
        ...

    def stop(self) -> None:
        """End the watch and its threads. A second call does nothing."""
        ...


def start(root: bytes, hints: Hints, *, deletions: bool = False) -> Watcher:
    """Return a watcher of `root` that feeds `hints`, which belong to the running loop. It watches nothing yet.

    With `deletions` it hints at what is gone, too.
    """
    loop = asyncio.get_running_loop()

    def tell(files: Mapping[bytes, bool | None], folders: Mapping[bytes, None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to be told
            loop.call_soon_threadsafe(hints.add, files, folders)

    return KernelWatcher(root, tell, deletions) if sys.platform == "linux" else StockWatcher(root, tell, deletions)


Tell = Callable[[Mapping[bytes, bool | None], Mapping[bytes, None]], None]

# --- Linux: inotify(7) ---------------------------------------------------------------------------

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _MOVE_SELF = 0x8, 0x40, 0x80, 0x100, 0x200, 0x800
_ATTRIB, _UNMOUNT, _Q_OVERFLOW, _IGNORED = 0x4, 0x2000, 0x4000, 0x8000
_ONLYDIR, _DONT_FOLLOW, _ISDIR = 0x0100_0000, 0x0200_0000, 0x4000_0000

_COMPLETE = _CLOSE_WRITE | _MOVED_TO
_MASK = _COMPLETE | _CREATE | _ATTRIB | _MOVE_SELF | _ONLYDIR  # lean: two kernel events a file, not six
_GONE = _MOVED_FROM | _DELETE
_WATCH_ENDED = _IGNORED | _MOVE_SELF | _UNMOUNT
_HEADER = struct.Struct("iIII")  # watch descriptor, mask, cookie, length of the name that follows
_READ = 1 << 20  # bytes: the whole of the kernel's queue, mostly
_REVIEW = 10.0  # seconds after which, whatever came, it is seen to that the folder is still the watched one

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, path: bytes | None = None) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return result


class Drain(EventEmitter):
    """Empties the kernel's queue with one read after another, because whoever dawdles here loses events.

    What it read it hands over at once instead of putting each event into watchdog's queue: that would be one object,
    one lock and one more thread an event.
    """

    def __init__(
        self,
        event_queue: EventQueue,
        watch: ObservedWatch,
        *,
        timeout: float = 1,
        event_filter: list[type[FileSystemEvent]] | None = None,
    ) -> None:
        super().__init__(event_queue, watch, timeout=timeout, event_filter=event_filter)
        self.hand_over: Callable[[bytes], None] = lambda buffer: None
        self.review: Callable[[], None] = lambda: None
        self._reviewed = monotonic()
        self.fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)
        self._poll.register(self._bell, select.POLLIN)

    def queue_events(self, timeout: float) -> None:
        """Wait for the kernel or the bell, or until a review is due, and pass on what there is."""
        self._poll.poll(max(0, self._reviewed + _REVIEW - monotonic()) * 1000)
        if monotonic() >= self._reviewed + _REVIEW:
            self.review()
            self._reviewed = monotonic()
        with contextlib.suppress(BlockingIOError):  # it was the bell, or nothing
            self.hand_over(os.read(self.fd, _READ))

    def on_thread_stop(self) -> None:
        """Ring the bell."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Give the descriptors back, once the thread has ended."""
        os.close(self.fd)
        os.close(self._bell)


class KernelWatcher:
    """Watches a tree through inotify, each folder by a watch of its own."""

    def __init__(self, root: bytes, tell: Tell, deletions: bool = False) -> None:
        self._root = root
        self._tell = tell
        self._mask = _MASK | _GONE if deletions else _MASK
        self._watched: tuple[int, int, list[Mount]] | None = None
        self._prefixes: dict[int, bytes] = {}  # watch descriptor -> b"" for the root, b"a/b/" below it
        self._lock = threading.Lock()
        self._stopped = False
        self._observer = BaseObserver(Drain)
        self._observer.schedule(FileSystemEventHandler(), os.fsdecode(root))
        (self._drain,) = (emitter for emitter in self._observer.emitters if isinstance(emitter, Drain))
        self._drain.hand_over = self.take
        self._drain.review = self.review
        self._observer.start()

    def add(self, key: bytes) -> None:
        """Watch the folder `key`. Watching one that was moved here gives its old watch the new name."""
        with self._lock:
            if not self._stopped:
                if not key:
                    self._watched = _identity(self._root)
                self._add(key + b"/" if key else b"")

    def review(self) -> None:
        """Hint at everything when the watched folder is no longer what its path leads to.

        The kernel tells nothing of a disk that is mounted there or below, of a folder above that is renamed, or of a
        link on the way that leads elsewhere.
        """
        with self._lock:
            now = _identity(self._root)
            if self._stopped or not self._prefixes or now == self._watched:
                return
            self._watched = now
            self._renew(b"")
        self._tell({}, {EVERYWHERE: None})

    def stop(self) -> None:
        """End the threads, then close the kernel's queue."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        self._observer.stop()
        self._observer.join()
        self._drain.close()

    def take(self, buffer: bytes) -> None:
        """Turn what one read of the kernel's queue gave into hints."""
        files: Files = {}
        folders: dict[bytes, None] = {}
        with self._lock:
            if self._stopped:
                return
            for descriptor, mask, name in _records(buffer):
                prefix = self._prefixes.get(descriptor)
                if mask & _Q_OVERFLOW:
                    folders[EVERYWHERE] = None
                elif prefix is None:
                    continue  # told before its watch was given up
                elif mask & _WATCH_ENDED:
                    self._review(descriptor, prefix, mask)
                    if not prefix:
                        folders[EVERYWHERE] = None
                elif not mask & _ISDIR:
                    _note(files, prefix + name, mask)
                elif not mask & _ATTRIB:
                    folders[prefix + name] = None
        if files or folders:
            self._tell(files, folders)

    def _add(self, prefix: bytes) -> int:
        path = self._root + b"/" + prefix
        mask = self._mask | _DONT_FOLLOW if prefix else self._mask  # the root may be a link that the user made
        descriptor = _checked(_libc.inotify_add_watch(self._drain.fd, path, mask), path)
        self._prefixes[descriptor] = prefix
        return descriptor

    def _review(self, descriptor: int, prefix: bytes, mask: int) -> None:
        """Give up the watches of a folder that ended, or that moved and is not (yet) known by a new name."""
        if mask & _IGNORED:  # the kernel gave it up itself
            del self._prefixes[descriptor]
        else:
            self._renew(prefix)

    def _renew(self, prefix: bytes) -> None:
        """Give up the watches at or below a folder that are not on what has those names now."""
        for each, at in [item for item in self._prefixes.items() if item[1].startswith(prefix)]:
            try:
                still = self._add(at)
            except OSError:
                still = -1
            if still != each:
                del self._prefixes[each]
                _libc.inotify_rm_watch(self._drain.fd, each)


def _note(files: Files, key: bytes, mask: int) -> None:
    if mask & _ATTRIB:
        files.setdefault(key, False)
    elif mask & _COMPLETE:
        files[key] = True
    else:
        files[key] = None if mask & _CREATE else False


def _identity(path: bytes) -> tuple[int, int, list[Mount]] | None:
    """Return what names a folder in this boot, with what is mounted below it; None if there is none."""
    try:
        status = os.stat(path + b"/")
    except OSError:
        return None
    return status.st_dev, status.st_ino, mounted_below(os.path.realpath(path))


def _records(buffer: bytes) -> Iterator[tuple[int, int, bytes]]:
    at, end = 0, len(buffer)
    while at < end:
        descriptor, mask, _, length = _HEADER.unpack_from(buffer, at)
        at += _HEADER.size + length
        yield descriptor, mask, buffer[at - length : at].rstrip(b"\0")


# --- other systems -------------------------------------------------------------------------------


class StockWatcher(FileSystemEventHandler):
    """Watches a tree through watchdog's own observer of the system, and says no more than that something changed."""

    # Not "opened" and "closed unwritten": looking at the files would hint at looking again, for ever.
    _TELLING: list[type[FileSystemEvent]] = [  # noqa: RUF012  # a list is what watchdog asks for
        *(FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent)
    ]

    def __init__(self, root: bytes, tell: Tell, deletions: bool = False) -> None:
        from watchdog.observers import Observer  # on Linux it would start what we do not use

        self._root = os.fsdecode(root)
        self._tell = tell
        self._telling = [*self._TELLING, FileDeletedEvent, DirDeletedEvent] if deletions else self._TELLING
        self._observer = Observer()
        self._observer.start()
        self._watched = False

    def add(self, key: bytes) -> None:
        """Watch the whole tree at the first call."""
        if not self._watched:
            self._observer.schedule(self, self._root, recursive=True, event_filter=self._telling)
            self._watched = True

    def stop(self) -> None:
        """End watchdog's threads."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Hint at everything."""
        self._tell({}, {EVERYWHERE: None})


__all__ = ["EVERYWHERE", "Files", "Hints", "Watcher", "changed", "start"]

"""The running part of a folder: one scan for the start, for hints, for overflows and for new folders.

Names come from a hint or from a listing, the ledger says what is known of them, and what differs is examined. All
that touches the files runs in one thread of the folder's own, so that neither a big tree nor a dead network share
stops the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import fnmatch
import heapq
import logging
import os
import re
import signal
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

from pydantic_core import to_json

from triggers.clock import Clock
from triggers.events import ObjectCreated, content_version
from triggers.sources import Delivery, Site
from triggers.sources.folder import Folder
from triggers.sources.watch import EVERYWHERE, Hints, Watcher, changed, start

BATCH = 1000
"""The most files in one batch of deliveries."""
AGAIN = 10.0
"""Seconds until a place that the kernel tells nothing of, and a file that cannot be delivered, is looked at unasked."""

_MOST_WAITING = 100_000  # what is remembered of incomplete files; where there are more, the tree is scanned again
_SHORTEST = 0.05  # seconds between two looks at an open file of which the kernel will not tell
_CLOSE, _LONGEST_CLOSE = 0.0005, 1.0  # seconds, and the most, between two looks at a file that is being closed
_FEW = 8  # files that are examined at once, which takes less than to wake the thread
_FOR_A_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC  # an open that cannot hang
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "lustre", "glusterfs"}

_log = logging.getLogger("triggers.folder")

Files = dict[bytes, bool]
"""Keys of files, with whether a hint said that their writer closed or renamed them."""


async def follow(folder: Folder, site: Site) -> AsyncIterator[Sequence[Delivery]]:
    """Yield the deliveries of a folder for as long as it is iterated."""
    with ExitStack() as running:
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"triggers-{folder.name}")
        running.callback(thread.shutdown, wait=False, cancel_futures=True)
        in_thread = partial(asyncio.get_running_loop().run_in_executor, thread)
        tree: Tree = await in_thread(Tree, folder, site.clock, site.watches)
        hints = Hints()
        hints.everywhere()
        if site.watches:
            running.callback(tree.watch(hints))
        work = Work(hints, tree, in_thread)
        while True:
            while files := await work.next():
                known = await site.recall(folder.name, list(files))
                few = len(files) <= _FEW and not tree.remote
                if batch := tree.examine(files, known) if few else await in_thread(tree.examine, files, known):
                    yield batch
            if not tree.waitlist.settling():
                site.idle(folder.name)
            await changed(site, folder.name, hints, tree.waitlist.seconds_left())


class Work:
    """What to examine: hinted files first, which need not wait for the end of a long scan; then listed ones."""

    def __init__(self, hints: Hints, tree: Tree, in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._hints = hints
        self._tree = tree
        self._in_thread = in_thread
        self._walk: Iterator[Files] | None = None

    async def next(self) -> Files:
        """Return up to `BATCH` files; none when all hints are used up."""
        self._tree.waitlist.recheck(self._hints)
        while self._walk or self._hints:
            if hinted := self._hints.take_files(BATCH):
                return hinted
            if self._walk is None:
                self._walk = self._tree.walk(self._hints.take_folder())
            if listed := await self._in_thread(next, self._walk, {}):
                return dict(listed)
            self._walk = None
        return {}


class Waiting(NamedTuple):
    """Why and until when a place waits to be looked at again without a hint."""

    due: float
    pause: float
    value: bytes | None = None  # the content that must stay as it is; None where something stands in the way
    closed: bool = False
    is_folder: bool = False


class Waitlist:
    """Places that wait, by key and by time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places: dict[bytes, Waiting] = {}
        self._queue: list[tuple[float, bytes]] = []  # a heap; an entry counts while its place is due then

    def get(self, key: bytes) -> Waiting | None:
        """Return why a place waits, or None if it does not."""
        return self._places.get(key)

    def drop(self, key: bytes) -> None:
        """Let a place wait no longer."""
        self._places.pop(key, None)

    def put(
        self, key: bytes, pause: float, *, value: bytes | None = None, closed: bool = False, is_folder: bool = False
    ) -> Waiting:
        """Let a place wait from now on."""
        waiting = Waiting(self._clock.monotonic() + pause, pause, value, closed, is_folder)
        if key not in self._places and len(self._places) >= _MOST_WAITING:
            key, waiting = EVERYWHERE, waiting._replace(value=None, is_folder=True)
        self._places[key] = waiting
        heapq.heappush(self._queue, (waiting.due, key))
        if len(self._queue) > 2 * len(self._places) + BATCH:
            self._queue = sorted((waiting.due, key) for key, waiting in self._places.items())
        return waiting

    def recheck(self, hints: Hints) -> None:
        """Hint at what has waited long enough. A file stays in the list until it was looked at."""
        now = self._clock.monotonic()
        while self._queue:
            due, key = self._queue[0]
            waiting = self._places.get(key)
            counts = waiting is not None and waiting.due == due
            if counts and due > now:
                break
            heapq.heappop(self._queue)
            if waiting is None or not counts:
                continue
            if waiting.is_folder:
                self.drop(key)
                hints.add({}, {key: None})
            else:
                hints.add({key: waiting.closed}, {})

    def seconds_left(self) -> float | None:
        """Return how long until something is due, or None if nothing will be."""
        return max(0.0, self._queue[0][0] - self._clock.monotonic()) if self._queue else None

    def settling(self) -> bool:
        """Return whether there are files of which only time can tell that they are complete."""
        return any(waiting.value is not None for waiting in self._places.values())


class Tree:
    """What is in a folder, and what of it waits. One thread at a time may use it."""

    def __init__(self, folder: Folder, clock: Clock, watched: bool) -> None:
        self.waitlist = Waitlist(clock)
        self._folder = folder
        self._clock = clock
        self._watched = watched
        self._watcher: Watcher | None = None
        self._complained: set[bytes] = set()
        self._root = folder.require()
        self._real_root = os.path.realpath(self._root).rstrip(b"/") + b"/"
        self._uri = f"file://{quote_from_bytes(self._root)}/"
        self.remote = _is_remote(self._root)
        self._leases = hasattr(fcntl, "F_SETLEASE") and not self.remote
        patterns = "|".join(map(fnmatch.translate, folder.ignore)) or "(?!)"
        self._is_ignored = re.compile(os.fsencode(patterns)).match  # of a name, not of a key

    def watch(self, hints: Hints) -> Callable[[], None]:
        """Start to watch and return what ends it. A folder is watched from the moment that it is walked."""
        try:
            self._watcher = start(self._root, hints)
        except OSError as error:
            self._complain(EVERYWHERE, f"cannot be watched ({error.strerror}), raise fs.inotify.max_user_instances")
            return lambda: None
        return self._watcher.stop

    def walk(self, place: bytes) -> Iterator[Files]:
        """Yield the keys of the files at or below a folder, `BATCH` at a time, holding no more of the tree."""
        if place != EVERYWHERE and self._is_ignored(place.rpartition(b"/")[2]):
            return
        found: Files = {}
        path = [self._list(place)]
        while path:
            for key, is_folder in path[-1]:
                if is_folder:
                    path.append(self._list(key))
                    break
                found[key] = False
                if len(found) == BATCH:
                    yield found
                    found = {}
            else:
                path.pop()
        if found:
            yield found

    def examine(self, files: Files, known: Mapping[bytes, bytes]) -> list[Delivery]:
        """Return deliveries of the files that are complete and not as `known`."""
        found = []
        for key, closed in files.items():
            try:
                status = self._examined(key, closed, known.get(key))
            except (FileNotFoundError, NotADirectoryError):
                status = None
                self.waitlist.drop(key)
                self._complained.discard(key)
            except OSError as error:
                status = None
                self.waitlist.put(key, AGAIN)
                self._complain(key, f"cannot be read ({error.strerror}){_advice(error)}")
            if status is not None:
                found.append(self._delivery(key, status))
        found.sort(key=lambda delivery: (delivery.time, delivery.id))  # what waited is told in the order it was written
        return found

    def _list(self, place: bytes) -> Iterator[tuple[bytes, bool]]:
        """Watch first, then list: what comes between the two is seen twice, and not never."""
        prefix = place + b"/" if place else b""
        try:
            self._watch(place)
            with os.scandir(self._root + b"/" + place) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        if entry.is_file(follow_symlinks=False) or entry.is_symlink():
                            yield prefix + entry.name, False
                    elif not self._is_ignored(entry.name):
                        yield prefix + entry.name, True
            self._complained.discard(place)
        except OSError as error:
            if place != EVERYWHERE and isinstance(error, FileNotFoundError | NotADirectoryError):
                return  # gone again
            self.waitlist.put(place, AGAIN, is_folder=True)
            self._complain(place, f"cannot be listed ({error.strerror}), nothing below it arrives{_advice(error)}")

    def _watch(self, place: bytes) -> None:
        if not self._watched:
            return
        try:
            if self._watcher is not None:
                self._watcher.add(place)
            if place == EVERYWHERE and (self.remote or self._watcher is None):
                self.waitlist.put(place, AGAIN, is_folder=True)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.waitlist.put(place, AGAIN, is_folder=True)
            self._complain(place, "cannot be watched (too many folders), raise fs.inotify.max_user_watches")

    def _examined(self, key: bytes, closed: bool, known: bytes | None) -> os.stat_result | None:
        """Return the status of a file that is to be delivered now, None of one that is not."""
        path = self._plain(key, known)
        if path is None:
            self.waitlist.drop(key)
            return None
        is_open, status = _look(path, self._leases)
        self._complained.discard(key)
        if is_open:
            self._wait_for_the_close(key, closed)
            return None
        if closed or self._is_certain(is_open, status.st_size) or self._is_settled(key, _value(status)):
            self.waitlist.drop(key)
            return status
        return None

    def _is_certain(self, is_open: bool | None, size: int) -> bool:
        """Say whether a file that nobody closed is complete all the same.

        An empty one may have been seen between its creation and its opening. Where nobody watches, in tests, what is
        there when the source is told to look is complete: a clock that stands still settles nothing.
        """
        return (is_open is False and size > 0) or not (self._watched or is_open)

    def _plain(self, key: bytes, known: bytes | None) -> bytes | None:
        """Return the path of a plain file in the tree that is not as `known`, else None. It opens nothing."""
        if self._is_ignored(key.rpartition(b"/")[2]):
            return None
        path = self._root + b"/" + key
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path)
            if not path.startswith(self._real_root):
                return None
            status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or (known is not None and _value(status) == known):
            return None
        return path

    def _is_settled(self, key: bytes, value: bytes) -> bool:
        waiting = self.waitlist.get(key)
        if waiting is None or waiting.value != value:
            waiting = self.waitlist.put(key, self._folder.settle, value=value)
        return waiting.due <= self._clock.monotonic()

    def _wait_for_the_close(self, key: bytes, closed: bool) -> None:
        """Let an open file wait. The kernel tells of a close just before the file counts as closed."""
        waiting = self.waitlist.get(key)
        if self._watcher is None:
            self.waitlist.put(key, max(self._folder.settle, _SHORTEST))
        elif waiting is not None and waiting.closed:
            self.waitlist.put(key, min(2 * waiting.pause, _LONGEST_CLOSE), closed=True)
        else:
            self.waitlist.put(key, _CLOSE if closed else AGAIN, closed=closed)

    def _complain(self, key: bytes, what: str) -> None:
        """Log a warning, the first time that something stands in the way of this place."""
        if key not in self._complained:
            self._complained.add(key)
            place = os.fsdecode(os.path.join(self._root, key).rstrip(b"/")).encode("utf-8", "backslashreplace").decode()
            _log.warning("%s: %s %s; looked at again every %g s", self._folder.name, place, what, AGAIN)

    def _delivery(self, key: bytes, status: os.stat_result) -> Delivery:
        text = key.decode("utf-8", "backslashreplace")
        version = content_version(status.st_ino, status.st_size, status.st_mtime_ns)
        uri = self._uri + quote_from_bytes(key)
        data = to_json({"key": text, "uri": uri, "size": status.st_size, "version": version}).decode()
        return Delivery(
            source=self._folder.name,
            id=f"{text}@{version}",
            type=ObjectCreated.__event_type__,
            data=data,
            time=status.st_mtime,
            subject=text,
            memory=(key, version.encode()),
        )


def _advice(error: OSError) -> str:
    return f"; give uid {os.geteuid()} the right to read it" if isinstance(error, PermissionError) else ""


def _value(status: os.stat_result) -> bytes:
    return content_version(status.st_ino, status.st_size, status.st_mtime_ns).encode()


def _look(path: bytes, leases: bool) -> tuple[bool | None, os.stat_result]:
    """Return whether a process has the file open for writing, None if that cannot be known, and the file's status.

    The kernel grants a read lease exactly when no process does. A writer that comes while we hold it waits for us,
    and we are sent a signal: one that is ignored by default, since that of `fcntl(2)`, SIGIO, ends the process.
    """
    descriptor = os.open(path, _FOR_A_LOOK)
    try:
        if not leases:
            return None, os.fstat(descriptor)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True, os.fstat(descriptor)
        except OSError:  # the file is another user's, or its file system has no leases
            return None, os.fstat(descriptor)
        status = os.fstat(descriptor)  # now, while nobody can write
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False, status
    finally:
        os.close(descriptor)


def _is_remote(root: bytes) -> bool:
    """Return whether other machines may write there, of which neither inotify nor a lease knows."""
    device = os.stat(root + b"/").st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            fields = [line.split() for line in mounts]
    except FileNotFoundError:  # not Linux
        return False
    kinds = {field[field.index("-") + 1] for field in fields if field[2] == number}
    return any(kind in _REMOTE or kind.startswith("fuse.") for kind in kinds)


__all__ = ["AGAIN", "BATCH", "Tree", "follow"]

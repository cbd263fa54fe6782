"""The inbox: events that other processes hand in, as files in the state folder.

One file is one batch: JSON lines, each an event as `cloudevents` writes it.

`write` is durable before it returns, whether or not a dispatcher runs. The dispatcher takes batches in the order of
their names, which is the order of their writing, and removes a batch when its events are in the journal. `line` refuses
what a reader would, so only a batch that another program wrote can be rejected.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import stat
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from pathlib import Path

from triggers import folders
from triggers.clock import SystemClock
from triggers.cloudevents import from_text, to_text
from triggers.errors import EventError, StateError
from triggers.events import GATHERED, Event, encode, new_id
from triggers.sources import Delivery, Site

BATCH = 1000
"""About how many events are delivered at a time."""
MAX_FILE = 64 * 1024 * 1024
"""The largest batch file, in bytes."""
PAGE = 4096
"""Bytes of a file that are written to the disk together, or not at all."""
AGAIN = 10.0
"""Seconds until a batch that could not be read for a passing reason is tried again."""

_SUFFIX = ".jsonl"
_FOR_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FOR_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_log = logging.getLogger("triggers.inbox")


# --- writing -------------------------------------------------------------------------------------


def line_of(event: object, source: str, time: float) -> str:
    """Return an event with a new identity as a line of a batch; raise `EventError` for what is none."""
    if not isinstance(event, Event):
        raise EventError(
            f"{str(event)[:80]!r} is no event but {_kind(event)}; send events, each as an argument of its own"
        )
    return to_text(new_id(), source, event.__event_type__, event.__event_version__, None, time, encode(event))


def _kind(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"of the type {type(thing).__name__}"


def write(folder: Path, lines: Sequence[str]) -> Path:
    """Write a batch and return its path. When it returns, the batch survives a crash and a power loss.

    The batch gets its name before it is synced: a reader may take it in meanwhile, into a journal that is synced, and
    one commit of the file system holds both the content and the name. A power loss may leave the name without the
    content then. What fits into a page is empty or whole, which is safe: an empty batch has no events. More than that
    is synced before, so that no reader ever takes a part for a batch. Raises `EventError` when the batch is larger
    than a reader accepts, `StateError` when the disk refuses it; nothing is left of it then.
    """
    content = "".join(f"{text}\n" for text in lines).encode()
    if len(content) > MAX_FILE:
        raise EventError(
            f"the events are {len(content):,} bytes together, over the limit of {MAX_FILE:,} for one batch;"
            " hand them in as several"
        )
    try:
        return _written(folder, content)
    except OSError as error:
        raise StateError(f"the inbox {folder} cannot be written ({error.strerror}); nothing was handed in") from error


def _written(folder: Path, content: bytes) -> Path:
    folders.make(folder, 0o700)
    name = f"{_stamps.next():020d}-{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}"
    unfinished, path = folder / f".{name}.tmp", folder / name
    try:
        with open(os.open(unfinished, _FOR_WRITING, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            if len(content) > PAGE:
                os.fsync(file.fileno())
            unfinished.rename(path)
            os.fsync(file.fileno())
        folders.sync(folder)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return path


class _Stamps:
    """Microseconds that grow with each call in this process, even when the clock is set back."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, int(SystemClock().now() * 1e6))
            return self._last


_stamps = _Stamps()


# --- reading -------------------------------------------------------------------------------------


class Inbox:
    """The source of what other processes handed in. A batch that is not valid is moved to `rejected/`, whole."""

    def __init__(self, path: Path, name: str = "inbox") -> None:
        self.path = path
        self.name = name
        self.rejected = 0
        """How many batches were rejected since the start."""

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield the waiting events in the order of their writing, then those that come."""
        import asyncio  # the writing side, a short-lived command, has no use for these
        from concurrent.futures import ThreadPoolExecutor
        from functools import partial

        from triggers.sources.watch import EVERYWHERE, Hints, changed, start

        with contextlib.ExitStack() as running:
            thread = ThreadPoolExecutor(1, thread_name_prefix=f"triggers-{self.name}")
            running.callback(thread.shutdown, wait=False, cancel_futures=True)
            in_thread = partial(asyncio.get_running_loop().run_in_executor, thread)
            hints = Hints(lambda key: _is_batch(os.fsdecode(key)))
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            blind = False
            if site.watches:
                try:
                    watcher = start(os.fsencode(self.path.absolute()), hints)
                    running.callback(watcher.stop)
                    watcher.add(EVERYWHERE)
                except OSError as error:
                    blind = True
                    _log.warning(
                        "inbox: %s cannot be watched (%s), raise fs.inotify.max_user_instances and max_user_watches; "
                        "looked at every %g s",
                        *(self.path, error.strerror, AGAIN),
                    )
            while True:
                hints.clear()  # before the listing, which sees all that was hinted at
                reading = Reading(self.path)
                while await in_thread(reading.next, site.clock.now()):
                    for first in range(0, len(reading.events), BATCH):
                        yield reading.events[first : first + BATCH]
                self.rejected += reading.rejected
                site.looked(self.name)
                if not hints:
                    site.idle(self.name)
                    await changed(site, self.name, hints, AGAIN if blind or reading.skipped else None)


class Reading:
    """One pass over the batches that wait, several small ones at a time."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Delivery] = []
        self.skipped = False
        """Whether a batch was left where it is, because reading it failed in a way that may pass."""
        self.rejected = 0
        self._folder = folder
        self._names: deque[str] | None = None
        self._read: list[Path] = []

    def next(self, now: float) -> bool:
        """Remove the batches that were read, whose events are in the journal; return whether there are more.

        A step is one visit to the thread, for each of them takes longer than what is done there.
        """
        for path in self._read:
            path.unlink(missing_ok=True)
        self.events, self._read = [], []
        names = self._listed()
        while names and len(self.events) < BATCH:
            path = self._folder / names.popleft()
            try:
                self._take(path, now)
            except FileNotFoundError:  # somebody took it back
                continue
            except OSError as error:
                self.skipped = True
                _log.error("inbox: %s cannot be read (%s); tried again in %g s", path, error.strerror, AGAIN)
        return bool(self._read)

    def _listed(self) -> deque[str]:
        """Return the names of the batches that are left, of those that waited when the pass began."""
        if self._names is None:
            try:
                self._names = deque(sorted(name for name in os.listdir(self._folder) if _is_batch(name)))
            except OSError as error:
                raise StateError(
                    f"the inbox {self._folder} cannot be listed ({error.strerror}); restore the folder"
                ) from error
        return self._names

    def _take(self, path: Path, now: float) -> None:
        try:
            events = list(parse(read(path), now))  # all of them, before one of them is delivered
        except EventError as error:
            self._reject(path, str(error))
        else:
            self.events += events
            self._read.append(path)

    def _reject(self, path: Path, reason: str) -> None:
        rejected = self._folder / "rejected"
        rejected.mkdir(mode=0o700, exist_ok=True)
        place = _free(rejected, path.name)
        advice = f"nothing of it was taken in; mend it and move it back to {self._folder}"
        note = f"{place}.reason"
        with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(f"{reason}\n{advice}\n")
        path.rename(place)
        self.rejected += 1
        _log.error("inbox: %s was rejected (%s) and lies in %s: %s", path.name, reason, rejected, advice)


def _free(folder: Path, name: str) -> Path:
    """Return a path in the folder that nothing has, so that no batch replaces an earlier one of its name."""
    names = (name if number == 1 else f"{name.removesuffix(_SUFFIX)}-{number}{_SUFFIX}" for number in count(1))
    return next(path for path in (folder / name for name in names) if not os.path.lexists(path))


def read(path: Path) -> bytes:
    """Return the content of a batch; raises `EventError` when it is not a file or too large."""
    try:
        descriptor = os.open(path, _FOR_READING)
    except PermissionError as error:
        raise EventError(f"it cannot be read by uid {os.geteuid()} ({error.strerror})") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise EventError("it is not a file")
        if status.st_size > MAX_FILE:
            raise EventError(f"it has {status.st_size:,} bytes, over the limit of {MAX_FILE:,}; split it")
        return file.read()


def parse(content: bytes, now: float) -> Iterator[Delivery]:
    """Yield the events of a batch; raises `EventError` with the number of the line that is not valid."""
    for number, line in enumerate(io.BytesIO(content), 1):  # split, a file of empty lines is eight times as large
        if not line.isspace():
            try:
                delivery = from_text(line.removesuffix(b"\n"), now)
                if delivery.type == GATHERED:
                    raise EventError(f"{GATHERED} is what the app makes of events that come together; send those")
                yield delivery
            except EventError as error:
                raise EventError(f"line {number}: {error}") from error


def _is_batch(name: str) -> bool:
    return name.endswith(_SUFFIX) and not name.startswith(".")


__all__ = ["Inbox", "line_of", "write"]

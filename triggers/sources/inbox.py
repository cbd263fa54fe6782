"""The inbox: events that other processes hand in, as files in the state folder.

One file is one batch: JSON lines, each an event in CloudEvents 1.0's structured form, with our extension attribute
`dataversion`::

    {"specversion":"1.0","id":"7","source":"shell","type":"Retrain","time":"2026-01-31T08:00:00Z","data":{"model":"m"}}

`write` is durable before it returns, whether or not a dispatcher runs. The dispatcher takes batches in the order of
their names, which is the order of their writing, and removes a batch when its events are in the journal. `line` refuses
what a reader would, so only a batch that another program wrote can be rejected.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import cast

from pydantic_core import to_json

from triggers.clock import SystemClock
from triggers.errors import EventError, StateError
from triggers.events import Event, check_payload, encode, moment, new_id, read_json
from triggers.sources import Delivery, Site

BATCH = 1000
"""About how many events are delivered at a time."""
MAX_FILE = 64 * 1024 * 1024
"""The largest batch file, in bytes."""
PAGE = 4096
"""Bytes of a file that are written to the disk together, or not at all."""
LONGEST_NAME = 1024
"""The most characters of an event's id, source or type."""
AGAIN = 10.0
"""Seconds until a batch that could not be read for a passing reason is tried again."""

_SUFFIX = ".jsonl"
_FOR_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FOR_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_log = logging.getLogger("triggers.inbox")


# --- writing -------------------------------------------------------------------------------------


def line(
    id: str, source: str, type: str, version: int, subject: str | None, time: float | None, data_json_text: str
) -> str:
    """Return one event as a line of a batch. `time` is in Unix seconds; None is the time of its arrival.

    Raises `EventError` for what a reader would refuse.
    """
    _checked(Delivery(source, id, type, data_json_text, time or 0.0, version, subject))
    attributes: dict[str, object] = {"specversion": "1.0", "id": id, "source": source, "type": type}
    attributes["dataversion"] = version
    if subject is not None:
        attributes["subject"] = subject
    if time is not None:
        attributes["time"] = moment(time).isoformat()
    data = data_json_text
    if "\n" in data or "\r" in data:  # only between tokens: inside a JSON string they are escaped
        data = data.replace("\n", " ").replace("\r", " ")
    return f'{to_json(attributes).decode()[:-1]},"data":{data}}}'


def line_of(event: object, source: str, time: float) -> str:
    """Return an event with a new identity as a line of a batch; raise `EventError` for what is none."""
    if not isinstance(event, Event):
        raise EventError(
            f"{str(event)[:80]!r} is no event but {_kind(event)}; send events, each as an argument of its own"
        )
    return line(new_id(), source, event.__event_type__, event.__event_version__, None, time, encode(event))


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
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        _sync_folder(folder)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return path


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder survive, too. It costs next to nothing where the file's own sync has done it."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


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
    for number, text in enumerate(content.split(b"\n"), 1):
        if text and not text.isspace():
            try:
                yield _event(text, now)
            except EventError as error:
                raise EventError(f"line {number}: {error}") from error


def _event(text: bytes, now: float) -> Delivery:
    fields = read_json("the event", text)
    if not isinstance(fields, dict):
        raise EventError("not a JSON object")
    if fields.get("specversion") != "1.0":
        raise EventError(f"specversion must be '1.0', not {fields.get('specversion')!r}")
    if "data_base64" in fields:
        raise EventError("data must be a JSON object, not data_base64")
    payload = to_json(fields.get("data", {}), inf_nan_mode="constants").decode()
    id, source, kind = (cast(str, fields.get(attribute)) for attribute in ("id", "source", "type"))  # if it is checked
    version, subject, time = fields.get("dataversion", 1), fields.get("subject"), fields.get("time")
    return _checked(Delivery(source, id, kind, payload, now if time is None else _seconds(time), version, subject))


def _checked(event: Delivery) -> Delivery:
    """Return an event that is fit for the journal; raise `EventError` for any other. Writer and reader both ask."""
    for attribute, name in (("id", event.id), ("source", event.source), ("type", event.type)):
        _check_name(attribute, name)
    if type(event.version) is not int or not 1 <= event.version < 2**31:
        raise EventError(f"dataversion must be an integer from 1 to {2**31 - 1:,}, not {event.version!r}")
    if event.subject is not None:
        _check_text("subject", event.subject)
    check_payload(event.type, event.data)
    return event


def _check_name(attribute: str, name: object) -> None:
    if not name:
        raise EventError(f"{attribute} must be text and not empty, not {name!r}")
    if (length := _check_text(attribute, name)) > LONGEST_NAME:
        raise EventError(f"{attribute} has {length:,} characters, over the limit of {LONGEST_NAME:,}; shorten it")


def _check_text(attribute: str, value: object) -> int:
    """Return how many characters a text has; raise `EventError` for what is none."""
    if not isinstance(value, str):
        raise EventError(f"{attribute} must be text, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise EventError(f"{attribute} must be Unicode text, not {value[:80]!r}") from error
    return len(value)


def _seconds(time: object) -> float:
    try:
        instant = datetime.fromisoformat(time) if isinstance(time, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise EventError(f"time must be of RFC 3339 with an offset, like '2026-01-31T08:00:00Z', not {time!r}")
    return instant.timestamp()


def _is_batch(name: str) -> bool:
    return name.endswith(_SUFFIX) and not name.startswith(".")


__all__ = ["Inbox", "line", "line_of", "write"]

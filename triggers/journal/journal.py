"""The journal's one writer: a thread that owns the only writing connection and commits whatever waits as one group."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from uuid import uuid4

import apsw

from triggers.clock import Clock
from triggers.errors import StateError
from triggers.journal import schema
from triggers.journal.change import Change, Result
from triggers.state import StateFolder

SAFE_SQLITE = 3_051_003
"""Older SQLite has the WAL-reset bug: two connections that write and checkpoint at once can lose commits."""

BUSY = 5000
"""Milliseconds that a commit waits for another program that holds the file, such as a shell or a backup."""

LOOK = 1.0
"""Seconds between two looks whether the file is still at its place."""

_UNKNOWN = (0, 0)

_OPEN = "SELECT (SELECT count(*) FROM run WHERE state < 2) + (SELECT count(*) FROM run WHERE state = 2)"  # by index

_EPOCH = "SELECT value FROM meta WHERE name = 'epoch'"

_ALONE = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
_INSIDE = ("SAVEPOINT change", "RELEASE change", "ROLLBACK TO change")
"""How a change begins and ends by itself, and inside a transaction that holds several."""

Then = Callable[[Result | BaseException], None]


class Journal:
    """The open journal of a state folder that this process owns.

    `durable=False` (tests only) leaves the syncing to the system. `threaded=False` (tests, simulation) commits on the
    loop itself, so that the order of everything is the loop's.

    Raises `StateError` where the journal is that of another app than `app`, unless `adopt` says that it is to be its.
    """

    def __init__(
        self,
        state: StateFolder,
        clock: Clock,
        *,
        app: str | None = None,
        adopt: bool = False,
        durable: bool = True,
        threaded: bool = True,
    ) -> None:
        if apsw.SQLITE_VERSION_NUMBER < SAFE_SQLITE:
            raise StateError(f"SQLite {apsw.sqlite_lib_version()} can lose commits; install apsw 3.51.3 or newer")
        self.clock = clock
        self.path = state.journal
        self._connection = self._open(state, durable=durable)
        try:
            schema.prepare(self._connection)
            if app is not None:
                _own(self._connection, app, adopt=adopt)
            self.id, self.epoch, floor = _take_over(self._connection, clock)
        except BaseException as error:
            why = self.explain(error)
            self._connection.close()
            if transient(error):
                raise StateError(f"the journal cannot be written: {why}") from error
            raise
        self.number_event = itertools.count(max(self._maximum("event"), floor) + 1).__next__
        self.number_run = itertools.count(max(self._maximum("run"), floor) + 1).__next__
        self.open_runs = int(self._connection.execute(_OPEN).get)
        self._place = self.path.absolute()
        self._file = _identity(self._place)
        self._looked = clock.monotonic()
        self._queue: SimpleQueue[tuple[Change, Then] | None] = SimpleQueue()
        self._together = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._write, name="triggers-journal", daemon=True) if threaded else None
        if self._thread:
            self._thread.start()

    def commit(self, change: Change, then: Then) -> None:
        """Commit the change, then call `then` on the calling event loop with its result or the error.

        After an error nothing of the change is in the journal, and the same change may be handed in again.
        """
        loop = asyncio.get_running_loop()
        if self._thread:
            self._loop = loop
            self._queue.put((change, then))
        elif self._together:
            then(self._apply(change))
        else:
            loop.call_soon(then, self._apply(change))

    def explain(self, error: BaseException) -> str:
        """Return why a commit failed, with the file and, where SQLite passes it on, the system's own reason."""
        code = self._connection.system_errno if isinstance(error, apsw.IOError | apsw.CantOpenError) else 0
        return f"{self.path}: {error}" + (f" ({os.strerror(code)})" if code else "")

    def lost(self) -> StateError | None:
        """Return what to raise where the file is no longer at its place: nobody would find what is committed to it."""
        if _identity(self._place) in (self._file, _UNKNOWN):
            return None
        return StateError(
            f"the state folder {self.path.parent} was deleted, moved or replaced while the app ran;"
            " what is done from now on would be lost: put it back, or start again with a new one"
        )

    def close(self) -> None:
        """Finish what was handed in, and close the file."""
        if self._thread:
            self._queue.put(None)
            self._thread.join()
        self._connection.close()

    def _open(self, state: StateFolder, *, durable: bool) -> apsw.Connection:
        try:
            connection = apsw.Connection(str(state.journal))
            connection.set_busy_timeout(BUSY)
            schema.check(connection)
            state.journal.chmod(0o600)
            connection.pragma("journal_mode", "WAL")
            connection.pragma("synchronous", "FULL" if durable else "OFF")
            connection.pragma("journal_size_limit", 64 * 1024 * 1024)
            # in pages: one that changes often is then written back less often
            connection.pragma("wal_autocheckpoint", 8000)
            connection.pragma("cache_size", -16_000)  # KiB, taken as needed
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError) as error:
            why = f"{error}; is its disk full, or read-only?"
            raise StateError(f"the journal {state.journal} cannot be opened: {why}") from error
        return connection

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            change, then = item
            result = self._apply(change)
            if self._loop and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(then, result)

    def _apply(self, change: Change) -> Result | BaseException:
        try:
            self._look()
            if change.writes():
                return self._transact(change)
            return Result(replies=[question(self._connection) for question in change.questions])
        except Exception as error:  # whatever it is, the writer lives on and the loop hears of it
            return error

    def _look(self) -> None:
        """Raise `StateError` where the file is no longer at its place. It looks once in `LOOK` seconds at most."""
        if (now := self.clock.monotonic()) - self._looked < LOOK:
            return
        self._looked = now
        if error := self.lost():
            raise error

    def _transact(self, change: Change) -> Result:
        connection = self._connection
        begin, commit, undo = _INSIDE if self._together else _ALONE
        connection.execute(begin)
        try:
            self._check_epoch(change)
            result = change.apply(connection)
            result.replies.extend(question(connection) for question in change.questions)  # all of it, or nothing
            connection.execute(commit)
        except BaseException:
            if connection.in_transaction:
                connection.execute(undo)
            raise
        return result

    def _check_epoch(self, change: Change) -> None:
        """Raise `StateError` where another process owns the journal by now: what this one still says is void."""
        if (epoch := self._connection.execute(_EPOCH).get) != change.epoch:
            raise StateError(
                f"another process has taken the state folder {self.path.parent} over (epoch {epoch}, this one has"
                f" {change.epoch}): it does again what was not committed here, and this one stops; run one process"
                " only, and keep the folder on a disk whose locks hold, a local one"
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit all changes that are handed in meanwhile as one, at the end. For tests, and not with `threaded`.

        What is handed in is answered at once: nobody has to wait for a disk.
        """
        self._connection.pragma("temp_store", "MEMORY")  # where a savepoint keeps the pages that are changed after it
        self._connection.execute("BEGIN IMMEDIATE")
        self._together = True
        try:
            yield
        finally:
            self._together = False
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def _maximum(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT ifnull(max(number), 0) FROM {table}").get)


def transient(error: BaseException) -> bool:
    """Say whether a commit that failed so may succeed later: the disk is full, or failed, or is read-only for now."""
    return isinstance(error, apsw.FullError | apsw.IOError | apsw.ReadOnlyError | apsw.BusyError | apsw.CantOpenError)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file lies there: its device and number, None where there is none, `_UNKNOWN` where it is hidden."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # the disk has failed, say: its commits fail too, and are tried again
        return _UNKNOWN
    return status.st_dev, status.st_ino


def _own(connection: apsw.Connection, app: str, *, adopt: bool) -> None:
    """Remember the name of the app whose journal this is; raise `StateError` where it is another one's."""
    owner = connection.execute("SELECT value FROM meta WHERE name = 'name'").get
    if owner == app:
        return
    if owner is not None and not adopt:
        raise StateError(
            f"{connection.filename} is the journal of app {owner!r}, not of {app!r}; name another folder with --state"
            f" (or TRIGGERS_STATE), or, if {owner!r} was renamed, start it once with `triggers run --adopt`"
        )
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('name', ?)", (app,))


def _take_over(connection: apsw.Connection, clock: Clock) -> tuple[str, int, int]:
    """Raise the epoch, which voids every older claim; return (the journal's id, the new epoch, the numbers' floor).

    Delays are kept in the boot's monotonic time. After a reboot what is left of them is taken from the wall clock.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO meta VALUES ('id', ?), ('epoch', 0), ('boot', '') ON CONFLICT DO NOTHING",
                       (uuid4().hex[:10],))  # fmt: skip
    epoch = connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'epoch' RETURNING value").get
    boot = connection.execute("SELECT value FROM meta WHERE name = 'boot'").get
    if boot != clock.boot():
        connection.execute("UPDATE run SET due = ? + max(0, due_time - ?) WHERE state = 2 AND due_time IS NOT NULL",
                           (clock.monotonic(), clock.now()))  # fmt: skip
        connection.execute("UPDATE meta SET value = ? WHERE name = 'boot'", (clock.boot(),))
    journal_id = connection.execute("SELECT value FROM meta WHERE name = 'id'").get
    floor = _floor(connection, clock)
    connection.execute("COMMIT")
    return str(journal_id), int(epoch), floor


def _floor(connection: apsw.Connection, clock: Clock) -> int:
    """Return above which number new events and runs begin: 0, or the time in milliseconds where a backup was restored.

    The journal that the backup was taken of has gone on, and its runs had effects under keys that are made of their
    numbers. Were such a number given out again, another run would take those effects for its own. The time is beyond
    all of them, as long as no journal makes a thousand events or runs in each second of its life.
    """
    copied = connection.execute("DELETE FROM meta WHERE name = 'copied' RETURNING value").get
    if copied is not None:
        floor = int(1000 * max(clock.now(), copied))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('floor', ?)", (floor,))
    return int(connection.execute("SELECT value FROM meta WHERE name = 'floor'").get or 0)

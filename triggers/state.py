"""The state folder: one app's journal, inbox and lock, owned by one dispatcher at a time.

The kernel's lock is the ownership: it ends with the process, however that dies, so there is nothing to expire and
nothing to clean up. Layout: `journal.db`, `lock`, `inbox/` for events, `requests/` for what operators ask, `rejected/`
for messages that cannot be events.

Whose a folder is, is read from the first bytes of its journal before anything in it is touched, and without the SQLite
driver, which a process that only sends events has no use for.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, Self

from triggers import folders
from triggers.errors import StateError, StateHeld

APPLICATION_ID: Final = 0x54524947
"""What marks a SQLite file as a journal: "TRIG" in its header."""
SCHEMA_VERSION: Final = 4
"""The newest version of the journal's tables that this code knows."""

OURS = {"journal.db", "journal.db-journal", "journal.db-wal", "journal.db-shm", "lock", "inbox", "requests", "rejected"}
_MAGIC = b"SQLite format 3\0"
_PAGE_START = 105  # the bytes of page 1 that say whose it is: the file's header and the number of tables
_NO_TABLES = (b"\x0d", b"\0\0")  # a leaf, with no cells
_SUMMED = {0x377F0682: "<", 0x377F0683: ">"}  # how a write-ahead log begins, and in which order its sums take bytes

LOOKS = 10
"""How often a held lock is looked at, over a fifth of a second, before it counts as held."""


class StateFolder:
    """A folder with mode 0700 that holds everything an app remembers."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.journal = self.path / "journal.db"
        self.inbox = self.path / "inbox"
        self.requests = self.path / "requests"
        self.rejected = self.path / "rejected"
        self._lock: int | None = None

    def create(self) -> Self:
        """Make the folder if it is missing; raise `StateError` if it is something else's or cannot be used.

        What is refused has not been touched.
        """
        with self._usable():
            if not self.has_journal():
                self.refuse_strangers()
            folders.make(self.path, 0o700)
            self.path.chmod(0o700)
            folders.make(self.inbox, 0o700)
            folders.make(self.requests, 0o700)
        return self

    def has_journal(self) -> bool:
        """Say whether there is a journal here, without touching it; raise `StateError` if it is not for this code.

        Whoever holds the folder has looked already. If that is this process, its journal must not be opened beside
        SQLite: closing the second descriptor would void SQLite's own locks.
        """
        with self._usable():
            if self.path.exists() and not self.path.is_dir():
                raise StateError(f"{self.path} is a file; name a folder with --state")
            return self.journal.exists() and (self.holder() is not None or _is_journal(self.journal))

    def asked(self) -> bool:
        """Say whether operators have asked for something that is not carried out yet."""
        with self._usable():
            return any(self.requests.glob("*.jsonl"))

    def require(self) -> Self:
        """Return the folder if there is a journal in it, else raise `StateError`."""
        if not self.journal.exists():
            raise StateError(f"no journal in {self.path}; `triggers run` makes one, --state names another folder")
        return self

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Turn what the system refuses into a `StateError` that names the folder."""
        try:
            yield
        except OSError as error:
            raise StateError(f"the state folder {self.path} cannot be used: {error.strerror}") from error

    def refuse_strangers(self) -> None:
        """Raise `StateError` if the folder holds what is not ours, so that no journal is made in it."""
        with self._usable():
            strangers = {entry.name for entry in self.path.iterdir()} - OURS if self.path.exists() else ()
        if strangers:
            name = min(strangers)
            raise StateError(f"{self.path} is not a state folder: it holds {name!r}; name an empty one with --state")

    def acquire(self) -> None:
        """Take the ownership, or raise `StateHeld` naming who has it. It lasts until `release` or the process ends."""
        with self._usable():
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for look in range(1, LOOKS + 1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if look == LOOKS:
                    holder = _read_holder(lock)
                    os.close(lock)
                    raise StateHeld(
                        f"{self.path} is in use by {holder}; stop it, or name another folder with --state"
                    ) from None
            time.sleep(0.02)  # a command may be looking who holds it
        self._lock = lock
        since = datetime.now(UTC).isoformat(timespec="seconds")
        with ExitStack() as undo, self._usable():
            undo.callback(self.release)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode(), 0)
            undo.pop_all()
        _owned.add(self)

    def release(self) -> None:
        """Give the ownership up."""
        _owned.discard(self)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def holder(self) -> str | None:
        """Return who owns the folder now, or None. It looks only: where nobody ever took the lock, it makes none."""
        with self._usable(), suppress(FileNotFoundError), (self.path / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read_holder(lock.fileno())
        return None

    def owner(self) -> int | None:
        """Return the number of the process that owns the folder now, if there is one on this machine."""
        match (self.holder() or "").split():
            case ["process", number, "on", node, *_] if number.isdecimal() and node == os.uname().nodename:
                return int(number)
        return None

    def _forget(self) -> None:
        """Let go of the lock in a forked child, without unlocking: it ends with the owner, not with its children."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


_owned: set[StateFolder] = set()
"""The folders that this process has taken and not given up."""


def _forget_all() -> None:
    for folder in _owned:
        folder._forget()


os.register_at_fork(after_in_child=_forget_all)


def _read_holder(lock: int) -> str:
    return os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"


def _is_journal(path: Path) -> bool:
    """Say whether a file is a journal and not still empty; raise `StateError` if it is another's, or newer."""
    start = _first_page(path)
    application, version = _number(start, 68), _number(start, 60)
    if start and not start.startswith(_MAGIC):
        if path.with_name(f"{path.name}-journal").exists():  # the power failed when it was made; SQLite undoes that
            return False
        raise StateError(f"{path} is not a journal: it is no SQLite file; move it away, or give --state another folder")
    if application != APPLICATION_ID:
        if start and (start[100:101], start[103:105]) != _NO_TABLES:
            raise StateError(f"{path} is another program's database, not a journal; choose another --state")
        return False
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path} has schema version {version}, this code knows {SCHEMA_VERSION};"
            " it was written by a newer version of triggers: upgrade the package"
        )
    return True


def _first_page(path: Path) -> bytes:
    """Return how the file begins. What a new journal's first commit made of it may be in the write-ahead log alone."""
    with path.open("rb") as file:
        start = file.read(_PAGE_START)
    if start.startswith(_MAGIC) and _number(start, 68) != APPLICATION_ID:
        with suppress(FileNotFoundError), path.with_name(f"{path.name}-wal").open("rb") as log:
            start = _logged_page(log) or start
    return start


def _logged_page(log: BinaryIO) -> bytes:
    """Return how page 1 begins as a write-ahead log last committed it, or nothing (https://sqlite.org/walformat.html).

    What a power loss has left behind the last commit is whole or torn, and nobody's: the sums tell.
    """
    head, found, page = log.read(32), b"", b""
    order = _SUMMED.get(_number(head, 0))
    if order is None:
        return found
    size, salts, sums = _number(head, 8), head[16:24], _summed(head[:24], order, (0, 0))
    while len(frame := log.read(24 + size)) == 24 + size and frame[8:16] == salts:
        sums = _summed(frame[:8] + frame[24:], order, sums)
        if sums != (_number(frame, 16), _number(frame, 20)):
            break
        if _number(frame, 0) == 1:
            page = frame[24 : 24 + _PAGE_START]
        if _number(frame, 4):  # the last of a commit
            found = page
    return found


def _summed(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """Return SQLite's sums of what came before and of more data."""
    one, two = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 4])

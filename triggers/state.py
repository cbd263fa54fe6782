"""The state folder: one app's journal, inbox and lock, owned by one dispatcher at a time.

The kernel's lock is the ownership: it ends with the process, however that dies, so there is nothing to expire and
nothing to clean up. Layout: `journal.db`, `lock`, `inbox/`.
"""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from triggers.errors import StateError, StateHeld

_OURS = {"journal.db", "journal.db-wal", "journal.db-shm", "lock", "inbox"}


class StateFolder:
    """A folder with mode 0700 that holds everything an app remembers."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.journal = self.path / "journal.db"
        self.inbox = self.path / "inbox"
        self._lock: int | None = None

    def create(self) -> Self:
        """Make the folder if it is missing; raise `StateError` if it is something else's or cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            strangers = sorted({entry.name for entry in self.path.iterdir()} - _OURS)
            if strangers and not self.journal.exists():
                raise StateError(
                    f"{self.path} is not a state folder: it holds {strangers[0]!r}; name an empty one with --state"
                )
            self.path.chmod(0o700)
            self.inbox.mkdir(exist_ok=True, mode=0o700)
        except FileExistsError as error:
            raise StateError(f"{self.path} is a file; name a folder with --state") from error
        except OSError as error:
            raise StateError(f"the state folder {self.path} cannot be used: {error.strerror}") from error
        return self

    def require(self) -> Self:
        """Return the folder if there is a journal in it, else raise `StateError`."""
        if not self.journal.exists():
            raise StateError(f"no journal in {self.path}; `triggers run` makes one, --state names another folder")
        return self

    def acquire(self) -> None:
        """Take the ownership, or raise `StateHeld` naming who has it. It lasts until `release` or the process ends."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"the state folder {self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(lock)
            raise StateHeld(
                f"{self.path} is in use by {holder}; stop it, or name another folder with --state"
            ) from None
        os.ftruncate(lock, 0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0)
        self._lock = lock

    def release(self) -> None:
        """Give the ownership up."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def holder(self) -> str | None:
        """Return who owns the folder now, or None."""
        try:
            self.acquire()
        except StateHeld as held:
            return str(held).split(" is in use by ")[1].split(";")[0]
        self.release()
        return None

"""The state folder: one app's journal, inbox and lock, owned by one dispatcher at a time.

The kernel's lock is the ownership: it ends with the process, however that dies, so there is nothing to expire and
nothing to clean up. Layout: `journal.db`, `lock`, `inbox/` for events, `requests/` for what operators ask.
"""

from __future__ import annotations

import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from triggers.errors import StateError, StateHeld

_OURS = {"journal.db", "journal.db-wal", "journal.db-shm", "lock", "inbox", "requests"}


LOOKS = 10
"""How often a held lock is looked at, over a fifth of a second, before it counts as held."""


class StateFolder:
    """A folder with mode 0700 that holds everything an app remembers."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.journal = self.path / "journal.db"
        self.inbox = self.path / "inbox"
        self.requests = self.path / "requests"
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
            self.requests.mkdir(exist_ok=True, mode=0o700)
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
        lock = self._open_lock()
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
        os.ftruncate(lock, 0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(lock, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode(), 0)
        self._lock = lock
        os.register_at_fork(after_in_child=self._forget)

    def release(self) -> None:
        """Give the ownership up."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def holder(self) -> str | None:
        """Return who owns the folder now, or None."""
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_holder(lock)
        finally:
            os.close(lock)
        return None

    def _forget(self) -> None:
        """Let go of the lock in a forked child, without unlocking: it ends with the owner, not with its children."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open_lock(self) -> int:
        try:
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"the state folder {self.path} cannot be used: {error.strerror}") from error


def _read_holder(lock: int) -> str:
    return os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"

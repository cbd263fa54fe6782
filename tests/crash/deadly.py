"""Runs `triggers` and kills it at one point: `python -m tests.crash.deadly WHEN WHAT K ARGUMENTS...`.

| WHEN | it dies |
|---|---|
| `call` | before the k-th system call of the kind and with the path that WHAT names: `os.rename:/inbox/` |
| `before`, `after` | before or after the k-th SQL statement that contains WHAT: `COMMIT`, for one |
| `storage` | before the k-th `read`, `write` or `sync` of SQLite's, see `tests.torture.storage` |
| `committed` | after the k-th commit of a transaction with such a statement |
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from tests.torture.storage import FileSystem
from triggers import engine as engine_module
from triggers.__main__ import main
from triggers.journal import Journal


class Deadly:
    """A connection that kills the process."""

    def __init__(self, connection: Any, when: str, what: str, at: int) -> None:
        self._connection, self._when, self._what, self._left = connection, when, what, at
        self._held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        meant = self._what in sql
        self._pass("before", meant)
        found = self._connection.execute(sql, *values)
        self._pass("after", meant)
        self._pass("committed", sql == "COMMIT" and self._held)
        self._held = sql != "COMMIT" and (self._held or meant)
        return found

    def _pass(self, when: str, meant: bool) -> None:
        if meant and when == self._when:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(what: str, at: int) -> None:
    """Die before the k-th call, of those that Python tells its audit hooks of."""
    kind, text = what.split(":")
    left = [at]

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == kind and text in str(arguments[0]):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


SYSTEMS: list[FileSystem] = []
"""They last as long as the process."""


class Ear:
    """Kills the process at an operation."""

    def __init__(self, what: str, at: int) -> None:
        self._what, self._left = what, at

    def hear(self, operation: str, path: str, offset: int = 0, data: bytes = b"") -> None:
        self._left -= operation == self._what
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def die_at_storage(what: str, at: int) -> None:
    """Die before the k-th operation of SQLite's on its files."""
    SYSTEMS.append(FileSystem(Ear(what, at)))


def arm(when: str, what: str, at: int) -> None:
    """Have this process killed at a point."""

    class DeadlyJournal(Journal):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._connection: Any = Deadly(self._connection, when, what, at)

    if when == "call":
        die_at_call(what, at)
    elif when == "storage":
        die_at_storage(what, at)
    else:
        vars(engine_module)["Journal"] = DeadlyJournal


if __name__ == "__main__":
    arm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.argv[1:4] = []
    main()

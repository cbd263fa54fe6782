"""The disk of a simulated machine: one journal, in memory, which processes open and leave.

A new process of a scenario finds the rows that the one before it committed, and nothing else. What it need not do again
is what costs most of a short life: SQLite reading the schema, and preparing a hundred statements. So connections are
kept, over all scenarios of this very process, and what a dead one had begun is rolled back, as SQLite does with what a
killed process leaves.
"""

from __future__ import annotations

from functools import cache
from itertools import count
from pathlib import Path

import apsw

from triggers.journal.blank import blank

HEAD = 4096
"""Bytes of a journal's file that stand for it in the state folder: whose it is, is read from them."""

STATEMENTS = 512
"""Executions after which apsw forgets a statement, as its cache is a ring: those of a scenario. It can't be larger."""

_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
_numbers = count(1)
_idle: list[Disk] = []


class Disk:
    """A journal in memory. It lasts as long as there is a connection to it, so one is never given out."""

    def __init__(self) -> None:
        self._name = f"file:/triggers-{next(_numbers)}?vfs=memdb"
        self._own = self._connection()
        self._idle: list[apsw.Connection] = []
        self._taken: list[apsw.Connection] = []
        with self._own.backup("main", _blank(), "main") as copy:
            copy.step()

    def open(self) -> apsw.Connection:
        """Return a connection for a process that begins."""
        self._taken.append(self._idle.pop() if self._idle else self._connection())
        return self._taken[-1]

    def leave(self, connection: apsw.Connection) -> None:
        """Take the connection of a process that is gone."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        self._taken.remove(connection)
        self._idle.append(connection)

    def wipe(self) -> None:
        """Put the blank journal's rows in the place of all others: there is no process any more."""
        for left in list(self._taken):
            self.leave(left)
        connection = self._own
        connection.execute("BEGIN IMMEDIATE")
        for table in _tables():
            connection.execute(f"DELETE FROM {table}")  # noqa: S608  # a table of our own schema
        connection.executemany("INSERT INTO meta VALUES (?, ?)", _meta())
        connection.execute("COMMIT")

    def _connection(self) -> apsw.Connection:
        return apsw.Connection(self._name, flags=_FLAGS, statementcachesize=STATEMENTS)


def take(journal: Path) -> Disk:
    """Return a disk with a blank journal, of which the file begins as it would at this place."""
    journal.write_bytes(_file()[:HEAD])
    disk = _idle.pop() if _idle else Disk()
    disk.wipe()
    return disk


def give_back(disk: Disk) -> None:
    """Let another scenario have the disk."""
    _idle.append(disk)


@cache
def _file() -> bytes:
    """Return a journal without a past. All scenarios have the same, so that what its identity decides is the same."""
    return blank("simulated")


@cache
def _blank() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.deserialize("main", _file())
    return connection


@cache
def _tables() -> list[str]:
    return [str(name) for (name,) in _blank().execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


@cache
def _meta() -> list[tuple[str, object]]:
    return [(str(name), value) for name, value in _blank().execute("SELECT name, value FROM meta")]

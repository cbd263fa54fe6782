"""A copy of a journal as it was at one moment, taken beside the app that goes on writing to it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw

PAGES = 4000
"""How many pages are copied between two looks whether somebody wants it to end."""


def copy(source: apsw.Connection, target: Path, now: float) -> None:
    """Copy what a reader's connection sees into a new file, synced, without a write-ahead log beside it.

    The copy is of one moment, however long it takes: the reader stays in one transaction, so that no commit of others
    makes SQLite begin anew. Nobody waits for it, but the writer's log grows until it ends. The copy is marked with
    `now`, a Unix time, for whoever goes on with it (see `journal`).
    """
    with closing(apsw.Connection(str(target))) as connection:
        source.execute("BEGIN")
        try:
            source.execute("SELECT name FROM meta").fetchall()  # the moment that is copied: only a read fixes it
            with connection.backup("main", source, "main") as copying:
                while not copying.done:
                    copying.step(PAGES)
        finally:
            source.execute("ROLLBACK")
        connection.pragma("journal_mode", "DELETE")
        connection.pragma("synchronous", "FULL")
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('copied', ?)", (now,))

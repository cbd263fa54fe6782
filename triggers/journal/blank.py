"""Journals in which nothing has happened yet."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import apsw

from triggers.journal.schema import prepare


def blank(identity: str) -> bytes:
    """Return the file of a journal without a past, of this identity, so that what rests on it can be repeated."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")
        connection = apsw.Connection(str(path))
        prepare(connection)
        connection.execute("INSERT INTO meta VALUES ('id', ?), ('epoch', 0), ('boot', '')", (identity,))
        connection.close()
        return path.read_bytes()

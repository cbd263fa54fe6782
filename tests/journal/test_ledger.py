"""What a source remembers, read in pages below a folder."""

from __future__ import annotations

import apsw
import pytest

from triggers.journal import memories_below
from triggers.journal.schema import prepare

KEYS = (b"", b"a", b"a-b/c", b"a/1", b"a/2", b"a/b/3", b"a0", b"b/4", b"gone/5", b"\xff/6")


@pytest.fixture
def connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    prepare(connection)
    rows = [(source, key, b"" if key.startswith(b"gone") else source.encode(), 0) for source in "xy" for key in KEYS]
    connection.executemany("INSERT INTO ledger VALUES (?, ?, ?, ?)", rows)
    return connection


def keys(connection: apsw.Connection, folder: bytes, after: bytes, most: int = 100) -> list[bytes]:
    found = memories_below("x", folder, after, most)(connection)
    assert set(found.values()) <= {b"x"}
    return list(found)


def test_below_a_folder_are_those_whose_path_goes_through_it(connection: apsw.Connection) -> None:
    assert keys(connection, b"a", b"a/") == [b"a/1", b"a/2", b"a/b/3"]
    assert keys(connection, b"b", b"b/") == [b"b/4"]
    assert keys(connection, b"\xff", b"\xff/") == [b"\xff/6"]
    assert keys(connection, b"nothing", b"nothing/") == []


def test_below_the_root_is_everything_but_what_is_gone(connection: apsw.Connection) -> None:
    assert keys(connection, b"", b"") == [b"a", b"a-b/c", b"a/1", b"a/2", b"a/b/3", b"a0", b"b/4", b"\xff/6"]


def test_a_page_begins_behind_the_last_key_of_the_one_before(connection: apsw.Connection) -> None:
    assert keys(connection, b"a", b"a/", 2) == [b"a/1", b"a/2"]
    assert keys(connection, b"a", b"a/2", 2) == [b"a/b/3"]
    assert keys(connection, b"a", b"a/b/3", 2) == []

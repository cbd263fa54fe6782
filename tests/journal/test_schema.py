"""Whose file it is, which version it has, and how it is brought forward."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import apsw
import pytest

from triggers.errors import StateError
from triggers.journal import Journal
from triggers.journal.schema import MIGRATIONS, prepare, read_pragma
from triggers.journal.views import open_reader
from triggers.state import APPLICATION_ID, SCHEMA_VERSION, StateFolder
from triggers.testing import FakeClock


def fingerprint(path: Path) -> tuple[str, int]:
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode


def folder_with(path: Path, content: bytes = b"") -> StateFolder:
    folder = StateFolder(path)
    folder.create()
    folder.journal.write_bytes(content)
    return folder


def test_an_empty_file_becomes_a_journal() -> None:
    connection = apsw.Connection("")
    prepare(connection)
    assert read_pragma(connection, "application_id") == APPLICATION_ID
    assert read_pragma(connection, "user_version") == len(MIGRATIONS)
    prepare(connection)


def test_the_state_folder_knows_the_newest_version_without_opening_a_journal() -> None:
    assert len(MIGRATIONS) == SCHEMA_VERSION


def test_an_older_journal_is_brought_forward_and_keeps_its_rows() -> None:
    connection = apsw.Connection("")
    prepare(connection)
    connection.execute("INSERT INTO meta VALUES ('mine', 1)")
    later = (*MIGRATIONS, "ALTER TABLE run ADD COLUMN colour TEXT", "UPDATE meta SET value = value + 1")
    prepare(connection, later)
    assert connection.execute("SELECT value FROM meta WHERE name = 'mine'").get == 2
    assert connection.execute("SELECT count(colour) FROM run").get == 0
    assert read_pragma(connection, "user_version") == len(later)


def test_a_migration_that_fails_leaves_the_version_before_it() -> None:
    connection = apsw.Connection("")
    prepare(connection)
    later = (*MIGRATIONS, "CREATE TABLE good (x)", "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)")
    with pytest.raises(apsw.SQLError, match="nowhere"):
        prepare(connection, later)
    assert read_pragma(connection, "user_version") == len(MIGRATIONS) + 1
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert "good" in tables
    assert "half" not in tables
    assert not connection.in_transaction


def test_a_newer_journal_is_refused_untouched(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "s").create()
    connection = apsw.Connection(str(folder.journal))
    prepare(connection, (*MIGRATIONS, "CREATE TABLE future (x)"))
    connection.close()
    before = fingerprint(folder.journal)
    known = len(MIGRATIONS)
    with pytest.raises(StateError, match=rf"version {known + 1}, this code knows {known}; .* upgrade the package"):
        Journal(folder, FakeClock())
    with pytest.raises(StateError, match="upgrade the package"):
        open_reader(folder)
    assert fingerprint(folder.journal) == before


def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "s")
    with sqlite3.connect(folder.journal) as other:
        other.execute("CREATE TABLE bookmarks (url)")
    other.close()
    folder.journal.chmod(0o644)
    before = fingerprint(folder.journal)
    with pytest.raises(StateError, match="is another program's database, not a journal; choose another --state"):
        Journal(folder, FakeClock())
    assert fingerprint(folder.journal) == before


def test_what_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "s", b"my thesis " * 1000)
    before = fingerprint(folder.journal)
    with pytest.raises(StateError, match="is not a journal: it is no SQLite file; move it away"):
        Journal(folder, FakeClock())
    assert fingerprint(folder.journal) == before


def test_a_journal_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "s").create()
    folder.journal.mkdir()
    with pytest.raises(StateError, match=r"the journal .*journal.db cannot be opened"):
        Journal(folder, FakeClock())

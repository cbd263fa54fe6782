import pytest

from handlers.files import append_once, write_atomic, write_once


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    write_atomic(tmp_path / "a" / "file", b"one")
    write_atomic(tmp_path / "a" / "file", b"two")
    assert (tmp_path / "a" / "file").read_bytes() == b"two"
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    (tmp_path / "file").mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(OSError, match="file"):
        write_atomic(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_written_once_stays_as_it_was(tmp_path):
    assert write_once(tmp_path / "file", b"one")
    assert not write_once(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"


def test_a_line_is_appended_once_per_key(tmp_path):
    log = tmp_path / "log"
    assert append_once(log, "k1", "first")
    assert append_once(log, "k2", "second\nin two lines")
    assert not append_once(log, "k1", "first")
    assert log.read_text() == "first [k1]\nsecond in two lines [k2]\n"


def test_a_line_after_half_a_line_starts_anew(tmp_path):
    log = tmp_path / "log"
    log.write_text("half of a li")
    append_once(log, "k1", "whole")
    assert log.read_text() == "half of a li\nwhole [k1]\n"

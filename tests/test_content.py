from __future__ import annotations

import fcntl
import mmap
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from triggers.content import content_version, open_content
from triggers.errors import Reject
from triggers.events import ObjectCreated

BIG = 300_000  # more than one read of a buffered file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes(b"1" * BIG)
    return path


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail instead of hanging."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def version_of(path: Path) -> str:
    status = path.stat()
    return content_version(status)


def event_of(path: Path) -> ObjectCreated:
    return ObjectCreated(key=path.name, uri=path.as_uri(), size=path.stat().st_size, version=version_of(path))


def test_a_file_that_nobody_touches_is_read_as_any_other(path: Path) -> None:
    with event_of(path).open() as file:
        assert file.read(3) == b"111"
        assert file.seek(-2, os.SEEK_END) == BIG - 2
        assert (file.read(), file.read()) == (b"11", b"")
        file.seek(0)
        assert len(file.readlines()) == 1
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert len(mapped) == BIG


def test_a_file_that_is_replaced_before_it_is_opened_is_refused(path: Path) -> None:
    event = event_of(path)
    assert event.path() == path
    other = path.with_name("other")
    other.write_bytes(b"2" * BIG)
    other.rename(path)
    with pytest.raises(Reject, match=r"a\.csv was overwritten or replaced after this event; what is there now"):
        event.open()


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(path: Path) -> None:
    with event_of(path).open() as file:
        other = path.with_name("other")
        other.write_bytes(b"2" * BIG)
        other.rename(path)
        assert file.read() == b"1" * BIG


def in_parts(file: IO[bytes]) -> bytes:
    while part := file.read(1000):
        assert set(part) == set(b"1")
    return b""


WAYS: dict[str, Callable[[Any], object]] = {
    "at once": lambda file: file.read(),
    "in parts": in_parts,
    "by lines": lambda file: file.readline(),
    "into a buffer": lambda file: file.readinto(bytearray(BIG)),
}


@pytest.mark.parametrize("read", WAYS.values(), ids=WAYS)
def test_not_a_byte_of_another_content_is_given_out(path: Path, read: Callable[[IO[bytes]], object]) -> None:
    with event_of(path).open() as file:
        file.read(10)
        with path.open("r+b") as writer:
            writer.write(b"2" * BIG)
        with pytest.raises(Reject, match="was overwritten"):
            read(file)


def test_a_file_that_is_refused_is_closed(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Reject):
        open_content("a.csv", "another", path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_gone_says_so(path: Path) -> None:
    event = event_of(path)
    path.unlink()
    for look in (event.open, event.path):
        with pytest.raises(Reject, match=r"a\.csv: the file that arrived cannot be read now \(No such file"):
            look()


@pytest.mark.parametrize("look", [ObjectCreated.open, ObjectCreated.path])
def test_a_file_that_became_a_pipe_is_refused_without_waiting_for_a_writer(
    path: Path, look: Callable[[ObjectCreated], object]
) -> None:
    event = event_of(path)
    path.unlink()
    os.mkfifo(path)
    with within(5), pytest.raises(Reject, match=r"a\.csv was overwritten or replaced .* if it is a file of the source"):
        look(event)


def test_a_file_on_which_a_lease_is_being_given_up_is_waited_for(path: Path) -> None:
    event = event_of(path)
    holder = os.open(path, os.O_RDWR)
    before = signal.signal(signal.SIGURG, lambda *_: fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_UNLCK))
    try:
        fcntl.fcntl(holder, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        with within(5), event.open() as file:
            assert file.read(3) == b"111"
    finally:
        signal.signal(signal.SIGURG, before)
        os.close(holder)


def test_a_rename_keeps_the_version_and_a_copy_does_not(path: Path) -> None:
    before = version_of(path)
    moved, copied = path.with_name("moved"), path.with_name("copied")
    path.rename(moved)
    copied.write_bytes(moved.read_bytes())
    assert version_of(moved) == before != version_of(copied)

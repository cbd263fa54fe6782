from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from triggers.errors import StateError, StateHeld
from triggers.journal.schema import MIGRATIONS, prepare
from triggers.journal.views import open_reader
from triggers.state import StateFolder

HOLD = """
import sys
from triggers.state import StateFolder
StateFolder(sys.argv[1]).create().acquire()
print("held", flush=True)
sys.stdin.read()
"""


def holding(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_folder_and_what_is_in_it_are_their_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = StateFolder(tmp_path / "deep" / "s").create()
        folder.acquire()
    finally:
        os.umask(old)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.inbox.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "lock").stat().st_mode & 0o777 == 0o600
    folder.release()


def test_an_open_folder_is_closed_to_others_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateFolder(tmp_path).create()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(StateError, match=r"is not a state folder: it holds 'thesis.tex'; name an empty one"):
        StateFolder(tmp_path).create()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "inbox").exists()


def write_text(path: Path) -> None:
    path.write_text("my thesis " * 1000)


def write_bookmarks(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (url)")
    other.close()


def write_newer_journal(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "WAL")
    prepare(connection, (*MIGRATIONS, "CREATE TABLE future (x)"))
    connection.close()


FOREIGN = [
    (write_text, "is not a journal: it is no SQLite file; move it away, or give --state another folder"),
    (write_bookmarks, "is another program's database, not a journal; choose another --state"),
    (write_newer_journal, rf"version {len(MIGRATIONS) + 1}, this code knows {len(MIGRATIONS)}; .* upgrade the package"),
]


@pytest.mark.parametrize(("write", "message"), FOREIGN)
def test_a_journal_that_is_not_for_this_code_is_refused_before_anything_is_touched(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    tmp_path.chmod(0o755)
    write(tmp_path / "journal.db")
    content = (tmp_path / "journal.db").read_bytes()
    for use in (StateFolder.create, StateFolder.has_journal, open_reader):
        with pytest.raises(StateError, match=message):
            use(StateFolder(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "journal.db").read_bytes() == content


def test_a_journal_whose_first_commit_is_in_the_write_ahead_log_alone_is_ours(tmp_path: Path) -> None:
    begun = apsw.Connection(str(tmp_path / "journal.db"))
    begun.pragma("journal_mode", "WAL")
    assert not StateFolder(tmp_path).create().has_journal()  # its process may have died here
    with looked_at(tmp_path / "journal.db"):  # else it comes into the file itself at once
        prepare(begun)
    header = (tmp_path / "journal.db").read_bytes()[:100]
    assert int.from_bytes(header[68:72]) == 0, "the mark was expected in the log"
    assert StateFolder(tmp_path).create().has_journal()
    begun.close()
    assert StateFolder(tmp_path).create().has_journal()


@contextmanager
def looked_at(path: Path) -> Iterator[None]:
    """Keep what is committed meanwhile out of the file, by a reader of what is there now."""
    with closing(apsw.Connection(str(path))) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM sqlite_schema").get == 0
        yield


@pytest.mark.parametrize("page", [bytes(4096), b"SQLite format 3\0".ljust(4096, b"\1")], ids=["zeros", "another's"])
def test_what_a_power_loss_has_torn_at_the_end_of_the_write_ahead_log_is_nobodys(tmp_path: Path, page: bytes) -> None:
    begun = apsw.Connection(str(tmp_path / "journal.db"))
    begun.pragma("journal_mode", "WAL")
    with looked_at(tmp_path / "journal.db"):
        prepare(begun)
    torn = StateFolder(tmp_path / "torn")
    torn.path.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (torn.path / name).write_bytes((tmp_path / name).read_bytes())
    begun.close()
    with (torn.path / "journal.db-wal").open("r+b") as log:
        salts = log.read(24)[16:]
        log.seek(0, os.SEEK_END)
        log.write((1).to_bytes(4) + (9).to_bytes(4) + salts + bytes(8) + page)
    assert torn.create().has_journal()


@pytest.mark.parametrize(
    "content", [None, b"", bytes(4096)], ids=["no file", "an empty one", "one that was never synced"]
)
def test_a_journal_whose_making_was_cut_off_is_made_again(tmp_path: Path, content: bytes | None) -> None:
    folder = StateFolder(tmp_path)
    (tmp_path / "journal.db-journal").write_bytes(bytes(512))
    if content is not None:
        folder.journal.write_bytes(content)
    assert not folder.create().has_journal()


def test_another_programs_write_ahead_log_is_not_ours(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "journal.db")
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE bookmarks (url)")
    with pytest.raises(StateError, match="is another program's database"):
        StateFolder(tmp_path).create()
    other.close()


def test_an_empty_journal_beside_our_own_files_is_ours_and_beside_others_it_is_not(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "s").create()
    folder.journal.touch()
    assert not folder.create().has_journal()
    (folder.path / "thesis.tex").touch()
    with pytest.raises(StateError, match=r"it holds 'thesis.tex'"):
        folder.create()


def test_a_folder_that_is_held_is_not_read_since_that_would_void_the_holders_locks(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path).create()
    folder.acquire()
    connection = apsw.Connection(str(folder.journal))
    connection.pragma("journal_mode", "WAL")
    prepare(connection)
    locks = locks_of(folder.journal)
    assert locks
    assert StateFolder(tmp_path).create().has_journal()
    assert locks_of(folder.journal) == locks
    connection.close()
    folder.release()


def locks_of(path: Path) -> list[str]:
    """Return the kernel's record locks on a file, without the numbers that they have among all of the machine."""
    inode = f":{path.stat().st_ino} "
    locks = [line.partition(": ")[2] for line in Path("/proc/locks").read_text().splitlines()]
    return [lock for lock in locks if inode in lock and lock.startswith("POSIX")]


def test_a_folder_that_is_made_survives_a_power_loss_with_those_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = set()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(Path(f"/proc/self/fd/{handle}").readlink()))
    StateFolder(tmp_path / "a" / "b").create()
    assert synced == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}


def test_looking_who_holds_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    assert StateFolder(tmp_path).holder() is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    with pytest.raises(StateError, match="is a file; name a folder with --state"):
        StateFolder(tmp_path / "s").create()
    with pytest.raises(StateError, match="cannot be used: Not a directory"):
        StateFolder(tmp_path / "s" / "t").create()


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/sys/kernel")  # not even root makes a folder there
    else:
        folder = tmp_path
        folder.chmod(0o500)
    with pytest.raises(StateError, match="cannot be used"):
        StateFolder(folder / "s").create()


def test_a_folder_without_a_journal_is_not_one_to_read(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"no journal in .*; `triggers run` makes one"):
        StateFolder(tmp_path).require()


def test_another_process_that_holds_the_folder_is_named_and_its_death_frees_it(tmp_path: Path) -> None:
    process = holding(tmp_path / "s")
    folder = StateFolder(tmp_path / "s")
    try:
        with pytest.raises(StateHeld, match=rf"is in use by process {process.pid} on .* since .*; stop it"):
            folder.acquire()
        assert (folder.holder() or "").startswith(f"process {process.pid} on ")
    finally:
        process.kill()
        process.communicate()
    assert folder.holder() is None
    folder.acquire()
    folder.release()


def test_the_folder_is_held_against_the_same_process_too_and_can_be_taken_again(tmp_path: Path) -> None:
    one, two = StateFolder(tmp_path).create(), StateFolder(tmp_path)
    one.acquire()
    with pytest.raises(StateHeld):
        two.acquire()
    one.release()
    one.release()
    two.acquire()
    two.release()


def test_the_lock_ends_with_its_owner_and_not_with_what_it_forked(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from triggers.state import StateFolder\n"
        f"StateFolder({str(tmp_path / 's')!r}).create().acquire()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "print(child, flush=True)\n"
        "os._exit(0)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout
    assert owner.stdin
    child = int(owner.stdout.readline())
    owner.wait()
    os.kill(child, 0)  # it lives on
    folder = StateFolder(tmp_path / "s")
    folder.acquire()
    folder.release()
    owner.stdin.close()
    owner.stdout.close()


def test_a_folder_that_was_given_up_leaves_nothing_behind_in_its_process(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state").create()
    folder.acquire()
    folder.release()
    left = weakref.ref(folder)
    del folder
    assert left() is None

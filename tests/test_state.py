from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from triggers.errors import StateError, StateHeld
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

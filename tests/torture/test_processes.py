"""Real processes under load: stopped, frozen, without room on their disk. Nothing is lost, no effect has two keys."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import psutil
import pytest

from tests.crash.chains import Home
from tests.kit import PATIENCE
from tests.torture import FEW, TIMES

SEED = 20261123
FULL = 0.5 if TIMES == 1 else 30.0
"""Seconds for which the disk is full."""
STEPS = 3
"""Effects for each file."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.end()


def test_a_stop_under_load_repeats_no_handler_and_loses_nothing(home: Home) -> None:
    chance = random.Random(SEED)
    for _ in range(FEW):
        home.drop(10)
        before = home.applied()
        process = home.command()
        home.wait(before + chance.randint(1, 20))
        process.terminate()
        process.join(PATIENCE)
        assert process.exitcode == 128 + signal.SIGTERM
        assert home.abandoned() == []
    home.drain()
    assert set(home.check()) <= {"given back"}
    assert len(home.log()) == STEPS * home.dropped


@pytest.mark.parametrize("fate", ["thawed", "killed"])
def test_beside_a_frozen_process_nobody_starts_and_after_it_work_goes_on(home: Home, fate: str) -> None:
    chance = random.Random(SEED)
    for _ in range(FEW):
        home.drop(10)
        process = home.started()
        home.wait(home.applied() + chance.randint(1, 10))
        os.kill(process.pid or 0, signal.SIGSTOP)
        second = home.command()
        second.join(PATIENCE)
        assert second.exitcode == 5
        assert f"process {process.pid} on " in home.said()
        if fate == "killed":
            process.kill()
        else:
            os.kill(process.pid or 0, signal.SIGCONT)
            home.enough()
        process.join(PATIENCE)
        assert process.exitcode == (-signal.SIGKILL if fate == "killed" else 0)
        assert home.abandoned() == []
    home.drain()
    assert set(home.check()) <= {"interrupted"}


def stands(thread: Path) -> bool:
    """Say whether a thread has stopped, or is gone, by its `stat` file."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return thread.read_text().rpartition(") ")[2].startswith(("T", "Z", "X"))
    return True


def freeze_between_commits(home: Home, process: int) -> None:
    """Freeze a process while it holds no lock of SQLite's, which would keep others from writing."""
    while True:
        os.kill(process, signal.SIGSTOP)
        while not all(map(stands, Path(f"/proc/{process}/task").glob("*/stat"))):
            time.sleep(0.001)  # a thread stops when it comes out of the kernel, perhaps with a lock
        with closing(apsw.Connection(str(home.path / "state" / "journal.db"))) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE; ROLLBACK")
                return
            except apsw.BusyError:
                os.kill(process, signal.SIGCONT)


def test_a_frozen_process_whose_lock_did_not_hold_says_nothing_more_once_another_has_its_folder(home: Home) -> None:
    chance = random.Random(SEED)
    for _ in range(FEW):
        home.drop(10)
        process = home.started()
        home.wait(home.applied() + chance.randint(1, 10))
        freeze_between_commits(home, process.pid or 0)
        (home.path / "state" / "lock").unlink()  # as on a disk whose locks do not hold
        home.drain()
        home.drop(1)  # for the frozen one to find
        os.kill(process.pid or 0, signal.SIGCONT)
        home.enough()
        process.join(PATIENCE)
        assert process.exitcode == 1
        assert "another process has taken the state folder" in home.said()
        assert home.abandoned() == []
    home.drain()
    assert set(home.check()) <= {"interrupted"}


def test_a_disk_that_is_full_under_load_holds_work_up_and_it_goes_on_within_five_seconds_of_room(home: Home) -> None:
    process = home.started()
    home.drop(10)
    home.wait(5)
    most = resource.prlimit(process.pid or 0, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(process.pid or 0, resource.RLIMIT_FSIZE, (1024, most))  # bytes that a file of it may have
    until = time.monotonic() + FULL
    while time.monotonic() < until:
        home.drop(1)
        time.sleep(0.05)
    before = home.applied()
    resource.prlimit(process.pid or 0, resource.RLIMIT_FSIZE, (most, most))
    for worker in psutil.Process(process.pid).children(recursive=True):  # it may have been started with that bound
        with suppress(ProcessLookupError):
            resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (most, most))
    room = time.monotonic()
    home.wait(before + STEPS, seconds=5)
    print(f"the disk was full for {FULL:g} s; {time.monotonic() - room:.1f} s after there was room, work went on")
    home.enough()
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert "the journal cannot be written" in home.said()
    assert "the journal can be written again" in home.said()
    home.check()

"""Process groups that must not outlive the process that started them, with real processes."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kit import PATIENCE
from triggers.executor.groups import Groups

Start = Callable[[], subprocess.Popen[bytes]]

APP = """
import os, signal, subprocess
from triggers.executor.groups import Groups

handler = subprocess.Popen(["sleep", "inf"], start_new_session=True)
groups = Groups()
groups.add(handler.pid)
fork = os.fork()
if fork == 0:
    signal.pause()
print(handler.pid, fork, flush=True)
signal.pause()
"""

FORKING = """
import os, subprocess, sys
from triggers.executor.groups import Groups

handler = subprocess.Popen(["sleep", "inf"], start_new_session=True)
groups = Groups()
groups.add(handler.pid)
fork = os.fork()
if fork == 0:
    sys.exit()
os.waitpid(fork, 0)
groups.discard(handler.pid)
groups.close()
alive = handler.poll() is None
handler.kill()
handler.wait()
sys.exit(0 if alive else "a fork has ended what is its parent's")
"""


@pytest.fixture
def groups() -> Iterator[Groups]:
    groups = Groups()
    yield groups
    groups.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a process that does not end, in a group of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "inf"], start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def guardian(app: int) -> int:
    """Return the number of an app's guardian, once it listens."""
    begun = time.monotonic()
    while time.monotonic() < begun + PATIENCE:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                state, parent = stat.read_text().rsplit(")", 1)[1].split()[:2]
                if (state, int(parent)) == ("S", app) and ignores(stat.parent, signal.SIGHUP):
                    return int(stat.parent.name)
    raise AssertionError("no guardian is there")


def ignores(process: Path, number: signal.Signals) -> bool:
    if b"guardian.py" not in (process / "cmdline").read_bytes():
        return False
    mask = re.findall(r"SigIgn:\s*(\w+)", (process / "status").read_text())[0]
    return bool(int(mask, 16) & 1 << number - 1)


def ends(pid: int) -> bool:
    """Wait for the end of a process."""
    file = os.pidfd_open(pid)
    try:
        return bool(select.select([file], [], [], PATIENCE)[0])
    finally:
        os.close(file)


def test_a_group_dies_with_a_killed_process_though_a_fork_of_it_lives_on() -> None:
    with subprocess.Popen([sys.executable, "-c", APP], stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout
        handler, fork = map(int, app.stdout.readline().split())
        guardian(app.pid)
        app.kill()
        app.wait()
        try:
            assert ends(handler)
        finally:
            os.kill(fork, signal.SIGKILL)


def test_the_end_of_a_fork_leaves_its_parents_groups_alone() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=30)


def test_what_is_left_dies_at_the_end_and_what_was_discarded_does_not(groups: Groups, start: Start) -> None:
    left, discarded = start(), start()
    for process in (left, discarded):
        groups.add(process.pid)
    groups.discard(discarded.pid)
    groups.close()
    assert left.wait(PATIENCE) == -signal.SIGKILL
    assert discarded.poll() is None


def test_a_guardian_that_somebody_killed_is_replaced_and_knows_all_groups(groups: Groups, start: Start) -> None:
    before, after = start(), start()
    groups.add(before.pid)
    killed = guardian(os.getpid())
    os.kill(killed, signal.SIGKILL)
    assert ends(killed)
    groups.add(after.pid)
    assert guardian(os.getpid()) != killed
    groups.close()
    assert [process.wait(PATIENCE) for process in (before, after)] == [-signal.SIGKILL] * 2


def test_the_guardian_leaves_it_to_the_app_what_a_signal_means(groups: Groups, start: Start) -> None:
    process = start()
    groups.add(process.pid)
    pid = guardian(os.getpid())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    groups.close()
    assert process.wait(PATIENCE) == -signal.SIGKILL

"""Much that waits before the start: all of it is worked off, once, in little more memory than an idle app takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.crash.chains import ROOT, unwell
from tests.torture import TIMES
from tests.torture.backlog import Job
from triggers.clock import SystemClock
from triggers.sources.inbox import line_of, write

FILES, EVENTS = (500, 2_000) if TIMES == 1 else (100_000, 1_000_000)
BATCH = 1000


def worked_off(home: Path) -> float:
    """Have an app work off what waits, and return how many MB it had at most."""
    (home / "in").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.torture.backlog", str(home)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout)


def pile_up(home: Path) -> None:
    (home / "in").mkdir(parents=True)
    for n in range(FILES):
        (home / "in" / f"{n}.csv").write_text("1")
    now = SystemClock().now()
    for first in range(0, EVENTS, BATCH):
        write(home / "state" / "inbox", [line_of(Job(n=n), "send", now) for n in range(first, first + BATCH)])


def counted(log: Path, command: str) -> int:
    """Return what a command counts of the effects: `KEY ROUTE ABOUT` in each line, of millions."""
    with log.open() as lines:
        return int(subprocess.run(["sh", "-c", command], stdin=lines, capture_output=True, check=True).stdout)


def test_a_backlog_is_worked_off_in_at_most_twice_the_memory_of_an_idle_app(tmp_path: Path) -> None:
    idle = worked_off(tmp_path / "idle")
    home = tmp_path / "full"
    pile_up(home)
    peak = worked_off(home)
    print(f"{FILES:,} files and {EVENTS:,} events: {peak:.0f} MB at most, {idle:.0f} MB idle")
    every = FILES + 2 * EVENTS
    assert [counted(home / "log", command) for command in ("wc -l", "cut -d' ' -f1 | sort -u | wc -l")] == [every] * 2
    assert counted(home / "log", "cut -d' ' -f2- | sort -u | wc -l") == every, "an effect is missing"
    assert unwell(home / "state") == []
    assert peak <= 2 * idle

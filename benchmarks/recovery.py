"""kill -9 in the midst of work, and how soon the next process works on; and what became of the work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import peer
from benchmarks.huey_app import work_task
from benchmarks.workload import Made, fields

COUNT = 600
KILL_AFTER = 150
"""Handlers that have started when the kill comes: about 32 of them are at work then."""

Result = dict[str, Any]


class Start(NamedTuple):
    """One handler's start, from the log that both processes append to."""

    number: int
    process: int
    moment: float


def triggers(folder: Path) -> Result:
    """Hand in, run the command line, kill it, run it again."""
    from triggers import App

    state = folder / "state"
    App("crash").send(*(Made.model_validate(fields(number)) for number in range(COUNT)), state=state)
    command = [sys.executable, "-m", "triggers", "run", "benchmarks.apps:crash", "--state", str(state), "-q"]
    return crash(folder, command)


def huey(folder: Path) -> Result:
    """Enqueue, run the consumer, kill it, run it again."""
    task = work_task(peer.opened(folder))
    for number in range(COUNT):
        task(fields(number))
    return crash(folder, [sys.executable, "-m", "benchmarks.huey_app", str(folder), "32", "0.005", "0.005"])


def crash(folder: Path, command: list[str]) -> Result:
    """Start a process that works, kill it in the midst of that, start it again, and tell what became of the work."""
    log = folder / "log"
    environment = {**os.environ, "BENCH_LOG": str(log)}
    first = subprocess.Popen(command, env=environment)
    try:
        _wait_for_work(first, log)
    finally:
        first.kill()
        first.wait()
    begin = time.monotonic()
    second = subprocess.Popen(command, env=environment)
    try:
        starts = _until_still(log)
    finally:
        second.kill()
        second.wait()
    again = [start for start in starts if start.process == second.pid]
    before = [start for start in starts if start.process == first.pid]
    times = [start.number for start in starts]
    return {
        "seconds": min(start.moment for start in again) - begin,
        "started_before_kill": len(before),
        "started_twice": len(times) - len(set(times)),
        "never_started": COUNT - len(set(times)),
        "cut_short_and_not_started_again": _lost(before, again),
    }


def _wait_for_work(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while len(_starts(log)) < KILL_AFTER:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)


def _lost(before: list[Start], again: list[Start]) -> int:
    """Return how many handlers the kill cut short for good: among the last started, and never started again."""
    from benchmarks.apps import HANDLER_SECONDS

    killed = max(start.moment for start in before)
    cut = {start.number for start in before if start.moment > killed - HANDLER_SECONDS / 2}
    return len(cut - {start.number for start in again})


def _until_still(log: Path) -> list[Start]:
    """Wait until all have started, or nothing has for two seconds."""
    still = time.monotonic() + 10
    known = len(_starts(log))
    while time.monotonic() < still:
        starts = _starts(log)
        if len(starts) > known:
            known, still = len(starts), time.monotonic() + 2
        time.sleep(0.02)
    return _starts(log)


def _starts(log: Path) -> list[Start]:
    if not log.exists():
        return []
    lines = (line.split() for line in log.read_text().splitlines(keepends=True) if line.endswith("\n"))
    return [Start(int(number), int(process), float(moment)) for number, process, moment in lines]

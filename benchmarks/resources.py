"""What an app costs that does nothing, what a backlog costs, and what a month of timers costs in the test harness."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.throughput import check_durable
from benchmarks.workload import Made, batches, deliveries
from triggers import App, Tick, every
from triggers.engine import Engine
from triggers.state import StateFolder

Result = dict[str, Any]
MB = 1e6


def triggers_idle(folder: Path, seconds: float) -> Result:
    """Run the command line with a folder, a timer and the inbox to watch."""
    incoming = folder / "incoming"
    incoming.mkdir()
    command = [sys.executable, "-m", "triggers", "run", "benchmarks.apps:idle", "--state", str(folder / "state"), "-q"]
    return idle(command, {"BENCH_INCOMING": str(incoming)}, seconds)


def huey_idle(folder: Path, seconds: float, delay: float, max_delay: float) -> Result:
    """Run huey's consumer with 32 threads on an empty queue."""
    command = [sys.executable, "-m", "benchmarks.huey_app", str(folder), "32", str(delay), str(max_delay)]
    return idle(command, {}, seconds)


def idle(command: list[str], environment: dict[str, str], seconds: float) -> Result:
    """Start a process and return what it uses while nothing happens."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        time.sleep(3)
        watched = psutil.Process(process.pid)
        before, begin = watched.cpu_times(), time.monotonic()
        time.sleep(seconds)
        after, took = watched.cpu_times(), time.monotonic() - begin
        memory = watched.memory_full_info()
        assert process.poll() is None
        assert not watched.children()
    finally:
        process.kill()
        process.wait()
    used = round((after.user - before.user) + (after.system - before.system), 2)  # the kernel counts in 10 ms
    return {"cpu": 100 * used / took, "rss": memory.rss / MB, "uss": memory.uss / MB}


async def triggers_backlog(folder: Path, count: int) -> Result:
    """Hand in many events while the one handler that may run does not end."""
    app = App("bench")
    started = 0

    @app.on(Made, concurrency=1)
    async def handle(event: Made) -> None:
        nonlocal started
        started += 1
        await asyncio.Event().wait()

    async with Engine(app, StateFolder(folder)) as engine:
        await check_durable(engine)
        await engine.dispatcher.append(deliveries(Made, range(500)))
        before = _peak()
        for numbers in batches(count):
            await engine.dispatcher.append(deliveries(Made, numbers))
        assert started == 1
        assert engine.journal.open_runs == count + 500
        peak = _peak()
    return {"peak": peak, "before": before, "journal": (folder / "journal.db").stat().st_size / MB}


def _peak() -> float:
    """Return the most memory that this process has had resident, in MB.

    Not `ru_maxrss`, which a process inherits from the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MB for line in lines if line.startswith("VmHWM"))


def timers(folder: Path, days: int) -> Result:
    """Fire a timer every five minutes for so many days, by the test harness and its clock."""
    from triggers.testing import Harness

    app = App("bench")
    fired = 0

    @app.on(every(minutes=5))
    async def handle(event: Tick) -> None:
        nonlocal fired
        fired += 1

    harness = Harness(app, folder)
    begin = time.monotonic()
    harness.advance(days=days)
    took = time.monotonic() - begin
    assert fired == days * 288
    assert len(harness.runs()) == fired
    harness.close()
    return {"seconds": took, "fired": fired}

"""huey on SQLite, the peer: opened and checked here, with its own defaults for durability."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from huey.consumer import Consumer


def opened(folder: Path) -> Any:
    """Return a huey whose every commit is synced, as it ships: WAL and synchronous=FULL. Asserts both."""
    huey = SqliteHuey("bench", filename=str(folder / "huey.db"))
    connection = huey.storage.conn
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    return huey


@contextmanager
def consuming(huey: Any, workers: int, delay: float = 0.005, max_delay: float = 0.05) -> Iterator[None]:
    """Run huey's consumer with worker threads in this process. An empty queue is polled after `delay` seconds."""
    consumer = Consumer(huey, workers=workers, initial_delay=delay, backoff=1.15, max_delay=max_delay, periodic=False)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    consumer.start()
    for number, handler in signals.items():  # huey's own would leave this process deaf to the one who stops it
        signal.signal(number, handler)
    try:
        yield
    finally:
        consumer.stop(graceful=True)


def wait_until(done: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for the workers, looking rarely, so that the looking costs them nothing."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"the peer did not finish within {seconds:.0f} s")
        time.sleep(0.002)


class Producer:
    """Another process that sends when it is told to, and says when it began."""

    def __init__(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "benchmarks.producers", name, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def go(self) -> None:
        """Have it begin."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def ended(self) -> str:
        """Wait for its end and return what it printed."""
        output, _ = self._process.communicate(timeout=300)
        assert self._process.returncode == 0
        return output

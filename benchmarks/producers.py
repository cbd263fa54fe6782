"""The other process: `python -m benchmarks.producers NAME ...` says "ready", waits for a line, then sends."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from benchmarks.workload import batches, fields


def huey_events(folder: str, task: str, count: str) -> object:
    """Enqueue tasks one at a time: huey has no call for many."""
    from benchmarks import peer
    from benchmarks.throughput import huey_tasks

    enqueue = getattr(huey_tasks(peer.opened(Path(folder))), task)
    _started()
    begin = time.monotonic()
    for number in range(int(count)):
        enqueue(fields(number))
    return {"begin": begin, "end": time.monotonic()}


def triggers_events(folder: str, count: str) -> object:
    """Send events in batches of 500, each durable before the next is begun."""
    from benchmarks.workload import Made
    from triggers import App

    app = App("bench")
    _started()
    begin = time.monotonic()
    for numbers in batches(int(count)):
        app.send(*(Made.model_validate(fields(number)) for number in numbers), state=folder)
    return {"begin": begin, "end": time.monotonic()}


def triggers_singly(folder: str, samples: str) -> object:
    """Send events one at a time with pauses; return when each was handed to `send`."""
    from benchmarks.latency import PAUSE
    from benchmarks.workload import Made
    from triggers import App

    app = App("bench")
    _started()
    sent = {}
    for number in range(int(samples)):
        time.sleep(random.uniform(*PAUSE))
        event = Made.model_validate(fields(number))
        sent[number] = time.monotonic()
        app.send(event, state=folder)
    return sent


def files(folder: str, samples: str) -> object:
    """Write files of 1 KiB with pauses; return when each was about to be closed."""
    from benchmarks.latency import PAUSE

    _started()
    closed = {}
    for number in range(int(samples)):
        time.sleep(random.uniform(*PAUSE))
        file = open(Path(folder) / f"{number}.csv", "wb")  # noqa: SIM115  # its closing is what is timed
        file.write(b"x" * 1024)
        file.flush()
        closed[number] = time.monotonic()
        file.close()
    return closed


def _started() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])), flush=True)

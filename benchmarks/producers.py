"""The other process: `python -m benchmarks.producers NAME ...` says "ready", waits for a line, then sends."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
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


def dbos_events(folder: str, count: str) -> object:
    """Hand workflows to DBOS' queue, 500 in a transaction."""
    from benchmarks.dbos_peer import sending

    with sending(Path(folder)) as (transaction, send):
        _started()
        begin = time.monotonic()
        for numbers in batches(int(count)):
            with transaction() as connection:
                for number in numbers:
                    send(connection, number)
    return {"begin": begin, "end": time.monotonic()}


def dbos_singly(folder: str, samples: str) -> object:
    """Hand workflows to DBOS' queue one at a time with pauses; return when each was about to be handed in."""
    from benchmarks.dbos_peer import LONG_PAUSE, sending

    sent = {}
    with sending(Path(folder)) as (transaction, send):
        _started()
        for number in range(int(samples)):
            time.sleep(random.uniform(*LONG_PAUSE))
            sent[number] = time.monotonic()
            with transaction() as connection:
                send(connection, number)
    return sent


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


def drop(folder: str, count: str, storm: str) -> object:
    """Write many small files as fast as one process can."""
    root, number_of_folders = Path(folder), 1000 if storm == "folders" else 1
    _started()
    begin = time.monotonic()
    place = str(root)
    for number in range(int(count)):
        if storm == "folders" and number % (int(count) // number_of_folders or 1) == 0:
            place = f"{root}/{number}/deep/er"
            os.makedirs(place)
        name = f"{place}/{number}.{'tmp' if storm == 'rename' else 'csv'}"
        file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, b"x" * 100)
        os.close(file)
        if storm == "rename":
            os.rename(name, f"{place}/{number}.csv")
    return {"begin": begin, "end": time.monotonic()}


def write(folder: str, count: str) -> object:
    """Write files in the four ways in which files are written: fast, slow, by appending, over and over in place."""
    _started()
    begin = time.monotonic()
    each = int(count) // 4
    ways = (write_fast, write_slowly, append, overwrite)
    threads = [threading.Thread(target=way, args=(Path(folder), each)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"begin": begin, "end": time.monotonic()}


PART = 5000
END = b"END\n"
"""What every record ends with. A record is one letter, many times: a mixture or a missing end is a partial file."""
SLOW = 100
"""Files that are written slowly at the same time, in ten parts each."""


def write_fast(root: Path, count: int) -> None:
    for number in range(count):
        (root / f"fast{number}").write_bytes(b"a" * PART + END)


def write_slowly(root: Path, count: int) -> None:
    for first in range(0, count, SLOW):
        numbers = range(first, min(first + SLOW, count))
        files = [open(root / f"slow{number}", "wb", buffering=0) for number in numbers]  # noqa: SIM115
        for _ in range(10):
            for file in files:
                file.write(b"b" * (PART // 10))
            time.sleep(0.02)
        for file in files:
            file.write(END)
            file.close()


def append(root: Path, count: int) -> None:
    for turn in range(3):
        for number in range(count):
            with open(root / f"appended{number}", "ab", buffering=0) as file:
                for _ in range(5):
                    file.write(bytes([ord("a") + turn]) * (PART // 5))
                file.write(END)


def overwrite(root: Path, count: int) -> None:
    for number in range(count):
        for turn in range(4):
            path = root / f"overwritten{number}"
            with open(path, "r+b" if turn else "wb", buffering=0) as file:
                for _ in range(5):
                    file.write(bytes([ord("a") + turn]) * (PART // 5))
                file.write(END)


def is_whole(content: bytes) -> bool:
    """Say whether a file holds records only as their writers finished them."""
    *records, rest = content.split(END)
    return bool(records) and not rest and all(len(set(one)) == 1 and len(one) == PART for one in records)


def _started() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])), flush=True)

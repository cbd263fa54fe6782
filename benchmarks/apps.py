"""The apps that `triggers run` is given where a figure is about a whole process. Each is a module's attribute."""

from __future__ import annotations

import os
import time

from benchmarks.producers import is_whole
from benchmarks.workload import Made
from triggers import App, Folder, ObjectCreated, Reject, Tick, every

HANDLER_SECONDS = 0.02

crash = App("crash")
idle = App("idle", sources=[Folder(os.environ.get("BENCH_INCOMING", "."), name="incoming")])
files = App("files", sources=[Folder(os.environ.get("BENCH_FILES", "."), name="incoming")])
partial = App("partial", sources=[Folder(os.environ.get("BENCH_FILES", "."), name="incoming")], threads=4)


@files.on(ObjectCreated)
async def taken(event: ObjectCreated) -> None:
    pass


@partial.on(ObjectCreated)
def looked_at(event: ObjectCreated) -> None:
    try:
        with event.open() as file:
            whole = "whole" if is_whole(file.read()) else "partial"
    except Reject:
        whole = "superseded"
    log = os.open(os.environ["BENCH_LOG"], os.O_WRONLY | os.O_APPEND, 0o600)
    os.write(log, f"{event.key} {whole}\n".encode())
    os.close(log)


@crash.on(Made)
def work(event: Made) -> None:
    note(event.number)
    time.sleep(HANDLER_SECONDS)


@idle.on(ObjectCreated)
def arrive(event: ObjectCreated) -> None:
    raise AssertionError("nothing arrives while it is idle")


@idle.on(every(weeks=1))
def tick(event: Tick) -> None:
    raise AssertionError("nothing is due while it is idle")


def note(number: int) -> None:
    """Append the number, this process and the moment to the log: one write, so that lines do not mix."""
    log = os.open(os.environ["BENCH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, f"{number} {os.getpid()} {time.monotonic()}\n".encode())
    os.close(log)

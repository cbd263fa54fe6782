"""DBOS on SQLite, a peer: opened and checked here, and its side of every figure that it is part of.

A handler is a workflow: DBOS keeps its input when it is sent and its result when it ends, and takes up at its start
what a crash cut short. A chain is a workflow of three steps, each of whose results is kept.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import peer, recovery, resources
from benchmarks.latency import PAUSE, latencies
from benchmarks.throughput import Seen
from benchmarks.workload import batches, fields

Result = dict[str, Any]
Handler = Callable[[dict[str, Any]], object]

QUEUE = "bench"
POLL = 0.005
"""Seconds between two looks at an empty queue, as huey is given; DBOS' own default is 1 s."""
OLDEST_SQLITE = (3, 42)
WARM = 20
LONG_PAUSE = (0.1, 0.2)
"""Seconds between events that another process sends: DBOS takes longer for one than the others do."""


def sqlite() -> Any:
    """Return the SQLite that DBOS gets: Python's, or where that is too old for its tables, a newer one from PyPI."""
    if sqlite3.sqlite_version_info >= OLDEST_SQLITE:
        return sqlite3
    try:
        return import_module("pysqlite3")
    except ImportError:
        has = sqlite3.sqlite_version
        raise ImportError(
            f"DBOS needs SQLite 3.42, Python has {has}; install pysqlite3-binary, or a newer Python"
        ) from None


def library() -> Any:
    """Import DBOS over a SQLite that it can work on."""
    sys.modules["sqlite3"] = sqlite()
    return import_module("dbos")


def address(folder: Path) -> str:
    """Return the URL of the system database."""
    return f"sqlite:///{folder / 'dbos.db'}"


@contextmanager
def launched(folder: Path, workers: int, poll: float = POLL, journal: str = "wal") -> Iterator[Any]:
    """Run DBOS with a queue and so many threads in this process; what has been registered before is what it runs.

    It syncs every commit as it ships, which is asserted; its journal mode is `delete` as it ships, and the file's own
    affair, so `wal` is what a user may have set.
    """
    dbos = library()
    with closing(sqlite().connect(folder / "dbos.db")) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
    config = {"name": "bench", "system_database_url": address(folder), "max_executor_threads": workers}
    instance = dbos.DBOS(config={**config, "log_level": "ERROR"})
    dbos.DBOS.launch()
    try:
        with instance._sys_db.engine.connect() as connection:
            settings = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")
            ]
        assert settings == [2, journal], settings
        dbos.DBOS.register_queue(QUEUE, polling_interval_sec=poll)
        yield dbos.DBOS
    finally:
        dbos.DBOS.destroy()


def workflow(handler: Handler, name: str = "handle") -> Handler:
    """Register a handler as a workflow, by a name that another process can send to."""
    registered: Handler = library().DBOS.workflow(name=name)(handler)
    return registered


def chain(last: Handler) -> Handler:
    """Register a workflow of three steps, the last of which ends in `last`."""

    def hop(payload: dict[str, Any]) -> dict[str, Any]:
        return payload

    step = library().DBOS.step
    one, two, three = step(name="one")(hop), step(name="two")(hop), step(name="three")(last)
    return workflow(lambda payload: three(two(one(payload))))


# --- rates ---------------------------------------------------------------------------------------


def rate(folder: Path, count: int, workers: int, way: str, task: str = "handle", journal: str = "wal") -> Result:
    """Send so many events and wait until the last handler begins. `way` is how they are sent.

    `call`: one thread calls a workflow after the other. `start`: one thread starts them, and does not wait.
    `batches`: another process hands them to the queue, 500 in a transaction.
    """
    seen = Seen(count)

    def take(payload: dict[str, Any]) -> None:
        seen.take(payload["number"])

    handle = workflow(take) if task == "handle" else chain(take)
    begin = _carried_out(folder, count, workers, way, handle, seen, journal)
    return {"rate": count / (seen.last - begin)}


def blocking(folder: Path, count: int, workers: int, way: str, seconds: float) -> Result:
    """Send handlers that sleep, and wait until the last one has slept."""
    seen = Seen(count)

    def sleep(payload: dict[str, Any]) -> None:
        time.sleep(seconds)
        seen.take(payload["number"])

    begin = _carried_out(folder, count, workers, way, workflow(sleep), seen, "wal")
    return {"share": count * seconds / workers / (seen.last - begin)}


def _carried_out(folder: Path, count: int, workers: int, way: str, handle: Handler, seen: Seen, journal: str) -> float:
    """Return when the sending began, once all is done; nothing may be lost, twice or left open."""
    warm = workflow(lambda _: None, "warm")
    with launched(folder, workers, journal=journal) as dbos:
        sender = peer.Producer("dbos_events", str(folder), str(count)) if way == "batches" else None
        for _ in range(WARM):
            dbos.start_workflow(warm, {}).get_result()
        begin = time.monotonic()
        if sender:
            sender.go()
        else:
            for number in range(count):
                if way == "call":
                    handle(fields(number))
                else:
                    dbos.start_workflow(handle, fields(number))
        peer.wait_until(lambda: seen.handled == count)
        begin = json.loads(sender.ended())["begin"] if sender else begin
        peer.wait_until(partial(_all_done, folder, WARM + count))
    seen.check()
    return begin


def _all_done(folder: Path, count: int) -> bool:
    with closing(sqlite().connect(folder / "dbos.db")) as connection:
        sql = "SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'"
        return bool(connection.execute(sql).fetchone() == (count,))


# --- one event -----------------------------------------------------------------------------------


def started(folder: Path, samples: int) -> Result:
    """Start one workflow at a time in DBOS' own process: from the call to the handler."""
    began: dict[int, float] = {}
    handle = workflow(lambda payload: began.setdefault(payload["number"], time.monotonic()))
    sent: dict[int, float] = {}
    with launched(folder, 32) as dbos:
        for number in range(samples):
            peer.wait_until(partial(_all_done, folder, number))
            time.sleep(random.uniform(*PAUSE))
            sent[number] = time.monotonic()
            dbos.start_workflow(handle, fields(number))
        peer.wait_until(partial(_all_done, folder, samples))
    return latencies(sent, began)


def sent(folder: Path, samples: int) -> Result:
    """Have another process hand events to the queue, one at a time: from the call to the handler."""
    began: dict[str, float] = {}
    workflow(lambda payload: began.setdefault(str(payload["number"]), time.monotonic()))
    with launched(folder, 32):
        sender = peer.Producer("dbos_singly", str(folder), str(samples))
        sender.go()
        peer.wait_until(lambda: len(began) == samples)
    return latencies(json.loads(sender.ended()), began)


@contextmanager
def sending(folder: Path) -> Iterator[tuple[Callable[[], Any], Callable[[Any, int], object]]]:
    """Yield, for another process, what begins a transaction, and what hands one event to the queue within it."""
    dbos, alchemy = library(), import_module("sqlalchemy")
    engine = alchemy.create_engine(address(folder), connect_args={"isolation_level": "IMMEDIATE", "timeout": 30})
    client = dbos.DBOSClient(system_database_url=address(folder))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    options = {"workflow_name": "handle", "queue_name": QUEUE}
    try:
        yield engine.begin, lambda connection, n: client.enqueue_in_transaction(connection, options, fields(n))
    finally:
        client.destroy()
        engine.dispose()


# --- whole processes -----------------------------------------------------------------------------


def crash(folder: Path) -> Result:
    """Hand in, run, kill, run again."""
    with launched(folder, 1):
        pass  # the tables, and the queue that the events are handed to
    with sending(folder) as (begin, send):
        for numbers in batches(recovery.COUNT):
            with begin() as transaction:
                for number in numbers:
                    send(transaction, number)
    return recovery.crash(folder, _command(folder, POLL))


def idle(folder: Path, seconds: float, poll: float) -> Result:
    """Run DBOS with 32 threads on an empty queue."""
    return resources.idle(_command(folder, poll), {}, seconds)


def _command(folder: Path, poll: float) -> list[str]:
    return [sys.executable, "-m", "benchmarks.dbos_app", str(folder), "32", str(poll)]

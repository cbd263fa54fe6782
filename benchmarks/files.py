"""Storms of files: what is lost, what is told twice, what is seen half-written, and how fast it is durable.

The files come from another process, into a folder in memory where there is one: what is measured is not how fast a
disk makes files. The journal is on the disk, and synced. triggers runs as its command does, beside it the stock
observers of watchdog and watchfiles, each in a process of its own: `python -m benchmarks.files NAME FOLDER` says
"ready", notes each path that it is told of, and prints what it has when its input has ended and nothing new comes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from benchmarks import peer
from triggers import App, Folder, ObjectCreated
from triggers.engine import Engine
from triggers.state import StateFolder

STALL = 1.0
"""Seconds that a watcher is stopped."""
KILLS = 5
STILL = 4.0
"""Seconds without a new path after which a watcher of the peers has told all that it will."""

Result = dict[str, Any]


# --- triggers ------------------------------------------------------------------------------------


def triggers(folder: Path, count: int, storm: str) -> Result:
    """Have a storm pass over `triggers run`; every file must be one event."""
    with in_memory(folder) as root:
        return _storm(root, folder / "state", count, storm)


def _storm(root: Path, state: Path, count: int, storm: str) -> Result:
    drop = peer.Producer("drop", str(root), str(count), storm)
    if storm == "down":
        times = _carried_out(drop)
        with _app(root, state) as app:
            return _durable(state, count, app.begin)
    with _app(root, state) as app:
        _wait_for(state)
        drop.go()
        if storm == "stall":
            app.stall()
        if storm == "kill":
            for kill in range(KILLS):
                _told(state, until=count * (kill + 1) // (KILLS + 2))
                app.restart()
        times = json.loads(drop.ended())
        return {**_durable(state, count, times["begin"]), "drop_rate": count / (times["end"] - times["begin"])}


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """Make a folder to be watched."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else folder))
    try:
        yield path
    finally:
        shutil.rmtree(path)


class Running:
    """`triggers run` in a process of its own."""

    def __init__(self, app: str, state: Path, environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", "triggers", "run", f"benchmarks.apps:{app}", "--state", str(state), "-q"]
        self._environment = {**os.environ, **environment}
        self.begin = 0.0
        self._start()

    def _start(self) -> None:
        self.begin = time.monotonic()
        self._process = subprocess.Popen(self._command, env=self._environment)

    def stall(self) -> None:
        """Stop it for a while."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(STALL)
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it anew."""
        self.kill()
        self._start()

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def _app(root: Path, state: Path, app: str = "files", **more: str) -> Iterator[Running]:
    running = Running(app, state, {"BENCH_FILES": str(root), **more})
    try:
        yield running
    finally:
        running.kill()


def _durable(state: Path, count: int, begin: float) -> Result:
    """Wait for all files, and a little longer for what comes twice; return what is in the journal."""
    end = _told(state, until=count)
    time.sleep(STILL)
    rows, keys = _ask(state, "SELECT count(*), count(DISTINCT subject) FROM event WHERE type = 'ObjectCreated'")
    return {"lost": count - keys, "twice": rows - keys, "rate": count / (end - begin)}


def _told(state: Path, until: int) -> float:
    """Wait until so many events are in the journal, or no more come; return when it was."""
    told, moment = -1, time.monotonic()
    while told < until and time.monotonic() < moment + 15:
        time.sleep(0.005)
        if (now := _ask(state, "SELECT ifnull(max(number), 0) FROM event")[0]) != told:
            told, moment = now, time.monotonic()
    return moment


def _wait_for(state: Path) -> None:
    """Wait until the app has looked at the empty folder."""
    while not (state / "journal.db").exists():
        time.sleep(0.01)
    time.sleep(1)


_readers: dict[Path, apsw.Connection] = {}


def _ask(state: Path, sql: str) -> tuple[Any, ...]:
    if state not in _readers:
        if not (state / "journal.db").exists():
            return (0, 0)
        _readers[state] = apsw.Connection(str(state / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY)
        _readers[state].set_busy_timeout(5000)
    try:
        return next(iter(_readers[state].execute(sql)))
    except apsw.SQLError:  # its tables are yet to be made
        return (0, 0)


def _carried_out(producer: peer.Producer) -> dict[str, float]:
    producer.go()
    times: dict[str, float] = json.loads(producer.ended())
    return times


# --- half-written files --------------------------------------------------------------------------


def partial(folder: Path, count: int) -> Result:
    """Write files in four ways; the handlers say of each that they are given whether it was whole."""
    log = folder / "log"
    log.touch()
    with in_memory(folder) as root, _app(root, folder / "state", "partial", BENCH_LOG=str(log)):
        _wait_for(folder / "state")
        _carried_out(peer.Producer("write", str(root), str(count)))
        _told(folder / "state", until=count)
        still = time.monotonic()
        seen = -1
        while time.monotonic() < still + STILL:
            time.sleep(0.1)
            if (now := log.stat().st_size) != seen:
                seen, still = now, time.monotonic()
    found = Counter(line.split()[1] for line in log.read_text().splitlines())
    whole = {line.split()[0] for line in log.read_text().splitlines() if line.endswith(" whole")}
    return {"handled": sum(found.values()), "partial": found["partial"], "superseded": found["superseded"],
            "whole": found["whole"], "never_whole": count - len(whole)}  # fmt: skip


# --- start ---------------------------------------------------------------------------------------


def restart(folder: Path, count: int) -> Result:
    """Take in many files, stop, and see how soon a fresh process has found that it knows them all."""
    with in_memory(folder) as root:
        _carried_out(peer.Producer("drop", str(root), str(count), "folders"))
        first, second = (_started(root, folder / "state") for _ in range(2))
    assert second["events"] == 0
    return {"first": first["seconds"], "ready": second["seconds"]}


def _started(root: Path, state: Path) -> Result:
    command = [sys.executable, "-m", "benchmarks.files", "start", str(root), str(state)]
    found: Result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


async def start(root: Path, state: Path) -> Result:
    """Start an app over a folder, and return when it has told all that it found."""
    app = _noting(root, lambda key: None)
    begin = time.monotonic()
    async with Engine(app, StateFolder(state)) as engine:
        await engine.quiet()
        return {"seconds": time.monotonic() - begin, "events": engine.dispatcher.counts["events"]}


# --- after a move out ----------------------------------------------------------------------------


async def after_a_move(folder: Path, samples: int, watcher: str) -> Result:
    """Move a file out and write another at once; return how long after its close it is told."""
    root = folder / "in"
    root.mkdir()
    told: dict[str, float] = {}
    closed: dict[str, float] = {}

    def note(key: str) -> None:
        told.setdefault(key, time.monotonic())

    async def write() -> None:
        for number in range(samples):
            (root / f"old{number}.csv").write_text("x")
            await asyncio.sleep(0.05)
            os.rename(root / f"old{number}.csv", folder / f"old{number}.csv")
            with open(root / f"new{number}.csv", "w") as file:  # noqa: ASYNC230  # its closing is what is timed
                file.write("x")
                file.flush()
                closed[f"new{number}.csv"] = time.monotonic()
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)

    if watcher == "triggers":
        async with Engine(_noting(root, note), StateFolder(folder / "state")) as engine:
            await engine.quiet()
            await write()
    else:
        stop: Callable[[], object] = _WATCHERS[watcher](root, lambda path: note(os.path.basename(path)))
        await write()
        stop()
    waits = sorted(told.get(name, float("inf")) - moment for name, moment in closed.items())
    return {"p50": 1000 * waits[len(waits) // 2], "max": 1000 * waits[-1]}


def _noting(root: Path, note: Callable[[str], object]) -> App:
    app = App("files", sources=[Folder(root, name="in")])

    @app.on(ObjectCreated)
    async def handle(event: ObjectCreated) -> None:
        note(event.key)

    return app


# --- the peers -----------------------------------------------------------------------------------


def observer(folder: Path, count: int, storm: str, watcher: str) -> Result:
    """Have a storm pass over a stock observer, which only notes the paths in memory."""
    with in_memory(folder) as root:
        return _observed(root, count, storm, watcher)


def _observed(root: Path, count: int, storm: str, watcher: str) -> Result:
    drop = peer.Producer("drop", str(root), str(count), storm)
    command = [sys.executable, "-m", "benchmarks.files", watcher, str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    drop.go()
    if storm == "stall":
        process.send_signal(signal.SIGSTOP)
        time.sleep(STALL)
        process.send_signal(signal.SIGCONT)
    times = json.loads(drop.ended())
    output, _ = process.communicate()
    found = json.loads(output)
    return {"lost": count - found["told"], "rate": found["told"] / (found["last"] - times["begin"])}


def watch(name: str, root: Path) -> Result:
    """Note what a stock observer tells until nothing new comes after the input's end."""
    told: set[str] = set()
    last = [time.monotonic()]

    def note(path: str) -> None:
        if path.endswith(".csv") and path not in told:
            told.add(path)
            last[0] = time.monotonic()

    stop = _WATCHERS[name](root, note)
    print("ready", flush=True)
    sys.stdin.read()
    last.append(time.monotonic())
    while time.monotonic() < max(last) + STILL:
        time.sleep(0.05)
    stop()
    return {"told": len(told), "last": last[0]}


def _watchdog(root: Path, note: Callable[[str], object]) -> Callable[[], object]:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            note(os.fsdecode(event.dest_path or event.src_path))

    seen: Any = Observer()
    seen.schedule(Handler(), str(root), recursive=True)
    seen.start()
    return lambda: seen.stop()


def _watchfiles(root: Path, note: Callable[[str], object]) -> Callable[[], object]:
    from watchfiles import watch as changes

    ended = threading.Event()

    def run() -> None:
        for batch in changes(root, stop_event=ended, raise_interrupt=False):
            for _, path in batch:
                note(path)

    threading.Thread(target=run, daemon=True).start()
    time.sleep(1)
    return ended.set


_WATCHERS: dict[str, Callable[[Path, Callable[[str], object]], Callable[[], object]]] = {
    "watchdog": _watchdog,
    "watchfiles": _watchfiles,
}


if __name__ == "__main__":
    name, *paths = sys.argv[1:]
    places = [Path(path) for path in paths]
    print(json.dumps(asyncio.run(start(*places)) if name == "start" else watch(name, *places)), flush=True)

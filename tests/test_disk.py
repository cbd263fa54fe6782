"""A disk that refuses, under a real process: work stands still with a clear word, and nothing is lost or done twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.commands.conftest import Process
from tests.crash.disks import Broken, Capped, Disk, Frozen, Tiny, have
from tests.kit import PATIENCE
from triggers import App, Event
from triggers.errors import StateError

APP = """
from pathlib import Path
from triggers import App, Context, Event, Folder, ObjectCreated

HOME = Path(__file__).parent

class Read(Event):
    key: str

app = App("disk", sources=[Folder(HOME / "in", name="in")], outputs=[Folder(HOME / "disk" / "out", name="out")])

def note(ctx: Context, key: str) -> None:
    with (HOME / "log").open("a") as log:
        log.write(f"{ctx.route} {key} {ctx.effect_key}\\n")

@app.on(ObjectCreated)
def reads(event: ObjectCreated, ctx: Context) -> Read:
    if event.key == "held":
        (HOME / "gate").read_text()
    note(ctx, event.key)
    return Read(key=event.key)

@app.on(Read)
async def ends(event: Read, ctx: Context) -> None:
    note(ctx, event.key)

class Wanted(Event):
    pass

@app.on(Wanted, writes={"out"})
def writes(event: Wanted, ctx: Context) -> None:
    with ctx.place("out").output("a.txt") as file:
        file.write(b"a")
"""

REFUSED = "the journal cannot be written"
ROOT = Path(__file__).parents[1]


class Long(Event):
    text: str = ""


class Machine:
    """A folder with an app, whose state is on a disk, and the processes that work there."""

    def __init__(self, home: Path, disk: Disk) -> None:
        self.home, self.disk = home, disk
        self.state = disk.path / "state"
        self.started: list[subprocess.Popen[str]] = []
        (home / "in").mkdir()
        (home / "app.py").write_text(APP)
        os.mkfifo(home / "gate")

    def start(self) -> Process:
        """Start the app; it is killed when it takes longer than a test's patience."""
        self.started.append(self.popen("run", "app.py", "--state", str(self.state)))
        guard = threading.Timer(PATIENCE, self.started[-1].kill)
        guard.daemon = True
        guard.start()
        process = Process(self.started[-1])
        process.until("disk runs with")
        return process

    def __call__(self, *words: str) -> tuple[int, str]:
        """Call a command to its end, and return its exit code and what it said on stderr."""
        self.started.append(self.popen(*words))
        said = self.started[-1].communicate(timeout=PATIENCE)[1]
        return self.started[-1].returncode, said

    def drain(self) -> tuple[int, str]:
        """Have the app do what there is to do."""
        return self("run", "app.py", "--state", str(self.state), "--drain", "-q")

    def popen(self, *words: str) -> subprocess.Popen[str]:
        command = self.disk.command(["env", "-C", str(self.home), sys.executable, "-m", "triggers", *words])
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, **quiet)

    def drop(self, *keys: str) -> None:
        for key in keys:
            (self.home / "in" / key).write_text(key)

    def done(self) -> Counter[tuple[str, str]]:
        """Return how often each handler was carried out with each key."""
        lines = (self.home / "log").read_text().splitlines()
        return Counter((route, key) for route, key, _ in map(str.split, lines))

    def keys(self, key: str, route: str = "") -> set[str]:
        """Return under which keys effects were applied."""
        lines = map(str.split, (self.home / "log").read_text().splitlines())
        return {used for by, about, used in lines if about == key and by in (route or by)}

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask a copy of the journal, for SQLite finds its way into no other namespace."""
        copy = self.home / "copy"
        shutil.copytree(self.disk.seen / "state", copy)
        connection = apsw.Connection(str(copy / "journal.db"))
        found = list(connection.execute(sql))
        connection.close()
        shutil.rmtree(copy)
        return found

    def end(self) -> None:
        for popen in self.started:
            popen.kill()
            popen.wait()
            if popen.stderr:
                popen.stderr.close()
        self.disk.close()


def once(*keys: str) -> Counter[tuple[str, str]]:
    return Counter((route, key) for route in ("reads", "ends") for key in keys)


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[type[Disk], bool]:
    """Return which disks this machine allows."""
    folder = tmp_path_factory.mktemp("disks")
    return {kind: have(kind, folder) for kind in (Tiny, Frozen, Broken)}


@pytest.fixture
def machine(tmp_path: Path, disks: dict[type[Disk], bool]) -> Iterator[Callable[[type[Disk]], Machine]]:
    """Return a function that makes a machine with a disk of this kind, or with the stand-in."""
    made: list[Machine] = []

    def make(kind: type[Disk]) -> Machine:
        possible = disks.get(kind, True)
        disk = kind(tmp_path / "disk") if possible else Capped(tmp_path / "disk")
        made.append(Machine(tmp_path, disk))
        return made[-1]

    yield make
    for one in made:
        one.end()


Make = Callable[[type[Disk]], Machine]


@pytest.mark.parametrize("kind", [Tiny, Frozen, Capped])
def test_work_stands_still_while_the_disk_refuses_and_goes_on_by_itself(machine: Make, kind: type[Disk]) -> None:
    there = machine(kind)
    app = there.start()
    there.drop("before")
    app.until("ends r2  done")
    there.drop("held")
    app.until("reads r3  started")  # a commit after the end of r2
    there.disk.refuse(app.popen.pid)
    there.drop("during")
    app.until(f"{REFUSED}: {there.state}/journal.db: ")
    (there.home / "gate").write_text("open")
    app.until("reads r3  done")
    assert there.done() == once("before") + Counter({("reads", "held"): 1})
    there.disk.accept(app.popen.pid)
    app.until("the journal can be written again; work goes on")
    while there.done() != once("before", "held", "during"):
        app.heard = ""
        app.until("done in")
    app.tell(signal.SIGTERM)
    assert app.end() == 143
    assert there.ask("SELECT state, count(*) FROM run GROUP BY state") == [(3, 6)]
    assert there.ask("SELECT count(*) FROM attempt") == [(0,)]
    assert there.done() == once("before", "held", "during")


@pytest.mark.parametrize("kind", [Tiny, Broken])
def test_a_stop_while_the_disk_refuses_ends_at_once_frees_the_folder_and_the_next_start_goes_on(
    machine: Make, kind: type[Disk]
) -> None:
    there = machine(kind)
    app = there.start()
    there.drop("before")
    app.until("ends r2  done")
    there.drop("held")
    app.until("reads r3  started")  # a commit after the end of r2
    there.disk.refuse(app.popen.pid)
    (there.home / "gate").write_text("open")
    app.until(REFUSED)
    app.tell(signal.SIGTERM)
    assert app.end() == 143
    assert "ended while the journal cannot be written" in app.heard
    there.disk.accept()
    again = there.start()
    again.until("reads r3  started")
    (there.home / "gate").write_text("open")
    again.until("ends r4  done")
    again.tell(signal.SIGTERM)
    assert again.end() == 143
    assert there.ask("SELECT state, count(*) FROM run GROUP BY state") == [(3, 4)]
    assert there.ask("SELECT run, outcome FROM attempt") == [(3, "interrupted")]
    assert there.done() == once("before", "held") + Counter({("reads", "held"): 1})
    assert there.keys("held") == there.keys("held", "reads") | there.keys("held", "ends")


def test_a_start_on_a_full_disk_names_the_folder(machine: Make) -> None:
    there = machine(Tiny)
    there.disk.refuse()
    code, said = there.drain()
    assert (code, said.count("\n")) == (4, 1)
    assert said.startswith("error: the ")
    assert f" {there.state}" in said


def test_a_restart_on_a_full_disk_names_the_journal_and_loses_nothing(machine: Make) -> None:
    there = machine(Tiny)
    there.drop("before")
    assert there.drain() == (0, "")
    there.disk.refuse()
    code, said = there.drain()
    assert (code, said.count("\n")) == (4, 1)
    assert said.startswith("error: the journal ")
    assert f"{there.state}/journal.db" in said
    there.disk.accept()
    there.drop("after")
    assert there.drain() == (0, "")
    assert there.done() == once("before", "after")


def test_what_is_sent_to_a_full_disk_is_refused_whole(machine: Make) -> None:
    there = machine(Tiny)
    assert there.drain() == (0, "")
    there.disk.refuse()
    code, said = there("send", "Wanted", "--state", str(there.state))
    assert (code, said.count("\n")) == (4, 1)
    assert said.startswith(f"error: the inbox {there.state}/inbox cannot be written (")
    there.disk.accept()
    assert not list((there.disk.seen / "state" / "inbox").iterdir())


def test_an_app_that_sends_to_a_full_disk_hears_it_and_hands_nothing_in(tmp_path: Path) -> None:
    disk, process = Capped(tmp_path / "disk"), os.getpid()
    app = App("disk")
    app.send(Long(), state=disk.path / "state")
    disk.refuse(process)
    try:
        with pytest.raises(StateError, match=r"the inbox .*/disk/state/inbox cannot be written \(File too large\)"):
            app.send(Long(text="x" * 2000), state=disk.path / "state")
    finally:
        disk.accept(process)
    assert [file.suffix for file in (disk.path / "state" / "inbox").iterdir()] == [".jsonl"]


@pytest.mark.parametrize(
    ("words", "new"), [(["run", "app.py"], True), (["run", "app.py"], False), (["send", "Wanted"], True)]
)
def test_a_state_folder_that_is_read_only_is_named(machine: Make, words: list[str], new: bool) -> None:
    there = machine(Tiny)
    if not new:
        assert there.drain() == (0, "")
    there.disk.seal()
    code, said = there(*words, "--state", str(there.state))
    assert (code, said.count("\n")) == (4, 1)
    assert said.startswith(f"error: the state folder {there.state} cannot be used: ")


def test_an_output_place_that_is_read_only_is_named_in_the_dead_letter(machine: Make) -> None:
    there = machine(Tiny)
    there.state = there.home / "state"
    there.disk.seal()
    assert there("send", "Wanted", "--state", str(there.state))[0] == 0
    code, said = there("run", "app.py", "--state", str(there.state), "--drain")
    assert code == 1
    assert f"'{there.disk.path}/out'" in said

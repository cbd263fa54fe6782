"""The pipeline that is killed, in processes of its own, and what must hold of its chains whatever was done to it."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import apsw
import psutil
from click.testing import CliRunner

from tests.crash.deadly import arm
from tests.kit import PATIENCE

ROOT = Path(__file__).parents[2]
STEPS = ("ObjectCreated", "First", "Second", "Third")
NAP = 0.005
"""Seconds between two looks."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pytest", "tests.crash.chains", "triggers.commands", "triggers.executor"])
"""What a process needs is loaded once for all: hundreds of them are started."""


class Home:
    """A folder with everything of one pipeline: what comes in, its state, its effects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped = 0
        self._processes: list[ForkServerProcess] = []
        for name in ("in", "effects"):
            (path / name).mkdir(parents=True)

    def drop(self, files: int) -> None:
        """Have so many new files appear, each whole."""
        for n in range(self.dropped, self.dropped + files):
            unfinished = self.path / "in" / f".{n}.tmp"
            unfinished.write_text(f"content {n}")
            unfinished.rename(self.path / "in" / f"{n}.csv")
        self.dropped += files

    def start(self, *point: str) -> ForkServerProcess:
        """Start the app, which drains and ends. It dies at a point if one is given, see `deadly`."""
        return self._start(_work, point)

    def started(self) -> ForkServerProcess:
        """Start the app, and return when it has begun. It goes on until it is told that this is `enough`."""
        self._line, theirs = _context.Pipe()
        process = self._start(_work, (), theirs)
        theirs.close()
        assert self._line.poll(PATIENCE)
        assert self._line.recv() == "started"
        return process

    def command(self) -> ForkServerProcess:
        """Start the app by `triggers run`, as an operator does. It goes on until it is stopped."""
        return self._start(_run)

    def _start(self, work: Callable[..., None], *arguments: object) -> ForkServerProcess:
        process = _context.Process(target=work, args=(self.path, *arguments), daemon=True)
        process.start()
        self._processes.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs, frozen or not."""
        for process in self._processes:
            process.kill()
            process.join()

    def enough(self) -> None:
        """Have the app end as soon as it has drained."""
        self._line.close()

    def workers(self) -> list[psutil.Process]:
        """Return the processes of isolated handlers."""
        return [one for one in self._mine() if "triggers.executor.worker" in (one.info["cmdline"] or ())]

    def abandoned(self) -> list[list[str]]:
        """Return what is still at work ten seconds after the app has ended."""
        return [one.info["cmdline"] for one in psutil.wait_procs(self._mine(), timeout=10)[1]]

    def _mine(self) -> list[psutil.Process]:
        every = psutil.process_iter(["environ", "cmdline"])
        return [one for one in every if (one.info["environ"] or {}).get("CRASH_HOME") == str(self.path)]

    def applied(self) -> int:
        """Return how many effects there are."""
        return sum(not name.endswith(".tmp") for name in os.listdir(self.path / "effects"))

    def wait(self, effects: int, seconds: float = PATIENCE) -> None:
        """Return when there are so many effects. Time for which the machine stands still does not count."""
        for _ in range(round(seconds / NAP)):
            if (there := self.applied()) >= effects:
                return
            time.sleep(NAP)
        raise AssertionError(f"{there} effects after {seconds:g} s, not {effects}: {self.said()[-3000:]}")

    def said(self) -> str:
        """Return what the processes have said on stderr."""
        path = self.path / "stderr"
        return path.read_text() if path.exists() else ""

    def drain(self) -> None:
        """Run the app to its end."""
        process = self.start()
        process.join(PATIENCE)
        assert process.exitcode == 0, f"exit code {process.exitcode}: {self.said()[-3000:]}"

    def check(self) -> Counter[str]:
        """Prove that nothing is lost and nothing is applied under two keys; return what the runs went through."""
        assert unwell(self.path / "state") == []
        connection = apsw.Connection(str(self.path / "state" / "journal.db"))
        self._check_rows(connection)
        journal = connection.execute("SELECT value FROM meta WHERE name = 'id'").get
        runs = connection.execute("SELECT number, route FROM run")
        self._check_effects({f"{journal}-r{run}": route for run, route in runs})
        outcomes = Counter(outcome for (outcome,) in connection.execute("SELECT outcome FROM attempt"))
        connection.close()
        return outcomes

    def _check_rows(self, connection: apsw.Connection) -> None:
        kinds = dict(connection.execute("SELECT type, count(*) FROM event GROUP BY type"))
        assert kinds == dict.fromkeys(STEPS, self.dropped)
        assert list(connection.execute("SELECT DISTINCT state FROM run")) == [(3,)]
        for route, event in connection.execute("SELECT route, count(DISTINCT event) FROM run GROUP BY route"):
            assert event == self.dropped, route
        chains = list(connection.execute("SELECT count(*), count(DISTINCT type) FROM event GROUP BY root"))
        assert chains == [(len(STEPS), len(STEPS))] * self.dropped

    def _check_effects(self, expected: dict[str, str]) -> None:
        """Prove that each run has one effect, under its key. `expected` are the routes of all keys."""
        effects = [path for path in (self.path / "effects").iterdir() if path.suffix != ".tmp"]
        applied = {path.name: path.read_text().split(" ", 1) for path in effects}
        assert {key: route for key, (route, _) in applied.items()} == expected
        contents: dict[str, set[str]] = defaultdict(set)
        for route, content in applied.values():
            contents[route].add(content)
        assert contents["one"] == {f"content {n}" for n in range(self.dropped)}
        assert contents["two"] == contents["three"] == {f"{n}.csv" for n in range(self.dropped)}
        keys: dict[tuple[str, str], set[str]] = defaultdict(set)
        for key, route, content in self.log():
            keys[route, content].add(key)
            assert applied[key] == [route, content], "one key was used for two effects"
        assert all(len(used) == 1 for used in keys.values()), "one effect was applied under two keys"

    def log(self) -> list[tuple[str, str, str]]:
        """Return each application of an effect: its key, by which route, and of what."""
        lines = (self.path / "effects.log").read_text().splitlines()
        return [(key, route, content) for key, route, _, content in (line.split(" ", 3) for line in lines)]


def unwell(state: Path) -> list[str]:
    """Return what `doctor --deep` has against a state folder."""
    from triggers.commands import cli

    found = CliRunner().invoke(cli, ["doctor", "--deep", "--json", "--state", str(state)], prog_name="triggers")
    about = ("state folder", "inbox rejected", "journal", "journal integrity", "journal rows", "state files")
    findings = json.loads(found.stdout)["findings"]
    return [one["seen"] for one in findings if one["what"] in about and one["verdict"] != "ok"]


def _settle_in(home: Path) -> None:
    """Make this process one of that pipeline."""
    os.chdir(ROOT)
    os.environ["CRASH_HOME"] = str(home)
    os.dup2(os.open(home / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)


def _work(home: Path, point: Sequence[str], line: Connection | None = None) -> None:
    """Run the pipeline in this process until it is drained."""
    _settle_in(home)
    if point:
        when, what, at = point
        arm(when, what, int(at))
    asyncio.run(_drained(line))


def _run(home: Path) -> None:
    from triggers.commands import cli

    _settle_in(home)
    cli(["run", "tests.crash.pipeline", "--state", str(home / "state"), "-q"], prog_name="triggers")


async def _drained(line: Connection | None) -> None:
    from tests.crash.pipeline import HOME, app  # made where `CRASH_HOME` says
    from triggers.engine import Engine
    from triggers.state import StateFolder

    async with Engine(app, StateFolder(HOME / "state")) as engine:
        if line:
            line.send("started")
            with suppress(EOFError):
                await asyncio.to_thread(line.recv)
        await engine.drained()

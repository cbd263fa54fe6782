"""Kill -9 at one chosen moment each: of a send, a run, a retention round, a request. What follows sets it right."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.kit import PATIENCE
from triggers.commands.requesting import hand_in
from triggers.engine import Engine
from triggers.requests import Redrive
from triggers.state import StateFolder

ROOT = Path(__file__).parents[2]
APP = """
from pathlib import Path
from triggers import App, Context, Event, Reject, Retry

HOME = Path(__file__).parent
DAYS = float((HOME / "days").read_text())

class Job(Event):
    n: int

class Ended(Event):
    n: int

app = App("moments", retention=DAYS, retry=Retry(attempts=9, initial=0, maximum=0))

@app.on(Job)
def work(event: Job, ctx: Context) -> Ended:
    if event.n >= 10 and (HOME / "broken").exists():
        raise Reject("broken")
    unfinished = HOME / "effects" / f".{ctx.effect_key}"
    unfinished.write_text(str(event.n))
    unfinished.rename(unfinished.with_name(ctx.effect_key))
    return Ended(n=event.n)

@app.on(Ended)
async def last(event: Ended, ctx: Context) -> None:
    (HOME / "effects" / ctx.effect_key).write_text(f"last {event.n}")
"""


class Home:
    """A folder with an app that is killed in a process of its own, and started again in the test's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = StateFolder(path / "state")
        (path / "effects").mkdir()
        (path / "app.py").write_text(APP)
        self.keep(30)

    def keep(self, days: float) -> None:
        """Set the retention."""
        (self.path / "days").write_text(str(days))

    def killed(self, when: str, what: str, *words: str, at: int = 1, input: str | None = None) -> None:
        """Call a command that is killed at this point."""
        command = [sys.executable, "-m", "tests.crash.deadly", when, what, str(at), *words, "--state", "state"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=self.path, env=environment, input=input, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == -signal.SIGKILL, f"it never came to that point:\n{done.stderr}"

    def send(self, *numbers: int) -> None:
        app = self._app()
        app["app"].send(*(app["Job"](n=n) for n in numbers), state=self.state.path)

    def redrive(self, *runs: int) -> None:
        hand_in(self.state, [Redrive(runs=list(runs))])

    def drain(self) -> None:
        """Have the app do what there is to do."""

        async def drained() -> None:
            async with Engine(self._app()["app"], StateFolder(self.state.path)) as engine:
                await asyncio.wait_for(engine.drained(), PATIENCE)

        asyncio.run(drained())

    def _app(self) -> dict[str, Any]:
        app: dict[str, Any] = {"__name__": "moments", "__file__": str(self.path / "app.py")}
        exec(APP, app)
        return app

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        connection = apsw.Connection(str(self.path / "state" / "journal.db"))
        assert connection.pragma("integrity_check") == "ok"
        found = list(connection.execute(sql))
        connection.close()
        return found

    def effects(self) -> list[str]:
        """Return what was done, once for each effect key."""
        return sorted(file.read_text() for file in (self.path / "effects").iterdir() if file.name[0] != ".")


RUN = ("run", "app.py", "--drain", "-q")
TWO = '{"n":1}\n{"n":2}\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("what", "at", "handed_in"),
    [("open:state/inbox/.", 1, 0), ("os.rename:/inbox/", 1, 0), ("open:state/inbox", 2, 2)],
    ids=["before the file", "before its name", "before the folder is synced"],
)
def test_a_send_that_is_killed_hands_in_all_or_nothing(home: Home, what: str, at: int, handed_in: int) -> None:
    home.killed("call", what, "send", "Job", "-", at=at, input=TWO)
    home.drain()
    assert home.effects() == sorted([*"12", "last 1", "last 2"][: 2 * handed_in])
    home.send(3)
    home.drain()
    assert home.effects()[-1] == "last 3"
    assert home.ask("SELECT count(*) FROM identity") == [(handed_in + 1,)]


@pytest.mark.parametrize(
    ("when", "what", "done", "interrupted"),
    [
        ("after", "INSERT INTO run", [], 0),
        ("committed", "INSERT INTO run", [], 1),
        ("call", "os.rename:/effects/", [], 1),
        ("after", "UPDATE run SET state = 3", ["1"], 1),
        ("committed", "UPDATE run SET state = 3", ["1"], 1),
        ("call", "os.remove:/inbox/", None, None),
    ],
    ids=[
        "before the claim's commit",
        "between the claim's commit and the handler",
        "in the handler",
        "between the handler's end and its commit",
        "after that commit",
        "before the inbox is told",
    ],
)
def test_a_run_that_is_killed_ends_well_and_once_for_each_effect_key(
    home: Home, when: str, what: str, done: list[str] | None, interrupted: int | None
) -> None:
    home.send(1)
    home.killed(when, what, *RUN)
    assert done is None or home.effects() == done
    home.drain()
    assert home.effects() == ["1", "last 1"]
    assert home.ask("SELECT route, state FROM run ORDER BY route") == [("last", 3), ("work", 3)]
    assert home.ask("SELECT type FROM event ORDER BY number") == [("Job",), ("Ended",)]
    assert not list((home.path / "state" / "inbox").iterdir())
    if interrupted is not None:
        assert home.ask("SELECT count(*) FROM attempt WHERE outcome = 'interrupted'") == [(interrupted,)]


@pytest.mark.parametrize(
    ("when", "what"),
    [("after", "DELETE FROM run"), ("after", "DELETE FROM event"), ("committed", "DELETE FROM event")],
)
def test_a_round_of_retention_that_is_killed_leaves_whole_chains_and_the_dead_letters(
    home: Home, when: str, what: str
) -> None:
    (home.path / "broken").touch()
    home.send(1, 2, 3, 10)
    home.drain()
    home.keep(days=1e-9)
    home.killed(when, what, *RUN)
    assert not home.ask("SELECT * FROM run WHERE event NOT IN (SELECT number FROM event)")
    assert not home.ask("SELECT * FROM attempt WHERE run NOT IN (SELECT number FROM run)")
    assert home.ask("SELECT count(*) FROM run WHERE state = 4") == [(1,)]
    highest = home.ask("SELECT max(number) FROM run")
    home.drain()
    assert home.ask("SELECT max(number) FROM run") == highest
    assert home.ask("SELECT count(*) FROM run WHERE state = 4") == [(1,)]
    (home.path / "broken").unlink()
    home.redrive(4)
    home.drain()
    assert home.effects() == ["1", "10", "2", "3", "last 1", "last 10", "last 2", "last 3"]


def test_a_redrive_whose_hand_in_is_killed_is_handed_in_whole_or_not_at_all(home: Home) -> None:
    (home.path / "broken").touch()
    home.send(10, 11)
    home.drain()
    home.killed("call", "os.rename:/requests/", "dead", "redrive", "--all")
    home.drain()
    assert home.ask("SELECT type, count(*) FROM event WHERE source = 'cli' GROUP BY 1") == []
    home.killed("call", "open:state/requests", "dead", "redrive", "--all", at=2)
    (home.path / "broken").unlink()
    home.drain()
    assert home.effects() == ["10", "11", "last 10", "last 11"]


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("after", "UPDATE run SET state = 0, attempt = 0"),
        ("committed", "UPDATE run SET state = 0, attempt = 0"),
        ("call", "os.remove:/requests/"),
    ],
    ids=["before its commit", "after its commit", "before its file is removed"],
)
def test_a_redrive_that_is_killed_while_it_is_carried_out_is_carried_out_once(home: Home, when: str, what: str) -> None:
    (home.path / "broken").touch()
    home.send(10, 11)
    home.drain()
    home.redrive(1, 2)
    home.killed(when, what, *RUN)
    home.drain()
    assert home.ask("SELECT state, count(*) FROM run WHERE route = 'work' GROUP BY 1") == [(4, 2)]
    assert home.ask("SELECT count(*) FROM event WHERE source = 'cli'") == [(1,)]
    drives = home.ask("SELECT run, count(*) FROM attempt WHERE outcome = 'dead' GROUP BY run ORDER BY run")
    assert drives == [(1, 2), (2, 2)]
    assert not list((home.path / "state" / "requests").iterdir())

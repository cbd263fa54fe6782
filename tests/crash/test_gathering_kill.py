"""Kill -9 between the commit in which a batch is whole and the one that makes its run, and right after the latter."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import PATIENCE, Life
from triggers import App, Batch, Event

ROOT = Path(__file__).parents[2]

DRIVER = """
import os, signal, sys
from pathlib import Path
from tests.crash.test_gathering_kill import Row, app
from tests.kit import Life
from triggers.dispatcher import Dispatcher
from triggers.gathering import Gathering

def killed(self, found, *rest):
    if type(self) is Dispatcher or found.ended:
        os.kill(os.getpid(), signal.SIGKILL)

setattr(*{"told": (Gathering, "_tell"), "started": (Dispatcher, "_start")}[sys.argv[2]], killed)
Life(app([]), Path(sys.argv[1]), durable=True, threaded=True).send(Row(n=0), Row(n=1))
"""


class Row(Event):
    n: int


def app(called: list[list[int]]) -> App:
    made = App("a")

    @made.on(Row, batch=Batch(2, within=60))
    async def load(events: list[Row]) -> None:
        called.append([event.n for event in events])

    return made


@pytest.mark.parametrize("moment", ["told", "started"])
def test_a_batch_is_run_whenever_the_process_was_killed(tmp_path: Path, moment: str) -> None:
    state = tmp_path / "state"
    command = [sys.executable, "-c", DRIVER, str(state), moment]
    assert subprocess.run(command, cwd=ROOT, timeout=PATIENCE, check=False).returncode == -signal.SIGKILL
    called: list[list[int]] = []
    life = Life(app(called), state)
    life.settle()
    assert called == [[0, 1]]
    assert [run.state for run in life.runs()] == ["done"]
    life.stop()

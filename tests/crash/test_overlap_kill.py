"""Kill -9 while a firing's run is open: what `overlap=` says of the next one holds in the process that comes after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.crash.overlapping import GATE, NOON, REAL, app_of, dealt_with, told
from tests.kit import Life
from triggers import Tick
from triggers.testing import FakeClock

ROOT = Path(__file__).parents[2]
SECOND = "INSERT INTO run"

MOMENTS: dict[str, tuple[int, Sequence[str]]] = {
    "the first is at work": (1, ()),
    "the second is not durable": (2, ("after", SECOND, "2")),
    "the second is durable": (2, ("committed", SECOND, "2")),
    "the second is dealt with": (2, ()),
}
"""How many firings there were when the process is killed, and the point where it is, see `overlapping.die`."""

Start = Callable[[str, str, str], tuple[list[str], Life]]

each = pytest.mark.parametrize(
    ("kind", "moment"), [*(("coroutine", moment) for moment in MOMENTS), ("isolated", "the second is dealt with")]
)


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that starts the app, kills it, and returns what it told and the app's next life, at 12:12."""
    monkeypatch.chdir(tmp_path)
    lives: list[Life] = []

    def start(overlap: str, kind: str, moment: str) -> tuple[list[str], Life]:
        script = f"from tests.crash.overlapping import die; die({overlap!r}, {kind!r}, *{MOMENTS[moment]!r})"
        command = [sys.executable, "-c", script]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == -signal.SIGKILL, f"it never came to that point:\n{done.stderr}"
        before = told()
        life = Life(app_of(overlap, kind), Path("state"), FakeClock(NOON + timedelta(minutes=12)), **REAL)
        lives.append(life)
        life.until(lambda: len(told()) > len(before) and dealt_with(life))
        return before, life

    yield start
    with opened():
        for life in lives:
            life.end()


@contextmanager
def opened() -> Iterator[None]:
    """Let everybody through the gate."""
    gate = os.open(GATE, os.O_RDWR)
    yield
    os.close(gate)


def finish(life: Life) -> list[str]:
    """Open the gate, let it become 12:16, and return how the runs have ended, having seen each instant fire once."""
    with opened():
        life.settle()
        life.advance(240)
    assert [Tick.model_validate_json(text).due.minute for text in life.data(Tick)] == [5, 10, 15]
    return [run.state for run in life.runs("job")]


@each
def test_skip_carries_out_the_first_again_and_drops_the_second(killed: Start, kind: str, moment: str) -> None:
    before, life = killed("skip", kind, moment)
    assert before == ["begins 5"]
    assert finish(life) == ["done", "dropped", "done"]
    assert told()[1:] == ["begins 5", "ends 5", "begins 15", "ends 15"]


@each
def test_queue_carries_out_the_first_again_and_then_the_second(killed: Start, kind: str, moment: str) -> None:
    before, life = killed("queue", kind, moment)
    assert before == ["begins 5"]
    assert finish(life) == ["done", "done", "done"]
    assert told()[1:] == ["begins 5", "ends 5", "begins 10", "ends 10", "begins 15", "ends 15"]


@each
def test_replace_drops_the_first_and_carries_out_the_second(killed: Start, kind: str, moment: str) -> None:
    before, life = killed("replace", kind, moment)
    assert finish(life) == ["dropped", "done", "done"]
    after = told()[len(before) :]
    if moment in ("the first is at work", "the second is not durable"):
        after = [line for line in after if line != "begins 5"]  # it may have begun again before the second fired
    assert after == ["begins 10", "ends 10", "begins 15", "ends 15"]

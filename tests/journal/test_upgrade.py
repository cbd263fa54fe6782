"""A state of every released version of the schema opens, is brought forward, and is worked off."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.journal.states import FOLDER, Arrived, Work, load
from tests.kit import Start, delivery
from triggers.journal.schema import read_pragma
from triggers.journal.soundness import unsound
from triggers.state import SCHEMA_VERSION
from triggers.testing import FakeClock

DIED = 5400.0
"""Seconds after the start of the fake clock at which the process died that left the states."""
LEFT = {*(f"{step} {n}" for step in ("clean", "train") for n in (2, 3)), *(f"train {n}" for n in (5, 6, 7, 8))}
"""What was to be done yet."""


def clock() -> FakeClock:
    clock = FakeClock()
    clock.step(clock.monotonic() + DIED)
    return clock


def test_there_is_a_state_of_each_older_version() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{version}.sql" for version in range(1, SCHEMA_VERSION)}


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_older_state_is_brought_forward_and_worked_off(version: int, start: Start, tmp_path: Path) -> None:
    load(version, tmp_path / "state")
    work = Work(broken=False)
    life = start(work.app, clock())
    life.accept(delivery(Arrived(n=1), id="a1"), delivery(Arrived(n=9), id="a9"))
    life.advance(3600)
    assert {run.number for run in life.runs() if run.state != "done"} == {4}, "the one that was dead"
    assert set(work.done.values()) == LEFT | {"report 2", "clean 9", "train 9"}
    life.stop()
    with closing(apsw.Connection(str(tmp_path / "state" / "journal.db"))) as connection:
        assert read_pragma(connection, "user_version") == SCHEMA_VERSION
        assert unsound(connection) == []

"""A power loss or a kill while an older journal is brought forward: the next start goes on with it."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.journal.states import Work, load
from tests.journal.test_upgrade import LEFT, clock
from tests.kit import Life
from tests.torture import TIMES
from tests.torture.storage import Platter, heard
from triggers.journal.schema import read_pragma
from triggers.journal.soundness import unsound
from triggers.state import SCHEMA_VERSION

SEED = 20261123
SHARE = 0.05 if TIMES == 1 else 1.0
"""Of all operations: before how many the upgrade is cut off, each time in a copy of its own."""


def cut_off(version: int, home: Path) -> list[Path]:
    """Start on an older state, and return what is left of it where that was cut off."""
    load(version, home / "state")
    platter, chance, left = Platter(), random.Random(SEED + version), list[Path]()
    platter.hold(home / "state")

    def cut(operation: str) -> None:
        if chance.random() < SHARE or not left:
            left.append(home / str(len(left)))
            left[-1].mkdir()
            platter.lose(left[-1], chance, killed=chance.random() < 0.5)

    with heard(platter):
        platter.before = cut
        life = Life(Work(broken=False).app, home / "state", clock(), threaded=True, durable=True)
        platter.before = lambda operation: None
        life.crash()
    return left


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_upgrade_that_is_cut_off_anywhere_is_carried_on(version: int, tmp_path: Path) -> None:
    states = cut_off(version, tmp_path)
    for state in states:
        work = Work(broken=False)
        life = Life(work.app, state, clock())
        life.settle()
        life.advance(3600)
        assert {run.number for run in life.runs() if run.state != "done"} == {4}, "the one that was dead"
        assert set(work.done.values()) == LEFT | {"report 2"}
        life.stop()
        with closing(apsw.Connection(str(state / "journal.db"))) as connection:
            assert read_pragma(connection, "user_version") == SCHEMA_VERSION
            assert connection.pragma("integrity_check") == "ok"
            assert unsound(connection) == []
    print("version", version, "cut off", len(states), "times")

"""Kill -9 in the midst of many rows: the next start goes on at the last checkpoint that was written down."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.crash.chains import ROOT
from tests.crash.rows import ROWS
from tests.kit import PATIENCE


def start(home: Path, isolated: bool) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "CRASH_HOME": str(home), "PYTHONPATH": str(ROOT), "ISOLATED": str(int(isolated)),
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "-m", "tests.crash.rows"], cwd=ROOT, env=environment)


def rows(home: Path) -> list[int]:
    """Return the rows that were gone through; the last line of a killed process may be none."""
    log = home / "log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.mark.parametrize("isolated", [False, True], ids=["in a thread", "isolated"])
def test_after_a_kill_only_the_rows_of_about_a_second_are_gone_through_again(tmp_path: Path, isolated: bool) -> None:
    process = start(tmp_path, isolated)
    while len(rows(tmp_path)) < 600:
        assert process.poll() is None
        time.sleep(0.005)
    others = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    assert psutil.wait_procs(others, PATIENCE)[1] == []  # the guardian ends what is isolated
    before = rows(tmp_path)
    assert start(tmp_path, isolated).wait(60) == 0
    after = rows(tmp_path)[len(before) :]
    assert len(before) < ROWS
    assert after[0] > 0
    assert after == list(range(after[0], ROWS))
    assert sorted({*before, *after}) == list(range(ROWS))

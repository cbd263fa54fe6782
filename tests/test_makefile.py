"""`make run`, as somebody at a terminal sees it; and that `make unit` leaves no test out."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WATCHING = f"""#!{sys.executable}
import sys
try:
    print("watching", flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    sys.exit(EXIT)
"""


@pytest.mark.parametrize(("code", "complains"), [(130, False), (1, True)])
def test_a_clean_ctrl_c_of_make_run_is_no_error(tmp_path: Path, code: int, complains: bool) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(WATCHING.replace("EXIT", str(code)))
    python.chmod(0o755)
    (tmp_path / ".installed").touch()
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell starts in the background ignores it
        os.execvp("make", ["make", "-C", str(ROOT), "run", f"VENV={tmp_path}"])
    heard = b""
    while select.select([terminal], [], [], 20)[0]:
        try:
            said = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        heard += said
        if b"watching" in said:
            os.write(terminal, b"\x03")
    os.close(terminal)
    os.waitpid(process, 0)
    assert b"watching" in heard
    assert (b"] Error" in heard) == complains, heard  # make itself may complain of a child that ended before it looked


def files_of(command: str) -> set[Path]:
    """Return the files with tests that a command of pytest collects."""
    left = [ROOT / path for path in re.findall(r"--ignore=(\S+)", command)]
    named = [ROOT / path for path in re.findall(r" (tests\S*)", command)] or [ROOT / "tests"]
    found = {file for path in named for file in (path.rglob("test_*.py") if path.is_dir() else [path])}
    return {file for file in found if not any(file.is_relative_to(path) for path in left)}


def test_every_test_is_in_one_of_the_groups_and_in_one_alone() -> None:
    asked = ["make", "-C", str(ROOT), "--dry-run", "--assume-old=.venv/.installed", "test"]
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(asked, env=mine, capture_output=True, text=True, check=True).stdout
    groups = [files_of(line) for line in said.splitlines() if " -m pytest" in line]
    assert len(groups) == 8  # and that of the types
    assert Counter(file for group in groups for file in group) == Counter((ROOT / "tests").rglob("test_*.py"))

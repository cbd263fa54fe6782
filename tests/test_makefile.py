"""`make run`, as somebody at a terminal sees it."""

from __future__ import annotations

import os
import pty
import select
import sys
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
    assert (b"] Error" in heard) == complains  # make itself may complain of a child that ended before it looked

"""Handlers that take more than they may, by ways that a look now and then does not see."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.jobs import Job, Result


def forsakes(event: Job) -> Result:
    """Have `n` MiB in a process that leads a session of its own, and whose parent has ended."""
    code = f"x = bytearray(b'x') * ({event.n} << 20); import time; time.sleep(60)"
    line = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {code!r}], start_new_session=True)"
    subprocess.run([sys.executable, "-c", line], check=True)
    threading.Event().wait(float(event.text))
    return Result(n=event.n)


def reads(event: Job) -> Result:
    """Write a file of `n` MiB and read it."""
    path = Path(event.text)
    with path.open("wb") as file:
        for _ in range(event.n):
            file.write(b"x" * (1 << 20))
    with path.open("rb") as file:
        return Result(n=sum(len(block) for block in iter(lambda: file.read(1 << 16), b"")) >> 20)


def stays(event: Job) -> None:
    """Start what outlives this process, say where, and never end."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(event.text).write_text(f"{os.getppid()} {child.pid}")
    threading.Event().wait()

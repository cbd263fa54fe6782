"""Runs that a real kernel keeps to their memory by control groups.

`make cgroups` boots User Mode Linux with a group that is handed over as systemd does it, and runs these tests in it.
They are not among the default ones, as machines where this can be proved are rare; nothing is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests import jobs
from tests.cgroup import apps
from tests.jobs import Job
from tests.kit import Life
from triggers import App, Retry, kernel
from triggers.cgroup import WORKER, delegation

Start = Callable[..., Life]
MIB = 2**20


def folder() -> Path:
    """Return the group that was handed over to this process."""
    found = delegation(kernel.membership(), os.getpid())
    assert found.folder, found.said
    return found.folder


def groups() -> list[str]:
    return [group.name for group in folder().glob(f"{WORKER}.*")]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(handler: Any, memory: str, **policy: Any) -> Life:
        app = App("a", processes=1)
        app.on(Job, isolate=True, needs={"memory": memory}, **{"retry": Retry(attempts=1), **policy})(handler)
        lives.append(Life(app, tmp_path / "state"))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def usage(life: Life) -> list[float]:
    return [memory / MIB for (memory,) in life.ask("SELECT memory FROM usage ORDER BY run, attempt")]


def test_the_kernel_ends_a_run_at_its_limit_and_the_next_attempt_has_half_as_much_again(start: Start) -> None:
    life = start(jobs.grows, "100MiB", retry=Retry(on=OSError, attempts=2))
    life.send(Job(n=110))
    life.advance(600)
    assert life.states() == [("done", 2)], life.runs()
    error = life.attempts(1)[0].error or ""
    assert "had all of the 100MiB of memory that its run may have and took more, so the kernel ended it" in error
    assert 110 < usage(life)[-1] < 150


def test_a_process_whose_parent_has_ended_counts_too(start: Start) -> None:
    life = start(apps.forsakes, "100MiB")
    life.send(Job(n=150, text="30"))
    assert "so the kernel ended it" in (life.runs()[0].error or ""), life.runs()


def test_what_the_kernel_keeps_of_files_is_no_memory_of_the_run(start: Start) -> None:
    life = start(apps.reads, "100MiB")
    with TemporaryDirectory(dir="/var/tmp") as disk:  # /tmp may be memory
        life.send(Job(n=200, text=f"{disk}/large"))
    assert life.states() == [("done", 1)], life.runs()
    assert usage(life)[0] < 90
    peaks = [float((folder() / group / "memory.peak").read_text()) / MIB for group in groups()]
    assert max(peaks) > 90, "the kernel's own peak would have said that the run needs all that it may have"


def test_a_warm_process_has_the_limit_of_each_run_and_its_group_ends_with_it(start: Start) -> None:
    life = start(jobs.grows, "100MiB", retry=Retry(attempts=1))
    for n in (60, 10):
        life.send(Job(n=n))
    (group,) = groups()
    assert (folder() / group / "memory.max").read_text().split() == [str(100 * MIB)]
    assert life.states() == [("done", 1)] * 2
    life.stop()
    assert groups() == []


LIFE = """
import sys
from pathlib import Path
from tests.cgroup import apps
from tests.jobs import Job
from tests.kit import Life
from triggers import App
app = App("a")
app.on(Job, isolate=True)(apps.stays)
life = Life(app, Path(sys.argv[1]))
life.append(Job(text=sys.argv[2]))
life.run(life.engine.forever())
"""


def test_what_a_killed_dispatcher_leaves_is_ended_and_removed_at_the_next_start(start: Start, tmp_path: Path) -> None:
    said = tmp_path / "said"
    os.mkfifo(said)
    life = start(jobs.good, "100MiB")
    life.send(Job())  # this process makes room for others, as each dispatcher does
    life.stop()
    child = subprocess.Popen([sys.executable, "-c", LIFE, str(tmp_path / "other"), str(said)])
    dispatcher, stray = map(int, said.read_text().split())
    assert dispatcher == child.pid
    child.kill()
    child.wait()
    life = start(jobs.good, "100MiB")
    (left,) = groups()
    assert f".{dispatcher}." in left
    assert kernel.birth_of(stray) is not None, "it has left the process group, so that nobody else ends it"
    life.send(Job())
    life.until(lambda: kernel.birth_of(stray) is None or "Z" in Path(f"/proc/{stray}/stat").read_text())
    life.stop()
    assert groups() == []

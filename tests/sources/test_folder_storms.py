"""Storms of files over a real app in a process of its own: nothing is lost, twice or seen half-written."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import producers
from tests.sources.running import Intake

OVERFLOWING = 9000
"""Files whose 18,000 events are more than the kernel's queue holds (16,384)."""
KILLS = 3

Start = Callable[..., Intake]


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder in memory where there is one: what is tested is not how fast a disk makes files."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    yield path
    shutil.rmtree(path)


def drop(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).write_text(name)


def test_more_files_than_the_kernels_queue_holds_while_the_app_stands_still(root: Path, intake: Start) -> None:
    app = intake()
    assert app.next() == ["idle"]
    names = [f"{n}.csv" for n in range(OVERFLOWING)]
    app.process.send_signal(signal.SIGSTOP)
    drop(root, names)
    app.process.send_signal(signal.SIGCONT)
    assert app.next(OVERFLOWING) == sorted(f"created {name}" for name in names)
    drop(root, ["probe"])
    assert app.next() == ["created probe"]
    assert sorted(app.keys()) == sorted([*names, "probe"])


def test_kills_in_the_midst_of_a_burst(root: Path, intake: Start) -> None:
    names = [f"{n}.csv" for n in range(4000)]
    app = intake()
    assert app.next() == ["idle"]
    writer = threading.Thread(target=drop, args=(root, names))
    writer.start()
    for _ in range(KILLS):
        app.next(200)
        app.end()
        app = intake()
    writer.join()
    while app.next() != ["idle"]:
        pass
    assert sorted(app.keys()) == sorted(names)


def test_folders_that_are_made_and_filled_at_once_and_files_that_are_renamed(root: Path, intake: Start) -> None:
    app = intake()
    assert app.next() == ["idle"]
    wanted = []
    for n in range(300):
        place = root / f"{n}/deep/er"
        place.mkdir(parents=True)
        for folder in (place, *list(place.parents)[:2]):
            (folder / "x.tmp").write_text("x")
            (folder / "x.tmp").rename(folder / "x.csv")
            wanted.append(str((folder / "x.csv").relative_to(root)))
    assert app.next(900) == sorted(f"created {key}" for key in wanted)
    drop(root, ["probe"])
    assert app.next() == ["created probe"]
    assert sorted(app.keys()) == sorted([*wanted, "probe"])


def test_files_that_come_while_it_is_down(root: Path, intake: Start) -> None:
    names = [f"{n}.csv" for n in range(2000)]
    drop(root, names[:1000])
    app = intake()
    assert app.next(1001) == sorted(["idle", *(f"created {name}" for name in names[:1000])])
    app.end()
    drop(root, names[1000:])
    app = intake()
    assert app.next(1001) == sorted(["idle", *(f"created {name}" for name in names[1000:])])
    assert sorted(app.keys()) == sorted(names)


def test_no_handler_sees_a_half_written_file(root: Path, intake: Start) -> None:
    app = intake(test_read=True)
    assert app.next() == ["idle"]
    ways = (producers.write_fast, producers.write_slowly, producers.append, producers.overwrite)
    writers = [threading.Thread(target=way, args=(root, 100)) for way in ways]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    seen, whole = Counter[str](), set[str]()
    while len(whole) < 400:
        (line,) = app.next()
        verdict, key = line.split()
        seen[verdict] += 1
        if verdict == "whole":
            whole.add(key)
    assert seen["partial"] == 0
    print(seen)


def test_the_close_of_a_mapped_file_is_the_end_of_its_mapping(root: Path, intake: Start) -> None:
    import mmap

    app = intake()
    assert app.next() == ["idle"]
    with open(root / "mapped.csv", "w+b") as file:
        file.truncate(1_000_000)
        mapped = mmap.mmap(file.fileno(), 0)
    drop(root, ["probe"])
    assert app.next() == ["created probe"]
    mapped[0:3] = b"end"
    mapped.close()
    assert app.next() == ["created mapped.csv"]


def test_what_is_moved_out_delays_nothing(root: Path, intake: Start, tmp_path: Path) -> None:
    app = intake(deletions=True)
    assert app.next() == ["idle"]
    for n in range(20):
        drop(root, [f"old{n}"])
        assert app.next() == [f"created old{n}"]
        (root / f"old{n}").rename(root.with_name(f"{root.name}-{n}"))
        drop(root, [f"new{n}"])
        assert app.next(2) == [f"created new{n}", f"deleted old{n}"]
        root.with_name(f"{root.name}-{n}").unlink()

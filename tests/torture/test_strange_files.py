"""Names that mean something elsewhere, links, pipes, sparse giants: each file is told once, and nothing else is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from click.testing import CliRunner

from tests.crash.chains import unwell
from tests.kit import Start
from tests.torture import TIMES
from triggers import App, Event, Folder, ObjectCreated
from triggers.commands import cli

EACH = TIMES
GIANT = 1 << 42
"""Bytes of a file that takes no room."""

NAMES = [
    b"new\nline", b"tab\tand\rreturn", b"bell\x07 and \x1b[2J", b"'; DROP TABLE run; --", b'"quoted"',
    b"%s %(n)d {0} {x}", b"-rf", b"$(reboot)`reboot`", b"*?[a-z]", b" spaces ",
    b"back\\slash", b"byte \xff", b"byte \\xff", b"\xed\xa0\x80",
    "e\u0301".encode(), "\u00e9".encode(), "\u202egnp.exe".encode(), "\U0001f600".encode(), b"a" * 240,
    b"deep/" * 700 + b"file", b"con", b"a\xc2\x85b\xe2\x80\xa8c", b"..double", b"name.csv/name.csv", b"http:?c=d#e&f",
]  # fmt: skip
"""As the system has them, all in one folder."""

Read = list[tuple[str, bytes]]
"""Keys, and how the files begin."""


class Measured(Event):
    key: str
    size: int


def app_of(folder: Path, read: Read) -> App:
    app = App("strange", sources=[Folder(folder, name="in", ignore=[])])

    @app.on(ObjectCreated)
    def measure(event: ObjectCreated) -> Measured:
        with event.open() as file:
            read.append((event.key, file.read(100)))
        return Measured(key=event.key, size=event.size)

    return app


def make(root: bytes) -> Read:
    """Make all files, and return what is to be told of them."""
    made = []
    for n in range(EACH):
        for kind, name in enumerate(NAMES):
            path, content = b"%d/" % n + name, b"content of %d/%d" % (kind, n)
            write(root, path, content)
            made.append((path.decode(errors="backslashreplace"), content))
    return made


def write(root: bytes, path: bytes, content: bytes) -> None:
    """Write a file whose path may be too long for one call."""
    *folders, name = path.split(b"/")
    place = os.open(root, os.O_DIRECTORY)
    for folder in filter(None, folders):
        if not os.access(folder, os.F_OK, dir_fd=place):
            os.mkdir(folder, dir_fd=place)
        place, above = os.open(folder, os.O_DIRECTORY, dir_fd=place), place
        os.close(above)
    with open(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=place), "wb") as file:
        file.write(content)
    os.close(place)


def litter(root: Path, outside: Path) -> None:
    """Make what is no file of the folder's own."""
    outside.mkdir()
    (outside / "secret").write_text("secret")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
    for n in range(EACH):
        os.mkfifo(root / f"fifo{n}.csv")
        (root / f"out{n}.csv").symlink_to(outside / "secret")
        (root / f"elsewhere{n}").symlink_to(outside)
        (root / f"round{n}").symlink_to(root)
        (root / f"itself{n}").symlink_to(f"itself{n}")
        (root / f"nowhere{n}").symlink_to("nothing")
        (root / f"folder{n}.csv").mkdir()


def test_each_file_is_told_once_and_is_itself_and_what_is_none_is_not_opened(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "in"
    root.mkdir()
    made, read = make(os.fsencode(root)), Read()
    litter(root, tmp_path / "outside")
    for n in range(EACH):
        with (root / f"giant{n}").open("wb") as file:
            file.truncate(GIANT)
        made.append((f"giant{n}", bytes(100)))
    life = start(app_of(root, read))
    life.settle()
    life.engine.intake.poke("in")
    life.settle()
    assert sorted(read) == sorted(made)
    told = [Measured.model_validate_json(text) for text in life.data(Measured)]
    assert sorted(event.key for event in told) == sorted(key for key, _ in made)
    assert {event.size for event in told if event.key.startswith("giant")} == {GIANT}
    assert set(life.states()) == {("done", 1)}
    life.stop()
    assert unwell(tmp_path / "state") == []
    shown = CliRunner().invoke(cli, ["events", "--state", str(tmp_path / "state")], prog_name="triggers")
    assert shown.exit_code == 0
    assert all(mark.isprintable() for line in shown.stdout.split("\n") for mark in line)

"""What SQLite's file system does, seen and meddled with: a disk that forgets what was not synced, one that fails.

It needs no privileges: it is a VFS of SQLite's own kind, which every connection of this process takes that is opened
meanwhile.
"""

from __future__ import annotations

import os
import random
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import apsw

SECTOR = 512
"""Bytes that a disk writes whole, or not at all."""


SYSTEM = apsw.vfs_names()[0]
"""The VFS that SQLite takes by default."""


class Hears(Protocol):
    """Who is told of each operation before it is carried out; what it raises is what the operation comes to."""

    def hear(self, operation: str, path: str, offset: int = 0, data: bytes = b"") -> None:
        """Hear of a `read`, a `write`, a `truncate` (to `offset` bytes), a `sync` or a `delete`."""
        ...


class _File(apsw.VFSFile):
    def __init__(self, ear: Hears, name: Any, flags: list[int]) -> None:
        super().__init__(SYSTEM, name, flags)
        self._ear = ear
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._ear.hear("read", self._path, offset)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        self._ear.hear("write", self._path, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._ear.hear("truncate", self._path, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._ear.hear("sync", self._path)
        super().xSync(flags)


class FileSystem(apsw.VFS):
    """What SQLite takes for the system's files from now on."""

    def __init__(self, ear: Hears) -> None:
        super().__init__("heard", SYSTEM, makedefault=True)
        self._ear = ear

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self._ear, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._ear.hear("delete", filename)
        super().xDelete(filename, syncdir)


@contextmanager
def heard(ear: Hears) -> Iterator[None]:
    """Have somebody hear of what is done to the files of the connections that are opened meanwhile."""
    system = FileSystem(ear)
    try:
        yield
    finally:
        apsw.set_default_vfs(SYSTEM)
        system.unregister()


class Platter:
    """What would still be there if the power failed now: the files as they were when they were synced last."""

    def __init__(self) -> None:
        self._synced: dict[str, bytearray] = {}
        self._cached: dict[str, list[tuple[int, bytes | None]]] = defaultdict(list)
        self.before: Callable[[str], None] = lambda operation: None
        """Called before each operation, which fails with what it raises."""

    def hear(self, operation: str, path: str, offset: int = 0, data: bytes = b"") -> None:
        try:
            self.before(operation)
        except apsw.Error:
            if operation == "sync":  # Linux takes the pages for clean then, and does not write them again
                self._cached.pop(path, None)
            raise
        if operation == "write":
            self._cached[path].append((offset, data))
        elif operation == "truncate":
            self._cached[path].append((offset, None))
        elif operation == "sync":
            _apply(self._synced.setdefault(path, bytearray()), self._cached.pop(path, []))
        elif operation == "delete":
            self._synced.pop(path, None)
            self._cached.pop(path, None)

    def hold(self, folder: Path) -> None:
        """Take the files that lie in a folder as synced."""
        self._synced.update((str(path), bytearray(path.read_bytes())) for path in folder.iterdir() if path.is_file())

    def lose(self, folder: Path, chance: random.Random, *, killed: bool = False) -> None:
        """Put into a folder what is left: all that was synced, and any sectors of what was not, torn as they come.

        Where only the process was `killed`, all of it is left.
        """
        for path in {*self._synced, *self._cached}:
            content = bytearray(self._synced.get(path, b""))
            parts = [part for write in self._cached.get(path, ()) for part in _sectors(*write)]
            kept = 1.0 if killed else chance.choice((0.0, 0.5, 0.9))
            _apply(content, [part for part in parts if chance.random() < kept])
            (folder / os.path.basename(path)).write_bytes(content)


def _sectors(offset: int, data: bytes | None) -> Iterator[tuple[int, bytes | None]]:
    if data is None:
        yield offset, None
        return
    at = 0
    while at < len(data):
        size = SECTOR - (offset + at) % SECTOR
        yield offset + at, data[at : at + size]
        at += size


def _apply(content: bytearray, writes: list[tuple[int, bytes | None]]) -> None:
    for offset, data in writes:
        if data is None:
            del content[offset:]
        else:
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data


class Synced:
    """The same of the plain files in a folder: each as it was at its last `fsync`, by the names of the folder's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, bytes] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of what this process syncs meanwhile."""
        sync = os.fsync

        def fsync(file: int) -> None:
            sync(file)
            self._see(file)

        vars(os)["fsync"] = fsync  # what is synced is told to nobody else
        try:
            yield
        finally:
            vars(os)["fsync"] = sync

    def _see(self, file: int) -> None:
        status = os.fstat(file)
        if not stat.S_ISDIR(status.st_mode):
            self._contents[status.st_ino] = Path(f"/proc/self/fd/{file}").read_bytes()
        elif self.folder.exists() and os.path.samestat(status, self.folder.stat()):
            found = os.scandir(self.folder)
            self._names = {entry.name: self._contents.get(entry.inode(), b"") for entry in found}

    def lose(self, folder: Path) -> None:
        """Put into a folder what is left. What was deleted since the last sync is there again."""
        folder.mkdir(parents=True)
        for name, content in self._names.items():
            (folder / name).write_bytes(content)

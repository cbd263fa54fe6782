"""A place that is a folder: files that are whole or absent, whoever looks and whenever the power fails."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from triggers import folders
from triggers.errors import HandlerError
from triggers.places import Seen, taken

LOCK = ".lock"
"""The file in a place's folder by whose lock replacements come one after the other."""

_OURS = re.compile(rf"{re.escape(LOCK)}|\..*\.tmp")


class Files:
    """The files of the place `name`, at any depth below the folder `root`."""

    def __init__(self, name: str, root: Path) -> None:
        self._name = name
        self.root = root

    @property
    def uri(self) -> str:
        """Return where the folder is."""
        return self.root.absolute().as_uri()

    def read(self, key: str) -> bytes:
        """Return what a file holds."""
        return self._path(key).read_bytes()

    def open(self, key: str) -> IO[bytes]:
        """Open a file for reading."""
        return self._path(key).open("rb")

    def exists(self, key: str) -> bool:
        """Say whether there is a file."""
        return self._path(key).is_file()

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix."""
        start = self.root / prefix.rpartition("/")[0]
        found = []
        for folder, _, names in os.walk(start):
            inside = Path(folder).relative_to(self.root)
            found += [(inside / name).as_posix() for name in names if not _OURS.fullmatch(name)]
        return [key for key in found if key.startswith(prefix)]

    def look(self, key: str) -> Seen | None:
        """Return what a file holds, and its digest; None where there is no file."""
        try:
            data = self.read(key)
        except FileNotFoundError:
            return None
        return Seen(data, hashlib.sha256(data).hexdigest())

    def output(self, key: str, marks: Mapping[str, str]) -> AbstractContextManager[IO[bytes]]:
        """Write a file whole; the one that is there stays if it has the same content. Files have no `marks`."""
        target = self._path(key)
        folders.make(target.parent)
        return _replacing(target)

    def replace(self, key: str, data: bytes, seen: Seen | None, marks: Mapping[str, str]) -> None:
        """Write a file if what is there is what was seen. Raises `Conflict`."""
        target = self._path(key)
        folders.make(target.parent)
        with _locked(self.root / LOCK):
            there = self.look(key)
            if (there and there.version) != (seen and seen.version):
                raise taken(self._name, key, seen)
            with _replacing(target) as file:
                file.write(data)

    def _path(self, key: str) -> Path:
        root = self.root.resolve()
        target = (root / key).resolve()
        if not target.is_relative_to(root):
            raise HandlerError(f"{key!r} leaves the place {self._name!r} by a link; keys lie inside it")
        return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; the kernel drops it when the process dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the target's name when the block ends well: temporary name, fsync, rename, fsync."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if _same_content(temporary, target):
            return
        temporary.chmod(0o644)
        temporary.replace(target)
        folders.sync(target.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _same_content(one: Path, other: Path) -> bool:
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        with one.open("rb") as left, other.open("rb") as right:
            return hashlib.file_digest(left, "sha256").digest() == hashlib.file_digest(right, "sha256").digest()
    except FileNotFoundError:
        return False


__all__ = ["Files"]

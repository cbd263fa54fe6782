"""What `reads=` and `writes=` name: a folder here, a prefix in a bucket of S3 there, with one interface.

::

    with ctx.place("features").open("a.parquet") as file:
        table = read_table(file)
    with ctx.place("reports").output("a.json") as file:
        file.write(report)

A key is a relative path with slashes: `2026/a.csv`. What goes wrong in either and may pass by itself is an `OSError`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple, Protocol

from triggers.errors import Conflict, HandlerError, WiringError

BUCKET = "s3://"
"""How the URI of a bucket begins."""

_NO_MARKS: Mapping[str, str] = MappingProxyType({})


class Seen(NamedTuple):
    """An object as it was when it was looked at: its `data`, and the `version` that tells whether it still is that."""

    data: bytes
    version: str


class Store(Protocol):
    """What a place is made of: files, or objects. Keys have been checked."""

    @property
    def uri(self) -> str: ...
    def read(self, key: str) -> bytes: ...
    def open(self, key: str) -> IO[bytes]: ...
    def exists(self, key: str) -> bool: ...
    def keys(self, prefix: str) -> list[str]: ...
    def look(self, key: str) -> Seen | None: ...
    def output(self, key: str, marks: Mapping[str, str]) -> AbstractContextManager[IO[bytes]]: ...
    def replace(self, key: str, data: bytes, seen: Seen | None, marks: Mapping[str, str]) -> None: ...


class Place:
    """Where objects lie by their keys: below a folder, or below a prefix in a bucket (`s3://acme-models/churn`).

    Handlers are given theirs by `ctx.place(name)`; anybody else may make one. `where` is the folder's path or the
    bucket's URI, `name` its last part if not given.
    """

    __slots__ = ("_marks", "_refusal", "_store", "name", "where")

    def __init__(self, where: str | os.PathLike[str], *, name: str | None = None) -> None:
        in_bucket = isinstance(where, str) and where.startswith(BUCKET)
        self.where: Path | str = str(where).rstrip("/") if in_bucket else Path(where)
        self.name = str(where).rstrip("/").rpartition("/")[2] if name is None else name
        self._marks = _NO_MARKS
        self._refusal = ""
        self._store: Store = _store(self.name, self.where)

    def __str__(self) -> str:
        return str(self.where)

    def __repr__(self) -> str:
        return f"Place({str(self)!r}, name={self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and (self.name, self.where) == (other.name, other.where)

    def __hash__(self) -> int:
        return hash((self.name, self.where))

    @property
    def uri(self) -> str:
        """Return where it is, as `file:///data/models` or `s3://acme-models/churn/`."""
        return self._store.uri

    @property
    def path(self) -> Path:
        """Return the folder, for what needs a real one; raise `WiringError` where the place is in a bucket."""
        if isinstance(self.where, Path):
            return self.where
        raise WiringError(
            f"the place {self.name!r} is {self.where}, which has no path; use its read, open, keys and output, or bind"
            f" it to a folder: --bind {self.name}=PATH"
        )

    def read(self, key: str) -> bytes:
        """Return what an object holds; raise `FileNotFoundError` where there is none."""
        return self._store.read(self._checked(key))

    def open(self, key: str) -> IO[bytes]:
        """Open an object for reading, in binary, as a file that can seek; raise `FileNotFoundError` where none is.

        Of an object in a bucket it is a copy, which takes room in the temporary folder until it is closed.
        """
        return self._store.open(self._checked(key))

    def exists(self, key: str) -> bool:
        """Say whether there is an object."""
        return self._store.exists(self._checked(key))

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with a prefix, sorted. It need not end where a part of the path does."""
        if folder := prefix.rpartition("/")[0]:
            self._checked(folder)
        return sorted(key for key in self._store.keys(prefix) if _is_key(key))

    def output(self, key: str) -> AbstractContextManager[IO[bytes]]:
        """Write an object whole and once, as to a file: `with place.output("a.json") as file: ...`.

        It appears under its key when the block ends without an error; not at all otherwise. A second attempt that
        writes the same bytes leaves the first one's object untouched, so nothing sees it arrive twice. Raises
        `WiringError` where the route does not declare the place in `writes=`.
        """
        return self._store.output(self._writable(key), self._marks)

    def look(self, key: str) -> Seen | None:
        """Return a small object with what `replace` asks for; None where there is none."""
        return self._store.look(self._checked(key))

    def replace(self, key: str, data: bytes, *, seen: Seen | None) -> None:
        """Write a small object in place of what was `seen`; with None, only where there is none.

        Whoever comes first wins: raises `Conflict` where the object is not, or no longer, what was seen.
        """
        self._store.replace(self._writable(key), data, seen, self._marks)

    def written_by(self, marks: Mapping[str, str]) -> Place:
        """Return the same place for a run, whose lineage its objects are to carry where they can."""
        return self._with(marks, "")

    def read_only(self, refusal: str) -> Place:
        """Return the same place, whose writing methods raise `WiringError` with this text."""
        return self._with(_NO_MARKS, refusal)

    def _with(self, marks: Mapping[str, str], refusal: str) -> Place:
        place = Place.__new__(Place)
        place.name, place.where, place._store = self.name, self.where, self._store
        place._marks, place._refusal = marks, refusal
        return place

    def _writable(self, key: str) -> str:
        if self._refusal:
            raise WiringError(self._refusal)
        return self._checked(key)

    def _checked(self, key: str) -> str:
        if not _is_key(key):
            raise HandlerError(
                f"{key!r} is no key in the place {self.name!r}; keys are relative paths inside it, as 'a/b.csv'"
            )
        return key


def taken(name: str, key: str, seen: Seen | None) -> Conflict:
    """Return the error of who wanted to replace an object and was not the first."""
    what = "is there already" if seen is None else "is no longer what was seen"
    return Conflict(f"{key!r} in the place {name!r} {what}: somebody else was first; look again and decide anew")


def absent(uri: str, key: str) -> FileNotFoundError:
    """Return the error of who asked for an object that is not there."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{uri}{key}")


def _store(name: str, where: Path | str) -> Store:
    if isinstance(where, Path):
        from triggers.files import Files

        return Files(name, where)
    from triggers.aws.objects import Objects

    return Objects(name, where)


def _is_key(key: str) -> bool:
    return "\0" not in key and all(part not in ("", ".", "..") for part in key.split("/"))


__all__ = ["Place", "Seen"]

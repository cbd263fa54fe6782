"""Files as they go into a zip: where they come from, how large they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final
from zipfile import ZipFile

from triggers.errors import WiringError

_LEFT_OUT: Final = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""Files of a `.dist-info` that say how a distribution was installed: never the same, and nobody asks for them."""
_BILLS: Final = ".dist-info/sboms/"
"""Where files say what a distribution was built of (PEP 770): as large as some libraries."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its size in bytes, and what reads it."""

    size: int
    read: Callable[[], bytes]
    executable: bool = False


def of_file(path: Path) -> Entry:
    """Return a file of this machine."""
    status = path.stat()
    return Entry(status.st_size, path.read_bytes, bool(status.st_mode & 0o100))


def of_wheel(path: Path) -> Iterator[tuple[str, Entry]]:
    """Yield what a wheel installs as packages, by its place among them.

    Raises `WiringError` for one that would install a file outside of them: whoever packs it would write it there, too.
    """
    wheel = ZipFile(path)
    for info in wheel.infolist():
        place = _installed(info.filename)
        if place and _is_outside(place):
            raise WiringError(
                f"the wheel {path.name} has a file {info.filename!r}, which lies outside of where it is installed;"
                " no tool makes such a wheel: find out where it comes from, and take another one"
            )
        if place and not info.is_dir() and is_kept(place):
            mode = info.external_attr >> 16
            yield place, Entry(info.file_size, partial(wheel.read, info.filename), bool(mode & 0o100))


def is_kept(place: str) -> bool:
    """Say whether a file of a distribution is of use to a function."""
    path = PurePosixPath(place)
    described = (path.parent.name.endswith(".dist-info") and path.name in _LEFT_OUT) or _BILLS in place
    return not (described or "__pycache__" in path.parts or path.suffix in (".pyc", ".pyi") or _is_outside(place))


def _is_outside(place: str) -> bool:
    """Say whether a place is not below the folder that it is given for."""
    path = PurePosixPath(place)
    return path.is_absolute() or ".." in path.parts


def _installed(name: str) -> str | None:
    """Return where a file of a wheel goes, None for what is no package: scripts, headers and data."""
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return os.fspath(PurePosixPath(name))
    kind, _, place = rest.partition("/")
    return place if kind in ("purelib", "platlib") else None


__all__ = ["Entry", "is_kept", "of_file", "of_wheel"]

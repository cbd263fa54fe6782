"""Folders that survive a power loss: a name is on the disk once the folder that it stands in is synced (fsync(2))."""

from __future__ import annotations

import os
from pathlib import Path


def make(folder: Path, mode: int = 0o777) -> None:
    """Make a folder that is missing, for `mode`, and those above it; each has its name for good."""
    if not folder.exists():
        make(folder.parent)
        folder.mkdir(mode, exist_ok=True)
        sync(folder.parent)


def sync(folder: Path) -> None:
    """Have the names in a folder survive. It costs next to nothing where a file's own sync has done it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ["make", "sync"]

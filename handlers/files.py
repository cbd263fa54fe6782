"""Small files that are whole or absent: the one way in which this pipeline writes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_atomic(path: Path, data: bytes, *, via: Path | None = None) -> None:
    """Put `data` at `path` in one step: a reader, or a crash, sees the old file or the new one, never a part.

    The temporary file is written in `via` (the same file system; the file's own folder if not given).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=via or path.parent, prefix=".tmp-", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.fileno(), 0o644)  # temporary files are private; what we publish is for all to read
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)  # without this the rename itself can be lost with the power


def write_once(path: Path, data: bytes) -> bool:
    """Write a content-addressed file unless it exists; return whether it was new."""
    if path.exists():
        return False
    write_atomic(path, data)
    return True


def append_once(path: Path, key: str, line: str) -> bool:
    """Append `line` and its `key` unless a line with that key is there; return whether it was new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        if any(old.endswith(f" [{key}]") for old in text.splitlines()):
            return False
        torn = text and not text.endswith("\n")  # a crash in the middle of an append left half a line
        file.write(f"{chr(10) if torn else ''}{' '.join(line.split())} [{key}]\n")
        file.flush()
        os.fsync(file.fileno())
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock for read-change-write; the kernel drops it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

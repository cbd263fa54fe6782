"""Local copies of what events name elsewhere: for whoever needs a path. Each goes when the attempt that made it ends.

A copy belongs to an event as one attempt has it, for every attempt loads its own. Where nobody ends an attempt, it goes
with the event. A process that is killed leaves its copies behind: the next one that needs a place for its own removes
them, as nobody holds the lock on their folder any more.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_PREFIX = "triggers-copies-"
_LONGEST = 255  # bytes of a file's name

held: dict[int, tuple[Path, weakref.finalize[..., Any]]] = {}
"""The copies that there are, by the identities of their events: most often none, and nobody need let go of any."""

_making = threading.Lock()
_home: tuple[Path, int] | None = None


def copy_for(event: object, name: str, fill: Callable[[IO[bytes]], object]) -> Path:
    """Return the event's copy, a file that ends as `name` does; `fill` writes it where there is none yet."""
    if found := held.get(id(event)):
        return found[0]
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    try:
        path = folder / os.fsdecode(os.fsencode(name)[-_LONGEST:])
        with path.open("wb") as file:
            fill(file)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    held[id(event)] = path, weakref.finalize(event, _remove, id(event), folder)
    return path


def release(event: object) -> None:
    """Remove the event's copy, if there is one: its attempt is over."""
    if found := held.get(id(event)):
        found[1]()


def _remove(event: int, folder: Path) -> None:
    held.pop(event, None)
    shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    """Return the folder of this process, whose lock it holds."""
    global _home
    with _making:
        if _home is None or _home[1] != os.getpid():
            _sweep()
            _home = _locked_folder(), os.getpid()
            atexit.register(_leave, *_home)
        return _home[0]


def _locked_folder() -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        if _lock(folder) is not None and folder.exists():  # not if another process has swept it away meanwhile
            return folder


def _leave(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not what was forked from it
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of processes that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and (handle := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(handle)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the handle is closed or the process ends; None where another process holds it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


__all__ = ["copy_for", "held", "release"]

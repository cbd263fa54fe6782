"""A backup of a state folder: one more state folder, as this one was at one moment, taken while its app works.

What counts is the order. A batch that waits in the inbox is removed when its events are in the journal, so batches are
copied first: whatever is gone by then is in the journal that is copied after them, and what is in both is a duplicate,
by its identity. The backup has its name only when all of it is on the disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from triggers import folders
from triggers.clock import SystemClock
from triggers.errors import StateError
from triggers.journal import snapshot, views
from triggers.journal.soundness import unsound
from triggers.state import StateFolder

BEFORE: Final = ("inbox", "inbox/rejected", "requests", "requests/rejected")
"""What is copied before the journal, in this order: a batch that is rejected meanwhile is found in either place."""
AFTER: Final = ("rejected",)
"""What is copied after the journal."""

_FOR_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FOR_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: `files` are batches and messages beside the journal, `size` all of it in bytes.

    `flaws` says what does not fit together in the journal that it was taken of; nothing where all is well.
    """

    summary: views.Summary
    files: int
    size: int
    flaws: list[str]


def back_up(state: StateFolder, target: Path) -> Backup:
    """Copy a state folder to `target`, which must not exist; when it returns, the copy survives a power loss.

    Raises `StateError` where the target or the journal will not do, or the disk refuses; nothing is left then. A
    process that is killed leaves a folder `.NAME.*.unfinished` beside it, which nobody needs.
    """
    target = target.absolute()
    _check(state, target)
    try:
        with _unfinished(target) as folder:
            files = _copy_files(state.path, folder, BEFORE)
            summary, flaws = _copy_journal(state, folder / state.journal.name)
            files += _copy_files(state.path, folder, AFTER)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            _sync_folders(folder)
            folder.rename(target)
            folders.sync(target.parent)
    except (OSError, apsw.IOError, apsw.FullError, apsw.CantOpenError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StateError(f"the backup {target} cannot be written ({why}); nothing is left of it") from error
    return Backup(summary, files, size, flaws)


def _check(state: StateFolder, target: Path) -> None:
    if os.path.lexists(target):
        raise StateError(f"{target} is there already; a backup is a new folder, so that it never replaces one: name it")
    if target.resolve().is_relative_to(state.path.resolve()):
        raise StateError(f"{target} lies in the state folder {state.path} itself; name a folder elsewhere")


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Yield a new folder beside the target, and remove what is there of it in the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".unfinished"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_journal(state: StateFolder, target: Path) -> tuple[views.Summary, list[str]]:
    """Copy the journal and look at the copy: a backup that nobody has read is none."""
    try:
        with closing(views.open_reader(state)) as source:
            snapshot.copy(source, target, SystemClock().now())
        target.chmod(0o600)
        with closing(apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READONLY)) as copied:
            summary = views.summary(copied)
            if summary.integrity == "ok":
                return summary, [str(flaw) for flaw in unsound(copied)]
            why = summary.integrity
    except apsw.CorruptError as error:
        why = str(error)
    raise StateError(f"the journal {state.journal} is damaged ({why}); keep it, and the backups that there are")


def _copy_files(source: Path, target: Path, folders: Sequence[str]) -> int:
    """Copy the plain files of folders, and return how many there were; what goes away meanwhile has gone on."""
    copied = 0
    for name in folders:
        if not (source / name).is_dir():
            continue
        (target / name).mkdir(mode=0o700, exist_ok=True)
        for file in sorted(os.listdir(source / name)):
            if not file.startswith("."):
                with suppress(FileNotFoundError):
                    copied += _copy_file(source / name / file, target / name / file)
    return copied


def _copy_file(source: Path, target: Path) -> bool:
    """Copy a plain file, and say whether it is one: there may be folders and pipes, which are none of ours."""
    try:
        handle = os.open(source, _FOR_READING)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            return False
        raise
    with open(handle, "rb") as content:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return False
        with open(os.open(target, _FOR_WRITING, 0o600), "wb") as copy:
            shutil.copyfileobj(content, copy)
            copy.flush()
            os.fsync(copy.fileno())
    return True


def _sync_folders(folder: Path) -> None:
    for place, _, _ in os.walk(folder):
        folders.sync(Path(place))


__all__ = ["Backup", "back_up"]

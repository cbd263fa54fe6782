"""A file's content: what names it, and how it is read so that no other content is taken for it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from triggers.errors import Reject

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def content_version(status: os.stat_result) -> str:
    """Return what names a file's content: it changes with every write, and stays through a restart and a renaming."""
    return (b"%x-%x-%x" % (status.st_mtime_ns, status.st_size, status.st_ino)).decode()  # a third of an f-string's time


def check_content(key: str, version: str, status: os.stat_result) -> None:
    """Raise `Reject` when a file no longer has the content that its event names."""
    if content_version(status) != version:
        raise Reject(
            f"{key} was overwritten or replaced after this event;"
            " what is there now is told by an event of its own, if it is a file of the source"
        )


def open_content(key: str, version: str, path: Path) -> IO[bytes]:
    """Open a file of which every byte that is read belongs to that version; raise `Reject` where one does not."""
    return io.BufferedReader(_Checked(key, version, path))


class _Checked(io.FileIO):
    """A file whose content is checked once it is open, and after every read.

    The kernel notes the time of a change before it changes anything. So what was read before the file is found as it
    was is what it was.
    """

    def __init__(self, key: str, version: str, path: Path) -> None:
        super().__init__(path, "rb", opener=_descriptor)
        self._key, self._version = key, version
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read as a file does, then check. Raises `Reject`."""
        count = super().readinto(buffer)
        self._check()
        return count

    def readall(self) -> bytes:
        """Read as a file does, then check. Raises `Reject`."""
        content = super().readall()
        self._check()
        return content

    def _check(self) -> None:
        check_content(self._key, self._version, os.fstat(self.fileno()))


def _descriptor(path: str, flags: int) -> int:
    """Open what may have become a pipe meanwhile, which nobody may ever write to."""
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    except BlockingIOError:  # a lease on it is being given up: it is a plain file, for which we wait
        return os.open(path, flags)


__all__ = ["check_content", "content_version", "open_content"]

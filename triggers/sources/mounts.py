"""What is mounted where, as the kernel tells it, and whether other machines may write there."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator
from typing import NamedTuple

_TABLE = "/proc/self/mountinfo"
_REMOTE = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "coda", "lustre", "glusterfs", "gfs2",
    "ocfs2", "gpfs", "beegfs", "orangefs", "pvfs2", "vboxsf", "vmhgfs", "prl_fs", "fakeowner", "ncpfs", "davfs",
}  # fmt: skip
_UPPER = re.compile(rb"(?:^|,)(upperdir=[^,]*)")


class Mount(NamedTuple):
    """A file system at its place."""

    place: bytes
    kind: str
    source: bytes
    root: bytes = b"/"
    """The part of the file system that is seen there; of a bind mount the folder that was bound."""
    number: int = 0
    """What the kernel calls the mount by now; another one may have it later."""
    upper: bytes = b""
    """The layer that an overlay writes to."""

    @property
    def is_shared(self) -> bool:
        """Say whether the file system is known for being written by other machines."""
        return self.kind in _REMOTE

    @property
    def is_remote(self) -> bool:
        """Say whether others may write there, of which neither inotify nor a lease knows. So it is where a network
        disk is mounted when somebody looks."""
        return self.is_shared or self.kind == "autofs" or self.kind.startswith("fuse.")


class Table:
    """The kernel's table of mounts, for who wants to know whether it changed."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._closed = False
        self._poll = select.poll()

    def changed(self) -> bool:
        """Return whether anything was mounted or unmounted since the last call; true of the first, and when closed."""
        if self._file is not None:
            return bool(self._poll.poll(0))
        if os.path.exists(_TABLE) and not self._closed:
            self._file = os.open(_TABLE, os.O_RDONLY | os.O_CLOEXEC)
            self._poll.register(self._file, select.POLLPRI | select.POLLERR)
        return True

    def close(self) -> None:
        """Give the descriptor back, and take none again, though an examination may still be under way."""
        self._closed = True
        if self._file is not None:
            self._poll.unregister(self._file)
            os.close(self._file)
            self._file = None


def mounted() -> Iterator[Mount]:
    """Yield what is mounted; nothing on other systems than Linux. Of several on one place the last one is seen."""
    try:
        with open(_TABLE, "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        number, _, _, root, place, *fields = line.split(b" ")
        kind, source, options = fields[fields.index(b"-") + 1 :][:3]
        upper = _UPPER.search(options) if kind == b"overlay" else None
        yield Mount(
            _plain(place), kind.decode("utf-8", "replace"), source, root, int(number), upper[1] if upper else b""
        )


def is_remote(root: bytes) -> bool:
    """Return whether others may write in the folder or below it, of which neither inotify nor a lease knows."""
    real = os.path.realpath(root)
    return any(mount.is_remote for mount in [*mounted_below(real), holding(real)])


def holding(path: bytes) -> Mount:
    """Return the mount that a path without links is on."""
    found = Mount(b"/", "", b"")
    for mount in mounted():
        if len(mount.place) >= len(found.place) and (path + b"/").startswith(mount.place.rstrip(b"/") + b"/"):
            found = mount
    return found


def mounted_below(path: bytes) -> list[Mount]:
    """Return what is mounted below a path without links."""
    below = path.rstrip(b"/") + b"/"
    return [mount for mount in mounted() if mount.place.startswith(below)]


def _plain(name: bytes) -> bytes:
    """Undo the kernel's writing of blanks and the like as octal numbers."""
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), name)


__all__ = ["Mount", "Table", "holding", "is_remote", "mounted", "mounted_below"]

"""What is mounted where: whether other machines may write in a folder, and whether it is still the same disk."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_REMOTE = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "coda", "lustre", "glusterfs", "gfs2",
    "ocfs2", "gpfs", "beegfs", "orangefs", "pvfs2", "vboxsf", "vmhgfs", "prl_fs", "fakeowner", "ncpfs", "davfs",
}  # fmt: skip


class Mount(NamedTuple):
    """A file system at its place."""

    place: bytes
    kind: str
    source: bytes


class Disk:
    """The disk that a folder is on, and the mark that the memories of what was told there bear.

    What was told on one disk must not count as deleted because another is seen in its place.
    """

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._first: bytes | None = None

    def now(self) -> bytes | None:
        """Return what the folder's disk is known by now, None if there is no folder."""
        try:
            return identity(self._root)
        except OSError:
            return None

    def expect(self, disk: bytes | None) -> None:
        """Take this disk for the first one, whose memories bear no mark. Without it all disks are alike."""
        self._first = disk

    @property
    def expected(self) -> bool:
        """Say whether one disk is told from another."""
        return self._first is not None

    def mark(self) -> bytes | None:
        """Return what marks the memories of the disk that is there now: nothing for the first; None without one."""
        disk = self.now()
        if disk is None or self._first is None or same_disk(self._first, disk):
            return None if disk is None else b""
        return mark_of(disk)


def is_remote(root: bytes) -> bool:
    """Return whether others may write in the folder or below it, of which neither inotify nor a lease knows."""
    real = os.path.realpath(root)
    below = real.rstrip(b"/") + b"/"
    held = [mount for mount in _mounts() if mount.place.startswith(below)]
    return any(mount.kind in _REMOTE or mount.kind.startswith("fuse.") for mount in [*held, _holding(real)])


def identity(root: bytes) -> bytes:
    """Return what tells this folder from the one that is seen there when its disk is not mounted, or another is."""
    kind, source = _holding(os.path.realpath(root))[1:]
    return b"%s %x %s" % (kind.encode(), os.stat(root + b"/").st_ino, source)


def same_disk(one: bytes, other: bytes) -> bool:
    """Return whether two identities are of one disk: by its name, or by its kind and the folder's inode."""
    kind, inode, source = one.split(b" ", 2)
    other_kind, other_inode, other_source = other.split(b" ", 2)
    return kind == other_kind and (source == other_source or inode == other_inode)


def mark_of(disk: bytes) -> bytes:
    """Return a short mark of a disk, by its identity, whichever of its folders it is."""
    kind, _, source = disk.split(b" ", 2)
    return b"@%08x" % zlib.crc32(kind + b" " + source)


def _holding(path: bytes) -> Mount:
    """Return the mount that a path is on; where several are on one place, the last one hides the others."""
    found = Mount(b"/", "", b"")
    for mount in _mounts():
        if len(mount.place) >= len(found.place) and (path + b"/").startswith(mount.place.rstrip(b"/") + b"/"):
            found = mount
    return found


def _mounts() -> Iterator[Mount]:
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:  # not Linux
        return
    for line in lines:
        fields = line.split(b" ")
        kind, source = fields[fields.index(b"-") + 1 :][:2]
        yield Mount(_plain(fields[4]), kind.decode("utf-8", "replace"), source)


def _plain(name: bytes) -> bytes:
    """Undo the kernel's writing of blanks and the like as octal numbers."""
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), name)


__all__ = ["Disk", "identity", "is_remote", "mark_of", "same_disk"]

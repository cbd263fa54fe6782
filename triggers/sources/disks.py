"""The disks that a folder is on, so that what was told of one is not missed on another.

A disk that is not mounted deletes nothing, nor does another one in its place, nor one that is mounted over a part of
the folder. So what is remembered of a file bears the mark of the disk that it was told on, and a file is missed only
while that disk is at its place.

A disk is known by what stays with it wherever it is mounted: the file system's own number, which is made from its UUID;
else its UUID; on the network, its server and path. Names of devices and inodes of roots say nothing: `/dev/sdb` is
another disk tomorrow, and the root of every ext4 has the inode 2. Which part of it is seen there counts too, for bind
mounts. Where a file system has none of these, the folder's own inode and time of birth have to do. What has not even a
time of birth is another disk whenever it is mounted and whenever the app is started.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import struct
import zlib
from typing import NamedTuple

from triggers.sources.mounts import Mount, Table, holding, mounted, mounted_below

NAMELESS = b"?"
"""How what a disk is known by begins where it is known no longer than it is mounted, and the app runs."""

_GET_UUID = 0x80111500  # ioctl FS_IOC_GETFSUUID, of Linux 6.9: a byte with the length, and 16 for the UUID
_HERE, _BTIME, _MOUNT, _UNIQUE_MOUNT = -100, 0x800, 0x1000, 0x4000  # of statx(2), and where it puts its answers:
_AT_BTIME, _AT_MOUNT = 0x50, 0x90

_start = os.urandom(4).hex().encode()


class Marks(NamedTuple):
    """Which disk is where now, each by the mark that memories of it bear."""

    here: bytes | None
    """That of the folder's disk; None if there is no folder."""
    below: tuple[tuple[bytes, bytes], ...] = ()
    """Those of disks mounted below, each with the beginning of the keys of its files; the deepest come first."""
    named: bool = True
    """Whether the folder's disk is known by the same in the next mount and the next start."""

    def at(self, key: bytes) -> bytes | None:
        """Return the mark of the disk at the place of a key."""
        for prefix, mark in self.below:
            if key.startswith(prefix):
                return mark
        return self.here


ALIKE = Marks(b"")
"""How it looks to who does not tell one disk from another."""


class Disks:
    """The disk of a folder, and those that are mounted below it."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._table = Table()
        self._first: bytes | None = None
        self._seen: tuple[int, int] | None = None
        self._marks = ALIKE

    def identity(self) -> bytes | None:
        """Return what the folder's disk is known by, None if there is no folder."""
        try:
            return identity(_mount_of(self._root), self._root)
        except OSError:
            return None

    def expect(self, disk: bytes | None) -> None:
        """Take this disk for the first one, whose memories bear no mark. Without it all disks are alike."""
        self._first = disk
        self._seen = None

    @property
    def expected(self) -> bool:
        """Say whether one disk is told from another."""
        return self._first is not None

    def now(self) -> Marks:
        """Return which disk is where. It is looked up anew when something was mounted, or the folder is another."""
        if self._first is None:
            return ALIKE
        try:
            status = os.stat(self._root + b"/")
            seen = status.st_dev, status.st_ino
            if self._table.changed() or seen != self._seen:
                self._seen = None
                self._marks = self._look(self._first)
                self._seen = seen
        except OSError:
            return Marks(None)
        return self._marks

    def _look(self, first: bytes) -> Marks:
        real = os.path.realpath(self._root).rstrip(b"/")
        here = identity(_mount_of(self._root), self._root)
        below: dict[bytes, bytes] = {}
        for mount in filter(_is_seen, mounted_below(real)):
            prefix = mount.place[len(real) + 1 :] + b"/"
            below[prefix] = _mark(first, _identity_below(mount) + b" " + prefix)  # elsewhere its files have other keys
        deepest_first = sorted(below.items(), key=lambda item: -len(item[0]))
        return Marks(_mark(first, here), tuple(deepest_first), not here.split(b" ")[1].startswith(NAMELESS))

    def close(self) -> None:
        """Give the descriptor back."""
        self._table.close()


def identity(mount: Mount, folder: bytes) -> bytes:
    """Return what tells the disk of this mount, which a folder is on, from any other."""
    return b" ".join([mount.kind.encode(), _name(mount, folder + b"/"), mount.root])


def _name(mount: Mount, path: bytes) -> bytes:
    if not mount.kind or mount.is_shared or (mount.is_remote and b":" in mount.source):
        return mount.source
    if mount.is_remote:
        return _name_for_now(path)
    return _number(mount, path) or _uuid(path) or mount.upper or _birth(path) or _name_for_now(path)


def _number(mount: Mount, path: bytes) -> bytes | None:
    """Return the file system's number; None where it is but that of the device, or, of an overlay, that of a layer."""
    number = os.statvfs(path).f_fsid
    return b"%x" % number if number and number != os.stat(path).st_dev and mount.kind != "overlay" else None


def _uuid(path: bytes) -> bytes | None:
    answer = array.array("B", bytes(17))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _GET_UUID, answer)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    uuid = bytes(answer[1:])
    return uuid.hex().encode() if any(uuid) else None


def _birth(path: bytes) -> bytes | None:
    """Return the inode and time of birth of a folder, None if the kernel does not know when that was."""
    born = struct.unpack_from("qI", _statx(path, _BTIME), _AT_BTIME)
    return b"%x-%x.%x" % (os.stat(path).st_ino, *born) if any(born) else None


def _name_for_now(path: bytes) -> bytes:
    return NAMELESS + _start + b"-%x" % _mount_number(path, _MOUNT | _UNIQUE_MOUNT)


def _mount_of(folder: bytes) -> Mount:
    """Return the mount that a folder is on: the one that the kernel says, else the one that seems to be."""
    number = _mount_number(folder + b"/", _MOUNT)
    return next((mount for mount in mounted() if mount.number == number), None) or holding(os.path.realpath(folder))


def _is_seen(mount: Mount) -> bool:
    """Return whether nothing else is mounted over a mount, as far as the kernel says."""
    try:
        return _mount_number(mount.place, _MOUNT) in (0, mount.number)
    except OSError:
        return False


def _identity_below(mount: Mount) -> bytes:
    try:
        return identity(mount, mount.place)
    except OSError:
        return b" ".join([mount.kind.encode(), NAMELESS + _start + b"-%x" % mount.number, mount.root])


def _mount_number(path: bytes, kind: int) -> int:
    (number,) = struct.unpack_from("Q", _statx(path, kind), _AT_MOUNT)
    return int(number)


def _statx(path: bytes, what: int) -> bytes:
    """Return what the kernel says of a file beyond `os.stat`; zeros where it does not."""
    buffer = ctypes.create_string_buffer(256)
    call = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
    if call is not None and call(_HERE, path, 0, what, buffer) < 0 and ctypes.get_errno() != errno.ENOSYS:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return buffer.raw


def _mark(first: bytes, disk: bytes) -> bytes:
    return b"" if disk == first else b"@%08x" % zlib.crc32(disk)


__all__ = ["ALIKE", "NAMELESS", "Disks", "Marks", "identity"]

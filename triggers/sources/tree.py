"""What is in a folder: which files there are, which of them are complete, and which are gone.

All that touches the files is behind this class, and runs in one thread of the folder's own, so that neither a big tree
nor a dead network share stops the event loop.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

from triggers.clock import Clock
from triggers.content import content_version
from triggers.sources import Delivery
from triggers.sources.complaints import Complaints, advice
from triggers.sources.folder import Folder
from triggers.sources.lease import has_leases, look
from triggers.sources.listing import Files, Listing
from triggers.sources.marker import Marker
from triggers.sources.mounts import Disk, is_remote
from triggers.sources.notices import Notices, is_on, version_in
from triggers.sources.waitlist import Waitlist
from triggers.sources.watch import EVERYWHERE, Hints

_SHORTEST = 0.05  # seconds between two looks at an open file of which the kernel will not tell
_CLOSE, _LONGEST_CLOSE = 0.0005, 1.0  # seconds, and the most, between two looks at a file that is being closed
_ELSEWHERE = b"/elsewhere"  # what is complained about once; no key begins with a slash

_in_order = attrgetter("time", "id")  # that in which the files were written


class Tree:
    """What is in a folder, and what of it waits. One thread at a time may use it."""

    def __init__(self, folder: Folder, clock: Clock, watched: bool) -> None:
        root = folder.require()
        self.remote = folder.poll is not None or is_remote(root)
        self.waitlist = Waitlist(clock)
        self._folder = folder
        self._clock = clock
        self._watched = watched
        self._root = root
        self._prefix = root + b"/"
        self._real_root = b""
        self._inside: dict[bytes, bool] = {}
        self._leases = has_leases() and not self.remote
        self._complaints = Complaints(folder.name, root)
        self._listing = Listing(folder, root, self.waitlist, self._complaints, watched=watched, polled=self.remote)
        self._marker = Marker(root, folder.marker) if folder.marker is not None else None
        self._disk = Disk(root)
        self._notices = Notices(folder.name, root, clock)
        self._find_root()

    def _find_root(self) -> None:
        """Look where the root is now: it may be a link that leads elsewhere than before."""
        self._real_root = os.path.realpath(self._root).rstrip(b"/") + b"/"

    # --- what may have changed

    def watch(self, hints: Hints) -> Callable[[], None]:
        """Start to watch and return what ends it. A folder is watched from the moment that it is walked."""
        return self._listing.watch(hints)

    def wants(self, key: bytes) -> bool:
        """Return whether a hint about a file leads to anything."""
        name = key.rpartition(b"/")[2]
        return not self._listing.ignores(name) or (self._marker is not None and self._marker.marked(name) is not None)

    def released(self, hinted: Files, hints: Hints) -> Files:
        """Return files with those in place of markers that these release; hint at the folders that they do."""
        if self._marker is None:
            return hinted
        found: Files = {}
        for key, closed in hinted.items():
            folder, slash, name = key.rpartition(b"/")
            marked = self._marker.marked(name)
            if marked is None:
                found[key] = closed
            elif marked:
                found.setdefault(folder + slash + marked, False)
            else:
                hints.add({}, {folder: None})
        return found

    def walk(self, place: bytes) -> Iterator[Files]:
        """Yield the keys of the files at or below a folder, `BATCH` at a time."""
        if place == EVERYWHERE:
            self._find_root()
        return self._listing.walk(place)

    # --- what is gone

    def disk(self) -> bytes | None:
        """Return what the folder's disk is known by now, None if there is no folder."""
        return self._disk.now()

    def expect(self, disk: bytes | None) -> None:
        """Tell deletions from now on, if there is a disk. What is told on another one is remembered with its mark."""
        self._disk.expect(disk)

    def missing(self, known: Mapping[bytes, bytes]) -> Files:
        """Return those of the remembered files that were on the disk that is there now, and are not any more."""
        mark = self._disk_mark()
        gone = {key: False for key, value in known.items() if is_on(value, mark) and not self._is_there(key)}
        return gone if mark == self._disk_mark() else {}

    def _is_there(self, key: bytes) -> bool:
        try:
            mode = os.lstat(self._prefix + key).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # who knows
            return True
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)

    def _disk_mark(self) -> bytes | None:
        if mark := self._disk.mark():
            what = "is on another disk than it was: what that one held is not told as deleted"
            self._complaints.make(what, EVERYWHERE, once=_ELSEWHERE)
        return mark

    # --- looking

    def examine(self, files: Files, known: Mapping[bytes, bytes]) -> list[Delivery]:
        """Return deliveries of the files that are complete, or gone, and not as `known`."""
        complete: list[tuple[bytes, os.stat_result]] = []
        gone: list[tuple[bytes, bytes]] = []
        mark = self._disk_mark() if self._disk.expected else b""
        self._inside.clear()
        if self._marker is not None:
            self._marker.forget()
        for key, closed in files.items():
            before = known.get(key)
            try:
                status = self._examined(key, closed, before)
            except (FileNotFoundError, NotADirectoryError):
                self.waitlist.drop(key)
                self._complaints.withdraw(key)
                if before and self._disk.expected and is_on(before, mark):
                    gone.append((key, before))
            except OSError as error:
                self.waitlist.put(key)
                self._complaints.make(f"cannot be read ({error.strerror}){advice(error)}", key)
            else:
                if status is not None:
                    complete.append((key, status))
        return self._told(complete, gone, mark)

    def _told(
        self, complete: list[tuple[bytes, os.stat_result]], gone: list[tuple[bytes, bytes]], mark: bytes | None
    ) -> list[Delivery]:
        """Return what is told of files. What is gone goes first, so that it is known what was moved."""
        deleted = [self._notices.deleted(key, known) for key, known in gone]
        created = [self._notices.created(key, status, mark or b"") for key, status in complete]
        created.sort(key=_in_order)
        return created + deleted if deleted and self._disk_mark() == mark else created

    def _examined(self, key: bytes, closed: bool, known: bytes | None) -> os.stat_result | None:
        """Return the status of a file that is to be delivered now, None of one that is not."""
        path = self._plain(key, known)
        if path is None or not self._is_released(key):
            self.waitlist.drop(key)
            return None
        is_open, status = look(path, self._leases)
        self._complaints.withdraw(key)
        if is_open:
            self._wait_for_the_close(key, closed)
            return None
        # An empty file that nobody closed may have been seen between its creation and its opening. Where nobody
        # watches, in tests, what is there is complete: a clock that stands still settles nothing.
        certain = closed or not self._watched or (is_open is False and status.st_size > 0)
        if certain or self._marker is not None or self._is_settled(key, content_version(status)):
            self.waitlist.drop(key)
            return status
        return None

    def _plain(self, key: bytes, known: bytes | None) -> bytes | None:
        """Return the path of a plain file in the tree that is not as `known`, else None. It opens nothing.

        Raises `FileNotFoundError` where a file was told, and something else has its name.
        """
        path = self._prefix + key
        status = os.lstat(path)
        if known and _is_as(known, status):
            return None
        folder, _, name = key.rpartition(b"/")
        if self._listing.ignores(name):
            return None
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path)
            if not path.startswith(self._real_root):
                return None
            status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and self._is_inside(folder):
            return None if known and _is_as(known, status) else path
        if known:
            raise FileNotFoundError(path)
        return None

    def _is_inside(self, folder: bytes) -> bool:
        """Return whether no link leads to a folder: hints may be older than what now has its name."""
        if folder and folder not in self._inside:
            self._inside[folder] = os.path.realpath(self._prefix + folder) == self._real_root + folder
        return not folder or self._inside[folder]

    def _is_released(self, key: bytes) -> bool:
        """Return whether a file is no marker, and its own is there."""
        marker = self._marker
        return marker is None or (marker.marked(key.rpartition(b"/")[2]) is None and marker.releases(key))

    def _is_settled(self, key: bytes, value: str) -> bool:
        waiting = self.waitlist.get(key)
        if waiting is None or waiting.value != value:
            waiting = self.waitlist.put(key, self._folder.settle, value=value)
        return waiting.due <= self._clock.monotonic()

    def _wait_for_the_close(self, key: bytes, closed: bool) -> None:
        """Let an open file wait. The kernel tells of a close just before the file counts as closed."""
        waiting = self.waitlist.get(key)
        if not self._listing.hears:
            self.waitlist.put(key, max(self._folder.settle, _SHORTEST))
        elif waiting is not None and waiting.closed:
            self.waitlist.put(key, min(2 * waiting.pause, _LONGEST_CLOSE), closed=True)
        else:
            self.waitlist.put(key, _CLOSE if closed else None, closed=closed)


def _is_as(known: bytes, status: os.stat_result) -> bool:
    """Return whether a file is as it was told, on whichever disk."""
    return version_in(known) == content_version(status)


__all__ = ["Tree"]

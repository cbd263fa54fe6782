"""What is in a folder: which files there are, which of them are complete, and which are gone.

All that touches the files is behind this class, and runs in one thread of the folder's own, so that neither a big tree
nor a dead network share stops the event loop. But for one thing: where no network disk is known and the folder is not
polled, a handful of files (`folder_scan._FEW`) is examined on the loop itself, while the thread does nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from triggers.clock import Clock
from triggers.content import content_version
from triggers.sources import Delivery
from triggers.sources.complaints import Complaints, advice
from triggers.sources.disks import Disks, Marks
from triggers.sources.folder import Folder
from triggers.sources.lease import has_leases, look
from triggers.sources.listing import Listing
from triggers.sources.marker import Marker
from triggers.sources.mounts import is_remote
from triggers.sources.notices import Notices, revised, version_on, was_told
from triggers.sources.waitlist import Waitlist
from triggers.sources.watch import EVERYWHERE, Files, Hints

_SHORTEST = 0.05  # seconds between two looks at an open file of which the kernel will not tell
_CLOSE, _LONGEST_CLOSE = 0.0005, 1.0  # seconds, and the most, between two looks at a file that is being closed
_UNCLOSED = 60.0  # seconds without a change, where a file was seen to be made and not to be closed, and no lease tells
_ELSEWHERE, _GUESSED = b"/elsewhere", b"/guessed"  # what is complained about once; no key begins with a slash

_ANOTHER_DISK = "is on another disk than it was: what that one held is not told as deleted"
_NAMELESS_DISK = "is on a disk that nothing tells from others: what went before the start or the mount is not told"

_in_order = attrgetter("time", "id")  # that in which the files were written


class Found(NamedTuple):
    """What was found: files with the mark of their disk, and what is remembered of them."""

    gone: list[tuple[bytes, bytes, bytes]]
    complete: list[tuple[bytes, bytes, bytes | None, os.stat_result]]


class Tree:
    """What is in a folder, and what of it waits. One thread at a time may use it, the event loop's among them."""

    def __init__(self, folder: Folder, clock: Clock, watched: bool) -> None:
        root = folder.require()
        self.waitlist = Waitlist(clock)
        self._folder = folder
        self._clock = clock
        self._watched = watched
        self._root = root
        self._prefix = root + b"/"
        self._real_root = b""
        self._inside: dict[bytes, bool] = {}
        self._complaints = Complaints(folder.name, root)
        self._listing = Listing(folder, root, self.waitlist, self._complaints, watched=watched)
        self._marker = Marker(root, folder.marker) if folder.marker is not None else None
        self._disks = Disks(root)
        self._seen_again: dict[bytes, bytes] = {}
        self._notices = Notices(folder.name, root, clock)
        self._find_root()

    def _find_root(self) -> None:
        """Look where the root is now, and what is mounted there: a link or a mount may have changed it."""
        self._real_root = os.path.realpath(self._root).rstrip(b"/") + b"/"
        self.remote = self._folder.poll is not None or is_remote(self._root)
        self._listing.polled = self.remote
        self._leases = has_leases() and not self.remote

    # --- what may have changed

    def watch(self, hints: Hints) -> Callable[[], None]:
        """Start to watch and return what ends it. A folder is watched from the moment that it is walked."""
        return self._listing.watch(hints)

    def wants(self, key: bytes) -> bool:
        """Return whether a hint about a file leads to anything."""
        name = key.rpartition(b"/")[2]
        return not self._folder.ignores(name) or (self._marker is not None and self._marker.marked(name) is not None)

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
        yield from self._listing.walk(place)

    # --- what is gone

    def disk(self) -> bytes | None:
        """Return what the folder's disk is known by now, None if there is no folder."""
        return self._disks.identity()

    def expect(self, disk: bytes | None) -> None:
        """Tell deletions from now on, if there is a disk. What is told on another one is remembered with its mark."""
        self._disks.expect(disk)

    def missing(self, known: Mapping[bytes, bytes]) -> Files:
        """Return those of the remembered files that were on the disk that is at their place now, and are gone."""
        while True:
            marks = self._marks()
            gone: Files = {
                key: False
                for key, value in known.items()
                if version_on(value, self._mark_of(key, marks)) and not self._is_there(key)
            }
            if marks == self._disks.now():
                return gone

    def close(self) -> None:
        """Give the descriptors back."""
        self._disks.close()

    def seen_again(self) -> Mapping[bytes, bytes]:
        """Return, once, what is to be remembered of files that were told on one disk, and are seen on another."""
        seen, self._seen_again = self._seen_again, {}
        return seen

    def _is_there(self, key: bytes) -> bool:
        try:
            mode = os.lstat(self._prefix + key).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # who knows
            return True
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)

    def _marks(self) -> Marks:
        """Return which disk is where. While that cannot be told nothing is, so everything is looked at again."""
        marks = self._disks.now()
        if marks.here is None and self.waitlist.get(EVERYWHERE) is None:
            self.waitlist.put(EVERYWHERE, self._listing.again, is_folder=True)
        if marks.here:
            self._complaints.make(_ANOTHER_DISK if marks.named else _NAMELESS_DISK, EVERYWHERE, once=_ELSEWHERE)
        return marks

    def _mark_of(self, key: bytes, marks: Marks) -> bytes | None:
        """Return the mark of the disk at the place of a file, or of what a link leads to."""
        if marks.below and os.path.islink(self._prefix + key):
            path = os.path.realpath(self._prefix + key)
            return marks.at(path.removeprefix(self._real_root)) if path.startswith(self._real_root) else marks.here
        return marks.at(key)

    # --- looking

    def examine(self, files: Mapping[bytes, bool | None], known: Mapping[bytes, bytes]) -> list[Delivery]:
        """Return deliveries of the files that are complete, or gone, and not as `known`."""
        while True:
            self._seen_again.clear()
            marks = self._marks()
            found = self._found(files, known, marks)
            if marks == self._disks.now():
                return self._told(found)

    def _found(self, files: Mapping[bytes, bool | None], known: Mapping[bytes, bytes], marks: Marks) -> Found:
        found = Found([], [])
        self._inside.clear()
        if self._marker is not None:
            self._marker.forget()
        for key, closed in files.items():
            before = known.get(key)
            mark = self._mark_of(key, marks) if marks.below else marks.here
            try:
                status = self._examined(key, closed, before, mark)
            except (FileNotFoundError, NotADirectoryError):
                self.waitlist.drop(key)
                self._complaints.withdraw(key)
                if before and mark is not None and self._disks.expected and version_on(before, mark):
                    found.gone.append((key, mark, before))
            except OSError as error:
                again = self._listing.again
                self.waitlist.put(key, again)
                self._complaints.make(f"cannot be read ({error.strerror}){advice(error)}", key, again=again)
            else:
                if status is not None and mark is not None:
                    found.complete.append((key, mark, before, status))
                elif status is not None:
                    self.waitlist.put(key, self._listing.again, closed=closed)
        return found

    def _told(self, found: Found) -> list[Delivery]:
        """Return what is told of files. What is gone goes first, so that it is known what was moved."""
        left: dict[str, bytes] = {}
        if self._disks.expected:
            left = {version_on(before, mark) or "": key for key, mark, before, _ in found.complete if before}
        deleted = [self._notices.deleted(*each) for each in found.gone]
        created = [self._notices.created(*each, left) for each in found.complete]
        created.sort(key=_in_order)
        return created + deleted

    def _examined(
        self, key: bytes, closed: bool | None, known: bytes | None, mark: bytes | None
    ) -> os.stat_result | None:
        """Return the status of a file that is to be delivered now, None of one that is not."""
        path = self._plain(key, known, mark)
        if path is None or not self._is_released(key):
            self.waitlist.drop(key)
            return None
        is_open, status = look(path, self._leases)
        self._complaints.withdraw(key)
        if is_open:
            self._wait_for_the_close(key, closed is True)
            return None
        # An empty file that nobody closed may have been seen between its creation and its opening. Where nobody
        # watches, in tests, what is there is complete: a clock that stands still settles nothing.
        certain = closed or not self._watched or (is_open is False and status.st_size > 0)
        if certain or self._marker is not None or self._is_settled(key, closed, is_open, status):
            self.waitlist.drop(key)
            if is_open is None and not certain:
                self._admit_to_guess(key, status)
            return status
        return None

    def _plain(self, key: bytes, known: bytes | None, mark: bytes | None) -> bytes | None:
        """Return the path of a plain file in the tree that is not as `known`, else None. It opens nothing.

        Raises `FileNotFoundError` where a file was told, and something else has its name.
        """
        path = self._prefix + key
        status = os.lstat(path)
        if known and self._was_told(key, known, status, mark):
            return None
        folder, _, name = key.rpartition(b"/")
        if self._folder.ignores(name):
            return None
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path)
            if not path.startswith(self._real_root):
                return None
            status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and self._is_inside(folder):
            return None if known and self._was_told(key, known, status, mark) else path
        if known:
            raise FileNotFoundError(path)
        return None

    def _was_told(self, key: bytes, known: bytes, status: os.stat_result, mark: bytes | None) -> bool:
        """Return whether a file is as it was told, on whichever disk; note where it is seen now, if that is another."""
        version = content_version(status)
        if mark is not None and known == version.encode() + mark:
            return True
        told = was_told(known, version)
        if told and mark is not None and self._disks.expected and version_on(known, mark) != version:
            self._seen_again[key] = revised(known, mark, version)
        return told

    def _is_inside(self, folder: bytes) -> bool:
        """Return whether no link leads to a folder: hints may be older than what now has its name."""
        if folder and folder not in self._inside:
            self._inside[folder] = os.path.realpath(self._prefix + folder) == self._real_root + folder
        return not folder or self._inside[folder]

    def _is_released(self, key: bytes) -> bool:
        """Return whether a file is no marker, and its own is there."""
        marker = self._marker
        return marker is None or (marker.marked(key.rpartition(b"/")[2]) is None and marker.releases(key))

    def _is_settled(self, key: bytes, closed: bool | None, is_open: bool | None, status: os.stat_result) -> bool:
        """Return whether a content has been the same for long enough. Who was seen to make a file will close it."""
        value = content_version(status)
        waiting = self.waitlist.get(key)
        if waiting is None or waiting.value != value:
            made = closed is None or (waiting is not None and waiting.closed is None)
            is_written = made and is_open is None and status.st_nlink == 1
            pause = max(self._folder.settle, _UNCLOSED) if is_written else self._folder.settle
            waiting = self.waitlist.put(key, pause, value=value, closed=None if is_written else False)
        return waiting.due <= self._clock.monotonic()

    def _admit_to_guess(self, key: bytes, status: os.stat_result) -> None:
        """Say once of a folder on which leases should tell it that they do not tell whether a file is written."""
        if not self._leases or self._marker is not None:
            return
        why = f"belongs to uid {status.st_uid}, and this is uid {os.geteuid()}"
        if status.st_uid == os.geteuid():
            why = "is on a file system without leases"
        what = (
            f"{why}, so that its writer is done is only guessed, from {self._folder.settle:g} s without a change;"
            " to be sure, run as the files' owner or with CAP_LEASE, have the writer rename when it is done,"
            " or declare a marker=; a longer settle= errs less often"
        )
        self._complaints.make(what, key, once=_GUESSED)

    def _wait_for_the_close(self, key: bytes, closed: bool) -> None:
        """Let an open file wait. The kernel tells of a close just before the file counts as closed."""
        waiting = self.waitlist.get(key)
        if not self._listing.hears:
            self.waitlist.put(key, max(self._folder.settle, _SHORTEST))
        elif waiting is not None and waiting.closed:
            self.waitlist.put(key, min(2 * waiting.pause, _LONGEST_CLOSE), closed=True)
        else:
            self.waitlist.put(key, _CLOSE if closed else None, closed=closed)


__all__ = ["Tree"]

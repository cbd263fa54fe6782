"""The files of a tree as they are listed, and the watch that each folder is under before it is listed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from triggers.sources import waitlist
from triggers.sources.complaints import Complaints, advice
from triggers.sources.folder import Folder
from triggers.sources.waitlist import Waitlist
from triggers.sources.watch import EVERYWHERE, Files, Hints, Watcher, start

BATCH = 1000
"""The most files that are looked at at once, and told in one batch of deliveries."""

_BLIND = b"/blind"  # what is complained about once for all places; no key begins with a slash


class Listing:
    """Goes through a tree. What cannot be watched or listed waits to be gone through again."""

    def __init__(
        self, folder: Folder, root: bytes, waitlist: Waitlist, complaints: Complaints, *, watched: bool
    ) -> None:
        self._folder = folder
        self._root = root
        self._waitlist = waitlist
        self._complaints = complaints
        self._watched = watched
        self.polled = False
        """Whether the kernel does not tell of all that changes here."""
        self._watcher: Watcher | None = None

    @property
    def again(self) -> float:
        """Return how many seconds what stands in the way waits to be looked at again."""
        return min(self._folder.poll or waitlist.AGAIN, waitlist.AGAIN)

    @property
    def hears(self) -> bool:
        """Say whether the kernel tells of this tree."""
        return self._watcher is not None

    def watch(self, hints: Hints) -> Callable[[], None]:
        """Start to watch and return what ends it. A folder is watched from the moment that it is walked."""
        try:
            self._watcher = start(self._root, hints, deletions=self._folder.deletions)
        except OSError as error:
            most = _limit("max_user_instances")
            self._complaints.make(
                f"cannot be watched ({error.strerror}), raise fs.inotify.max_user_instances (now {most})",
                EVERYWHERE,
                again=self._folder.poll or waitlist.AGAIN,
            )
            return lambda: None
        return self._watcher.stop

    def walk(self, place: bytes) -> Iterator[Files]:
        """Yield the keys of the files at or below a folder, `BATCH` at a time, holding no more of the tree."""
        if place != EVERYWHERE and self._folder.ignores(place.rpartition(b"/")[2]):
            return
        found: Files = {}
        path = [self._list(place)]
        while path:
            for key, is_folder in path[-1]:
                if is_folder:
                    path.append(self._list(key))
                    break
                found[key] = False
                if len(found) == BATCH:
                    yield found
                    found = {}
            else:
                path.pop()
        if found:
            yield found

    def _list(self, place: bytes) -> Iterator[tuple[bytes, bool]]:
        """Watch first, then list: what comes between the two is seen twice, and not never."""
        try:
            self._watch(place)
            with os.scandir(self._root + b"/" + place) as entries:
                yield from self._of_interest(place + b"/" if place else b"", entries)
            self._complaints.withdraw(place)
        except OSError as error:
            if place != EVERYWHERE and isinstance(error, FileNotFoundError | NotADirectoryError):
                return  # gone again
            self._waitlist.put(place, self.again, is_folder=True)
            what = f"cannot be listed ({error.strerror}), nothing below it arrives{advice(error)}"
            self._complaints.make(what, place, again=self.again)

    def _of_interest(self, prefix: bytes, entries: Iterator[os.DirEntry[bytes]]) -> Iterator[tuple[bytes, bool]]:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) or entry.is_symlink():
                yield prefix + entry.name, False
            elif entry.is_dir(follow_symlinks=False) and not self._folder.ignores(entry.name):
                yield prefix + entry.name, True

    def _watch(self, place: bytes) -> None:
        if not self._watched:
            return
        try:
            if self._watcher is not None:
                self._watcher.add(place)
            if place == EVERYWHERE and (self.polled or self._watcher is None):
                self._waitlist.put(place, self._folder.poll, is_folder=True)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._poll_blind(place)

    def _poll_blind(self, place: bytes) -> None:
        """Have a folder walked again that the kernel has no watch for, with all that is below it."""
        if not any(self._waitlist.get(above) for above in _above(place)):
            self._waitlist.put(place, self.again, is_folder=True)
        most = _limit("max_user_watches")
        what = f"and more cannot be watched (too many folders), raise fs.inotify.max_user_watches (now {most})"
        self._complaints.make(what, place, once=_BLIND, again=self.again)


def _above(place: bytes) -> Iterator[bytes]:
    """Yield the folders that a folder lies in."""
    while place:
        place = place.rpartition(b"/")[0]
        yield place


def _limit(name: str) -> str:
    path = Path("/proc/sys/fs/inotify", name)
    return path.read_text().strip() if path.exists() else "unknown"


__all__ = ["BATCH", "Listing"]

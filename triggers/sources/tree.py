"""What is in a folder: its files as they are found, looked at and told.

All that touches the files is in here, and runs in one thread of the folder's own, so that neither a big tree nor a
dead network share stops the event loop.
"""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote_from_bytes

from pydantic_core import to_json

from triggers.clock import Clock
from triggers.content import content_version
from triggers.events import ObjectCreated, ObjectDeleted
from triggers.sources import Delivery
from triggers.sources.folder import Folder
from triggers.sources.lease import has_leases, look
from triggers.sources.marker import Marker
from triggers.sources.mounts import identity, is_remote, mark_of, same_disk
from triggers.sources.waitlist import Waitlist
from triggers.sources.watch import EVERYWHERE, Hints, Watcher, start

BATCH = 1000
"""The most files in one batch of deliveries."""
AGAIN = 10.0
"""Seconds until a place that the kernel tells nothing of, and a file that cannot be delivered, is looked at unasked."""
GONE = b""
"""What the ledger holds for a file that was told and is gone."""

_MOST_GONE = 10_000  # of those that were found gone last, the names are kept, to see where they were moved
_SHORTEST = 0.05  # seconds between two looks at an open file of which the kernel will not tell
_CLOSE, _LONGEST_CLOSE = 0.0005, 1.0  # seconds, and the most, between two looks at a file that is being closed

_log = logging.getLogger("triggers.folder")

Files = dict[bytes, bool]
"""Keys of files, with whether a hint said that their writer closed or renamed them."""


class Tree:
    """What is in a folder, and what of it waits. One thread at a time may use it."""

    def __init__(self, folder: Folder, clock: Clock, watched: bool) -> None:
        self.waitlist = Waitlist(clock)
        self._folder = folder
        self._clock = clock
        self._watched = watched
        self._watcher: Watcher | None = None
        self._complained: set[bytes] = set()
        self._root = folder.require()
        self._real_root = b""
        self._inside: dict[bytes, bool] = {}
        self._find_root()
        self._uri = f"file://{quote_from_bytes(self._root)}/"
        self.remote = folder.poll is not None or is_remote(self._root)
        self._leases = has_leases() and not self.remote
        patterns = "|".join(map(fnmatch.translate, folder.ignore)) or "(?!)"
        self._is_ignored = re.compile(os.fsencode(patterns)).match  # of a name, not of a key
        self._marker = Marker(self._root, folder.marker) if folder.marker is not None else None
        self._disk: bytes | None = None
        self._gone: dict[bytes, bytes] = {}

    def _find_root(self) -> None:
        """Look where the root is now: it may be a link that leads elsewhere than before."""
        self._real_root = os.path.realpath(self._root).rstrip(b"/") + b"/"

    # --- the watch

    def watch(self, hints: Hints) -> Callable[[], None]:
        """Start to watch and return what ends it. A folder is watched from the moment that it is walked."""
        try:
            self._watcher = start(self._root, hints, deletions=self._folder.deletions)
        except OSError as error:
            most = _limit("max_user_instances")
            self._complain(
                EVERYWHERE, f"cannot be watched ({error.strerror}), raise fs.inotify.max_user_instances (now {most})"
            )
            return lambda: None
        return self._watcher.stop

    def wants(self, key: bytes) -> bool:
        """Return whether a hint about a file leads to anything."""
        name = key.rpartition(b"/")[2]
        return not self._is_ignored(name) or (self._marker is not None and self._marker.marked(name) is not None)

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

    # --- finding

    def walk(self, place: bytes) -> Iterator[Files]:
        """Yield the keys of the files at or below a folder, `BATCH` at a time, holding no more of the tree."""
        if place != EVERYWHERE and self._is_ignored(place.rpartition(b"/")[2]):
            return
        if place == EVERYWHERE:
            self._find_root()
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
        prefix = place + b"/" if place else b""
        try:
            self._watch(place)
            with os.scandir(self._root + b"/" + place) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        if entry.is_file(follow_symlinks=False) or entry.is_symlink():
                            yield prefix + entry.name, False
                    elif not self._is_ignored(entry.name):
                        yield prefix + entry.name, True
            self._complained.discard(place)
        except OSError as error:
            if place != EVERYWHERE and isinstance(error, FileNotFoundError | NotADirectoryError):
                return  # gone again
            self.waitlist.put(place, AGAIN, is_folder=True)
            self._complain(place, f"cannot be listed ({error.strerror}), nothing below it arrives{_advice(error)}")

    def _watch(self, place: bytes) -> None:
        if not self._watched:
            return
        try:
            if self._watcher is not None:
                self._watcher.add(place)
            if place == EVERYWHERE and (self.remote or self._watcher is None):
                self.waitlist.put(place, self._folder.poll or AGAIN, is_folder=True)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._poll_blind(place)

    def _poll_blind(self, place: bytes) -> None:
        """Have a folder walked again that the kernel has no watch for, with all that is below it."""
        if not any(self.waitlist.get(above) for above in _above(place)):
            self.waitlist.put(place, AGAIN, is_folder=True)
        most = _limit("max_user_watches")
        self._complain(
            _BLIND, f"and more cannot be watched (too many folders), raise fs.inotify.max_user_watches (now {most})",
            place,
        )  # fmt: skip

    # --- what is gone

    def disk(self) -> bytes | None:
        """Return what the folder's disk is known by now, None if there is no folder."""
        try:
            return identity(self._root)
        except OSError:
            return None

    def expect(self, disk: bytes | None) -> None:
        """Tell deletions from now on, if there is a disk. What is told on another one is remembered with its mark."""
        self._disk = disk

    def missing(self, known: Mapping[bytes, bytes]) -> Files:
        """Return those of the remembered files that were on the disk that is there now, and are not any more."""
        mark = self._disk_mark()
        gone = {key: False for key, value in known.items() if _on(value, mark) and not self._is_there(key)}
        return gone if mark == self._disk_mark() else {}

    def _is_there(self, key: bytes) -> bool:
        try:
            mode = os.lstat(self._root + b"/" + key).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # who knows
            return True
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)

    def _disk_mark(self) -> bytes | None:
        """Return what marks the memories of the disk that is there now: nothing for the first; None without one."""
        disk = self.disk()
        if self._disk is None or disk is None or same_disk(self._disk, disk):
            return None if disk is None else b""
        self._complain(
            _ELSEWHERE, "is on another disk than it was: what that one held is not told as deleted", EVERYWHERE
        )
        return mark_of(disk)

    # --- looking

    def examine(self, files: Files, known: Mapping[bytes, bytes]) -> list[Delivery]:
        """Return deliveries of the files that are complete, or gone, and not as `known`."""
        complete: list[tuple[bytes, os.stat_result]] = []
        deleted: list[Delivery] = []
        mark = b"" if self._disk is None else self._disk_mark()
        self._inside.clear()
        if self._marker is not None:
            self._marker.forget()
        for key, closed in files.items():
            before = known.get(key)
            try:
                if before and self._is_as_known(key, before):
                    self.waitlist.drop(key)
                    continue
                status = self._examined(key, closed, before)
            except (FileNotFoundError, NotADirectoryError):
                self.waitlist.drop(key)
                self._complained.discard(key)
                if before and self._disk is not None and _on(before, mark):
                    deleted.append(self._deletion(key, before))
            except OSError as error:
                self.waitlist.put(key, AGAIN)
                self._complain(key, f"cannot be read ({error.strerror}){_advice(error)}")
            else:
                if status is not None:
                    complete.append((key, status))
        created = [self._creation(key, status, mark) for key, status in complete]  # now it is known what was moved
        created.sort(key=lambda delivery: (delivery.time, delivery.id))  # told in the order in which it was written
        return created + deleted if deleted and self._disk_mark() == mark else created

    def _is_as_known(self, key: bytes, known: bytes) -> bool:
        """Return whether a file is as it was told; of a link it is not found out here."""
        value = _value(os.lstat(self._root + b"/" + key))
        return known == value or known.startswith(value + b"@")

    def _examined(self, key: bytes, closed: bool, known: bytes | None) -> os.stat_result | None:
        """Return the status of a file that is to be delivered now, None of one that is not."""
        path = self._plain(key, known)
        if path is None or not self._is_released(key):
            self.waitlist.drop(key)
            return None
        is_open, status = look(path, self._leases)
        self._complained.discard(key)
        if is_open:
            self._wait_for_the_close(key, closed)
            return None
        # An empty file that nobody closed may have been seen between its creation and its opening. Where nobody
        # watches, in tests, what is there is complete: a clock that stands still settles nothing.
        certain = closed or not self._watched or (is_open is False and status.st_size > 0)
        if certain or self._marker is not None or self._is_settled(key, _value(status)):
            self.waitlist.drop(key)
            return status
        return None

    def _plain(self, key: bytes, known: bytes | None) -> bytes | None:
        """Return the path of a plain file in the tree that is not as `known`, else None. It opens nothing.

        Raises `FileNotFoundError` where a file was told, and something else has its name.
        """
        if self._is_ignored(key.rpartition(b"/")[2]):
            return None
        path = self._root + b"/" + key
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path)
            if not path.startswith(self._real_root):
                return None
            status = os.lstat(path)
        if not (stat.S_ISREG(status.st_mode) and self._is_inside(key.rpartition(b"/")[0])):
            if known:
                raise FileNotFoundError(path)
            return None
        return None if known and _value(status) == known.partition(b"@")[0] else path

    def _is_inside(self, folder: bytes) -> bool:
        """Return whether no link leads to a folder: hints may be older than what now has its name."""
        if folder and folder not in self._inside:
            self._inside[folder] = os.path.realpath(self._root + b"/" + folder) == self._real_root + folder
        return not folder or self._inside[folder]

    def _is_released(self, key: bytes) -> bool:
        """Return whether a file is no marker, and its own is there."""
        marker = self._marker
        return marker is None or (marker.marked(key.rpartition(b"/")[2]) is None and marker.releases(key))

    def _is_settled(self, key: bytes, value: bytes) -> bool:
        waiting = self.waitlist.get(key)
        if waiting is None or waiting.value != value:
            waiting = self.waitlist.put(key, self._folder.settle, value=value)
        return waiting.due <= self._clock.monotonic()

    def _wait_for_the_close(self, key: bytes, closed: bool) -> None:
        """Let an open file wait. The kernel tells of a close just before the file counts as closed."""
        waiting = self.waitlist.get(key)
        if self._watcher is None:
            self.waitlist.put(key, max(self._folder.settle, _SHORTEST))
        elif waiting is not None and waiting.closed:
            self.waitlist.put(key, min(2 * waiting.pause, _LONGEST_CLOSE), closed=True)
        else:
            self.waitlist.put(key, _CLOSE if closed else AGAIN, closed=closed)

    def _complain(self, about: bytes, what: str, place: bytes | None = None) -> None:
        """Log a warning, the first time that something stands in the way of this place."""
        if about not in self._complained:
            self._complained.add(about)
            key = about if place is None else place
            shown = os.fsdecode(os.path.join(self._root, key).rstrip(b"/")).encode("utf-8", "backslashreplace").decode()
            _log.warning("%s: %s %s; looked at again every %g s", self._folder.name, shown, what, AGAIN)

    # --- telling

    def _creation(self, key: bytes, status: os.stat_result, mark: bytes | None) -> Delivery:
        text = key.decode("utf-8", "backslashreplace")
        version = content_version(status.st_ino, status.st_size, status.st_mtime_ns)
        uri = self._uri + quote_from_bytes(key)
        payload: dict[str, object] = {"key": text, "uri": uri, "size": status.st_size, "version": version}
        if moved := self._gone.pop(version.encode(), None):
            payload["moved_from"] = moved.decode("utf-8", "backslashreplace")
        return Delivery(
            source=self._folder.name,
            id=f"{text}@{version}",
            type=ObjectCreated.__event_type__,
            data=to_json(payload).decode(),
            time=status.st_mtime,
            subject=text,
            memory=(key, version.encode() + (mark or b"")),
        )

    def _deletion(self, key: bytes, known: bytes) -> Delivery:
        text, version, now = key.decode("utf-8", "backslashreplace"), _version_in(known), self._clock.now()
        self._gone[version.encode()] = key
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        return Delivery(
            source=self._folder.name,
            id=f"{text}@{version}-gone-{int(now * 1e6):x}",
            type=ObjectDeleted.__event_type__,
            data=to_json({"key": text, "uri": self._uri + quote_from_bytes(key), "version": version}).decode(),
            time=now,
            subject=text,
            memory=(key, GONE),
        )


_BLIND, _ELSEWHERE = b"/blind", b"/elsewhere"  # what is complained about that is no place; no key begins with a slash


def _on(known: bytes, mark: bytes | None) -> bool:
    """Return whether a file was told on the disk of that mark."""
    return b"".join(known.partition(b"@")[1:]) == mark


def _version_in(known: bytes) -> str:
    return known.partition(b"@")[0].decode()


def _above(place: bytes) -> Iterator[bytes]:
    """Yield the folders that a folder lies in."""
    while place:
        place = place.rpartition(b"/")[0]
        yield place


def _advice(error: OSError) -> str:
    return f"; give uid {os.geteuid()} the right to read it" if isinstance(error, PermissionError) else ""


def _limit(name: str) -> str:
    path = Path("/proc/sys/fs/inotify", name)
    return path.read_text().strip() if path.exists() else "unknown"


def _value(status: os.stat_result) -> bytes:
    return content_version(status.st_ino, status.st_size, status.st_mtime_ns).encode()


__all__ = ["AGAIN", "BATCH", "GONE", "Files", "Tree"]

"""A folder as a source of events, and as a named place for results."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import cache
from pathlib import Path

from triggers.errors import WiringError
from triggers.sources import Delivery, Site
from triggers.spans import Span, seconds

IGNORED = (".*", "*~", "*.tmp", "*.part", "*.crdownload", "*.swp")
"""Names of files and folders that are not looked at: hidden, back-up and unfinished ones."""


class Folder:
    """A folder; every complete file in it, at any depth, becomes one `ObjectCreated` for each content that it has.

    `name` is how routes and bindings call it, the last part of the path if not given. `ignore` are shell patterns of
    file and folder names that are not looked at. Ignored too are devices, pipes and sockets, links to folders, and
    links that lead out of the folder.

    A file is complete when the kernel says that no process has it open for writing. Where the kernel cannot say it
    (files of other owners, network file systems, other systems than Linux), it is complete when its writer closed or
    renamed it, or when its size and its time of modification stayed the same for `settle` seconds. The latter is a
    guess, of which a warning is given.

    With a `marker`, files wait for it besides: `_SUCCESS` releases all files of the folder that it lies in and of
    those below; with a star, which stands for the file's name, each has one of its own: `*.done` is `x.csv.done` for
    `x.csv`. Markers are not told.

    With `deletions`, a file that was told and is gone becomes an `ObjectDeleted`, and an `ObjectCreated` names in
    `moved_from` the file that it was before.

    `poll` says that the kernel cannot be relied on here, as on a network file system that we do not know to be one:
    every so many seconds everything is looked at.
    """

    __slots__ = ("deletions", "ignore", "marker", "name", "path", "poll", "settle")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        ignore: Iterable[str] = IGNORED,
        settle: Span = 1.0,
        marker: str | None = None,
        deletions: bool = False,
        poll: Span | None = None,
    ) -> None:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or "\0" in os.fspath(path):
            raise WiringError(f"a folder at {path!r} cannot be; write its path as text or as a Path")
        self.path = Path(path)
        self.name = self.path.name if name is None else name
        if not isinstance(self.name, str) or not self.name:
            raise WiringError(f"a folder at {os.fspath(path)!r} needs a name of its own; add name='...'")
        self.ignore = self._patterns(ignore)
        self.settle = seconds(f"folder {self.name!r}", "settle", settle, zero=True)
        self.marker = marker
        self.deletions = deletions
        self.poll = None if poll is None else seconds(f"folder {self.name!r}", "poll", poll)
        self._check()

    def _check(self) -> None:
        if not isinstance(self.deletions, bool):
            raise WiringError(f"folder {self.name!r}: deletions is True or False, not {self.deletions!r}")
        if self.marker is not None and not _can_be_a_marker(self.marker):
            raise WiringError(
                f"folder {self.name!r}: marker={self.marker!r} names no file; write the name of one for a whole folder,"
                " as '_SUCCESS', or with one star for the name of each file, as '*.done'"
            )

    def _patterns(self, ignore: Iterable[str]) -> tuple[str, ...]:
        """Return the patterns to ignore; raises `WiringError` for one that no name would ever match."""
        if isinstance(ignore, str | bytes) or not isinstance(ignore, Iterable):
            raise WiringError(f"folder {self.name!r}: ignore={ignore!r} must be a list of patterns: ['*.tmp']")
        patterns = tuple(ignore)
        for pattern in patterns:
            if not isinstance(pattern, str) or not pattern:
                raise WiringError(f"folder {self.name!r}: ignore= holds {pattern!r}; write patterns as text: '*.tmp'")
            if "/" in pattern:
                raise WiringError(
                    f"folder {self.name!r}: ignore= holds {pattern!r}, but patterns are of names, in which there is no"
                    f" slash; write the name of the file or folder: {pattern.strip('/').rpartition('/')[2]!r}"
                )
        return patterns

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r}, name={self.name!r})"

    def bind(self, path: str | os.PathLike[str]) -> Folder:
        """Return the same source with its data at another place."""
        return Folder(
            path,
            name=self.name,
            ignore=self.ignore,
            settle=self.settle,
            marker=self.marker,
            deletions=self.deletions,
            poll=self.poll,
        )

    def ignores(self, name: str | bytes) -> bool:
        """Return whether a file or folder of that name, which is no path, is not looked at."""
        return _any_of(self.ignore).match(os.fsdecode(name)) is not None

    def require(self) -> bytes:
        """Return the folder's absolute path; raises `WiringError` where there is no such folder, or a locked one."""
        path = os.path.abspath(os.fsencode(self.path)).rstrip(b"/")
        shown = os.fsencode(self.path).decode("utf-8", "backslashreplace")
        elsewhere = f"bind the source elsewhere with --bind {self.name}=PATH"
        if not os.path.isdir(path + b"/"):
            is_file = os.path.exists(path)
            what = "is not a folder; name the one that it lies in" if is_file else "does not exist; create it"
            raise WiringError(f"folder {shown} (source {self.name!r}) {what} or {elsewhere}")
        if not os.access(path + b"/", os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise WiringError(
                f"folder {shown} (source {self.name!r}) cannot be read by uid {os.geteuid()};"
                f" give it the right to list and to enter it (r and x), or {elsewhere}"
            )
        return path

    def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield what the folder holds and the ledger does not know, then what arrives.

        Raises `WiringError` when the folder does not exist at the start. Should it go away later, it is awaited.
        """
        from triggers.sources.folder_scan import follow  # loads the watcher: a folder is declared by every app

        return follow(self, site)


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or "(?!)")


def _can_be_a_marker(marker: object) -> bool:
    return (
        isinstance(marker, str)
        and "/" not in marker
        and "\0" not in marker
        and marker.count("*") <= 1
        and marker not in ("", "*", ".", "..")
    )


__all__ = ["IGNORED", "Folder"]

"""A folder as a source of events, and as a named place for results."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from triggers.errors import WiringError
from triggers.sources import Delivery, Site

IGNORED = (".*", "*~", "*.tmp", "*.part", "*.crdownload", "*.swp")
"""Names of files and folders that are not looked at: hidden, back-up and unfinished ones."""


class Folder:
    """A folder; every complete file in it, at any depth, becomes one `ObjectCreated` for each content that it has.

    `name` is how routes and bindings call it, the last part of the path if not given. `ignore` are shell patterns of
    file and folder names that are not looked at. Ignored too are devices, pipes and sockets, links to folders, and
    links that lead out of the folder.

    A file is complete when the kernel says that no process has it open for writing. Where the kernel cannot say it
    (files of other owners, network file systems, other systems than Linux), it is complete when its writer closed or
    renamed it, or when its size and its time of modification stayed the same for `settle` seconds.

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
        settle: float = 1.0,
        marker: str | None = None,
        deletions: bool = False,
        poll: float | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.name if name is None else name
        if isinstance(ignore, str):
            raise WiringError(f"folder {os.fspath(path)!r}: ignore={ignore!r} must be a list of patterns: [{ignore!r}]")
        if not self.name:
            raise WiringError(f"a folder at {os.fspath(path)!r} needs a name of its own; add name='...'")
        self.ignore = tuple(ignore)
        self.settle = settle
        self.marker = marker
        self.deletions = deletions
        self.poll = poll
        self._check()

    def _check(self) -> None:
        if not self.settle >= 0:
            raise WiringError(f"folder {self.name!r}: settle is in seconds and 0 or more, not {self.settle}")
        if self.poll is not None and not self.poll > 0:
            raise WiringError(f"folder {self.name!r}: poll is in seconds and more than 0, not {self.poll}")
        if self.marker is not None and (
            "/" in self.marker or self.marker.count("*") > 1 or self.marker in ("", "*", ".", "..")
        ):
            raise WiringError(
                f"folder {self.name!r}: marker={self.marker!r} names no file; write the name of one for a whole folder,"
                " as '_SUCCESS', or with one star for the name of each file, as '*.done'"
            )

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

    def require(self) -> bytes:
        """Return the folder's absolute path; raises `WiringError` where there is no such folder, or a locked one."""
        path = os.path.abspath(os.fsencode(self.path)).rstrip(b"/")
        elsewhere = f"bind the source elsewhere with --bind {self.name}=PATH"
        if not os.path.isdir(path + b"/"):
            what = "is not a folder" if os.path.exists(path) else "does not exist"
            raise WiringError(f"folder {self.path} (source {self.name!r}) {what}; create it or {elsewhere}")
        if not os.access(path + b"/", os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise WiringError(
                f"folder {self.path} (source {self.name!r}) cannot be read by uid {os.geteuid()};"
                f" give it the right to list and to enter it (r and x), or {elsewhere}"
            )
        return path

    def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield what the folder holds and the ledger does not know, then what arrives.

        Raises `WiringError` when the folder does not exist at the start. Should it go away later, it is awaited.
        """
        from triggers.sources.folder_scan import follow  # loads the watcher: a folder is declared by every app

        return follow(self, site)


__all__ = ["IGNORED", "Folder"]

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
    """

    __slots__ = ("ignore", "name", "path", "settle")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        ignore: Iterable[str] = IGNORED,
        settle: float = 1.0,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.name if name is None else name
        if isinstance(ignore, str):
            raise WiringError(f"folder {os.fspath(path)!r}: ignore={ignore!r} must be a list of patterns: [{ignore!r}]")
        self.ignore = tuple(ignore)
        self.settle = settle
        if not self.name:
            raise WiringError(f"a folder at {os.fspath(path)!r} needs a name of its own; add name='...'")
        if not settle >= 0:
            raise WiringError(f"folder {self.name!r}: settle is in seconds and 0 or more, not {settle}")

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r}, name={self.name!r})"

    def bind(self, path: str | os.PathLike[str]) -> Folder:
        """Return the same source with its data at another place."""
        return Folder(path, name=self.name, ignore=self.ignore, settle=self.settle)

    def require(self) -> bytes:
        """Return the folder's absolute path; raises `WiringError` where there is no such folder."""
        path = os.path.abspath(os.fsencode(self.path)).rstrip(b"/")
        if not os.path.isdir(path + b"/"):
            what = "is not a folder" if os.path.exists(path) else "does not exist"
            raise WiringError(
                f"folder {self.path} (source {self.name!r}) {what}; "
                f"create it or bind the source elsewhere with --bind {self.name}=PATH"
            )
        return path

    def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield what the folder holds and the ledger does not know, then what arrives.

        Raises `WiringError` when the folder does not exist at the start. Should it go away later, it is awaited.
        """
        from triggers.sources.folder_scan import follow  # loads the watcher: a folder is declared by every app

        return follow(self, site)


__all__ = ["IGNORED", "Folder"]

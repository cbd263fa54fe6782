"""Markers: files that say of others that they are complete. A folder of a marker's name is none."""

from __future__ import annotations

import os
import stat


class Marker:
    """Which files a folder's marker releases. `pattern` is as in `Folder(marker=...)`."""

    def __init__(self, root: bytes, pattern: str) -> None:
        self._root = root
        self._before, self._star, self._after = os.fsencode(pattern).partition(b"*")
        self._released: dict[bytes, bool] = {}

    def marked(self, name: bytes) -> bytes | None:
        """Return the name of the file that a file of this name releases, empty for all; None if it is no marker."""
        if not self._star:
            return b"" if name == self._before else None
        marked = name[len(self._before) : len(name) - len(self._after)]
        return marked if marked and name == self._before + marked + self._after else None

    def releases(self, key: bytes) -> bool:
        """Return whether the marker of a file is there."""
        folder, slash, name = key.rpartition(b"/")
        if self._star:
            return self._is_there(folder + slash + self._before + name + self._after)
        if folder not in self._released:
            self._released[folder] = self._is_there(folder + slash + self._before) or (
                bool(folder) and self.releases(folder)
            )
        return self._released[folder]

    def forget(self) -> None:
        """Look anew from now on."""
        self._released.clear()

    def _is_there(self, key: bytes) -> bool:
        try:
            return not stat.S_ISDIR(os.lstat(self._root + b"/" + key).st_mode)
        except OSError:
            return False


__all__ = ["Marker"]

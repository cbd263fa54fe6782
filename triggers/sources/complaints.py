"""What stands in the way in a folder, said in the log."""

from __future__ import annotations

import logging
import os

_log = logging.getLogger("triggers.folder")


class Complaints:
    """Warnings about places, each given once until what it is about is out of the way."""

    def __init__(self, source: str, root: bytes) -> None:
        self._source = source
        self._root = root
        self._made: set[bytes] = set()

    def make(self, what: str, about: bytes, *, once: bytes | None = None, again: float | None = None) -> None:
        """Warn about a place, if nothing has been said of it yet, or of what is said `once` for all places.

        `again` is after how many seconds it is looked at again, if it is.
        """
        if (topic := about if once is None else once) not in self._made:
            self._made.add(topic)
            shown = os.path.join(self._root, about).rstrip(b"/").decode("utf-8", "backslashreplace")
            tail = "" if again is None else f"; looked at again every {again:g} s"
            _log.warning("%s: %s %s%s", self._source, shown, what, tail)

    def withdraw(self, about: bytes) -> None:
        """Complain anew should something stand in the way again."""
        self._made.discard(about)


def advice(error: OSError) -> str:
    """Return what to do about an error, to be put behind its words; nothing where we do not know."""
    return f"; give uid {os.geteuid()} the right to read it" if isinstance(error, PermissionError) else ""


__all__ = ["Complaints", "advice"]

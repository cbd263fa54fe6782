"""What came from outside and cannot be an event: kept in the state folder for a person, with the reason beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from hashlib import sha256
from pathlib import Path

from triggers import folders
from triggers.errors import StateError

LONGEST_NAME = 150
"""Characters of a file's name, before what we add to it."""

log = logging.getLogger("triggers.rejections")


class Rejections:
    """The folder `rejected/` of a state folder: `SOURCE-ID.json` and `SOURCE-ID.json.reason` for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        """How many there were since the start."""

    async def keep(self, source: str, id: str, content: str, reason: str) -> None:
        """Keep what came, and the reason, and say so. Both survive a power loss when this returns.

        What comes again replaces itself. Raises `StateError` where the folder cannot be written.
        """
        path = self.folder / f"{_fit(f'{source}-{id}')}.json"
        try:
            await asyncio.to_thread(_write, path, content, reason)
        except OSError as error:
            raise StateError(f"{path} cannot be written ({error.strerror}); nothing was acknowledged") from error
        self.count += 1
        log.error("source %r: %s was rejected (%s) and lies in %s", source, id, reason, path)


def _fit(wanted: str) -> str:
    """Return a name that fits into a folder: itself, or what is left of it with a digest."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", wanted)[:LONGEST_NAME]
    return plain if plain == wanted else f"{plain}-{sha256(wanted.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _write(path: Path, content: str, reason: str) -> None:
    folders.make(path.parent, 0o700)
    for place, text in ((path.with_name(f"{path.name}.reason"), f"{reason}\n"), (path, content)):
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
            file.flush()
            os.fsync(file.fileno())
    folders.sync(path.parent)


__all__ = ["Rejections"]

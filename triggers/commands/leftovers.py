"""Files of a state folder that nobody comes back to: what a process left, say, that was killed amid a send."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from triggers.commands.output import count
from triggers.findings import Finding, Verdict
from triggers.state import OURS, StateFolder

FRESH: Final = 60.0
"""Seconds for which a file that is not finished may be somebody's work."""

_WHAT: Final = "state files"


def of_files(place: StateFolder) -> Iterator[Finding]:
    """Yield what does not belong to anything. Nobody was told that any of it was taken in."""
    found = [*_unfinished(place), *_single(place), *_strangers(place)]
    yield from found or [Finding(_WHAT, Verdict.OK, "each belongs to something")]


def _unfinished(place: StateFolder) -> Iterator[Finding]:
    """Yield batches whose writer was killed before it could give them their names."""
    before = time.time() - FRESH
    for folder in (place.inbox, place.requests):
        old = [path for path in folder.glob(".*.tmp") if _modified(path) < before]
        if old:
            seen = f"{count(len(old), 'batch', 'batches')} in {folder} whose sender was killed, and so was told nothing"
            yield Finding(_WHAT, Verdict.WARNING, f"{seen}; delete {old[0]}{' and the others' if old[1:] else ''}")


def _single(place: StateFolder) -> Iterator[Finding]:
    """Yield what was rejected without a reason beside it, and reasons of what is not there."""
    for folder in (place.inbox / "rejected", place.requests / "rejected", place.rejected):
        names = {path.name for path in folder.glob("*")}
        for name in sorted(names):
            if name.endswith(".reason") and name.removesuffix(".reason") not in names:
                yield Finding(_WHAT, Verdict.WARNING, f"{folder / name} is about nothing that is there; delete it")
            elif not name.endswith(".reason") and f"{name}.reason" not in names:
                yield Finding(
                    _WHAT, Verdict.WARNING, f"{folder / name} was rejected without a reason; read it, or delete it"
                )


def _strangers(place: StateFolder) -> Iterator[Finding]:
    for name in sorted({path.name for path in place.path.iterdir()} - OURS):
        yield Finding(_WHAT, Verdict.WARNING, f"{place.path / name} is none of ours; move it away")


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # its writer has just given it its name
        return time.time()

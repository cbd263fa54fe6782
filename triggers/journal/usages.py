"""What isolated runs were seen to use, as people ask for it."""

from __future__ import annotations

from typing import NamedTuple

import apsw

NEWEST = 100_000
"""How many of the newest runs are looked at."""


class Used(NamedTuple):
    """What a run that has ended used in its last attempt."""

    route: str
    size: int
    """Bytes of its input."""
    seconds: float
    memory: float
    """Bytes at most."""
    cpu: float
    """Seconds."""
    short: bool
    """Whether it died of too little memory, and so would have used more."""


def used(connection: apsw.Connection, route: str | None = None) -> list[Used]:
    """Return what the newest measured runs used, of all routes or of one."""
    rows = connection.execute(_USED, (route, route, NEWEST))
    return [Used(name, size, took, memory, cpu, bool(short)) for name, size, took, memory, cpu, short in rows]


_USED = """
SELECT route, ifnull(size, 0), max(0, ended - started), usage.memory, usage.cpu,
       ifnull(error LIKE 'MemoryExceeded:%', 0)
FROM usage JOIN run ON run.number = usage.run
WHERE ended IS NOT NULL AND started IS NOT NULL AND (? IS NULL OR route = ?)
ORDER BY usage.run DESC LIMIT ?"""

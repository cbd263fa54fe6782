"""Schedules that are paused, kept as what the source `paused` remembers: a name and since when, in Unix seconds."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from triggers.journal.orders import first_time
from triggers.schedule.standing import Standing
from triggers.sources import PAUSED


def pause(request: str, schedule: str, now: float) -> Callable[[apsw.Connection], dict[str, float]]:
    """Return the order that pauses a schedule; it returns all that are paused then.

    `request` is the identity of the request; nothing is done where it was a duplicate.
    """

    def apply(connection: apsw.Connection) -> dict[str, float]:
        if first_time(connection, request):
            connection.execute(_PAUSE, (PAUSED, schedule.encode(), repr(now).encode()))
        return paused(connection)

    return apply


def resume(request: str, schedule: str, now: float) -> Callable[[apsw.Connection], dict[str, float]]:
    """Return the order that lets a schedule fire again: from now on, for what came due meanwhile was not missed."""

    def apply(connection: apsw.Connection) -> dict[str, float]:
        if first_time(connection, request):
            name = schedule.encode()
            connection.execute("DELETE FROM ledger WHERE source = ? AND key = ?", (PAUSED, name))
            if connection.changes():
                _forget(connection, name, now)
        return paused(connection)

    return apply


def paused(connection: apsw.Connection) -> dict[str, float]:
    """Return the names of the schedules that are paused, and since when."""
    rows = connection.execute("SELECT key, value FROM ledger WHERE source = ? ORDER BY key", (PAUSED,))
    return {bytes(name).decode(): float(bytes(since)) for name, since in rows}


def _forget(connection: apsw.Connection, name: bytes, now: float) -> None:
    """Let the timer go on from now."""
    memory = connection.execute(_FIND, (name,)).get
    if memory is not None:
        connection.execute(_PUT, (bytes(Standing.at(now, Standing.read(memory).text)), name))


_PAUSE = "INSERT INTO ledger (source, key, value, event) VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING"
_FIND = "SELECT value FROM ledger WHERE source = 'timer' AND key = ?"
_PUT = "UPDATE ledger SET value = ? WHERE source = 'timer' AND key = ?"

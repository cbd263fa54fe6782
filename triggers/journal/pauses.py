"""What is paused: schedules, which do not fire, and routes, of which nothing starts.

Both are kept as what a source remembers: `paused` has the names of schedules and since when, in Unix seconds, `paused
routes` those of routes, since when and by whom. The empty name there is that of the whole app.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import apsw

from triggers.journal.orders import first_time
from triggers.sources import PAUSED, PAUSED_ROUTES

APP: Final = ""
"""The name under which the whole app is paused."""


class Pause(NamedTuple):
    """That nothing of a route, or of the whole app, starts."""

    route: str
    since: float
    """Unix seconds."""
    by: str
    """Who asked for it."""

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        what, command = ("paused", f"resume {self.route}") if self.route else ("the whole app is paused", "resume")
        return f"{what} since {since} by {self.by}; `triggers {command}` lets it go on"


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
            connection.execute(_RESUME, (PAUSED, name))
            if connection.changes():
                _forget(connection, name, now)
        return paused(connection)

    return apply


def paused(connection: apsw.Connection) -> dict[str, float]:
    """Return the names of the schedules that are paused, and since when."""
    rows = connection.execute(_PAUSED, (PAUSED,))
    return {bytes(name).decode(): float(bytes(since)) for name, since in rows}


def pause_routes(
    request: str, routes: Sequence[str], by: str, now: float
) -> Callable[[apsw.Connection], dict[str, Pause]]:
    """Return the order that pauses routes, or without any the whole app; it returns all that are paused then."""

    def apply(connection: apsw.Connection) -> dict[str, Pause]:
        if first_time(connection, request):
            value = f"{now!r} {by}".encode()
            rows = [(PAUSED_ROUTES, route.encode(), value) for route in routes or [APP]]
            connection.executemany(_PAUSE, rows)
        return paused_routes(connection)

    return apply


def resume_routes(request: str, routes: Sequence[str]) -> Callable[[apsw.Connection], dict[str, Pause]]:
    """Return the order that ends the pauses of routes, or without any that of the whole app."""

    def apply(connection: apsw.Connection) -> dict[str, Pause]:
        if first_time(connection, request):
            connection.executemany(_RESUME, [(PAUSED_ROUTES, route.encode()) for route in routes or [APP]])
        return paused_routes(connection)

    return apply


def paused_routes(connection: apsw.Connection) -> dict[str, Pause]:
    """Return what is paused, by the names of routes; `APP` is that of the whole app."""
    found = {}
    for key, value in connection.execute(_PAUSED, (PAUSED_ROUTES,)):
        since, _, by = bytes(value).decode().partition(" ")
        route = bytes(key).decode()
        found[route] = Pause(route, float(since), by)
    return found


def pause_of(route: str, pauses: Mapping[str, Pause]) -> Pause | None:
    """Return what pauses a route: its own pause, or that of the whole app."""
    return pauses.get(route) or pauses.get(APP)


def _forget(connection: apsw.Connection, name: bytes, now: float) -> None:
    """Let the timer go on from now."""
    from triggers.schedule.standing import Standing  # loads schedules, which who looks at a journal does not need

    memory = connection.execute(_FIND, (name,)).get
    if memory is not None:
        connection.execute(_PUT, (bytes(Standing.at(now, Standing.read(memory).text)), name))


_PAUSED = "SELECT key, value FROM ledger WHERE source = ? ORDER BY key"
_PAUSE = "INSERT INTO ledger (source, key, value, event) VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING"
_RESUME = "DELETE FROM ledger WHERE source = ? AND key = ?"
_FIND = "SELECT value FROM ledger WHERE source = 'timer' AND key = ?"
_PUT = "UPDATE ledger SET value = ? WHERE source = 'timer' AND key = ?"

"""Where an app's places and queues are, as the environment says: `TRIGGERS_BIND_INCOMING=/data/in`."""

from __future__ import annotations

import os

from triggers.app import App
from triggers.errors import WiringError, did_you_mean
from triggers.relocation import Movable

VARIABLE = "TRIGGERS_BIND_"


def movable(app: App) -> list[str]:
    """Return the names of what can be bound: the app's places, and its queues."""
    return [name for name, one in {**app.sources, **app.outputs}.items() if isinstance(one, Movable)]


def from_environment(app: App) -> dict[str, str]:
    """Return what of the app the environment binds, and to what; raise `WiringError` for what the app has not."""
    variables = by_variable(app)
    found = {}
    for key, value in os.environ.items():
        if key.startswith(VARIABLE):
            if key not in variables:
                hint = did_you_mean(key, variables)
                raise WiringError(f"{key} is set, but app {app.name!r} has no place of that name to bind{hint}")
            found[variables[key]] = value
    return found


def by_variable(app: App) -> dict[str, str]:
    """Return what of the app can be bound, by the variable that does; raise `WiringError` where two have one."""
    found: dict[str, str] = {}
    for name in movable(app):
        first = found.setdefault(variable(name), name)
        if first != name:
            raise WiringError(
                f"app {app.name!r}: {first!r} and {name!r} would both be bound by {variable(name)}; rename one of them"
            )
    return found


def variable(name: str) -> str:
    """Return the environment variable that binds a place or a queue."""
    return VARIABLE + "".join(mark if mark.isalnum() else "_" for mark in name).upper()


__all__ = ["by_variable", "from_environment", "movable", "variable"]

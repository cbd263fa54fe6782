"""Where an app's places are, as the environment says: `TRIGGERS_BIND_INCOMING=/data/in`."""

from __future__ import annotations

import os

from triggers.app import App
from triggers.errors import WiringError, did_you_mean

VARIABLE = "TRIGGERS_BIND_"


def from_environment(app: App) -> dict[str, str]:
    """Return the app's places that the environment binds; raise `WiringError` for one that the app has not."""
    by_variable = {variable(name): name for name in app.places()}
    found = {}
    for key, value in os.environ.items():
        if key.startswith(VARIABLE):
            if key not in by_variable:
                hint = did_you_mean(key, by_variable)
                raise WiringError(f"{key} is set, but app {app.name!r} has no place of that name to bind{hint}")
            found[by_variable[key]] = value
    return found


def variable(name: str) -> str:
    """Return the environment variable that binds a place."""
    return VARIABLE + "".join(mark if mark.isalnum() else "_" for mark in name).upper()


__all__ = ["from_environment", "variable"]

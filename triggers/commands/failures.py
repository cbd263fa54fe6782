"""Exit codes, and the errors that belong to the command line alone."""

from __future__ import annotations

from typing import Final

import click

from triggers.errors import EventError, StateError, StateHeld, TriggersError, WiringError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
INVALID: Final = 4
HELD: Final = 5
ABORTED: Final = 130


class NotFound(TriggersError):
    """What a command was asked about is not there."""


def code_of(error: BaseException) -> int | None:
    """Return the exit code for an error, or None for one that nobody foresaw."""
    match error:
        case click.UsageError():
            return USAGE
        case click.ClickException():
            return error.exit_code
        case NotFound():
            return NOT_FOUND
        case StateHeld():
            return HELD
        case WiringError() | EventError() | StateError():
            return INVALID
        case TriggersError():
            return FAILED
    return None

"""Exit codes, and the errors that belong to the command line alone."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
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
TROUBLE: Final = USAGE
"""Of a command for which 1 is an answer, as for `diff`: it could not find the answer."""


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


@contextmanager
def answering() -> Iterator[None]:
    """Exit with `TROUBLE` where an error of the block would exit with 1, which is an answer of the command's."""
    try:
        yield
    except (click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        if code_of(error) not in (FAILED, None):
            raise
        complain(error)
        raise click.exceptions.Exit(TROUBLE) from error


def complain(error: Exception) -> int:
    """Print an error and return the exit code for it."""
    from triggers.commands.output import error_line  # none of it is needed when all goes well

    if (code := code_of(error)) is None:
        traceback.print_exception(error)
        click.echo(error_line("this is a mistake in triggers; please report it with the lines above"), err=True)
        return FAILED
    if isinstance(error, click.UsageError) and error.ctx:
        click.echo(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help'.", err=True)
    text = _text(error) or type(error).__name__
    several = type(error) is WiringError  # one for each line; other errors may have lines that explain
    for line in text.split("\n") if several else [text]:
        click.echo(error_line(line), err=True)
    return code


def _text(error: Exception) -> str:
    if isinstance(error, click.NoSuchOption) and error.ctx:
        return _no_option(error.option_name, error.ctx)
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


_IN_AWS: Final = {
    "send": "an app in AWS takes events as CloudEvents: into its bus by `aws events put-events`, or a function is"
    " invoked with one",
    "plan": "in AWS nobody sees what waits in queues, nor chooses among it; `triggers runs --aws` has what is at work",
    "simulate": "in AWS nobody chooses what is next, so there is nothing to be decided otherwise",
    "schedule": "schedules of an app in AWS are those of EventBridge Scheduler, in the group of the app's name: pause"
    " and resume them there",
    "backup": "the table of its run records can be restored to any second of the last 35 days (point-in-time recovery)",
    "backfill": "Scheduler fires for no past range: let a dispatcher do it, or invoke the function with a Tick",
}
"""What is to be done instead, where a command has no `--aws`."""


def _no_option(name: str, ctx: click.Context) -> str:
    """Return what to say of an unknown option. The dashes, which all have, make none of them a near miss."""
    command = ctx.command_path.split()[1:2]
    if name == "--aws" and command and command[0] in _IN_AWS:
        return f"`triggers {command[0]}` is for an app with a dispatcher; {_IN_AWS[command[0]]}"
    from difflib import get_close_matches  # none of it is needed when all goes well

    options = [one for one in ctx.command.get_params(ctx) if isinstance(one, click.Option)]
    known = {text.lstrip("-"): text for one in options for text in one.opts if text.startswith("--")}
    near = get_close_matches(name.lstrip("-"), known, n=1)
    hint = f"did you mean {known[near[0]]!r}?" if near else f"known: {', '.join(known.values())}"
    return f"no option {name!r}; {hint}"

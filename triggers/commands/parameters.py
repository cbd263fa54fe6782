"""What commands take: the state folder, IDs, moments, NAME=VALUE pairs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import datetime
from math import isfinite
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import click

from triggers.commands.failures import NotFound
from triggers.state import StateFolder

F = TypeVar("F", bound=Callable[..., Any])

HOME = Path(".triggers")

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Moment(click.ParamType[float]):
    """A moment as Unix seconds: `10m`, `2h`, `3d` ago, or an ISO date or time, local where it has no offset."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the moment."""
        if isinstance(value, float):
            return value
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)", value):
            return time.time() - float(match[1]) * _UNITS[match[2]]
        try:
            return datetime.fromisoformat(value).astimezone().timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no moment; write 10m, 2h or 3d (ago), or a time like 2026-01-31T08:00", param, ctx)


class Finite(click.FloatRange):
    """A number within a range, and one: `nan` lies in every range by its comparisons."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is no number to reckon with", param, ctx)
        return number


class Pair(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`, as in the example that who gets it wrong is shown."""

    name = "name=value"

    def __init__(self, example: str = "incoming=/data/incoming") -> None:
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return (name, value)."""
        if isinstance(value, tuple):
            return value
        name, separator, path = str(value).partition("=")
        if not (name and separator and path):
            form = param.metavar if param and param.metavar else "NAME=VALUE"
            self.fail(f"{value!r} must be {form}, as in {self._example}", param, ctx)
        return name, path


def deployed_option(command: F) -> F:
    """Add `--aws` to a command."""
    return click.option("--aws", metavar="APP", help="Look at the app of that name as it is deployed in AWS.")(command)


def named_places() -> tuple[str | None, str | None]:
    """Return the state folder and the app in AWS that the present command names, or `dead` before it."""
    context = click.get_current_context(silent=True)
    if context is None:
        return None, None
    before = context.obj or (None, None)
    return context.params.get("folder") or before[0], context.params.get("aws") or before[1]


def named_app() -> str | None:
    """Return the app in AWS that the present command names, or `dead` before it; None where it looks at one here."""
    return named_places()[1]


def written(command: str) -> str:
    """Return a command of ours as it is written for the app that the present one looks at: here, or in AWS."""
    folder, aws = named_places()
    where = f" --aws {aws}" if aws else f" --state {quote(folder)}" if folder else ""
    return f"`triggers {command}{where}`"


def rewritten(text: str) -> str:
    """Return a text with the commands of ours that it tells as `written`, those that name no folder yet."""
    return re.sub("`triggers ([^`]+)`", lambda found: found[0] if " --state " in found[1] else written(found[1]), text)


def looked_at() -> str:
    """Return what the present command looks at: a journal here, or the records of an app in AWS."""
    aws = named_app()
    return f"the records of {aws!r} in AWS" if aws else "this journal"


def state_option(command: F) -> F:
    """Add `--state` to a command."""
    return click.option("--state", "folder", type=click.Path(), metavar="DIR", help="The app's state folder.")(command)


def bind_option(command: F) -> F:
    """Add `--bind` to a command."""
    return click.option(
        "--bind", "binds", type=Pair(), multiple=True, metavar="NAME=PLACE",
        help="Where a place is: a folder, or s3://BUCKET/PREFIX; or which queue is meant, by its name, URL or ARN."
        " Also TRIGGERS_BIND_NAME, or [bind] in triggers.toml.",
    )(command)  # fmt: skip


def limit_option(command: F) -> F:
    """Add `--limit` to a command that lists."""
    return click.option(
        "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, the newest."
    )(command)


def run_filters(command: F) -> F:
    """Add what tells which runs are listed."""
    options = (
        click.option("--type", "kind", metavar="TYPE", help="Only runs on events of this type."),
        click.option("--route", metavar="NAME", help="Only runs of this route."),
        click.option("--since", type=Moment(), help="Only runs on events recorded since: 10m, 2h, 3d, or a time."),
        limit_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def json_option(command: F) -> F:
    """Add `--json` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def number_of(text: str, letter: str) -> int:
    """Return the number of `r7` or `7`; `letter` is what the command takes."""
    match = re.fullmatch(rf"{letter}?(\d{{1,18}})", text, re.IGNORECASE)
    if not match:
        what = {"r": "a run, as in r7", "e": "an event, as in e12"}[letter]
        raise click.UsageError(f"{text!r} is no ID of {what}")
    return int(match[1])


def find_state(folder: str | None) -> StateFolder:
    """Return the state folder to read: `--state`, else TRIGGERS_STATE, else the one in `.triggers/`.

    Raises `NotFound` where there is none, or several, `StateError` where what is named is not ours.
    """
    if named := folder or os.environ.get("TRIGGERS_STATE"):
        state = StateFolder(named)
        if not state.has_journal():
            if inside := _states(state.path):
                raise NotFound(f"no journal in {named}; did you mean {inside[0]}?")
            state.refuse_strangers()
            if state.inbox.is_dir():
                raise NotFound(_not_run(state.path))
            raise NotFound(f"no journal in {named}; `triggers run` makes one there")
        return state
    found = _states(HOME)
    if len(found) == 1:
        return StateFolder(found[0])
    if not found:
        if unread := _states(HOME, "inbox"):
            raise NotFound(_not_run(unread[0]))
        raise NotFound(
            "no state folder here: .triggers/ holds none; start `triggers run` here, or name one with --state"
        )
    raise NotFound(f"several apps have run here; say which with --state: {', '.join(map(str, found))}")


def _not_run(state: Path) -> str:
    return f"the app in {state} has not run yet, so it has no journal; what was sent waits there for `triggers run`"


def _states(home: Path, has: str = "journal.db") -> list[Path]:
    try:
        return sorted(path.parent for path in home.glob(f"*/{has}"))
    except OSError:
        return []

"""How commands print: tables, times, JSON, colour. Data goes to stdout, all else to stderr.

Colour only on a terminal: NO_COLOR and TERM=dumb turn it off, FORCE_COLOR turns it on elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click

from triggers.errors import StateError
from triggers.progress import Progress
from triggers.spans import in_words

STATE_COLOURS: Mapping[str, str] = {
    "waiting": "cyan",
    "running": "blue",
    "delayed": "yellow",
    "done": "green",
    "dead": "red",
    "rejected": "red",
    "dropped": "bright_black",
    "interrupted": "yellow",
    "ok": "green",
    "warning": "yellow",
    "problem": "red",
}


def coloured(stream: IO[str]) -> bool:
    """Say whether colour may be written to a stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str | None, *, bold: bool = False, err: bool = False) -> str:
    """Return the text in a colour where the stream takes colour."""
    if not (colour or bold) or not coloured(sys.stderr if err else sys.stdout):
        return text
    return click.style(text, fg=colour, bold=bold or None)


def state(word: str) -> str:
    """Return a state in its colour."""
    return paint(word, STATE_COLOURS.get(word))


def say(text: str = "") -> None:
    """Print a line of data."""
    click.echo(text, color=coloured(sys.stdout))


def note(text: str) -> None:
    """Print a line that is no data."""
    click.echo(text, err=True, color=coloured(sys.stderr))


def save(file: Path, text: str) -> None:
    """Write what was asked for into a file. Raises `StateError` where it cannot be written."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror}") from error


def error_line(text: str) -> str:
    """Return the text as an error."""
    return f"{paint('error:', 'red', bold=True, err=True)} {text.removeprefix('error: ')}"


def say_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(in_json(value, indent=2))


def in_json(value: object, indent: int | None = None, default: Callable[[object], str] | None = None) -> str:
    """Return a value as JSON that no terminal takes for a command, and that breaks lines nowhere but by `indent`."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=default)
    return "\n".join(line if line.isprintable() else _escaped_in_json(line) for line in text.split("\n"))


def _escaped_in_json(line: str) -> str:
    return "".join(
        mark if mark.isprintable() else f"\\u{ord(mark):04x}" if mark <= "\uffff" else json.dumps(mark)[1:-1]
        for mark in line
    )


def plain(text: object, limit: int | None = None) -> str:
    """Return text on one line that no terminal takes for a command, cut where it is longer than `limit`."""
    shown = "".join(mark if mark.isprintable() else _escaped(mark) for mark in str(text))
    return shown if limit is None or len(shown) <= limit else shown[: max(0, limit - 1)] + _mark("…", "~")


def _escaped(mark: str) -> str:
    return mark.encode("unicode_escape", "backslashreplace").decode()


def _mark(wanted: str, otherwise: str) -> str:
    return wanted if can_write(wanted) else otherwise


def can_write(text: str) -> bool:
    """Say whether stdout's encoding has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def iso(seconds: float | None) -> str | None:
    """Return a Unix time as JSON has it: ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def clock(seconds: float | None) -> str:
    """Return a Unix time as people read it: in local time, without the date where it is today's."""
    if seconds is None:
        return "-"
    when = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.now().astimezone().date()
    return when.strftime("%H:%M:%S" if when.date() == today else "%Y-%m-%d %H:%M:%S")


def span(seconds: float | None) -> str:
    """Return a duration in words; a dash where there is none."""
    return "-" if seconds is None else in_words(seconds)


def pace(told: Progress | None, started: float | None = None) -> str:
    """Return how far a run has come; of one at work since `started` also how fast it is, and how long it will take."""
    if told is None or not told.text():
        return ""
    rate, left = told.rate(started), told.left(started, time.time())
    return ", ".join([
        told.text(),
        *([f"{rate:,.3g} each second"] if rate else []),
        *([f"about {span(left)} left"] if left is not None else []),
    ])  # fmt: skip


def count(number: int, word: str, plural: str | None = None) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def width(text: str) -> int:
    """Return how many columns a terminal gives to the text."""
    return sum(2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in click.unstyle(text))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under titles. On a terminal the last column is cut to what fits; a title with `>` aligns right."""
    names = [title.lstrip(">") for title in titles]
    widths = [max(map(width, column)) for column in zip(names, *rows, strict=True)]
    room = max(12, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(names) - 1))
    last = room if sys.stdout.isatty() else None
    for number, row in enumerate([[name.upper() for name in names], *rows]):
        cells = []
        for cell, title, wide in zip(row, titles, widths, strict=True):
            gap = " " * (wide - width(cell))
            cells.append(gap + cell if title.startswith(">") else cell + gap)
        cells[-1] = _fit(cells[-1] if titles[-1].startswith(">") else row[-1], last)
        line = "  ".join(cells).rstrip()
        say(paint(line, None, bold=True) if number == 0 else line)


def fitted(text: str, before: str) -> str:
    """Return the text, cut on a terminal to what fits into the line behind `before`."""
    room = shutil.get_terminal_size().columns - width(before)
    return _fit(text, max(12, room) if sys.stdout.isatty() else None)


def _fit(text: str, room: int | None) -> str:
    if room is None or width(text) <= room:
        return text
    kept, taken = "", 0
    for mark in click.unstyle(text):
        taken += width(mark)
        if taken > room - 1:
            break
        kept += mark
    return kept + _mark("…", "~")

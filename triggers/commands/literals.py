"""Values of JSON as Python source that people like to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 100
"""Characters of a line beyond which a value takes several."""
STEP = 4


def literal(value: Any, room: int = WIDTH) -> str:
    """Return the source of a value; what is longer than `room` takes several lines, the first of them unindented."""
    line = _line(value)
    if len(line) <= room:
        return line
    if isinstance(value, Mapping):
        return block("{", (f"{_line(key)}: {literal(item, room - STEP)}" for key, item in value.items()), "}")
    if isinstance(value, list):
        return block("[", (literal(item, room - STEP) for item in value), "]")
    if isinstance(value, str) and "\n" in value.rstrip("\n"):
        return block("(", map(_quoted, value.splitlines(keepends=True)), ")", between="")
    return line


def block(first: str, items: Iterable[str], last: str, between: str = ",") -> str:
    """Return items in brackets, each beginning a line."""
    indented = (f"{' ' * STEP}{item.replace(chr(10), chr(10) + ' ' * STEP)}{between}\n" for item in items)
    return f"{first}\n{''.join(indented)}{last}"


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_line(key)}: {_line(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_line, value))}]"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """Return a text's source in double quotes, unless it holds some itself."""
    return repr(text) if '"' in text else '"' + repr("'" + text)[2:]

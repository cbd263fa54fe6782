"""Spans of time as they are declared, in seconds or as `"90m"`, `"2h"` or `"1d12h"`, and as people read them."""

from __future__ import annotations

import re
from typing import Final

from triggers.errors import WiringError
from triggers.quantities import is_number

Span = float | str
"""Seconds, or whole numbers of weeks, days, hours, minutes and seconds as text."""

UNITS: Final = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
"""Seconds by the letters in such a text."""

LONGEST: Final = 1000 * 365 * UNITS["d"]
"""The longest span, in seconds. What is longer leads to moments that no calendar here has, and means another unit."""

_AMOUNTS = rf"(\d+)([{''.join(UNITS)}])"  # as text, which is compiled where one asks for it: every app loads this


def span(value: object) -> float | None:
    """Return how many seconds a span has, 0 to `LONGEST`; None where the value is no such span."""
    found = _seconds(value)
    return None if found is None or not 0 <= found <= LONGEST else float(found)


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        text = value.replace(" ", "")
        whole = bool(text) and re.sub(_AMOUNTS, "", text) == ""
        return sum(float(count) * UNITS[unit] for count, unit in re.findall(_AMOUNTS, text)) if whole else None
    return value if is_number(value) else None


def seconds(
    owner: str, option: str, value: object, *, zero: bool = False, error: type[WiringError] = WiringError
) -> float:
    """Return how many seconds an option of `owner` says, above 0 or, with `zero`, from there on; raise `error`."""
    if value is None:
        raise error(f"{owner}: {option}= is missing; write seconds, as in {option}=60, or text like '90m' or '1d'")
    found = span(value)
    if found is None or not (found or zero):
        above = " of a thousand years at most" if (_seconds(value) or 0) > LONGEST else "" if zero else " above 0"
        raise error(
            f"{owner}: {option}={value!r} is no span of time{above}; write seconds, or text like '90m', '2h' or '1d'"
        )
    return found


def in_words(seconds: float) -> str:
    """Return a span as people read it: `340 ms`, `12.1 s`, `4 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if minutes < 60:
        return f"{minutes} min {int(seconds) % 60} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"

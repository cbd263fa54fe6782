"""Numbers as people declare them, and quantities of resources as text and as numbers."""

from __future__ import annotations

import math
import re
from typing import Final, TypeGuard

from triggers.errors import WiringError

_UNITS: Final = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def is_number(value: object) -> TypeGuard[float]:
    """Say whether a value is a number. True and False are none: who writes them means something else."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Say whether a value is a whole number, which True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def quantity(owner: str, name: str, value: float | str) -> float:
    """Return a resource quantity as a number: `2`, `0.5`, `"4GiB"` (binary units), `"500MB"` (decimal ones)."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]i?|)b?\s*", value, re.IGNORECASE)
        try:
            number = float(match[1]) * _UNITS[match[2].lower()] if match else None
        except ValueError:
            number = None
    else:
        number = float(value) if is_number(value) else None
    if not isinstance(name, str):
        raise WiringError(f"{owner}: a resource is named by text, and {name!r} is none; write e.g. needs={{'gpu': 1}}")
    if number is None or not 0 < number < float("inf"):
        raise WiringError(
            f"{owner}: needs {name}={value!r} is no quantity; write a number above 0 or text such as '4GiB'"
        )
    return number


def as_text(name: str, amount: float) -> str:
    """Return an amount of a resource as people read and write it: `4GiB` of memory and storage, `2` of all else."""
    return in_bytes(amount) if name in ("memory", "storage") else f"{amount:g}"


def in_bytes(amount: float) -> str:
    """Return a number of bytes in three digits, which `quantity` reads: `950KiB`, `1.25GiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        size = _UNITS[unit[:-1].lower()]
        if amount >= 0.9995 * size:
            return f"{amount / size:.3g}{unit}" if amount < 999.5 * size else f"{amount / size:.0f}{unit}"
    return f"{amount:.0f}B"


def rounded_up(amount: float) -> float:
    """Return a number of bytes that is no less and that `in_bytes` shows exactly, in two digits; from 1 KiB on."""
    size = next((size for size in (2**40, 2**30, 2**20) if amount >= size), 2**10)
    step = 10 ** max(0, math.floor(math.log10(max(1.0, amount / size))) - 1) if amount >= 10 * size else 0.1
    return math.ceil(amount / size / step - 1e-9) * step * size

"""How an event travels in AWS: as CloudEvents text, with the lineage as extension attributes.

In AWS nobody counts events and runs, so their numbers are digests of their identities: the same from whichever side
one looks, and written `e12` and `r7` as those of a journal are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from triggers.cloudevents import attributes_of
from triggers.errors import EventError, shown
from triggers.events import moment, read_json
from triggers.lineage import BUDGET, EventRow

DEEPEST = 999_999_999
"""The depth of an event at most: far beyond what any chain reaches, and as many digits as an object's lineage has."""

_LONGEST = 20  # characters of a number with its letter
_BITS = 59  # of a number: at most 18 digits, which fit into the whole numbers of every reader with room to spare


def number_of(*identity: str) -> int:
    """Return the number of what has this identity: the first 59 bits of its SHA-256."""
    digest = hashlib.sha256("\0".join(identity).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) >> (64 - _BITS)


def run_number(event: EventRow, route: str) -> int:
    """Return the number of the run of a route on an event."""
    return number_of(event.source, event.id, route)


def write(event: EventRow) -> str:
    """Return an event with its lineage as text that `read` takes. That its payload is sound has been seen to."""
    attributes: dict[str, object] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "dataversion": event.version,
        "time": moment(event.time),
        "root": f"e{event.root}",
        "depth": event.depth,
        "budget": event.budget,
    }
    if event.subject is not None:
        attributes["subject"] = event.subject
    if event.cause is not None:
        attributes["cause"] = f"r{event.cause}"
    return f'{to_json(attributes).decode()[:-1]},"data":{event.data}}}'


def read(text: bytes, now: float) -> EventRow:
    """Return the event that the text holds; without a lineage it is the root of a chain. Raises `EventError`."""
    return of_fields(read_json("the event", text), now)


def of_fields(fields: Any, now: float) -> EventRow:
    """Return the event that parsed JSON is, as `read` does."""
    id, source, kind, version, subject, time, data = attributes_of(fields, now)
    number = number_of(source, id)
    root, cause, depth, budget = _lineage(fields) if "root" in fields else (number, None, 0, BUDGET)
    return EventRow(number, id, source, kind, version, subject, time, now, data, cause, root, depth, budget)


def _lineage(fields: Mapping[str, object]) -> tuple[int, int | None, int, int]:
    """Return root, cause, depth and budget."""
    root, cause = _number("root", "e", fields["root"]), fields.get("cause")
    return (
        root,
        None if cause is None else _number("cause", "r", cause),
        _count("depth", fields.get("depth"), DEEPEST),
        _count("budget", fields.get("budget"), BUDGET),
    )


def type_of(text: str) -> str:
    """Return the type of an event that `write` wrote."""
    return str(from_json(text)["type"])


def _number(attribute: str, letter: str, value: object) -> int:
    if isinstance(value, str) and len(value) <= _LONGEST and value.isascii():
        digits = value[1:]
        if digits.isdecimal() and value.startswith(letter):
            return int(digits)
    raise EventError(f"{attribute} must be a number like {letter}12, not {shown(value)}")


def _count(attribute: str, value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise EventError(f"{attribute} must be a whole number from 0 to {most:,}, not {shown(value)}")
    return value


__all__ = ["number_of", "of_fields", "read", "run_number", "type_of", "write"]

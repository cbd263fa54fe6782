"""How an event travels in AWS: as CloudEvents text, with the lineage as extension attributes.

In AWS nobody counts events and runs, so their numbers are digests of their identities: the same from whichever side
one looks, and written `e12` and `r7` as those of a journal are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from triggers.cloudevents import from_text, to_text
from triggers.errors import EventError
from triggers.events import read_json
from triggers.lineage import EventRow, arrived

_BITS = 60  # of a number: what fits into every JSON reader's and database's whole numbers with room to spare


def number_of(*identity: str) -> int:
    """Return the number of what has this identity: the first 60 bits of its SHA-256."""
    digest = hashlib.sha256("\0".join(identity).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) >> (64 - _BITS)


def run_number(event: EventRow, route: str) -> int:
    """Return the number of the run of a route on an event."""
    return number_of(event.source, event.id, route)


def write(event: EventRow) -> str:
    """Return an event with its lineage as text that `read` takes."""
    text = to_text(event.id, event.source, event.type, event.version, event.subject, event.time, event.data)
    lineage = {"root": f"e{event.root}", "depth": event.depth, "budget": event.budget}
    if event.cause is not None:
        lineage["cause"] = f"r{event.cause}"
    return f"{text[:-1]},{to_json(lineage).decode()[1:]}"


def read(text: bytes, now: float) -> EventRow:
    """Return the event that the text holds; without a lineage it is the root of a chain. Raises `EventError`."""
    delivery = from_text(text, now)
    event = arrived(delivery, number_of(delivery.source, delivery.id), now)
    fields = read_json("the event", text)
    return _in_its_chain(event, fields) if "root" in fields else event


def type_of(text: str) -> str:
    """Return the type of an event that `write` wrote."""
    return str(from_json(text)["type"])


def _in_its_chain(event: EventRow, fields: Mapping[str, Any]) -> EventRow:
    cause = fields.get("cause")
    return event._replace(
        root=_number("root", "e", fields["root"]),
        cause=None if cause is None else _number("cause", "r", cause),
        depth=_count("depth", fields.get("depth")),
        budget=_count("budget", fields.get("budget")),
    )


def _number(attribute: str, letter: str, value: object) -> int:
    if not (isinstance(value, str) and re.fullmatch(rf"{letter}[0-9]{{1,19}}", value)):
        raise EventError(f"{attribute} must be a number like {letter}12, not {value!r}")
    return int(value[1:])


def _count(attribute: str, value: object) -> int:
    if type(value) is not int or value < 0:
        raise EventError(f"{attribute} must be a whole number, 0 or more, not {value!r}")
    return value


__all__ = ["number_of", "read", "run_number", "type_of", "write"]

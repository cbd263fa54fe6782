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

from triggers.cloudevents import from_fields
from triggers.errors import EventError
from triggers.events import moment, read_json
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
    """Return an event with its lineage as text that `read` takes. That its payload is sound has been seen to."""
    attributes: dict[str, object] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "dataversion": event.version,
        "time": moment(event.time).isoformat(),
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


def of_fields(fields: object, now: float) -> EventRow:
    """Return the event that parsed JSON is, as `read` does."""
    delivery = from_fields(fields, now)
    event = arrived(delivery, number_of(delivery.source, delivery.id), now)
    return _in_its_chain(event, fields) if isinstance(fields, Mapping) and "root" in fields else event


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


__all__ = ["number_of", "of_fields", "read", "run_number", "type_of", "write"]

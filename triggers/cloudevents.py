"""Events as text: CloudEvents 1.0 in its structured JSON form, with our extension attribute `dataversion`.

::

    {"specversion":"1.0","id":"7","source":"shell","type":"Retrain","time":"2026-01-31T08:00:00Z","data":{"model":"m"}}

It is the one form in which events come from outside and travel between processes and services.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from triggers.errors import EventError, shown
from triggers.events import check_payload, moment, read_json
from triggers.sources import Delivery

LONGEST_NAME = 1024
"""The most characters of an event's id, source or type."""

Attributes = tuple[str, str, str, int, str | None, float, str]
"""An event's id, source, type, version, subject, time in Unix seconds, and its payload as JSON text."""


def to_text(
    id: str, source: str, type: str, version: int, subject: str | None, time: float | None, data_json_text: str
) -> str:
    """Return one event as one line of text. `time` is in Unix seconds; None is the time of its arrival.

    Raises `EventError` for what a reader would refuse.
    """
    _check(id, source, type, version, subject, data_json_text)
    attributes: dict[str, object] = {"specversion": "1.0", "id": id, "source": source, "type": type}
    attributes["dataversion"] = version
    if subject is not None:
        attributes["subject"] = subject
    if time is not None:
        attributes["time"] = moment(time).isoformat()
    data = data_json_text
    if "\n" in data or "\r" in data:  # only between tokens: inside a JSON string they are escaped
        data = data.replace("\n", " ").replace("\r", " ")
    return f'{to_json(attributes).decode()[:-1]},"data":{data}}}'


def from_text(text: bytes, now: float) -> Delivery:
    """Return the event that the text holds; `now` is its time where it names none. Raises `EventError`."""
    return from_fields(read_json("the event", text), now)


def from_fields(fields: object, now: float) -> Delivery:
    """Return the event that parsed JSON is, as `from_text` does."""
    id, source, kind, version, subject, time, data = attributes_of(fields, now)
    return Delivery(source, id, kind, data, time, version, subject)


def attributes_of(fields: object, now: float) -> Attributes:
    """Return what says which event parsed JSON is. Raises `EventError` as `from_fields` does."""
    if not isinstance(fields, dict):
        raise EventError("not a JSON object")
    if fields.get("specversion") != "1.0":
        raise EventError(f"specversion must be '1.0', not {shown(fields.get('specversion'))}")
    if "data_base64" in fields:
        raise EventError("data must be a JSON object, not data_base64")
    data = to_json(fields.get("data", {}), inf_nan_mode="constants").decode()
    get: Callable[[str], Any] = fields.get
    id, source, kind, subject, time = map(get, ("id", "source", "type", "subject", "time"))
    version, seconds = fields.get("dataversion", 1), now if time is None else _seconds(time)
    _check(id, source, kind, version, subject, data)
    return id, source, kind, version, subject, seconds, data


def _check(id: object, source: object, kind: Any, version: object, subject: object, data: str) -> None:
    """Raise `EventError` for an event that is not fit for the journal. Writer and reader both ask."""
    for attribute, name in (("id", id), ("source", source), ("type", kind)):
        if not (type(name) is str and 0 < len(name) <= LONGEST_NAME and name.isascii()):
            _check_name(attribute, name)
    if type(version) is not int or not 1 <= version < 2**31:
        raise EventError(f"dataversion must be an integer from 1 to {2**31 - 1:,}, not {shown(version)}")
    if subject is not None:
        _check_text("subject", subject)
    check_payload(kind, data)


def _check_name(attribute: str, name: object) -> None:
    if not name:
        raise EventError(f"{attribute} must be text and not empty, not {shown(name)}")
    if (length := _check_text(attribute, name)) > LONGEST_NAME:
        raise EventError(f"{attribute} has {length:,} characters, over the limit of {LONGEST_NAME:,}; shorten it")


def _check_text(attribute: str, value: object) -> int:
    """Return how many characters a text has; raise `EventError` for what is none."""
    if not isinstance(value, str):
        raise EventError(f"{attribute} must be text, not {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise EventError(f"{attribute} must be Unicode text, not {shown(value)}") from error
    return len(value)


def _seconds(time: object) -> float:
    try:
        instant = datetime.fromisoformat(time) if isinstance(time, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise EventError(f"time must be of RFC 3339 with an offset, like '2026-01-31T08:00:00Z', not {shown(time)}")
    return instant.timestamp()


__all__ = ["LONGEST_NAME", "from_fields", "from_text", "to_text"]

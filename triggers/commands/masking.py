"""Secrets left out of what is written for others: those that event types declare, wherever their values turn up.

No event of an app's own holds one. What comes from outside as text may: it is checked where it is sent by the app's
types alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from triggers.errors import EventError
from triggers.events import Event, decode
from triggers.lineage import EventRow
from triggers.secrecy import secret_fields, secrets_of

MASK = "**********"
"""What stands in the place of a secret, as pydantic writes it."""

LEAST = 4
"""Characters of a secret that is looked for in other text. A shorter one is left out of its own field alone."""


class Masked:
    """What may be shown of events, given the types of their fields."""

    def __init__(self, kinds: dict[str, type[Event]], events: Iterable[EventRow]) -> None:
        self._kinds = kinds
        self._secrets: set[str] = set()
        for event in events:
            if kind := kinds.get(event.type):
                self._secrets.update(_secrets(kind, event.data, event.version))

    def data(self, event: EventRow) -> tuple[dict[str, Any], list[str]]:
        """Return the fields of an event, and where in them something was left out."""
        found: list[str] = []
        shown = dict(self._walk(json.loads(event.data), "", found))
        kind = self._kinds.get(event.type)
        if kind and set(_secrets(kind, json.dumps(shown), event.version)) - {MASK}:  # its type reads it otherwise
            for name in _declared(kind) & shown.keys():
                shown[name] = MASK
                found.append(name)
        return shown, found

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        for secret in self._long():
            text = text.replace(secret, MASK)
        return text

    def content(self, content: bytes) -> bytes:
        """Return the content of a file without the secrets."""
        for secret in self._long():
            content = content.replace(secret.encode(errors="surrogateescape"), MASK.encode())
        return content

    def _long(self) -> list[str]:
        return sorted((one for one in self._secrets if len(one) >= LEAST), key=len, reverse=True)

    def _walk(self, value: Any, where: str, found: list[str]) -> Any:
        if isinstance(value, dict):
            return {name: self._walk(item, f"{where}.{name}".lstrip("."), found) for name, item in value.items()}
        if isinstance(value, list):
            return [self._walk(item, f"{where}[{place}]", found) for place, item in enumerate(value)]
        if value is None or isinstance(value, bool):
            return value
        shown = MASK if str(value) in self._secrets else self.text(value) if isinstance(value, str) else value
        if shown != value:
            found.append(where)
        return shown


def _secrets(kind: type[Event], data: str, version: int) -> Iterator[str]:
    """Yield the secrets in an event's payload; of one that is not valid, all that its declared fields hold."""
    if not secret_fields(kind):
        return
    try:
        yield from filter(None, secrets_of(decode(kind, data, version)))
    except EventError:
        fields = json.loads(data)
        for name in _declared(kind) & fields.keys():
            yield from _leaves(fields[name])


def _declared(kind: type[Event]) -> set[str]:
    """Return the names under which fields may come that hold a secret."""
    fields = {name: kind.model_fields[name] for name in secret_fields(kind)}
    return {*fields, *(field.alias for field in fields.values() if field.alias)}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif value not in (None, "") and not isinstance(value, bool):
        yield str(value)

"""Secrets left out of what is written for others: those that event types declare, wherever their values turn up.

No event of an app's own holds one. What comes from outside as text may: it is checked where it is sent by the app's
types alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import AliasChoices, AliasPath

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
        kind = self._kinds.get(event.type)
        found: list[str] = []
        shown = dict(self._walk(json.loads(event.data), "", found, _names(kind, kind.model_fields) if kind else ()))
        if kind and set(_secrets(kind, json.dumps(shown), event.version)) - {MASK}:  # its type reads it otherwise
            for name in _declared(kind) & shown.keys():
                shown[name] = MASK
                found.append(name)
        return shown, found

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        for secret in self._long:
            text = text.replace(secret, MASK)
        return text

    def content(self, content: bytes) -> bytes:
        """Return the content of a file without the secrets."""
        for secret in self._long:
            content = content.replace(secret.encode(errors="surrogateescape"), MASK.encode())
        return content

    @cached_property
    def _long(self) -> list[str]:
        """The secrets as they may stand in other text, escaped, too, and twice: a text in JSON that an error quotes."""
        long = {one for one in self._secrets if len(one) >= LEAST}
        for _ in range(2):
            long |= {form for one in long for form in _escaped(one)}
        return sorted(long, key=len, reverse=True)

    def _walk(self, value: Any, where: str, found: list[str], known: Collection[str] = ()) -> Any:
        """Return a value without the secrets; names of `known` fields are none."""
        if isinstance(value, dict):
            return dict(self._entry(name, item, where, found, known) for name, item in value.items())
        if isinstance(value, list):
            return [self._walk(item, f"{where}[{place}]", found) for place, item in enumerate(value)]
        if value is None or isinstance(value, bool):
            return value
        shown = MASK if str(value) in self._secrets else self.text(value) if isinstance(value, str) else value
        if shown != value:
            found.append(where)
        return shown

    def _entry(self, name: str, item: Any, where: str, found: list[str], known: Collection[str]) -> tuple[str, Any]:
        shown = name if name in known else self.text(name)
        place = f"{where}.{shown}".lstrip(".")
        if shown != name:
            found.append(place)
        return shown, self._walk(item, place, found)


def _secrets(kind: type[Event], data: str, version: int) -> Iterator[str]:
    """Yield the secrets in an event's payload; of one that is not valid, all that its declared fields hold."""
    if not secret_fields(kind):
        return
    try:
        yield from filter(None, secrets_of(decode(kind, data, version)))
    except EventError:
        fields = json.loads(data)
        older = version != kind.__event_version__  # what its fields were called then, nobody knows
        for name in fields if older else _declared(kind) & fields.keys():
            yield from _leaves(fields[name])


def _declared(kind: type[Event]) -> set[str]:
    """Return the names under which fields may come that hold a secret."""
    return _names(kind, secret_fields(kind))


def _names(kind: type[Event], fields: Iterable[str]) -> set[str]:
    """Return the names under which fields may come."""
    names = set(fields)
    for alias in [kind.model_fields[field].validation_alias for field in names]:
        for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            names.add(str(choice.path[0]) if isinstance(choice, AliasPath) else choice or "")
    return names


def _escaped(text: str) -> Iterator[str]:
    """Yield a text as it stands in JSON, in what Python prints of a value, and in an address."""
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (repr(text)[1:-1], repr("'\"" + text)[4:-1], ascii(text)[1:-1])
    yield from (quote(text, errors="replace"), quote_plus(text, errors="replace"))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif value not in (None, "") and not isinstance(value, bool):
        yield str(value)

"""Many patterns, one event: which of them match?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from triggers.patterns.pattern import EventLike, Pattern, as_mapping, compile

Key = TypeVar("Key", bound=Hashable)


class Index(Generic[Key]):
    """A set of patterns by key. A pattern's verdict here is the one that it gives alone.

    Patterns that ask a top level field for certain strings are looked up by that string; the others are tried in turn.
    """

    def __init__(self) -> None:
        self._patterns: dict[Key, Pattern] = {}
        self._by_string: dict[str, dict[str, dict[Key, Pattern]]] = {}
        self._others: dict[Key, Pattern] = {}

    def add(self, key: Key, pattern: Pattern | str | Mapping[str, object]) -> None:
        """Add a pattern under a key, in place of the one that the key had. Raises as `compile` does."""
        made = pattern if isinstance(pattern, Pattern) else compile(pattern)
        self.discard(key)
        self._patterns[key] = made
        access = made.keys()
        if access is None:
            self._others[key] = made
            return
        field, strings = access
        for string in strings:
            self._by_string.setdefault(field, {}).setdefault(string, {})[key] = made

    def discard(self, key: Key) -> None:
        """Forget the pattern of a key, if there is one."""
        made = self._patterns.pop(key, None)
        if made is None:
            return
        self._others.pop(key, None)
        field, strings = made.keys() or ("", ())
        for string in strings:
            keys = self._by_string[field][string]
            del keys[key]
            if not keys:
                del self._by_string[field][string]

    def match(self, event: EventLike) -> set[Key]:
        """Return the keys of the patterns that match the event. Raises as `Pattern.matches` does."""
        found = as_mapping(event)
        matching = {key for key, pattern in self._others.items() if pattern.matches(found)}
        for field, by_string in self._by_string.items():
            value = found.get(field)
            if type(value) is str:
                candidates = [by_string.get(value, {})]
            elif value is None or type(value) in (int, float, bool):
                continue  # no string, so none of these; a path without a dot has no other way to its value
            else:
                candidates = list(by_string.values())
            for patterns in candidates:
                matching |= {key for key, pattern in patterns.items() if pattern.matches(found)}
        return matching

    def __len__(self) -> int:
        return len(self._patterns)

    def __contains__(self, key: object) -> bool:
        return key in self._patterns


__all__ = ["Index"]

"""From a value to what the conditions at its path lead to: a table for each kind of condition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from math import inf, nextafter
from typing import Any, Generic, TypeVar

from triggers.patterns.values import Spelling, address, as_key, fold, number

N = TypeVar("N", bound=Hashable)


_SMALL = 2**50
"""Integers below need not be looked at closely: they are their own doubles."""


class Table(ABC, Generic[N]):
    """What the conditions of one kind at one path lead to, by their keys (`Access.key`)."""

    def __init__(self) -> None:
        self.entries: dict[Any, N] = {}

    def put(self, key: object, make: Callable[[], N]) -> N:
        """Return what a key leads to, made if the key is new."""
        found = self.entries.get(key)
        if found is None:
            found = self.entries[key] = make()
            self.changed(key, 1)
        return found

    def drop(self, key: object) -> N:
        """Forget a key, and return what it led to."""
        dropped = self.entries.pop(key)
        self.changed(key, -1)
        return dropped

    def changed(self, key: object, by: int) -> None:
        """Note that a key came (1) or went (-1)."""

    @abstractmethod
    def lead(self, value: object) -> Iterable[N]:
        """Return what the conditions lead to that the scalar meets."""


class Addresses(Table[N]):
    """IP addresses, in any spelling."""

    def lead(self, value: object) -> Iterable[N]:
        """Look the address up."""
        found = self.entries.get(address(value))
        return () if found is None else (found,)


class Folded(Table[N]):
    """Strings that are equal when case is ignored, or nearly so."""

    def lead(self, value: object) -> Iterable[N]:
        """Look the folded text up."""
        found = self.entries.get(fold(value)) if isinstance(value, str) else None
        return () if found is None else (found,)


class _Ends(Table[N]):
    """Beginnings or endings of strings: one look for each length that there is."""

    def __init__(self) -> None:
        super().__init__()
        self._lengths: Counter[int] = Counter()
        self._in_order: list[tuple[int, slice]] = []

    def changed(self, key: object, by: int) -> None:
        """Count the length of the key."""
        assert isinstance(key, str)
        self._lengths[len(key)] += by
        if self._lengths[len(key)] in (0, by):
            self._in_order = [(length, self.end(length)) for length in sorted(+self._lengths)]

    @staticmethod
    @abstractmethod
    def end(length: int) -> slice:
        """Return where in a string its end of that length is."""

    def lead(self, value: object) -> Iterable[N]:
        """Look up the end of the value of each length."""
        if not isinstance(value, str):
            return ()
        led = []
        for length, end in self._in_order:
            if length > len(value):
                break
            found = self.entries.get(value[end])
            if found is not None:
                led.append(found)
        return led


class Prefixes(_Ends[N]):
    """Beginnings of strings."""

    @staticmethod
    def end(length: int) -> slice:
        """Return the beginning."""
        return slice(length)


class Suffixes(_Ends[N]):
    """Endings of strings."""

    @staticmethod
    def end(length: int) -> slice:
        """Return the ending."""
        return slice(-length, None) if length else slice(0)


class Others(Table[N]):
    """Anything but some values, which are the key: all that is led to, less what the value excludes."""

    def __init__(self) -> None:
        super().__init__()
        self._all: list[N] = []
        self._excluded: dict[object, set[N]] = {}

    def changed(self, key: object, by: int) -> None:
        """Forget what is excluded by what."""
        self._all = []

    def lead(self, value: object) -> Iterable[N]:
        """Leave out what the value excludes."""
        if not self._all:
            self._build()
        excluded = self._excluded.get(as_key(value))
        return [led for led in self._all if led not in excluded] if excluded else self._all

    def _build(self) -> None:
        self._all = list(self.entries.values())
        self._excluded = {}
        for keys, led in self.entries.items():
            for key in keys:
                self._excluded.setdefault(key, set()).add(led)


class There(Table[N]):
    """Any value."""

    def lead(self, value: object) -> Iterable[N]:
        """Return all: there is a value."""
        return self.entries.values()


class Ranges(Table[N]):
    """Ranges of numbers, from the lowest double in it to the highest: a tree of halves, made when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._starts: list[float] | None = None
        self._tree: dict[int, list[N]] = {}

    def changed(self, key: object, by: int) -> None:
        """Forget the tree."""
        self._starts = None

    def lead(self, value: object) -> Iterable[N]:
        """Collect what stands at each level of the tree above the value's place."""
        found = value if type(value) is int and -_SMALL < value < _SMALL else number(value)
        if found is None or isinstance(found, Spelling):
            return ()
        starts = self._build() if self._starts is None else self._starts
        place = bisect_right(starts, found) - 1 + len(starts)
        led: list[N] = []
        while place >= 1:
            led += self._tree.get(place, ())
            place >>= 1
        return led

    def _build(self) -> list[float]:
        """Return where stretches of numbers begin that all ranges hold wholly or not at all."""
        ranges = [(low, nextafter(high, inf), led) for (low, high), led in self.entries.items()]
        starts = sorted({-inf, *(low for low, _, _ in ranges), *(after for _, after, _ in ranges)})
        self._tree = {}
        for low, after, led in ranges:
            left = bisect_left(starts, low) + len(starts)
            right = (bisect_left(starts, after) if after < inf else len(starts)) + len(starts)
            while left < right:
                if left & 1:
                    self._tree.setdefault(left, []).append(led)
                    left += 1
                if right & 1:
                    right -= 1
                    self._tree.setdefault(right, []).append(led)
                left >>= 1
                right >>= 1
        self._starts = starts
        return starts


class Tests(Table[N]):
    """Conditions that only their own test can decide. The key is the condition."""

    def lead(self, value: object) -> Iterable[N]:
        """Try each condition."""
        return [led for condition, led in self.entries.items() if condition.test(value)]


KINDS: Mapping[str, type[Table[Any]]] = {
    "address": Addresses,
    "fold": Folded,
    "prefix": Prefixes,
    "suffix": Suffixes,
    "range": Ranges,
    "others": Others,
    "there": There,
    "test": Tests,
}
"""The tables by the kind of `Access`; what is `exact` needs none but a dictionary."""

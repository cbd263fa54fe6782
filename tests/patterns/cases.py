"""Random patterns and events, from a seed: of every operator and structure, and near enough to one another to match.

Both are built of plain data, with numbers as they are spelt (`Num`) and objects as pairs (`Obj`), so that number text
and repeated keys survive until `spell` writes them down.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple


class Num(NamedTuple):
    """A number as it is spelt."""

    text: str


class Obj(NamedTuple):
    """An object as it is spelt: its pairs in order, the same key perhaps twice."""

    pairs: list[tuple[str, Any]]


def spell(value: Any) -> str:
    """Return the JSON text."""
    if isinstance(value, Num):
        return value.text
    if isinstance(value, Obj):
        return "{" + ",".join(f"{json.dumps(key)}:{spell(item)}" for key, item in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spell, value)) + "]"
    return json.dumps(value)


KEYS = ["a", "b", "c", "a.b", ""]
PLAIN = ["0", "-0.0", "1", "1.0", "1e0", "10e-1", "2", "2.5", "-3", "0.1", "1e22", "10000000000000000000000"]
ODD = ["9007199254740993", "9007199254740993.0", "9007199254740992", "9007199254740994", "12345678901234567890"]
LONG = ["0.12345678901234567", "0.12345678901234566", "18446744073709551616", "18446744073709552000", "1e309", "5e-324"]
IPV4 = ["10.0.0.1", "010.0.0.1", "10.0.0.200", "1.2.3.256"]
IPV6 = ["::1", "0::1", "0:0:0:0:0:0:0:1", "::ffff:a00:1", "2001:db8::7"]
NETWORKS = ["10.0.0.9/24", "10.0.0.0/25", "::/64", "2001:db8::/32", "0.0.0.0/1", "0.0.0.0/0", "::/0"]
LATIN = ["\u00df", "SS", "\u00e9", "E\u0301", "\u212a", "k", "\u0130", "i", "\u017f"]
LETTERS = [*LATIN, "\u03c3", "\u03c2", "\u03a3", "\U00010400", "\U00010428"]
WORDS = ["1", "true", "null", "a*b", "a\\b", "ab", "AB", "aB", "abab"]


class Cases:
    """An endless supply of patterns and events; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._operators: list[Callable[[], Any]] = [
            lambda: Obj([("prefix", self.random.choice([self.text, self.folded])())]),
            lambda: Obj([("suffix", self.random.choice([self.text, self.folded])())]),
            self.folded,
            lambda: Obj([("exactly", self.text())]),
            lambda: Obj([("wildcard", self.wildcard())]),
            lambda: Obj([("exists", self.chance(0.5))]),
            lambda: Obj([("numeric", self.range())]),
            lambda: Obj([("cidr", self.random.choice(NETWORKS))]),
            lambda: Obj([("anything-but", self.excluded())]),
            lambda: Obj([("anything-but", self.excluded())]),
        ]

    def chance(self, share: float) -> bool:
        """Return true in so many of all cases."""
        return self.random.random() < share

    def focus(self) -> str:
        """Return what cases are about: `values`, with all operators; `structure`; or `arrays` of objects."""
        return self.random.choice(["values", "structure", "arrays"])

    def pattern(self, focus: str) -> Obj:
        """Return a valid pattern. But for `values` it asks few questions, so that structure alone decides."""
        if focus == "arrays":
            return Obj([("a", self._several_rules(1))])
        return self._object(self.rules if focus == "values" else self.simple_rules, 0)

    def event(self, focus: str) -> Obj:
        """Return an event, with arrays, arrays of objects, empty ones and keys that stand twice."""
        if focus == "arrays":
            return Obj([("a", self._elements(1))])
        scalar = self.scalar if focus == "values" else self.simple_scalar
        return Obj([(self.key(), self._value(scalar, 0)) for _ in range(self.random.randint(0, 4))])

    def _several_rules(self, depth: int) -> Obj:
        """Return rules about fields that stand side by side in an array's elements."""
        names = self.random.sample("bcd", self.random.choice([2, 2, 3]))
        deeper = depth < 3 and self.chance(0.5)
        rules: list[Any] = [self._several_rules(depth + 1) if deeper else self.simple_rules()]
        rules += [self.simple_rules() for _ in names[1:]]
        pairs = list(zip(names, rules, strict=True))
        return Obj([("$or", [Obj([pair]) for pair in pairs]), pairs[0]] if self.chance(0.1) else pairs)

    def _elements(self, depth: int) -> list[Any]:
        """Return an array of objects, some of whose fields are arrays of objects in turn."""
        return [
            self._elements(depth + 1)
            if depth < 3 and self.chance(0.1)
            else Obj([(name, self._element(depth)) for name in "bcd" if self.chance(0.8)])
            for _ in range(self.random.randint(1, 3))
        ]

    def _element(self, depth: int) -> Any:
        if depth < 3 and self.chance(0.4):
            return self._elements(depth + 1)
        return self.simple_scalar() if self.chance(0.8) else [self.simple_scalar(), self.simple_scalar()]

    def key(self) -> str:
        """Return a field's name, most often a plain one."""
        return self.random.choice(KEYS[:2] * 4 + KEYS)

    def _object(self, rules: Callable[[], list[Any]], depth: int) -> Obj:
        pairs: dict[str, Any] = {}
        for _ in range(self.random.choice([1, 1, 2, 2, 3])):
            if depth < 2 and self.chance(0.25):
                pairs["$or"] = [self._object(rules, depth + 1) for _ in range(self.random.choice([2, 2, 3]))]
            elif depth < 2 and self.chance(0.35):
                pairs[self.key()] = self._object(rules, depth + 1)
            else:
                pairs[self.key()] = rules()
        return Obj(list(pairs.items()))

    def _value(self, scalar: Callable[[], Any], depth: int) -> Any:
        kind = self.random.random()
        if depth > 3 or kind < 0.5:
            return scalar()
        if kind < 0.72:
            return [self._value(scalar, depth + 1) for _ in range(self.random.randint(0, 3))]
        return Obj([(self.key(), self._value(scalar, depth + 1)) for _ in range(self.random.randint(0, 3))])

    def simple_rules(self) -> list[Any]:
        """Return rules about two strings and about being there."""
        few = ["x", "y", Obj([("exists", True)]), Obj([("exists", False)])]
        return self.random.sample(few, self.random.choice([1, 1, 2]))

    def simple_scalar(self) -> str:
        """Return what the simple rules ask for."""
        return self.random.choice("xy")

    def rules(self) -> list[Any]:
        """Return the list of a field: plain values, operators, or both."""
        return [self.rule() for _ in range(self.random.choice([1, 1, 1, 2, 3]))]

    def rule(self) -> Any:
        """Return one item of a field's list."""
        return self.scalar() if self.chance(0.3) else self.random.choice(self._operators)()

    def scalar(self) -> Any:
        """Return a value that a field may have."""
        kind = self.random.random()
        if kind < 0.55:
            return self.text()
        return self.number() if kind < 0.85 else self.random.choice([True, False, None])

    def number(self) -> Num:
        """Return a number, most often one that a double holds."""
        return Num(self.random.choice(PLAIN if self.chance(0.7) else ODD + LONG))

    def text(self) -> str:
        """Return a string; short ones of few letters meet often."""
        kind = self.random.random()
        if kind < 0.6:
            return "".join(self.random.choice("aAb*\\") for _ in range(self.random.randint(0, 3)))
        return self.random.choice(LETTERS if kind < 0.75 else IPV4 + IPV6 if kind < 0.9 else WORDS)

    def folded(self) -> Obj:
        """Return the operator that ignores case."""
        return Obj([("equals-ignore-case", self.text())])

    def wildcard(self) -> str:
        """Return a valid wildcard text."""
        parts = [self.random.choice(["a", "b", "A", "*", "*", "\\*", "\\\\"]) for _ in range(self.random.randint(0, 5))]
        kept = [part for at, part in enumerate(parts) if not (part == "*" and at and parts[at - 1] == "*")]
        return "".join(kept)

    def range(self) -> list[Any]:
        """Return the operand of `numeric`."""
        if self.chance(0.5):
            return [self.random.choice(["<", "<=", "=", ">", ">="]), Num(self.random.choice(PLAIN))]
        low, high = self.random.choice([("-3", "0"), ("0", "1.0"), ("1", "2.5"), ("-3", "1e22")])
        return [self.random.choice([">", ">="]), Num(low), self.random.choice(["<", "<="]), Num(high)]

    def excluded(self) -> Any:
        """Return the operand of `anything-but` in one of its forms."""
        form = self.random.choice(["text", "number", "prefix", "suffix", "equals-ignore-case", "wildcard"])
        if form == "number":
            return self._one_or_more(lambda: Num(self.random.choice(PLAIN)))
        if form == "text":
            return self._one_or_more(self.text)
        if form == "wildcard":
            return Obj([(form, self._one_or_more(self.wildcard))])
        return Obj([(form, self._one_or_more(lambda: self.text() or "a"))])

    def _one_or_more(self, make: Callable[[], Any]) -> Any:
        return make() if self.chance(0.5) else [make() for _ in range(self.random.randint(1, 3))]

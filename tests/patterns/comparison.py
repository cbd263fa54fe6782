"""Compare verdicts on random cases: of the two readings of the rules, and of patterns in an index and alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.patterns.cases import Cases, spell
from tests.patterns.reading import verdict
from triggers.patterns import Index, Pattern, compile

TOGETHER = 50
"""How many patterns share an index."""
EVENTS = 10
"""How many events are asked about each pattern or index."""


@dataclass
class Comparison:
    """How many verdicts were compared, how many were matches, and the (pattern, event) of each that differed."""

    cases: int = 0
    matches: int = 0
    different: list[tuple[str, str]] = field(default_factory=list)

    def note(self, pattern: str, event: str, expected: bool, found: bool) -> None:
        """Count one case."""
        self.cases += 1
        self.matches += expected
        if expected is not found:
            self.different.append((pattern, event))


def of_readings(seed: int, cases: int) -> Comparison:
    """Compare `compile(...)` with the brute-force reading: of text, of the mapping that it is, and what it explains."""
    made = Cases(seed)
    found = Comparison()
    while found.cases < cases:
        focus = made.focus()
        text = spell(made.pattern(focus))
        pattern = compile(text)
        for event, given in _events(made, focus):
            expected = verdict(text, event)
            found.note(text, event, expected, pattern.matches(given))
            if (pattern.explain(given) is None) is not expected:
                found.different.append((text, event))
    return found


def of_index(seed: int, cases: int) -> Comparison:
    """Compare an `Index` of many patterns, some of which came and went, with each of them alone."""
    made = Cases(seed)
    found = Comparison()
    while found.cases < cases:
        focus = made.focus()
        texts = [spell(made.pattern(focus)) for _ in range(TOGETHER)]
        alone = [compile(text) for text in texts]
        index = _index(alone, made.random)
        for event, given in _events(made, focus):
            together = index.match(given)
            for key in index:
                found.note(texts[key], event, alone[key].matches(given), key in together)
    return found


def _index(patterns: list[Pattern], random: Random) -> Index[int]:
    """Return an index of all but some patterns, added in any order, in the place of others and after others."""
    index: Index[int] = Index()
    keys = list(range(len(patterns)))
    random.shuffle(keys)
    for key in keys:
        index.add(key, random.choice(patterns))
        index.add(key, patterns[key])
    for key in keys[: len(keys) // 5]:
        index.discard(key)
    return index


def _events(made: Cases, focus: str) -> Iterator[tuple[str, Any]]:
    """Yield JSON texts, with what to hand in for each: itself, its bytes, or the mapping that it becomes."""
    for _ in range(EVENTS // 2):
        text = spell(made.event(focus))
        yield text, made.random.choice([text, text.encode()])
        data = json.loads(text)
        plain = json.dumps(data)
        if "Infinity" not in plain and "5e-324" not in plain:  # the text of these means something else
            yield plain, data

"""Event patterns: which events a route takes, as data that Amazon EventBridge understands the same way.

`compile` takes EventBridge JSON text, or a mapping with matchers, and returns a `Pattern`::

    wanted = compile({"key": suffix(".csv"), "size": above(0)})
    wanted.matches({"key": "a.csv", "size": 12})  # True
    wanted.explain({"key": "a.txt", "size": 12})  # "key: 'a.txt' does not end with '.csv'"
    wanted.pattern                                # {"key": [{"suffix": ".csv"}], "size": [{"numeric": [">", 0]}]}

The rules are those of the Amazon EventBridge user guide, "Event patterns" and "Comparison operators", with the corners
of its open-source matcher but not its defects. A verdict never depends on which other patterns there are.
"""

from __future__ import annotations

from triggers.errors import PatternError
from triggers.patterns.index import Index
from triggers.patterns.matchers import (
    Matcher,
    above,
    any_of,
    anything_but,
    below,
    between,
    cidr,
    equals_ignore_case,
    exists,
    prefix,
    suffix,
    wildcard,
)
from triggers.patterns.pattern import Pattern, compile, compile_where

__all__ = [
    "Index",
    "Matcher",
    "Pattern",
    "PatternError",
    "above",
    "any_of",
    "anything_but",
    "below",
    "between",
    "cidr",
    "compile",
    "compile_where",
    "equals_ignore_case",
    "exists",
    "prefix",
    "suffix",
    "wildcard",
]

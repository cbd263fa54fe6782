"""Matchers: patterns as Python values, for `where={"key": suffix(".csv"), "size": above(0)}`.

Each is a frozen value and prints as the EventBridge pattern that it stands for::

    >>> print(suffix(".csv"))
    [{"suffix": ".csv"}]

All raise `PatternError` for an operand that EventBridge would refuse, on the line that wrote it; since they do not know
their field yet, its `path` is the call: `above('x')`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from triggers.errors import PatternError
from triggers.patterns.conditions import rule
from triggers.patterns.values import Leaf, decoder, scalar, show, write

_DECODER = decoder(dict)


@dataclass(frozen=True, slots=True, repr=False)
class Matcher:
    """What a field must be: the items of an EventBridge pattern's list, any of which will do.

    Made by `prefix`, `suffix`, `above` and the others here. Equal when they stand for the same pattern.
    """

    text: str
    call: str = field(compare=False)

    def rules(self) -> list[object]:
        """Return the items as EventBridge has them: scalars and `{operator: operand}`."""
        found: list[object] = _DECODER.decode(self.text)
        return found

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.call


def prefix(text: str | Matcher) -> Matcher:
    """Match a string that starts with `text`; `prefix(equals_ignore_case("ab"))` in any case."""
    return _matcher("prefix", [text], [{"prefix": _operand("prefix", text)}])


def suffix(text: str | Matcher) -> Matcher:
    """Match a string that ends with `text`; `suffix(equals_ignore_case(".csv"))` in any case."""
    return _matcher("suffix", [text], [{"suffix": _operand("suffix", text)}])


def equals_ignore_case(text: str) -> Matcher:
    """Match a string whose every character is the lower or the upper form of the one in `text`."""
    return _matcher("equals_ignore_case", [text], [{"equals-ignore-case": text}])


def wildcard(text: str) -> Matcher:
    r"""Match a string where each `*` in `text` stands for any text, also none; `\*` is a star, `\\` a backslash."""
    return _matcher("wildcard", [text], [{"wildcard": text}])


def above(number: float) -> Matcher:
    """Match a number greater than `number`, never equal to it."""
    return _matcher("above", [number], [{"numeric": [">", number]}])


def below(number: float) -> Matcher:
    """Match a number less than `number`, never equal to it."""
    return _matcher("below", [number], [{"numeric": ["<", number]}])


def between(low: float, high: float) -> Matcher:
    """Match a number from `low` to `high`, both included."""
    operand = ["=", low] if low == high else [">=", low, "<=", high]
    return _matcher("between", [low, high], [{"numeric": operand}])


def exists(present: bool = True) -> Matcher:
    """Match a field that has a value, or with False one that has none.

    Null is a value; an object and an empty array are none.
    """
    return _matcher("exists", [] if present is True else [present], [{"exists": present}])


def cidr(text: str) -> Matcher:
    """Match a string that is an IP address of the network: `cidr("10.0.0.0/8")`, `cidr("2001:db8::/32")`."""
    return _matcher("cidr", [text], [{"cidr": text}])


def anything_but(*values: str | float | Matcher) -> Matcher:
    """Match a value that is there and is none of `values`: strings only, numbers only, or matchers of one kind.

    The matchers that EventBridge can negate are `prefix`, `suffix`, `equals_ignore_case` and `wildcard`.
    """
    for value in values:
        if isinstance(value, list | tuple | set | frozenset) and any(isinstance(item, Matcher) for item in value):
            raise PatternError(
                _written("anything_but", values), f"takes matchers one by one: {_written('anything_but', [*value])}"
            )
    if not any(isinstance(value, Matcher) for value in values):
        operand: object = values[0] if len(values) == 1 else list(values)
        return _matcher("anything_but", values, [{"anything-but": operand}])
    items = [item for value in values for item in (value.rules() if isinstance(value, Matcher) else [value])]
    operators = {next(iter(item)) if isinstance(item, dict) else None for item in items}
    if len(operators) > 1:
        raise PatternError(
            _written("anything_but", values), "takes matchers of one kind; EventBridge has no word for a mix"
        )
    [operator] = operators
    if operator is None:
        return _matcher("anything_but", values, [{"anything-but": items}])
    operands = [item[operator] for item in items if isinstance(item, dict)]
    inside = operands[0] if len(operands) == 1 else operands
    return _matcher("anything_but", values, [{"anything-but": {operator: inside}}])


def any_of(*values: Leaf | Matcher) -> Matcher:
    """Match what any of the values or matchers matches."""
    if not values:
        raise PatternError("any_of()", "needs one value or matcher, or more")
    items = [item for value in values for item in (value.rules() if isinstance(value, Matcher) else [value])]
    return _matcher("any_of", values, items)


def _operand(call: str, text: str | Matcher) -> object:
    if not isinstance(text, Matcher):
        return text
    items = text.rules()
    if len(items) != 1:
        raise PatternError(_written(call, [text]), "takes a string or equals_ignore_case(...)")
    return items[0]


def _matcher(call: str, arguments: Sequence[object], items: list[object]) -> Matcher:
    try:
        items = [item if isinstance(item, dict) else scalar(item) for item in items]
        for item in items:
            rule(item, call)
    except PatternError as error:  # its path is that of a pattern which nobody has written
        raise PatternError(_written(call, arguments), error.reason) from None
    except TypeError as error:
        raise PatternError(_written(call, arguments), str(error)) from error
    return Matcher(write(items), f"{call}({', '.join(map(repr, arguments))})")


def _written(call: str, arguments: Sequence[object]) -> str:
    """Return a call for a message, as it stands on the line that raised it."""
    return f"{call}({', '.join(map(show, arguments))})"

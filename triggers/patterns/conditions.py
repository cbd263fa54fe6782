"""The operators: from one rule of a pattern, such as `{"suffix": ".csv"}`, to a test of one value.

Semantics are those of Amazon EventBridge (user guide, "Comparison operators for use in event patterns"), with the
corners as its open-source matcher has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, nextafter
from operator import eq, ge, gt, le, lt
from typing import Any, NamedTuple, TypeAlias

from triggers.errors import PatternError, did_you_mean
from triggers.patterns.values import Spelling, address, as_key, comparable, fold, number, show

Test: TypeAlias = Callable[[object], bool]

_LONGEST_NUMBER = 4_000
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, "=": eq, ">": gt, ">=": ge}


class Access(NamedTuple):
    """How an index finds a rule from a value: `kind` of table, and the `key` that a value must have in it.

    Every value that passes the rule has the key. If `sure`, every value that has the key passes.
    """

    kind: str
    key: object
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """One way for a field to match: the test of one value, and what is wrong with a value that fails it.

    `when_absent` is true for `{"exists": false}`, which no value passes. Without `access` only the test can tell.
    """

    test: Test
    fault: str
    when_absent: bool = False
    access: tuple[Access, ...] = ()


def rule(item: object, path: str) -> Rule:
    """Return the rule for one item of a field's list; raises `PatternError` naming `path`."""
    if not isinstance(item, Mapping):
        return exactly([item], path)
    if not item:
        raise PatternError(path, "is an empty object; write an operator, such as {'prefix': 'a'}")
    if len(item) != 1:
        raise PatternError(path, f"one operator is allowed here, not {len(item)}: {_both(item)}")
    [(operator, operand)] = item.items()
    make = OPERATORS.get(operator)
    if make is None:
        raise PatternError(path, f"unknown operator {operator!r}{did_you_mean(str(operator), OPERATORS)}")
    return make(operand, f"{path}.{operator}")


def _both(item: Mapping[object, object]) -> str:
    """Return how to write what an object with several operators means."""
    start, end = item.get("prefix"), item.get("suffix")
    if item.keys() == {"prefix", "suffix"} and isinstance(start, str) and isinstance(end, str):
        text = f"{_literally(start)}*{_literally(end)}"
        return f"write {{'wildcard': {text!r}}} for both; in an object of its own, either of them would do"
    return "in an object of its own either of them would do; EventBridge has no word for both"


def _literally(text: str) -> str:
    """Return the wildcard text that means the text itself."""
    return text.replace("\\", "\\\\").replace("*", "\\*")


def exactly(items: list[object], path: str) -> Rule:
    """Return the rule for values given plainly: strings, numbers, true, false and null. Any of them will do."""
    strings: set[str] = set()
    numbers: set[float] = set()
    words: list[object] = []
    addresses: set[tuple[int, int]] = set()
    for item in items:
        if isinstance(item, str):
            strings.add(item)
            found = address(item)
            if found:
                addresses.add(found)
        elif (key := number(item)) is not None:
            numbers.add(_finite(key, path))
        elif item is None or isinstance(item, bool):
            words.append(item)
        else:
            raise PatternError(path, f"{show(item)} is no string, number, true, false, null or operator")
    shown = ", ".join(show(item) for item in items)
    fault = f"is not {shown}" if len(items) == 1 else f"is not one of {shown}"
    test = _membership(frozenset(strings), frozenset(numbers), words, frozenset(addresses))
    return Rule(test, fault, access=tuple(map(_exact_access, items)))


def _exact_access(item: object) -> Access:
    found = address(item)
    return Access("address", found) if found else Access("exact", as_key(item))


def _finite(value: float, path: str) -> float:
    if isinstance(value, Spelling) and not value.text.lstrip("-")[0].isdigit():
        raise PatternError(path, f"{value.text} is no JSON number")
    if isinstance(value, Spelling) and len(value.text) > _LONGEST_NUMBER:
        raise PatternError(path, f"a number of {len(value.text):,} digits is too long; {_LONGEST_NUMBER:,} will do")
    return value


def _membership(
    strings: frozenset[str], numbers: frozenset[float], words: list[object], addresses: frozenset[tuple[int, int]]
) -> Test:
    if not (numbers or words or addresses):
        if len(strings) == 1:
            [only] = strings
            return lambda value: value == only
        return lambda value: value in strings

    def test(value: object) -> bool:
        if isinstance(value, str):
            return value in strings or (bool(addresses) and address(value) in addresses)
        if value is None or isinstance(value, bool):
            return any(value is word for word in words)
        return number(value) in numbers

    return test


def _text(operand: object, path: str) -> str:
    if not isinstance(operand, str):
        hint = "; give each string an object of its own" if isinstance(operand, list) else ""
        raise PatternError(path, f"needs a string, not {show(operand)}{hint}")
    return operand


def _exact_text(operand: object, path: str) -> Rule:
    text = _text(operand, path)
    return Rule(lambda value: value == text, f"is not {show(text)}", access=(Access("exact", text),))


def _prefix(operand: object, path: str) -> Rule:
    if isinstance(operand, Mapping):
        text = _folding(operand, path)
        head = re.compile(either_case(text), re.DOTALL)
        return Rule(
            lambda value: isinstance(value, str) and head.match(value) is not None,
            f"does not start with {show(text)} in any case",
        )
    text = _text(operand, path)
    return Rule(
        lambda value: isinstance(value, str) and value.startswith(text),
        f"does not start with {show(text)}",
        access=(Access("prefix", text),),
    )


def _suffix(operand: object, path: str) -> Rule:
    if isinstance(operand, Mapping):
        text = _folding(operand, path)
        # from the end, character by character, as a suffix is read: the length of the tail is not known beforehand
        tail = re.compile(either_case(text, backwards=True), re.DOTALL)
        return Rule(
            lambda value: isinstance(value, str) and tail.match(value[::-1]) is not None,
            f"does not end with {show(text)} in any case",
        )
    text = _text(operand, path)
    return Rule(
        lambda value: isinstance(value, str) and value.endswith(text),
        f"does not end with {show(text)}",
        access=(Access("suffix", text),),
    )


def _folding(operand: Mapping[object, object], path: str) -> str:
    if list(operand) != ["equals-ignore-case"]:
        raise PatternError(path, f"takes a string or {{'equals-ignore-case': string}}, not {show(dict(operand))}")
    return _text(operand["equals-ignore-case"], f"{path}.equals-ignore-case")


def either_case(text: str, *, backwards: bool = False) -> str:
    """Return a regular expression for the lower or the upper form of each character of `text`.

    That is EventBridge's rule, and is not case folding: a final sigma is no sigma, and sharp s also accepts `SS`.
    """
    parts = []
    for character in reversed(text) if backwards else text:
        forms = sorted({character.lower(), character.upper()})
        escaped = [re.escape(form[::-1] if backwards else form) for form in forms]
        parts.append(escaped[0] if len(escaped) == 1 else f"(?:{'|'.join(escaped)})")
    return "".join(parts)


def _equals_ignore_case(operand: object, path: str) -> Rule:
    text = _text(operand, path)
    whole = re.compile(either_case(text), re.DOTALL)
    return Rule(
        lambda value: isinstance(value, str) and whole.fullmatch(value) is not None,
        f"is not {show(text)} in any case",
        access=(Access("fold", fold(text), sure=False),),
    )


def _wildcard(operand: object, path: str) -> Rule:
    text = _text(operand, path)
    head, *middle = _literals(text, path)
    fault = f"does not match {show(text)}"
    if not middle:
        return Rule(lambda value: value == head, fault, access=(Access("exact", head),))
    tail = middle.pop()
    shortest = len(head) + len(tail)

    def test(value: object) -> bool:
        if not (isinstance(value, str) and value.startswith(head) and value.endswith(tail)):
            return False
        end = len(value) - len(tail)
        place = len(head)
        for part in middle:  # the leftmost place is always as good as any: linear, where a regex may take ages
            place = value.find(part, place, end)
            if place < 0:
                return False
            place += len(part)
        return len(value) >= shortest

    access = Access("prefix", head, sure=False) if len(head) >= len(tail) else Access("suffix", tail, sure=False)
    return Rule(test, fault, access=(access,) if access.key else ())


def _literals(text: str, path: str) -> list[str]:
    """Return what stands between the stars of a wildcard text, without escapes."""
    parts = [""]
    for token in re.finditer(r"\\(.?)|(\*+)|[^\\*]+", text, re.DOTALL):
        if token[2]:
            if len(token[2]) > 1:
                raise PatternError(path, f"{show(text)} has two stars in a row; one matches any text")
            parts.append("")
        elif token[0][0] == "\\":
            if token[1] not in ("*", "\\"):
                raise PatternError(path, f"{show(text)} has a lone backslash; write \\\\ for one and \\* for a star")
            parts[-1] += token[1]
        else:
            parts[-1] += token[0]
    return parts


def _anything_but(operand: object, path: str) -> Rule:
    if isinstance(operand, Mapping):
        return _anything_but_operator(operand, path)
    items = operand if isinstance(operand, list) else [operand]
    if not items:
        raise PatternError(path, "is an empty list, which excludes nothing; write {'exists': true} for any value")
    if not (all(isinstance(item, str) for item in items) or all(comparable(item) for item in items)):
        hint = "; several of one operator go inside it, as in {'prefix': ['a', 'b']}" if _ruled(items) else ""
        raise PatternError(path, f"needs strings only, or numbers that a double holds only, not {show(operand)}{hint}")
    excluded = frozenset(map(as_key, items))
    return Rule(lambda value: as_key(value) not in excluded, _excluded(items), access=(Access("others", excluded),))


def _ruled(items: list[object]) -> bool:
    return any(isinstance(item, Mapping) for item in items)


def _excluded(items: list[object]) -> str:
    return f"is excluded by anything-but {', '.join(show(item) for item in items)}"


def _anything_but_operator(operand: Mapping[object, object], path: str) -> Rule:
    operator = next(iter(operand), None)
    if len(operand) != 1 or operator not in _NEGATABLE:
        raise PatternError(path, f"takes one of {', '.join(_NEGATABLE)} inside, not {show(dict(operand))}")
    inside = f"{path}.{operator}"
    items = operand[operator]
    rules = []
    for item in items if isinstance(items, list) else [items]:
        text = _text(item, inside)  # so no nesting: equals-ignore-case inside prefix is not allowed here
        if not text and operator in ("prefix", "suffix"):
            raise PatternError(inside, "must not be empty; nothing would match")
        rules.append(OPERATORS[str(operator)](text, inside).test)
    if not rules:
        raise PatternError(inside, "needs one string or more")
    fault = f"is excluded by anything-but {operator} {show(items)}"
    if len(rules) == 1:
        [only] = rules
        return Rule(lambda value: not only(value), fault)
    return Rule(lambda value: not any(test(value) for test in rules), fault)


def _numeric(operand: object, path: str) -> Rule:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        raise PatternError(path, f"needs a list such as ['>', 0] or ['>', 0, '<=', 5], not {show(operand)}")
    bounds: dict[str, float] = {}
    for sign, limit in zip(operand[::2], operand[1::2], strict=True):
        if not isinstance(sign, str) or sign not in _SIGNS:
            raise PatternError(path, f"unknown comparison {show(sign)}; known: {', '.join(_SIGNS)}")
        if number(limit) is None:
            raise PatternError(path, f"needs a number, not {show(limit)}")
        if not comparable(limit):
            raise PatternError(
                path, f"{show(limit)} is no number that a double holds exactly; only a plain value can be so"
            )
        bounds[sign] = limit
    if len(operand) == 4:
        _check_range(operand, path)
    if "=" in bounds:
        return exactly([bounds["="]], path)
    fault = "is not " + " and ".join(f"{sign} {limit!r}" for sign, limit in bounds.items())
    return Rule(_range(bounds), fault, access=(Access("range", _interval(bounds)),))


def _interval(bounds: Mapping[str, float]) -> tuple[float, float]:
    """Return the lowest and the highest double within the bounds."""
    low, high = -inf, inf
    for sign, limit in bounds.items():
        if sign in ("<", "<="):
            high = float(limit) if sign == "<=" else nextafter(limit, -inf)
        else:
            low = float(limit) if sign == ">=" else nextafter(limit, inf)
    return low, high


def _check_range(operand: list[object], path: str) -> None:
    low, bottom, high, top = operand
    if low not in (">", ">=") or high not in ("<", "<="):
        raise PatternError(path, f"a range is written ['>', low, '<', high] or with >= and <=, not {show(operand)}")
    bottom, top = number(bottom), number(top)
    assert bottom is not None
    assert top is not None
    if bottom >= top:
        hint = f"write ['=', {bottom}]" if bottom == top else "swap the two"
        raise PatternError(path, f"the lower bound must be less than the upper, not {show(operand)}; {hint}")


def _range(bounds: Mapping[str, float]) -> Test:
    checks = [(_SIGNS[sign], number(limit)) for sign, limit in bounds.items()]
    compare, limit = checks[0]

    def single(value: object) -> bool:
        found = number(value)
        return found is not None and not isinstance(found, Spelling) and compare(found, limit)

    def double(value: object) -> bool:
        return single(value) and second(number(value), top)

    if len(checks) == 1:
        return single
    second, top = checks[1]
    return double


def _exists(operand: object, path: str) -> Rule:
    if not isinstance(operand, bool):
        raise PatternError(path, f"needs true or false, not {show(operand)}")
    if operand:
        return Rule(lambda value: True, "is missing", access=(Access("there", None),))
    return Rule(lambda value: False, "is there, but must be missing", when_absent=True)


def _cidr(operand: object, path: str) -> Rule:
    text = _text(operand, path)
    network, slash, mask = text.partition("/")
    found = address(network)
    if not found or not slash or not re.fullmatch("[0-9]{1,3}", mask):
        raise PatternError(path, f"needs a network such as '10.0.0.0/8' or '2001:db8::/32', not {show(text)}")
    version, start = found
    width = 32 if version == 4 else 128
    if int(mask) >= width:
        raise PatternError(path, f"the mask must be less than {width}, not {mask}; give a single address plainly")
    shift = width - int(mask)
    block = (version, start >> shift)

    def test(value: object) -> bool:
        place = address(value)
        return place is not None and (place[0], place[1] >> shift) == block

    return Rule(test, f"is not in {text}")


OPERATORS: Mapping[str, Callable[[object, str], Rule]] = {
    "exactly": _exact_text,
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "exists": _exists,
    "cidr": _cidr,
}
_NEGATABLE = ("prefix", "suffix", "equals-ignore-case", "wildcard")

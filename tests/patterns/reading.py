"""A second, brute-force reading of the rules, which shares no code with `triggers.patterns`; the two must agree.

It reads the rules as plainly as they are written: flatten the event to (path, value, elements), then try every choice
of a value for every path. It takes exponential time and could not be used for anything else.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from tests.patterns.cases import Num, Obj


class Value(NamedTuple):
    """A scalar in an event: where it is, and in which element of which array."""

    path: str
    scalar: Any
    elements: dict[int, int]


def read(text: str) -> Any:
    return json.loads(text, parse_int=Num, parse_float=Num, object_pairs_hook=Obj)


def flatten(value: Any, path: list[str], elements: dict[int, int], serial: Iterator[int]) -> Iterator[Value]:
    if isinstance(value, Obj):
        for key, item in value.pairs:
            yield from flatten(item, [*path, key], elements, serial)
    elif isinstance(value, list):
        array = next(serial)
        for place, item in enumerate(value):
            inside = {**elements, array: place} if isinstance(item, list | Obj) else elements
            yield from flatten(item, path, inside, serial)
    else:
        yield Value(".".join(path), value, elements)


def alternatives(pattern: Obj, path: list[str], so_far: list[dict[str, list[Any]]]) -> list[dict[str, list[Any]]]:
    for key, item in pattern.pairs:
        if key == "$or":
            so_far = [one for part in item for one in alternatives(part, path, [dict(rule) for rule in so_far])]
        elif isinstance(item, Obj):
            so_far = alternatives(item, [*path, key], so_far)
        else:
            for rule in so_far:
                rule[".".join([*path, key])] = item
    return so_far


def verdict(pattern: str, event: str) -> bool:
    values = list(flatten(read(event), [], {}, itertools.count()))
    return any(fits(sorted(rule.items()), values, {}) for rule in alternatives(read(pattern), [], [{}]))


def fits(conditions: list[tuple[str, list[Any]]], values: list[Value], chosen: dict[int, int]) -> bool:
    if not conditions:
        return True
    (path, items), *rest = conditions
    here = [
        value
        for value in values
        if value.path == path and all(chosen.get(array, place) == place for array, place in value.elements.items())
    ]
    if any(
        any(passes(item, value.scalar) for item in items) and fits(rest, values, {**chosen, **value.elements})
        for value in here
    ):
        return True
    absent_will_do = any(isinstance(item, Obj) and item.pairs == [("exists", False)] for item in items)
    return absent_will_do and not here and fits(rest, values, chosen)


def passes(item: Any, value: Any) -> bool:
    if not isinstance(item, Obj):
        return same(item, value)
    [(operator, operand)] = item.pairs
    if operator == "exists":
        return bool(operand)
    if operator == "numeric":
        return numeric(operand, value)
    if operator == "anything-but":
        return not excluded(operand, value)
    return isinstance(value, str) and string_passes(operator, operand, value)


def same(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Num) and isinstance(value, Num):
        known = worth(wanted), worth(value)
        return wanted.text == value.text or (None not in known and known[0] == known[1])
    if isinstance(wanted, str) and isinstance(value, str):
        return wanted == value or (ip(wanted) is not None and ip(wanted) == ip(value))
    return type(wanted) is type(value) and bool(wanted == value)


def worth(num: Num) -> Decimal | None:
    """The value of a number whose text is the shortest of a double, up to how it is written."""
    double = float(num.text)
    two_digits = f"{double:.1e}"  # Java writes 4.9e-324, never 5e-324
    shortest = Decimal(two_digits if float(two_digits) == double else repr(double))
    return shortest if shortest == Decimal(num.text) else None


def ip(text: str) -> Any:
    text = re.sub(r"(^|\.)0+(?=[0-9])", r"\1", text)
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if "." in text and ":" in text:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def numeric(operand: list[Any], value: Any) -> bool:
    found = worth(value) if isinstance(value, Num) else None
    if found is None:
        return False
    pairs = [(operand[at], Decimal(operand[at + 1].text)) for at in range(0, len(operand), 2)]
    tests = {
        "<": lambda limit: found < limit,
        "<=": lambda limit: found <= limit,
        "=": lambda limit: found == limit,
        ">=": lambda limit: found >= limit,
        ">": lambda limit: found > limit,
    }
    return all(tests[sign](limit) for sign, limit in pairs)


def excluded(operand: Any, value: Any) -> bool:
    if isinstance(operand, Obj):
        [(operator, texts)] = operand.pairs
        texts = texts if isinstance(texts, list) else [texts]
        return isinstance(value, str) and any(string_passes(operator, text, value) for text in texts)
    wanted = operand if isinstance(operand, list) else [operand]
    return any(one == value if isinstance(one, str) else same(one, value) for one in wanted)


def string_passes(operator: str, operand: Any, value: str) -> bool:
    if operator == "exactly":
        return value == operand
    if operator == "cidr":
        place, network = ip(value), ipaddress.ip_network(operand, strict=False)
        return place is not None and place.version == network.version and place in network
    if operator == "wildcard":
        return star(operand, value)
    if operator == "equals-ignore-case":
        return value in either(operand)
    forms = either(operand.pairs[0][1]) if isinstance(operand, Obj) else [operand]
    if operator == "prefix":
        return any(value[: len(form)] == form for form in forms)
    return any(value[len(value) - len(form) :] == form for form in forms if len(form) <= len(value))


def either(text: str) -> list[str]:
    return ["".join(forms) for forms in itertools.product(*[{one.lower(), one.upper()} for one in text])]


def star(text: str, value: str) -> bool:
    if not text:
        return not value
    if text[0] == "*":
        return any(star(text[1:], value[at:]) for at in range(len(value) + 1))
    if text[0] == "\\":
        return value[:1] == text[1] and star(text[2:], value[1:])
    return value[:1] == text[0] and star(text[1:], value[1:])

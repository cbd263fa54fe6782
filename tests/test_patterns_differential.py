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

from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.patterns import Index, compile


class Num(NamedTuple):
    """A number as it is spelt."""

    text: str


class Obj(NamedTuple):
    """An object as it is spelt: its pairs in order, the same key perhaps twice."""

    pairs: list[tuple[str, Any]]


class Value(NamedTuple):
    """A scalar in an event: where it is, and in which element of which array."""

    path: str
    scalar: Any
    elements: dict[int, int]


# --- the reading


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
    shortest = Decimal(repr(float(num.text)))
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


# --- what to read


def spell(value: Any) -> str:
    if isinstance(value, Num):
        return value.text
    if isinstance(value, Obj):
        return "{" + ",".join(f"{json.dumps(key)}:{spell(item)}" for key, item in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spell, value)) + "]"
    return json.dumps(value)


def op(name: str, operand: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return operand.map(lambda found: Obj([(name, found)]))


def one_or_more(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return of | st.lists(of, min_size=1, max_size=3)


SPECIAL = ["\u00df", "SS", "\u03c3", "\u03c2", "\u212a", "\u0130", "\U00010400", "10.0.0.1", "010.0.0.1", "::1", "0::1"]
TEXTS = st.text("aAb*\\", max_size=3) | st.sampled_from([*SPECIAL, "::ffff:a00:1", "1", "true", "null"])
PLAIN = st.sampled_from(["0", "-0.0", "1", "1.0", "1e0", "10e-1", "2", "2.5", "-3", "1e22", "10000000000000000000000"])
PLAIN_NUMS = PLAIN.map(Num)
ODD = ["9007199254740993", "9007199254740993.0", "9007199254740992", "9007199254740994", "12345678901234567890"]
LONG = ["0.12345678901234567", "0.12345678901234566", "18446744073709551616", "18446744073709552000"]
NUMS = PLAIN_NUMS | st.sampled_from([*ODD, *LONG]).map(Num)
SCALARS = TEXTS | NUMS | st.sampled_from([True, False, None])
WILD = st.lists(st.sampled_from(["a", "b", "A", "*", "\\*", "\\\\"]), max_size=4).map(
    lambda parts: re.sub(r"(?<!\\)\*(\*)+", "*", "".join(parts))
)
WILD = WILD.filter(lambda text: "**" not in text.replace("\\\\", "").replace("\\*", ""))
RANGES = st.tuples(st.sampled_from([">", ">="]), st.sampled_from(["-3", "0", "1"]), st.sampled_from(["<", "<="])).map(
    lambda parts: [parts[0], Num(parts[1]), parts[2], Num("2.0")]
)
FOLD = op("equals-ignore-case", TEXTS)
SOME = TEXTS.filter(bool)
RULES = st.one_of(
    SCALARS,
    SCALARS,
    op("exists", st.booleans()),
    op("prefix", TEXTS | FOLD),
    op("suffix", TEXTS | FOLD),
    FOLD,
    op("wildcard", WILD),
    op("cidr", st.sampled_from(["10.0.0.9/24", "::/64", "0.0.0.0/0", "::/0"])),
    op("numeric", st.tuples(st.sampled_from(["<", "<=", "=", ">", ">="]), PLAIN_NUMS).map(list) | RANGES),
    op("anything-but", one_or_more(TEXTS) | one_or_more(PLAIN_NUMS)),
    op("anything-but", st.one_of(op("prefix", one_or_more(SOME)), op("suffix", one_or_more(SOME)))),
    op("anything-but", op("equals-ignore-case", one_or_more(TEXTS)) | op("wildcard", one_or_more(WILD))),
)


def objects(keys: list[str], items: st.SearchStrategy[Any], smallest: int, unique: bool) -> st.SearchStrategy[Any]:
    pairs = st.tuples(st.sampled_from(keys), items)
    by = (lambda pair: pair[0]) if unique else None
    return st.lists(pairs, min_size=smallest, max_size=4, unique_by=by).map(Obj)


def patterns(items: st.SearchStrategy[Any], keys: list[str]) -> st.SearchStrategy[Any]:
    inner = objects(keys, items, 1, unique=True)
    for _ in range(2):
        alternative = st.lists(inner, min_size=2, max_size=3).map(lambda parts: ("$or", parts))
        level = st.one_of(st.tuples(st.sampled_from(keys), items | inner), alternative)
        inner = st.lists(level, min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(Obj)
    return inner


def events(scalars: st.SearchStrategy[Any], keys: list[str]) -> st.SearchStrategy[Any]:
    nested = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | objects(keys, inner, 0, unique=False), max_leaves=12
    )
    return objects(keys, nested, 0, unique=False)


FEW = st.sampled_from(["x", "y"])
FEW_RULES = st.lists(FEW | op("exists", st.booleans()), min_size=1, max_size=2)
LISTS = st.lists(RULES, min_size=1, max_size=2)
KEYS = ["a", "b", "a.b", ""]


@settings(max_examples=300, deadline=None)
@given(st.lists(RULES, min_size=1, max_size=3), st.lists(SCALARS, min_size=1, max_size=12))
def test_each_operator_gives_the_verdict_of_the_brute_force_reading(items: list[Any], values: list[Any]) -> None:
    pattern = spell(Obj([("a", items)]))
    made = compile(pattern)
    for value in values:
        event = spell(Obj([("a", value)]))
        assert made.matches(event) == verdict(pattern, event), event


@settings(max_examples=50, deadline=None)
@given(patterns(FEW_RULES, KEYS), st.lists(events(FEW, KEYS), min_size=1, max_size=6))
def test_structure_gives_the_verdict_of_the_brute_force_reading(pattern: Obj, shapes: list[Obj]) -> None:
    text = spell(pattern)
    made = compile(text)
    index: Index[str] = Index()
    index.add("it", made)
    for shape in shapes:
        event = spell(shape)
        expected = verdict(text, event)
        assert made.matches(event) == expected, event
        assert (made.explain(event) is None) == expected
        assert index.match(event) == ({"it"} if expected else set())
        data = json.loads(event)
        assert made.matches(data) == verdict(text, json.dumps(data)), "of a mapping's keys the last counts"


@settings(max_examples=40, deadline=None)
@given(
    objects(["a", "b"], LISTS | objects(["a", "b"], LISTS, 1, unique=True), 1, unique=True),
    st.lists(events(SCALARS, ["a", "b"]), min_size=1, max_size=6),
)
def test_operators_and_structure_together_give_the_verdict_of_the_brute_force_reading(
    pattern: Obj, shapes: list[Obj]
) -> None:
    text = spell(pattern)
    made = compile(text)
    assert compile(made.pattern) == made == compile(str(made))
    for shape in shapes:
        event = spell(shape)
        assert made.matches(event) == verdict(text, event), event
        data = json.loads(event)
        assert made.matches(data) == verdict(text, json.dumps(data)), "a mapping's numbers are spelt as Python does"


def test_the_brute_force_reading_itself_answers_both_ways() -> None:
    pattern = '{"a": {"x": [1], "y": [{"prefix": "b"}]}}'
    assert verdict(pattern, '{"a": [{"x": 1, "y": "bc"}]}')
    assert not verdict(pattern, '{"a": [{"x": 1}, {"y": "bc"}]}')

"""Two readings of the rules agree, and a pattern's verdict is the same in any company.

`tests/patterns/reading.py` is the second, brute-force reading. `python -m benchmarks patterns` compares 100,000 cases,
this file a sample of them, and what hypothesis finds.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patterns.cases import Num, Obj, spell
from tests.patterns.comparison import of_index, of_readings
from tests.patterns.reading import verdict
from triggers.patterns import Index, compile

# --- a sample


def test_a_thousand_patterns_have_the_verdicts_of_the_brute_force_reading() -> None:
    found = of_readings(seed=1, cases=6_000)
    assert found.different == []
    assert found.cases >= 6_000
    assert found.matches > 600, "verdicts of both kinds"


def test_fifty_patterns_in_one_index_have_the_verdicts_that_each_has_alone() -> None:
    found = of_index(seed=2, cases=6_000)
    assert found.different == []
    assert found.cases >= 6_000
    assert found.matches > 600, "verdicts of both kinds"


def test_the_brute_force_reading_shares_no_code_with_ours() -> None:
    code = "import sys, tests.patterns.reading; print(*[name for name in sys.modules if 'triggers' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- what to read


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


@settings(max_examples=300)
@given(st.lists(RULES, min_size=1, max_size=3), st.lists(SCALARS, min_size=1, max_size=12))
def test_each_operator_gives_the_verdict_of_the_brute_force_reading(items: list[Any], values: list[Any]) -> None:
    pattern = spell(Obj([("a", items)]))
    made = compile(pattern)
    for value in values:
        event = spell(Obj([("a", value)]))
        assert made.matches(event) == verdict(pattern, event), event


@settings(max_examples=50)
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


@settings(max_examples=40)
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

"""Patterns as people write and read them: matchers, `explain`, what a `Pattern` is, and many of them in an `Index`."""

from __future__ import annotations

import enum
import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import triggers.errors
import triggers.patterns
from triggers.errors import EventError, PatternError
from triggers.patterns import (
    Index,
    Matcher,
    Pattern,
    above,
    any_of,
    anything_but,
    below,
    between,
    cidr,
    compile,
    compile_where,
    equals_ignore_case,
    exists,
    prefix,
    suffix,
    wildcard,
)


def made(where: Mapping[str, object]) -> Pattern:
    """Compile as `where=` does."""
    return compile_where(where)


class Kind(str, enum.Enum):  # noqa: UP042  # the older form, whose hash and str are not the string's
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 2


@pytest.mark.parametrize(
    ("matcher", "call", "items"),
    [
        (prefix("a"), "prefix('a')", [{"prefix": "a"}]),
        (
            prefix(equals_ignore_case("a")),
            "prefix(equals_ignore_case('a'))",
            [{"prefix": {"equals-ignore-case": "a"}}],
        ),
        (suffix(".csv"), "suffix('.csv')", [{"suffix": ".csv"}]),
        (
            suffix(equals_ignore_case("a")),
            "suffix(equals_ignore_case('a'))",
            [{"suffix": {"equals-ignore-case": "a"}}],
        ),
        (equals_ignore_case("a"), "equals_ignore_case('a')", [{"equals-ignore-case": "a"}]),
        (wildcard("a*"), "wildcard('a*')", [{"wildcard": "a*"}]),
        (cidr("10.0.0.0/8"), "cidr('10.0.0.0/8')", [{"cidr": "10.0.0.0/8"}]),
        (above(0), "above(0)", [{"numeric": [">", 0]}]),
        (below(0.5), "below(0.5)", [{"numeric": ["<", 0.5]}]),
        (between(0, 5), "between(0, 5)", [{"numeric": [">=", 0, "<=", 5]}]),
        (between(5, 5), "between(5, 5)", [{"numeric": ["=", 5]}]),
        (exists(), "exists()", [{"exists": True}]),
        (exists(False), "exists(False)", [{"exists": False}]),
        (anything_but("a"), "anything_but('a')", [{"anything-but": "a"}]),
        (anything_but(1, 2), "anything_but(1, 2)", [{"anything-but": [1, 2]}]),
        (anything_but(prefix("a")), "anything_but(prefix('a'))", [{"anything-but": {"prefix": "a"}}]),
        (
            anything_but(wildcard("a*"), wildcard("b")),
            "anything_but(wildcard('a*'), wildcard('b'))",
            [{"anything-but": {"wildcard": ["a*", "b"]}}],
        ),
        (anything_but(any_of("a", "b")), "anything_but(any_of('a', 'b'))", [{"anything-but": ["a", "b"]}]),
        (any_of("a", None, prefix("b")), "any_of('a', None, prefix('b'))", ["a", None, {"prefix": "b"}]),
    ],
)
def test_a_matcher_prints_as_the_eventbridge_pattern_it_stands_for(matcher: Matcher, call: str, items: object) -> None:
    assert repr(matcher) == call
    assert json.loads(str(matcher)) == items
    assert made({"a": matcher}).pattern == {"a": items}
    assert made({"a": matcher}) == compile(json.dumps({"a": items}))


def test_matchers_are_frozen_values_equal_by_what_they_stand_for() -> None:
    assert between(5, 5) == between(5, 5) != between(5, 6)
    assert len({suffix("a"), suffix("a"), prefix("a")}) == 2
    with pytest.raises(AttributeError):
        suffix("a").text = "b"  # type: ignore[misc]


def test_above_and_below_are_strict_and_between_is_inclusive() -> None:
    def those(matcher: Matcher) -> list[int]:
        return [value for value in range(5) if made({"a": matcher}).matches({"a": value})]

    assert those(above(2)) == [3, 4]
    assert those(below(2)) == [0, 1]
    assert those(between(1, 3)) == [1, 2, 3]
    assert those(between(2, 2)) == [2]


def test_a_scalar_means_equality_a_list_any_of_and_a_mapping_nests() -> None:
    where = {
        "status": "done",
        "size": [1, above(10)],
        "flag": True,
        "none": None,
        "deep": {"er": {"key": suffix(".csv"), "$or": [{"x": 1}, {"y": [below(0), "z"]}]}},
        "raw": [{"anything-but": ["a"]}],
        "kind": Kind.RED,
        "levels": {Level.HIGH},
    }
    assert made(where).pattern == {
        "status": ["done"],
        "size": [1, {"numeric": [">", 10]}],
        "flag": [True],
        "none": [None],
        "deep": {
            "er": {"key": [{"suffix": ".csv"}], "$or": [{"x": [1]}, {"y": [{"numeric": ["<", 0]}, "z"]}]},
        },
        "raw": [{"anything-but": ["a"]}],
        "kind": ["red"],
        "levels": [2],
    }
    assert type(made(where).pattern["kind"][0]) is str  # type: ignore[index]
    assert made(made(where).pattern) == made(where)
    assert compile(json.dumps(made(where).pattern)) == made(where)


def test_values_of_enumerations_are_compared_as_what_they_are() -> None:
    assert made({"a": "red"}).matches({"a": Kind.RED})
    assert made({"a": Kind.RED}).matches({"a": "red"})
    assert made({"a": ["red", "x"], "b": above(1)}).matches({"a": Kind.RED, "b": Level.HIGH})


@pytest.mark.parametrize("bad", [{"prefix": "x"}, {"exists": True}, {"anything-but": "x"}])
def test_an_operator_without_its_list_is_refused_for_it_would_be_a_nested_field(bad: dict[str, object]) -> None:
    with pytest.raises(PatternError, match=r"key: write \["):
        made({"key": bad})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: prefix(1), r"^prefix\(1\): needs a string, not 1"),  # type: ignore[arg-type]
        (lambda: prefix(any_of("a", "b")), r"^prefix\(any_of\('a', 'b'\)\): takes a string or equals_ignore_case"),
        (lambda: suffix(prefix("a")), "takes a string or {'equals-ignore-case'"),
        (lambda: above(True), "needs a number, not True"),
        (lambda: above("1"), r"^above\('1'\): needs a number, not '1'"),  # type: ignore[arg-type]
        (lambda: above(float("nan")), "nan is no number"),
        (lambda: above(2**53 + 1), "9007199254740993 is no number that a double holds"),
        (lambda: between(2, 1), "lower bound must be less"),
        (lambda: cidr("10.0.0.0/32"), r"^cidr\('10\.0\.0\.0/32'\): the mask must be less than 32"),
        (lambda: wildcard("**"), "two stars"),
        (lambda: anything_but(), "is an empty list"),
        (lambda: anything_but("a", 1), "needs strings only"),
        (lambda: anything_but(above(1)), "takes one of prefix"),
        (lambda: anything_but(prefix("a"), suffix("b")), "matchers of one kind"),
        (lambda: anything_but(prefix("a"), "b"), "matchers of one kind"),
        (lambda: exists("x"), r"^exists\('x'\): needs true or false"),  # type: ignore[arg-type]
        (
            lambda: anything_but([prefix("a"), prefix("b")]),  # type: ignore[arg-type]
            r"takes matchers one by one: anything_but\(prefix\('a'\), prefix\('b'\)\)$",
        ),
        (lambda: any_of(), r"^any_of\(\): needs one value"),
        (lambda: any_of(datetime.now(UTC)), "is no JSON value"),  # type: ignore[arg-type]
        (lambda: any_of(float("inf")), "is no JSON number"),
        (lambda: made({"a": object()}), "a: .* is no JSON value"),
        (lambda: made({"a": [[object()]]}), "is no JSON value"),
        (lambda: made({1: 2}), "a field's name must be a string, not 1"),  # type: ignore[dict-item]
        (lambda: made({"a": float("nan")}), "nan is no JSON number"),
        (lambda: made({"a": []}), "a: is an empty list"),
        (lambda: made({}), "pattern: is empty"),
    ],
)
def test_what_eventbridge_would_refuse_is_refused_on_the_line_that_wrote_it(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(PatternError, match=message):
        make()


@pytest.mark.parametrize(
    ("where", "event", "line"),
    [
        ({"size": above(1000)}, {"size": 120}, "size: 120 is not > 1000"),
        ({"size": between(1, 5)}, {"size": 7.5}, "size: 7.5 is not >= 1 and <= 5"),
        ({"key": suffix(".csv")}, {"key": "a.txt"}, "key: 'a.txt' does not end with '.csv'"),
        ({"key": prefix("x")}, {"key": None}, "key: None does not start with 'x'"),
        ({"detail": {"owner": exists()}}, {"detail": {}}, "detail.owner: missing"),
        ({"a": exists(False)}, {"a": 1}, "a: 1 is there, but must be missing"),
        ({"a": ["x", "y"]}, {"a": "z"}, "a: 'z' is not one of 'x', 'y'"),
        ({"a": ["x", prefix("y"), exists(False)]}, {"a": "z"}, "a: 'z' is not 'x' and does not start with 'y'"),
        ({"a": "x"}, {"a": ["y", "z"]}, "a: 'y' is not 'x' (and so for 1 more)"),
        ({"a": anything_but("x", "y")}, {"a": "y"}, "a: 'y' is excluded by anything-but 'x', 'y'"),
        ({"a": anything_but(prefix("x"))}, {"a": "xy"}, "a: 'xy' is excluded by anything-but prefix 'x'"),
        ({"a": equals_ignore_case("x")}, {"a": "y"}, "a: 'y' is not 'x' in any case"),
        ({"a": cidr("10.0.0.0/8")}, {"a": "11.0.0.1"}, "a: '11.0.0.1' is not in 10.0.0.0/8"),
        ({"a": wildcard("x*")}, {"a": "y" * 90}, f"a: '{'y' * 56}... does not match 'x*'"),
        ({"a": suffix(equals_ignore_case("x"))}, {"a": "y"}, "a: 'y' does not end with 'x' in any case"),
        ({"a": prefix(equals_ignore_case("x"))}, {"a": 5}, "a: 5 does not start with 'x' in any case"),
        (
            {"a": anything_but(suffix("x"), suffix("y"))},
            {"a": "xx"},
            "a: 'xx' is excluded by anything-but suffix ['x', 'y']",
        ),
        ({"a": anything_but(wildcard("*x*"))}, {"a": "axb"}, "a: 'axb' is excluded by anything-but wildcard '*x*'"),
        ({"a": anything_but(1)}, {"a": 1.0}, "a: 1.0 is excluded by anything-but 1"),
        ({"a": anything_but("x")}, {}, "a: missing"),
        ({"a": between(5, 5)}, {"a": 7}, "a: 7 is not 5"),
        ({"a": above(5)}, {"a": "7"}, "a: '7' is not > 5"),
        ({"a": "1"}, {"a": 1}, "a: 1 is not '1'"),
        (
            {"a": above(5)},
            {"a": 2**53 + 1},
            "a: 9007199254740993 is not > 5 (no double holds it, so it equals only its own text)",
        ),
        ({"a": exists()}, {"a": {"b": 1}}, "a: missing; there is an object, and only the fields in it are values"),
        ({"a": {"b": exists()}}, {"a": {"b": []}}, "a.b: missing; there is an array without a value"),
        ({"a": {"b": "x"}}, {"a": "x"}, "a.b: missing"),
        ({"b": 1, "a": 2}, {"a": 3, "b": 4}, "b: 4 is not 1"),
        ({"$or": [{"a": 1}, {"b": 1}]}, {"a": 2}, "no alternative matches: a: 2 is not 1; b: missing"),
        ({"c": 1, "$or": [{"a": 1}, {"b": 1}]}, {"a": 1}, "c: missing"),
        (
            {"a": {"x": 1, "y": 2}},
            {"a": [{"x": 1}, {"y": 2}]},
            "a.x, a.y: each is met, but not all in one element of the array",
        ),
    ],
)
def test_explain_names_the_first_condition_that_failed_and_the_value(
    where: dict[str, object], event: dict[str, object], line: str
) -> None:
    assert made(where).explain(event) == line
    assert made(where).explain(json.dumps(event)) == line


def test_explain_answers_nothing_for_a_match() -> None:
    assert made({"key": suffix(".csv"), "size": above(0)}).explain({"key": "a.csv", "size": 1}) is None


def test_a_pattern_knows_its_top_level_fields() -> None:
    pattern = made({"a": {"b": 1}, "c.d": 2, "$or": [{"e": 1}, {"f": 1}]})
    assert pattern.fields == {"a", "c", "e", "f"}


def test_patterns_are_equal_when_their_data_mean_the_same() -> None:
    same: list[dict[str, object]] = [
        {"a": [1, "x"], "b": {"c": [True]}},
        {"b.c": [True], "a": ["x", 1.0]},
        {"a": ["x", 1], "b": {"c": True}},
    ]
    assert len({made(pattern) for pattern in same}) == 1
    different: list[dict[str, object]] = [
        {"a": [1]},
        {"a": ["1"]},
        {"a": [True]},
        {"a": [1, 2]},
        {"b": [1]},
        {"a": [{"numeric": ["=", 1]}]},
    ]
    assert len({made(pattern) for pattern in different}) == len(different)
    assert made({"a": 1}) != {"a": [1]}


def test_a_pattern_prints_as_json_and_survives_pickling() -> None:
    pattern = compile('{"a": [0.12345678901234567, "é"], "b": [9007199254740993]}')
    assert '"a": [0.12345678901234567, ' in str(pattern)
    copy = pickle.loads(pickle.dumps(pattern))
    assert copy == pattern
    assert copy.matches('{"a": 0.12345678901234567, "b": 9007199254740993}')


def test_a_later_change_of_the_data_given_does_not_change_the_pattern() -> None:
    given: dict[str, object] = {"a": ["x"]}
    pattern = made(given)
    given["a"] = ["y"]
    assert pattern.matches({"a": "x"})
    assert pattern.pattern == {"a": ["x"]}


def test_a_value_that_is_not_json_is_an_error_where_it_is_looked_at() -> None:
    event = {"when": datetime(2026, 1, 1, tzinfo=UTC), "a": 1}
    assert made({"a": 1}).matches(event)
    with pytest.raises(EventError, match=r"when: .* is no JSON value"):
        made({"when": exists()}).matches(event)


def test_tuples_and_sets_are_arrays() -> None:
    assert made({"a": "x"}).matches({"a": ("y", "x")})
    assert made({"a": {"b": "x"}}).matches({"a": ({"b": {"x"}},)})


# --- the index

_PATTERNS: list[dict[str, object]] = [
    {"type": "a"},
    {"type": ["a", "b"], "size": above(1)},
    {"type": prefix("a")},
    {"type": "10.0.0.1"},
    {"type": ["a", 1]},
    {"$or": [{"type": "a"}, {"size": 1}]},
    {"size": exists(False)},
    {"type.x": "a"},
    {"size": [1, 2], "type": ["b"]},
]
_VALUES = st.sampled_from(
    ["a", "b", "10.0.0.1", "010.0.0.1", 1, 2, True, None, ["a", "c"], ["c", 1], {"x": "a"}, [{"x": "a"}], Kind.RED]
)
_EVENTS = st.fixed_dictionaries({}, optional={"type": _VALUES, "size": _VALUES, "type.x": _VALUES})


@given(_EVENTS, st.sets(st.integers(0, len(_PATTERNS) - 1)))
def test_in_an_index_each_pattern_gives_the_verdict_that_it_gives_alone(
    event: dict[str, object], gone: set[int]
) -> None:
    index: Index[int] = Index()
    for key, pattern in enumerate(_PATTERNS):
        index.add(key, made(pattern))
    for key in gone:
        index.discard(key)
    alone = {key for key, pattern in enumerate(_PATTERNS) if key not in gone and made(pattern).matches(event)}
    assert index.match(event) == alone
    assert len(index) == len(_PATTERNS) - len(gone)


def test_an_index_takes_text_forgets_and_replaces() -> None:
    index: Index[str] = Index()
    index.add("one", '{"type": ["a"]}')
    index.add("two", made({"type": "a"}))
    assert index.match('{"type": "a"} trailing') == {"one", "two"}
    assert index.match(b'{"type": "z", "type": "a"}') == {"one", "two"}
    index.add("one", {"type": ["b"]})
    index.discard("two")
    index.discard("two")
    assert "two" not in index
    assert index.match({"type": "a"}) == set()
    assert index.match({"type": "b"}) == {"one"}
    with pytest.raises(PatternError):
        index.add("one", {})
    assert index.match({"type": "b"}) == {"one"}, "a bad pattern replaces nothing"


# --- the module


def test_the_error_is_the_one_of_the_tree() -> None:
    assert triggers.patterns.PatternError is triggers.errors.PatternError


def test_importing_patterns_costs_no_event_loop_and_no_network() -> None:
    code = (
        "import sys, types; package = types.ModuleType('triggers'); package.__path__ = [sys.argv[1]];"
        "sys.modules['triggers'] = package; import triggers.patterns;"
        "print(*{'asyncio', 'socket', 'ipaddress', 'pydantic', 'difflib'} & set(sys.modules))"
    )
    folder = triggers.errors.__file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

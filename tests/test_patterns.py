"""What a pattern matches: the rules of Amazon EventBridge, one by one, with their surprises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from triggers.errors import EventError, PatternError
from triggers.patterns import Index, compile, compile_where


def matches(pattern: object, event: object) -> bool:
    """Ask with text, and where the event is data also with the mapping, alone and in an index: all must agree."""
    made = compile(pattern if isinstance(pattern, str) else json.dumps(pattern))
    index: Index[str] = Index()
    index.add("it", made)
    index.add("other", {"c": ["x"]})
    given = [event] if isinstance(event, str) else [json.dumps(event), json.dumps(event).encode(), event]
    verdicts = {made.matches(one) for one in given}
    assert verdicts == {made.explain(one) is None for one in given}
    assert verdicts == {"it" in index.match(one) for one in given}
    [verdict] = verdicts
    return verdict


def field(rule: object, value: object) -> bool:
    """Match one field `a`; strings are quoted here, numbers may be given as text through `number`."""
    return matches({"a": rule if isinstance(rule, list) else [rule]}, {"a": value})


def number(rule: str, value: str) -> bool:
    return matches(f'{{"a": [{rule}]}}', f'{{"a": {value}}}')


# --- numbers


@pytest.mark.parametrize("rule", ["1", "1.0", "1e0", "10e-1"])
@pytest.mark.parametrize("value", ["1", "1.0", "1e0", "10e-1"])
def test_numbers_are_compared_by_value_where_a_double_holds_them(rule: str, value: str) -> None:
    assert number(rule, value)


def test_minus_zero_is_zero() -> None:
    assert number("-0.0", "0")
    assert number("0", "-0.0")


def test_a_string_is_no_number_and_true_is_not_one() -> None:
    assert not field(1, "1")
    assert not field("1", 1)
    assert not field(1, True)
    assert not field(True, 1)
    assert not field(0, False)
    assert not field("true", True)
    assert not field("null", None)
    assert not field({"numeric": ["=", 1]}, True)


@pytest.mark.parametrize(
    "text", ["9007199254740993", "12345678901234567890", "0.12345678901234567", "1e309", "1e-400", "5e-324"]
)
def test_a_number_that_no_double_holds_matches_by_its_text_alone(text: str) -> None:
    assert number(text, text)
    assert not number(text, text.replace("e", "E") if "e" in text else text + ("0" if "." in text else ".0"))
    assert not number('{"numeric": [">=", 0]}', text)
    assert number('{"anything-but": 1}', text)
    for rule in (f'{{"numeric": [">", {text}]}}', f'{{"anything-but": {text}}}', f'{{"anything-but": [1, {text}]}}'):
        with pytest.raises(PatternError, match="double"):
            compile(f'{{"a": [{rule}]}}')


def test_numbers_that_round_to_the_same_double_are_told_apart_in_text() -> None:
    assert not number("9007199254740992", "9007199254740993")
    assert not number("0.12345678901234566", "0.12345678901234567")
    assert number("18446744073709551616", "18446744073709551616")
    assert not number("18446744073709552000", "18446744073709551616")
    assert number("18446744073709552000", "1.8446744073709552e19")


def test_a_mapping_is_compared_by_its_values() -> None:
    assert compile('{"a": [9007199254740993]}').matches({"a": 9007199254740993})
    assert not compile('{"a": [9007199254740993]}').matches({"a": 9007199254740992})
    assert not compile('{"a": [{"numeric": [">", 0]}]}').matches({"a": 9007199254740993})
    assert compile({"a": [0.12345678901234566]}).matches({"a": float("0.12345678901234567")})
    assert compile({"a": [10**22]}).matches({"a": 1e22})
    explained = compile({"a": [1]}).explain({"a": 10**5000})
    assert explained is not None
    assert explained.startswith("a: a number of thousands of digits is not 1 (no double holds it")
    assert compile({"a": [{"anything-but": 0}]}).matches({"a": float("nan")})


def test_numeric_compares_with_one_bound_or_two() -> None:
    for low, high, inside in [(">", "<", [1]), (">=", "<", [0, 1]), (">", "<=", [1, 5]), (">=", "<=", [0, 1, 5])]:
        rule = {"numeric": [low, 0, high, 5]}
        assert [value for value in [-1, 0, 1, 5, 6] if field(rule, value)] == inside
    for sign, inside in [("<", [0]), ("<=", [0, 1]), ("=", [1]), (">", [2]), (">=", [1, 2])]:
        assert [value for value in [0, 1, 2] if field({"numeric": [sign, 1.0]}, value)] == inside
    assert not field({"numeric": [">", 0]}, "1")
    assert not field({"numeric": [">", 0]}, None)


# --- missing, empty, null


@pytest.mark.parametrize("value", [[], {}, {"b": 1}, [{}], [[]]])
def test_exists_is_about_leaves(value: object) -> None:
    assert field({"exists": False}, value)
    assert not field({"exists": True}, value)
    assert not field({"anything-but": "x"}, value)


@pytest.mark.parametrize("value", [None, False, 0, "", [None], [{}, 1]])
def test_whatever_is_a_value_is_present_also_null(value: object) -> None:
    assert field({"exists": True}, value)
    assert not field({"exists": False}, value)


def test_a_missing_field_matches_only_exists_false() -> None:
    assert matches({"a": [{"exists": False}]}, {"b": 1})
    assert matches({"a": ["x", {"exists": False}]}, {"b": 1})
    assert not matches({"a": [{"exists": True}]}, {"b": 1})
    assert not matches({"a": [{"anything-but": "x"}]}, {"b": 1})
    assert not matches({"a": [None]}, {"b": 1})


def test_null_matches_only_null() -> None:
    assert field(None, None)
    assert [value for value in ["", 0, False, "null"] if field(None, value)] == []


@pytest.mark.parametrize("value", ["1", True, None, "x", 2])
def test_anything_but_a_number_matches_all_that_is_not_that_number(value: object) -> None:
    assert field({"anything-but": 1}, value)
    assert not field({"anything-but": 1}, 1.0)


def test_anything_but_matches_an_array_with_one_element_that_differs() -> None:
    assert field({"anything-but": ["x", "y"]}, ["x", "z"])
    assert not field({"anything-but": ["x", "y"]}, ["x", "y"])


@pytest.mark.parametrize(
    ("operand", "excluded", "allowed"),
    [
        ("ab", "ab", "abc"),
        (["ab", "cd"], "cd", "ac"),
        ({"prefix": "ab"}, "abc", "cab"),
        ({"prefix": ["x", "ab"]}, "abc", "cab"),
        ({"suffix": "ab"}, "cab", "abc"),
        ({"suffix": ["x", "ab"]}, "cab", "abc"),
        ({"equals-ignore-case": "aB"}, "Ab", "abc"),
        ({"equals-ignore-case": ["x", "aB"]}, "Ab", "abc"),
        ({"wildcard": "a*b"}, "acb", "abc"),
        ({"wildcard": ["x", "a*b"]}, "acb", "abc"),
    ],
)
def test_anything_but_takes_values_and_string_operators_singly_and_in_lists(
    operand: object, excluded: str, allowed: str
) -> None:
    assert not field({"anything-but": operand}, excluded)
    assert field({"anything-but": operand}, allowed)
    assert field({"anything-but": operand}, 7)
    assert field({"anything-but": operand}, None)


def test_empty_texts_are_legal_where_eventbridge_has_them_so() -> None:
    assert field("", "")
    for rule in ({"prefix": ""}, {"suffix": ""}, {"wildcard": "*"}):
        assert field(rule, "")
        assert field(rule, "x")
        assert not field(rule, 1)
        assert not field(rule, None)
    assert field({"wildcard": ""}, "")
    assert not field({"wildcard": ""}, "x")


# --- paths and structure


def test_a_dot_in_a_name_is_nesting_in_the_rule_and_in_the_event() -> None:
    for pattern in ({"a": {"b": [1]}}, {"a.b": [1]}):
        for event in ({"a": {"b": 1}}, {"a.b": 1}, {"a": {"b": 2}, "a.b": 1}):
            assert matches(pattern, event)
    assert matches({"a.b": {"c.d": [1]}}, {"a": {"b.c": {"d": 1}}})
    assert not matches({"a.b": [1]}, {"a": 1})


def test_empty_names_are_names() -> None:
    assert matches({"": {"": [1]}}, {"": {"": 1}})
    assert not matches({"": {"": [1]}}, {"": 1})


def test_of_a_key_given_twice_the_last_counts_in_a_rule_and_both_in_an_event_text() -> None:
    assert compile('{"a": [1], "a": [2]}') == compile('{"a": [2]}')
    for value, verdict in [(1, True), (2, True), (3, False)]:
        assert matches(f'{{"a": [{value}]}}', '{"a": 1, "a": 2}') is verdict
    assert matches('{"a": {"b": [1], "c": [2]}}', '{"a": {"b": 1}, "a": {"c": 2}}')
    assert matches('{"a": [{"exists": true}]}', '{"a": 1, "a": {}}')
    assert matches('{"a": {"x": [1], "y": [2]}}', '{"a": [{"x": 1}], "a": [{}, {"y": 2}]}'), "two arrays, not one"


def test_conditions_below_an_array_must_hold_in_one_element() -> None:
    pattern = {"a": {"x": [1], "y": [2]}}
    assert matches(pattern, {"a": [{"x": 1, "y": 3}, {"x": 1, "y": 2}]})
    assert not matches(pattern, {"a": [{"x": 1, "y": 3}, {"x": 4, "y": 2}]})
    assert matches(pattern, {"a": {"x": [0, 1], "y": [2, 3]}}), "sibling arrays of values are free"


def test_array_consistency_holds_at_every_level() -> None:
    pattern = {"a": {"b": {"x": [1], "y": [2]}, "z": [3]}}
    right = {"b": [{"x": 1, "y": 2}], "z": 3}
    assert matches(pattern, {"a": [{"z": 3}, right]})
    assert not matches(pattern, {"a": [{"b": [{"x": 1}, {"y": 2}], "z": 3}]})
    assert not matches(pattern, {"a": [{"b": [{"x": 1, "y": 2}]}, {"z": 3}]})
    assert matches({"a": {"x": [1], "y": [2]}}, {"a": [[{"x": 1, "y": 2}]]})
    assert not matches({"a": {"x": [1], "y": [2]}}, {"a": [[{"x": 1}], [{"y": 2}]]}), "through nested arrays too"


def test_different_arrays_are_chosen_from_freely() -> None:
    event = {"a": {"b": [{"x": 1}, {"x": 2}], "c": [{"y": 1}, {"y": 2}]}}
    assert matches({"a": {"b": {"x": [2]}, "c": {"y": [1]}}}, event)


def test_the_same_list_in_two_places_of_a_mapping_is_two_arrays() -> None:
    shared = [{"x": 1}, {"x": 2}]
    event = {"a": {"b": shared, "c": shared}}
    assert compile({"a": {"b": {"x": [1]}, "c": {"x": [2]}}}).matches(event)


def test_exists_false_is_judged_in_the_element_chosen_before_it_in_path_order() -> None:
    event = {"a": [{"b": 1}, {"c": 2}]}
    assert not matches({"a": {"b": [{"exists": False}]}}, event)
    assert not matches({"a": {"b": [{"exists": False}], "c": [2]}}, event), "b comes before c: nothing is chosen yet"
    assert matches({"a": {"b": [1], "c": [{"exists": False}]}}, event)
    assert matches({"a": {"c": [{"exists": False}], "b": [1]}}, event), "whatever the order that they are written in"


def test_large_arrays_take_no_more_than_linear_time() -> None:
    many = [{"x": 1, "y": 0, "in": [{"p": 1, "q": 0}]} for _ in range(2_000)]
    pattern = {"a": {"b": {"x": [1], "y": [1]}, "c": {"x": [1], "y": [1]}, "d": {"in": {"p": [1], "q": [1]}}}}
    assert not compile(pattern).matches({"a": {"b": many, "c": many, "d": many}})
    one_inside = [{"in": [{"p": 1, "q": 0}] * 20_000}]
    assert not compile({"d": {"in": {"p": [1], "q": [1]}}}).matches({"d": one_inside})


def test_or_is_an_alternative_at_any_level() -> None:
    pattern = {"$or": [{"a": [1]}, {"b": {"$or": [{"c": [2]}, {"d": [3]}]}}], "e": [4]}
    assert matches(pattern, {"a": 1, "e": 4})
    assert matches(pattern, {"b": {"d": 3}, "e": 4})
    assert not matches(pattern, {"b": {"d": 3}})
    assert not matches(pattern, {"e": 4})


def test_or_of_fewer_than_two_objects_or_with_reserved_names_is_a_field() -> None:
    assert matches({"$or": ["x", "y"]}, {"$or": "y"})
    assert matches({"$or": [{"prefix": "x"}]}, {"$or": "xy"})
    assert matches({"$or": [{"prefix": "x"}, {"suffix": "z"}]}, {"$or": "yz"})
    with pytest.raises(PatternError, match=r"\$or\[0\]: unknown operator 'a'.*As \$or it needs two objects"):
        compile({"$or": [{"a": [1]}]})


def test_what_is_written_later_replaces_the_same_path_in_or_and_outside() -> None:
    later = {"$or": [{"a": [1]}, {"b": [2]}], "a": [3]}
    earlier = {"a": [3], "$or": [{"a": [1]}, {"b": [2]}]}
    assert not matches(later, {"a": 1})
    assert matches(later, {"a": 3})
    assert matches(earlier, {"a": 1})
    assert compile(later) != compile(earlier)


def test_more_than_a_thousand_alternatives_are_refused() -> None:
    two = [{"x": [1]}, {"y": [1]}]
    compile({f"f{n}": {"$or": two} for n in range(9)})
    with pytest.raises(PatternError, match="1,000 alternatives"):
        compile({f"f{n}": {"$or": two} for n in range(10)})


def test_text_after_the_closing_brace_is_ignored_and_other_events_are_errors() -> None:
    assert matches('{"a": [1]}', ' {"a": 1} trailing')
    for event in ("[1]", "1", "", "{", '{"a": NaN}', b"\xff", "[" * 100_000):
        with pytest.raises(EventError):
            compile({"a": [1]}).matches(event)


# --- strings


def test_prefix_and_suffix_match_strings_only() -> None:
    assert field({"prefix": "ab"}, "abc")
    assert not field({"prefix": "ab"}, "cab")
    assert field({"suffix": ".csv"}, "a.csv")
    assert not field({"suffix": ".csv"}, "a.csv.gz")
    assert not field({"prefix": "1"}, 12)


@pytest.mark.parametrize("value", ["10.0.0.1", "010.0.0.1", "10.00.000.01", "::ffff:a00:1"])
def test_a_text_that_looks_like_an_address_matches_all_its_spellings(value: str) -> None:
    assert field("10.0.0.1", value)
    assert field(value, "10.0.0.1")
    assert field({"anything-but": "10.0.0.1"}, value) is (value != "10.0.0.1")


def test_ipv6_is_compared_zero_compressed_or_not_and_never_as_ipv4() -> None:
    assert field("::1", "0:0:0:0:0:0:0:1")
    assert not field("0.0.0.1", "::1")
    assert not field("0.0.0.0", "::1")
    assert not field("10.0.0.1", "::ffff:10.0.0.1")
    assert field("1.2.3.256", "1.2.3.256")
    assert not field("1.2.3.256", "1.2.3.0256")


def test_cidr_matches_addresses_of_its_own_kind_and_nothing_else() -> None:
    assert field({"cidr": "10.0.0.7/24"}, "10.0.0.255"), "host bits may be set"
    assert not field({"cidr": "10.0.0.7/24"}, "10.0.1.0")
    assert field({"cidr": "2001:db8::/32"}, "2001:db8:1::")
    assert not field({"cidr": "::/0"}, "10.0.0.1"), "a defect of event-ruler"
    assert not field({"cidr": "0.0.0.0/0"}, "::1"), "a defect of event-ruler"
    assert not field({"cidr": "0.0.0.0/0"}, 1), "a defect of event-ruler"
    assert not field({"cidr": "10.0.0.0/8"}, "::ffff:10.0.0.1")
    for text in ("10.0.0.0/32", "::/128", "10.0.0.0", "a/8", "10.0.0.0/-1", "10.0.0.256/8", "::ffff:10.0.0.1/97"):
        with pytest.raises(PatternError, match="cidr"):
            compile({"a": [{"cidr": text}]})


@pytest.mark.parametrize(
    ("rule", "value", "verdict"),
    [
        ("abc", "AbC", True),
        ("\u03c3", "\u03c2", False),  # a final sigma has the same upper form, but is another letter
        ("s", "\u017f", False),  # long s
        ("i", "\u0131", False),  # dotless i
        ("ß", "SS", True),  # the upper form is two letters
        ("ß", "ẞ", False),
        ("ß", "ss", False),
        ("\u03c2", "\u03c3", False),
        ("STRASSE", "straße", False),
        ("k", "\u212a", False),  # the Kelvin sign
        ("\u212a", "k", True),
        ("\U00010400", "\U00010428", True),  # beyond the BMP: a defect of event-ruler
    ],
)
def test_ignoring_case_is_the_lower_or_the_upper_form_of_each_character(rule: str, value: str, verdict: bool) -> None:
    assert field({"equals-ignore-case": rule}, value) is verdict
    assert field({"anything-but": {"equals-ignore-case": rule}}, value) is not verdict
    assert field({"prefix": {"equals-ignore-case": rule}}, value + "\nx") is verdict
    assert field({"suffix": {"equals-ignore-case": rule}}, "\nx" + value) is verdict


def test_whatever_the_case_of_a_character_an_index_finds_what_the_pattern_matches() -> None:
    index: Index[str] = Index()
    letters = [chr(code) for code in range(0x20000) if chr(code).lower() != chr(code).upper()]
    assert len(letters) > 2_000
    for letter in letters:
        index.add(letter, {"a": [{"equals-ignore-case": letter}]})
    for letter in letters:
        assert letter in index.match({"a": letter.lower()})
        assert letter in index.match({"a": letter.upper()})


def test_a_suffix_that_is_not_ascii_hides_no_exact_match() -> None:
    assert field(["é", {"suffix": "é"}], "é")


@pytest.mark.parametrize(
    ("rule", "value", "verdict"),
    [
        ("a*", "a", True),
        ("a*b", "ab", True),
        ("a*b", "a\nb", True),
        ("a*a", "a", False),
        ("*a*b*", "xxaxxbxx", True),
        ("*a*b*", "ba", False),
        ("*ab*ab", "ab", False),
        ("*ab*ab", "abab", True),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        (r"a\\*", "a\\x", True),
        ("ab", "AB", False),
    ],
)
def test_a_star_is_any_text_and_a_backslash_escapes_it(rule: str, value: str, verdict: bool) -> None:
    assert field({"wildcard": rule}, value) is verdict


@pytest.mark.parametrize("text", ["**", "a**b", "\\", "a\\", "\\a", "*\\"])
def test_two_stars_and_other_escapes_are_refused(text: str) -> None:
    with pytest.raises(PatternError, match="wildcard"):
        compile({"a": [{"wildcard": text}]})
    with pytest.raises(PatternError, match="wildcard"):
        compile({"a": [{"anything-but": {"wildcard": text}}]})


def test_a_wildcard_with_many_stars_is_quick_on_a_long_text() -> None:
    assert not field({"wildcard": "*a" * 30 + "*b"}, "a" * 100_000)


# --- what is refused


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{}", "pattern: is empty"),
        ("[]", "pattern: must be a JSON object"),
        ("{", "pattern: is not JSON"),
        ('{"a": {}}', "a: is empty"),
        ('{"a": []}', "a: is an empty list"),
        ('{"a": 1}', r"a: must be a list or an object, not 1; write \[1\]"),
        ('{"a": [[1]]}', r"a\[0\]: \[1\] is no string"),
        ('{"a": {"b": ["x", {"sufix": "y"}]}}', r"a\.b\[1\]: unknown operator 'sufix'; did you mean 'suffix'\?"),
        ('{"a": [{}]}', r"a\[0\]: is an empty object; write an operator"),
        (
            '{"a": [{"prefix": "x", "suffix": "y"}]}',
            r"a\[0\]: one operator is allowed here, not 2: write {'wildcard': 'x\*y'}",
        ),
        ('{"a": [{"prefix": "x*", "suffix": "y"}]}', r"write {'wildcard': 'x\\\\\*\*y'} for both"),
        ('{"a": [{"prefix": "x", "exists": true}]}', r"not 2: in an object of its own either of them would do"),
        ('{"a": [{"prefix": 1}]}', r"a\[0\]\.prefix: needs a string, not 1"),
        ('{"a": [{"prefix": ["x"]}]}', r"a\[0\]\.prefix: needs a string"),
        ('{"a": [{"suffix": {"prefix": "x"}}]}', r"a\[0\]\.suffix: takes a string or"),
        ('{"a": [{"equals-ignore-case": ["x"]}]}', "needs a string"),
        ('{"a": [{"wildcard": ["x"]}]}', "needs a string"),
        ('{"a": [{"exists": 1}]}', "needs true or false, not 1"),
        ('{"a": [{"anything-but": []}]}', r"a\[0\]\.anything-but: is an empty list"),
        ('{"a": [{"anything-but": {}}]}', "takes one of prefix, suffix"),
        ('{"a": [{"anything-but": {"anything-but": "x"}}]}', "takes one of prefix, suffix"),
        ('{"a": [{"anything-but": ["x", 1]}]}', "needs strings only"),
        ('{"a": [{"anything-but": null}]}', "needs strings only"),
        ('{"a": [{"anything-but": [{"prefix": "x"}]}]}', r"go inside it, as in {'prefix': \['a', 'b'\]}"),
        ('{"a": [{"anything-but": [true]}]}', "needs strings only"),
        ('{"a": [{"anything-but": {"prefix": ""}}]}', r"anything-but\.prefix: must not be empty"),
        ('{"a": [{"anything-but": {"suffix": ["x", ""]}}]}', r"anything-but\.suffix: must not be empty"),
        ('{"a": [{"anything-but": {"prefix": []}}]}', "needs one string"),
        ('{"a": [{"anything-but": {"prefix": {"equals-ignore-case": "x"}}}]}', "needs a string"),
        ('{"a": [{"anything-but": {"numeric": ["=", 1]}}]}', "takes one of prefix, suffix"),
        ('{"a": [{"anything-but": {"cidr": "10.0.0.0/8"}}]}', "takes one of prefix, suffix"),
        ('{"a": [{"numeric": 1}]}', "needs a list such as"),
        ('{"a": [{"numeric": [">"]}]}', "needs a list such as"),
        ('{"a": [{"numeric": ["!", 1]}]}', "unknown comparison"),
        ('{"a": [{"numeric": [[], 1]}]}', "unknown comparison"),
        ('{"a": [{"numeric": [">", "1"]}]}', "needs a number, not '1'"),
        ('{"a": [{"numeric": [">", true]}]}', "needs a number, not True"),
        ('{"a": [{"numeric": ["<", 1, ">", 0]}]}', "a range is written"),
        ('{"a": [{"numeric": [">", 1, "<", 1]}]}', "lower bound must be less"),
        ('{"a": [{"numeric": [">", 5, "<", 3]}]}', r"lower bound must be less .*\[.>., 5, .<., 3\]; swap the two"),
        ('{"a": [{"numeric": ["==", 1]}]}', r"a\[0\]\.numeric: unknown comparison '=='; known: <, <=, =, >, >="),
        ('{"a": [{"cidr": "10.0.0.0"}]}', r"a\[0\]\.cidr: needs a network such as '10\.0\.0\.0/8'"),
        ('{"a": [{"cidr": "10.0.0.0/33"}]}', r"a\[0\]\.cidr: the mask must be less than 32, not 33"),
        ('{"a": [{"cidr": 5}]}', r"a\[0\]\.cidr: needs a string, not 5"),
        ('{"a": [{"wildcard": "x**"}]}', r"a\[0\]\.wildcard: 'x\*\*' has two stars in a row"),
        ('{"a": {"prefix": "x"}}', r"a: write \[\{'prefix': 'x'\}\], or prefix\(\.\.\.\) for the operator"),
        ('{"a": {"b": [1]}, "a": {"c": [1]}}', "a: is given twice"),
        ('{"x": {"a": [1], "a": {"c": [1]}}}', r"x\.a: is given twice in one object; merge the two"),
        ('{"x": {"a": [{"prefix": "b", "prefix": "c"}]}}', r"x\.a\[0\]\.prefix: is given twice"),
        ('{"$or": [{"a": [1]}, {"b": [1]}], "$or": [{"c": [1]}, {"d": [1]}]}', r"\$or: is given twice"),
        ('{"a": [{"nope": 1}], "a": [1]}', r"a\[0\]: unknown operator 'nope'"),
        ('{"$or": []}', r"\$or: is an empty list"),
        ('{"$or": [{"a": [1]}, 1]}', r"\$or\[0\].*As \$or it needs two objects"),
        ('{"$or": [{"a": [1]}, {"prefix": [1]}]}', r"\$or\[0\].*none with an operator's name"),
        ('{"b": {"$or": [{"a": [1]}, {}]}}', r"b\.\$or\[1\]: is empty"),
        ('{"$or": [{"a": [1]}, {"b": 1}]}', r"^\$or\[1\]\.b: must be a list or an object, not 1"),
        ('{"a": {"$or": [{"b": [1]}, {"b": [{"x": 1}]}]}}', r"^a\.\$or\[1\]\.b\[0\]: unknown operator 'x'"),
        ('{"a": {"$or": [{"b": [1]}, {"b": {}}]}}', r"^a\.\$or\[1\]\.b: is empty"),
        ('{"$or": [{"$or": [{"a": [1]}, {"b": [[]]}]}, {"b": [1]}]}', r"^\$or\[0\]\.\$or\[1\]\.b\[0\]: "),
        ('{"a": [1]} x', "pattern: is not JSON: Extra data"),
        ("{'a': [1]}", "pattern: is not JSON"),
        ('{"a": ' * 300 + "[1]" + "}" * 300, r"a\.a.*: is nested too deep; 200 levels will do"),
        ("[" * 100_000, "pattern: is nested too deep"),
        ('{"a": ["' + "x" * 1_000_000 + '"]}', "pattern: is 1,000,011 characters long"),
        ('{"a": [NaN]}', "is not JSON"),
        (f'{{"a": [{"9" * 5000}]}}', "5,000 digits is too long"),
    ],
)
def test_a_bad_pattern_names_the_place_and_the_reason(pattern: str, message: str) -> None:
    with pytest.raises(PatternError, match=message) as caught:
        compile(pattern)
    assert str(caught.value) == f"{caught.value.path or 'pattern'}: {caught.value.reason}"
    with pytest.raises(PatternError, match=message):
        compile(pattern.encode())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (None, "pattern: must be JSON text or a mapping, not None"),
        ([{"a": [1]}], "pattern: must be JSON text or a mapping"),
        (b"\xff", "pattern: is not JSON"),
        ({"a": "x"}, r"a: must be a list or an object, not 'x'; write \['x'\]"),
        ({"a": {"b": None}}, r"a\.b: must be a list or an object"),
        ({"a": {"suffix": "x"}}, r"a: write \[\{'suffix': 'x'\}\], or suffix\(\.\.\.\)"),
        ({"a": [object()]}, r"a\[0\]: .* is no JSON value"),
        ({"a": [{"numeric": [">", float("inf")]}]}, r"a\[0\]\.numeric: inf is no number"),
        ({"$or": [{"a": [1]}, {"b": "x"}]}, r"^\$or\[1\]\.b: must be a list or an object"),
        ({"": {"a": []}}, r"\.a: is an empty list"),
    ],
)
def test_a_bad_pattern_that_is_no_text_names_the_place_and_the_reason(pattern: Any, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        compile(pattern)


def test_a_bad_pattern_nested_without_end_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(PatternError, match="nested too deep"):
        compile(endless)
    with pytest.raises(PatternError, match="nested too deep"):
        compile_where(endless)


@pytest.mark.parametrize(
    ("event", "shown"), [(None, "None"), ([], r"\[\]"), (5, "5"), ("null", "None"), ("[]", r"\[\]")]
)
def test_an_event_that_is_no_object_is_refused_by_a_pattern_and_by_an_index(event: Any, shown: str) -> None:
    pattern, index = compile({"a": [1]}), Index[str]()
    index.add("key", pattern)
    for ask in (pattern.matches, pattern.explain, index.match):
        with pytest.raises(EventError, match=f"the event must be .*, not {shown}$"):
            ask(event)


def test_texts_may_start_with_a_byte_order_mark() -> None:
    assert compile(b'\xef\xbb\xbf{"a": [1]}').matches(b'\xef\xbb\xbf{"a": 1}')


def test_an_event_nested_beyond_all_bounds_is_an_error_only_where_the_pattern_looks() -> None:
    inside: Any = 1
    for _ in range(5_000):
        inside = [inside]
    assert compile({"b": [1]}).matches({"a": inside, "b": 1})
    with pytest.raises(EventError, match="a: the event is nested too deep"):
        compile({"a": [1]}).matches({"a": inside})

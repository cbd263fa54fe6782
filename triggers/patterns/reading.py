"""From what people write, JSON text or a mapping with matchers, to checked pattern data and its alternatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from triggers.errors import PatternError
from triggers.patterns.conditions import OPERATORS, rule
from triggers.patterns.matchers import Matcher
from triggers.patterns.values import Leaf, decoder, scalar, show

Data: TypeAlias = dict[str, object]
Items: TypeAlias = dict[str, list[object]]

MAX_ALTERNATIVES = 1_000
"""How many alternatives the `$or`s of one pattern may multiply to: EventBridge's quota."""
MAX_DEPTH = 200
"""So many names may a path have. Payloads have 64 levels at most."""
MAX_LENGTH = 1_000_000
"""So many characters may a pattern's text have."""

_NOT_IN_OR = frozenset(OPERATORS) | {"=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case"} | {
    "date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range",
    "ip-address-in-range", "ip-address-not-in-range",
}  # fmt: skip


def from_text(text: str | bytes | bytearray) -> Data:
    """Return the data of a JSON text; raises `PatternError` when it is no JSON object."""
    if len(text) > MAX_LENGTH:
        raise PatternError("", f"is {len(text):,} characters long; {MAX_LENGTH:,} is the most, EventBridge takes 4,096")
    try:
        data = _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except ValueError as error:
        raise PatternError("", f"is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise PatternError("", f"must be a JSON object, not {show(data)}; write {{...}}")
    _check_repeats(data, None)
    return data


def from_mapping(where: Mapping[str, object], path: str | None = None, *, shorthand: bool) -> Data:
    """Return pattern data without matchers, from a mapping as people write it; a `shorthand` has bare scalars."""
    found: Data = {}
    for key, value in where.items():
        if not isinstance(key, str):
            raise PatternError(path or "", f"a field's name must be a string, not {show(key)}")
        place = _join(path, key)
        if isinstance(value, Matcher):
            found[key] = value.rules()
        elif isinstance(value, Mapping):
            _check_not_operator(value, place)
            found[key] = from_mapping(value, place, shorthand=shorthand)
        elif isinstance(value, list | tuple | set | frozenset):
            found[key] = _plain_items(value, place, shorthand=shorthand)
        else:
            found[key] = [_plain_scalar(value, place)] if shorthand else value
    return found


def _check_not_operator(value: Mapping[str, object], path: str) -> None:
    """Refuse `{"key": {"suffix": ".csv"}}`, which would silently mean a field `suffix` inside `key`."""
    operator, operand = next(iter(value.items()), (None, None))
    if len(value) != 1 or operator not in OPERATORS or isinstance(operand, Mapping | list | Matcher):
        return
    call = str(operator).replace("-", "_")
    hint = f", or {call}(...)" if call not in ("exactly", "numeric") else ""
    raise PatternError(
        path, f"write [{show(dict(value))}]{hint} for the operator, or {{{operator!r}: [...]}} for a field"
    )


def _plain_items(items: Iterable[object], path: str, *, shorthand: bool) -> list[object]:
    found: list[object] = []
    for index, item in enumerate(items):
        if isinstance(item, Matcher):
            found += item.rules()
        elif isinstance(item, Mapping) and path.rpartition(".")[2] == "$or":
            found.append(from_mapping(item, f"{path}[{index}]", shorthand=shorthand))
        else:
            found.append(_plain_operand(item, f"{path}[{index}]"))
    return found


def _plain_operand(item: object, path: str) -> object:
    if isinstance(item, Mapping):
        return {str(key): _plain_operand(value, f"{path}.{key}") for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_plain_operand(value, path) for value in item]
    return _plain_scalar(item, path)


def _plain_scalar(item: object, path: str) -> Leaf:
    try:
        return scalar(item)
    except TypeError as error:
        raise PatternError(path, f"{error}; give a scalar, a list, a mapping or a matcher") from error


def alternatives(data: Data) -> list[Items]:
    """Return the alternatives that the data stand for, each a mapping from path to items; raises `PatternError`."""
    return _branches(data, None, None, [{}])


def _branches(data: Mapping[str, object], path: str | None, within: str | None, branches: list[Items]) -> list[Items]:
    """Return the alternatives so far with what the data add to them.

    `path` is that of the values, `within` where the data stand in the pattern: a `$or` is a place, and no field.
    Keys take effect in the order written, as in EventBridge: what comes later replaces the same path set before.
    """
    if path and path.count(".") >= MAX_DEPTH:
        raise PatternError(f"{path[:40]}...", f"is nested too deep; {MAX_DEPTH} levels will do")
    if not data:
        raise PatternError(within or "", "is empty; give a field, or leave it out to match everything")
    for key, value in data.items():
        place = _join(within, key)
        if key == "$or" and _is_or(value):
            assert isinstance(value, list)
            if {} in value:
                raise PatternError(
                    f"{place}[{value.index({})}]", "is empty; give a field, or leave the alternative out"
                )
            branches = [
                found
                for index, part in enumerate(value)
                for found in _branches(part, path, f"{place}[{index}]", [dict(branch) for branch in branches])
            ]
            if len(branches) > MAX_ALTERNATIVES:
                raise PatternError(place, f"more than {MAX_ALTERNATIVES:,} alternatives; EventBridge takes no more")
        elif isinstance(value, Mapping):
            _check_not_operator(value, place)
            branches = _branches(value, _join(path, key), place, branches)
        elif isinstance(value, list):
            _check_items(key, value, place)
            for branch in branches:
                branch[_join(path, key)] = value
        else:
            raise PatternError(place, f"must be a list or an object, not {show(value)}; write [{show(value)}]")
    return branches


def _check_items(key: str, items: list[object], path: str) -> None:
    if not items:
        raise PatternError(path, "is an empty list, which nothing matches; give one value or more")
    for index, item in enumerate(items):
        try:
            rule(item, f"{path}[{index}]")
        except PatternError as error:
            if key != "$or":
                raise
            reason = f"{error.reason}. As $or it needs two objects or more, none with an operator's name as a field"
            raise PatternError(error.path, reason) from None


def _is_or(value: object) -> bool:
    """Return whether EventBridge takes a `$or` for one, and not for a field of that name."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(item, Mapping) for item in value)
        and not any(_names(item) & _NOT_IN_OR for item in value)
    )


def _names(data: Mapping[str, object]) -> set[str]:
    found = set(data)
    for key, value in data.items():
        if isinstance(value, Mapping):
            found |= _names(value)
        elif key == "$or" and isinstance(value, list):
            found |= {name for item in value if isinstance(item, Mapping) for name in _names(item)}
    return found


class _Repeating(dict[str, object]):
    """An object of a pattern's text with a key that stands twice, where the two cannot be told apart."""

    __slots__ = ("key",)
    key: str


def _pattern_object(pairs: list[tuple[str, object]]) -> Data:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found.clear()
    repeating = ""
    for key, value in pairs:
        if key in found:
            earlier = found[key]
            if isinstance(value, list) and isinstance(earlier, list) and key != "$or":
                _check_items(key, earlier, key)
            else:
                repeating = key
            del found[key]  # the last one counts, at its own place in the order
        found[key] = value
    if repeating:
        found = _Repeating(found)
        found.key = repeating
    return found


def _check_repeats(value: object, path: str | None) -> None:
    """Refuse an object or an operator that is given twice: EventBridge's parsers do not agree on what it means."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_repeats(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        if isinstance(value, _Repeating):
            raise PatternError(_join(path, value.key), "is given twice in one object; merge the two")
        for key, item in value.items():
            _check_repeats(item, _join(path, key))


def _join(path: str | None, key: str) -> str:
    return key if path is None else f"{path}.{key}"


_DECODER = decoder(_pattern_object)

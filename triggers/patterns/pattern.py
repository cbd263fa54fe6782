"""From pattern data to a `Pattern`: alternatives of conditions, each a test of the values at one path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from triggers.errors import PatternError
from triggers.patterns.conditions import OPERATORS, Access, Rule, Test, exactly, rule
from triggers.patterns.matchers import Matcher
from triggers.patterns.values import Leaf, Spelling, decoder, number, parse_event, scalar, show, write
from triggers.patterns.walk import ABSENT, SEVERAL, Reach, fit_together, leaves, quick

EventLike: TypeAlias = str | bytes | bytearray | Mapping[str, object]
"""An event's payload: JSON text, or a mapping of JSON values."""
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


def compile(pattern: str | bytes | bytearray | Mapping[str, object]) -> Pattern:
    """Return the compiled pattern, of an EventBridge pattern as JSON text or as a mapping, which may hold matchers.

    Raises `PatternError` with the path and the reason when it is not valid.
    """
    if isinstance(pattern, Mapping):
        return _pattern(lambda: _plain(pattern, None, shorthand=False))
    if isinstance(pattern, str | bytes | bytearray):
        return _pattern(lambda: _read(pattern))
    raise PatternError("", f"must be JSON text or a mapping, not {show(pattern)}")


def to_pattern(where: Mapping[str, object]) -> Data:
    """Return the complete EventBridge pattern, as JSON data, that a `where=` stands for; raises `PatternError`.

    It takes what `compile` takes, and a bare scalar for equality, as in `{"route": "train"}`.
    """
    return _pattern(lambda: _plain(where, None, shorthand=True)).pattern


def _pattern(read: Callable[[], Data]) -> Pattern:
    try:
        return Pattern(read())
    except RecursionError:
        raise PatternError("", f"is nested too deep; {MAX_DEPTH} levels will do") from None


def _read(text: str | bytes | bytearray) -> Data:
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


class Pattern:
    """A compiled event pattern. Equal to another when both have the same alternatives, conditions and operands.

    Rules: Amazon EventBridge user guide, "Event patterns". A verdict depends on the pattern and the event alone.
    """

    __slots__ = ("_identity", "branches", "fields", "pattern")

    pattern: Data
    """The EventBridge pattern: JSON data."""
    fields: frozenset[str]
    """The top level fields that the pattern looks at."""
    branches: list[Branch]
    """The alternatives of which one must match."""

    def __init__(self, data: Data) -> None:
        branches = _branches(data, None, [{}])
        self.pattern = data
        self.fields = frozenset(path.split(".")[0] for branch in branches for path in branch)
        made: dict[tuple[str, frozenset[object]], Condition] = {}
        self.branches = [
            Branch([_condition(path, items, made) for path, items in branch.items()]) for branch in branches
        ]
        self._identity = frozenset(branch.identity for branch in self.branches)

    def matches(self, event: EventLike) -> bool:
        """Return whether the event matches. A mapping is compared by its values, JSON text by its numbers' text.

        Raises `EventError` when a text is no JSON object, or a value in question is no JSON value.
        """
        found = event if isinstance(event, dict) else as_mapping(event)
        for branch in self.branches:  # noqa: SIM110  # any() with a generator takes twice as long
            if branch.matches(found):
                return True
        return False

    def explain(self, event: EventLike) -> str | None:
        """Return None when the event matches, else one line: the first condition that failed and the value found.

        As in `size: 120 is not > 1000`. Raises as `matches` does, and decides with the same code.
        """
        found = as_mapping(event)
        reasons: list[str] = []
        for branch in self.branches:
            reason = branch.explain(found)
            if reason is None:
                return None
            if reason not in reasons:
                reasons.append(reason)
        return reasons[0] if len(reasons) == 1 else f"no alternative matches: {'; '.join(reasons)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other._identity == self._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __str__(self) -> str:
        return write(self.pattern)

    def __repr__(self) -> str:
        return f"compile({str(self)!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return compile, (str(self),)


def as_mapping(event: EventLike) -> Mapping[str, object]:
    """Return the event as a mapping; raises `EventError` when its text is no JSON object."""
    return event if isinstance(event, Mapping) else parse_event(event)


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What the values at one path must be: any value that passes `test`, or no value when `when_absent`.

    Every value that passes has one of the keys in `access`; where it is empty, only the test can tell.
    """

    path: str
    test: Test
    fault: str
    when_absent: bool
    access: tuple[Access, ...]
    identity: tuple[str, frozenset[object]]
    get: Callable[[Mapping[str, object]], object]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.identity == self.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def holds(self, event: Mapping[str, object]) -> bool:
        """Return whether the condition holds by itself, whatever elements other conditions choose."""
        value = self.get(event)
        if value is ABSENT:
            return self.when_absent
        if value is not SEVERAL:
            return self.test(value)
        found = False
        for leaf, _ in leaves(event, self.path):
            if self.test(leaf):
                return True
            found = True
        return self.when_absent and not found

    def reach(self, event: Mapping[str, object]) -> tuple[Reach, Reach | None]:
        """Return where the condition holds, and where there is any value if it also holds without one."""
        good, anything = Reach(), Reach()
        for leaf, member in leaves(event, self.path):
            anything.add(member)
            if self.test(leaf):
                good.add(member)
        return good, anything if self.when_absent else None

    def explain(self, event: Mapping[str, object]) -> str:
        """Return why the condition does not hold."""
        values = [leaf for leaf, _ in leaves(event, self.path)]
        if not values:
            return f"{self.path}: {_nothing(event, self.path)}"
        more = f" (and so for {len(values) - 1} more)" if len(values) > 1 else ""
        odd = " (no double holds it, so it equals only its own text)" if isinstance(number(values[0]), Spelling) else ""
        return f"{self.path}: {show(values[0])} {self.fault}{odd}{more}"


def _nothing(event: Mapping[str, object], path: str) -> str:
    """Return what there is at a path without a value."""
    found: object = event
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        return "missing; there is an object, and only the fields in it are values"
    return "missing; there is an array without a value" if isinstance(found, list | tuple) else "missing"


class _Group:
    """Conditions whose paths begin alike, so that they may lead into the same array."""

    __slots__ = ("_in_order", "conditions")

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.conditions = conditions
        self._in_order = sorted(conditions, key=lambda one: one.path.encode("utf-16-be", "surrogatepass"))

    def holds(self, event: Mapping[str, object]) -> bool:
        for condition in self.conditions:
            value = condition.get(event)
            if value is SEVERAL:
                return fit_together([one.reach(event) for one in self._in_order])
            if not (condition.when_absent if value is ABSENT else condition.test(value)):
                return False
        return True

    def explain(self, event: Mapping[str, object]) -> str:
        for condition in self.conditions:
            if not condition.holds(event):
                return condition.explain(event)
        names = ", ".join(condition.path for condition in self.conditions)
        return f"{names}: each is met, but not all in one element of the array"


class Branch:
    """One alternative of a pattern: conditions that must all hold."""

    __slots__ = ("_parts", "conditions", "identity", "matches")

    matches: Callable[[Mapping[str, object]], bool]

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.conditions = conditions
        self.identity = frozenset(condition.identity for condition in conditions)
        groups: dict[str, list[Condition]] = {}
        for condition in conditions:
            groups.setdefault(condition.path.split(".")[0], []).append(condition)
        self._parts: list[Condition | _Group] = [
            group[0] if len(group) == 1 else _Group(group) for group in groups.values()
        ]
        self.matches = _every([part.holds for part in self._parts])

    def explain(self, event: Mapping[str, object]) -> str | None:
        """Return why the alternative does not match, or None where it does."""
        for part in self._parts:
            if not part.holds(event):
                return part.explain(event)
        return None


def _every(tests: list[Callable[[Mapping[str, object]], bool]]) -> Callable[[Mapping[str, object]], bool]:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda event: first(event) and second(event)

    def every(event: Mapping[str, object]) -> bool:
        for test in tests:  # noqa: SIM110  # all() with a generator takes twice as long
            if not test(event):
                return False
        return True

    return every


def _condition(path: str, items: list[object], made: dict[tuple[str, frozenset[object]], Condition]) -> Condition:
    identity = (path, frozenset(map(_identity, items)))
    if identity in made:  # most conditions of `$or` alternatives are the same
        return made[identity]
    plainly = [item for item in items if not isinstance(item, Mapping)]
    rules = [exactly(plainly, path)] if plainly else []
    rules += [rule(item, path) for item in items if isinstance(item, Mapping)]
    found = Condition(
        path=path,
        test=_any([one for one in rules if not one.when_absent]),
        fault=" and ".join(one.fault for one in rules if not one.when_absent) or rules[0].fault,
        when_absent=any(one.when_absent for one in rules),
        access=tuple(access for one in rules for access in one.access) if all(one.access for one in rules) else (),
        identity=identity,
        get=quick(path),
    )
    made[identity] = found
    return found


def _any(rules: list[Rule]) -> Test:
    if not rules:
        return lambda value: False
    if len(rules) == 1:
        return rules[0].test
    tests = [one.test for one in rules]
    return lambda value: any(test(value) for test in tests)


def _identity(item: object) -> object:
    """Return a hashable stand-in for pattern data: equal exactly when the data mean the same."""
    if isinstance(item, Mapping):
        return tuple(sorted((key, _identity(value)) for key, value in item.items()))
    if isinstance(item, list):
        return ("list", *map(_identity, item))
    value = number(item)
    return (type(item).__name__, item) if value is None else ("number", value)


def _plain(where: Mapping[str, object], path: str | None, *, shorthand: bool) -> Data:
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
            found[key] = _plain(value, place, shorthand=shorthand)
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
            found.append(_plain(item, f"{path}[{index}]", shorthand=shorthand))
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


def _branches(data: Mapping[str, object], path: str | None, branches: list[Items]) -> list[Items]:
    """Return the alternatives that the data stand for, each a mapping from path to items.

    Keys take effect in the order written, as in EventBridge: what comes later replaces the same path set before.
    """
    if path and path.count(".") >= MAX_DEPTH:
        raise PatternError(f"{path[:40]}...", f"is nested too deep; {MAX_DEPTH} levels will do")
    if not data:
        raise PatternError(path or "", "is empty; give a field, or leave it out to match everything")
    for key, value in data.items():
        place = _join(path, key)
        if key == "$or" and _is_or(value):
            assert isinstance(value, list)
            if {} in value:
                raise PatternError(
                    f"{place}[{value.index({})}]", "is empty; give a field, or leave the alternative out"
                )
            branches = [
                found for part in value for found in _branches(part, path, [dict(branch) for branch in branches])
            ]
            if len(branches) > MAX_ALTERNATIVES:
                raise PatternError(place, f"more than {MAX_ALTERNATIVES:,} alternatives; EventBridge takes no more")
        elif isinstance(value, Mapping):
            _check_not_operator(value, place)
            branches = _branches(value, place, branches)
        elif isinstance(value, list):
            _check_items(key, value, place)
            for branch in branches:
                branch[place] = value
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

"""A compiled pattern: alternatives of conditions, each a test of the values at one path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from triggers.errors import EventError, PatternError
from triggers.patterns.conditions import Access, Rule, Test, exactly, rule
from triggers.patterns.reading import MAX_DEPTH, Data, alternatives, from_mapping, from_text
from triggers.patterns.values import Spelling, number, parse_event, show, write
from triggers.patterns.walk import ABSENT, SEVERAL, Reach, fit_together, leaves, quick

EventLike: TypeAlias = str | bytes | bytearray | Mapping[str, object]
"""An event's payload: JSON text, or a mapping of JSON values."""


def compile(pattern: str | bytes | bytearray | Mapping[str, object]) -> Pattern:
    """Return the compiled pattern, of an EventBridge pattern as JSON text or as a mapping, which may hold matchers.

    Raises `PatternError` with the path and the reason when it is not valid.
    """
    if isinstance(pattern, Mapping):
        return _pattern(lambda: from_mapping(pattern, shorthand=False))
    if isinstance(pattern, str | bytes | bytearray):
        return _pattern(lambda: from_text(pattern))
    raise PatternError("", f"must be JSON text or a mapping, not {show(pattern)}")


def compile_where(where: str | Mapping[str, object]) -> Pattern:
    """Return the compiled pattern that a `where=` stands for; raises `PatternError`.

    It takes what `compile` takes, and in a mapping a bare scalar for equality, as in `{"route": "train"}`.
    """
    return _pattern(lambda: from_mapping(where, shorthand=True)) if isinstance(where, Mapping) else compile(where)


def _pattern(read: Callable[[], Data]) -> Pattern:
    try:
        return Pattern(read())
    except RecursionError:
        raise PatternError("", f"is nested too deep; {MAX_DEPTH} levels will do") from None


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
        branches = alternatives(data)
        self.pattern = data
        self.fields = frozenset(path.split(".")[0] for branch in branches for path in branch)
        made: dict[tuple[str, frozenset[object]], Condition] = {}
        self.branches = [
            Branch([_condition(path, items, made) for path, items in branch.items()]) for branch in branches
        ]
        self._identity = frozenset(branch.identity for branch in self.branches)

    def matches(self, event: EventLike) -> bool:
        """Return whether the event matches. A mapping is compared by its values, JSON text by its numbers' text.

        Raises `EventError` when the event is no JSON object, or a value in question is no JSON value.
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
    """Return the event as a mapping; raises `EventError` for what is no object: null, an array, other JSON text."""
    if isinstance(event, Mapping):
        return event
    if isinstance(event, str | bytes | bytearray):
        return parse_event(event)
    raise EventError(f"the event must be a mapping or JSON text, not {show(event)}")


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
        good, anything = Reach(), Reach() if self.when_absent else None
        for leaf, member in leaves(event, self.path):
            if anything is not None:
                anything.add(member)
            if self.test(leaf):
                good.add(member)
        return good, anything

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

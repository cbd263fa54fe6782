"""Finding the values at a path of an event, and keeping conditions below one array within one element of it.

A path is a text with dots: `{"a.b": 1}` and `{"a": {"b": 1}}` are the same to EventBridge. A value below arrays has a
membership: for each array on the way, which element it is in. Values fit together when no array has two elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from triggers.errors import EventError
from triggers.patterns.values import EXACT_TYPES, Leaf, Repeated, scalar

Place: TypeAlias = tuple[str | int, ...]
Membership: TypeAlias = tuple[tuple[Place, int], ...]
State: TypeAlias = dict[Place, int]

_NONE = Repeated()
_ARRAYS = (list, tuple, set, frozenset)
_CONTAINERS = (*_ARRAYS, Mapping)

SEVERAL: Final = object()
"""What a quick look answers when the path does not lead through plain objects alone."""
ABSENT: Final = object()
"""What a quick look answers when there is no value at the path for certain."""


Look: TypeAlias = Callable[[Mapping[str, object]], object]


def quick(path: str) -> Look:
    """Return a function that gets the one scalar at a path, `ABSENT`, or `SEVERAL` when only `leaves` can tell."""
    return _look(path, lambda event: SEVERAL)


@lru_cache(maxsize=4096)
def reader(path: str) -> Look:
    """Return a function that gets what stands at a path: a scalar, `Several` of them, or `ABSENT`.

    It raises as `leaves` does.
    """
    return _look(path, lambda event: _gather(event, path))


def _look(path: str, otherwise: Look) -> Look:
    """Return a function that gets the one scalar at a path, `ABSENT`, or where it is not so plain asks `otherwise`."""
    first, *rest = path.split(".")
    if not rest:

        def get(event: Mapping[str, object]) -> object:
            value = event.get(first, ABSENT)
            return value if type(value) in _FINAL else otherwise(event)

        return get
    steps = path.split(".")
    # for each step, the keys with dots in them that would lead the same way
    dotted = [[".".join(steps[at:end]) for end in range(at + 2, len(steps) + 1)] for at in range(len(steps))]
    plan = list(zip(steps, dotted, strict=True))

    def descend(event: Mapping[str, object]) -> object:
        value: object = event
        for step, others in plan:
            if type(value) is not dict:
                return ABSENT if type(value) in _FINAL else otherwise(event)
            for other in others:
                if other in value:
                    return otherwise(event)
            value = value.get(step, ABSENT)
        return value if type(value) in _FINAL else otherwise(event)

    return descend


_FINAL = EXACT_TYPES | {type(ABSENT)}


class Several(list[Leaf]):
    """The values at one path, where there are more than one or an array leads to them.

    `free` where each may serve whatever elements other conditions choose, as in an array of scalars.
    """

    __slots__ = ("free",)
    free: bool


def _gather(event: Mapping[str, object], path: str) -> object:
    found = list(leaves(event, path))
    if not found:
        return ABSENT
    several = Several(leaf for leaf, _ in found)
    several.free = not any(member for _, member in found)
    return several[0] if several.free and len(several) == 1 else several


def flatten(event: Mapping[str, object]) -> tuple[dict[str, object], set[str]]:
    """Return the one scalar at each path that has one; and all paths with values, also where `leaves` must tell."""
    found: dict[str, object] = {}
    several: set[str] = set()
    objects: list[tuple[Mapping[str, object], str]] = [(event, "")]
    for value, above in objects:  # grows on the way
        for key, item in value.items():
            path = f"{above}{key}"
            if type(item) in EXACT_TYPES and path not in found:
                found[path] = item
            elif type(item) is dict:
                objects.append((item, f"{path}."))
            else:
                several |= _below(item, path)
    for path in several:
        found.pop(path, None)
    return found, several.union(found)


def _below(item: object, path: str) -> set[str]:
    """Return the paths of all values in an array, or in whatever is no plain object."""
    paths: set[str] = set()
    items = [(item, path)]
    for value, place in items:  # grows on the way
        if isinstance(value, Mapping):
            items += [(each, f"{place}.{key}") for key, each in value.items()]
        elif isinstance(value, _ARRAYS):
            items += [(each, place) for each in value]
        else:
            paths.add(place)
    return paths


def leaves(event: Mapping[str, object], path: str) -> Iterator[tuple[Leaf, Membership]]:
    """Yield every scalar at a path with its membership. Empty arrays and objects hold none.

    Raises `EventError` when what it finds there is no JSON value.
    """
    try:
        yield from _walk(event, path, tuple(path.split(".")), (), ())
    except RecursionError:
        raise EventError(f"{path}: the event is nested too deep") from None


def _walk(
    value: object, path: str, steps: tuple[str, ...], place: Place, member: Membership
) -> Iterator[tuple[Leaf, Membership]]:
    if isinstance(value, Mapping):
        for length in range(1, len(steps) + 1):
            key = ".".join(steps[:length])
            for index, item in enumerate(_values(value, key)):
                yield from _walk(item, path, steps[length:], (*place, key, index), member)
    elif isinstance(value, _ARRAYS):
        for index, item in enumerate(value):
            inside = (*member, (place, index)) if isinstance(item, _CONTAINERS) else member
            yield from _walk(item, path, steps, (*place, index), inside)
    elif not steps:
        try:
            yield scalar(value), member
        except TypeError as error:
            raise EventError(f"{path}: {error}; match on what `model_dump(mode='json')` returns") from error


def _values(found: Mapping[str, object], key: str) -> Sequence[object]:
    value = found.get(key, _NONE)
    return value if isinstance(value, Repeated) else (value,)


class Reach:
    """A tree of memberships: which elements, of which arrays, hold a value that a condition wants."""

    __slots__ = ("arrays", "ends")

    def __init__(self) -> None:
        self.ends = False
        self.arrays: dict[Place, dict[int, Reach]] = {}

    def add(self, member: Membership) -> None:
        """Add the membership of one value."""
        node = self
        for place, index in member:
            node = node.arrays.setdefault(place, {}).setdefault(index, Reach())
        node.ends = True

    def places(self) -> set[Place]:
        """Return all arrays in the tree."""
        found = set(self.arrays)
        for elements in self.arrays.values():
            for child in elements.values():
                found |= child.places()
        return found

    def extend(self, state: State) -> Iterator[State]:
        """Yield the state widened by each membership that fits it."""
        if self.ends:
            yield state
        for place, elements in self.arrays.items():
            if place not in state:
                for index, child in elements.items():
                    yield from child.extend({**state, place: index})
            elif child_here := elements.get(state[place]):
                yield from child_here.extend(state)


def fit_together(steps: list[tuple[Reach, Reach | None]]) -> bool:
    """Return whether one choice of elements serves all conditions, which come in the order of their paths.

    Each is (where it holds, where there is any value at all, or None unless it also holds for no value). A field is
    missing when no value of it fits the elements that the conditions before it have chosen: EventBridge's rule.
    """
    later: list[set[Place]] = [set()]
    for good, anything in reversed(steps[1:]):
        later.append(later[-1] | good.places() | (anything.places() if anything else set()))
    states: list[State] = [{}]
    for (good, anything), needed in zip(steps, reversed(later), strict=True):
        widened: dict[frozenset[tuple[Place, int]], State] = {}
        for state in states:
            choices = list(good.extend(state))
            if anything is not None and next(anything.extend(state), None) is None:
                choices.append(state)
            for choice in choices:  # what no later condition asks about is forgotten, or choices would multiply
                kept = {place: index for place, index in choice.items() if place in needed}
                widened[frozenset(kept.items())] = kept
        states = list(widened.values())
    return bool(states)

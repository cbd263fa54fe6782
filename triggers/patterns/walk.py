"""Finding the values at a path of an event, and keeping conditions below one array within one element of it.

A path is a text with dots: `{"a.b": 1}` and `{"a": {"b": 1}}` are the same to EventBridge. A value below arrays has a
membership: for each array on the way, which element it is in. Values fit together when no array has two elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from triggers.errors import EventError
from triggers.patterns.values import EXACT_TYPES, Leaf, Repeated, scalar

Place: TypeAlias = tuple[str | int, ...]
Membership: TypeAlias = tuple[tuple[Place, int], ...]
State: TypeAlias = dict[Place, int]

_NONE = Repeated()
_ARRAYS = (list, tuple, set, frozenset)
_CONTAINERS = (*_ARRAYS, Mapping)

SEVERAL = object()
"""What a quick look answers when the path does not lead through plain objects to one scalar."""


def quick(path: str) -> Callable[[Mapping[str, object]], object]:
    """Return a function that gets the one scalar at a path, or `SEVERAL` when only `leaves` can tell."""
    first, *rest = path.split(".")
    if not rest:

        def get(event: Mapping[str, object]) -> object:
            value = event.get(first, SEVERAL)
            return value if type(value) in EXACT_TYPES else SEVERAL

        return get
    steps = path.split(".")
    # for each step, the keys with dots in them that would lead the same way
    dotted = [[".".join(steps[at:end]) for end in range(at + 2, len(steps) + 1)] for at in range(len(steps))]
    plan = list(zip(steps, dotted, strict=True))

    def descend(event: Mapping[str, object]) -> object:
        value: object = event
        for step, others in plan:
            if type(value) is not dict or step not in value:
                return SEVERAL
            for other in others:
                if other in value:
                    return SEVERAL
            value = value[step]
        return value if type(value) in EXACT_TYPES else SEVERAL

    return descend


def leaves(event: Mapping[str, object], path: str) -> Iterator[tuple[Leaf, Membership]]:
    """Yield every scalar at a path with its membership. Empty arrays and objects hold none.

    Raises `EventError` when what it finds there is no JSON value.
    """
    return _walk(event, path, tuple(path.split(".")), (), ())


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

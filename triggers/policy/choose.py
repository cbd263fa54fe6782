"""Temporary: the interface, with the order of before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

Rank = tuple[float, int]


class Waiting(NamedTuple):
    heads: Sequence[Rank]
    needs: Mapping[str, int]
    priority: int = 0
    expected: float | None = None
    longest: float | None = None
    deadlines: Sequence[float] = ()
    share: str | None = None


class Busy(NamedTuple):
    needs: Mapping[str, int]
    until: float


class View(NamedTuple):
    now: float
    lanes: Sequence[Waiting]
    free: Mapping[str, int]
    capacity: Mapping[str, int]
    running: Collection[Busy]
    usage: Mapping[str, float]
    aging: float


Policy = Callable[[View], Sequence[int]]


def urgent_then_short(view: View) -> Sequence[int]:
    ranked = [(-lane.priority, rank, index) for index, lane in enumerate(view.lanes) for rank in lane.heads]
    return [index for _, _, index in sorted(ranked)]


def fit(view: View, order: Sequence[int]) -> list[int]:
    left = dict(view.free)
    chosen = []
    blocked = set()
    for index in order:
        if index in blocked:
            continue
        needs = view.lanes[index].needs
        if all(left.get(name, 0) >= amount for name, amount in needs.items()):
            for name, amount in needs.items():
                left[name] -= amount
            chosen.append(index)
        else:
            blocked.add(index)
            for name, amount in needs.items():
                left[name] = left.get(name, 0) - amount
    return chosen

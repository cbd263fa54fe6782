"""Where the nodes of a graph go: in layers from top to bottom, the way of Sugiyama, Tagawa and Toda (1981).

Break the cycles, give every node the layer below its longest way from a start, put stand-ins where an edge crosses a
layer, order each layer by the barycentre of its neighbours, then place the nodes side by side as close to their
neighbours as there is room.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise
from typing import Final


@dataclass(slots=True)
class Box:
    """A node's place, or a stand-in for an edge that passes the layer, with almost no width. `x` is its middle."""

    key: str
    layer: int
    width: float
    passing: bool = False
    x: float = 0.0
    above: list[Box] = field(default_factory=list)
    below: list[Box] = field(default_factory=list)

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(slots=True)
class Layout:
    """Boxes by layer, from left to right, and for every edge the boxes that it passes. `back` are turned edges."""

    layers: list[list[Box]]
    paths: list[list[Box]]
    back: set[int]


GAP: Final = 28.0
PASSING: Final = 10.0
SWEEPS: Final = 24


def lay_out(width: Mapping[str, float], joined: Sequence[tuple[str, str]]) -> Layout:
    """Return where everything goes. `width` is that of each node in pixels, `joined` are edges from node to node."""
    edges, back = _acyclic(width, joined)
    depth = _depths(width, edges)
    layers: list[list[Box]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    boxes = {key: Box(key, depth[key], wide) for key, wide in width.items()}
    for box in boxes.values():
        layers[box.layer].append(box)
    paths = []
    for number, (start, end) in enumerate(edges):
        path = [boxes[start]]
        for layer in range(depth[start] + 1, depth[end]):
            path.append(Box(f"{number}:{layer}", layer, PASSING, passing=True))
            layers[layer].append(path[-1])
        path.append(boxes[end])
        for upper, lower in pairwise(path):
            upper.below.append(lower)
            lower.above.append(upper)
        paths.append(path)
    _order(layers)
    _place(layers)
    return Layout(layers, paths, back)


def _acyclic(keys: Iterable[str], edges: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], set[int]]:
    """Return the edges with those turned round that close a cycle, and the numbers of the turned ones."""
    outgoing: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, (start, end) in enumerate(edges):
        outgoing[start].append((number, end))
    entered = {end for _, end in edges}
    back: set[int] = set()
    state: dict[str, int] = {}
    for root in sorted(keys, key=lambda key: key in entered):  # what nothing leads to comes first
        stack = [(root, iter(outgoing[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            key, rest = stack[-1]
            for number, end in rest:
                if state.get(end) == 1:
                    back.add(number)
                elif end not in state:
                    state[end] = 1
                    stack.append((end, iter(outgoing[end])))
                    break
            else:
                state[key] = 2
                stack.pop()
    turned = [(end, start) if n in back else (start, end) for n, (start, end) in enumerate(edges)]
    return turned, back


def _depths(keys: Iterable[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the layer of every node: below all that lead to it; a start is right above what it leads to."""
    above: dict[str, list[str]] = {key: [] for key in keys}
    below: dict[str, list[str]] = {key: [] for key in above}
    for start, end in edges:
        above[end].append(start)
        below[start].append(end)
    depth: dict[str, int] = {}
    for key in TopologicalSorter(above).static_order():
        depth[key] = max((depth[one] + 1 for one in above[key]), default=0)
    starts = [key for key in above if below[key] and not above[key]]
    return depth | {key: min(depth[one] for one in below[key]) - 1 for key in starts}


def _order(layers: list[list[Box]]) -> None:
    """Order each layer by the barycentre of its neighbours, downward and upward in turn; keep the best order met."""
    best, least = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        place = {box: index for layer in layers for index, box in enumerate(layer)}
        for layer in layers if downward else reversed(layers):
            middles = {}
            for box in layer:
                near = box.above if downward else box.below
                middles[box] = sum(place[one] for one in near) / len(near) if near else float(place[box])
            layer.sort(key=middles.__getitem__)
            place.update((box, index) for index, box in enumerate(layer))
        if (found := _crossings(layers)) < least:
            best, least = [list(layer) for layer in layers], found
    for layer, kept in zip(layers, best, strict=True):
        layer[:] = kept


def _crossings(layers: list[list[Box]]) -> int:
    count = 0
    for upper, lower in pairwise(layers):
        place = {box: index for index, box in enumerate(lower)}
        met: list[int] = []
        for box in upper:  # an edge crosses those that begin before it and end behind it
            ends = sorted(place[below] for below in box.below)
            count += sum(len(met) - bisect_right(met, end) for end in ends)
            for end in ends:
                insort(met, end)
    return count


def _place(layers: list[list[Box]]) -> None:
    """Give every box the x of its middle: as near to its neighbours' as the order and the gaps allow."""
    for layer in layers:
        edge = 0.0
        for box in layer:
            box.x = edge + box.width / 2
            edge += box.width + GAP
    for sweep in range(2 * SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for box in layer:
                near = box.above if sweep % 2 == 0 else box.below
                near = near or box.below or box.above
                wanted.append(sum(one.x for one in near) / len(near) if near else box.x)
            for box, x in zip(layer, _spread(layer, wanted), strict=True):
                box.x = x


def _spread(layer: list[Box], wanted: list[float]) -> list[float]:
    """Return the places nearest to the wanted ones that keep order and gaps; boxes that collide share their middle."""
    groups: list[tuple[float, int]] = []  # (where the group's first box wants to be, how many boxes it has)
    offset = [0.0] * len(layer)
    for index, box in enumerate(layer):
        if index:
            offset[index] = offset[index - 1] + (layer[index - 1].width + box.width) / 2 + GAP
        first, size = wanted[index] - offset[index], 1
        while groups and groups[-1][0] > first:
            before, more = groups.pop()
            first, size = (before * more + first * size) / (more + size), more + size
        groups.append((first, size))
    starts = [first for first, size in groups for _ in range(size)]
    return [first + further for first, further in zip(starts, offset, strict=True)]

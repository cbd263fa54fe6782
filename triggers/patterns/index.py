"""Many patterns, one event: which of them match?

The patterns' conditions form a tree. A node of it stands for conditions that hold, and tables lead from it to further
nodes by the value at a path: one look into a dictionary for all that a field may equal, one for each length of a
prefix. What patterns have in common is asked once, and those that want another value are never met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from triggers.patterns.pattern import Branch, Condition, EventLike, Pattern, as_mapping, compile
from triggers.patterns.tree import FEW_PATHS, Edge, Node, Plan
from triggers.patterns.values import as_key
from triggers.patterns.walk import ABSENT, Several, flatten

Key = TypeVar("Key", bound=Hashable)

MOST_PLACES = 256
"""In so many places of the tree a pattern may stand because its conditions list values."""

_SELECTIVE = ("", "range", "others", "there")
"""The kinds of tables that lead to many patterns at once, the better ones first; all those not named are better."""
_UNREAD = object()


class Index(Generic[Key]):
    """A set of patterns by key. A pattern's verdict here is the one that it gives alone.

    The time of a match grows with the fields that patterns ask for and with the number of patterns that come close to
    matching, hardly with the number of patterns.
    """

    def __init__(self) -> None:
        self._patterns: dict[Key, Pattern] = {}
        self._plans: dict[Key, list[Plan]] = {}
        self._root: Node[Key] = Node()
        self._uses: Counter[Edge] = Counter()
        self._paths: Counter[str] = Counter()

    def add(self, key: Key, pattern: Pattern | str | bytes | Mapping[str, object]) -> None:
        """Add a pattern under a key, in place of the one that the key had. Raises as `compile` does."""
        made = pattern if isinstance(pattern, Pattern) else compile(pattern)
        self.discard(key)
        self._patterns[key] = made
        plans = self._plans[key] = []
        for branch in made.branches:
            plan = self._plan(branch)
            plans.append(plan)
            nodes = [self._root]
            for step in plan:
                nodes = [node.child(edge) for node in nodes for edge in step]
            for node in nodes:
                node.keys[key] = branch
            self._count(plan, 1)

    def discard(self, key: Key) -> None:
        """Forget the pattern of a key, if there is one."""
        if self._patterns.pop(key, None) is None:
            return
        for plan in self._plans.pop(key):
            self._root.remove(plan, key)
            self._count(plan, -1)

    def match(self, event: EventLike) -> set[Key]:
        """Return the keys of the patterns that match the event. Raises as `Pattern.matches` does."""
        found = event if isinstance(event, dict) else as_mapping(event)
        values, there = flatten(found) if len(self._paths) > FEW_PATHS else ({}, None)
        matching: set[Key] = set()
        unsure: list[Node[Key]] = []
        nodes = [self._root]
        for node in nodes:  # grows on the way
            matching.update(node.keys)
            for path, fork in node.forks.items() if there is None else node.asked(there):
                value = values.get(path, _UNREAD)
                if value is _UNREAD:
                    value = values[path] = fork.read(found)
                if value is ABSENT:
                    nodes += fork.absent
                elif type(value) is Several:
                    (nodes if value.free else unsure).extend(fork.lead_any(value))
                else:
                    if fork.exact and (led := fork.exact.get(value if type(value) is str else as_key(value))):
                        if led.forks:
                            nodes.append(led)
                        else:
                            matching.update(led.keys)
                    for table in fork.tables.values():
                        nodes += table.lead(value)
        return matching | self._asked_themselves(unsure, found, values) if unsure else matching

    def _asked_themselves(
        self, unsure: Iterable[Node[Key]], event: Mapping[str, object], values: dict[str, object]
    ) -> set[Key]:
        """Return what matches at or below nodes where conditions may hold, but in different elements of an array."""
        seen = dict.fromkeys(unsure)
        nodes = list(seen)
        matching: set[Key] = set()
        for node in nodes:  # grows on the way
            matching.update(key for key, branch in node.keys.items() if branch.matches(event))
            for path, fork in node.forks.items():
                if path not in values:
                    values[path] = fork.read(event)
                value = values[path]
                led = fork.lead_any(value) if isinstance(value, Several) else fork.lead(value)
                fresh = [one for one in led if one not in seen]
                seen.update(dict.fromkeys(fresh))
                nodes += fresh
        return matching

    def _plan(self, branch: Branch) -> Plan:
        """Return where to put an alternative: its rarest condition first, those that need a test of their own last."""
        plan: Plan = []
        tests: Plan = []
        places = 1
        for condition in sorted(branch.conditions, key=self._rank):
            edges = list({Edge(condition.path, access.kind, access.key) for access in condition.access})
            if edges and (places == 1 or places * len(edges) <= MOST_PLACES):
                plan.append(edges)
                places *= len(edges)
                if all(access.sure for access in condition.access):
                    continue
            tests.append([Edge(condition.path, "test", condition)])
        return plan + tests

    def _rank(self, condition: Condition) -> tuple[int, int, str]:
        """Return what comes earlier the fewer patterns share it, and by the kind of table the fewer it leads to."""
        uses = sum(self._uses[Edge(condition.path, access.kind, access.key)] for access in condition.access)
        kinds = [_SELECTIVE.index(access.kind) for access in condition.access if access.kind in _SELECTIVE]
        return max(kinds, default=0) if condition.access else len(_SELECTIVE), uses, condition.path

    def _count(self, plan: Plan, by: int) -> None:
        for edge in (edge for step in plan for edge in step):
            self._uses[edge] += by
            self._paths[edge.path] += by
            if not self._uses[edge]:
                del self._uses[edge]
            if not self._paths[edge.path]:
                del self._paths[edge.path]

    def __len__(self) -> int:
        return len(self._patterns)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._patterns)

    def __contains__(self, key: object) -> bool:
        return key in self._patterns


__all__ = ["Index"]

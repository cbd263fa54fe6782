"""The tree that the conditions of many patterns form: nodes, and the forks that lead from one to the next.

A node stands for conditions that hold. Each of its forks is about one path, and leads on by what stands there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Set
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from triggers.patterns.pattern import Branch, Condition
from triggers.patterns.tables import KINDS, Table
from triggers.patterns.values import as_key
from triggers.patterns.walk import ABSENT, Look, Several, reader

Key = TypeVar("Key", bound=Hashable)

FEW_PATHS = 40
"""Up to so many paths are looked up one by one; for more of them the event is read as a whole."""

_NOTHING: frozenset[str] = frozenset()


class Edge(NamedTuple):
    """What leads from one node to the next: a path, the kind of table there, and a key in it."""

    path: str
    kind: str
    key: object


Plan: TypeAlias = list[list[Edge]]
"""The steps to where a pattern stands, each with all edges that will do."""


class Fork(Generic[Key]):
    """The ways on from a node by what stands at one path, with a table for each kind of condition."""

    __slots__ = ("absent", "exact", "read", "tables")

    def __init__(self, read: Look) -> None:
        self.read = read
        self.exact: dict[object, Node[Key]] = {}
        self.tables: dict[str, Table[Node[Key]]] = {}
        self.absent: list[Node[Key]] = []
        """The nodes that are reached because there is no value at the path."""

    def child(self, edge: Edge) -> Node[Key]:
        """Return the node that an edge leads to, made if it is new."""
        if edge.kind == "exact":
            return self.exact.setdefault(edge.key, Node())
        if edge.kind not in self.tables:
            self.tables[edge.kind] = KINDS[edge.kind]()
        found = self.tables[edge.kind].put(edge.key, Node)
        if isinstance(edge.key, Condition) and edge.key.when_absent and found not in self.absent:
            self.absent.append(found)
        return found

    def find(self, edge: Edge) -> Node[Key] | None:
        """Return the node that an edge leads to, if there is one."""
        if edge.kind == "exact":
            return self.exact.get(edge.key)
        table = self.tables.get(edge.kind)
        return table.entries.get(edge.key) if table else None

    def drop(self, edge: Edge) -> None:
        """Forget an edge."""
        if edge.kind == "exact":
            del self.exact[edge.key]
            return
        table = self.tables[edge.kind]
        dropped = table.drop(edge.key)
        self.absent = [node for node in self.absent if node is not dropped]
        if not table.entries:
            del self.tables[edge.kind]

    def lead(self, value: object) -> list[Node[Key]]:
        """Return the nodes that a scalar, or `ABSENT`, leads to."""
        if value is ABSENT:
            return self.absent
        led = [node for table in self.tables.values() for node in table.lead(value)]
        found = self.exact.get(as_key(value))
        return led if found is None else [*led, found]

    def lead_any(self, values: Several) -> set[Node[Key]]:
        """Return the nodes that some of the values may lead to."""
        led = {node for value in values for node in self.lead(value)}
        return led if values.free else led.union(self.absent)


class Node(Generic[Key]):
    """Conditions that hold: what matches by them alone, and the ways on."""

    __slots__ = ("forks", "keys", "unless_there")

    def __init__(self) -> None:
        self.keys: dict[Key, Branch] = {}
        self.forks: dict[str, Fork[Key]] = {}
        self.unless_there: frozenset[str] = _NOTHING
        """The paths with a condition that also holds where there is no value."""

    def child(self, edge: Edge) -> Node[Key]:
        """Return the node that an edge leads to, made if it is new."""
        if edge.path not in self.forks:
            self.forks[edge.path] = Fork(reader(edge.path))
        if isinstance(edge.key, Condition) and edge.key.when_absent:
            self.unless_there |= {edge.path}
        return self.forks[edge.path].child(edge)

    def asked(self, there: Set[str]) -> Iterable[tuple[str, Fork[Key]]]:
        """Return the forks that count for an event with values at the paths `there`."""
        if len(self.forks) <= FEW_PATHS:
            return self.forks.items()
        return [(path, self.forks[path]) for path in (there & self.forks.keys()) | self.unless_there]

    def remove(self, plan: Plan, key: Key) -> None:
        """Take away a pattern that stands where a plan leads to, and the nodes that nobody needs any more."""
        if not plan:
            self.keys.pop(key, None)
            return
        for edge in plan[0]:
            fork = self.forks.get(edge.path)
            child = fork.find(edge) if fork else None
            if fork is not None and child is not None:
                child.remove(plan[1:], key)
                if not (child.keys or child.forks):
                    self._forget(fork, edge)

    def _forget(self, fork: Fork[Key], edge: Edge) -> None:
        fork.drop(edge)
        if not fork.absent:
            self.unless_there -= {edge.path}
        if not (fork.exact or fork.tables):
            del self.forks[edge.path]

"""What an app's declarations amount to: where its folders lie, who listens where, and which route leads to which.

A route leads to junctions, which are event types and sources, and a junction to the routes that listen there. So there
are as many ways as declarations, and not as pairs of routes: what looks at all of them takes time in proportion to the
routes.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Container, Hashable, Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, TypeVar
from urllib.parse import unquote

from triggers.app import App
from triggers.events import ObjectCreated
from triggers.places import Place
from triggers.routing import Route

N = TypeVar("N", bound=Hashable)

TYPE: Final = "type"
SOURCE: Final = "source"

Junction = tuple[str, str | None]
"""`TYPE` or `SOURCE`, and its name; no name stands for all sources."""


class Layout:
    """Where the places of an app lie. `paths` are the real ones of folders, and those of buckets by their URI."""

    def __init__(self, app: App) -> None:
        self.paths = {name: _at(place) for name, place in app.places().items()}
        at = defaultdict(list)
        for name, path in self.paths.items():
            at[path].append(name)
        self.above = {name: [n for p in path.parents for n in at.get(p, ())]
                      for name, path in self.paths.items()}  # fmt: skip
        """The places that a place lies in, by its name."""
        self.around = {name: [*at[path], *self.above[name]] for name, path in self.paths.items()}
        """The same with those that lie where it lies, itself among them."""


def _at(place: Place) -> PurePath:
    """Return the path that a place has among all: no folder's begins as a bucket's does."""
    return place.where.resolve() if isinstance(place.where, Path) else PurePosixPath(unquote(place.uri))


class Wiring:
    """The ways among the routes of an app as it is now. `order` holds the place of each route in the app."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.layout = Layout(app)
        self.order = {route: number for number, route in enumerate(app.routes.values())}
        self.unbounded = {route: None for route in self.order if route.policy.max_depth is None}.keys()
        """The routes that a chain may come to again and again."""
        self.emitted = {name for route in self.order for name in route.emits}
        """The names of the event types that some route emits."""
        self._listeners: defaultdict[Junction, list[Route]] = defaultdict(list)
        for route in self.order:
            for kind in route.takes:
                self._listeners[TYPE, kind.__event_type__].append(route)
            if ObjectCreated in route.takes:
                self._listeners[SOURCE, route.source].append(route)

    def listener(self, source: str) -> Route | None:
        """Return the last of the routes that files of a source may trigger."""
        routes = [found[-1] for name in (source, None) if (found := self._listeners.get((SOURCE, name)))]
        return max(routes, key=self.order.__getitem__, default=None)

    def looping(self, route: Route) -> list[str]:
        """Return the places that a route writes to and is triggered from, less those that it allows."""
        if route.trigger is not ObjectCreated:
            return []
        return [place for place in _bounded(route) if any(route.source in (None, s) for s in self._watching(place))]

    def following(self, route: Route) -> list[Route]:
        """Return the routes that a route may trigger, as far as types and places tell."""
        return self._at(self._junctions(route), self.order)

    def way(self, start: Route, ends: Callable[[Route], bool], among: Container[Route]) -> list[Route]:
        """Return the shortest way from one route over others to the first at which it `ends`, or nothing."""
        came: dict[Route, Route] = {}
        met: set[Junction] = set()
        queue = deque([start])
        while queue:
            route = queue.popleft()
            fresh = [junction for junction in self._junctions(route) if junction not in met]
            met.update(fresh)
            for following in self._at(fresh, among):
                if following not in came:
                    came[following] = route
                    if ends(following):
                        return _back(came, start, following)
                    queue.append(following)
        return []

    def knots(self, among: Collection[Route]) -> Iterator[set[Route]]:
        """Yield the sets of routes that lead to one another; a single route where it leads to itself."""

        def following(node: Route | Junction) -> Iterable[Route | Junction]:
            if isinstance(node, Route):
                return self._junctions(node)
            return [route for route in self._listeners.get(node, ()) if route in among]

        nodes: Iterable[Route | Junction] = among
        for component in components(nodes, following):
            if len(component) > 1:  # a route that leads to itself does so over a junction
                yield {node for node in component if isinstance(node, Route)}

    def _watching(self, place: str) -> list[str]:
        """Return the sources that see what is written to a place."""
        return [name for name in self.layout.around.get(place, ()) if name in self.app.sources]

    def _junctions(self, route: Route) -> list[Junction]:
        types: list[Junction] = [(TYPE, name) for name in route.emits]
        sources = {name for place in _bounded(route) for name in self._watching(place)}
        return [*types, *((SOURCE, name) for name in (*sorted(sources), *([None] if sources else [])))]

    def _at(self, junctions: Iterable[Junction], among: Container[Route]) -> list[Route]:
        """Return those routes among some that listen there, in the order of the app."""
        found = {route for junction in junctions for route in self._listeners.get(junction, ()) if route in among}
        return sorted(found, key=self.order.__getitem__)


def _bounded(route: Route) -> frozenset[str]:
    """Return the places that the route writes and that may lead back to it for ever."""
    return route.policy.writes - route.policy.allow_loops


def _back(came: dict[Route, Route], start: Route, end: Route) -> list[Route]:
    """Return the way on which a search came from its start to an end, which may be the start itself."""
    way = [end, came[end]]
    while way[-1] is not start:
        way.append(came[way[-1]])
    return way[::-1]


def components(nodes: Iterable[N], following: Callable[[N], Iterable[N]]) -> Iterator[list[N]]:
    """Yield the strongly connected components of a graph, in linear time and without recursion (Gabow, 2000)."""
    number: dict[N, int] = {}
    pending: list[N] = []
    """The nodes met whose component is not complete."""
    firsts: list[N] = []
    """Those of them that may be the first of their component."""
    complete: set[N] = set()
    calls: list[tuple[N, Iterator[N]]] = []

    def enter(node: N) -> None:
        number[node] = len(number)
        pending.append(node)
        firsts.append(node)
        calls.append((node, iter(following(node))))

    for root in nodes:
        if root not in number:
            enter(root)
        while calls:
            node, rest = calls[-1]
            for other in rest:
                if other not in number:
                    enter(other)
                    break
                while other not in complete and number[firsts[-1]] > number[other]:
                    firsts.pop()
            else:
                calls.pop()
                if firsts[-1] == node:
                    firsts.pop()
                    component = _cut(pending, node)
                    complete.update(component)
                    yield component


def _cut(stack: list[N], node: N) -> list[N]:
    """Take a node, and all that lies above it, off a stack."""
    taken = [stack.pop()]
    while taken[-1] != node:
        taken.append(stack.pop())
    return taken

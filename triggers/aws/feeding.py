"""Which routes a message of a queue of the user's own starts, and which hear of it by the app's bus.

Such a queue feeds one function, which starts what nobody else tells of: the queue's own words, and types that no
handler emits. What may come by the bus, too, has its rule and its queue there, with all that the route declares of
order and bounds. So the function puts such an event on the bus.
"""

from __future__ import annotations

from collections.abc import Collection

from triggers.app import App
from triggers.events import MessageReceived, ObjectCreated, ObjectDeleted, Tick
from triggers.routing import Route


def fed(app: App, queue: str) -> list[Route]:
    """Return the routes that the messages of a source start in the function that it feeds."""
    emitted = {kind for route in app.routes.values() for kind in route.emits}
    return [route for route in app.routes.values() if _is_fed(app, route, queue, emitted)]


def by_bus(app: App, route: Route) -> bool:
    """Say whether the events of a route may come by the app's own bus, from handlers or from whoever sends."""
    if route.source is not None and route.source in app.sources:
        return False  # what a source tells comes from the source
    if route.trigger in (ObjectCreated, ObjectDeleted, MessageReceived, Tick):
        return any(route.trigger.__event_type__ in other.emits for other in app.routes.values())
    return True


def _is_fed(app: App, route: Route, queue: str, emitted: Collection[str]) -> bool:
    if route.source is not None and route.source in app.sources:
        return route.source == queue
    return route.trigger is MessageReceived or (route.source is None and _is_foreign(route, emitted))


def _is_foreign(route: Route, emitted: Collection[str]) -> bool:
    kind = route.trigger.__event_type__
    return kind not in emitted and not kind.startswith("triggers.") and route.trigger.__module__ != "triggers.events"


__all__ = ["by_bus", "fed"]

"""An app as its journal knows it, as a machine: what there is, and what a run of a route takes of it."""

from __future__ import annotations

from collections.abc import Mapping

from triggers.journal.views import AppView, RouteView
from triggers.simulate.workload import JobError

UNIT = 1_000_000


class Declared:
    """The capacity of an app and the needs of its runs, limits among them, in millionths.

    `capacity` names instead of the app's own what it is to be tried with.
    """

    def __init__(
        self, app: AppView, routes: Mapping[str, RouteView], capacity: Mapping[str, float] | None = None
    ) -> None:
        self.machine = _units({**app.capacity, **(capacity or {})})
        """What the machine has, the executor's slots among it."""
        self.capacity = dict(self.machine)
        """The same with the limits of routes and keys, as far as anybody was asked about."""
        self.of_keys: set[str] = set()
        self.aging = app.aging
        self._routes = routes

    def needs(self, route: str, key: str | None) -> dict[str, int]:
        """Return what a run takes; what the capacity does not name, nobody counted. `JobError` for an unknown route."""
        if route not in self._routes:
            raise JobError(f"route {route!r} is not in the app as it last ran, so nobody knows what it needs")
        policy = self._routes[route].policy
        own = _units({**policy.get("needs", {}), policy["kind"]: 1})
        taken = {name: amount for name, amount in own.items() if name in self.machine}
        if most := policy.get("concurrency"):
            taken[self._limit(f"concurrency of {route}", most)] = UNIT
        if key is not None and (most := policy.get("per_key")):
            name = self._limit(f"concurrency of {route} for {key}", most)
            self.of_keys.add(name)
            taken[name] = UNIT
        return taken

    def _limit(self, name: str, most: int) -> str:
        """See to it that there is a limit, which is a resource like any other, and return its name."""
        self.capacity[name] = most * UNIT
        return name


def _units(amounts: Mapping[str, float]) -> dict[str, int]:
    return {name: max(1, round(amount * UNIT)) for name, amount in amounts.items()}

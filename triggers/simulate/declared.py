"""An app as its journal knows it, as a machine: what there is, and what a run of a route takes of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from functools import partial

from triggers.journal.views import AppView, RouteView
from triggers.options import ALLOW
from triggers.policy import Policy, Shares, dominant, order
from triggers.prices import Prices
from triggers.rate import Rate
from triggers.schedule.window import Window
from triggers.scheduling.gates import Gate, Placement
from triggers.scheduling.holdings import UNIT, limit_of, limit_of_key, units
from triggers.scheduling.terms import Terms, scale
from triggers.simulate.machine import Rules
from triggers.simulate.predictors import Predictor
from triggers.simulate.workload import Job, JobError


class Declared:
    """The capacity of an app and the needs of its runs, limits among them, in millionths.

    `capacity` names instead of the app's own what it is to be tried with.
    """

    def __init__(
        self, app: AppView, routes: Mapping[str, RouteView], capacity: Mapping[str, float] | None = None
    ) -> None:
        self.machine = units({**app.capacity, **(capacity or {})})
        """What the machine has, the executor's slots among it."""
        self.capacity = dict(self.machine)
        """The same with the limits of routes and keys, as far as anybody was asked about."""
        self.of_keys: set[str] = set()
        self.aging = app.aging
        rates = {name: route.policy.get("throttle") for name, route in routes.items()}
        self.weights = app.shares
        self.had: Shares | None = None
        """What the shares had of late."""
        self.counted: Sequence[tuple[str, str | None, float]] = ()
        """The starts that still count against them: of which route and key, and until when."""
        self.throttles = {name: Rate(*rate) for name, rate in rates.items() if rate}
        self.windows = {name: Window(text) for name in routes if (text := routes[name].policy.get("window"))}
        self.prices: dict[str, Prices] = {}
        """By route, what it waits for a price by: the journal has no more than the names of price lists."""
        self._routes = routes

    def knows(self, route: str) -> bool:
        """Say whether the app has a route of that name."""
        return route in self._routes

    def needs(self, route: str, terms: Terms) -> dict[str, int]:
        """Return what a run takes; what the capacity does not name, nobody counted. `JobError` for an unknown route."""
        key = terms.key
        if route not in self._routes:
            raise JobError(f"route {route!r} is not in the app as it last ran, so nobody knows what it needs")
        policy = self._routes[route].policy
        own = units({**policy.get("needs", {}), policy["kind"]: 1})
        if terms.memory is not None:  # it died of what is declared
            own["memory"] = max(own.get("memory", 0), min(round(terms.memory * UNIT), self.machine.get("memory", 0)))
        taken = {name: amount for name, amount in own.items() if name in self.machine}
        if most := policy.get("concurrency"):
            taken[self._limit(limit_of(route), most)] = UNIT
        if (most := policy.get("per_key")) and (key is not None or policy.get("overlap", ALLOW) != ALLOW):
            name = self._limit(limit_of_key(route, key), most)
            self.of_keys.add(name)
            taken[name] = UNIT
        return taken

    def share(self, job: Job) -> str:
        """Return whom a job counts for."""
        return self.share_of(job.route, job.key)

    def share_of(self, route: str, key: str | None) -> str:
        """Return whom a run counts for, as `Route.share` has it."""
        share = self._routes[route].policy.get("share")
        return share if isinstance(share, str) else key or "" if share else ""

    def part(self, route: str) -> float:
        """Return the part of the machine that a run takes."""
        policy = self._routes[route].policy
        return dominant(self.machine, units({**policy.get("needs", {}), policy["kind"]: 1}))

    def rules(self, policy: Policy, predictor: Callable[[], Predictor], aging: float | None = None) -> Rules:
        """Return what the app decides by, for one run of a workload; another `aging` than its own is to be tried.

        A policy of its own is shown each key, as `Admission` has it.
        """
        aging = self.aging if aging is None else aging
        lined_up = self._keyed() if policy is order else frozenset()
        return Rules(
            policy, predictor=predictor, aging=aging, share=self.share, weights=self.weights, machine=self.machine,
            alike=partial(in_lane, self._scaled()), of_keys=self.of_keys, lined_up=lined_up, throttles=self.throttles,
            counted=self.counted, had=self.had, gates=gates(self.windows, self.prices, aging),
        )  # fmt: skip

    def _scaled(self) -> Set[str]:
        """Return the routes whose gates go by how long their runs take, as `Flow.scaled` has it."""
        policies = {name: route.policy for name, route in self._routes.items()}
        priced = {name for name, policy in policies.items() if policy.get("price")}
        single = {name for name, policy in policies.items() if policy.get("overlap", ALLOW) != ALLOW}
        return (priced | self.windows.keys() | self.prices.keys()) - single

    def _keyed(self) -> Set[str]:
        """Return the routes whose keys are lined up, as `Flow.in_line` has it; where they are shares, all are seen."""
        policies = {name: route.policy for name, route in self._routes.items()}
        return {name for name, policy in policies.items() if policy.get("key") and policy.get("share") is not True}

    def _limit(self, name: str, most: int) -> str:
        """See to it that there is a limit, which is a resource like any other, and return its name."""
        self.capacity[name] = most * UNIT
        return name


def in_lane(scaled: Set[str], job: Job) -> Hashable:
    """Take jobs as alike whose runs lie in one lane of the dispatcher: of one route and key, some of one scale."""
    return job.route, job.key, scale(job.size) if job.route in scaled else 0


def gates(windows: Mapping[str, Window], prices: Mapping[str, Prices], aging: float) -> dict[str, Sequence[Gate]]:
    """Return, by route, what keeps runs from starting although there is room, as nobody has asked it yet."""
    own = {one: one.afresh() for one in prices.values()}
    return {
        name: [Placement(name, windows.get(name), own[prices[name]] if name in prices else None, aging)]
        for name in windows.keys() | prices.keys()
    }

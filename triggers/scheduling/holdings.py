"""What there is of each resource, and what the runs at work hold of it.

Amounts are whole numbers of millionths: 0.1 and 0.2 given back must make 0.3. A limit (`concurrency=`) is a resource of
which each run takes one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import inf

from triggers.policy import Busy
from triggers.scheduling.measured import unseen

UNIT = 1_000_000

MEMORY = "memory"
"""The resource that is measured."""

FEW = 100
"""As many limits of keys are kept that nobody waits for any more."""


def units(amounts: Mapping[str, float]) -> dict[str, int]:
    """Return amounts of resources as they are counted: at least one millionth of each."""
    return {name: max(1, round(amount * UNIT)) for name, amount in amounts.items()}


def limit_of(route: str) -> str:
    """Return the name under which the `concurrency=` of a route is counted."""
    return f"concurrency of {route}"


def limit_of_key(route: str, key: str | None) -> str:
    """Return the name under which the `per_key=` of a key is counted, or of the runs without any."""
    return f"concurrency of {route} without a key" if key is None else f"concurrency of {route} for {key}"


def put_off(began: float, now: float) -> float:
    """Return when a run is taken to end that should have ended by now: half as long again as it has run.

    So the steps grow (Tsafrir, Etsion and Feitelson 2007): who is long over time will hardly end at once.
    """
    return now + (now - began) / 2


class AtWork(Collection[Busy]):
    """What runs, found out when a policy looks at it: most never do, and there may be a thousand runs at work."""

    def __init__(self, holdings: Holdings, now: float) -> None:
        self._holdings = holdings
        self._now = now

    def __iter__(self) -> Iterator[Busy]:
        return self._holdings.busy(self._now)

    def __len__(self) -> int:
        return len(self._holdings)

    def __contains__(self, busy: object) -> bool:
        return any(one == busy for one in self)


class Holdings:
    """The resources of a dispatcher. `free` is what the `capacity` leaves beside what the runs at work have taken."""

    def __init__(self, capacity: Mapping[str, float]) -> None:
        self.capacity = units(capacity)
        self.free = dict(self.capacity)
        self._taken: dict[int, Mapping[str, int]] = {}
        """What the runs at work have taken, by their numbers."""
        self._predicted: dict[int, tuple[float, float]] = {}
        """When those of them began whose end is predicted, and when it is, in Unix seconds."""
        self._passing: dict[str, str] = {}
        """The limits of keys with their routes, which are there while a run counts against them or is looked at."""
        self.opened: set[str] = set()
        """The routes with a key that has room again, or whose limit is not there any more."""
        self._unseen = 0
        """Memory in use that no run has taken."""

    def busy(self, now: float) -> Iterator[Busy]:
        """Yield what runs. Who has run for longer than predicted is put off."""
        for run, needs in self._taken.items():
            began, ends = self._predicted.get(run, (now, inf))
            if ends <= now:
                ends = put_off(began, now)
                self.predict(run, began, ends)
            yield Busy(needs, ends)

    def __len__(self) -> int:
        """Return how many runs are at work."""
        return len(self._taken)

    def suffice(self, needs: Mapping[str, int]) -> bool:
        """Say whether so much is free."""
        return all(self.free.get(name, 0) >= amount for name, amount in needs.items())

    def short_of(self, needs: Mapping[str, int]) -> list[str]:
        """Return the resources of which a run lacks something; nothing is said of those that nobody counts."""
        return [name for name, amount in needs.items() if self.free.get(name, amount) < amount]

    def take(self, run: int, needs: Mapping[str, int]) -> None:
        """Have a run take what it needs. Nobody knows when it ends."""
        self._taken[run] = needs
        for name, amount in needs.items():
            self.free[name] -= amount

    def predict(self, run: int, began: float, ends: float) -> None:
        """Predict when a run at work ends that began then, in Unix seconds."""
        self._predicted[run] = began, ends

    def release(self, run: int) -> None:
        """Give back what a run had taken."""
        self._predicted.pop(run, None)
        for name, amount in self._taken.pop(run).items():
            self.free[name] += amount
            if name in self._passing:
                self.opened.add(self._passing[name])
                if self.free[name] == self.capacity[name]:
                    self.remove(name)

    def taken(self, name: str) -> float:
        """Return how much runs at work have taken of a resource."""
        return (self.capacity[name] - self.free[name]) / UNIT

    def left(self, name: str) -> float:
        """Return how much is free of a resource."""
        return self.free[name] / UNIT

    def resize(self, name: str, amount: float) -> None:
        """Set how much there is of a resource from now on; what runs have taken of it stays taken."""
        capacity = round(amount * UNIT)
        self.free[name] += capacity - self.capacity[name]
        self.capacity[name] = capacity

    def of_key(self, route: str, most: int, name: str) -> Mapping[str, int]:
        """Return what a run takes of the limit of its key, and see to it that there is one."""
        if name not in self.capacity:
            self._passing[name] = route
            self.add(name, most)
        return {name: UNIT}

    def left_of_key(self, limit: str, most: int) -> int:
        """Return how many more runs of a key may be at work: `most` where nobody counts them."""
        return self.free.get(limit, most * UNIT) // UNIT

    def crowded(self) -> bool:
        """Say whether there may be more limits of keys than are wanted."""
        return len(self._passing) > FEW

    def tidy(self, wanted: int) -> None:
        """Count the limits of keys no more that no run counts against, where there are far more than are `wanted`."""
        if len(self._passing) <= 2 * wanted + FEW:
            return
        for name in [name for name in self._passing if self.free[name] == self.capacity[name]]:
            self.remove(name)

    def shuts(self, limit: str | None) -> bool:
        """Say whether a key has as many runs at work as it may: then nobody need look at the next."""
        return limit is not None and self.free.get(limit, UNIT) < UNIT

    def add(self, name: str, amount: int) -> None:
        """Count another resource, whole units of it."""
        self.capacity[name] = self.free[name] = amount * UNIT

    def remove(self, name: str) -> None:
        """Count a resource no more."""
        if route := self._passing.pop(name, None):
            self.opened.add(route)
        self.capacity.pop(name, None)
        self.free.pop(name, None)

    def correct(self, held: Mapping[int, float], left: float) -> bool:
        """Count memory that is in use, though no run has taken it; say whether more is free than before.

        `held` has the bytes of the runs that are measured, `left` what the machine has left.
        """
        taken = {run: needs.get(MEMORY, 0) for run, needs in self._taken.items()}
        amounts = {run: round(amount * UNIT) for run, amount in held.items()}
        before, most = self._unseen, self.capacity[MEMORY]
        self._unseen = unseen(most, taken, amounts, round(min(left, 1e18) * UNIT))
        self.free[MEMORY] += before - self._unseen
        return self._unseen < before

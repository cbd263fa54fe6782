"""How much an app does at once: the executor's slots, the machine's resources, the bound of the backlog."""

# without annotations as text, each of which a named tuple or a typed dictionary would compile

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from inspect import isasyncgenfunction, iscoroutinefunction, signature
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from triggers.errors import WiringError
from triggers.lineage import BUDGET
from triggers.quantities import is_number, is_whole, quantity
from triggers.routing import COROUTINE, PROCESS, THREAD
from triggers.spans import Span, seconds

if TYPE_CHECKING:  # a function in AWS chooses nothing, and many an app declares nothing of this
    from triggers.downstream import Downstream
    from triggers.policy import Policy, View
    from triggers.scheduling.pressure import Pressure

FORGET: Final = 60.0
"""Days that what tells a duplicate outlives the event: one that comes later than that is taken for a new event."""

ROOMY: Final = 32 * 2**20
"""Bytes with which a process for isolated handlers may import anything at all."""


class LimitOptions(TypedDict, total=False):
    """The keywords of `App(...)` that say how much it does at once, and how long it remembers."""

    resources: Mapping[str, float | str] | None
    """Quantities that `needs=` draws on, besides the machine's own `cpu` (cores) and `memory` (bytes)."""
    threads: int
    """How many plain functions run at once; 32 if not given."""
    processes: int | None
    """How many isolated functions run at once; one for each core if not given."""
    backlog: int
    """When so many runs are open, the sources stop reading; 100,000 if not given."""
    retention: float
    """Days that what has ended is kept; 30 if not given."""
    max_events: int
    """How many events one event from outside may lead to in all; 1,000,000 if not given. What goes beyond is dead."""
    aging: Span
    """How long a wait makes up for one level of `priority=`: seconds, or text like `"1h"`; 600 if not given."""
    shares: Mapping[str, float]
    """The weights of shares, see `share=`: `{"acme": 2}` is due twice what others are; 1 where not given."""
    downstreams: "Mapping[str, Downstream]"
    """What routes call, by the names that `downstream=` goes by: `{"warehouse": Downstream(concurrency=8)}`."""
    pressure: "Pressure | None"
    """From when on the machine is under pressure: then what needs `cpu` or `memory`, or runs isolated, starts one at a
    time. None, if not given, never is."""
    policy: "Callable[[View], Iterable[int]] | None"
    """What decides which waiting run starts next, in place of the default: see `triggers.policy`."""


class Limits(NamedTuple):
    """How much a dispatcher does at once. `resources` are what `needs=` draws on, beyond the machine's own."""

    threads: int = 32
    processes: int | None = None
    coroutines: int = 1000
    backlog: int = 100_000
    retention: float = 30.0
    """Days that an event and its runs are kept after they ended."""
    resources: Mapping[str, float] = MappingProxyType({})
    max_events: int = BUDGET
    aging: float = 600.0
    """Seconds of waiting that make up for one level of priority."""
    policy: "Policy | None" = None
    shares: Mapping[str, float] = MappingProxyType({})
    downstreams: "Mapping[str, Downstream]" = MappingProxyType({})
    pressure: "Pressure | None" = None
    machine: Mapping[str, float] | None = None
    """What the machine has, where it is not to be looked at."""

    def capacity(self) -> dict[str, float]:
        """Return every resource by name, the slots of the executor among them."""
        from triggers.downstream import of_downstream
        from triggers.kernel import machine_resources

        machine = machine_resources() if self.machine is None else self.machine
        processes = float(self.processes or max(1, int(machine["cpu"])))
        slots = {COROUTINE: float(self.coroutines), THREAD: float(self.threads), PROCESS: processes}
        called = {of_downstream(name): float(one.most) for name, one in self.downstreams.items()}
        return {**machine, **self.resources, **called, **slots}


_SLOTS = {
    COROUTINE: "which is a place for an `async` handler, of which there are always the same",
    THREAD: "which is a place for a plain handler; say how many by threads=",
    PROCESS: "which is a place for an isolated handler; say how many by processes=",
    "": "which is no name",
}
"""What of each name that no resource may have is said."""


def make_limits(owner: str, options: Mapping[str, Any]) -> Limits:
    """Return the checked limits; `owner` names the app in errors (`WiringError`)."""
    given = options.get("resources") or {}
    if not isinstance(given, Mapping):
        raise WiringError(f"{owner}: resources={given!r} will not do; write e.g. resources={{'gpu': 1}}")
    resources = {name: quantity(owner, name, amount) for name, amount in given.items()}
    for name in (COROUTINE, THREAD, PROCESS, ""):
        if name in resources:
            raise WiringError(f"{owner}: resources= can't hold {name!r}, {_SLOTS[name]}")
    aging = {"aging": seconds(owner, "aging", options["aging"])} if "aging" in options else {}
    limits = Limits(**{**options, **aging, "resources": resources})
    for name in ("threads", "processes", "backlog", "max_events"):
        value = getattr(limits, name)
        if not (is_whole(value) and value > 0) and (value is not None or name != "processes"):
            raise WiringError(f"{owner}: {name}={value!r} must be a whole number above 0")
    _check_shares(owner, limits.shares)
    _check_downstreams(owner, limits.downstreams)
    _check_pressure(owner, limits.pressure)
    if not (is_number(limits.retention) and 0 < limits.retention < inf):
        raise WiringError(f"{owner}: retention={limits.retention!r} is in days and must be above 0")
    if limits.policy is not None:
        check_policy(f"{owner}: policy={limits.policy!r}", limits.policy)
    return limits


def check_policy(named: str, policy: object) -> None:
    """Refuse as a policy what cannot decide: no function, a class, one that is to be waited for, or takes no view.

    `named` is how its user has written it, for the error (`WiringError`).
    """
    if wrong := _unfit(policy):
        raise WiringError(f"{named} {wrong}; write a function from a view to the lanes' indexes in order")


def _unfit(policy: object) -> str | None:
    """Return what keeps something from being a policy, None where nothing does."""
    if not callable(policy):
        return "is no function"
    if isinstance(policy, type):
        return "is a class"
    if any(kind(one) for kind in (iscoroutinefunction, isasyncgenfunction) for one in (policy, policy.__call__)):
        return "is async, and nothing waits for a decision"
    with suppress(ValueError):  # of some built-in functions nobody knows what they take
        try:
            signature(policy).bind(None)
        except TypeError as error:
            return f"is called with the view alone, and that will not do: {error}"
    return None


def _check_downstreams(owner: str, downstreams: object) -> None:
    if isinstance(downstreams, Mapping):
        if not downstreams:
            return
        from triggers.downstream import Downstream

        if all(isinstance(one, Downstream) for one in downstreams.values()):
            return
    raise WiringError(
        f"{owner}: downstreams={downstreams!r} will not do; write e.g. downstreams={{'warehouse': Downstream()}}"
    )


def _check_pressure(owner: str, pressure: object) -> None:
    if pressure is None:
        return
    from triggers.scheduling.pressure import Pressure

    if not isinstance(pressure, Pressure):
        raise WiringError(f"{owner}: pressure={pressure!r} will not do; write e.g. pressure=Pressure(load=2.0)")
    if pressure.load is None and pressure.memory is None and pressure.stall is None:
        raise WiringError(
            f"{owner}: pressure= looks at nothing: load, memory and stall are all None; give one of them a bound, as in"
            " Pressure(load=2.0), or leave pressure= out"
        )


def _check_shares(owner: str, shares: object) -> None:
    if not isinstance(shares, Mapping):
        raise WiringError(f"{owner}: shares={shares!r} will not do; write e.g. shares={{'acme': 2}}")
    for name, weight in shares.items():
        if not (isinstance(name, str) and name):
            raise WiringError(
                f"{owner}: shares= weighs {name!r}, which is no share's name; write e.g. shares={{'acme': 2}}"
            )
        if not (is_number(weight) and 0 < weight < inf):
            raise WiringError(f"{owner}: the weight of share {name!r} is {weight!r}; it must be a number above 0")

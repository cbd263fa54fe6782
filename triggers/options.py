"""The policy keywords of an app and its routes, checked: how a run is tried, bounded, ordered and kept apart."""

# without annotations as text, each of which a named tuple or a typed dictionary would compile

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict, get_args

from triggers.errors import WiringError, did_you_mean
from triggers.events import Event
from triggers.quantities import quantity
from triggers.retry import Retry
from triggers.spans import Span, seconds

if TYPE_CHECKING:  # what an app does not use it need not load
    from triggers.downstream import Adaptive
    from triggers.gather import All, Batch, Debounce
    from triggers.prices import Prices
    from triggers.rate import Rate
    from triggers.schedule.moments import Moment
    from triggers.schedule.window import Window

Overlap = Literal["allow", "skip", "queue", "replace", "newest"]
ALLOW: Final = "allow"
SKIP: Final = "skip"
QUEUE: Final = "queue"
REPLACE: Final = "replace"
NEWEST: Final = "newest"


IfDead = Literal["hold", "skip"]
HOLD: Final = "hold"


class PolicyOptions(TypedDict, total=False):
    """The policy keywords of `App(...)` (as defaults) and `@app.on(...)`."""

    retry: Retry
    """Which errors are tried again, how often and when."""
    timeout: Span
    """How long one attempt may take: seconds, or text like `"2h"`, as wherever a span of time is declared. A plain
    function with a timeout runs isolated, because a thread can't be stopped."""
    concurrency: "int | Adaptive"
    """How many runs of the route may be running at once: a number, or `Adaptive(most=32)`, which finds it out."""
    downstream: str
    """The name of what the handler calls, as `App(downstreams=)` declares it: its routes are bounded together, and wait
    while it is down."""
    overlap: Overlap
    """What becomes of a new run while an earlier one of the route is open (waits, runs, or is to be tried again):
    `"allow"` (if not given) lets both run; `"queue"` one after the other, in order; `"skip"` drops the new one;
    `"replace"` ends the earlier one and starts the new one, which a plain function in a thread does not allow;
    `"newest"` lets what is at work end, and of those that wait only the newest stays."""
    isolate: bool
    """Run in a process of its own, which a timeout kills and whose death ends one attempt only."""
    reads: Collection[str]
    """Names of the places that the handler reads beyond its event."""
    writes: Collection[str]
    """Names of the places that the handler writes."""
    emits: Collection[type[Event]]
    """Event types that the handler emits by its context, beyond those in its annotation."""
    needs: Mapping[str, float | str]
    """Quantities of the app's resources that a run holds while it runs: `{"cpu": 2, "memory": "4GiB"}`. An isolated run
    that has more memory is killed, and tried again with half as much again."""
    priority: int | Callable[[Any], int]
    """Runs of a higher priority start first, unless others have waited for so long that they have aged past them; 0 if
    not given. A function computes it from the event."""
    key: str | Callable[[Any], object]
    """What tells the runs of the route apart (a customer, a path): the name of a field of the event, also of a nested
    one (`"order.customer"`), or a function of the event. None is no key."""
    per_key: int
    """How many runs of one key may be running at once."""
    debounce: "Debounce"
    """How long to wait for a burst of events to be over; the run is for the latest of them."""
    throttle: "Rate"
    """How many runs of the route, or of each key, may start in how many seconds; the others wait."""
    rate_limit: "Rate"
    """How many new runs of the route, or of each key, are taken in how many seconds; the others are dropped."""
    in_order: str | Callable[[Any], object]
    """What orders the runs of the route, or of each key: the name of a field of the event, or a function of it (a
    day, a number, text). A run starts when those before it are done; None is in no order."""
    if_dead: IfDead
    """With `in_order=`, when one is dead: `"hold"` (if not given) has those behind it wait until it is redriven or
    dropped, `"skip"` lets them go on."""
    share: bool | str
    """Runs that compete with others for the machine have it in fair shares: of those that wait, the share that had
    least of late, over its weight in `App(shares=)`, goes first. True has a share for each key (a tenant), together
    with what other routes run for that key; text names the one share that all runs of the route count for."""
    window: "str | Window | Sequence[str | Window]"
    """The hours in which runs may start, if they are predicted to end in them, too: `"Mon-Fri 22:00-06:00
    Europe/Berlin"`, a `Window`, or several, of which any will do. A deadline makes an exception."""
    price: "Prices"
    """What an hour costs: a run starts when it is cheapest."""
    deadline: Span
    """By when a run should have ended: how long after the event arrived, or the next time of the day after that
    (`"07:00 Europe/Berlin"`). It goes before others in time, and out of its window if it must."""
    not_before: Span
    """Before that, given likewise, no run starts."""
    expires: Span
    """A run that has not started by then, given likewise, is dropped."""
    max_depth: int
    """The longest chain of runs that may lead to this route; bounds a cycle of event types."""
    allow_loops: Collection[str]
    """Names of watched places that the route may write although it is triggered from them."""


class Policy(NamedTuple):
    """The policy keywords with every value in place."""

    retry: Retry = Retry()
    timeout: float | None = None
    concurrency: int | None = None
    adaptive: "Adaptive | None" = None
    """Where `concurrency` is the most, and how many it is, is found out."""
    downstream: str | None = None
    overlap: Overlap = ALLOW
    isolate: bool = False
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    emits: frozenset[type[Event]] = frozenset()
    needs: Mapping[str, float] = MappingProxyType({})
    priority: int | Callable[[Any], int] = 0
    key: str | Callable[[Any], object] | None = None
    per_key: int | None = None
    debounce: "Debounce | None" = None
    batch: "Batch | All | None" = None
    throttle: "Rate | None" = None
    rate_limit: "Rate | None" = None
    in_order: str | Callable[[Any], object] | None = None
    if_dead: IfDead | None = None
    share: bool | str = False
    window: "Window | None" = None
    price: "Prices | None" = None
    deadline: "Moment | None" = None
    not_before: "Moment | None" = None
    expires: "Moment | None" = None
    max_depth: int | None = None
    allow_loops: frozenset[str] = frozenset()


_OF_ROUTES: Final = {"batch"}
"""Options that change what a handler is called with, so that an app has no default for them."""

_FLAGS: Final = {"share", "isolate"}
"""Options that may be True; elsewhere it is no number."""
_SETS: Final = {"reads", "writes", "emits", "allow_loops"}
_TIMES: Final = ("window", "price", "deadline", "not_before", "expires")
_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
    "retry": (Retry, "Retry(on=OSError, attempts=3)"),
    "concurrency": (int, "2"),
    "priority": (int | Callable, "10"),
    "key": (str | Callable, "'customer'"),
    "per_key": (int, "1"),
    "downstream": (str, "'warehouse'"),
    "in_order": (str | Callable, "'day'"),
    "share": (bool | str, "'reports'"),
    "max_depth": (int, "5"),
    "needs": (Mapping, "{'cpu': 2}"),
    "isolate": (bool, "True"),
}
_RATES: Final = {"throttle": "Rate(10, per=60)", "rate_limit": "Rate(10, per=3600)"}
_GATHERING: Final = {"debounce": "Debounce(30, longest=600)", "batch": "Batch(100, within=60)"}


def make_policy(owner: str, options: Mapping[str, Any]) -> Policy:
    """Return the checked policy; `owner` names the app or the route in errors (`WiringError`)."""
    known = {*PolicyOptions.__annotations__, *_OF_ROUTES}
    for name in options:
        if name not in known:
            raise no_option(owner, name, known)
    values = dict(options)
    for name in _SETS & set(values):
        values[name] = _names(owner, name, values[name])
    values.update(_concurrency(values))
    _check_kinds(owner, values)
    values.update(_needs(owner, values))
    if values.get("timeout") is not None:
        values["timeout"] = seconds(owner, "timeout", values["timeout"])
    for name in ("concurrency", "per_key", "max_depth"):
        if values.get(name) is not None and not values[name] > 0:
            raise WiringError(f"{owner}: {name}={values[name]!r} must be more than 0; leave it out for no bound")
    if values.get("overlap", ALLOW) != ALLOW:
        bound = "per_key" if values.get("key") else "concurrency"
        values[bound] = _single(owner, values["overlap"], bound, values.get(bound))
    values.update(_times(owner, values))
    if values.get("in_order") is not None and values.get("if_dead") is None:
        values["if_dead"] = HOLD
    policy = Policy(**values)
    _check_policy(owner, policy)
    _check_order(owner, policy)
    return policy


def _check_policy(owner: str, policy: Policy) -> None:
    """Refuse options that do not go together."""
    if policy.per_key is not None and policy.key is None:
        raise WiringError(f"{owner}: per_key={policy.per_key} counts the runs of a key; say which: key='customer'")
    if isinstance(policy.priority, int) and not -(2**63) <= policy.priority < 2**63:
        raise WiringError(f"{owner}: priority={policy.priority} has more than 64 bits; write e.g. priority=10")
    if policy.share is True and policy.key is None:
        raise WiringError(f"{owner}: share=True has a share for each key; say which: key='customer', or name the share")
    if policy.share == "":
        raise WiringError(f"{owner}: share='' names no share; write e.g. share='reports', or share=True for one a key")
    if policy.batch is not None and policy.debounce is not None:
        raise WiringError(
            f"{owner}: batch= takes all events of a time, and debounce= the latest one; leave one of them out"
        )


def _check_order(owner: str, policy: Policy) -> None:
    """Refuse what contradicts the order of the data, and what says something of it where there is none."""
    if policy.if_dead not in (None, *get_args(IfDead)):
        raise WiringError(f"{owner}: if_dead={policy.if_dead!r} is neither 'hold' nor 'skip'")
    if policy.in_order is None:
        if policy.if_dead is not None:
            raise WiringError(f"{owner}: if_dead={policy.if_dead!r} is for runs in an order; say which: in_order='day'")
        return
    others = {
        f"overlap={policy.overlap!r}": policy.overlap not in (ALLOW, QUEUE),
        f"rate_limit={policy.rate_limit}": policy.rate_limit is not None,
        f"not_before={str(policy.not_before)!r}": policy.not_before is not None,
        "batch=": policy.batch is not None,
        "debounce=": policy.debounce is not None,
    }
    for words, given in others.items():
        if given:
            raise WiringError(
                f"{owner}: {words} drops, delays or joins runs when events arrive, and in_order= has each of them wait"
                " for those before it; leave one of them out"
            )


def _needs(owner: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `needs=` as numbers. What a route calls is one of them."""
    needs = {name: quantity(owner, name, value) for name, value in (values.get("needs") or {}).items()}
    if values.get("downstream") is not None:
        from triggers.downstream import of_downstream

        needs[of_downstream(values["downstream"])] = 1.0
    return {"needs": needs}


def _times(owner: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keywords of time as values, where there are any."""
    if all(values.get(name) is None for name in _TIMES):
        return {}
    from triggers.timing import read_times  # an app that runs at any time need not load it

    return read_times(owner, values)


def shown(value: Any) -> Any:
    """Return an option as people see it: a function by its name."""
    return value.__name__ if callable(value) else value


def _concurrency(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `concurrency=` as a number, and where it is found out, as that too."""
    given = values.get("concurrency")
    if given is None or isinstance(given, int):
        return {}
    from triggers.downstream import Adaptive

    return {"concurrency": given.most, "adaptive": given} if isinstance(given, Adaptive) else {}


def _check_kinds(owner: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        known = None if value is None else _kind_of(name)
        if known is None:
            continue
        kind, example = known
        if not isinstance(value, kind) or (isinstance(value, bool) and name not in _FLAGS):
            raise WiringError(f"{owner}: {name}={value!r} will not do; write e.g. {name}={example}")
        if callable(value):
            _check_function(owner, name, value)


def _kind_of(name: str) -> tuple[Any, str] | None:
    """Return what the value of an option must be, and an example; None where that is seen to elsewhere.

    What is loaded for that is there already, where the value is one.
    """
    if name in _RATES:
        from triggers.rate import Rate

        return Rate, _RATES[name]
    if name in _GATHERING:
        from triggers.gather import All, Batch, Debounce

        return Debounce if name == "debounce" else Batch | All, _GATHERING[name]
    return _KINDS.get(name)


def _check_function(owner: str, name: str, function: Callable[..., object]) -> None:
    """Refuse what can't compute anything from an event: the log would say so of each event, and only then."""
    words = f"{owner}: {name}={getattr(function, '__qualname__', function)}"
    if isinstance(function, type):
        raise WiringError(f"{words} is a class; write the name of a field, or a function of the event")
    if inspect.iscoroutinefunction(function):
        raise WiringError(f"{words} is `async`, and what it computes is not waited for; write a plain function")
    with suppress(ValueError):  # of some built-in functions nobody knows what they take
        try:
            inspect.signature(function).bind(None)
        except TypeError as error:
            raise WiringError(f"{words} is called with the event alone, and that will not do: {error}") from error


def no_option(owner: str, name: str, known: Iterable[str]) -> WiringError:
    """Return the error for a keyword that is none of those known; it may be one of a schedule."""
    from triggers.schedule.timetable import TimetableOptions  # only on the way to this error

    if name == "timezone" or name in TimetableOptions.__annotations__:
        return WiringError(
            f"{owner} has no option {name!r}, which belongs to the schedule: @app.on(every(hours=1, {name}=...))"
        )
    return WiringError(f"{owner} has no option {name!r}{did_you_mean(name, known)}")


def _single(owner: str, overlap: object, bound: str, most: int | None) -> int:
    """Return the bound of a route whose runs do not overlap, or raise `WiringError`."""
    if overlap not in get_args(Overlap):
        raise WiringError(f"{owner}: overlap={overlap!r} is none of 'allow', 'queue', 'skip', 'replace' and 'newest'")
    if most not in (None, 1):
        raise WiringError(
            f"{owner}: overlap={overlap!r} runs one at a time, which {bound}={most} contradicts; leave one of them out"
        )
    return 1


def _names(owner: str, option: str, value: object) -> frozenset[Any]:
    """Return the set that `reads=`, `writes=`, `allow_loops=` (of names) or `emits=` (of event types) must be."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        shown = value.__name__ if isinstance(value, type) else repr(value)
        raise WiringError(f"{owner}: {option}={shown} must be a set: {option}={{{shown}}}")
    wanted, what = (type, "an event type") if option == "emits" else (str, "a name")
    for item in value:
        if not isinstance(item, wanted):
            raise WiringError(f"{owner}: {option}= holds {item!r}, which is not {what}")
    return frozenset(value)

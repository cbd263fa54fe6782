"""The policy keywords of an app and its routes, checked: how a run is tried, bounded, ordered and kept apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict, get_args

from triggers.errors import WiringError, did_you_mean
from triggers.events import Event
from triggers.retry import Retry

Overlap = Literal["allow", "skip", "queue", "replace"]
ALLOW: Final = "allow"
SKIP: Final = "skip"
QUEUE: Final = "queue"
REPLACE: Final = "replace"


class PolicyOptions(TypedDict, total=False):
    """The policy keywords of `App(...)` (as defaults) and `@app.on(...)`."""

    retry: Retry
    """Which errors are tried again, how often and when."""
    timeout: float
    """Seconds that one attempt may take. A plain function with a timeout runs isolated, because a thread can't be
    stopped."""
    concurrency: int
    """How many runs of the route may be running at once."""
    overlap: Overlap
    """What becomes of a new run while an earlier one of the route is open (waits, runs, or is to be tried again):
    `"allow"` (if not given) lets both run; `"queue"` one after the other, in order; `"skip"` drops the new one;
    `"replace"` ends the earlier one and starts the new one, which a plain function in a thread does not allow."""
    isolate: bool
    """Run in a process of its own, which a timeout kills and whose death ends one attempt only."""
    reads: Collection[str]
    """Names of the places that the handler reads beyond its event."""
    writes: Collection[str]
    """Names of the places that the handler writes."""
    emits: Collection[type[Event]]
    """Event types that the handler emits by its context, beyond those in its annotation."""
    needs: Mapping[str, float | str]
    """Quantities of the app's resources that a run holds while it runs: `{"cpu": 2, "memory": "4GiB"}`."""
    priority: int
    """Runs of a higher priority start first; 0 if not given."""
    max_depth: int
    """The longest chain of runs that may lead to this route; bounds a cycle of event types."""
    allow_loops: Collection[str]
    """Names of watched places that the route may write although it is triggered from them."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy keywords with every value in place."""

    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    concurrency: int | None = None
    overlap: Overlap = ALLOW
    isolate: bool = False
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    emits: frozenset[type[Event]] = frozenset()
    needs: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0
    max_depth: int | None = None
    allow_loops: frozenset[str] = frozenset()


_SETS: Final = {"reads", "writes", "emits", "allow_loops"}
_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
    "retry": (Retry, "Retry(on=OSError, attempts=3)"),
    "timeout": (int | float, "90.0"),
    "concurrency": (int, "2"),
    "priority": (int, "10"),
    "max_depth": (int, "5"),
    "needs": (Mapping, "{'cpu': 2}"),
    "isolate": (bool, "True"),
}


def make_policy(owner: str, options: Mapping[str, Any]) -> Policy:
    """Return the checked policy; `owner` names the app or the route in errors (`WiringError`)."""
    known = set(PolicyOptions.__annotations__)
    for name in options:
        if name not in known:
            raise no_option(owner, name, known)
    values = dict(options)
    for name in _SETS & set(values):
        values[name] = _names(owner, name, values[name])
    for name, (kind, example) in _KINDS.items():
        if values.get(name) is not None and not isinstance(values[name], kind):
            raise WiringError(f"{owner}: {name}={values[name]!r} will not do; write e.g. {name}={example}")
    if "needs" in values:
        values["needs"] = {name: quantity(owner, name, value) for name, value in values["needs"].items()}
    for name in ("timeout", "concurrency", "max_depth"):
        if values.get(name) is not None and not values[name] > 0:
            raise WiringError(f"{owner}: {name}={values[name]!r} must be more than 0; leave it out for no bound")
    if values.get("overlap", ALLOW) != ALLOW:
        values["concurrency"] = _single(owner, values["overlap"], values.get("concurrency"))
    return Policy(**values)


def no_option(owner: str, name: str, known: Iterable[str]) -> WiringError:
    """Return the error for a keyword that is none of those known; it may be one of a schedule."""
    from triggers.schedule.timetable import TimetableOptions  # only on the way to this error

    if name == "timezone" or name in TimetableOptions.__annotations__:
        return WiringError(
            f"{owner} has no option {name!r}, which belongs to the schedule: @app.on(every(hours=1, {name}=...))"
        )
    return WiringError(f"{owner} has no option {name!r}{did_you_mean(name, known)}")


def _single(owner: str, overlap: object, concurrency: int | None) -> int:
    """Return the concurrency of a route whose runs do not overlap, or raise `WiringError`."""
    if overlap not in get_args(Overlap):
        raise WiringError(f"{owner}: overlap={overlap!r} is none of 'allow', 'queue', 'skip' and 'replace'")
    if concurrency not in (None, 1):
        raise WiringError(
            f"{owner}: overlap={overlap!r} runs one at a time, which concurrency={concurrency} contradicts;"
            " leave one of them out"
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


_UNITS: Final = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def quantity(owner: str, name: str, value: float | str) -> float:
    """Return a resource quantity as a number: `2`, `0.5`, `"4GiB"` (binary units), `"500MB"` (decimal ones)."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]i?|)b?\s*", value, re.IGNORECASE)
        try:
            number = float(match[1]) * _UNITS[match[2].lower()] if match else None
        except ValueError:
            number = None
    else:
        number = float(value)
    if number is None or not 0 < number < float("inf"):
        raise WiringError(
            f"{owner}: needs {name}={value!r} is no quantity; write a number above 0 or text such as '4GiB'"
        )
    return number

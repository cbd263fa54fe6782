"""What makes one run of several events, as it is declared: `batch=`, `debounce=` and `Join`.

Which events come together is decided by the times at which they were recorded, and by their numbers: a group ends at
a moment that its events fix, and what was recorded then or later begins the next one, however late anybody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar, TypeVarTuple, get_args, overload

from triggers.errors import WiringError
from triggers.events import GATHERED, Event
from triggers.quantities import is_whole
from triggers.spans import Span, seconds

BATCH: Final = "batch"
DEBOUNCE: Final = "debounce"
JOIN: Final = "join"
ALL: Final = "all"

Late = Literal["new", "drop"]
Missing = Literal["drop", "fail", "partial"]
Repeated = Literal["latest", "first", "queue"]

A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)
D = TypeVar("D", bound=Event)
Ts = TypeVarTuple("Ts")


class Rule(NamedTuple):
    """How the events of a route come together: all that the journal needs to know of it. Times are in seconds."""

    kind: str
    wanted: int = 0
    """How many events make a group whole; of `ALL` the emitting run says it."""
    within: float = inf
    """When a group ends after its first event."""
    quiet: float = inf
    """When it ends after its latest one (`DEBOUNCE`)."""
    late: Late = "new"
    missing: Missing = "fail"
    repeated: Repeated = "latest"
    of: str = ""
    """The type of the events whose outcomes come together (`ALL`)."""


@dataclass(frozen=True, slots=True, init=False)
class Batch:
    """One run for up to `most` events: it is made when there are so many, or `within` a span after the first."""

    most: int
    within: float

    @overload
    def __init__(self, most: int, within: float) -> None: ...
    @overload
    def __init__(self, most: int, within: str) -> None: ...
    def __init__(self, most: int, within: Span | None = None) -> None:
        if not is_whole(most) or most < 1:
            raise WiringError(f"Batch({most!r}): say how many events at most, a whole number above 0")
        if most > MOST:
            raise WiringError(f"Batch({most:,}): {MOST:,} at most, since a run holds all of them in memory")
        _set(self, most=most, within=seconds(f"Batch({most})", "within", within))

    @property
    def rule(self) -> Rule:
        """Return how events come together."""
        return Rule(BATCH, self.most, self.within)


@dataclass(frozen=True, slots=True, init=False)
class All:
    """One run for what comes of all the events of a type that one run emitted: `batch=All(Part, within=3600)`.

    It is made as soon as each of those events has led to one that the route takes. Where that has not come about
    `within` that time after the first, `missing` says what becomes of it: the run `"fail"`s, has a `"partial"` list, or
    is `"drop"`ped. What one of them leads to later is dropped, too, with the reason. Where none of them leads to any,
    no time begins, and there is no run.
    """

    of: type[Event]
    within: float
    missing: Missing

    @overload
    def __init__(self, of: type[Event], within: float, missing: Missing = ...) -> None: ...
    @overload
    def __init__(self, of: type[Event], within: str, missing: Missing = ...) -> None: ...
    def __init__(self, of: type[Event], within: Span | None = None, missing: Missing = "fail") -> None:
        if not (isinstance(of, type) and issubclass(of, Event)):
            raise WiringError(f"All({of!r}): name the type of the events that one run emits, as in All(Part)")
        _check_word(f"All({of.__name__})", "missing", missing, Missing)
        _set(self, of=of, within=seconds(f"All({of.__name__})", "within", within), missing=missing)

    @property
    def rule(self) -> Rule:
        """Return how events come together."""
        return Rule(ALL, within=self.within, late="drop", missing=self.missing, of=self.of.__event_type__)


@dataclass(frozen=True, slots=True, init=False)
class Debounce:
    """One run for a burst of events, on its latest: a `quiet` time after it, or the `longest` after the first."""

    quiet: float
    longest: float | None

    @overload
    def __init__(self, quiet: float, longest: Span | None = ...) -> None: ...
    @overload
    def __init__(self, quiet: str, longest: Span | None = ...) -> None: ...
    def __init__(self, quiet: Span | None = None, longest: Span | None = None) -> None:
        least = seconds("Debounce", "quiet", quiet)
        most = None if longest is None else seconds("Debounce", "longest", longest)
        if most is not None and most < least:
            raise WiringError(
                f"Debounce({least:g}, longest={most:g}): the longest wait is shorter than the quiet time, so every"
                " burst would end by it; make it longer, or leave it out"
            )
        _set(self, quiet=least, longest=most)

    @property
    def rule(self) -> Rule:
        """Return how events come together."""
        return Rule(DEBOUNCE, within=self.longest or inf, quiet=self.quiet)


Key = str | Callable[[Any], object]
"""Where an event has its key: the name of a field, or what computes it from the event."""

By = Key | Mapping[type[Event], Key]


@dataclass(frozen=True, slots=True, init=False)
class Join(Generic[*Ts]):
    """One run for one event of each type that have the same key: `Join(Trained, Prepared, by="date", within=3600)`.

    `by` names the field of both that holds the key, or computes it from the event; a mapping from type to that tells
    them apart. What becomes of events that do not fit one to one is said by three words, and what is dropped is kept as
    a run with the reason:

    - `missing`, where one has not come `within` seconds after the first: the run `"fail"`s, is `"drop"`ped, or is
      called `"partial"`ly, with None in the place of what is missing;
    - `repeated`, for one more of a type while others are missing: the `"latest"` counts, the `"first"` counts, or they
      `"queue"` and are paired in order;
    - `late`, for one whose key had its run: it begins a `"new"` join, or is `"drop"`ped.
    """

    types: tuple[type[Event], ...]
    by: Mapping[str, Key] = field(compare=False)
    """Field or function, by the name of the type."""
    within: float
    late: Late
    missing: Missing
    repeated: Repeated

    @overload
    def __init__(self: Join[A, B], a: type[A], b: type[B], /, *, by: By, within: Span,
                 late: Late = ..., missing: Missing = ..., repeated: Repeated = ...) -> None: ...  # fmt: skip
    @overload
    def __init__(self: Join[A, B, C], a: type[A], b: type[B], c: type[C], /, *, by: By, within: Span,
                 late: Late = ..., missing: Missing = ..., repeated: Repeated = ...) -> None: ...  # fmt: skip
    @overload
    def __init__(self: Join[A, B, C, D], a: type[A], b: type[B], c: type[C], d: type[D], /, *, by: By, within: Span,
                 late: Late = ..., missing: Missing = ..., repeated: Repeated = ...) -> None: ...  # fmt: skip
    def __init__(
        self,
        *types: type[Event],
        by: By,
        within: Span | None = None,
        late: Late = "new",
        missing: Missing = "fail",
        repeated: Repeated = "latest",
    ) -> None:
        _check_types(types)
        _set(self, types=types, by=_by(types, by), late=late, missing=missing, repeated=repeated)
        _set(self, within=seconds(str(self), "within", within))
        for name, word, known in (
            ("late", late, Late),
            ("missing", missing, Missing),
            ("repeated", repeated, Repeated),
        ):
            _check_word(str(self), name, word, known)

    def __str__(self) -> str:
        return f"Join({', '.join(kind.__name__ for kind in self.types)})"

    @property
    def rule(self) -> Rule:
        """Return how events come together."""
        return Rule(JOIN, len(self.types), self.within, late=self.late, missing=self.missing, repeated=self.repeated)


MOST: Final = 10_000
"""How many events come together at most: a run holds all of them in memory, and their numbers are a payload."""


class Gathered(Event, type=GATHERED):
    """Events that came together, as the event that their run is made for.

    `events` are their numbers in the journal, `ended` how the group ended, and `refused` why there is nothing to run.
    `size` is that of all payloads, in characters. A `key` that is too long to be told stays in the journal's rows.
    """

    route: str
    key: str | None
    events: list[int]
    ended: str
    refused: str | None = None
    priority: int = 0
    size: int = 0


def _set(declared: object, **values: object) -> None:
    """Give a frozen declaration its values."""
    for name, value in values.items():
        object.__setattr__(declared, name, value)


def _check_word(owner: str, name: str, value: object, known: Any) -> None:
    if value not in get_args(known):
        words = " and ".join(map(repr, get_args(known)))
        raise WiringError(f"{owner}: {name}={value!r} is none of {words}")


def _check_types(types: tuple[object, ...]) -> None:
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, Event) and kind is not Event):
            raise WiringError(f"Join({kind!r}): this is no event type; name subclasses of Event")
    if len(types) < 2 or len(set(types)) < len(types):
        raise WiringError(
            f"Join({', '.join(getattr(kind, '__name__', '?') for kind in types)}) joins two or more types, each once;"
            " events of one type come together by batch="
        )


def _by(types: tuple[type[Event], ...], by: object) -> dict[str, Any]:
    """Return where the key is found in each type, or raise `WiringError` where one has no such field."""
    found: dict[str, Any] = {}
    for kind in types:
        spec = by.get(kind) if isinstance(by, Mapping) else by
        if isinstance(spec, str):
            if spec.partition(".")[0] not in kind.model_fields:
                fields = ", ".join(sorted(kind.model_fields)) or "none at all"
                raise WiringError(
                    f"Join: by={spec!r} is no field of {kind.__name__}, so nothing of it would ever be joined; it has"
                    f" {fields}; where they differ, say by={{{kind.__name__}: 'field', ...}}"
                )
        elif not callable(spec):
            raise WiringError(f"Join: by= does not say where {kind.__name__} has its key; name a field, or a function")
        found[kind.__event_type__] = spec
    return found

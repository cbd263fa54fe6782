"""What a handler may ask of its run: where the event came from, which attempt this is, and the safe ways to act."""

# without annotations as text, each of which a named tuple would compile

import logging
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from triggers.checkpoints import Keeper
from triggers.errors import WiringError, did_you_mean
from triggers.events import Envelope, Event, encode
from triggers.places import Place

_ONE = Event, str, bytes, Mapping
"""What a handler may return that is one thing, though some of it can be iterated over."""


class Emitted(NamedTuple):
    """An event that a run emitted, encoded: it becomes a row when the run settles."""

    type: str
    version: int
    data: str


@dataclass(slots=True, eq=False)  # there is one for each attempt; each method made takes 0.3 ms of every start
class Context:
    """A handler's second argument.

    `run` is the run's number as people write it (`r17`), `attempt` counts from 1, `deadline` is the end of the
    route's `timeout=` (None without one). `effect_key` is the same in every attempt of the run: give it to other
    systems as the idempotency key.
    """

    envelope: Envelope
    route: str
    run: str
    attempt: int
    effect_key: str
    deadline: datetime | None = None
    emits: Collection[str] = ()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    places: Mapping[str, Place] = field(default_factory=dict)
    emitted: list[Emitted] = field(default_factory=list)
    restored: Any = None
    """The value of the run's last checkpoint that an earlier attempt has left, None where there is none."""
    keeper: Keeper | None = None

    def checkpoint(self, value: Any = None, *, done: float | None = None, total: float | None = None) -> None:
        """Keep a JSON value of at most 64 KiB, which later attempts of the run find in `restored`.

        It costs little, so call it for every item; it returns at once. Of a run the newest value is written down, at
        most twice a second, and when the attempt fails. So what is done again after a crash is what came after the
        last one that was written down. It is forgotten when the run is done. `done` and `total` say how far the run
        has come, in any unit, for `runs`, `why` and the live view.
        """
        if self.keeper is not None:
            self.keeper.put(self.route, value, done, total)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Return the route's logger; its records carry `run`, `event` and `route`."""
        extra = {"run": self.run, "event": f"e{self.envelope.number}", "route": self.route}
        return logging.LoggerAdapter(logging.getLogger(f"triggers.route.{self.route}"), extra)

    def remaining(self) -> float | None:
        """Return the seconds left until the deadline, or None where there is none."""
        return None if self.deadline is None else (self.deadline - datetime.now(UTC)).total_seconds()

    def emit(self, *events: Event) -> None:
        """Emit events when the run settles as done: all of them with its end, or none.

        Their types must stand in the handler's return annotation or in `emits=`.
        """
        for event in events:
            self.emitted.append(encode_emitted(self.route, event, self.emits))

    def place(self, name: str) -> Place:
        """Return the place of a name that the route declares in `reads=` or `writes=`; only the latter can be written.

        Objects that are written to a bucket carry the run's lineage in their metadata.
        """
        declared = self.reads | self.writes
        if name not in declared:
            raise WiringError(
                f"route {self.route!r} does not declare {name!r} in reads= or writes=" + did_you_mean(name, declared)
            )
        place = self.places[name]
        if name in self.writes:
            return place.written_by(self._marks())
        refusal = f"route {self.route!r} does not declare {name!r} in writes=" + did_you_mean(name, self.writes)
        return place.read_only(refusal)

    def _marks(self) -> dict[str, str]:
        """Return the lineage of what the run writes, as that of what it emits."""
        envelope = self.envelope
        return {
            "root": envelope.root,
            "cause": self.run,
            "depth": str(envelope.depth + 1),
            "budget": str(max(0, envelope.budget - 1)),
            "route": self.route,
            "effect": self.effect_key,
        }


def encode_emitted(route: str, event: object, allowed: Collection[str], *, returned: bool = False) -> Emitted:
    """Encode one event that a run emits, or raise `WiringError` if the route may not emit it."""
    if not isinstance(event, Event):
        raise WiringError(_no_event(route, event, "returned" if returned else "emitted"))
    kind = event.__event_type__
    if kind not in allowed:
        raise WiringError(
            f"handler {route!r} emitted {kind}, which its annotation does not name; add it there or to emits="
            + did_you_mean(kind, allowed)
        )
    return Emitted(kind, event.__event_version__, encode(event))


def _no_event(route: str, thing: object, verb: str) -> str:
    """Return what is wrong with emitting such a thing. A coroutine is closed, as nobody is going to await it."""
    if isinstance(thing, Coroutine):
        thing.close()
        return f"handler {route!r} {verb} a coroutine that nobody awaits; make the handler `async def` and await it"
    advice = {
        "returned": "return an event, a list of events or None",
        "emitted": "emit events, each as an argument of its own",
    }
    return f"handler {route!r} {verb} {type(thing).__name__} {str(thing)[:80]!r}; {advice[verb]}"


def encode_returned(
    context_emitted: Sequence[Emitted], returned: object, route: str, allowed: Collection[str]
) -> list[Emitted]:
    """Return everything that a finished handler emits: what it emitted by its context, then what it returned."""
    if returned is None:
        return list(context_emitted)
    items = [returned] if isinstance(returned, _ONE) or not isinstance(returned, Iterable) else returned
    events = [encode_emitted(route, item, allowed, returned=True) for item in items if item is not None]
    return [*context_emitted, *events]

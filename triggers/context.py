"""What a handler may ask of its run: where the event came from, which attempt this is, and the safe ways to act."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from triggers.errors import HandlerError, WiringError, did_you_mean
from triggers.events import Envelope, Event, encode


class Emitted(NamedTuple):
    """An event that a run emitted, encoded: it becomes a row when the run settles."""

    type: str
    version: int
    data: str


@dataclass(slots=True)
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
    places: Mapping[str, Path] = field(default_factory=dict)
    emitted: list[Emitted] = field(default_factory=list)

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

    def place(self, name: str) -> Path:
        """Return the folder bound to a name that the route declares in `reads=` or `writes=`."""
        declared = self.reads | self.writes
        if name not in declared:
            raise WiringError(
                f"route {self.route!r} does not declare {name!r} in reads= or writes=" + did_you_mean(name, declared)
            )
        return self.places[name]

    @contextmanager
    def output(self, name: str, key: str) -> Iterator[IO[bytes]]:
        """Write the file `key` in the place `name` whole and once.

        It appears under its name, synced, when the block ends without an error; not at all otherwise. A second
        attempt that writes the same bytes leaves the first one's file untouched, so nothing sees it arrive twice.
        Raises `WiringError` if the name is not declared in `writes=`, `HandlerError` if the key leaves the place.
        """
        if name not in self.writes:
            raise WiringError(
                f"route {self.route!r} does not declare {name!r} in writes=" + did_you_mean(name, self.writes)
            )
        root = self.places[name].resolve()
        target = (root / key).resolve()
        if not target.is_relative_to(root) or target == root:
            raise HandlerError(f"output key {key!r} leaves the place {name!r}; keys are relative paths inside it")
        _make_folders(target.parent)
        with _replacing(target) as file:
            yield file


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, each of them to survive a power loss."""
    if not folder.exists():
        _make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the target's name when the block ends well: temporary name, fsync, rename, fsync."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if _same_content(temporary, target):
            return
        temporary.chmod(0o644)
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _same_content(one: Path, other: Path) -> bool:
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        with one.open("rb") as left, other.open("rb") as right:
            return hashlib.file_digest(left, "sha256").digest() == hashlib.file_digest(right, "sha256").digest()
    except FileNotFoundError:
        return False


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
    if isinstance(returned, Event | str | bytes | Mapping) or not isinstance(returned, Iterable):
        returned = [returned]
    events = (item for item in returned if item is not None)
    return [*context_emitted, *(encode_emitted(route, event, allowed, returned=True) for event in events)]

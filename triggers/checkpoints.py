"""How far a run has come, by its own account: where its next attempt goes on, and what people see of it."""

# without annotations as text, each of which a named tuple would compile

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from triggers.errors import WiringError

MOST: Final = 65_536
"""Bytes that the JSON of a checkpoint's value may have."""

INTERVAL: Final = 0.5
"""Seconds between two checkpoints of a run that are written down: what is the newest then."""

_PLAIN: Final = (int, bool, type(None))
"""Values that can neither change nor be too large: they are encoded when they are written down."""


class Checkpoint(NamedTuple):
    """What a run has told of itself."""

    value: str
    """JSON text."""
    done: float | None
    """How much of its work it has done, in units of its own, and how much there is; None is not said."""
    total: float | None


class Keeper:
    """Holds the newest checkpoint of an attempt until somebody takes it. `tell` is called when there is one to take.

    It may be put by one thread and taken by another.
    """

    __slots__ = ("_newest", "_taken", "_tell", "_told", "saved")

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._told = False
        self._newest: tuple[Any, float | None, float | None] | None = None
        self._taken: object = None
        self.saved = 0.0
        """When one was last written down, in seconds of the loop's clock."""

    def put(self, route: str, value: Any, done: float | None, total: float | None) -> None:
        """Take a checkpoint. Raises `WiringError` where it is no JSON, or too large."""
        if type(value) not in _PLAIN:
            value = _Encoded(_encode(route, value))
        self._newest = value, done, total
        if not self._told:
            self._told = True
            self._tell()

    def take(self) -> Checkpoint | None:
        """Return the newest checkpoint, None if it has been taken."""
        self._told = False  # before the look, so that one that comes after it tells again
        newest = self._newest
        if newest is None or newest is self._taken:
            return None
        self._taken = newest
        value, done, total = newest
        return Checkpoint(str(value) if isinstance(value, _Encoded) else json.dumps(value), done, total)

    @property
    def used(self) -> bool:
        """Say whether there has been any."""
        return self._newest is not None

    @property
    def progress(self) -> tuple[float | None, float | None]:
        """Return how much is done, and how much there is, by the newest checkpoint."""
        return (None, None) if self._newest is None else self._newest[1:]


class _Encoded(str):
    """A value as JSON text."""

    __slots__ = ()


def _encode(route: str, value: Any) -> str:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise WiringError(
            f"route {route!r}: ctx.checkpoint() keeps JSON, which {type(value).__name__} is not: {error};"
            " give it numbers, text, lists and dicts"
        ) from None
    if len(text) > MOST:  # it is ASCII
        raise WiringError(
            f"route {route!r}: the value of ctx.checkpoint() has {len(text):,} bytes as JSON, the bound is {MOST:,};"
            " write it to a place, and keep its key"
        )
    return text

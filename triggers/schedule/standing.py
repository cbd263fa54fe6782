"""Where a schedule stands: what is remembered of it from one life of an app to the next."""

from __future__ import annotations

from typing import NamedTuple, Self


class Standing(NamedTuple):
    """How far a schedule has come, in Unix seconds, and which schedule that is."""

    after: float
    """The instant behind which it goes on: the last that fired or was left out, or the moment of its resume."""
    high: float
    """The highest of those; above `after` where the wall clock was set back."""
    seen: float
    """Up to here the clock was right when `high` was reached; what lies between the two may not have fired."""
    text: str
    """The schedule's canonical text."""

    @classmethod
    def at(cls, moment: float, text: str) -> Self:
        """Return that of a schedule for which nothing before a moment counts."""
        return cls(moment, moment, moment, text)

    @classmethod
    def read(cls, memory: bytes) -> Self:
        """Return what `bytes()` wrote down."""
        moments, _, text = memory.decode().partition(" ")
        after, *more = map(float, moments.split("/"))
        high = more[0] if more else after
        return cls(after, high, more[1] if len(more) > 1 else high, text)

    def __bytes__(self) -> bytes:
        moments = (self.after, self.high, self.seen) if self.high > self.after else (self.after,)
        return f"{'/'.join(map(repr, moments))} {self.text}".encode()

"""What keeps waiting runs from starting although there is room: gates, each closed for a time and for a reason.

A gate is pure: it is asked about the first run of a lane, and answers for those behind it, which cannot start before.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from triggers.terms import Terms


class Closed(NamedTuple):
    """That a gate is closed."""

    until: float
    """Unix seconds; infinite where no moment opens it, but something that happens."""
    reason: str
    """What a person is told: `outside its window 22:00-06:00 Europe/Berlin`."""


class Gate(Protocol):
    """Something that runs of a route may have to wait for, beside room."""

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether a run with these terms must wait. `longest` is how many seconds it will take at most (p90)."""
        ...

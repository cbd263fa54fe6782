"""What is expected to come again and again: events of a type, and by when each of them is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from math import floor, inf, nextafter
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from triggers.errors import WiringError
from triggers.events import Event
from triggers.lineage import EventRow
from triggers.patterns import Pattern
from triggers.schedule.instants import Schedule, firings, following, last
from triggers.spans import Span, seconds

COUNTED: Final = 1000
"""So many moments are counted in a row, or more."""


class Absence(NamedTuple):
    """That an event has not come."""

    due: float
    """By when it was expected, in Unix seconds: the last such moment."""
    missed: int
    """How many such moments have passed since the last one came."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Events of a type that are expected `every` so many seconds after the last one, or at the instants of a schedule
    (`by`); an instant's own may come between the one before it and itself, each with `grace` seconds beyond."""

    name: str
    kind: str
    grace: float
    every: float = inf
    by: Schedule | None = None
    where: Pattern | None = None
    source: str | None = None

    def described(self) -> dict[str, Any]:
        """Return it as the journal keeps it, for those who read that without the app's code."""
        every = None if self.every == inf else self.every
        return {"kind": self.kind, "grace": self.grace, "every": every, "by": str(self.by) if self.by else None}

    def takes(self, event: EventRow) -> bool:
        """Say whether an event of the type is one that is expected."""
        if self.source not in (None, event.source):
            return False
        return self.where is None or self.where.matches(from_json(event.data))

    def next(self, came: float, told: float) -> float:
        """Return the moment by which the next event is expected, infinite where none is any more.

        `came` is when the last one came, or when somebody began to look; `told` the last moment whose event was said
        to be missing.
        """
        if self.by is None:
            return (told if told > came else came) + self.every
        due = following(self.by, max(self._met(came), told))
        return inf if due is None else due

    def absence(self, came: float, told: float, now: float) -> Absence | None:
        """Return what is missing now and has not been said to be; of several moments the last."""
        first, until = self.next(came, told), now - self.grace
        if first > until:
            return None
        if self.by is None:
            due = first + self.every * floor((until - first) / self.every)
            return Absence(due, min(COUNTED, round((due - came) / self.every)))
        found = last(self.by, nextafter(first, -inf), until)
        due = first if found is None else found
        return Absence(due, sum(1 for _ in islice(firings(self.by, self._met(came), due), COUNTED)))

    def _met(self, came: float) -> float:
        """Return the instant whose event came then: the first one that was not over yet, its grace included."""
        assert self.by is not None
        due = following(self.by, nextafter(came - self.grace, -inf))
        return came if due is None else due


def make_expectation(
    owner: str,
    kind: type[Event],
    *,
    name: str,
    every: Span | None,
    by: Schedule | None,
    grace: Span,
    where: Pattern | None,
    source: str | None,
) -> Expectation:
    """Return the checked expectation; `owner` names it in errors (`WiringError`)."""
    if (every is None) == (by is None):
        raise WiringError(
            f"{owner}: say when it comes, in one way: every='1d' after the last one, or by=cron('0 8 * * *')"
        )
    if by is not None and not (hasattr(by, "next") and hasattr(by, "latest")):
        raise WiringError(f"{owner}: by={by!r} is no schedule; write e.g. by=cron('0 8 * * *')")
    interval = inf if every is None else seconds(owner, "every", every)
    spare = seconds(owner, "grace", grace, zero=True)
    return Expectation(name, kind.__event_type__, spare, interval, by, where, source)


def by_type(expectations: Mapping[str, Expectation]) -> dict[str, list[Expectation]]:
    """Return expectations by the types of their events."""
    found: dict[str, list[Expectation]] = {}
    for one in expectations.values():
        found.setdefault(one.kind, []).append(one)
    return found

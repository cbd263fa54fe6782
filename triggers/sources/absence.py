"""Absence as a source: a `Missing` for each moment by which an expected event has not come.

Its identity is (expectation, moment), and it is committed with what the source remembers: the last moment that it told.
When the last event came, the journal keeps. So a restart neither repeats it nor forgets it. Nothing is missing before
all other sources have had a first look: what came while the app was down is there by then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf

from triggers.events import Missing, encode, moment
from triggers.expectation import Absence, Expectation
from triggers.sources import ARRIVALS, EXPECT, Delivery, Site


class AbsenceWatch:
    """All expectations of an app. `came` has when the last event of each came, and is kept up to date."""

    name = EXPECT

    def __init__(self, expectations: Mapping[str, Expectation], came: Mapping[str, float]) -> None:
        self._expectations = expectations
        self._came = came
        self._known: dict[str, float] = {}
        """The same as the journal had it at the start, or when somebody began to look."""
        self._told: dict[str, float] = {}

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield what is missing, when it is."""
        await self._begin(site)
        while True:
            now = site.clock.now()
            if found := [self._missing(name, absence) for name, absence in self._absent(now).items()]:
                yield found
                continue
            site.idle(self.name)
            await site.clock.sleep_until(self._next())

    async def _begin(self, site: Site) -> None:
        keys = [name.encode() for name in self._expectations]
        told, known = await site.recall(EXPECT, keys), await site.recall(ARRIVALS, keys)
        self._told = {key.decode(): float(value) for key, value in told.items()}
        now = site.clock.now()
        new = {key: repr(now).encode() for key in keys if key not in known}
        if new:
            await site.remember(ARRIVALS, new)
        self._known = {key.decode(): float(value) for key, value in {**known, **new}.items()}

    def _last(self, name: str) -> tuple[float, float]:
        """Return when the last event came, and the last moment that was told."""
        return self._came.get(name, self._known[name]), self._told.get(name, -inf)

    def _absent(self, now: float) -> dict[str, Absence]:
        found = {name: one.absence(*self._last(name), now) for name, one in self._expectations.items()}
        return {name: absence for name, absence in found.items() if absence}

    def _next(self) -> float:
        """Return when the next event is missing, if it does not come."""
        return min(one.next(*self._last(name)) + one.grace for name, one in self._expectations.items())

    def _missing(self, name: str, absence: Absence) -> Delivery:
        came, _ = self._last(name)
        kind = self._expectations[name].kind
        self._told[name] = absence.due
        event = Missing(
            expectation=name, event_type=kind, since=moment(came), due=moment(absence.due), missed=absence.missed
        )
        return Delivery(
            source=self.name,
            id=f"{name}@{event.due.isoformat()}",
            type=Missing.__event_type__,
            data=encode(event),
            time=absence.due,
            subject=name,
            memory=(name.encode(), repr(absence.due).encode()),
            unique=True,
        )

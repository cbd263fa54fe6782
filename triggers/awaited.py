"""The events that are expected, as the dispatcher sees them come."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from triggers.expectation import Expectation, by_type
from triggers.journal.arrivals import came
from triggers.lineage import EventRow
from triggers.pipeline import Turn


class Awaited:
    """Takes note of each event that meets an expectation, in the commit that has the event."""

    def __init__(self, expectations: Mapping[str, Expectation]) -> None:
        self.last: dict[str, float] = {}
        """When the last one came, by the names of expectations; none is there for which none has since the start."""
        self._by_type = by_type(expectations)
        self._new: dict[str, list[int]] = {}

    @property
    def kinds(self) -> Collection[str]:
        """Return the types of the events that are expected."""
        return self._by_type.keys()

    def see(self, event: EventRow) -> None:
        """Take note of an event that is going to be in the pending turn."""
        for one in self._by_type.get(event.type, ()):
            if one.takes(event):
                self._new.setdefault(one.name, []).append(event.number)

    def prepare(self, turn: Turn) -> None:
        """Have the journal remember what has come."""
        if self._new:
            turn.change.orders.append(came(self._new))
            turn.order_answers.append(self.last.update)
            self._new = {}

"""Routes whose runs do not overlap: what `overlap=` makes of a new run while an earlier one is open.

Open is a run that waits, is at work, or waits for another attempt. `"queue"` lets the new one wait; the journal
decides about `"skip"` and `"replace"` in the commit that inserts the run, see `triggers.journal.overlaps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import apsw
from pydantic_core import from_json

from triggers.events import Tick
from triggers.flows import Flow, Head, Lane
from triggers.journal.overlaps import Verdict, replace, skip
from triggers.options import QUEUE, SKIP

Order = Callable[[apsw.Connection], Verdict]


@dataclass(slots=True, eq=False)
class SingleFile(Flow):
    """The runs of a route that go one after the other, those of each key for themselves where they have keys. One that
    waits for its next attempt holds up the others."""

    new: list[Head] = field(default_factory=list)
    """Runs that the pending commit is to decide about."""
    _delayed: dict[int, str | None] = field(default_factory=dict)
    """Runs that wait for their next attempt, with their keys."""

    def add(self, head: Head) -> None:
        """Take a run that waits from now on; a new one only when it is decided about."""
        self._delayed.pop(head.number, None)
        if head.row and self.route.policy.overlap != QUEUE and not _backfilled(head):
            self.new.append(head)
        else:
            Flow.add(self, head)

    def free(self) -> bool:
        """Say whether a new run may start at once, before anything is decided about it."""
        return self.route.policy.overlap == QUEUE and not self._delayed and Flow.free(self)

    def ready(self) -> Iterable[Lane]:
        """Return the lanes whose first run may start: none of a key of which a run is to be tried again."""
        held_up = set(self._delayed.values())
        return [lane for lane in Flow.ready(self) if lane.key not in held_up] if held_up else Flow.ready(self)

    def hold(self, run: int, key: str | None) -> None:
        """Let the others of the key wait until that run has been tried again."""
        self._delayed[run] = key

    def order(self, now: float, epoch: int) -> tuple[Order, dict[int, Head]]:
        """Return the order that decides about the new runs, and those runs by their numbers."""
        new, self.new = {head.number: head for head in self.new}, []
        if self.route.policy.overlap == SKIP:
            return skip(self.route.name, list(new), now), new
        return replace(self.route.name, list(new), now, epoch), new

    def forget(self, runs: Iterable[int]) -> None:
        """Forget runs that do not run any more."""
        gone = set(runs)
        self._delayed = {run: key for run, key in self._delayed.items() if run not in gone}
        self.discard(lambda head: head.number in gone)


def _backfilled(head: Head) -> bool:
    """Say whether somebody asked for the run: such firings wait for one another, whatever `overlap=` says."""
    event = head.kept
    return event is not None and event.type == Tick.__event_type__ and bool(from_json(event.data).get("backfill"))

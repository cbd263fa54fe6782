"""Routes about whose new runs the journal decides in the commit that inserts them, and those whose runs do not overlap.

`rate_limit=` drops what comes too often, see `triggers.journal.counted`. `overlap=` says what becomes of a new run
while an earlier one is open: waits, is at work, or waits for another attempt. `"queue"` lets the new one wait; about
`"skip"`, `"replace"` and `"newest"` the journal decides, see `triggers.journal.overlaps`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import apsw
from pydantic_core import from_json

from triggers.events import Tick
from triggers.journal import RunRow
from triggers.journal.counted import limit
from triggers.journal.overlaps import Decision, Verdict, decided, newest, replace, skip
from triggers.journal.turns import in_turn
from triggers.lineage import EventRow
from triggers.options import ALLOW, HOLD, NEWEST, QUEUE, REPLACE, SKIP
from triggers.routing import Route
from triggers.scheduling.appraisal import place_of
from triggers.scheduling.flows import Flow, Head, Lane
from triggers.scheduling.holdings import limit_of_key

Order = Callable[[apsw.Connection], Verdict]


@dataclass(slots=True, eq=False)
class Judged(Flow):
    """The runs of a route of which it is decided, in the commit that inserts them, which of them run."""

    new: list[Head] = field(default_factory=list)
    """Runs that the pending commit is to decide about."""
    places: dict[int, float | str] = field(default_factory=dict)
    """The places of those that go in the order of their data."""

    def add_new(self, run: RunRow, event: EventRow) -> Head | None:
        """Take a new run, to be decided about before it waits."""
        ordered = self.route.policy.in_order is not None
        if not ordered and _backfilled(event):
            return Flow.add_new(self, run, event)
        head = Head(run.number, run.event, run.terms, row=run, kept=event)
        self.new.append(head)
        if ordered and (place := place_of(self.route, event)) is not None:
            self.places[head.number] = place
        return head

    def free(self) -> bool:
        """Say whether a new run may start at once, before anything is decided about it."""
        return False

    def decisions(self, epoch: int) -> list[Decision]:
        """Return what is to be decided, in order."""
        policy, name = self.route.policy, self.route.name
        if policy.in_order is not None:
            places, self.places = self.places, {}
            return [in_turn(name, places, holds=policy.if_dead == HOLD)]
        return [] if policy.rate_limit is None else [limit(name, policy.rate_limit)]

    def order(self, now: float, epoch: int) -> tuple[Order, dict[int, Head]]:
        """Return the order that decides about the new runs, and those runs by their numbers."""
        new, self.new = {head.number: head for head in self.new}, []
        return decided(self.decisions(epoch), list(new), now), new


@dataclass(slots=True, eq=False)
class SingleFile(Judged):
    """The runs of a route that go one after the other, those of each key for themselves where they have keys. One that
    waits for its next attempt holds up the others."""

    _delayed: dict[int, str | None] = field(default_factory=dict)
    """Runs that wait for their next attempt, with their keys."""

    def add_new(self, run: RunRow, event: EventRow) -> Head | None:
        """Take a new run; it is decided about before it waits, where anything is."""
        return Judged.add_new(self, run, event) if self._decides() else Flow.add_new(self, run, event)

    def add(self, head: Head) -> None:
        """Take a run that waits from now on, and may have been delayed until now."""
        self._delayed.pop(head.number, None)
        Flow.add(self, head)

    def limit(self, key: str | None) -> str | None:
        """Return the name under which the runs of a key are counted; those without one are counted, too."""
        return None if self.per_key is None else limit_of_key(self.route.name, key)

    def free(self) -> bool:
        """Say whether a new run may start at once, before anything is decided about it."""
        return not (self.gates or self._decides() or self._delayed)

    def ready(self) -> Iterable[Lane]:
        """Return the lanes of whose key no run is to be tried again."""
        held_up = self.held_up()
        return [lane for lane in Judged.ready(self) if lane.key not in held_up]

    def held_up(self) -> Collection[str | None]:
        """Return the keys of which a run is to be tried again."""
        return set(self._delayed.values())

    def hold(self, run: int, key: str | None) -> None:
        """Let the others of the key wait until that run has been tried again."""
        self._delayed[run] = key
        self.lined = None

    def decisions(self, epoch: int) -> list[Decision]:
        """Return what is to be decided, in order."""
        name, overlap = self.route.name, self.route.policy.overlap
        own = {SKIP: lambda: skip(name), REPLACE: lambda: replace(name, epoch), NEWEST: lambda: newest(name, epoch)}
        return Judged.decisions(self, epoch) + ([own[overlap]()] if overlap in own else [])

    def forget(self, runs: Iterable[int]) -> None:
        """Forget runs that do not run any more."""
        gone = set(runs)
        self._delayed = {run: key for run, key in self._delayed.items() if run not in gone}
        self.lined = None
        Flow.forget(self, gone)

    def _decides(self) -> bool:
        policy = self.route.policy
        return policy.overlap != QUEUE or policy.rate_limit is not None or policy.in_order is not None


def _backfilled(event: EventRow) -> bool:
    """Say whether somebody asked for the run: such firings wait for one another, whatever `overlap=` says."""
    return event.type == Tick.__event_type__ and bool(from_json(event.data).get("backfill"))


def kind_of(route: Route) -> type[Flow]:
    """Return the kind of flow that a route's declarations ask for."""
    if route.policy.overlap != ALLOW:
        return SingleFile
    return Flow if route.policy.rate_limit is None and route.policy.in_order is None else Judged

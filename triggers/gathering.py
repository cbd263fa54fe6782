"""Events that come together, on the dispatcher's side: what is to be decided by the journal, and what it has ended.

The journal decides which group an event belongs to, in the commit that inserts it. What has ended it tells in its
answer; here a run is made of it, in a commit that also takes note that it is told. A crash between the two loses
nothing: at the next start the journal is asked what it has not told. It is asked in one place of a turn only, and the
answer is worked off before the next turn, so that nothing is told twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import apsw

from triggers.attempt import Run
from triggers.events import GATHERED, encode
from triggers.gather import ALL, DEBOUNCE, JOIN, Gathered, Rule
from triggers.journal import Journal, RunRow, gathered
from triggers.journal.gathered import (
    MANY,
    TIME,
    WHOLE,
    Arrival,
    Ended,
    Found,
    gather,
    gather_again,
    run_alone,
    too_many,
)
from triggers.journal.groups import Left, left_over
from triggers.lineage import EventRow
from triggers.pipeline import Pipeline, Question, Turn
from triggers.routing import Route
from triggers.scheduling.alarm import Alarm
from triggers.scheduling.appraisal import key_of, terms_of

log = logging.getLogger("triggers.dispatcher")

LONGEST_KEY = 1000
"""Characters of a key that an event tells which stands for several: its payload is bounded."""

Add = Callable[[EventRow, RunRow], None]
"""Puts a run of an event into the pending turn; the event itself where it is new."""


class Gathering:
    """The routes whose events come together. `add` takes the runs that are made of them; `aging` is for their ranks."""

    def __init__(
        self, app: str, routes: Mapping[str, Route], journal: Journal, pipeline: Pipeline, aging: float, add: Add
    ) -> None:
        self.rules: dict[str, Rule] = {name: route.rule for name, route in routes.items() if route.rule}
        self._app = app
        self._routes = routes
        self._journal = journal
        self._clock = journal.clock
        self._pipeline = pipeline
        self._aging = aging
        self._add = add
        self._arrivals: list[Arrival] = []
        self._due = False
        self.left: Sequence[Left] = ()
        """What waits to come together for routes that do not gather any more."""
        self.alarm = Alarm(journal.clock.sleep_until, self._ring)
        """When the next group ends, by the wall clock."""

    def start(self) -> None:
        """Tell what had ended before the start, and end what is due."""
        self._pipeline.ask(self._left_over, self._leave)
        self.look()

    def look(self) -> None:
        """Ask the journal what has ended and is not told yet, and when the next group ends."""
        if self.rules:
            self._due = True
            self._pipeline.touch()

    def take(self, route: Route, event: EventRow) -> None:
        """Have an event put into a group of its route in the pending turn."""
        self._arrivals.append(self._arrival(route, event, event.recorded))

    def again(self, events: Sequence[tuple[Route, EventRow]], runs: Sequence[RunRow]) -> Question:
        """Return the order that gathers events once more that are in the journal already.

        Those that wait to come together, and have one of the `runs` now instead, it lets go of.
        """
        now, left = self._clock.now(), {one.route for one in self.left}
        together = gather_again(self.rules, [self._arrival(route, event, now) for route, event in events], now)
        alone = run_alone([(run.event, run.route) for run in runs if run.route in left])

        def apply(connection: apsw.Connection) -> None:
            together(connection)
            alone(connection)

        return apply

    def replayed(self) -> None:
        """Look at what is left once more: some of it may have been replayed."""
        if self.left:
            self._pipeline.ask(self._left_over, self._note)
        self.look()

    def prepare(self, turn: Turn) -> None:
        """Have decided in the turn's commit which groups its events belong to, and which groups end."""
        if self._arrivals or self._due:
            turn.change.orders.append(gather(self.rules, self._arrivals, self._clock.now()))
            turn.order_answers.append(self._tell)
            self._arrivals, self._due = [], False

    def split(self, run: Run, failed: Sequence[tuple[int, str]]) -> list[tuple[EventRow, RunRow]]:
        """Return a batch of one, with its run, for each event of a batch that failed."""
        parent, found, now = run.event, [], self._clock.now()
        budget = max(0, parent.budget - len(failed)) // len(failed)
        for place, _ in failed:
            member = run.members[place]
            terms = terms_of(run.route, member, now, self._aging)
            whole = Gathered(route=run.route.name, key=_told(run.key), events=[member.number], ended="split",
                             priority=terms.priority, size=len(member.data))  # fmt: skip
            row = self._whole(whole, member, now)
            row = row._replace(cause=run.number, root=parent.root, depth=parent.depth + 1, budget=budget)
            order = gathered.alone(run.route.name, run.key, member.number, row.number, now)
            self._pipeline.order(order, lambda _: None)
            found.append((row, RunRow(self._journal.number_run(), row.number, run.route.name, terms)))
        return found

    def _arrival(self, route: Route, event: EventRow, at: float) -> Arrival:
        return Arrival(route.name, key_of(route, event), event.type, event.number, at)

    def _tell(self, found: Found) -> None:
        for ended in found.ended:
            self._make(ended, self._routes[ended.route], self._clock.now())
        if self.alarm.due != found.due:
            self.alarm.cancel()
            self.alarm.set(found.due)
        if found.more:
            self.look()

    def _make(self, ended: Ended, route: Route, now: float) -> None:
        """Make the run of a group; or keep as one that was dropped what does not run."""
        terms = terms_of(route, ended.last, now, self._aging)
        run = RunRow(self._journal.number_run(), ended.last.number, route.name, terms)
        if ended.ended not in (WHOLE, TIME, MANY):
            self._drop(run, ended.ended, now)
            self._pipeline.order(gathered.forget(ended.rows), lambda _: None)
        elif self.rules[route.name].kind == DEBOUNCE:
            self._pipeline.order(gathered.forget(ended.rows), lambda _: None)
            self._add(ended.last, run)
        else:
            self._make_whole(ended, route, run, now)

    def _make_whole(self, ended: Ended, route: Route, run: RunRow, now: float) -> None:
        rule, lack = self.rules[route.name], _lack(ended, self.rules[route.name])
        missing = "fail" if ended.ended == MANY else rule.missing
        whole = Gathered(route=route.name, key=_told(ended.key), events=ended.events, ended=ended.ended,
                         size=ended.size, priority=run.terms.priority,
                         refused=lack if missing != "partial" else None)  # fmt: skip
        row = self._whole(whole, ended.last, now)._replace(depth=ended.depth, budget=ended.budget)
        run.event, run.terms = row.number, run.terms._replace(size=ended.size)
        self._pipeline.order(gathered.told(ended.rows, row.number), lambda _: None)
        if lack and missing == "drop":
            self._pipeline.turn.change.events.append(row)
            self._drop(run, lack, now)
        else:
            self._add(row, run)

    def _whole(self, whole: Gathered, last: EventRow, now: float) -> EventRow:
        """Return the row of the event that stands for a group. It goes on with the chain of the last of its events."""
        number, name = self._journal.number_event(), f"{self._journal.id}-{whole.route}-{whole.events[0]}"
        return last._replace(
            number=number, id=f"{name}-{number}", source=f"{self._app}/{whole.route}", type=GATHERED, version=1,
            subject=whole.route, time=now, recorded=now, data=encode(whole),
        )  # fmt: skip

    def _drop(self, run: RunRow, why: str, now: float) -> None:
        self._pipeline.order(gathered.dropped(run.number, run.event, run.route, run.terms, why, now), lambda _: None)

    def _ring(self) -> None:
        self.look()

    def _left_over(self, connection: apsw.Connection) -> Sequence[Left]:
        return left_over(connection, {name: name in self.rules for name in self._routes})

    def _note(self, left: Sequence[Left]) -> None:
        self.left = left

    def _leave(self, left: Sequence[Left]) -> None:
        """Say which events wait to come together for routes that do not gather any more."""
        self._note(left)
        for one in left:
            log.warning("%s", one)


def _told(key: str | None) -> str | None:
    """Return a key, unless it is too long for the payload of an event that stands for several."""
    return key if key and len(key) <= LONGEST_KEY else None


def _lack(ended: Ended, rule: Rule) -> str | None:
    """Return what is missing of a group; None where nothing is."""
    if rule.kind not in (JOIN, ALL) or ended.ended == WHOLE:
        return None
    if ended.ended == MANY:
        return too_many(ended.key or "", ended.wanted, rule.of)
    there = ", ".join(f"e{number}" for number in ended.events[:5])
    more = f" and {len(ended.events) - 5} more" if len(ended.events) > 5 else ""
    count = f"{len(ended.events)} of {ended.wanted}"
    return f"{count} had come within {rule.within:g} s: {there}{more} (missing={rule.missing!r})"

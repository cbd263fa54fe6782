"""The dispatcher: choose, claim, run, settle.

One event's journey. `append` puts a delivery into the pending turn, `reception` a run for each route that it triggers.
Just before the turn is handed to the journal, `claims` adds the claims of what waits: they ride in the same commit.
`_committed` starts what is claimed durably. What came of a handler goes to `_finished`, which puts the settled run, the
events that it emitted and *their* runs into the next turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf

from triggers.awaited import Awaited
from triggers.emission import emissions, emitted, within_bounds
from triggers.executor import GIVEN_BACK, Again, Dead, Done, Executor, Outcome, Run
from triggers.expectation import Expectation
from triggers.journal import (
    DELAYED,
    Ended,
    Journal,
    Promoted,
    Result,
    Stranded,
    UsageRow,
    ended_since,
    next_due,
    shut,
    stranded,
)
from triggers.journal.counted import started
from triggers.journal.overlaps import delayed
from triggers.journal.pauses import paused, paused_routes
from triggers.journal.times import last_ended
from triggers.keeping import Keeping
from triggers.limits import Limits
from triggers.lineage import arrived, bounded
from triggers.pipeline import Pipeline, Turn
from triggers.places import Place
from triggers.policy import FORGOTTEN, Shares, order
from triggers.prediction.forecast import LAST, RunTimes
from triggers.reception import Reception
from triggers.routing import THREAD, Router
from triggers.scheduling.admission import Admission
from triggers.scheduling.alarm import Alarm
from triggers.scheduling.claims import Claims
from triggers.scheduling.displaced import Displaced
from triggers.scheduling.flows import WINDOW
from triggers.scheduling.pauses import Pauses
from triggers.scheduling.preference import Preference
from triggers.scheduling.punctuality import Punctuality
from triggers.scheduling.regulation import Regulation
from triggers.scheduling.sharing import Sharing
from triggers.scheduling.turns import Turns
from triggers.settling import in_part, remembered, settled
from triggers.sources import Delivery

log = logging.getLogger("triggers.dispatcher")

CLOSE = 1.0
"""Seconds by which the rows may be wrong about how long a run took: the commits lie between."""

LAST_WORDS = 5.0
"""Seconds that a coroutine has to end once it is cancelled; one that swallows its cancellation is given back too."""


class Dispatcher:
    """Runs an app's routes over a journal that this process owns.

    `running` holds the runs that have a slot, by number; `counts` what has happened since the start.
    """

    def __init__(
        self,
        app: str,
        router: Router,
        journal: Journal,
        limits: Limits,
        places: Mapping[str, Place] | None = None,
        expectations: Mapping[str, Expectation] | None = None,
        executor: Callable[..., Executor] = Executor,
    ) -> None:
        self.app = app
        self.router = router
        self.limits = limits
        self.running: dict[int, Run] = {}
        self.counts: Counter[str] = Counter()
        self.awaited = Awaited(expectations) if expectations else None
        """What is expected to come; None where nothing is."""
        self.listeners: list[Callable[[Run, Outcome | None], None]] = []
        """Called with each run that starts (None), and with each that leaves its attempt."""
        policy = order if limits.policy is None else Preference(limits.policy, journal.clock.monotonic)
        shared = any(route.policy.share for route in router.routes.values())
        self._sharing = Sharing(Shares(limits.shares), journal.clock.now) if shared else None
        self.times = RunTimes()
        self.admission = Admission(
            router.routes, limits.capacity(), limits.aging, self.times.predict, policy, self._sharing
        )
        self.pipeline = Pipeline(journal, self._prepare, self._committed, self.admission.undecided)
        self._keeping = Keeping(self.pipeline, self.running, journal.clock, journal.epoch)
        self._displaced = Displaced(journal, self.pipeline, self.admission, self.running, self.counts, self._tell)
        self.claims = Claims(journal, self.pipeline, self.admission, places or {}, self._settle, self._displaced.drop)
        self.clock = journal.clock
        self.alarm = Alarm(self._monotonic, self._ring)
        """When the next delayed run is due, in the boot's monotonic seconds."""
        self._reopening = Alarm(journal.clock.sleep_until, self.pipeline.touch)
        """When the next gate opens that runs wait behind, by the wall clock."""
        self._noting = Alarm(journal.clock.sleep_until, self.pipeline.touch)
        """When gates are written down that were not at the last look. Nobody waits for it."""
        self._regulation = Regulation(router.routes.values(), limits, self.admission, self.times, self.clock)
        if self._regulation:
            self.listeners.append(self._regulation.hear)
        self.turns = Turns(router.routes, self.pipeline, self.admission)
        self._punctuality = Punctuality(journal, self.pipeline, self.admission, self.counts, self.turns.dropped)
        work = self.pipeline, self.admission, self.claims, self._punctuality
        self.reception = Reception(app, router, journal, *work, limits.aging, self.alarm, self.awaited)
        self.pauses = Pauses(self.admission)
        """The routes of which nothing starts."""
        self.paused: dict[str, float] = {}
        """The schedules that do not fire, and since when."""
        self.resumed: dict[str, float] = {}
        """Those that fire again, and since when; whoever fires them takes them out."""
        self.stranded: Sequence[Stranded] = ()
        """What waited at the start for routes that are gone."""
        self._journal = journal
        self._executor = executor(self._finished, threads=limits.threads, clock=self.clock, measured=self._correct)

    def start(self, *, asked: bool = False) -> None:
        """Begin to work off what waits. Called on the running loop.

        Where operators have `asked` for something, nothing starts until `open` is called: they may have paused it.
        """
        self.admission.closed = asked
        self.pipeline.ask(next_due, self.alarm.set)
        self.pipeline.ask(stranded(self.router.routes), self._leave)
        self.turns.look()
        self.pipeline.ask(paused, self.pause)
        self.reception.gathering.start()
        self.pipeline.ask(paused_routes, self.pauses.set)
        if self.admission.paced:
            self.pipeline.ask(started(self.admission.paced), self.admission.recall)
        if self._sharing:
            self.pipeline.ask(ended_since(self.clock.now() - FORGOTTEN), self._recall)
        self._punctuality.look()
        self.pipeline.ask(last_ended(self.router.routes, LAST), self.times.load)
        if self.admission.single:
            self.pipeline.ask(delayed([flow.route.name for flow in self.admission.single]), self.admission.hold)

    def open(self) -> None:
        """Let runs start: what operators asked for before the start is carried out."""
        if self.admission.closed:
            self.admission.closed = False
            self.pipeline.touch()

    async def stop(self, grace: float = 0.0) -> None:
        """Start nothing more, let what runs finish for `grace` seconds, give the rest back, and write all of it down.

        A run that is given back has used no attempt. A plain function in a thread can't be stopped: its run is given
        back too, and it ends with the process.
        """
        self.admission.closed = True
        self.alarm.cancel()
        self._reopening.close()
        self._noting.close()
        self._punctuality.close()
        self.reception.gathering.alarm.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    while self.running:
                        await self.pipeline.changed()
            self._executor.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    while any(run.route.kind != THREAD for run in self.running.values()):
                        await self.pipeline.changed()
            for run in list(self.running.values()):
                self._finished(run, GIVEN_BACK)
            while (self.running or self.pipeline.busy) and not self.pipeline.refused:
                await self.pipeline.changed()
        finally:
            self.alarm.close()
            self._executor.cancel()
            self._executor.close()
            self.pipeline.close()

    def quiet(self) -> bool:
        """Say whether nothing runs, nothing waits but what is delayed, and nothing is on its way to the disk."""
        return not self.running and not self.pipeline.busy and self.admission.still()

    def moments(self) -> Sequence[float]:
        """Return the moments that anything waits for: a delayed run, a gate that opens by itself, events for others."""
        alarms = (self.alarm, self._reopening, self.reception.gathering.alarm)
        return [alarm.due for alarm in alarms if alarm.due is not None]

    async def room(self) -> None:
        """Wait until the backlog is below its bound; sources do before they read on."""
        while self._journal.open_runs >= self.limits.backlog:
            await self.pipeline.changed()

    def append(self, deliveries: Sequence[Delivery]) -> asyncio.Future[list[int]]:
        """Append events; the future gives the numbers of those that were new, once they are durable."""
        now = self.clock.now()
        turn = self.pipeline.turn
        try:
            numbers = [self._take(turn, delivery, now) for delivery in deliveries]
        except BaseException as error:  # half of them must never be committed
            self.pipeline.fail(error)
            raise
        self.counts["events"] += len(numbers)
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        turn.waiters.append((future, numbers))
        self.pipeline.touch()
        return future

    def _take(self, turn: Turn, delivery: Delivery, now: float) -> int:
        """Put an event into the pending turn, with what its source is to remember, and return its number."""
        number = self._journal.number_event()
        if delivery.memory:
            turn.change.memories.append((delivery.source, *delivery.memory, number))
        if delivery.unique or not delivery.memory:
            turn.change.identities.append((f"{delivery.source}\0{delivery.id}", number, now))
        self.reception.add(bounded(arrived(delivery, number, now, self._journal.id), self.limits.max_events), now)
        return number

    def pause(self, schedules: Mapping[str, float], now: float = -inf) -> None:
        """Take note of the schedules that do not fire, and since when. Those that do again, do so from now on."""
        self.resumed.update(dict.fromkeys(self.paused.keys() - schedules.keys(), now))
        self.paused.clear()
        self.paused.update(schedules)

    def take_back(self, runs: Sequence[Promoted]) -> None:
        """Take runs among those that wait that the journal has put back there."""
        self._journal.open_runs += sum(run.opened and run.route in self.router.routes for run in runs)
        self.admission.promote(runs)
        for run in runs:
            self._punctuality.watch(run.terms)
        self.pipeline.touch()

    def _prepare(self, turn: Turn) -> None:
        """Complete the pending turn with the groups that its events belong to, and the claims of what waits."""
        self.reception.gathering.prepare(turn)
        self.turns.prepare(turn)
        if self.awaited:
            self.awaited.prepare(turn)
        self.claims.choose(turn)
        news = self.admission.closures.news(turn.change.at, turn.change.writes())
        if news is not None:
            turn.change.orders.append(shut(news))
            turn.order_answers.append(lambda _: None)
        self._noting.set(self.admission.closures.due)
        if self.admission.reopens < inf:
            self._reopening.set(self.admission.reopens)

    async def _monotonic(self, due: float) -> None:
        await self.clock.sleep(max(0.0, due - self.clock.monotonic()))

    def _committed(self, turn: Turn, result: Result) -> None:
        """Start what is durable now."""
        if result.duplicates:
            self.counts["duplicates"] += len(result.duplicates)
            self.counts["events"] -= len(result.duplicates)
        if result.void:
            turn.change.runs = [run for run in turn.change.runs if run.event not in result.void]
        if result.stale and (lost := result.stale - self._displaced.expected(result.stale)):
            log.error("refused to settle %s: the journal knows of no such claims", sorted(lost))
        self._journal.open_runs += len(turn.change.runs) - turn.ended
        now, awake = self.clock.now(), self.clock.awake()
        for run in self.claims.granted(turn, result):
            self._start(run, now, awake)
        self.admission.promote(result.promoted)
        if turn.change.promote:
            self.pipeline.ask(next_due, self.alarm.set)

    def _start(self, run: Run, now: float, awake: float) -> None:
        self.running[run.number] = run
        if run.route.takes_context:
            self._keeping.begin(run)
        run.claimed, run.began = run.started, awake
        run.started = now  # the claim is older where the disk has refused it for a while
        self._tell(run, None)
        if run.deadline is not None:
            self._punctuality.begun(run)
        if self.admission.closed:  # claimed in a commit that was under way when the stop began
            self._finished(run, GIVEN_BACK)
        else:
            self._executor.start(run)

    def _correct(self, held: Mapping[int, float], left: float) -> None:
        """Take note of the memory that is in use, and look again at what waits where more is free."""
        if self.admission.holdings.correct(held, left) and self.admission.undecided():
            self.pipeline.touch()

    def _finished(self, run: Run, outcome: Outcome) -> None:
        """Put what came of a run into the pending turn."""
        if self.running.get(run.number) is not run:  # it was dropped; who was redriven has that number again
            self._displaced.ended(run)
            return
        del self.running[run.number]
        self.admission.release(run.number)
        try:
            now = self.clock.now()
            outcome = within_bounds(run, outcome, self.limits.max_events, now)
            self._settle(run, outcome, self._journal.epoch, now)
        except BaseException as error:  # half a settled run must never be committed
            self.pipeline.fail(error)

    def _tell(self, run: Run, outcome: Outcome | None) -> None:
        for listener in self.listeners:
            listener(run, outcome)

    def _settle(self, run: Run, outcome: Outcome, epoch: int, now: float) -> None:
        turn = self.pipeline.turn
        self._tell(run, outcome)
        if run.route.takes_context:
            self._keeping.end(run, outcome)
        if run.usage:
            turn.change.usages.append(UsageRow(run.number, run.attempt, *run.usage))
        if isinstance(outcome, Done):
            self._end_well(turn, run, outcome, now)
        else:
            self._end_otherwise(turn, run, outcome, epoch, now)
        if events := emissions(run, outcome):
            self.counts["emitted"] += len(events)
            source, leading = f"{self.app}/{run.route.name}", self.router.leading
            for event in emitted(run, source, events, self._journal.number_event, now, leading):
                self.reception.add(event, now)
        self.pipeline.touch()

    def _end_well(self, turn: Turn, run: Run, done: Done, now: float) -> None:
        turn.change.done.setdefault(run.attempt, []).append(run.number)
        turn.ended += 1
        self.counts["done"] += 1
        if run.route.policy.in_order is not None:
            self.turns.ended(run)
        self._learn(turn, run, now)
        if done.failed:
            turn.change.attempts.append(in_part(run, done, self._journal.epoch, now))
            for event, new in self.reception.gathering.split(run, done.failed):
                self.reception.take(event, new)

    def _end_otherwise(self, turn: Turn, run: Run, outcome: Again | Dead, epoch: int, now: float) -> None:
        row = settled(run, outcome, epoch, now, self.clock.monotonic())
        turn.change.settles.append(row)
        turn.change.attempts.append(remembered(run, outcome, epoch, now))
        if isinstance(outcome, Dead):
            self.counts["dead"] += 1
            turn.ended += 1
            if run.route.policy.in_order is not None:
                self.turns.ended(run)
        else:
            self.counts[outcome.word] += 1
            self.alarm.set(row.due)
            if row.state == DELAYED:
                self.admission.flows[run.route.name].hold(run.number, run.key)

    def _recall(self, past: Sequence[Ended]) -> None:
        """Reckon in what the shares had before this start."""
        if self._sharing:
            self._sharing.recall(past, self.admission.flows)

    def _learn(self, turn: Turn, run: Run, now: float) -> None:
        """Take note of how long a run took that ended well, but for a machine's sleep and a clock that was set."""
        seconds = self.clock.awake() - run.began
        self.times.learn(run.route.name, run.size, seconds)
        if abs(now - run.claimed - seconds) > CLOSE:
            turn.change.took.append((seconds, run.number))

    def _leave(self, stranded: Sequence[Stranded]) -> None:
        """Say which runs wait for routes that are gone. They do not count: they must not hold the sources up."""
        self.stranded = stranded
        for waiting in stranded:
            log.warning("%s", waiting)
            self._journal.open_runs -= waiting.runs

    def _ring(self) -> None:
        """Have the delayed runs promoted whose time has come."""
        self.pipeline.turn.change.promote = (self.clock.monotonic(), WINDOW)
        self.pipeline.touch()

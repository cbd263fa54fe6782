"""Mistakes that an engine can have, planted into ours; the storm must find each of them.

`python -m tests.faults.mistakes` looks for the seeds that do, which `test_engine.py` pins.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tests.faults import negligence
from tests.faults.storm import Replacements, live, replaced
from triggers import dispatcher as dispatching
from triggers import emission
from triggers.attempt import Dead, Done, Outcome, Run
from triggers.context import Emitted
from triggers.dispatcher import Dispatcher
from triggers.faults import life
from triggers.faults.loop import StuckError
from triggers.gathering import Gathering
from triggers.journal import Change, Result, change, gathered, journal, overlaps, reading
from triggers.pipeline import Pipeline, Turn
from triggers.routing import COROUTINE
from triggers.scheduling import admission
from triggers.scheduling.admission import Admission
from triggers.scheduling.claims import Claims
from triggers.scheduling.displaced import Displaced
from triggers.scheduling.turns import Turns

Journal: Any = journal.Journal


def acknowledge_early() -> Replacements:
    append = Dispatcher.append

    def early(self: Dispatcher, deliveries: Any) -> asyncio.Future[list[int]]:
        append(self, deliveries)
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        future.set_result([])
        return future

    return {(Dispatcher, "append"): early}


def _apart(order: Callable[..., None]) -> Replacements:
    """Have events that a run emits, and its end, in commits of their own."""
    settle = Dispatcher._settle

    def apart(self: Dispatcher, run: Run, outcome: Outcome, epoch: int, now: float) -> None:
        if not isinstance(outcome, Done) or not outcome.emitted:
            settle(self, run, outcome, epoch, now)
            return

        def emit() -> None:
            now, number = self.clock.now(), self._journal.number_event
            source, leading = f"{self.app}/{run.route.name}", self.router.leading
            for event in emission.emitted(run, source, outcome.emitted, number, now, leading):
                self.reception.add(event, now)

        order(self, emit, lambda: settle(self, run, Done([]), epoch, now))

    return {(Dispatcher, "_settle"): apart}


def _then(self: Dispatcher, first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    self.pipeline.ask(lambda connection: None, lambda _: second())


def no_outbox() -> Replacements:
    return _apart(lambda self, emit, settle: _then(self, settle, emit))


def emit_outside_settle() -> Replacements:
    return _apart(lambda self, emit, settle: _then(self, emit, settle))


def no_epoch_check() -> Replacements:
    """A process whose folder another one has taken over goes on writing."""
    return {(Journal, "_check_epoch"): lambda self, change: None}


def no_dedupe() -> Replacements:
    def none(self: Change, connection: Any, result: Result) -> None:
        list(change._many(connection, change._IDENTITY, self.identities))
        list(change._many(connection, change._MEMORY, self.memories))

    return {(Change, "_drop_duplicates"): none}


def attempts_counted_late() -> Replacements:
    return {(admission, "PROCESS"): COROUTINE}  # an attempt that the process died in is not counted


def counters_instead_of_queries() -> Replacements:
    """What runs is known to this process only, so a restart begins with nothing open."""
    ours = overlaps._OPEN.partition("UNION ALL")[0].replace("state < 2", "state = 1")
    return {(overlaps, "_OPEN"): ours + " AND epoch = (SELECT value FROM meta WHERE name = 'epoch')"}


def lost_wake_up() -> Replacements:
    committed = Pipeline._committed

    def asleep(self: Pipeline, turn: Turn, result: Any) -> None:
        vars(self)["touch"] = lambda: None
        committed(self, turn, result)
        del vars(self)["touch"]

    return {(Pipeline, "_committed"): asleep}


def ledger_apart_from_its_event() -> Replacements:
    commit = life.SimulatedJournal.commit

    def twice(self: Any, change: Change, then: Any) -> None:
        if not change.memories:
            commit(self, change, then)
            return
        known = self._apply(Change(change.epoch, memories=change.memories))
        self._faults.boundary("committed")
        change.memories = []
        change.events = [row for row in change.events if row.number not in known.duplicates]
        change.runs = [row for row in change.runs if row.event not in known.duplicates]

        def told(result: Any) -> None:
            result.duplicates |= known.duplicates
            result.void |= known.duplicates
            then(result)

        commit(self, change, told)

    return {(life.SimulatedJournal, "commit"): twice}


def keys_that_differ_between_attempts() -> Replacements:
    return {(Run, "effect_key"): property(lambda run: f"{run.journal}-r{run.number}-{run.attempt}")}


def told_before_it_is_durable() -> Replacements:
    """A commit is told of when it is written, and made to last by the next one."""

    def transact(self: Any, change: Change) -> Result:
        connection = self._connection
        if connection.in_transaction:
            connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        result = change.apply(connection)
        result.replies.extend(question(connection) for question in change.questions)
        return result

    return {(Journal, "_transact"): transact}


def stale_ends_emit() -> Replacements:
    return {(Change, "_emitted_by"): lambda self, runs: set()}


def delayed_forgotten_at_the_start() -> Replacements:
    return {(dispatching, "next_due"): lambda connection: None}


def no_takeover() -> Replacements:
    return {(reading, "_WAITING"): reading._WAITING.replace("epoch < ?", "epoch < ? - 1000000")}


def duplicates_start() -> Replacements:
    granted = Claims.granted

    def all_granted(self: Claims, turn: Turn, result: Result) -> Iterator[Run]:
        return granted(self, turn, replace(result, void=set()))

    return {(Claims, "granted"): all_granted}


def epoch_not_raised() -> Replacements:
    take_over = journal._take_over

    def same(connection: Any, clock: Any) -> tuple[str, int, int]:
        identity, epoch, floor = take_over(connection, clock)
        if epoch > 1:
            connection.execute("UPDATE meta SET value = 1 WHERE name = 'epoch'")
        return identity, 1, floor

    return {(journal, "_take_over"): same}


def death_without_news() -> Replacements:
    emissions = emission.emissions

    def silent(run: Run, outcome: Outcome) -> list[Emitted]:
        return [] if isinstance(outcome, Dead) else emissions(run, outcome)

    return {(dispatching, "emissions"): silent}


def slots_that_are_not_given_back() -> Replacements:
    return {(Displaced, "ended"): lambda self, run: None}


def drops_counted_twice() -> Replacements:
    return {(Displaced, "_overtake"): lambda self, run: None}


def started_before_it_is_claimed() -> Replacements:
    """A handler starts while the commit that claims its run is on its way."""
    commit = Pipeline._commit

    def eager(self: Pipeline, turn: Turn) -> None:
        dispatcher = self._after.__self__  # type: ignore[attr-defined]  # a method of the dispatcher
        starts, turn.starts = turn.starts, []
        for run in starts:
            dispatcher._start(run, dispatcher.clock.now(), dispatcher.clock.awake())
        commit(self, turn)

    return {(Pipeline, "_commit"): eager}


def turns_not_passed_on() -> Replacements:
    """A run that ends lets nobody go on who waited for it."""
    return {(Turns, "ended"): lambda self, run: None}


def groups_forgotten_at_the_start() -> Replacements:
    """What has ended, and was not told when the process died, is not looked for."""
    return {(Gathering, "start"): lambda self: None}


def told_of_twice() -> Replacements:
    """A run is made of what came together, and the rows do not say so."""
    return {(gathered, "_TOLD"): "SELECT :whole, :rows WHERE false"}


def checkpoints_forgotten() -> Replacements:
    """An attempt does not find what an earlier one has left."""
    return {(change, "_LEFT"): change._LEFT + " AND false"}


def starts_counted_in_memory() -> Replacements:
    """How often a throttled route has started is not read when a process begins."""
    recall = Admission.recall
    return {(Admission, "recall"): lambda self, rows: recall(self, [])}


def promoted_to_nobody() -> Replacements:
    """Runs whose moment has come are marked as waiting, and nobody is told."""
    return {(Admission, "promote"): lambda self, rows: None}


MISTAKES = (
    acknowledge_early, no_outbox, no_epoch_check, no_dedupe, attempts_counted_late, counters_instead_of_queries,
    lost_wake_up, ledger_apart_from_its_event, emit_outside_settle, keys_that_differ_between_attempts,
    told_before_it_is_durable, stale_ends_emit, delayed_forgotten_at_the_start, no_takeover, duplicates_start,
    epoch_not_raised, death_without_news, slots_that_are_not_given_back, drops_counted_twice,
    started_before_it_is_claimed, promoted_to_nobody, turns_not_passed_on, groups_forgotten_at_the_start,
    told_of_twice, checkpoints_forgotten, starts_counted_in_memory, *negligence.MISTAKES,
)  # fmt: skip


def found(mistake: Callable[[], Replacements], seed: int) -> str | None:
    """Return what the storm says of a mistake under a seed, or None where it does not notice."""
    with replaced(mistake()):
        try:
            live(seed)
        except (AssertionError, StuckError) as error:  # any other says that the mistake itself is wrong
            return f"{type(error).__name__}: {error}"
    return None


def look(seeds: Sequence[int], names: Sequence[str], enough: int = 3) -> None:
    """Print which seeds find each mistake, and how many of those that were tried."""
    logging.disable(logging.CRITICAL)
    for mistake in [one for one in MISTAKES if one.__name__ in names or not names]:
        by: list[int] = []
        tried, first = 0, ""
        for seed in seeds:
            tried += 1
            if said := found(mistake, seed):
                by.append(seed)
                first = first or said.partition("\n")[0]
            if len(by) == enough:
                break
        print(f'    "{mistake.__name__}": {tuple(by)},  # of {tried}: {first[:140]}', flush=True)


if __name__ == "__main__":
    look(range(int(sys.argv[1]) if len(sys.argv) > 1 else 300), sys.argv[2:])

"""One scenario of the engine under faults, and everything that must hold in it.

What rows and effects must be is reckoned from what was sent, not asked of the engine. `python -m tests.faults.storm 17`
lives seed 17 again, and tells the fewest faults with which it fails.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apsw import Connection

from tests.faults import world as outside
from tests.faults.pipeline import KINDS, Start, app, wired
from tests.faults.promises import watch
from tests.faults.verdict import APART, MINUTES, OPEN, clock_set, judged
from tests.faults.world import Desk, letter, world
from triggers import App
from triggers import engine as engine_module
from triggers.attempt import Done
from triggers.faults import life as life_module
from triggers.faults import trial as trial_module
from triggers.faults.life import CLOSED, Life, SimulatedEngine, SimulatedJournal, measured
from triggers.faults.loop import Crash
from triggers.faults.search import reduce
from triggers.faults.seeds import Fault, Faults, begin, end
from triggers.faults.trial import Trial
from triggers.intake import OPERATORS
from triggers.journal import DONE, RUNNING, Change, Result
from triggers.journal.soundness import unsound
from triggers.pipeline import Turn
from triggers.policy.shares import NOTHING
from triggers.requests import PauseRoutes, ResumeRoutes
from triggers.state import StateFolder

EPOCH = "SELECT value FROM meta WHERE name = 'epoch'"

Replacements = Mapping[tuple[Any, str], Any]

_sources = SimulatedEngine._sources

app.limits = measured(app.limits)

LASTING = {"limited", "timed", "beat"}
"""Kinds for which it matters that time passes between letters."""

CROWD = 3
"""How many more letters there are where all compete for shares: weights tell only where there is much to choose."""

DESK: Replacements = {
    (SimulatedEngine, "_sources"): lambda self: [*_sources(self), Desk()],
    (StateFolder, "asked"): lambda self: bool(world.wishes),
}
"""What lets operators be heard, as they are by the inbox of requests."""


@contextmanager
def replaced(table: Replacements) -> Iterator[None]:
    """Put something else in the place of attributes."""
    before = {(owner, name): vars(owner)[name] for owner, name in table}
    try:
        for (owner, name), thing in table.items():
            setattr(owner, name, thing)
        yield
    finally:
        for (owner, name), thing in before.items():
            setattr(owner, name, thing)


class WatchedJournal(SimulatedJournal):
    """A journal that looks whether what is settled was claimed as it says, and by its present owner.

    It looks, too, whether what is claimed may start. If it is `deep`, it looks at all rows after each commit.
    """

    deep = False

    def _apply(self, change: Change) -> Result | BaseException:
        if self._connection is CLOSED:  # a process that was frozen goes on, to be told so
            return super()._apply(change)
        ends = {run: (attempt, change.epoch, DONE) for attempt, runs in change.done.items() for run in runs}
        ends.update({row.run: (row.attempt, row.epoch, row.state) for row in change.settles})
        before = {run: self._row(run) for run in ends}
        looks = watch(self._connection, change, self._faults.taken)
        result = super()._apply(change)
        world.wrong.extend(words for look in looks for words in look(self._connection))
        owner = self._connection.execute(EPOCH).get if ends else None
        for run, (attempt, epoch, state) in ends.items():
            stale = before[run] != (RUNNING, attempt, epoch) or epoch != owner
            if stale and before[run] and before[run][0] != state and self._row(run)[0] == state:
                claim = f"its row said {before[run]}, and epoch {owner} owned it"
                world.wrong.append(f"r{run} was settled as {(attempt, epoch)} although {claim}")
        if self.deep and change.writes() and not isinstance(result, BaseException):
            world.wrong.extend(map(str, unsound(self._connection)))
        return result

    def writing(self) -> bool:
        """Say whether a transaction is under way, which would keep the next owner out."""
        return bool(self._connection.in_transaction)

    def _row(self, run: int) -> Any:
        return self._connection.execute("SELECT state, attempt, epoch FROM run WHERE number = ?", (run,)).get


class FrozenLife(Life):
    """A process that may only seem dead: frozen, it loses its lock and goes on later, beside the next owner."""

    freezes = False

    def die(self) -> None:
        engine, journal = self.engine, vars(self.engine).get("journal")
        if not (self.freezes and hasattr(engine, "dispatcher")) or journal is None or journal.writing():
            super().die()
            return
        self.loop.dead = True
        self.clock.forget()
        self._state.release()
        world.trial.frozen.append((engine, journal))


class Storm(Trial):
    """The trial of the app, with an eye on it."""

    def __init__(self, app: App, folder: Path, faults: Faults) -> None:
        self.frozen: list[tuple[Any, Any]] = []
        world.trial = self
        super().__init__(app, folder, faults)

    def look_again(self) -> None:
        """Have the mail looked at."""
        self._alive().engine.intake.poke("mail")

    def ask(self, request: PauseRoutes | ResumeRoutes) -> None:
        """Have an operator ask for something, whether or not a process is there to hear it."""
        world.ask(request)
        if self._lives and not self._lives[-1].loop.dead:
            self._lives[-1].engine.intake.poke(OPERATORS)

    def resume(self) -> None:
        """Have all go on that was paused."""
        if world.halts:
            self.ask(ResumeRoutes(routes=[]))
            self.ask(ResumeRoutes(routes=list(self.app.routes)))
            self.settle()

    def finish(self) -> None:
        """Let time pass until nothing is to be tried again, and nothing to come together."""
        for _ in range(100):
            if not self._open():
                return
            self.advance(seconds=2)

    def verdict(self, judge: Callable[[Connection], list[str]]) -> list[str]:
        """Return what is wrong now that all is done. The commit that is asked by takes its time, in which more may come
        up; so what is wrong is judged anew when that is done, and is wrong if it stays so."""
        for _ in range(5):
            self.finish()
            wrong = [*self._ask(judge), *inside(self)]
            if not wrong:
                break
        return [*world.wrong, *wrong]

    def _open(self) -> list[Any]:
        """Return what is left to do, but for groups that end in an hour, or a day: by a clock that was wrong."""
        sql = OPEN if clock_set(self._faults) else f"{OPEN} UNION ALL {APART}"
        return self._ask(lambda connection: list(connection.execute(f"{sql} LIMIT 1")))

    def stop(self) -> None:
        """Stop the app as a signal does; whatever looks at it next starts it again."""
        life = self._alive()
        with suppress(Crash):
            life.run(lambda: life.engine.__aexit__(None, None, None))
            life.loop.dead = True
            self.clock.forget()
        world.given_back.add(len(world.acts))

    def _alive(self) -> Life:
        if not self._lives or self._lives[-1].loop.dead:
            world.born()
            alive = super()._alive()
            for engine, journal in self.frozen:
                self._thaw(alive, engine, journal)
            self.frozen.clear()
            return alive
        return self._lives[-1]

    def _thaw(self, alive: Life, engine: Any, journal: Any) -> None:
        """Let a frozen process settle what it had at work, before others have claimed that and after, and then die."""
        dispatcher, pipeline = engine.dispatcher, engine.dispatcher.pipeline
        dispatcher.admission.closed = True
        pipeline.turn, pipeline._committing, pipeline._scheduled = Turn(Change(journal.epoch)), None, False

        async def goes_on() -> None:
            at_work = list(dispatcher.running.values())
            for runs in (at_work[::2], at_work[1::2]):
                for run in runs:
                    dispatcher._finished(run, Done([]))
                await alive.loop.idle()
            journal.close()

        alive.loop.create_task(goes_on())

    def close(self) -> None:
        for _, journal in self.frozen:
            journal.close()
        super().close()


def live(seed: int, faults: Faults | None = None) -> Faults:
    """Live one scenario, with other faults than its own if they are given.

    Raises `AssertionError` with what was wrong in it.
    """
    faults = faults or Faults(seed)
    chance = random.Random(f"storm {seed}")
    vars(outside)["world"].__init__()
    kinds = KINDS if chance.random() < 0.5 else (chance.choice(KINDS),)
    letters = chance.randint(3, 6) + (CROWD if kinds == ("shared",) else 0)
    sent = {n: chance.choice(kinds) for n in range(1, letters)}
    world.fair, world.halts = "shared" in sent.values(), chance.random() < 0.25
    table: dict[tuple[Any, str], Any] = {
        (engine_module, "refuse"): lambda app, state: None,  # the app is wired the same in all lives
        (life_module, "SimulatedJournal"): WatchedJournal,
        (trial_module, "Life"): FrozenLife,
        (FrozenLife, "freezes"): chance.random() < 0.5,
        (WatchedJournal, "deep"): seed % 10 == 0,
        **(DESK if world.halts else {}),
    }
    begin(faults)
    try:
        with TemporaryDirectory(prefix="storm-", dir=_fast()) as folder, replaced(table):
            storm = Storm(wired(frozenset(sent.values())), Path(folder), faults)
            try:
                scenario(storm, chance, sent)
                storm.advance(minutes=MINUTES)
                storm.resume()
                wrong = storm.verdict(lambda connection: judged(connection, sent, faults))
                storm.check()
            finally:
                storm.close()
    finally:
        end(faults)
    assert not wrong, f"seed {seed}: {'; '.join(wrong[:5])}\n" + "\n".join(faults.story)
    return faults


def _fast() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def scenario(storm: Storm, chance: random.Random, sent: Mapping[int, str]) -> None:
    """Send letters, some of them twice, in one or two bursts, while operators pause and resume what they like."""
    first = chance.randint(1, len(sent))
    for burst in (list(sent)[:first], list(sent)[first:]):
        now = storm.clock.monotonic()
        for n in burst:
            for _ in range(chance.choice((1, 1, 2))):
                late = chance.choice((0.0, 0.0, 0.4, 2.0))
                world.letters.append(letter(Start(n=n, kind=sent[n]), n, storm.clock.now(), now + late))
        chance.shuffle(world.letters)
        if world.halts:
            pausing(storm, chance)
        storm.look_again()
        if chance.random() < 0.2:
            storm.stop()
        storm.settle()
        if LASTING & set(sent.values()) and chance.random() < 0.5:
            storm.advance(seconds=30)


def pausing(storm: Storm, chance: random.Random) -> None:
    """Have operators pause or resume the app, or some of its routes, once or twice: before letters come or after."""
    for _ in range(chance.randint(1, 2)):
        routes = chance.choice(([], chance.sample(sorted(storm.app.routes), chance.randint(1, 3))))
        pauses = chance.random() < 0.7
        storm.ask(PauseRoutes(routes=routes, by="operator") if pauses else ResumeRoutes(routes=routes))


def inside(storm: Storm) -> Iterator[str]:
    """Yield what the dispatcher believes wrongly, now that nothing is left to do."""
    dispatcher = storm._engine.dispatcher
    held = dispatcher.admission.holdings
    if held.free != held.capacity:
        taken = {name: most - held.free[name] for name, most in held.capacity.items()}
        yield f"nothing runs, and yet is taken: { ({name: some for name, some in taken.items() if some}) }"
    if storm._engine.journal.open_runs:
        yield f"nothing is open, and {storm._engine.journal.open_runs} runs are believed to be"
    if sharing := dispatcher.admission.sharing:
        for share, standing in sharing.shares._standings.items():
            if abs(standing.part) > NOTHING:
                yield f"nothing runs, and yet share {share!r} holds {standing.part:.4f} of the machine"
    if dispatcher.running:
        yield f"{len(dispatcher.running)} runs are believed to be at work"


def storms(first: int, count: int) -> list[str]:
    """Live many scenarios, and return what was wrong in those that failed."""
    logging.disable(logging.CRITICAL)
    failed = []
    for seed in range(first, first + count):
        try:
            live(seed)
        except Exception as error:
            failed.append(f"seed {seed} (python -m tests.faults.storm {seed}): {type(error).__name__}: {error}")
    return failed


def explain(seed: int) -> Iterator[str]:
    """Yield the fewest faults with which a seed fails, and how it does."""
    last, kept = "", drawn(seed)

    def fails(some: Sequence[Fault]) -> bool:
        nonlocal kept, last
        try:
            live(seed, Faults(given=some))
        except Exception as error:
            kept, last = list(some), f"{type(error).__name__}: {error}"
            return True
        return False

    if fails(kept):
        reduce(kept, fails, lambda: False)
        yield from (fault.words for fault in kept)
    yield last or f"seed {seed} is well"


def drawn(seed: int) -> list[Fault]:
    """Return the faults that happen under a seed."""
    faults = Faults(seed)
    with suppress(Exception):
        live(seed, faults)
    return faults.taken


if __name__ == "__main__":
    print(*explain(int(sys.argv[1])), sep="\n")

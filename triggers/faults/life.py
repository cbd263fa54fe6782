"""One life of a simulated process: the engine as it is, over a journal and an executor that come by the points."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

import apsw

from triggers.app import App
from triggers.attempt import GIVEN_BACK, Done, Finished, Outcome, Run, call_coroutine, call_plain, cancelled, judge
from triggers.clock import Clock
from triggers.engine import Engine
from triggers.executor import Executor
from triggers.executor.deadline import Deadline
from triggers.faults.disk import Disk
from triggers.faults.loop import Crash, VirtualLoop
from triggers.faults.seeds import Fault, Faults
from triggers.harness import FakeClock
from triggers.journal import RUNNING, Change, Journal, Result
from triggers.kernel import machine_resources
from triggers.limits import Limits
from triggers.routing import PROCESS, Route
from triggers.sources import Source
from triggers.sources.inbox import Inbox
from triggers.state import StateFolder

T = TypeVar("T")

Then = Callable[[Result | BaseException], None]

CLOSED = apsw.Connection(":memory:")
"""What a process that has ended has in the place of its connection."""
CLOSED.close()

_AT_WORK = f"SELECT route, attempt FROM run WHERE state = {RUNNING}"  # noqa: S608  # our own constant


class Life:
    """An engine at work on a loop of its own, until it stops or dies. The state and the clock outlive it."""

    def __init__(self, app: App, state: StateFolder, clock: FakeClock, faults: Faults, disk: Disk) -> None:
        self.clock = clock
        self.faults = faults
        self.loop = VirtualLoop(clock, self._arrange)
        self.engine = SimulatedEngine(app, state, clock, faults, disk)
        self._app, self._state = app, state
        self._set = 0.0
        self._left: list[object] = []
        """What would have cleaned up behind resources; it must not be let go of, or it would."""
        faults.died, faults.may_die = self.die, self._may_die

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry work out; raises `Crash` if the process dies meanwhile. The wall clock is right again afterwards."""
        try:
            return self.loop.run(work())
        finally:
            self.reset()

    def die(self) -> None:
        """End as a killed process does: nothing that runs is settled, and the kernel lets the lock go."""
        self.loop.dead = True
        self.clock.forget()
        if journal := getattr(self.engine, "journal", None):
            journal.close()
        self._state.release()
        self._left = [one.forget() for one in self._app.made_once]

    def _may_die(self) -> bool:
        """Say whether no run at work is in its last attempt: that it would be dead then is no fault of the app."""
        if self.loop.dead:
            return False
        routes = self._app.routes
        journal: SimulatedJournal | None = getattr(self.engine, "journal", None)
        return journal is None or all(_has_left(routes.get(name), attempt) for name, attempt in journal.at_work())

    def _arrange(self, ready: list[asyncio.Handle]) -> None:
        fault = self.faults.arrange(ready)
        if fault and fault.kind == "crash":
            self.faults.die(fault)
        if fault and fault.kind == "clock":
            self.set_clock(fault.amount)

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock, or set it right where it is wrong already."""
        if not self.reset():
            self._set = seconds
            self.clock.move_wall(seconds)

    def reset(self) -> bool:
        """Set the wall clock right, and say whether it was wrong."""
        wrong, self._set = self._set, 0.0
        if wrong:
            self.clock.move_wall(-wrong)
        return bool(wrong)


class SimulatedEngine(Engine):
    """The engine but for what could make two runs of a scenario differ: threads, processes, and this very machine."""

    def __init__(self, app: App, state: StateFolder, clock: FakeClock, faults: Faults, disk: Disk) -> None:
        super().__init__(app, state, clock=clock, durable=False, threaded=False, watches=False)
        self._faults, self._disk = faults, disk
        self._executor = partial(SimulatedExecutor, faults=faults)

    def _open(self) -> Journal:
        return SimulatedJournal(self.state, self._clock, self.app.name, self._faults, self._disk)

    def _sources(self) -> list[Source]:
        """Leave out what other processes hand in: there are none."""
        return [source for source in super()._sources() if not isinstance(source, Inbox)]


class SimulatedJournal(Journal):
    """A journal before and after whose commits the process may die, and whose disk may be slow."""

    def __init__(self, state: StateFolder, clock: Clock, app: str, faults: Faults, disk: Disk) -> None:
        self._disk = disk
        self._faults = faults
        super().__init__(state, clock, app=app, durable=False, threaded=False)

    def commit(self, change: Change, then: Then) -> None:
        """Commit the change, unless the process dies; tell of it at once or later."""
        loop = asyncio.get_running_loop()
        if not change.writes():
            loop.call_soon(then, self._apply(change))
            return
        self._faults.boundary("commit")
        result = self._apply(change)
        slow = self._faults.boundary("committed")
        if slow:
            loop.call_later(slow.amount, then, result)
        else:
            loop.call_soon(then, result)

    def close(self) -> None:
        """Leave the disk to the next process. What is left of this one finds it closed."""
        connection, self._connection = self._connection, CLOSED
        if connection is not CLOSED:
            self._disk.leave(connection)

    def _open(self, state: StateFolder, *, durable: bool) -> apsw.Connection:
        return self._disk.open()

    def at_work(self) -> list[tuple[str, int]]:
        """Return the routes and attempts of the runs that are claimed."""
        try:
            return [(str(route), int(attempt)) for route, attempt in self._connection.execute(_AT_WORK)]
        except apsw.ConnectionClosedError:
            return []


class SimulatedExecutor(Executor):
    """Carries every run out on the loop: at once, or slowly, or it fails."""

    def __init__(self, finished: Finished, *, clock: Clock, faults: Faults, **_: object) -> None:
        self._finished = finished
        self._clock = clock
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self, run: Run) -> None:
        """Run the handler as soon as the loop gets to it."""
        task = asyncio.get_running_loop().create_task(self._work(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Give back what still runs."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Have nothing to let go of."""

    async def _work(self, run: Run) -> None:
        fault = self._faults.at("attempt")
        story, name = self._faults.story, f"{run.route.name} r{run.number}"
        story.append(f"{name} begins attempt {run.attempt}, with e{run.event.number}")
        try:
            outcome = await self._attempt(run, fault)
        except asyncio.CancelledError:
            outcome = GIVEN_BACK if self._stopping else cancelled(run)
        story.append(f"{name} {_ending(outcome)}")
        self._finished(run, outcome)

    async def _attempt(self, run: Run, fault: Fault | None) -> Outcome:
        kind = fault.kind if fault and run.attempt < run.route.policy.retry.attempts else ""
        slow = fault.amount / 2 if fault and kind == "slow" else 0.0
        try:
            with Deadline(run, run.route.policy.timeout, lambda _: None) if run.route.ends else nullcontext():
                await self._pause(slow)
                _fail(run, kind == "fail")
                self._faults.boundary("begin")
                done = await _called(run)
                self._faults.boundary("end")
                await self._pause(slow)
                _fail(run, kind == "cheat")
                return done
        except (asyncio.CancelledError, Crash):
            raise
        except BaseException as error:  # SystemExit would otherwise end the test
            return judge(run, error)

    async def _pause(self, seconds: float) -> None:
        if seconds:
            await self._clock.sleep(seconds)


async def _called(run: Run) -> Done:
    return await call_coroutine(run) if run.route.coroutine else call_plain(run)


def _fail(run: Run, fails: bool) -> None:
    """Raise an error that the route says another attempt may cure."""
    on = run.route.policy.retry.on
    if fails and run.route.policy.retry.within is None:
        kind = on[0] if isinstance(on, tuple) else on
        raise OSError("simulated: what the handler calls is away") if issubclass(OSError, kind) else kind()


def _has_left(route: Route | None, attempt: int) -> bool:
    """Say whether a run may do with another attempt, if this one comes to nothing."""
    if route is None:
        return True
    return route.kind == PROCESS or attempt < route.policy.retry.attempts


def _ending(outcome: Outcome) -> str:
    if isinstance(outcome, Done):
        return "is done" + "".join(f", emits {one.type}" for one in outcome.emitted)
    return f"comes to {type(outcome).__name__}: {outcome.failure}"


def measured(limits: Limits) -> Limits:
    """Return the same limits on a machine that was looked at once: all its lives find the same, and no pressure."""
    return limits if limits.machine else limits._replace(machine=machine_resources(), pressure=None)

"""Handlers in processes of their own: warm, killed by a time-out, and dead with their parent.

A process that dies, by memory or by a signal, ends one attempt; the next run gets a new one.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from triggers.attempt import GIVEN_BACK, Again, Done, Finished, Outcome, Run, describe, judge, timed_out
from triggers.cgroup import ControlGroups
from triggers.checkpoints import Keeper
from triggers.context import Emitted
from triggers.errors import HandlerError, Later
from triggers.executor import shortage
from triggers.executor.groups import Groups
from triggers.executor.meter import Measured, Meter, Reading, unmeasured
from triggers.executor.process import Worker

STARTING = 120.0
"""Seconds in which a process must have started and imported its handler; `timeout=` begins after that."""

KEPT = 0.9
"""What part of a run's memory the process may hold that is to run it, where it has run the route before; if it holds
more, a new one takes its place."""

KEPT_OF_OTHERS = 0.5
"""The same where it has run other routes only."""

FAILED_STARTS = 5
"""How often in a row a run may find that no process can be started, before that costs it an attempt."""


class Isolated:
    """A pool of warm processes, started as they are needed."""

    def __init__(self, finished: Finished, measured: Measured = unmeasured) -> None:
        self._finished = finished
        self._meter = Meter(measured)
        self._groups = Groups()
        self._control_groups = ControlGroups()
        self._idle: list[Worker] = []
        self._ending: list[Worker] = []
        """Killed ones that may not have ended yet."""
        self._failed_starts: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, run: Run) -> None:
        """Run the handler in a warm process, or in a new one if none is idle."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._work(run))
        run.end = lambda: loop.call_soon(task.cancel)  # not before its first step, or it would never settle the run
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Kill what still runs; each run is given back, no attempt used."""
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """End the idle processes."""
        for worker in self._idle:
            worker.kill()
        for worker in self._idle + self._ending:
            worker.wait()
        self._idle, self._ending = [], []
        self._groups.close()
        self._control_groups.sweep()
        self._meter.close()

    async def _take(self, run: Run) -> Worker:
        """Return an idle process that has not died meanwhile and leaves the run its memory, or a new one.

        One that has run the route before comes first: what it keeps may be of use.
        """
        while self._idle:
            worker = next((one for one in reversed(self._idle) if one.route == run.route.name), self._idle[-1])
            self._idle.remove(worker)
            if worker.alive() and _leaves_room(worker, run):
                return worker
            await self._end(worker)
        return await Worker.spawn(self._groups, self._control_groups)

    async def _end(self, worker: Worker) -> None:
        """Kill a process, and go on when what it held is free again."""
        worker.kill()
        self._ending.append(worker)
        await worker.ended()
        self._ending = [worker for worker in self._ending if not worker.gone()]

    async def _work(self, run: Run) -> None:
        try:
            outcome = await self._attempt(run)
        except asyncio.CancelledError:
            outcome = GIVEN_BACK
        self._finished(run, outcome)

    async def _attempt(self, run: Run) -> Outcome:
        try:
            worker = await self._take(run)
        except OSError as error:
            return self._not_started(run, error)
        self._failed_starts.pop(run.number, None)
        worker.run = run
        run.keeper = Keeper(partial(run.told, run))
        reading = self._meter.begin(run.number, Reading(worker.number, run.memory, worker.kill, worker.control))
        try:
            outcome = _outcome(run, await _reply(run, worker))
        except asyncio.CancelledError:
            await self._end(worker)
            raise
        except Exception as error:  # whatever went wrong with the process or its answer ends the attempt
            cause = shortage.cause(run, worker.fate, reading, error)  # before what tells it is gone, too
            await self._end(worker)
            return judge(run, cause)
        finally:
            run.usage = self._meter.end(run.number)
        worker.route, worker.run = run.route.name, None
        self._idle.append(worker)
        return outcome

    def _not_started(self, run: Run, error: OSError) -> Outcome:
        """Put a run back whose handler could not be called: that is the machine's failure, as long as it may pass."""
        lost = HandlerError(
            f"no process could be started for handler {run.route.name!r}, so it was not called: {error};"
            " see what this machine is short of (ulimit -u, ulimit -n, memory), or lower App(processes=)",
            lost=True,
        )
        failed = self._failed_starts.pop(run.number, 0) + 1
        if failed > FAILED_STARTS:
            return judge(run, lost)
        self._failed_starts[run.number] = failed
        return Again(2.0**failed, "lost", counted=False, failure=describe(lost))


def _leaves_room(worker: Worker, run: Run) -> bool:
    """Say whether what a process holds already leaves the run its memory."""
    if run.memory is None or (held := worker.held()) is None:
        return True
    return held < (KEPT if worker.route == run.route.name else KEPT_OF_OTHERS) * run.memory


async def _reply(run: Run, worker: Worker) -> dict[str, Any]:
    """Have a worker do the run, and return its answer; raises `HandlerError` where there is none in time."""
    try:
        async with asyncio.timeout(STARTING):
            reply = await worker.ask(_job(run))
    except TimeoutError:
        raise _never_ready(run.route.name) from None
    if "ready" not in reply:
        return reply
    try:
        async with asyncio.timeout(run.route.policy.timeout):
            return await worker.answer(run.route.name)
    except TimeoutError:
        raise timed_out(run.route) from None


def _never_ready(route: str) -> HandlerError:
    return HandlerError(f"the process of handler {route!r} had not imported it after {STARTING:g} s", lost=True)


def _job(run: Run) -> dict[str, Any]:
    route = run.route
    return {
        "name": route.name,
        "handler": route.target,
        "trigger": f"{route.trigger.__module__}:{route.trigger.__qualname__}",
        "emits": sorted(route.emits),
        "takes_context": route.takes_context,
        "coroutine": route.coroutine,
        "timeout": route.policy.timeout,
        "max_depth": route.policy.max_depth,
        "reads": sorted(route.policy.reads),
        "writes": sorted(route.policy.writes),
        "places": {name: str(place) for name, place in run.places.items()},
        "run": [run.number, run.attempt, run.started, run.journal],
        "restored": run.restored,
        "event": list(run.event),
        "takes": [f"{kind.__module__}:{kind.__qualname__}" for kind in route.takes],
        "shape": route.shape,
        "members": [list(member) for member in run.members],
    }


def _outcome(run: Run, reply: dict[str, Any]) -> Outcome:
    match reply:
        case {"emitted": emitted, "failed": failed}:
            return Done([Emitted(*item) for item in emitted], [(place, why) for place, why in failed])
        case {"later": seconds, "reason": reason}:
            return judge(run, Later(reason, seconds=seconds))
        case _:
            kinds, original = reply["kinds"], reply["original"]
            return judge(run, HandlerError(original[1], kinds=tuple(kinds), original=tuple(original)))

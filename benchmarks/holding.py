"""What runs hold: memory that real processes have against what there is; what is leaked when the owner is killed."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, Trials
from triggers import App, Event, Retry, kernel
from triggers.engine import Engine
from triggers.events import encode
from triggers.journal.views import runs
from triggers.scheduling.holdings import UNIT as UNITS
from triggers.sources import Delivery
from triggers.state import StateFolder

Result = dict[str, Any]
MIB = 2**20
UNIT = 100 * MIB
"""What a unit of memory stands for here: four of them are what there is."""


class Task(Event):
    """A task that has so many MiB in memory for so many seconds."""

    mib: int
    seconds: float


tasks = App("tasks", processes=8, resources={"memory": 4.0 * UNIT})
holders = App("holders", resources={"gpu": 4}, retry=Retry(attempts=100_000))


@tasks.on(Task, isolate=True, needs={"memory": 3.0 * UNIT})
def task(event: Task) -> None:
    held = bytearray(b"x") * (event.mib * MIB)
    time.sleep(event.seconds)
    del held


@holders.on(Task, concurrency=3, needs={"gpu": 1, "memory": "1MiB"})
async def hold(event: Task) -> None:
    await asyncio.Event().wait()


def memory(folder: Path, number: int) -> Result:
    """Carry out tasks of three units on four, in eight processes, and look at what all of them have together."""
    most = 0.0
    over = threading.Event()

    def looking() -> None:
        nonlocal most
        while not over.wait(0.02):
            seen = (kernel.memory_of(one) for one in kernel.tree(os.getpid())[1:])
            most = max(most, sum(memory.held for memory in seen if memory))

    async def work() -> list[str]:
        async with Engine(tasks, StateFolder(folder / "state")) as engine:
            await engine.dispatcher.append([_delivery(n, Task(mib=270, seconds=0.2)) for n in range(number)])
            await engine.drained()
            return [run.state for run in await engine.dispatcher.pipeline.asked(runs)]

    kills = kernel.oom_kills()
    thread = threading.Thread(target=looking)
    thread.start()
    try:
        states = asyncio.run(work())
    finally:
        over.set()
        thread.join()
    return {"failed": number - states.count("done"), "killed": kernel.oom_kills() - kills, "most": most / UNIT}


def leaks(folder: Path, kills: int, seed: int = 1) -> Result:
    """Kill the owner of a state folder again and again while runs are at work; count what a start does not find free.

    The starts that a start may make (three of a route, four GPUs) must all be made, and no more.
    """
    drawn, leaked = random.Random(seed), 0
    for _ in range(kills):
        command = [sys.executable, "-m", "benchmarks.holding", str(folder / "state")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout
            leaked += int(process.stdout.readline())
            time.sleep(drawn.uniform(0, 0.05))
            process.kill()
    return {"kills": kills, "leaked": leaked}


async def _hold(state: Path) -> None:
    """Hold what there is, say how much is missing, and go on until killed."""
    async with Engine(holders, StateFolder(state)) as engine:
        dispatcher = engine.dispatcher
        await dispatcher.append([_delivery(n, Task(mib=0, seconds=0)) for n in range(8)])
        async with asyncio.timeout(30):
            while len(dispatcher.running) < 3 or dispatcher.pipeline.busy:
                await dispatcher.pipeline.changed()
        holdings, at_work = dispatcher.admission.holdings, len(dispatcher.running)
        gone = holdings.capacity["gpu"] - holdings.free["gpu"] - at_work * UNITS
        print(abs(gone) + abs(at_work - 3), flush=True)
        await asyncio.Event().wait()


def _delivery(number: int, event: Event) -> Delivery:
    return Delivery("bench", str(number), "Task", encode(event), 0.0)


def rows(trials: Trials) -> list[Row]:
    """Return what was out of memory, and what was leaked."""
    few = trials.setup.few
    had = trials.run("holding.memory", number=few(8, 4))
    left = trials.run("holding.leaks", kills=few(200, 5))
    note = f"{had['most']:.2f} units at most together; {had['killed']} killed by the kernel"
    return [
        Row("8 tasks of 3 units on 4: out of memory", "", "less", 0, [had["failed"]], note=note),
        Row("leaked slots", "", "less", 0, [left["leaked"]], note=f"after {left['kills']} kill -9"),
    ]


if __name__ == "__main__":
    from benchmarks import holding  # a handler must be found by its module's name

    asyncio.run(holding._hold(Path(sys.argv[1])))

"""Works off what waits, and tells how much memory that took at most: `python -m tests.torture.backlog HOME`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TextIO

from triggers import App, Context, Event, Folder, ObjectCreated
from triggers.engine import Engine
from triggers.state import StateFolder


class Job(Event):
    n: int


class Made(Event):
    n: int


def app_of(home: Path, log: TextIO) -> App:
    app = App("backlog", sources=[Folder(home / "in", name="in")])

    @app.on(ObjectCreated)
    async def found(event: ObjectCreated, ctx: Context) -> None:
        log.write(f"{ctx.effect_key} found {event.key}\n")

    @app.on(Job)
    async def make(event: Job, ctx: Context) -> Made:
        log.write(f"{ctx.effect_key} make {event.n}\n")
        return Made(n=event.n)

    @app.on(Made)
    async def use(event: Made, ctx: Context) -> None:
        log.write(f"{ctx.effect_key} use {event.n}\n")

    return app


def peak() -> float:
    """Return how much memory this process has had at most, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


async def main(home: Path) -> None:
    with (home / "log").open("w") as log:
        async with Engine(app_of(home, log), StateFolder(home / "state")) as engine:
            await engine.drained()
    print(peak())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

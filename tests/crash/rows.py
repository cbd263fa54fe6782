"""An app that goes through many rows, with a checkpoint for each: `python -m tests.crash.rows`, in `CRASH_HOME`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from triggers import App, Context, Event
from triggers.engine import Engine
from triggers.events import encode
from triggers.requests import accept
from triggers.sources import Delivery
from triggers.state import StateFolder

HOME = Path(os.environ.get("CRASH_HOME", "."))
ROWS = 3000

app = App("rows")


class Table(Event):
    isolated: bool


def work(event: Table, ctx: Context) -> None:
    """Go through the rows, and write down each before its checkpoint."""
    with (HOME / "log").open("a", buffering=1) as log:
        for row in range(ctx.restored or 0, ROWS):
            print(row, file=log)
            time.sleep(0.0 if ctx.restored else 0.001)  # the first life has to be killed in time
            ctx.checkpoint(row + 1, done=row + 1, total=ROWS)


@app.on(Table, where={"isolated": [True]}, isolate=True)
def isolated(event: Table, ctx: Context) -> None:
    work(event, ctx)


@app.on(Table, where={"isolated": [False]})
def in_a_thread(event: Table, ctx: Context) -> None:
    work(event, ctx)


async def main() -> None:
    event = Table(isolated=os.environ["ISOLATED"] == "1")
    async with Engine(app, StateFolder(HOME / "state")) as engine:
        await accept(engine.dispatcher, [Delivery("s", "1", "Table", encode(event), 0.0)])
        await engine.drained()


if __name__ == "__main__":
    from tests.crash import rows  # a handler must be found by its module's name

    asyncio.run(rows.main())

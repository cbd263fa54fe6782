"""Runs one isolated handler that never ends: `hanging.py STATE PIDS`."""

from __future__ import annotations

import asyncio
import sys

from tests.jobs import Job, hangs
from tests.kit import delivery
from triggers import App
from triggers.engine import Engine
from triggers.state import StateFolder

app = App("hanging")
app.on(Job, isolate=True)(hangs)


async def main() -> None:
    async with Engine(app, StateFolder(sys.argv[1])) as engine:
        await engine.dispatcher.append([delivery(Job(text=sys.argv[2]))])
        await engine.forever()


if __name__ == "__main__":
    asyncio.run(main())

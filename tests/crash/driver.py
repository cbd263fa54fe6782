"""Runs the pipeline until it is drained. With WHEN WHAT K it dies at that point, see `deadly`."""

from __future__ import annotations

import asyncio
import sys

from tests.crash.deadly import arm
from tests.crash.pipeline import HOME, app
from triggers.engine import Engine
from triggers.state import StateFolder


async def main() -> None:
    async with Engine(app, StateFolder(HOME / "state")) as engine:
        print("started", flush=True)
        await engine.drained()
    print("drained", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        arm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    asyncio.run(main())

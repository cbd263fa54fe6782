"""Runs the pipeline until it is drained. `driver.py POINT K` kills itself at the k-th passage of a point:

`before` or `after` a COMMIT, or at a `statement` inside a transaction. `driver.py none 0` just runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from tests.crash.pipeline import HOME, app
from triggers import engine as engine_module
from triggers.engine import Engine
from triggers.journal import Journal
from triggers.state import StateFolder


class Deadly:
    """A connection that kills the process at the k-th passage of a point."""

    def __init__(self, connection: Any, point: str, at: int) -> None:
        self._connection, self._point, self._left = connection, point, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        commit = sql == "COMMIT"
        if (self._point == "before" and commit) or (self._point == "statement" and not commit):
            self._pass()
        found = self._connection.execute(sql, *values)
        if self._point == "after" and commit:
            self._pass()
        return found

    def _pass(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyJournal(Journal):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connection: Any = Deadly(self._connection, sys.argv[1], int(sys.argv[2]))


async def main() -> None:
    async with Engine(app, StateFolder(HOME / "state")) as engine:
        print("started", flush=True)
        await engine.drained()
    print("drained", flush=True)


if __name__ == "__main__":
    if sys.argv[1] != "none":
        engine_module.Journal = DeadlyJournal  # type: ignore[misc]
    asyncio.run(main())

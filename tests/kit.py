"""An app at work in a test's hands: it can be stopped, killed and started again, on a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from triggers import App, Event
from triggers.engine import Engine
from triggers.events import encode
from triggers.journal.views import AttemptView, RunView, attempts, runs
from triggers.requests import accept
from triggers.sources import Delivery
from triggers.state import StateFolder
from triggers.testing import FakeClock

T = TypeVar("T")
PATIENCE = 30.0  # seconds after which a test gives up on what should take milliseconds

_ids = count()


def delivery(event: Event, *, id: str | None = None, source: str = "test") -> Delivery:
    kind = type(event)
    return Delivery(source, id or f"d{next(_ids)}", kind.__event_type__, encode(event), 0.0, kind.__event_version__)


class Life:
    """One life of an app's engine, from its start to its stop or its death. The folder and the clock outlive it."""

    def __init__(self, app: App, folder: Path, clock: FakeClock | None = None, **options: Any) -> None:
        self.app, self.folder = app, folder
        self.clock = clock or FakeClock()
        self.runner = asyncio.Runner()
        defaults = {"clock": self.clock, "durable": False, "threaded": False, "watches": False}
        self.engine = Engine(app, StateFolder(folder), **{**defaults, **options})
        try:
            self.run(self.engine.__aenter__())
        except BaseException:
            self.runner.close()
            raise

    @property
    def dispatcher(self) -> Any:
        return self.engine.dispatcher

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def in_time() -> T:
            return await asyncio.wait_for(work, PATIENCE)

        return self.runner.run(in_time())

    def append(self, *items: Event | Delivery) -> list[int]:
        """Hand events in, and return the numbers of the new ones once they are durable. Nothing is waited for."""
        rows = [delivery(item) if isinstance(item, Event) else item for item in items]

        async def appended() -> list[int]:
            found: list[int] = await self.dispatcher.append(rows)
            return found

        return self.run(appended())

    def accept(self, *items: Event | Delivery) -> None:
        """Hand events and requests in as a source does, and wait until the app is quiet."""
        rows = [delivery(item) if isinstance(item, Event) else item for item in items]
        self.run(accept(self.dispatcher, rows))
        self.settle()

    def send(self, *events: Event) -> None:
        self.append(*events)
        self.settle()

    def settle(self) -> None:
        self.run(self.engine.quiet())

    def advance(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds

        async def passing() -> None:
            while self.clock.step(until):
                await asyncio.sleep(0)
                await self.engine.quiet()

        self.run(passing())

    def meanwhile(self, first: Event, *then: Event, seconds: float = 0.0) -> None:
        """Hand an event or request in, and others while the commit that has it is on its way, which takes so long."""

        def more(_: object) -> None:  # a question is asked inside of the commit
            self.dispatcher.append([delivery(one) for one in then])
            self.clock.suspend(seconds)

        async def handing_in() -> None:
            self.dispatcher.pipeline.ask(more, lambda _: None)
            await accept(self.dispatcher, [delivery(first)])
            await self.engine.quiet()

        self.run(handing_in())

    def until(self, condition: Any) -> None:
        """Let the loop turn until the condition holds."""

        async def turning() -> None:
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

        self.run(turning())

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.run(self.dispatcher.pipeline.asked(lambda connection: list(connection.execute(sql, values))))

    def runs(self, route: str | None = None) -> list[RunView]:
        return self.run(self.dispatcher.pipeline.asked(lambda connection: runs(connection, route=route)))

    def attempts(self, run: int) -> list[AttemptView]:
        return self.run(self.dispatcher.pipeline.asked(lambda connection: attempts(connection, run)))

    def states(self, route: str | None = None) -> list[tuple[str, int]]:
        return [(run.state, run.attempt) for run in self.runs(route)]

    def data(self, kind: type[Event]) -> list[str]:
        rows = self.ask("SELECT data FROM event WHERE type = ? ORDER BY number", kind.__event_type__)
        return [text for (text,) in rows]

    def stop(self) -> None:
        self.run(self.engine.__aexit__(None, None, None))
        self.runner.close()

    def end(self) -> None:
        """Stop, unless it is over already."""
        if self.engine.state._lock is not None:
            self.stop()
        self.runner.close()

    def crash(self) -> None:
        """End as a killed process does: nothing that runs is settled, and the kernel lets the lock go."""
        self.engine.journal.close()
        self.engine.state.release()
        self.runner.get_loop().set_exception_handler(lambda loop, context: None)  # nobody hears a dead process
        self.runner.close()


Start = Callable[..., Life]
"""Starts an app over the test's state folder: the fixture `start`."""


def numbers(found: Sequence[str]) -> list[int]:
    """Return the field `n` of payloads."""
    import json

    return [json.loads(text)["n"] for text in found]

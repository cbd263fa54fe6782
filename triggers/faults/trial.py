"""A harness whose app is put to the test: it dies and is started again, and is told things late, twice, in any order.

What is sent without a look in between is on its way at the same time, so it may arrive in any order. A look (`events`,
`runs`, `dead`) and `settle` wait until all of it has arrived and the app is quiet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from triggers.app import App
from triggers.clock import LONGEST_SLEEP
from triggers.engine import Engine
from triggers.faults import disk
from triggers.faults.life import Life, measured
from triggers.faults.loop import Crash
from triggers.faults.seeds import Faults
from triggers.harness import START, Harness
from triggers.journal.soundness import unsound
from triggers.sources import Delivery
from triggers.state import StateFolder

T = TypeVar("T")

MOST_LIVES = 100
"""A start that dies again and again ends nowhere."""


@dataclass(slots=True)
class Mail:
    """Something on its way to the app, which comes again until it has arrived."""

    deliver: Callable[[Engine], Coroutine[Any, Any, None]]
    due: float
    """When it arrives, in the clock's monotonic seconds."""
    arrived: bool = False


class Trial(Harness):
    """An app at work under faults. Its state outlives the process."""

    def __init__(self, app: App, folder: Path, faults: Faults, start: datetime = START) -> None:
        self._faults = faults
        self._mail: list[Mail] = []
        self._couriers: list[asyncio.Task[None]] = []
        self._lives: list[Life] = []
        self._ids = count(1)
        super().__init__(app, folder, start)

    def look(self, source: str) -> None:
        """Have a folder source look at what is there, sooner or later."""
        self._place(source)

        async def deliver(engine: Engine) -> None:
            engine.intake.poke(source)

        self._post(deliver)

    def settle(self) -> None:
        """Return when all has arrived and the app is quiet."""
        self._run(self._settled)

    def check(self) -> None:
        """Raise `AssertionError` where the journal does not fit together."""
        wrong = self._ask(unsound)
        assert not wrong, f"the journal does not fit together: {'; '.join(map(str, wrong))}"

    def close(self) -> None:
        """Let go of everything: there is nothing to be kept."""
        for life in self._lives:
            if not life.loop.dead:
                life.die()
            life.loop.bury()
        if self._lives:
            disk.give_back(self._disk)
        self._lives.clear()

    def _ask(self, question: Callable[[Any], Iterable[Any]]) -> list[Any]:
        async def settled_and_asked() -> list[Any]:
            await self._settled()
            return list(await self._engine.dispatcher.pipeline.asked(question))

        return self._run(settled_and_asked)

    def _begin(self, state: StateFolder) -> None:
        self._state = state
        self.app.limits = measured(self.app.limits)
        state.path.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._disk = disk.take(state.journal)
        try:
            self.settle()
        except BaseException:
            self.close()
            raise

    def _hand_in(self, deliveries: Sequence[Delivery]) -> None:
        """Have deliveries on their way to the app, each by itself."""
        for delivery in deliveries:

            async def deliver(engine: Engine, delivery: Delivery = delivery) -> None:
                await engine.dispatcher.append([delivery])

            self._post(deliver)

    def _new_id(self) -> str:
        return f"s{next(self._ids)}"

    def _post(self, deliver: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        """Put something on its way."""
        fault = self._faults.at("delivery")
        late = fault.amount if fault and fault.kind == "late" else 0.0
        self._take(Mail(deliver, self.clock.monotonic() + late))
        if fault and fault.kind == "twice":
            self._take(Mail(deliver, self.clock.monotonic() + fault.amount))

    def _take(self, mail: Mail) -> None:
        self._mail.append(mail)
        if self._lives and not self._lives[-1].loop.dead:
            self._carry(self._lives[-1], mail)

    def _carry(self, life: Life, mail: Mail) -> None:
        async def carry() -> None:
            await self.clock.sleep(mail.due - self.clock.monotonic())
            await mail.deliver(life.engine)
            mail.arrived = True

        self._couriers.append(life.loop.create_task(carry()))

    async def _settled(self) -> None:
        while self._couriers:
            await self._couriers[0]
            self._couriers.pop(0)
        self._mail.clear()
        await self._lives[-1].loop.idle()
        await self._engine.quiet()

    async def _advance(self, until: float) -> None:
        await self._passed(until)
        if self._lives[-1].reset():
            await self._passed(self.clock.monotonic() + LONGEST_SLEEP)  # it is noticed within that

    async def _passed(self, until: float) -> None:
        await self._settled()
        while self.clock.step(until):
            await self._settled()

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry work out, and again in the next life where the process dies."""
        for _ in range(MOST_LIVES):
            try:
                return self._alive().run(work)
            except Crash:
                continue
        raise AssertionError(f"the app has died {MOST_LIVES} times in a row")

    def _alive(self) -> Life:
        """Return the process, started again where it is dead."""
        if not self._lives or self._lives[-1].loop.dead:
            life = Life(self.app, self._state, self.clock, self._faults, self._disk)
            self._lives.append(life)
            self._engine = life.engine
            life.run(life.engine.__aenter__)
            self._couriers.clear()
            self._mail = [mail for mail in self._mail if not mail.arrived]
            for mail in self._mail:
                self._carry(life, mail)
        return self._lives[-1]

"""A pipeline under test: an engine on a clock that is moved by hand, with its own folders and no waiting."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from triggers.clock import LONGEST_SLEEP

if TYPE_CHECKING:
    from triggers.app import App
    from triggers.engine import Engine
    from triggers.events import Event
    from triggers.journal.views import RunView
    from triggers.sources import Delivery
    from triggers.state import StateFolder

T = TypeVar("T")
K = TypeVar("K", bound="Event")

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When a harness's clock starts."""


class Sleeper(Protocol):
    """What waits for a moment: a future, or anything that is told as one is."""

    def done(self) -> bool:
        """Say whether it waits no more."""
        ...

    def set_result(self, result: None, /) -> None:
        """Hear that the moment has come."""
        ...


class FakeClock:
    """A clock that moves only when it is told to. Wall clock and monotonic clock can be moved apart."""

    def __init__(self, start: datetime = START) -> None:
        self._monotonic = 1000.0
        self._boot = start.timestamp() - self._monotonic
        self._asleep = 0.0
        self._sleepers: list[tuple[float, int, Sleeper]] = []
        self._wall_sleepers: set[asyncio.Future[None]] = set()
        self._order = itertools.count()

    def now(self) -> float:
        """Return the wall clock."""
        return self._boot + self._monotonic

    def monotonic(self) -> float:
        """Return the seconds since a boot that never was."""
        return self._monotonic

    def awake(self) -> float:
        """Return the seconds of that boot in which the machine was not suspended."""
        return self._monotonic - self._asleep

    def boot(self) -> str:
        """Return the name of that boot."""
        return "fake"

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by so many seconds."""
        await self._sleeper(self._monotonic + seconds)

    async def sleep_until(self, moment: float) -> None:
        """Wait until the clock has been advanced to this moment, or the wall clock has been set back."""
        before = self.now()
        while before <= (now := self.now()) < moment:
            before = now
            future = self._sleeper(moment - self._boot)
            self._wall_sleepers.add(future)
            future.add_done_callback(self._wall_sleepers.discard)
            await future

    def set_wall(self, moment: datetime) -> None:
        """Set the wall clock, as an operator or NTP does. Who waits for a moment of it looks again within a minute."""
        self.move_wall(moment.timestamp() - self.now())

    def move_wall(self, seconds: float) -> None:
        """Set the wall clock on or back by so many seconds."""
        self._boot += seconds
        for future in self._wall_sleepers:
            self.wake(self._monotonic + LONGEST_SLEEP, future)

    def suspend(self, seconds: float) -> None:
        """Let time pass as over a closed lid. Who was due meanwhile is woken by the next step."""
        self._asleep += seconds
        self._monotonic += seconds

    def _sleeper(self, due: float) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wake(due, future)
        return future

    def wake(self, due: float, sleeper: Sleeper) -> None:
        """Wake somebody when `monotonic` shows that moment."""
        heapq.heappush(self._sleepers, (due, next(self._order), sleeper))

    def forget(self) -> None:
        """Wake nobody who sleeps now: their process is gone."""
        self._sleepers.clear()
        self._wall_sleepers.clear()

    def step(self, until: float) -> bool:
        """Move to the next sleeper's moment and wake it, or to `until` if none is due before; say whether one was."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        due = self._sleepers[0][0] if self._sleepers else until
        woken = bool(self._sleepers) and due <= until
        self._monotonic = max(self._monotonic, due if woken else until)
        if woken:
            heapq.heappop(self._sleepers)[2].set_result(None)
        return woken


class Harness:
    """An app at work in a folder of its own, on a fake clock that begins at `start`. Made by the fixture `harness`."""

    def __init__(self, app: App, folder: Path, start: datetime = START) -> None:
        from triggers.app import App  # pytest loads this module in every run, with or without a pipeline
        from triggers.errors import WiringError
        from triggers.state import StateFolder

        if not isinstance(app, App):
            raise WiringError(f"harness takes an App, not {app!r}; import the one that you test")
        self.folder = folder
        self.clock = FakeClock(start)
        self.app = app.bound({name: self._make(name) for name in app.places()})
        self._begin(StateFolder(folder / "state"))

    def send(self, *events: Event) -> None:
        """Send events to the app."""
        from triggers.events import encode

        kinds = [(event.__event_type__, encode(event), event.__event_version__) for event in events]
        self._hand_in([self._delivery("send", *kind) for kind in kinds])

    def deliver(
        self,
        type: str,
        data: Mapping[str, Any],
        *,
        source: str = "send",
        subject: str | None = None,
        version: int = 1,
    ) -> None:
        """Have a source deliver an event as it came from outside: its type by name, its fields as JSON has them.

        A `Tick` is for the schedule that `subject` names.
        """
        self._hand_in([self._delivery(source, type, json.dumps(data), version, subject)])

    def drop(self, source: str, key: str, content: str | bytes) -> Path:
        """Put a file into a folder source, and return its path."""
        path = self._place(source) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.look(source)
        return path

    def look(self, source: str) -> None:
        """Have a folder source look at what is there now."""
        self._place(source)
        self._engine.intake.poke(source)
        self.settle()

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Let time pass. Timers and retries that fall due on the way fire one after the other, each at its moment."""
        span = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days).total_seconds()
        until = self.clock.monotonic() + span
        self._run(lambda: self._advance(until))

    def settle(self) -> None:
        """Return when the app is quiet."""
        self._run(lambda: self._engine.quiet())

    def events(self, kind: type[K]) -> list[K]:
        """Return all events of a type so far, in order."""
        from triggers.events import decode

        name = kind.__event_type__
        sql = "SELECT data, version FROM event WHERE type = ? ORDER BY number"
        rows = self._ask(lambda connection: list(connection.execute(sql, (name,))))
        return [decode(kind, data, version) for data, version in rows]  # type: ignore[misc]  # decode gives this kind

    def runs(self, route: str | None = None) -> list[RunView]:
        """Return all runs so far, or those of one route, in order."""
        from triggers.journal.views import runs

        return self._ask(lambda connection: runs(connection, route=route))

    @property
    def dead(self) -> list[RunView]:
        """Return the dead letters."""
        return [run for run in self.runs() if run.state == "dead"]

    def close(self) -> None:
        """Stop the app."""
        self._run(lambda: self._engine.__aexit__(None, None, None))
        self._runner.close()

    def _begin(self, state: StateFolder) -> None:
        """Start the app, and return when it is quiet."""
        from triggers.engine import Engine

        self._runner = asyncio.Runner()
        self._engine: Engine = Engine(self.app, state, clock=self.clock, durable=False, threaded=False, watches=False)
        try:
            self._run(self._engine.__aenter__)
            self.settle()
        except BaseException:
            self._runner.close()
            raise

    def _hand_in(self, deliveries: Sequence[Delivery]) -> None:
        """Have deliveries taken in together."""

        async def append() -> None:
            await self._engine.dispatcher.append(deliveries)

        self._run(append)
        self.settle()

    def _new_id(self) -> str:
        from triggers.events import new_id

        return new_id()

    def _delivery(self, source: str, type: str, data: str, version: int, subject: str | None = None) -> Delivery:
        from triggers.sources import Delivery

        return Delivery(source, self._new_id(), type, data, self.clock.now(), version, subject)

    def _place(self, source: str) -> Path:
        """Return where a folder source is, or raise `WiringError`."""
        from triggers.errors import WiringError, did_you_mean

        folders = {name: place.path for name, place in self.app.places().items() if name in self.app.sources}
        if source not in folders:
            raise WiringError(f"app {self.app.name!r} has no folder source {source!r}{did_you_mean(source, folders)}")
        return folders[source]

    def _make(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    async def _advance(self, until: float) -> None:
        with self._engine.journal.together():  # a month of timers is 17,000 of them
            while self.clock.step(until):
                await asyncio.sleep(0)  # the one who was woken gets its turn
                await self._engine.quiet()

    def _ask(self, question: Callable[[Any], Iterable[Any]]) -> list[Any]:
        """Return what the journal answers."""
        return list(self._run(lambda: self._engine.dispatcher.pipeline.asked(question)))

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry work out on the app's loop."""
        return self._runner.run(work())

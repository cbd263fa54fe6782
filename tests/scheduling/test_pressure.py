"""When the machine is under pressure, heavy work starts one run at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit import Life, delivery
from triggers import App, Event, Pressure
from triggers.errors import WiringError
from triggers.kernel import Strain
from triggers.requests import PauseRoutes, ResumeRoutes, accept
from triggers.scheduling.pressure import LOOK

EASY = Strain(load=0.5, memory=0.6, stall=0.0)


class Heavy(Event):
    n: int = 0


class Light(Event):
    n: int = 0


class Machine:
    """A machine whose strain a test sets, and an app on it whose handlers begin and wait until they are let go."""

    def __init__(self) -> None:
        self.strain = EASY
        self.begun: list[str] = []
        self.go: list[asyncio.Event] = []
        self.app = App("a", pressure=Pressure(load=2.0, memory=0.1, stall=0.2, ease=0.2))
        self.app.on(Heavy, needs={"memory": "1MiB"}, name="heavy")(self.work)
        self.app.on(Light, name="light")(self.light)

    async def work(self, event: Heavy) -> None:
        self.begun.append("heavy")
        self.go.append(asyncio.Event())
        await self.go[-1].wait()

    async def light(self, event: Light) -> None:
        self.begun.append("light")

    def let_go(self, life: Life) -> None:
        """Let the oldest handler at work end."""

        async def open_gate() -> None:
            self.go.pop(0).set()

        ended = life.dispatcher.counts["done"]
        life.run(open_gate())
        life.until(lambda: life.dispatcher.counts["done"] > ended and not life.dispatcher.pipeline.busy)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr("triggers.scheduling.regulation.strain", lambda: machine.strain)
    return machine


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[App], Life]]:
    lives: list[Life] = []

    def begin(app: App) -> Life:
        lives.append(Life(app, tmp_path / "state"))
        return lives[-1]

    yield begin
    for life in lives:
        for _ in range(9):
            life.clock.step(life.clock.monotonic())
        life.end()


def sent(life: Life, *events: Event) -> None:
    life.append(*events)
    passed(life, 0)


def passed(life: Life, seconds: float) -> None:
    """Let time pass, and everybody do what there is to do then."""

    async def passing() -> None:
        until = life.clock.monotonic() + seconds
        while True:
            for _ in range(30):
                await asyncio.sleep(0)
            if not life.clock.step(until):
                return

    life.run(passing())


def test_nothing_heavy_starts_beside_other_heavy_work_and_the_reason_is_given(
    machine: Machine, start: Callable[[App], Life]
) -> None:
    life = start(machine.app)
    sent(life, Heavy())
    machine.strain = EASY._replace(load=3.14)
    passed(life, LOOK)
    sent(life, Heavy(), Light())
    assert machine.begun == ["heavy", "light"]
    (closed,) = life.dispatcher.admission.closures.of("heavy")
    assert closed.reason == "the machine is under pressure: load 3.1 for each core, over 2; it is looked at every 5 s"


def test_where_nothing_heavy_is_at_work_one_run_starts_all_the_same(
    machine: Machine, start: Callable[[App], Life]
) -> None:
    machine.strain = EASY._replace(memory=0.01)
    life = start(machine.app)
    sent(life, Heavy(), Heavy(), Heavy())
    assert machine.begun == ["heavy"]
    machine.let_go(life)
    passed(life, 0)
    assert machine.begun == ["heavy"] * 2


def test_what_is_paused_does_not_take_the_turn_of_what_may_start(
    machine: Machine, start: Callable[[App], Life]
) -> None:
    machine.strain = EASY._replace(memory=0.01)
    machine.app.on(Light, needs={"cpu": 1}, name="other")(machine.light)
    life = start(machine.app)
    life.accept(PauseRoutes(routes=["heavy"], by="me"))
    sent(life, Heavy())
    sent(life, Light())
    passed(life, 2 * LOOK)
    assert machine.begun == ["light", "light"]


def test_what_does_not_fit_does_not_take_the_turn_of_what_does(machine: Machine, start: Callable[[App], Life]) -> None:
    machine.strain = EASY._replace(memory=0.01)
    app = App("a", pressure=Pressure(memory=0.1), resources={"gpu": 1})
    app.on(Heavy, needs={"gpu": 1}, name="holder", where={"n": [0]})(machine.work)
    app.on(Light, needs={"cpu": 1, "gpu": 1}, name="big", where={"n": [1]})(machine.light)
    app.on(Light, needs={"cpu": 1}, name="small", where={"n": [2]})(machine.light)
    life = start(app)
    sent(life, Heavy(n=0))
    sent(life, Light(n=1), Light(n=2))
    passed(life, LOOK)
    assert machine.begun == ["heavy", "light"]


def test_the_policy_says_which_heavy_run_starts(machine: Machine, start: Callable[[App], Life]) -> None:
    machine.strain = EASY._replace(memory=0.01)
    app = App("a", pressure=Pressure(memory=0.1))
    app.on(Heavy, needs={"cpu": 1}, name="low", where={"n": [0]})(machine.work)
    app.on(Light, needs={"cpu": 1}, name="urgent", priority=5)(machine.light)
    life = start(app)
    life.accept(PauseRoutes(routes=["low", "urgent"], by="me"))
    sent(life, Heavy(n=0), Light())
    life.run(accept(life.dispatcher, [delivery(ResumeRoutes(routes=["low", "urgent"]))]))
    passed(life, 0)
    assert machine.begun == ["light", "heavy"]


def test_it_is_over_when_all_is_better_by_a_part_and_looked_at_without_anybody_asking(
    machine: Machine, start: Callable[[App], Life]
) -> None:
    machine.strain = EASY._replace(stall=0.3)
    life = start(machine.app)
    sent(life, Heavy(), Heavy(), Heavy())
    for stall, begun in ((0.17, 1), (0.15, 3)):
        machine.strain = EASY._replace(stall=stall)
        passed(life, LOOK)
        assert machine.begun == ["heavy"] * begun


@pytest.mark.parametrize(
    ("strain", "words"),
    [
        (Strain(2.5, 0.6, 0.0), "load 2.5 for each core, over 2"),
        (Strain(0.5, 0.04, 0.0), "4.0% of the memory left, below 10.0%"),
        (Strain(0.5, 0.6, 0.5), "50% of the time stalled, over 20%"),
        (Strain(2.0, 0.1, 0.2), None),
    ],
)
def test_any_of_load_memory_and_stalls_may_press(strain: Strain, words: str | None) -> None:
    assert Pressure(load=2.0, memory=0.1, stall=0.2).reason(strain, before=False) == words
    assert Pressure(load=None, memory=None, stall=None).reason(strain, before=False) is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Pressure(load=0), r"Pressure\(load=0\): write processes for each core, above 0, or None"),
        (lambda: Pressure(load=True), r"Pressure\(load=True\): write processes for each core"),
        (lambda: Pressure(ease=False), r"Pressure\(ease=False\): write a part"),
        (lambda: Pressure(memory=5), r"Pressure\(memory=5\): write a part between 0 and 1, or None"),
        (lambda: Pressure(stall=1.5), r"Pressure\(stall=1.5\)"),
        (lambda: Pressure(ease=1), r"Pressure\(ease=1\)"),
        (lambda: App("a", pressure=Pressure(None, None, None)), r"app 'a': pressure= looks at nothing: load, memory"),
        (lambda: App("a", pressure=0.5), r"pressure=0.5 will not do"),  # type: ignore[arg-type]  # what is refused
    ],
)
def test_bounds_that_make_no_sense_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(WiringError, match=words):
        make()

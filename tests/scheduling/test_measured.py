"""What is free where runs use more or less than they have taken: never over capacity, and back when they have ended."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from tests.kit import Life
from tests.scheduling.test_flows import A, handler
from triggers import App, Event, Retry
from triggers.journal import RunRow
from triggers.lineage import EventRow
from triggers.options import make_policy
from triggers.routing import Route, make_route
from triggers.scheduling.admission import Admission
from triggers.scheduling.holdings import MEMORY, UNIT, limit_of, units
from triggers.scheduling.measured import HEADROOM, unseen
from triggers.scheduling.terms import Terms

PLENTY = 10**6


class B(Event):
    n: int


def test_a_run_counts_for_what_it_has_where_that_is_more_than_it_has_taken() -> None:
    assert unseen(100, {1: 30, 2: 30}, {1: 50, 2: 10}, PLENTY) == 20
    assert unseen(100, {1: 30}, {1: 30}, PLENTY) == 0


def test_what_others_have_is_not_free_nor_what_runs_have_taken_and_may_still_come_to_use() -> None:
    headroom = round(HEADROOM * 100)
    assert unseen(100, {1: 30}, {1: 30}, 40 + headroom) == 70 - 40
    assert unseen(100, {1: 30}, {1: 10}, 40 + headroom) == 70 - 20


def test_where_nothing_is_measured_nothing_is_corrected_so_that_an_idle_machine_always_starts_something() -> None:
    assert unseen(100, {}, {}, 0) == 0
    assert unseen(100, {1: 50}, {2: 50}, 0) == 0


def make(name: str, **options: Any) -> Route:
    return make_route(handler, A, name=name, where=None, source=None, policy=make_policy("r", options))


def some_route(name: str) -> Route:
    draw = random.Random(name)
    needs = {name: draw.uniform(0.1, 4) for name in ("a", MEMORY) if draw.random() < 0.7}
    key = {"key": lambda event: "x", "per_key": draw.randrange(1, 3)} if draw.random() < 0.3 else {}
    return make(name, needs=needs, concurrency=draw.randrange(1, 9), **key)


ROUTES = [some_route(f"r{number}") for number in range(40)]


def fill(admission: Admission) -> None:
    """Say that nothing waits in the journal."""
    for flow in admission.low():
        flow.ask()
        admission.fill(flow, [])


class Workload:
    """A random workload on an admission without a journal: what is at work, and what that takes and has."""

    def __init__(self, seed: int) -> None:
        self.drawn = random.Random(seed)
        self.capacity = {"thread": 64.0, "a": self.drawn.uniform(4, 20), MEMORY: self.drawn.uniform(4, 20)}
        routes = self.drawn.sample(ROUTES, self.drawn.randrange(1, 6))
        self.admission = Admission({route.name: route for route in routes}, self.capacity, 600)
        fill(self.admission)
        self.at_work: dict[int, dict[str, int]] = {}
        self.held: dict[int, float] = {}

    def arrive(self, number: int) -> None:
        name = self.drawn.choice(list(self.admission.flows))
        grown = self.drawn.uniform(1, 30) if self.drawn.random() < 0.1 else None
        run = RunRow(number, number, name, Terms(float(number), key=self.drawn.choice("xy"), memory=grown))
        if not self.admission.admit(run):
            self.admission.add(run, EventRow(number, "", "", "", 1, None, 0, 0, "{}", None, 1, 0, 10))
        self._begun()

    def choose(self) -> None:
        self.admission.choose(0.0)
        self._begun()

    def end(self) -> None:
        if self.at_work:
            number = self.drawn.choice(list(self.at_work))
            del self.at_work[number]
            self.held.pop(number, None)
            if not self.held:  # as the meter does
                self.admission.holdings.correct({}, 0.0)
            self.admission.release(number)

    def measure(self) -> None:
        self.held = {run: self.drawn.uniform(0, 5) for run in self.at_work if self.drawn.random() < 0.5}
        self.admission.holdings.correct(self.held, self.drawn.uniform(0, 20))

    def _begun(self) -> None:
        """Take note of what has started. What is over is so before it, by what was measured."""
        held = self.admission.holdings._taken
        new = held.keys() - self.at_work.keys()
        self.at_work.update((run, dict(held[run])) for run in new)
        taken = {name: sum(needs.get(name, 0) for needs in self.at_work.values()) for name in self.capacity}
        for name, amount in taken.items():
            assert amount <= self.capacity[name] * UNIT + len(self.at_work)
        if any(self.at_work[run].get(MEMORY) for run in new):
            has = (max(n.get(MEMORY, 0), self.held.get(run, 0) * UNIT) for run, n in self.at_work.items())
            assert sum(has) <= self.capacity[MEMORY] * UNIT + len(self.at_work)


def test_a_thousand_random_workloads_never_take_more_than_there_is_and_leave_all_of_it_free() -> None:
    started = 0
    for seed in range(1000):
        work = Workload(seed)
        for number in range(1, 9):
            work.arrive(number)
            for step in work.drawn.choices([work.choose, work.end, work.measure], k=2):
                step()
        work.choose()
        while work.at_work:
            started += 1
            work.end()
            work.choose()
        assert work.admission.holdings.free == work.admission.holdings.capacity
        assert work.admission.empty()
    assert started > 4000


def begin(life: Life) -> None:
    """Hand four runs in, of which three can be at work."""
    life.append(*(B(n=n) for n in range(4)))
    life.until(lambda: len(life.dispatcher.running) == 3 and not life.dispatcher.pipeline.busy)


def test_a_death_of_the_process_leaks_nothing_of_what_its_runs_had_taken(tmp_path: Path) -> None:
    app, going_on = App("a", resources={"gpu": 4}), False

    @app.on(B, key="n", per_key=1, concurrency=3, needs={"gpu": 1, "memory": "1MiB"}, retry=Retry(attempts=9))
    async def work(event: B) -> None:
        if not going_on:
            await asyncio.Event().wait()

    for _ in range(3):
        life = Life(app, tmp_path / "state")
        begin(life)
        assert life.dispatcher.admission.holdings.free["gpu"] == 1 * UNIT
        life.crash()
    going_on = True
    life = Life(app, tmp_path / "state")
    life.settle()
    assert {state for state, _ in life.states()} == {"done"}
    assert life.dispatcher.admission.holdings.free == units(app.limits.capacity() | {limit_of("work"): 3})
    life.stop()


def test_what_is_free_again_is_told() -> None:
    admission = Admission({"r": make("r")}, {"thread": 1.0, MEMORY: 4.0}, 600)
    fill(admission)
    admission.add(RunRow(1, 1, "r", Terms(0)), EventRow(1, "", "", "", 1, None, 0, 0, "{}", None, 1, 0, 10))
    admission.choose(0)
    assert [admission.holdings.correct({1: amount}, 1e9) for amount in (3.0, 4.0, 3.5)] == [False, False, True]
    assert admission.holdings.free[MEMORY] == 0.5 * UNIT
    assert admission.holdings.correct({}, 1e9)

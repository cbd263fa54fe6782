"""After an outage: what has gathered is worked off by priority and within the limits, and not all at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.kit import Start, delivery
from triggers import App, Event, Tick, every
from triggers.requests import PauseRoutes, ResumeRoutes

MANY = 10_000
URGENT = 100


class Job(Event):
    n: int = 0
    urgent: bool = False


class Machine:
    """An app of which a few runs at a time are allowed; it notes in which order they come and how many at once."""

    def __init__(self, **options: Any) -> None:
        self.begun: list[Job] = []
        self.at_work = self.most = 0
        self.app = App("a", resources={"gpu": 64})
        self.app.on(Job, name="job", priority=lambda job: int(job.urgent), needs={"gpu": 2}, **options)(self.job)

    async def job(self, event: Job) -> None:
        self.begun.append(event)
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        await asyncio.sleep(0)
        self.at_work -= 1


def test_of_ten_thousand_that_wait_at_the_start_the_urgent_ones_go_first_and_no_limit_is_passed(start: Start) -> None:
    machine = Machine(concurrency=100)
    life = start(machine.app)
    life.accept(PauseRoutes(routes=[], by="an outage"))
    life.append(*(Job(n=n, urgent=n >= MANY - URGENT) for n in range(MANY)))
    life.crash()
    life = start(machine.app, life.clock)
    life.accept(ResumeRoutes(routes=[]))
    assert [job.urgent for job in machine.begun] == [True] * URGENT + [False] * (MANY - URGENT)
    assert [job.n for job in machine.begun[URGENT:]] == list(range(MANY - URGENT))
    assert 1 < machine.most <= 32


def test_instants_that_were_missed_are_caught_up_with_within_the_limits_and_behind_what_is_urgent(start: Start) -> None:
    machine, ticks = Machine(), []
    together = [0, 0]

    @machine.app.on(every(minutes=1, missed="all"), concurrency=2, priority=-100, needs={"gpu": 2})
    async def report(event: Tick) -> None:
        ticks.append(len(machine.begun))
        together[0] += 1
        together[1] = max(together)
        await asyncio.sleep(0)
        together[0] -= 1

    life = start(machine.app)
    life.settle()
    life.stop()
    life.clock.suspend(timedelta(hours=10).total_seconds())
    life = start(machine.app, life.clock)
    life.append(*(delivery(Job(n=n)) for n in range(50)))
    life.settle()
    assert len(ticks) == 600
    assert together[1] == 2
    assert sum(begun < 50 for begun in ticks) < 10

"""What an app says that it waits for while it is drained, and what it leaves that would wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.kit import Life, Start
from triggers import App, Batch, Event, Later, Rate, Retry
from triggers.journal.dues import Held
from triggers.testing import START
from triggers.waits import Wait

AT = START.timestamp()


class Call(Event):
    n: int = 0


class Bench:
    """An app with a route whose runs fail as often as is asked for."""

    def __init__(self, fails: int = 0, puts_off: bool = False, **options: Any) -> None:
        self.fails, self.puts_off = fails, puts_off
        self.app = App("a")
        self.app.on(Call, name="job", **options)(self.job)

    async def job(self, event: Call) -> None:
        if self.fails:
            self.fails -= 1
            if self.puts_off:
                raise Later("not open yet", minutes=1)
            raise OSError("busy")


def drained(life: Life) -> tuple[list[Sequence[Wait]], Sequence[Held]]:
    """Drain an app while its time passes; return what it told on the way, and what is left."""
    told: list[Sequence[Wait]] = []

    async def draining() -> Sequence[Held]:
        task = asyncio.ensure_future(life.engine.drained(told.append))
        while not task.done():
            await asyncio.sleep(0)  # the one who was woken gets its turn
            await life.engine.quiet()
            life.clock.step(life.clock.monotonic() + 100_000)
        return await task

    return told, life.run(draining())


@pytest.mark.parametrize(
    ("options", "wait"),
    [
        ({"window": "02:00-03:00"}, Wait("job", "2 runs", AT + 7200, "outside its window 02:00-03:00 UTC")),
        (
            {"throttle": Rate(1, per=60)},
            Wait("job", "1 run", AT + 60, "1 run started in the last 60 s (throttle=Rate(1, per=60))"),
        ),
        ({"not_before": 3600}, Wait("job", "r1 and 1 more", AT + 3600, "not to start before (not_before=)")),
        (
            {"fails": 1, "retry": Retry(on=OSError, initial=60, jitter=False)},
            Wait("job", "r1", AT + 60, "to be tried again"),
        ),
        ({"fails": 1, "puts_off": True}, Wait("job", "r1", AT + 60, "to be tried again")),
    ],
)
def test_it_tells_what_it_waits_for_and_until_when_and_tells_it_once(
    start: Start, options: dict[str, Any], wait: Wait
) -> None:
    life = start(Bench(**options).app)
    life.send(Call(n=1), Call(n=2))
    assert drained(life) == ([[wait]], [])
    assert life.states() == [("done", life.runs()[0].attempt), ("done", 1)]


def test_it_tells_of_events_that_are_to_come_together(start: Start) -> None:
    app = App("a")

    @app.on(Call, batch=Batch(5, within=60))
    async def load(events: list[Call]) -> None: ...

    life = start(app)
    life.send(Call(n=1), Call(n=2))
    assert drained(life)[0] == [[Wait("load", "events", AT + 60, "they come together until then")]]


def test_it_tells_again_where_it_waits_for_another_moment_and_first_of_what_goes_on_first(start: Start) -> None:
    bench = Bench(throttle=Rate(1, per=60))
    bench.app.on(Call, name="other", window="00:01-00:30", not_before=30)(bench.job)
    life = start(bench.app)
    life.send(Call(n=1), Call(n=2), Call(n=3))
    told, _ = drained(life)
    assert [[(wait.route, wait.until - AT) for wait in waits] for waits in told] == [
        [("other", 30), ("job", 60)],
        [("job", 60), ("other", 60)],
        [("job", 120)],
    ]


def test_what_a_dead_run_holds_up_is_left_and_named(start: Start) -> None:
    life = start(Bench(fails=1, in_order="n", retry=Retry(attempts=1)).app)
    life.send(Call(n=1))
    life.send(*(Call(n=n) for n in range(2, 10)))
    told, left = drained(life)
    assert told == []
    assert left == [Held("job", 1, [2, 3, 4, 5, 6], 8)]

"""What operators ask for: carried out once, although a file of requests is read again after a crash."""

from __future__ import annotations

import pytest

from tests.kit import Start, delivery
from triggers import App, Event, Retry, Tick, every
from triggers.requests import Drop, Pause, PauseRoutes, Redrive, Resume, ResumeRoutes


class Job(Event):
    n: int = 0


class Desk:
    """An app with a schedule and a route of which every run fails, both of which note that they were called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.app = App("a")
        self.app.on(every(hours=1), name="hourly")(self.tick)
        self.app.on(Job, name="job", retry=Retry(attempts=1))(self.job)

    async def tick(self, event: Tick) -> None:
        self.called.append("hourly")

    async def job(self, event: Job) -> None:
        self.called.append("job")
        raise OSError("busy")


PAUSE = Pause(schedule="hourly"), Resume(schedule="hourly")
PAUSE_ROUTES = PauseRoutes(routes=["job"], by="anna"), ResumeRoutes(routes=["job"])


@pytest.mark.parametrize(
    ("first", "second", "called"),
    [
        (*PAUSE, ["job", "hourly"]),
        (*reversed(PAUSE), ["job"]),
        (*PAUSE_ROUTES, ["job", "hourly"]),
        (*reversed(PAUSE_ROUTES), ["hourly"]),
    ],
    ids=["pause a schedule", "resume a schedule", "pause a route", "resume a route"],
)
def test_a_request_that_is_read_again_does_not_undo_what_was_asked_for_since(
    start: Start, first: Event, second: Event, called: list[str]
) -> None:
    desk = Desk()
    life = start(desk.app)
    life.accept(delivery(first, id="once"))
    life.accept(second)
    life.accept(delivery(first, id="once"))
    life.send(Job())
    life.advance(3600)
    assert desk.called == called


def test_a_drop_that_is_read_again_does_not_take_a_run_that_was_driven_since_and_died_again(start: Start) -> None:
    desk = Desk()
    life = start(desk.app)
    life.send(Job())
    [run] = [run.number for run in life.runs("job")]
    drop = delivery(Drop(runs=[run]), id="once")
    life.accept(drop)
    life.accept(Redrive(runs=[run]))
    life.settle()
    assert desk.called == ["job", "job"]
    life.accept(drop)
    assert life.states("job") == [("dead", 1)]

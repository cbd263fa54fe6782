"""The test harness, as its users see it."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from triggers import (
    App,
    Context,
    Event,
    Folder,
    Later,
    MessageReceived,
    ObjectCreated,
    Queue,
    Reject,
    Retry,
    Tick,
    cron,
    every,
    suffix,
)
from triggers.errors import WiringError
from triggers.testing import START, FakeClock, Harness

Make = Callable[[App], Harness]


class Processed(Event):
    key: str


class Trained(Event):
    key: str


def pipeline_app() -> App:
    app = App("first", sources=[Folder("incoming")], outputs=[Folder("models")])

    @app.on(ObjectCreated, where={"key": suffix(".csv")})
    def process(event: ObjectCreated) -> Processed:
        assert event.path().read_text() == "x"
        return Processed(key=event.key)

    @app.on(Processed, retry=Retry(attempts=2), writes={"models"})
    async def train(event: Processed, ctx: Context) -> Trained:
        if ctx.attempt == 1:
            raise OSError("not yet")
        with ctx.place("models").output(f"{event.key}.bin") as file:
            file.write(b"model")
        return Trained(key=event.key)

    return app


def test_a_dropped_file_goes_down_the_chain(harness: Make) -> None:
    pipeline = harness(pipeline_app())
    pipeline.drop("incoming", "deep/a.csv", "x")
    pipeline.drop("incoming", "a.txt", b"x")
    assert pipeline.events(Processed) == [Processed(key="deep/a.csv")]
    assert pipeline.events(Trained) == []
    pipeline.advance(minutes=2)
    assert pipeline.events(Trained) == [Trained(key="deep/a.csv")]
    assert (pipeline.app.places()["models"].path / "deep/a.csv.bin").read_bytes() == b"model"
    assert pipeline.dead == []


def test_a_dropped_file_is_complete_where_the_kernel_grants_no_leases(
    harness: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fcntl, "F_SETLEASE")  # as on other systems than Linux
    pipeline = harness(pipeline_app())
    before = pipeline.clock.now()
    pipeline.drop("incoming", "a.csv", "x")
    assert pipeline.events(Processed) == [Processed(key="a.csv")]
    assert pipeline.clock.now() == before


def test_what_is_no_app_and_what_is_no_folder_of_it_are_refused_by_name(harness: Make) -> None:
    with pytest.raises(WiringError, match="harness takes an App, not 'first'"):
        harness("first")  # type: ignore[arg-type]  # that is the mistake
    pipeline = harness(pipeline_app())
    with pytest.raises(WiringError, match="app 'first' has no folder source 'incomming'; did you mean 'incoming'"):
        pipeline.drop("incomming", "a.csv", "")
    with pytest.raises(WiringError, match="app 'first' has no folder source 'models'; known: incoming"):
        pipeline.look("models")


def test_the_app_that_is_tested_is_left_as_it_was(harness: Make) -> None:
    app = pipeline_app()
    harness(app)
    assert app.places()["incoming"].path == Path("incoming")


def test_sent_events_run_and_the_dead_letters_are_told(harness: Make) -> None:
    app = App("a")

    @app.on(Processed)
    def handler(event: Processed) -> None:
        if event.key == "bad":
            raise Reject("bad key")

    pipeline = harness(app)
    pipeline.send(Processed(key="good"), Processed(key="bad"))
    assert [run.state for run in pipeline.runs("handler")] == ["done", "dead"]
    assert [run.error for run in pipeline.dead] == ["Reject: bad key"]
    assert pipeline.runs("nobody") == []


def test_time_stands_still_but_for_advance(harness: Make) -> None:
    app = App("a")
    moments: list[float] = []

    @app.on(Processed)
    async def handler(event: Processed) -> None:
        moments.append(pipeline.clock.now())
        if len(moments) == 1:
            raise Later(hours=3)

    pipeline = harness(app)
    pipeline.send(Processed(key="a"))
    pipeline.advance(hours=2, minutes=59, seconds=59)
    assert len(moments) == 1
    pipeline.advance(days=1)
    assert moments == [START.timestamp(), START.timestamp() + 3 * 3600]


def test_what_falls_due_on_the_way_fires_at_its_own_moment_in_order(harness: Make) -> None:
    app = App("a")
    seen: list[tuple[str, float]] = []

    @app.on(every(minutes=20))
    async def tick(event: Tick) -> None:
        seen.append(("tick", pipeline.clock.now() - START.timestamp()))

    @app.on(Processed)
    async def handler(event: Processed) -> None:
        seen.append(("run", pipeline.clock.now() - START.timestamp()))
        raise Later(minutes=15)

    pipeline = harness(app)
    pipeline.send(Processed(key="a"))
    pipeline.advance(minutes=41)
    assert seen == [("run", 0), ("run", 900), ("tick", 1200), ("run", 1800), ("tick", 2400)]


def test_the_clock_starts_when_the_test_says(harness: Callable[..., Harness]) -> None:
    app = App("a")
    seen: list[datetime] = []

    @app.on(cron("0 7 * * *"))
    async def tick(event: Tick) -> None:
        seen.append(event.due)

    harness(app, start=datetime(2030, 5, 5, 6, 59, tzinfo=UTC)).advance(minutes=2)
    assert seen == [datetime(2030, 5, 5, 7, tzinfo=UTC)]


def test_an_event_may_be_delivered_as_a_source_delivers_it(harness: Make) -> None:
    app = App("a", sources=[Queue("orders")])
    seen: list[str] = []

    @app.on(MessageReceived, source="orders")
    async def order(event: MessageReceived) -> None:
        seen.append(event.body)

    @app.on(cron("0 7 * * *"))
    async def nightly(event: Tick) -> None:
        seen.append(event.due.isoformat())

    pipeline = harness(app)
    pipeline.send(MessageReceived(body="from elsewhere"))
    pipeline.deliver("MessageReceived", {"body": "one"}, source="orders")
    pipeline.deliver("Tick", {"schedule": "nightly", "due": "2026-02-01T07:00:00Z"}, subject="nightly")
    assert seen == ["one", "2026-02-01T07:00:00+00:00"]


def test_two_harnesses_in_one_test_know_nothing_of_each_other(harness: Make) -> None:
    one, two = harness(pipeline_app()), harness(pipeline_app())
    one.drop("incoming", "a.csv", "x")
    two.look("incoming")
    assert (len(one.events(Processed)), len(two.events(Processed))) == (1, 0)


def test_the_wall_clock_and_the_monotonic_clock_can_be_moved_apart() -> None:
    clock = FakeClock()
    before = clock.monotonic()
    clock.set_wall(datetime(2030, 1, 1, tzinfo=UTC))
    assert (clock.now(), clock.monotonic()) == (datetime(2030, 1, 1, tzinfo=UTC).timestamp(), before)
    clock.step(before + timedelta(minutes=1).total_seconds())
    assert clock.now() == datetime(2030, 1, 1, 0, 1, tzinfo=UTC).timestamp()


def test_sleepers_wake_in_the_order_of_their_moments() -> None:
    async def work() -> list[int]:
        clock, woken = FakeClock(), []

        async def sleeper(seconds: int) -> None:
            await clock.sleep(seconds)
            woken.append(seconds)

        tasks = [asyncio.ensure_future(sleeper(seconds)) for seconds in (30, 10, 20, 50)]
        tasks[2].cancel()
        await asyncio.sleep(0)
        while clock.step(1040.0):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert clock.monotonic() == 1040.0
        tasks[3].cancel()
        return woken

    assert asyncio.run(work()) == [10, 30]


def test_the_plugin_is_there_without_being_asked_for_and_loads_nothing_by_itself(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(
        "import sys\n"
        "def test_light():\n    assert not {'pydantic', 'apsw', 'watchdog'} & set(sys.modules)\n"
        "def test_harness(harness):\n    from triggers import App\n    assert harness(App('a')).dead == []\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("number", range(2))
def test_each_test_has_a_folder_of_its_own(harness: Make, number: int) -> None:
    pipeline = harness(pipeline_app())
    assert pipeline.runs() == []
    pipeline.drop("incoming", "a.csv", "x")

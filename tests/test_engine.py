"""The engine as a whole: waking, stopping, a disk that is full, a folder that is not ours."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.kit import PATIENCE, Life, Start, delivery, numbers
from triggers import App, Context, Event, Folder, ObjectCreated, Retry
from triggers.clock import SystemClock
from triggers.engine import Engine
from triggers.errors import StateError, StateHeld, WiringError
from triggers.executor import watch
from triggers.requests import Drop, Replay
from triggers.sources import Delivery
from triggers.state import StateFolder


class A(Event):
    n: int = 0


class B(Event):
    n: int = 0


class C(Event):
    n: int = 0


REAL = {"clock": SystemClock(), "threaded": True, "watches": True}


def chain(*, plain: bool = False) -> App:
    app = App("chain")
    if plain:

        @app.on(A)
        def first(event: A) -> B:
            return B(n=event.n)

        @app.on(B)
        def second(event: B) -> C:
            return C(n=event.n)
    else:

        @app.on(A)
        async def one(event: A) -> B:
            return B(n=event.n)

        @app.on(B)
        async def two(event: B) -> C:
            return C(n=event.n)

    return app


# --- waking


@pytest.mark.parametrize("plain", [False, True], ids=["coroutines", "threads"])
def test_two_hundred_single_events_on_an_idle_engine_each_wake_the_whole_chain(start: Start, plain: bool) -> None:
    life = start(chain(plain=plain), **REAL)

    async def one_by_one() -> None:
        for n in range(200):
            await life.dispatcher.append([delivery(A(n=n))])
            await life.engine.quiet()

    life.run(one_by_one())
    assert numbers(life.data(C)) == list(range(200))


def test_events_sent_by_other_threads_wake_an_idle_engine(start: Start, tmp_path: Path) -> None:
    app = App("a")
    arrived: asyncio.Queue[int] = asyncio.Queue()

    @app.on(A)
    async def handler(event: A) -> None:
        arrived.put_nowait(event.n)

    life = start(app, **REAL)
    life.settle()

    async def one_by_one() -> None:
        for n in range(50):
            thread = threading.Thread(target=app.send, args=(A(n=n),), kwargs={"state": tmp_path / "state"})
            thread.start()
            assert await arrived.get() == n
            thread.join()

    life.run(one_by_one())


def test_a_file_that_appears_wakes_an_idle_engine(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    app = App("a", sources=[Folder(tmp_path / "in")])
    arrived: asyncio.Queue[str] = asyncio.Queue()

    @app.on(ObjectCreated)
    async def handler(event: ObjectCreated) -> None:
        arrived.put_nowait(event.key)

    life = start(app, **REAL)
    life.settle()

    async def one_by_one() -> None:
        for n in range(20):
            (tmp_path / "in" / f"{n}").write_text("x")
            assert await arrived.get() == str(n)

    life.run(one_by_one())


def test_an_idle_engine_uses_no_processor_time(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    app = chain(plain=True)
    app.sources["in"] = Folder(tmp_path / "in")

    @app.on(C)
    async def third(event: C) -> None: ...

    life = start(app, **REAL)
    life.send(*(A(n=n) for n in range(100)))
    life.settle()

    async def rest() -> float:
        await asyncio.sleep(0.1)
        before = time.process_time()
        await asyncio.sleep(1.0)  # the one real wait: the absence of work takes time to see
        return time.process_time() - before

    assert any(life.run(rest()) < 0.020 for _ in range(3))  # one look may be at what another process costs


def test_a_thousand_events_at_once_from_every_side_all_arrive(start: Start, tmp_path: Path) -> None:
    app = chain(plain=True)
    life = start(app, **REAL)

    def send() -> None:
        for first in range(0, 250, 50):
            app.send(*(A(n=n) for n in range(first, first + 50)), state=tmp_path / "state")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def all_arrived() -> None:
        while life.dispatcher.counts["done"] < 2000:
            await life.dispatcher.pipeline.changed()

    life.run(all_arrived())
    assert sorted(numbers(life.data(C))) == sorted([*range(250)] * 4)


# --- starting and stopping


def test_an_engine_that_stops_at_any_moment_of_its_start_stops(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(30):
        (tmp_path / "in" / str(n)).write_text("x")
    app = App("a", sources=[Folder(tmp_path / "in")])
    seen: list[str] = []

    @app.on(ObjectCreated)
    async def handler(event: ObjectCreated) -> None:
        seen.append(event.key)

    async def cycle(turns: int) -> None:
        async with Engine(app, StateFolder(tmp_path / "state"), durable=False):
            for _ in range(turns):
                await asyncio.sleep(0)

    async def cycles() -> None:
        for turns in range(40):
            await asyncio.wait_for(cycle(turns), PATIENCE)
        async with Engine(app, StateFolder(tmp_path / "state"), durable=False) as engine:
            await asyncio.wait_for(engine.drained(), PATIENCE)

    asyncio.run(cycles())
    assert len(seen) == len(set(seen)) == 30


def test_what_runs_finishes_within_the_grace_and_nothing_new_starts(start: Start) -> None:
    gate = threading.Event()
    app = App("a", threads=1)
    seen: list[str] = []

    @app.on(A)
    def first(event: A) -> B:
        gate.wait(PATIENCE)
        seen.append("a")
        return B()

    @app.on(B)
    async def second(event: B) -> None:
        seen.append("b")

    life = start(app, grace=5.0)
    life.append(A(), A())
    life.until(lambda: life.dispatcher.running)

    async def stop() -> None:
        stopping = asyncio.ensure_future(life.engine.__aexit__(None, None, None))
        await asyncio.sleep(0)
        gate.set()
        await stopping

    life.run(stop())
    assert seen == ["a"]
    life = start(app)
    life.settle()
    assert seen == ["a", "a", "b", "b"] or sorted(seen) == ["a", "a", "b", "b"]
    assert {(run.state, run.attempt) for run in life.runs()} == {("done", 1)}


def test_what_outlasts_the_grace_is_given_back_without_an_attempt_and_runs_in_the_next_life(start: Start) -> None:
    gate = threading.Event()
    app = App("a", retry=Retry(attempts=1))
    finished: list[tuple[str, int]] = []

    @app.on(A)
    def in_a_thread(event: A, ctx: Context) -> None:
        gate.wait(PATIENCE)
        finished.append(("thread", ctx.attempt))

    @app.on(A)
    async def on_the_loop(event: A, ctx: Context) -> None:
        while not gate.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        finished.append(("loop", ctx.attempt))

    life = start(app, grace=0.02)
    life.append(A())
    life.until(lambda: len(life.dispatcher.running) == 2)
    life.stop()
    assert finished == []
    gate.set()
    life = start(app)
    life.settle()
    assert {(run.state, run.attempt) for run in life.runs()} == {("done", 1)}
    assert {row.outcome for run in (1, 2) for row in life.attempts(run)} == {"given back"}
    assert ("loop", 1) in finished


def test_a_run_that_is_claimed_while_the_stop_begins_does_not_start(start: Start) -> None:
    app = App("a", retry=Retry(attempts=1))
    started: list[int] = []

    @app.on(A)
    async def handler(event: A) -> None:
        started.append(event.n)
        await asyncio.Event().wait()

    life = start(app)

    async def race() -> None:
        life.dispatcher.append([delivery(A(n=1))])
        await asyncio.sleep(0)
        assert life.dispatcher.pipeline.busy
        await life.dispatcher.stop(1.0)
        await life.engine.__aexit__(None, None, None)

    life.run(race())
    assert started == []
    life = start(App("a"))
    assert [(run.state, run.attempt) for run in life.runs()] == [("waiting", 0)]


def test_leaving_by_an_error_stops_all_the_same(tmp_path: Path) -> None:
    async def work() -> None:
        async with Engine(chain(), StateFolder(tmp_path / "s"), durable=False) as engine:
            engine.dispatcher.append([delivery(A())])
            raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="terminal"):
        asyncio.run(work())
    assert StateFolder(tmp_path / "s").holder() is None


def test_an_error_that_no_retry_can_mend_ends_the_engine_and_does_not_hang(tmp_path: Path) -> None:
    def broken(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO nowhere VALUES (1)")

    async def work() -> None:
        async with Engine(chain(), StateFolder(tmp_path / "s"), durable=False) as engine:
            await engine.quiet()
            engine.dispatcher.pipeline.order(broken, lambda _: None)
            engine.dispatcher.append([delivery(A())])
            await engine.forever()

    with pytest.raises(apsw.SQLError, match="nowhere"):
        asyncio.run(asyncio.wait_for(work(), PATIENCE))
    assert StateFolder(tmp_path / "s").holder() is None


def test_a_second_engine_on_a_folder_is_told_who_has_it(start: Start, tmp_path: Path) -> None:
    start(chain())
    with pytest.raises(StateHeld, match=f"is in use by process {os.getpid()}"):
        Life(chain(), tmp_path / "state")


def test_a_folder_that_could_not_be_used_is_free_again(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "s").create()
    state.journal.write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(StateError, match="is not a journal"):
        Life(chain(), tmp_path / "s")
    assert state.holder() is None


def test_an_app_that_cannot_work_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    app = App("a")

    @app.on(A, reads={"nowhere"})
    async def handler(event: A) -> None: ...

    with pytest.raises(WiringError, match="nowhere"):
        Life(app, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_folder_that_does_not_exist_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    app = App("a", sources=[Folder(tmp_path / "missing")])
    with pytest.raises(WiringError, match=r"missing.* does not exist"):
        Life(app, tmp_path / "s")
    assert not (tmp_path / "s").exists()


class Nameless:
    """A source that lost its name since it was declared."""

    lost = False

    @property
    def name(self) -> str:
        if self.lost:
            raise OSError("the name server is gone")
        return "nameless"

    async def deliveries(self, site: Any) -> Any:
        yield []


def test_a_start_that_fails_halfway_frees_the_folder_and_the_journal(tmp_path: Path) -> None:
    source = Nameless()
    app = App("a", sources=[source])
    source.lost = True
    for _ in range(2):
        with pytest.raises(OSError, match="the name server is gone"):
            Life(app, tmp_path / "s", threaded=True)
        assert StateFolder(tmp_path / "s").holder() is None
        assert "triggers-journal" not in {thread.name for thread in threading.enumerate()}


# --- sources


class Numbered:
    """A source of numbered events, which notes how far it was read."""

    name = "numbered"

    def __init__(self, total: int, batch: int) -> None:
        self.total, self.batch, self.read = total, batch, 0

    async def deliveries(self, site: Any) -> Any:
        while self.read < self.total:
            rows: Sequence[Delivery] = [delivery(A(n=self.read + n), source=self.name) for n in range(self.batch)]
            self.read += self.batch
            yield rows


def test_a_source_is_read_no_further_while_the_backlog_is_full(start: Start) -> None:
    source = Numbered(1000, 10)
    app = App("a", sources=[source], backlog=50)
    gate: list[asyncio.Event] = []
    most: list[int] = []

    @app.on(A, concurrency=1)
    async def handler(event: A) -> None:
        if not gate:
            gate.append(asyncio.Event())
        await gate[0].wait()
        most.append(life.engine.journal.open_runs)

    life = start(app)
    life.until(lambda: life.engine.journal.open_runs >= 50)
    life.append(B())
    life.append(B())
    assert source.read == 50
    gate[0].set()
    life.settle()
    assert len(most) == 1000
    assert max(most) <= 60


class Broken:
    """A source that fails before every second batch."""

    name = "broken"

    def __init__(self) -> None:
        self.left = [1, 2, 3]
        self.fails = True

    async def deliveries(self, site: Any) -> Any:
        while self.left:
            self.fails = not self.fails
            if not self.fails:
                raise OSError("the share is gone")
            yield [delivery(A(n=self.left[0]), id=str(self.left.pop(0)))]


def test_a_source_that_fails_is_started_again_later_and_later_and_the_others_go_on(start: Start) -> None:
    source = Broken()
    seen: list[int] = []
    app = App("a", sources=[source])

    @app.on(A)
    async def handler(event: A) -> None:
        seen.append(event.n)

    life = start(app)
    life.append(A(n=100))
    life.until(lambda: seen == [100])
    assert life.engine.intake.failing == {"broken": "the share is gone"}

    async def passing() -> None:
        while len(seen) < 4:
            life.clock.step(life.clock.monotonic() + 60)
            await asyncio.sleep(0)

    life.run(passing())
    life.settle()
    assert seen == [100, 1, 2, 3]
    assert life.engine.intake.failing in ({}, {"broken": "the share is gone"})


class Unlisted:
    """A source that says itself what is wrong."""

    name = "unlisted"

    async def deliveries(self, site: Any) -> Any:
        raise StateError("the folder in/ cannot be listed; restore it")
        yield []


def test_a_source_that_says_what_is_wrong_is_quoted_without_a_traceback(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    life = start(App("a", sources=[Unlisted(), Broken()]))
    life.until(lambda: len(life.engine.intake.failing) == 2)
    said = {record.args[0]: record for record in caplog.records if record.args}  # type: ignore[index]
    assert said["unlisted"].getMessage() == (
        "source 'unlisted' failed: the folder in/ cannot be listed; restore it; it is started again in 1 s"
    )
    assert not said["unlisted"].exc_info
    assert said["broken"].exc_info


class Unwired:
    """A source that finds nothing to listen to."""

    def __init__(self, name: str = "unwired") -> None:
        self.name = name

    async def deliveries(self, site: Any) -> Any:
        raise WiringError("the queue does not exist")
        yield []


def test_a_source_that_cannot_be_listened_to_at_all_ends_the_engine(tmp_path: Path) -> None:
    life = Life(App("a", sources=[Unwired()]), tmp_path / "s")
    with pytest.raises(WiringError, match="the queue does not exist"):
        life.settle()
    life.stop()


def test_what_is_wrong_with_several_sources_alike_is_said_once(tmp_path: Path) -> None:
    life = Life(App("a", sources=[Unwired("one"), Unwired("two")]), tmp_path / "s")
    with pytest.raises(WiringError, match=r"^the queue does not exist$"):
        life.settle()
    life.stop()


# --- requests and retention


def request(event: Event, id: str) -> Delivery:
    return delivery(event, id=id, source="cli")


def test_a_replay_of_what_is_gone_runs_the_rest_and_names_what_it_misses(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    life = start(chain())
    life.send(A(n=1))
    life.accept(request(Replay(events=[1, *range(50, 60)]), "one"))
    assert numbers(life.data(B)) == [1, 1]
    assert "not replayed, since the journal does not have them (any more): e50, e51, e52, e53, e54 and 5 more" in (
        caplog.text
    )


def test_what_is_remembered_of_a_request_is_forgotten_with_its_identity_and_not_before(start: Start) -> None:
    life = start(App("a", retention=1))
    life.accept(request(Drop(runs=[1]), "old"))
    life.advance(50 * 86_400)
    life.accept(request(Drop(runs=[1]), "new"))
    assert life.ask("SELECT key FROM ledger ORDER BY key") == [(b"cli\0new",), (b"cli\0old",)]
    life.advance(20 * 86_400)
    assert life.ask("SELECT key FROM ledger") == [(b"cli\0new",)]


# --- the disk


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_acknowledged_while_the_disk_is_full_and_work_goes_on_by_itself_when_there_is_room(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    app = App("a")

    @app.on(A)
    async def handler(event: A) -> B:
        seen.append(event.n)
        return B(n=event.n)

    life = start(app)
    life.send(A(n=0))
    app.send(A(n=1), A(n=2), state=tmp_path / "state")
    inbox = tmp_path / "state" / "inbox"

    async def refused() -> None:
        with full_disk():
            life.engine.intake.poke("inbox")
            while not life.dispatcher.pipeline.refused:  # noqa: ASYNC110
                await asyncio.sleep(0)
            for _ in range(3):
                life.clock.step(life.clock.monotonic() + 60)
                await asyncio.sleep(0.001)
                assert life.dispatcher.pipeline.refused

    life.run(refused())
    assert (seen, len(list(inbox.glob("*.jsonl")))) == ([0], 1)
    assert caplog.text.count("the journal cannot be written") == 1
    life.clock.step(life.clock.monotonic() + 60)
    life.settle()
    assert seen == [0, 1, 2]
    assert numbers(life.data(B)) == [0, 1, 2]
    assert not list(inbox.glob("*.jsonl"))
    assert life.dispatcher.pipeline.refused is None


def test_the_time_for_which_the_disk_refused_the_claim_is_not_the_handlers_time(start: Start) -> None:
    app = App("a")
    took: list[float] = []

    @app.on(A)
    async def handler(event: A) -> None: ...

    life = start(app)
    life.dispatcher.listeners.append(lambda run, outcome: took.append(life.clock.now() - run.started))

    async def refused() -> None:
        with full_disk():
            life.dispatcher.append([delivery(A(n=1))])
            while not life.dispatcher.pipeline.refused:  # noqa: ASYNC110
                await asyncio.sleep(0)
            life.clock.step(life.clock.monotonic() + 0.5)

    life.run(refused())
    life.clock.step(life.clock.monotonic() + 60)
    life.settle()
    assert took == [0, 0]


def test_a_result_that_finds_the_disk_full_is_kept_and_the_handler_does_not_run_again(start: Start) -> None:
    runs: list[int] = []
    gate: list[asyncio.Event] = []
    app = App("a")

    @app.on(A)
    async def handler(event: A) -> B:
        runs.append(event.n)
        gate.append(asyncio.Event())
        await gate[0].wait()
        return B(n=event.n)

    life = start(app)
    life.append(A(n=7))
    life.until(lambda: gate)

    async def refused() -> None:
        with full_disk():
            gate[0].set()
            while not life.dispatcher.pipeline.refused:  # noqa: ASYNC110
                await asyncio.sleep(0)

    life.run(refused())
    life.clock.step(life.clock.monotonic() + 60)
    life.settle()
    assert (runs, numbers(life.data(B))) == ([7], [7])


def test_a_stop_while_the_disk_is_full_does_not_wait_for_room_and_loses_nothing(start: Start) -> None:
    app = App("a")
    seen: list[int] = []

    @app.on(A)
    async def handler(event: A) -> None:
        seen.append(event.n)

    life = start(app)
    life.append(A(n=1))
    life.settle()

    async def stopped() -> None:
        with full_disk():
            life.dispatcher.append([delivery(A(n=2))])
            while not life.dispatcher.pipeline.refused:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await life.engine.__aexit__(None, None, None)

    life.run(stopped())
    life = start(app)
    life.send(A(n=3))
    assert seen == [1, 3]
    assert {state for state, _ in life.states()} == {"done"}


# --- handlers that block


def test_a_handler_that_blocks_the_loop_is_reported_by_its_place_and_nothing_is_lost(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.02)
    reported = threading.Event()
    messages: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())
            reported.set()

    app = App("a")
    seen: list[int] = []

    @app.on(A)
    async def blocks(event: A) -> None:
        assert reported.wait(PATIENCE)
        seen.append(event.n)

    listener = Listener(logging.WARNING)
    logging.getLogger().addHandler(listener)  # the last to hear of it: no other test's log does after this one
    try:
        start(app).send(A(n=1), A(n=2))
    finally:
        logging.getLogger().removeHandler(listener)
    assert seen == [1, 2]
    assert "in blocks; nothing else can run meanwhile" in messages[0]


def test_a_loop_that_does_not_run_at_all_is_not_told_to_be_blocked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = threading.Semaphore(0)

    class Resting(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> asyncio.Handle:
            asked.release()
            return super().call_soon_threadsafe(*arguments, **options)

    monkeypatch.setattr(watch, "PATIENCE", 0.02)
    look_out = watch.LoopWatch()
    with closing(Resting()) as loop, closing(look_out):
        look_out.wake(loop)
        for _ in range(3):  # by the third time it has judged twice
            assert asked.acquire(timeout=PATIENCE)
        loop.run_until_complete(asyncio.sleep(0))
    assert caplog.messages == []


def test_a_machine_that_stands_still_makes_no_loop_blocked(caplog: pytest.LogCaptureFixture) -> None:
    class Standstill(threading.Event):
        """It lasts for the whole first wait, after which both go on: who waits, and who is waited for."""

        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            return self.waits > 1 and super().wait(timeout)

    look_out = watch.LoopWatch()
    look_out._answered = answered = Standstill()

    async def running() -> None:
        look_out.wake(asyncio.get_running_loop())
        async with asyncio.timeout(PATIENCE):
            while answered.waits < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    with closing(look_out):
        asyncio.run(running())
    assert caplog.messages == []


def test_a_stuck_thread_keeps_its_slot_and_the_other_threads_go_on(start: Start) -> None:
    gate = threading.Event()
    app = App("a", threads=2)
    seen: list[int] = []

    @app.on(A)
    def handler(event: A) -> None:
        if event.n == 0:
            gate.wait(PATIENCE)
        seen.append(event.n)

    life = start(app)
    life.append(*(A(n=n) for n in range(50)))
    life.until(lambda: len(seen) == 49)
    assert [run.event.data for run in life.dispatcher.running.values()] == ['{"n":0}']
    gate.set()
    life.settle()
    assert sorted(seen) == list(range(50))


class Looking:
    """A source in the middle of a look when it is poked; what is new it finds in the next one."""

    name = "looking"

    def __init__(self) -> None:
        self.looked = asyncio.Event()

    async def deliveries(self, site: Any) -> Any:
        await self.looked.wait()
        site.idle(self.name)
        await site.poked(self.name)
        for _ in range(10):
            await asyncio.sleep(0)
        yield [delivery(A(n=1), source=self.name)]
        site.idle(self.name)
        await site.poked(self.name)


def test_a_source_that_was_poked_during_a_look_is_not_quiet_before_the_next_one(start: Start) -> None:
    source = Looking()
    app = App("a", sources=[source])

    @app.on(A)
    async def handler(event: A) -> None: ...

    life = start(app)
    life.engine.intake.poke("looking")
    source.looked.set()
    life.settle()
    assert life.states() == [("done", 1)]

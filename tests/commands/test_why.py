"""`triggers why`: every reason that there is, in a line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Project
from tests.kit import Life, delivery
from triggers import Adaptive, App, Breaker, Context, Downstream, Event, Later, Rate, Retry, Window, prefix
from triggers.clock import SystemClock
from triggers.commands.output import clock
from triggers.requests import PauseRoutes, ResumeRoutes, accept
from triggers.state import StateFolder
from triggers.testing import START

SINCE = f", since {clock(START.timestamp())}"
PAUSED = "paused since 2026-01-01T00:00:00+00:00 by anna; `triggers resume work` lets it go on"
WEEK = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
UNKNOWN = "; when it starts nobody can say yet: too few runs of work have ended"


class Job(Event):
    name: str = ""


class Made(Event):
    name: str


@pytest.fixture
def gate() -> asyncio.Event:
    """What the handlers wait for."""
    return asyncio.Event()


@pytest.fixture
def live(project: Project) -> Iterator[Any]:
    """Return a function that starts an app over the project's state folder, in this process."""
    lives: list[Life] = []

    def start(app: App, *clock: Any) -> Life:
        lives.append(Life(app, Path(".triggers/churn"), *clock))
        return lives[-1]

    yield start
    for life in lives:
        life.end()


def app_with(handler: Any, **policy: Any) -> App:
    app = App("churn", resources={"gpu": 1})
    app.on(Job, **policy)(handler)
    return app


def test_a_run_that_came_too_often_says_so(project: Project, live: Any) -> None:
    async def work(event: Job) -> None: ...

    live(app_with(work, rate_limit=Rate(1, per=60))).send(Job(), Job())
    said = "work does not run it: 1 had come within 60 s before it (rate_limit=Rate(1, per=60))"
    assert said in project("why", "r2").out


def test_a_run_that_expires_before_its_window_opens_is_promised_no_start(project: Project, live: Any) -> None:
    async def work(event: Job) -> None: ...

    life = live(app_with(work, window="02:00-03:00", expires=15))
    life.send(Job())
    assert why(project, "r1").endswith(f"; it is dropped before that, at {clock(life.clock.now() + 15)} (expires=)")
    life.clock.step(life.clock.monotonic() + 16)
    life.settle()
    said = why(project, "r1")
    assert said.startswith("r1 dropped: work does not run it: ")
    assert said.endswith("(expires=); `triggers dead redrive r1` runs it all the same")


def test_a_run_whose_turn_has_not_come_names_the_one_before_it_and_what_lets_it_go_on(
    project: Project, live: Any
) -> None:
    async def work(event: Job) -> None:
        raise ValueError("no")

    live(app_with(work, in_order="name", retry=Retry(attempts=1))).send(Job(name="1"), Job(name="2"))
    assert why(project, "r2") == (
        "r2 delayed: work goes in the order of its data (in_order=): r1 before it is dead; `triggers dead redrive r1`"
        " or `triggers dead drop r1` lets it go on; `triggers retry r2` does it now"
    )
    assert "until its turn comes (in_order=)" in project("runs").out
    assert project("runs", "--json").data[1]["due"] is None
    assert project("plan").code == 0
    assert project("doctor").code == 0


def test_a_pause_is_told_at_once_and_gone_with_it_whatever_else_holds_the_run(project: Project, live: Any) -> None:
    async def work(event: Job) -> None: ...

    life = live(app_with(work, window="02:00-03:00"))
    life.send(Job())
    closed = why(project, "r1")
    assert closed.startswith("r1 waiting: outside its window 02:00-03:00 UTC")
    life.accept(PauseRoutes(routes=["work"], by="anna"))
    assert why(project, "r1") == f"r1 waiting: {PAUSED}"
    assert PAUSED in project("plan").err
    life.accept(ResumeRoutes(routes=["work"]))
    assert why(project, "r1") == closed


def test_a_pause_is_told_of_what_waits_for_a_limit_and_of_what_is_to_be_tried_again(
    project: Project, live: Any, gate: asyncio.Event
) -> None:
    async def work(event: Job) -> None:
        if event.name == "fails":
            raise OSError("busy")
        await gate.wait()

    life = live(app_with(work, concurrency=1, retry=Retry(on=OSError, initial=60, jitter=False)))
    life.send(Job(name="fails"))
    life.append(Job(), Job())
    life.until(lambda: life.dispatcher.running)
    life.run(accept(life.dispatcher, [delivery(PauseRoutes(routes=[], by="anna"))]))
    whole = "the whole app is paused since 2026-01-01T00:00:00+00:00 by anna; `triggers resume` lets it go on"
    assert why(project, "r3") == f"r3 waiting: {whole}"
    assert why(project, "r1").endswith(f"; nothing of it starts: {whole}")


def waits_for(gate: asyncio.Event) -> Any:
    async def work(event: Job) -> None:
        await gate.wait()

    return work


def why(project: Project, id: str) -> str:
    answer = project("why", id)
    assert answer.code == 0
    return answer.out.strip()


def test_done(project: Project) -> None:
    project.drain("a.csv")
    assert why(project, "r1").startswith("r1 done: process ended well at ")
    assert why(project, "r1").endswith("it emitted e2 Processed")
    assert why(project, "r2").endswith("it emitted e3 Trained")


def test_dead_and_dropped(project: Project) -> None:
    project.drain("bad.csv")
    assert why(project, "r2") == (
        "r2 dead: train failed for good after 1 attempt: ValueError: this table is bad; see `triggers dead show r2`"
    )
    project("dead", "drop", "r2")
    project.drain()
    assert why(project, "r2").startswith("r2 dropped: train was dropped by hand after ValueError")


def test_running_names_the_dispatcher_and_the_attempt(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate)))
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    said = why(project, "r1")
    assert said.startswith("r1 running: work runs since ")
    assert "attempt 1 of 3, by process " in said


def test_running_in_a_thread_says_that_it_cannot_be_stopped_there(project: Project, live: Any) -> None:
    opened = threading.Event()

    def stuck(event: Job) -> None:
        opened.wait(30)

    life = live(app_with(stuck))
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    said = why(project, "r1")
    opened.set()
    assert said.startswith("r1 running: stuck runs since ")
    assert said.endswith("; in a thread, where it can't be stopped: timeout= or isolate=True would run it in a process")


def test_running_on_after_its_timeout_says_so(project: Project, live: Any) -> None:
    opened = asyncio.Event()

    async def deaf(event: Job) -> None:
        while not opened.is_set():
            with suppress(asyncio.CancelledError):
                await opened.wait()

    life = live(app_with(deaf, timeout=0.01))
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    said = why(project, "r1")
    opened.set()
    assert said.endswith("; its timeout of 0.01 s is over, yet it runs on: let CancelledError pass")


def test_running_within_its_timeout_says_nothing_of_it(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate), timeout=1e9))
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    assert "timeout" not in why(project, "r1")


def test_interrupted_by_a_crash(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate)))
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    life.crash()
    assert why(project, "r1") == (
        "r1 interrupted: the process that ran work has ended in attempt 1; no dispatcher is running; it starts again"
        " with `triggers run`"
    )


def test_a_run_whose_process_is_gone_is_interrupted_wherever_it_is_shown(
    project: Project, live: Any, gate: asyncio.Event
) -> None:
    life = live(app_with(waits_for(gate)))
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    assert "1 running" in project("doctor").out
    assert [run["state"] for run in project("runs", "--json", "--state", "running").data] == ["running"]
    assert project("runs", "--json", "--state", "interrupted").data == []
    life.crash()
    assert [run["state"] for run in project("runs", "--json").data] == ["interrupted"]
    assert [run["run"] for run in project("runs", "--json", "--state", "interrupted").data] == ["r1"]
    assert project("runs", "--json", "--state", "running").data == []
    assert "r1 work  interrupted" in project("trace", "r1").out
    assert project("dead", "show", "r1", "--json").data["state"] == "interrupted"
    assert "r1 work  interrupted" in project("dead", "show", "r1").out
    assert "; 1 interrupted; " in project("doctor").out
    retried = project("retry", "r1")
    assert retried.code == 1
    assert retried.err.startswith("error: r1 is interrupted; only what is dead or delayed can be retried; it starts")


def test_waiting_for_the_limit_of_its_route(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate), concurrency=1))
    life.append(Job(), Job(), Job())
    life.until(lambda: life.dispatcher.running)
    assert why(project, "r2") == (
        f"r2 waiting: work runs 1 at a time (concurrency=); held by r1 (work{SINCE}){UNKNOWN}"
    )
    assert why(project, "r3").endswith(f"held by r1 (work{SINCE}); 1 run of work before it{UNKNOWN}")


def test_waiting_for_a_resource_of_another_route(project: Project, live: Any, gate: asyncio.Event) -> None:
    app = app_with(waits_for(gate), needs={"gpu": 1})

    @app.on(Made, needs={"gpu": 0.5})
    def other(event: Made) -> None: ...

    life = live(app)
    life.append(Job())
    life.until(lambda: life.dispatcher.running)
    life.append(Made(name="a"))
    said = why(project, "r2")
    assert said.startswith(f"r2 waiting: it needs 0.5 gpu, and 0 of 1 is free; held by r1 (work{SINCE}); ")
    assert said.endswith("yet: too few runs of work have ended")


def test_only_what_is_exhausted_is_named_and_only_who_holds_it(
    project: Project, live: Any, gate: asyncio.Event
) -> None:
    app = app_with(waits_for(gate))  # takes one of a thousand slots for coroutines, as all three do

    @app.on(Made, needs={"gpu": 1, "cpu": 0.001})
    async def train(event: Made) -> None:
        await gate.wait()

    life = live(app)
    life.append(Job())
    life.append(Made(name="a"), Made(name="b"))
    life.until(lambda: len(life.dispatcher.running) == 2)
    assert why(project, "r3").startswith(
        f"r3 waiting: it needs 1 gpu, and 0 of 1 is free; held by r2 (train{SINCE}); when it starts nobody can say yet"
    )


def test_of_too_few_runs_only_the_routes_are_named_that_a_run_waits_for(
    project: Project, live: Any, gate: asyncio.Event
) -> None:
    app = app_with(waits_for(gate), where={"name": ["work"]}, concurrency=1)
    app.on(Job, where={"name": ["apart"]}, name="apart")(waits_for(gate))
    app.on(Job, where={"name": ["gpu"]}, name="trains", needs={"gpu": 1})(waits_for(gate))
    app.on(Job, where={"name": ["score"]}, name="scores", needs={"gpu": 1})(waits_for(gate))
    life = live(app)
    life.append(*(Job(name=name) for name in ("apart", "work", "gpu")))
    life.until(lambda: len(life.dispatcher.running) == 3)
    life.append(Job(name="work"), Job(name="score"))
    assert why(project, "r4").endswith(UNKNOWN)
    assert why(project, "r5").endswith("nobody can say yet: too few runs of trains have ended")


@pytest.mark.parametrize("bound", [{"concurrency": Adaptive(most=8)}, {"downstream": "api: eu"}], ids=str)
def test_a_limit_that_is_found_out_names_who_holds_it(
    project: Project, live: Any, gate: asyncio.Event, bound: dict[str, Any]
) -> None:
    app = App("churn", downstreams={"api: eu": Downstream(concurrency=Adaptive(most=8))})
    app.on(Job, where={"name": [""]}, name="work", **bound)(waits_for(gate))
    app.on(Job, where={"name": ["apart"]}, name="apart")(waits_for(gate))
    life = live(app)
    life.append(Job(name="apart"), *(Job() for _ in range(4)))
    life.until(lambda: len(life.dispatcher.running) == 5)
    life.append(Job())
    held = ", ".join(f"r{number} (work{SINCE})" for number in (2, 3, 4, 5))
    assert why(project, "r6").endswith(f": 4 at once go well now, 8 at most (Adaptive); held by {held}")
    [found] = project("why", "r6", "--json").data
    assert (found["waits_for"], found["held_by"]) == ("gate", ["r2", "r3", "r4", "r5"])


def test_when_a_breaker_lets_one_try_is_said_once(project: Project, live: Any) -> None:
    def work(event: Job) -> None:
        raise OSError("down")

    app = App("churn", downstreams={"api": Downstream(breaker=Breaker(failures=1, pause=60))})
    app.on(Job, name="work", downstream="api", retry=Retry(attempts=1))(work)
    life = live(app)
    life.send(Job())
    life.send(Job())
    until = clock(START.timestamp() + 60)[-8:]
    assert why(project, "r2").count(until) == 1
    assert project("plan").err.count(until) == 1


def test_no_moment_is_promised_to_those_of_whom_one_is_let_through_to_try(project: Project, live: Any) -> None:
    async def work(event: Job) -> None:
        raise OSError("refused")

    app = App("churn", downstreams={"api": Downstream(breaker=Breaker(failures=1, pause=60))})
    app.on(Job, name="work", downstream="api", retry=Retry(attempts=1))(work)
    life = live(app)
    life.send(Job())
    life.send(Job(), Job())
    for run in ("r2", "r3"):
        [found] = project("why", run, "--json").data
        assert "then one run tries whether it is back" in found["why"]
        assert (found["waits_for"], found["until"], found.get("starts")) == ("gate", None, None)
    [line] = project("plan", "--json").data["routes"]
    assert (line["waiting"], line["unforeseen"]) == (2, 2)


def test_waiting_for_a_slot_names_who_has_them(project: Project, live: Any) -> None:
    opened = threading.Event()
    app = App("churn", threads=2)

    @app.on(Job)
    def work(event: Job) -> None:
        opened.wait(30)

    life = live(app)
    life.append(Job(), Job(), Job())
    life.until(lambda: len(life.dispatcher.running) == 2)
    said = why(project, "r3")
    opened.set()
    held = f"r1 (work{SINCE}), r2 (work{SINCE})"
    assert said == f"r3 waiting: it needs a thread slot, and all 2 are taken; held by {held}{UNKNOWN}"


def test_waiting_behind_a_run_that_is_to_be_tried_again(project: Project, live: Any) -> None:
    def work(event: Job) -> None:
        raise OSError("the disk had a moment")

    life = live(app_with(work, overlap="queue", retry=Retry(initial=60, maximum=60, jitter=False)))
    life.send(Job(), Job())
    assert why(project, "r2") == (
        f"r2 waiting: work runs one at a time (overlap='queue'); to be tried again before: r1 (work){UNKNOWN}"
    )


def test_where_nothing_is_known_of_the_apps_limits_no_cause_is_named(
    project: Project, live: Any, gate: asyncio.Event
) -> None:
    life = live(app_with(waits_for(gate), needs={"gpu": 1}))
    life.append(Job(), Job())
    life.until(lambda: life.dispatcher.running)
    life.ask("DELETE FROM meta WHERE name = 'app'")
    assert why(project, "r2") == "r2 waiting: work starts it when its turn comes"


@pytest.mark.parametrize("options", [{}, {"key": "name"}])
def test_a_window_is_told_of_those_alone_that_wait_for_it(
    project: Project, live: Any, gate: asyncio.Event, options: dict[str, Any]
) -> None:
    life = live(app_with(waits_for(gate), window="02:00-03:00", concurrency=1, **options))
    life.dispatcher.admission.forecast = lambda route, size: (1200, 1200) if (size or 0) > 1000 else (60, 60)
    life.clock.set_wall(datetime(2026, 1, 1, 2, 50, tzinfo=UTC))
    life.append(Job(), Job(), Job(name="x" * 2000))
    life.until(lambda: life.dispatcher.running)
    life.until(lambda: not life.dispatcher.pipeline.busy)
    assert why(project, "r2").startswith("r2 waiting: work runs 1 at a time (concurrency=); held by r1")
    assert why(project, "r3").startswith("r3 waiting: it would not end within its window 02:00-03:00 UTC")


def test_waiting_without_a_dispatcher(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate), concurrency=1))
    life.append(Job(), Job())
    life.until(lambda: life.dispatcher.running)
    life.crash()
    assert why(project, "r2") == "r2 waiting: no dispatcher is running; work starts it with `triggers run`"


@pytest.mark.parametrize(("deadline", "waits"), [(None, True), (60 * 86_400, False)])
def test_a_window_whose_last_day_is_over_says_what_to_do(
    project: Project, live: Any, deadline: float | None, waits: bool
) -> None:
    async def work(event: Job) -> None: ...

    window = Window("00:00-24:00", exclude=WEEK, include=["2026-01-02"])
    life = live(app_with(work, window=window, deadline=deadline))
    life.send(Job())
    assert why(project, "r1").startswith(f"r1 waiting: outside its window {window}")
    over = f"its window {window} does not open any more; give it days to come"
    if waits:
        life.clock.set_wall(datetime(2026, 1, 5, tzinfo=UTC))
        life.send(Job(name="later"))
        assert why(project, "r1") == f"r1 waiting: {over}"
    life.crash()
    said = why(project, "r1")
    assert (
        said == f"r1 waiting: no dispatcher is running, and {over}; then work starts it with `triggers run`"
    ) == waits
    assert (over in said) == waits


def test_waiting_without_a_dispatcher_for_hours_that_no_start_changes(project: Project, live: Any) -> None:
    async def work(event: Job) -> None: ...

    life = live(app_with(work, window="02:00-03:00"))
    life.send(Job())
    life.ask("UPDATE closed SET until = 9e9")  # which is not over by the clock of who asks
    life.crash()
    assert why(project, "r1") == (
        "r1 waiting: no dispatcher is running; work starts it with `triggers run`, once this is over: outside its"
        f" window 02:00-03:00 UTC; it opens at {clock(9e9)}"
    )
    assert project("retry", "r1").err.endswith("can be retried; `triggers why r1` says what it waits for\n")


def test_waiting_for_a_route_that_is_gone(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate), concurrency=1))
    life.append(Job(), Job())
    life.until(lambda: life.dispatcher.running)
    life.crash()
    live(app_with(waits_for(gate), name="worker"))
    assert why(project, "r2") == (
        "r2 waiting: route 'work' is not in the app any more; did you mean 'worker'?; it waits until the app has it"
        " again"
    )


def test_delayed_says_until_when_and_after_what(project: Project, live: Any) -> None:
    def work(event: Job) -> None:
        raise OSError("the disk had a moment")

    life = live(app_with(work, retry=Retry(initial=60, maximum=60, jitter=False)))
    life.send(Job())
    said = why(project, "r1")
    assert said.startswith("r1 delayed: work is tried again at ")
    assert "attempt 1 of 3 done after OSError: the disk had a moment" in said
    assert said.endswith("`triggers retry r1` does it now")


def test_a_run_that_is_not_to_start_yet_is_no_retry(project: Project, live: Any) -> None:
    async def work(event: Job) -> None: ...

    live(app_with(work, not_before=600)).send(Job())
    said = why(project, "r1")
    assert said.startswith(f"r1 delayed: work does not start it before {clock(START.timestamp() + 600)}")
    assert said.endswith(" (not_before=); `triggers retry r1` does it now")
    assert f"until {clock(START.timestamp() + 600)} (not_before=)" in project("runs").out


def test_put_back_by_its_handler(project: Project, live: Any) -> None:
    def work(event: Job) -> None:
        raise Later("the market is closed", hours=1)

    life = live(app_with(work))
    life.send(Job())
    assert "work is tried again at " in why(project, "r1")
    assert "Later: the market is closed" in why(project, "r1")


def test_an_event_that_no_route_takes(project: Project, live: Any, gate: asyncio.Event) -> None:
    live(app_with(waits_for(gate))).send(Made(name="x"))
    assert why(project, "e1").startswith("e1: no route takes Made; known: Job")


def test_an_event_whose_pattern_does_not_match_names_the_condition_that_failed(project: Project, live: Any) -> None:
    def work(event: Job) -> None: ...

    live(app_with(work, where={"name": prefix("new-")})).append(Job(name="old-1"))
    assert why(project, "e1") == "e1: work does not take it: name: 'old-1' does not start with 'new-'"


def test_an_event_of_another_source_names_both(project: Project) -> None:
    project.write("picky.py", PICKY)
    (project.home / "one").mkdir()
    (project.home / "two").mkdir()
    project.write("two/a.csv", "x")
    project("run", "picky", "--drain")
    assert why(project, "e1") == "e1: picky does not take it: it listens to source 'one', and this came from 'two'"


PICKY = """
from triggers import App, Folder, ObjectCreated

app = App("picky", sources=[Folder("one"), Folder("two")])

@app.on(ObjectCreated, source="one")
def picky(event: ObjectCreated) -> None: ...
"""


def test_an_event_older_than_its_route_can_be_replayed(project: Project, live: Any) -> None:
    def work(event: Job) -> None: ...

    life = live(App("churn"))
    life.send(Job())
    life.stop()
    live(app_with(work))
    assert "`triggers replay --event e1 --yes` runs it" in why(project, "e1")


def test_a_request_is_called_one(project: Project) -> None:
    project.drain("bad.csv")
    project("dead", "drop", "r2")
    project.drain()
    [request] = project("events", "--json", "--type", "triggers.drop").data
    assert "a request to the app" in why(project, request["event"])


def test_an_event_with_runs_has_a_line_for_each_and_json_says_the_same(project: Project) -> None:
    project.drain("a.csv")
    assert why(project, "e1").startswith("e1 r1 done: process ended well")
    [found] = project("why", "e1", "--json").data
    assert (found["id"], found["state"]) == ("e1 r1", "done")


def test_asking_why_does_not_disturb_who_holds_the_state(project: Project) -> None:
    project.drain("a.csv")
    held = StateFolder(project.state)
    held.acquire()
    why(project, "r1")
    assert held.holder()
    held.release()


def test_a_closed_gate_is_named_with_its_reason_and_when_it_opens(project: Project, live: Any) -> None:
    async def work(event: Job) -> None: ...

    life = live(app_with(work, window="02:00-03:00 UTC"))
    life.send(Job())
    said = why(project, "r1")
    opens = clock(START.timestamp() + 7200)
    assert said.startswith(f"r1 waiting: outside its window 02:00-03:00 UTC; it opens at {opens}")
    [found] = project("why", "r1", "--json").data
    assert (found["waits_for"], found["held_by"], found["until"]) == ("gate", [], "2026-01-01T02:00:00.000+00:00")


def test_a_gate_that_holds_one_key_back_is_no_reason_for_another(
    project: Project, live: Any, gate: asyncio.Event
) -> None:
    life = live(app_with(waits_for(gate), key="name", throttle=Rate(1, per=1000), needs={"gpu": 1}), SystemClock())
    life.append(Job(name="a"))
    life.until(lambda: life.dispatcher.running)
    life.append(Job(name="a"), Job(name="b"))
    assert "1 run of 'a' started in the last 1000 s" in why(project, "r2")
    assert why(project, "r3").startswith("r3 waiting: it needs 1 gpu, and 0 of 1 is free; held by r1")


def test_however_many_keys_are_throttled_each_of_their_runs_is_told_so(project: Project, live: Any) -> None:
    async def work(event: Job) -> None: ...

    life = live(app_with(work, key="name", throttle=Rate(1, per=7200)), SystemClock())
    life.send(*(Job(name=f"k{n % 120}") for n in range(240)))
    [last] = project("why", "r240", "--json").data
    assert last["why"].startswith(
        "1 run of 'k119' started in the last 7200 s (throttle=Rate(1, per=7200)); it opens at "
    )
    assert (last["waits_for"], last["starts"]["p50"]) == ("gate", last["until"])
    assert "1 run of 'k0' started in the last 7200 s (throttle=Rate(1, per=7200)) until " in project("plan").err


def test_waiting_for_others_of_its_key(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate), key="name", per_key=1))
    life.append(Job(name="a"), Job(name="b"), Job(name="a"))
    life.until(lambda: len(life.dispatcher.running) == 2)
    said = why(project, "r3")
    assert said.startswith(f"r3 waiting: work runs 1 at a time of key 'a' (per_key=); held by r1 (work{SINCE})")


def test_who_ranks_before_is_counted_by_rank(project: Project, live: Any, gate: asyncio.Event) -> None:
    life = live(app_with(waits_for(gate), concurrency=1, priority=lambda event: 9 * (event.name == "urgent")))
    life.append(Job(), Job(), Job(), Job(name="urgent"))
    life.until(lambda: life.dispatcher.running)
    assert "before it" not in why(project, "r4")
    assert "; 2 runs of work before it" in why(project, "r3")


def test_the_expected_start_and_end_are_said_with_their_range(project: Project, live: Any) -> None:
    goes = asyncio.Event()
    goes.set()

    async def work(event: Job) -> None:
        await goes.wait()

    life = Life(app_with(work, concurrency=1), Path(".triggers/churn"), SystemClock())
    try:
        life.send(*(Job() for _ in range(5)))
        goes.clear()
        life.append(Job(), Job())
        life.until(lambda: life.dispatcher.running)
        [first], [second] = (project("why", id, "--json").data for id in ("r6", "r7"))
        assert "; expected: ends now" in first["why"] or "; expected: ends at" in first["why"]
        assert second["starts"]["p10"] <= second["starts"]["p50"] <= second["starts"]["p90"] <= second["ends"]["p90"]
        assert (second["waits_for"], second["held_by"]) == ("limit", ["r6"])
    finally:
        goes.set()
        life.end()


def test_how_far_a_run_has_come_is_said_while_it_runs_and_after(project: Project, live: Any) -> None:
    gate = asyncio.Event()

    async def work(event: Job, ctx: Context) -> None:
        ctx.checkpoint(3, done=3, total=4)
        await gate.wait()
        raise OSError("gone")

    life = live(app_with(work))
    life.append(Job())
    while not life.ask("SELECT 1 FROM checkpoint"):
        pass
    assert "; it has come to 3 of 4 (75 %)" in why(project, "r1")
    assert "3 of 4 (75 %)" in project("runs").out
    assert [(run["done"], run["total"]) for run in project("runs", "--json").data] == [(3, 4)]

    async def let_go() -> None:
        gate.set()

    life.run(let_go())
    life.settle()
    assert "; it has come to 3 of 4 (75 %)" in why(project, "r1")

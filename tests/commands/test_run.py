"""`triggers run`: finding the app and its places, working, stopping."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Process, Project
from tests.kit import Life
from triggers import App, Event, Later
from triggers.state import StateFolder

Start = Callable[..., Process]


class Asked(Event):
    pass


SLOW = """
import time
from pathlib import Path
from triggers import App, Event, Folder, ObjectCreated

app = App("slow", sources=[Folder("incoming", name="incoming")])

@app.on(ObjectCreated)
def wait(event: ObjectCreated) -> None:
    while not Path("go").exists():
        time.sleep(0.01)
"""


def test_draining_works_off_what_there_is_and_says_so(project: Project) -> None:
    answer = project.drain("a.csv", "notes.txt")
    assert answer.code == 0
    assert answer.out == ""
    assert "process r1  started  e" in answer.err
    assert "-> Processed" in answer.err
    assert "drained: 4 events, 2 runs done in" in answer.err


def test_a_dead_letter_makes_draining_fail(project: Project) -> None:
    answer = project.drain("bad.csv")
    assert answer.code == 1
    assert "error: train r2  dead after attempt 1 of 3: ValueError: this table is bad" in answer.err
    assert "1 dead (see `triggers dead`)" in answer.err
    answer = project("run", "app.py", "--drain", "--state", "my state")
    assert "1 dead (see `triggers dead --state 'my state'`)" in answer.err


def test_an_error_without_words_is_told_by_its_class(project: Project) -> None:
    app = (project.home / "app.py").read_text()
    project.write("app.py", app.replace('ValueError("this table is bad")', "ValueError"))
    assert project.drain("bad.csv").err.splitlines()[-2].endswith("train r2  dead after attempt 1 of 3: ValueError")


def test_draining_waits_for_retries(project: Project) -> None:
    answer = project.drain("flaky.csv")
    assert answer.code == 0
    assert "failed (attempt 1 of 3)" in answer.err
    assert "2 runs done" in answer.err


def test_an_old_dead_letter_is_no_failure_of_this_session(project: Project) -> None:
    assert project.drain("bad.csv").code == 1
    assert project.drain("a.csv").code == 0


def test_draining_says_what_it_waits_for_and_until_when(project: Project, start: Start) -> None:
    app = (project.home / "app.py").read_text()
    project.write("app.py", app.replace("@app.on(Processed,", "@app.on(Processed, not_before=60,"))
    project.drop("a.csv")
    process = start("run", "app.py", "--drain")
    process.until("nothing runs; waiting until ")
    assert re.search(r"until \S+ for train \(r2\): not to start before \(not_before=\)\n$", process.heard)
    process.tell(signal.SIGTERM)
    assert process.end() == 143


def test_draining_fails_and_names_the_way_out_where_a_dead_run_holds_others_up(project: Project) -> None:
    project.write("app.py", IN_ORDER)
    for day in (1, 2, 3):
        project("send", "Day", f'{{"n": {day}}}', "--app", "app.py")
    for dead in (", 1 dead (see `triggers dead`)", ""):  # also where it died in another session
        answer = project("run", "app.py", "--drain")
        assert answer.code == 1
        assert answer.err.splitlines()[-2].endswith(
            "error: left over of book: r2, r3, for r1 before them is dead (in_order=); `triggers dead redrive r1` or"
            " `triggers dead drop r1` lets them go on"
        )
        assert f"0 runs done{dead} in" in answer.err
    project("dead", "drop", "r1")
    assert project("run", "app.py", "--drain").code == 0


IN_ORDER = """
from triggers import App, Event, Reject

class Day(Event):
    n: int

app = App("books")

@app.on(Day, in_order="n")
async def book(event: Day) -> None:
    if event.n == 1:
        raise Reject("not a day")
"""


def test_quiet_says_nothing_where_all_is_well(project: Project) -> None:
    project.write("end.py", "from triggers import App, Event\nclass A(Event): ...\napp = App('end')\n"
                  "@app.on(A)\ndef end(event: A) -> None: ...\n")  # fmt: skip
    project("send", "A", "--app", "end")
    assert project("run", "end", "--drain", "--quiet").err == ""
    assert [run["state"] for run in project("runs", "--json").data] == ["done"]


def test_quiet_still_says_what_fails(project: Project) -> None:
    project.drop("bad.csv", "flaky.csv")
    said = project("run", "app", "--drain", "--quiet").err
    assert re.search(r"error: train r[34]  dead after attempt 1 of 3: ValueError: this table is bad", said)
    assert "failed (attempt 1 of 3)" in said
    assert "started" not in said


def test_warnings_of_the_wiring_are_said_at_the_start(project: Project) -> None:
    assert "warning: route 'train' emits Trained, which no route handles" in project.drain().err


def test_logs_as_json_are_one_object_a_line(project: Project) -> None:
    project.drop("a.csv")
    answer = project("run", "app.py", "--drain", "--log-format", "json")
    lines = [json.loads(text) for text in answer.err.splitlines()]
    ends = [line for line in lines if line.get("outcome") == "done"]
    assert [(line["route"], line["run"], line["attempt"]) for line in ends] == [
        ("process", "r1", 1),
        ("train", "r2", 1),
    ]
    assert all(line["seconds"] >= 0 and line["level"] == "info" for line in ends)


LOGGING = """
import logging
from triggers import App, Event
app = App("churn")

class Note(Event):
    text: str

@app.on(Note)
def note(event: Note) -> None:
    try:
        raise ValueError(event.text)
    except ValueError:
        logging.exception("failed")
"""


@pytest.mark.parametrize("form", ["plain", "json"])
def test_what_a_handler_logs_of_an_error_cannot_command_the_terminal(project: Project, form: str) -> None:
    project.write("noting.py", LOGGING)
    project("send", "Note", json.dumps({"text": "\x1b[2J\x9b\u2028\u202eok"}), "--app", "noting.py")
    said = project("run", "noting.py", "--drain", "--log-format", form).err
    assert "ValueError: " in said
    assert said.replace("\n", "").isprintable()


@pytest.mark.parametrize("target", ["app", "app.py", "app:app", "./app.py:app"])
def test_an_app_is_found_by_module_and_by_path(project: Project, target: str) -> None:
    project.drop("a.csv")
    assert project("run", target, "--drain").code == 0


def test_a_module_of_a_package_is_found_by_its_path(project: Project) -> None:
    project.write("jobs/__init__.py", "")
    project.write("jobs/names.py", "NAME = 'packed'\n")
    project.write("jobs/main.py", "from triggers import App\nfrom jobs.names import NAME\napp = App(NAME)\n")
    assert "packed" in project("check", "jobs/main.py").err


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("ap", 3, "no module 'ap' in "),
        ("ap", 3, "did you mean 'app'?"),
        ("ap.py", 3, "no file ap.py; did you mean 'app.py'?"),
        ("app:ap", 3, "app has no 'ap'; did you mean 'app'?"),
        ("app:train", 3, "app has a function, not an App, called 'train'"),
        ("empty", 3, "empty has no App"),
        ("two", 3, "two has several apps; say which: two:one, two:other"),
        ("needs", 4, "ModuleNotFoundError: No module named 'nowhere'"),
        ("exits", 4, "SystemExit: 3"),
        ("syntax", 4, "SyntaxError"),
        ("./notes.txt", 3, "./notes.txt is no Python module; name a file such as app.py"),
        ("broken", 4, "KeyError: 'x'"),
        (".", 3, ". is a folder and no package; name a module in it"),
        ("", 3, "'' names no module; write MODULE or MODULE:APP"),
        (":app", 3, "':app' names no module; write MODULE or MODULE:APP"),
    ],
)
def test_an_app_that_is_not_there_is_explained(project: Project, target: str, code: int, said: str) -> None:
    project.write("empty.py", "")
    project.write("two.py", "from triggers import App\none, other = App('one'), App('other')\n")
    project.write("notes.txt", "")
    project.write("needs.py", "import nowhere\n")
    project.write("exits.py", "import sys\nsys.exit(3)\n")
    project.write("syntax.py", "def (\n")
    project.write("broken.py", "def helper():\n    return {}['x']\n\nhelper()\n")
    answer = project("run", target, "--drain")
    assert answer.code == code
    assert said in answer.err
    assert answer.err.count("error:") == 1


def test_a_module_that_does_not_import_shows_its_own_frames_only(project: Project) -> None:
    broken = project.write("broken.py", "def helper():\n    return {}['x']\n\nhelper()\n")
    answer = project("check", "broken")
    assert "error: broken does not import:" in answer.err
    assert [text for text in answer.err.splitlines() if "File" in text] == [
        f'  File "{broken}", line 4, in <module>',
        f'  File "{broken}", line 2, in helper',
    ]


def test_wiring_errors_are_named_one_a_line(project: Project) -> None:
    project.write("wrong.py", WRONG)
    answer = project("run", "wrong", "--drain")
    assert answer.code == 4
    assert "error: route 'f' needs 'gpus', which the app does not have; did you mean 'gpu'?" in answer.err
    assert "error: route 'f': writes= names 'out'" in answer.err


WRONG = """
from triggers import App, Event

class A(Event): ...

app = App("wrong", resources={"gpu": 1})

@app.on(A, needs={"gpus": 1}, writes={"out"})
def f(event: A) -> None: ...
"""


# --- places --------------------------------------------------------------------------------------


def test_an_option_binds_before_the_environment_and_that_before_the_file(project: Project) -> None:
    for name in ("by_file", "by_environment", "by_option"):
        project.write(f"{name}/{name}.csv", "x")
    project.write("triggers.toml", '[bind]\nincoming = "by_file"\n')
    environment = {"TRIGGERS_BIND_INCOMING": "by_environment"}
    assert "by_file.csv" in project("run", "app", "--drain").err
    assert "by_environment.csv" in project("run", "app", "--drain", env=environment).err
    answer = project("run", "app", "--drain", "--bind", "incoming=by_option", env=environment)
    assert "by_option.csv" in answer.err


@pytest.mark.parametrize(
    ("args", "file", "env", "code", "said"),
    [
        (["--bind", "incomin=x"], "", {}, 4, "has no such place; did you mean 'incoming'?"),
        (["--bind", "incoming"], "", {}, 2, "must be NAME=PLACE, as in incoming=/data/incoming"),
        ([], "", {"TRIGGERS_BIND_OTHER": "x"}, 4, "TRIGGERS_BIND_OTHER is set, but app 'churn' has no place"),
        ([], "[bind]\nincomin = 'x'", {}, 4, "[bind] names 'incomin', which the app has not; did you mean 'incoming'?"),
        ([], "[bind]\nincoming = 3", {}, 4, "[bind] must hold names and paths"),
        ([], "[bind", {}, 4, "triggers.toml cannot be read"),
        (["--bind", "incoming=nowhere"], "", {}, 4, "does not exist"),
    ],
)
def test_a_place_that_cannot_be_bound_is_explained(
    project: Project, args: list[str], file: str, env: dict[str, str], code: int, said: str
) -> None:
    if file:
        project.write("triggers.toml", file)
    answer = project("run", "app", "--drain", *args, env=env)
    assert answer.code == code
    assert said in answer.err


def test_the_state_is_where_the_option_or_the_environment_says(project: Project) -> None:
    project("run", "app", "--drain", "--state", "one")
    project("run", "app", "--drain", env={"TRIGGERS_STATE": "other"})
    assert (project.home / "one" / "journal.db").exists()
    assert (project.home / "other" / "journal.db").exists()
    assert not project.state.exists()


def test_a_state_folder_in_use_names_its_holder(project: Project) -> None:
    project.drain()
    held = StateFolder(project.state)
    held.acquire()
    answer = project("run", "app", "--drain")
    held.release()
    assert answer.code == 5
    assert "error: .triggers/churn is in use by process" in answer.err


def test_the_state_folder_of_another_app_is_refused_until_it_is_adopted(project: Project) -> None:
    project.drain("a.csv")
    project.write("other.py", (project.home / "app.py").read_text().replace('"churn"', '"fraud"'))
    project.drop("b.csv")
    answer = project("run", "other", "--drain", env={"TRIGGERS_STATE": str(project.state)})
    assert answer.code == 4
    [line] = answer.err.splitlines()
    assert line.endswith(
        "journal.db is the journal of app 'churn', not of 'fraud'; name another folder with --state (or"
        " TRIGGERS_STATE), or, if 'churn' was renamed, start it once with `triggers run --adopt`"
    )
    answer = project("run", "other", "--drain", "--adopt", "--state", str(project.state))
    assert answer.code == 0
    assert "b.csv" in answer.err
    assert "a.csv" not in answer.err
    assert project("run", "other", "--drain", "--state", str(project.state)).code == 0
    assert project("run", "app", "--drain").code == 4


def test_a_state_folder_that_is_deleted_under_an_idle_app_ends_it(project: Project, start: Start) -> None:
    process = start("run", "app")
    process.until("churn runs with 2 routes")
    project("send", "Processed", '{"table": "a"}')
    process.until("train r1  done")
    shutil.rmtree(project.state)
    assert process.end() == 4
    assert process.heard.splitlines()[-1] == (
        "error: the state folder .triggers/churn was deleted, moved or replaced while the app ran; what is done from"
        " now on would be lost: put it back, or start again with a new one"
    )
    assert "Traceback" not in process.heard
    assert not project.state.exists()


def test_the_last_line_tells_of_dead_letters_that_were_redriven_meanwhile(project: Project, start: Start) -> None:
    app = (project.home / "app.py").read_text()
    app = app.replace('"bad.csv":', '"bad.csv" and not Path("mended").exists():')
    project.write("app.py", f"from pathlib import Path\n{app}")
    project.drop("bad.csv")
    process = start("run", "app")
    process.until("train r2  dead")
    project.write("mended", "")
    while not project("dead", "--json").data:  # what is logged becomes durable a moment later
        pass
    project("dead", "redrive", "r2")
    process.until("train r2  done")
    process.tell(signal.SIGTERM)
    assert process.end() == 143
    assert ", 2 runs done, 1 redriven or dropped in " in process.heard
    assert "see `triggers dead`" not in process.heard


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_obstacle(project: Project, closed: str) -> None:
    project.drop("a.csv")
    words = f"exec {sys.executable} -m triggers run app.py --drain {closed}"
    assert subprocess.run(["sh", "-c", words], cwd=project.home, timeout=60).returncode == 0
    assert [run["state"] for run in project("runs", "--json").data] == ["done", "done"]


# --- signals -------------------------------------------------------------------------------------


def test_a_signal_lets_what_runs_finish(project: Project, start: Start) -> None:
    project.write("slow.py", SLOW)
    project.drop("a.csv")
    process = start("run", "slow")
    process.until("wait r1  started")
    process.tell(signal.SIGTERM)
    process.until("stopping: 1 run may take up to 30.0 s: wait r1; once more to end at once")
    project.write("go", "")
    assert process.end() == 143
    assert "wait r1  done" in process.heard
    assert "stopped: 1 event, 1 run done" in process.heard


def test_a_run_that_outlasts_the_grace_is_given_back(project: Project, start: Start) -> None:
    project.write("slow.py", SLOW)
    project.drop("a.csv")
    process = start("run", "slow", "--grace", "0.05")
    process.until("wait r1  started")
    process.tell(signal.SIGINT)
    assert process.end() == 130
    assert "wait r1  given back; the next start runs it" in process.heard
    [run] = project("runs", "--json").data
    assert (run["state"], run["attempt"], run["started"]) == ("waiting", 0, None)
    assert project("runs").out.splitlines()[1].split() == ["r1", "wait", "e1", "waiting", "0", "-", "-"]


def test_a_second_signal_ends_it_at_once(project: Project, start: Start) -> None:
    project.write("slow.py", SLOW)
    project.drop("a.csv")
    process = start("run", "slow")
    process.until("wait r1  started")
    process.tell(signal.SIGINT)
    process.until("stopping")
    process.tell(signal.SIGTERM)
    assert process.end() == 143
    assert "stopped" not in process.heard
    assert project("why", "r1").out.startswith("r1 interrupted: the process that ran wait has ended")


BLOCKED = """
import hashlib
import time
from triggers import App, Event

class Job(Event):
    how: str

app = App("blocked")

@app.on(Job)
async def block(event: Job) -> None:
    if event.how == "loops":
        while True:
            pass
    if event.how == "sleeps":
        time.sleep(600)
    if event.how == "computes":
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize("how", ["loops", "sleeps", "computes"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_loop_that_is_blocked_keeps_no_signal_from_being_heard(
    project: Project, start: Start, how: str, number: signal.Signals, code: int
) -> None:
    place = blocked(project, how)
    process = start("run", "blocked")
    process.until("block r1  started")
    process.tell(number)
    process.until(f"the stop waits: the event loop is blocked at {place}")
    process.tell(number)
    assert process.end() == code
    assert [(run["state"], run["attempt"]) for run in project("runs", "--json").data] == [("interrupted", 1)]


def test_a_loop_that_stays_blocked_is_left_behind_when_the_grace_is_over(project: Project, start: Start) -> None:
    blocked(project, "loops")
    process = start("run", "blocked", "--grace", "0.1")
    process.until("block r1  started")
    process.tell(signal.SIGTERM)
    assert process.end() == 143
    assert "ended although the event loop is blocked at" in process.heard


def test_a_closed_terminal_stops_it_and_is_no_second_signal(project: Project, start: Start) -> None:
    project.write("slow.py", SLOW)
    project.drop("a.csv")
    process = start("run", "slow")
    process.until("wait r1  started")
    process.tell(signal.SIGHUP)
    process.until("stopping: 1 run")
    process.tell(signal.SIGHUP)
    project.write("go", "")
    assert process.end() == 129
    assert "wait r1  done" in process.heard


def blocked(project: Project, how: str) -> str:
    """Hand in an event whose handler blocks the loop, and return the file that it does it in."""
    file = project.write("blocked.py", BLOCKED)
    project("send", "Job", f'{{"how": "{how}"}}', "--app", "blocked")
    return str(file)


STUBBORN = """
import asyncio
import apsw
from triggers import App, Event

class Job(Event):
    breaks_the_journal: bool = False

app = App("stubborn")

@app.on(Job)
async def stay(event: Job) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not event.breaks_the_journal:
                raise

@app.on(Job)
async def spoil(event: Job) -> None:
    if event.breaks_the_journal:
        apsw.Connection(".triggers/stubborn/journal.db").execute("DROP TABLE run")
"""


def test_a_fatal_error_is_said_and_ends_it_though_a_handler_never_ends(project: Project, start: Start) -> None:
    project.write("stubborn.py", STUBBORN)
    project("send", "Job", '{"breaks_the_journal": true}', "--app", "stubborn")
    process = start("run", "stubborn")
    assert process.end() == 1
    assert "SQLError: no such table: run" in process.heard
    assert "error: this is a mistake in triggers" in process.heard
    assert f"goes on after it was cancelled: stay at {project.home / 'stubborn.py'}:" in process.heard
    assert StateFolder(project.home / ".triggers/stubborn").holder() is None


def test_draining_ends_though_a_task_of_a_handler_never_ends(project: Project, start: Start) -> None:
    project.write("leaves.py", LEAVES)
    project("send", "Job", "--app", "leaves")
    process = start("run", "leaves", "--drain")
    assert process.end() == 0
    assert "drained: 1 event, 1 run done" in process.heard
    assert "warning: ended although this goes on after it was cancelled: never_ends at " in process.heard


LEAVES = """
import asyncio
from triggers import App, Event

class Job(Event): ...

app = App("leaves")
tasks = []

async def never_ends() -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

@app.on(Job)
async def leave(event: Job) -> None:
    tasks.append(asyncio.create_task(never_ends()))
    await asyncio.sleep(0)
"""


def test_a_folder_that_is_missing_is_the_only_thing_said(project: Project) -> None:
    project.incoming.rmdir()
    answer = project("run", "app", "--drain")
    assert answer.code == 4
    [line] = answer.err.splitlines()
    assert line.startswith("error: folder incoming (source 'incoming') does not exist; create it or bind")
    assert not project.state.exists()


def test_a_running_app_takes_events_and_requests_in(project: Project, start: Start) -> None:
    project.drain("bad.csv")
    process = start("run", "app")
    process.until("churn runs with 2 routes")
    assert "no dispatcher" not in project("send", "Processed", '{"table": "sent"}', "--app", "app").err
    process.until("train r3  done")
    answer = project("dead", "redrive", "r2")
    assert answer.code == 0
    assert answer.out.startswith("redriven r2; now 1 ")
    process.until("train r2  dead")
    while not project("dead", "--json").data:  # what is logged becomes durable a moment later
        pass
    answer = project("dead", "drop", "r2")
    assert answer.out == "dropped r2; now 1 dropped\n"
    answer = project("replay", "--type", "ObjectCreated", "--yes")
    assert answer.out == "replayed 1 event, 1 new run: r4\n"
    process.tell(signal.SIGTERM)
    assert process.end() == 143


def test_runs_of_a_route_that_is_gone_are_left_over_until_it_is_declared_again(project: Project) -> None:
    app = App("churn")

    @app.on(Asked)
    async def answer(event: Asked) -> None:
        raise Later(hours=1)

    life = Life(app, Path(".triggers/churn"))
    life.send(Asked())
    life.end()
    project.write("app.py", 'import triggers\n\napp = triggers.App("churn")\n')
    told = "1 run waits for route 'answer', which this app does not have; nothing is done until it does"
    drained = project("run", "app.py", "--drain")
    assert drained.code == 1
    assert f"left over: {told}" in drained.err
    examined = project("doctor")
    assert examined.code == 1
    assert told in examined.out

"""A failure as a test: what is written has it happen again, and fails or passes as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.commands.conftest import Project
from tests.commands.exported import Exported, Make, statements
from tests.kit import Life, delivery
from triggers.commands.loading import load_app
from triggers.events import Event
from triggers.sources import Delivery

APP = """
from pydantic import AliasChoices, Field, SecretStr

from triggers import (
    All, App, Batch, BatchFailure, Debounce, Event, Folder, Join, Later, MessageReceived, ObjectCreated, Queue, Reject,
    Retry, RunFailed, Tick, cron,
)

mended = []
unmade = set()

def check(what):
    if not mended:
        raise ValueError(f"cannot do {what}")

class Read(Event):
    key: str
    text: str

class Note(Event, version=2):
    text: str
    tags: list[str] = []

    @classmethod
    def upgrade(cls, data, version):
        return {"text": data["words"]}

class Login(Event):
    user: str
    password: SecretStr

class Keys(Event, version=3):
    key: SecretStr = Field(validation_alias=AliasChoices("pem", "private"))
    about: dict[str, object] = {}

    @classmethod
    def upgrade(cls, data, version):
        return {"key": data["certificate"]}

class Row(Event):
    n: int

class Left(Event):
    day: str

class Right(Event):
    day: str

class Order(Event):
    parts: int

class Part(Event):
    n: int

class Made(Event):
    n: int

class Saved(Event):
    n: int

app = App("churn", sources=[Folder("incoming"), Folder("marked", marker="*.ok"), Queue("orders")],
          outputs=[Folder("models")], retry=Retry(attempts=1))
tries = []
opened = []

@app.on(Left, window="07:00-08:00 UTC")
def early(event: Left) -> None:
    check("it early")

@app.on(Right)
def later(event: Right) -> None:
    if event.day not in opened:
        opened.append(event.day)
        raise Later(minutes=20)
    check("it later")

@app.on(ObjectCreated)
def read(event: ObjectCreated) -> Read:
    return Read(key=event.key, text=event.path().read_text())

@app.on(Read, reads={"models"})
def learn(event: Read) -> None:
    check(event.text)

@app.on(Note)
def note(event: Note) -> None:
    check(event)

@app.on(Login)
def login(event: Login) -> None:
    check(f"{event.user} {event.password.get_secret_value()}")

@app.on(Keys)
def unlock(event: Keys) -> None:
    check(repr(event.key.get_secret_value()))

@app.on(Join(Login, Read, by={Login: "user", Read: "key"}, within=60))
def enter(login: Login, read: Read) -> None:
    check(f"{login.user} {read.text}")

@app.on(Row, batch=Batch(3, within=60))
def load(events: list[Row]) -> Saved:
    if any(row.n < 0 for row in events):
        raise BatchFailure({place: "below zero" for place, row in enumerate(events) if row.n < 0})
    return Saved(n=sum(row.n for row in events))

@app.on(Saved, retry=Retry(on=OSError, attempts=2, initial=0))
def save(event: Saved) -> None:
    tries.append(event.n)
    if event.n == 100 and not mended and tries.count(100) % 2:
        raise OSError("the disk had a moment")
    if event.n > 100:
        check(event.n)

@app.on(Join(Left, Right, by="day", within=3600))
def pair(left: Left, right: Right) -> None:
    check(f"{left.day} and {right.day}")

@app.on(Order)
def split(event: Order) -> list[Part]:
    return [Part(n=n) for n in range(event.parts)]

@app.on(Part)
def make(event: Part) -> Made:
    if event.n in unmade:
        raise Reject(f"no {event.n}")
    return Made(n=event.n)

@app.on(Made, batch=All(Part, within=60))
def whole(events: list[Made]) -> None:
    check(f"all {len(events)}")

@app.on(Left, debounce=Debounce(30))
def settle(event: Left) -> None:
    check(f"the last of {event.day}")

@app.on(MessageReceived, source="orders")
def order(event: MessageReceived) -> None:
    check(event.body)

@app.on(RunFailed, where={"route": "order"})
def mourn(event: RunFailed) -> None:
    check(f"the news of {event.route}")

@app.on(cron("0 7 * * *"))
def nightly(event: Tick) -> None:
    check(f"{event.due:%H:%M}")
"""


class Failing:
    """An app whose handlers fail until it is mended, in a project of its own."""

    def __init__(self, project: Project, harness: Make) -> None:
        self.project, self._harness = project, harness
        for name in ("incoming", "marked"):
            (project.home / name).mkdir(exist_ok=True)
        project.write("app.py", APP)
        self.app = load_app("app.py")
        self.types = vars(sys.modules["app"])
        self.life = Life(self.app, Path(".triggers/churn"), target="app:app")
        self.life.settle()

    def dead(self, route: str) -> int:
        return next(run.number for run in self.life.runs(route) if run.state == "dead")

    def drop(self, path: str, content: str) -> None:
        self.project.write(path, content)
        self.life.engine.intake.poke(path.partition("/")[0])
        self.life.settle()

    def send(self, *events: Event) -> None:
        self.life.append(*(delivery(event, source="send") for event in events))
        self.life.settle()

    def export(self, id: str, *options: str) -> Exported:
        """Write the test of a failure, which need not be where the app is."""
        file = self.project.home / "tests" / f"test_{len(list(self.project.home.glob('tests/*.py')))}.py"
        file.parent.mkdir(exist_ok=True)
        answer = self.project("export-test", id, "-o", str(file), *options)
        assert answer.code == 0, answer.err
        self.said = answer.err
        return Exported(file, self._harness)

    def mend(self) -> None:
        self.types["mended"].append(True)


@pytest.fixture
def failing(project: Project, harness: Make) -> Iterator[Failing]:
    failing = Failing(project, harness)
    yield failing
    failing.life.end()


def test_a_test_fails_until_the_failure_is_mended_or_passes_as_long_as_it_is_there(failing: Failing) -> None:
    failing.drop("incoming/a.csv", "x,y\n")
    wanted, seen = failing.export("e1"), failing.export("e1", "--expect", "failure")
    assert statements(wanted) == [
        r"pipeline.drop('incoming', 'a.csv', 'x,y\n')",
        "assert {(run.state, run.error) for run in pipeline.runs('learn')} == {('done', None)}",
    ]
    assert "ValueError: cannot do x,y" in wanted.text
    assert (wanted.passes(), seen.passes()) == (False, True)
    failing.mend()
    assert (wanted.passes(), seen.passes()) == (True, False)


def test_an_attempt_that_failed_before_another_went_well_is_a_failure_too(failing: Failing) -> None:
    failing.send(failing.types["Saved"](n=100))
    failing.life.advance(1)
    assert failing.life.states("save") == [("done", 2)]
    wanted, seen = failing.export("r1"), failing.export("r1", "--expect", "failure")
    assert "attempt 1 ended with OSError: the disk had a moment" in wanted.text
    assert statements(wanted)[-2:] == [
        "pipeline.advance(seconds=1)",
        "assert {(run.state, run.attempt, run.error) for run in pipeline.runs('save')} == {('done', 1, None)}",
    ]
    assert (wanted.passes(), seen.passes()) == (False, True)
    failing.mend()
    assert (wanted.passes(), seen.passes()) == (True, False)


def happens(failing: Failing, what: str) -> None:
    make: Any = failing.types
    send, advance = failing.send, failing.life.advance
    match what:
        case "batch":
            send(make["Row"](n=1))
            advance(10)
            send(make["Row"](n=200))
            advance(60)
        case "batch in part":
            send(make["Row"](n=1), make["Row"](n=-5), make["Row"](n=2))
        case "pair":
            send(make["Left"](day="1"), make["Right"](day="1"))
        case "pair that misses one":
            send(make["Left"](day="2"))
            advance(3600)
        case "all of a fan-out":
            send(make["Order"](parts=3))
        case "window":
            advance(5.5 * 3600)
            send(make["Left"](day="5"))
            advance(1.5 * 3600)
        case "put off":
            send(make["Right"](day="6"))
            advance(1200)
            make["opened"].clear()
        case "burst":
            send(make["Left"](day="3"), make["Left"](day="4"))
            advance(30)


@pytest.mark.parametrize(
    ("what", "route", "given"),
    [
        ("batch", "save", ["pipeline.send(Row(n=1), Row(n=200))", "pipeline.advance(minutes=1)"]),
        ("batch in part", "load", ["pipeline.send(Row(n=1), Row(n=-5), Row(n=2))"]),
        ("pair", "pair", ["pipeline.send(Left(day='1'), Right(day='1'))"]),
        ("pair that misses one", "pair", ["pipeline.send(Left(day='2'))", "pipeline.advance(hours=1)"]),
        ("all of a fan-out", "whole", ["pipeline.send(Order(parts=3))"]),
        ("window", "early", ["pipeline.send(Left(day='5'))", "pipeline.advance(minutes=90)"]),
        ("put off", "later", ["pipeline.send(Right(day='6'))", "pipeline.advance(minutes=20)"]),
        ("burst", "settle", ["pipeline.send(Left(day='4'))", "pipeline.advance(seconds=30)"]),
    ],
)  # fmt: skip
def test_events_that_came_together_or_in_time_do_so_again(
    failing: Failing, what: str, route: str, given: list[str]
) -> None:
    happens(failing, what)
    exported = failing.export(f"r{failing.dead(route)}", "--expect", "failure")
    assert statements(exported)[: len(given)] == given
    assert exported.passes()


@pytest.mark.parametrize(
    ("came", "route", "given"),
    [
        (
            Delivery("orders", "m1", "MessageReceived", '{"body":"two","attributes":{}}', 0.0), "order",
            "pipeline.deliver('MessageReceived', {'body': 'two', 'attributes': {}}, source='orders')",
        ),
        (
            Delivery("timer", "t1", "Tick", '{"schedule":"nightly","due":"2026-01-02T07:00:00Z"}', 0.0, 1, "nightly"),
            "nightly",
            "pipeline.deliver('Tick', {'schedule': 'nightly', 'due': '2026-01-02T07:00:00Z'}, source='timer',"
            " subject='nightly')",
        ),
        (
            Delivery("send", "n1", "Note", '{"words":"old"}', 0.0, 1), "note",
            "pipeline.deliver('Note', {'words': 'old'})",
        ),
        (
            Delivery("send", "n1", "Note", '{"text":"say \\"hi\\"","tags":["a"]}', 0.0, 2), "note",
            """pipeline.send(Note(text='say "hi"', tags=['a']))""",
        ),
    ],
    ids=["message", "tick", "older version", "today's version"],
)  # fmt: skip
def test_what_came_from_outside_comes_again_as_it_was(failing: Failing, came: Delivery, route: str, given: str) -> None:
    failing.life.append(came)
    failing.life.settle()
    exported = failing.export(f"r{failing.dead(route)}", "--expect", "failure")
    assert statements(exported)[0] == given
    assert exported.passes()


def test_what_failed_on_the_news_of_a_failure_begins_with_that_one(failing: Failing) -> None:
    failing.life.append(Delivery("orders", "m1", "MessageReceived", '{"body":"two"}', 0.0))
    failing.life.settle()
    exported = failing.export(f"r{failing.dead('mourn')}", "--expect", "failure")
    assert statements(exported)[0].startswith("pipeline.deliver('MessageReceived'")
    assert exported.passes()


PASSWORD = "correct horse"
LONG = "a line of it\n" * 100


def test_a_secret_is_neither_in_its_field_nor_in_others_nor_in_the_error(failing: Failing) -> None:
    came = json.dumps({"user": f"ann {PASSWORD}", "password": PASSWORD})
    failing.life.append(Delivery("send", "l1", "Login", came, 0.0))
    failing.life.settle()
    run = failing.dead("login")
    assert PASSWORD in next(one.error or "" for one in failing.life.runs("login"))
    exported = failing.export(f"r{run}", "--expect", "failure")
    assert statements(exported)[0] == (
        "pipeline.deliver('Login', {'user': 'ann **********', 'password': '**********'})"
    )
    assert "# left out, being secret: user, password" in exported.text
    assert PASSWORD not in exported.text + failing.said
    assert exported.passes()


def test_a_secret_is_not_in_the_files_either(failing: Failing) -> None:
    for key in ("a.csv", "b.csv"):
        failing.life.append(Delivery("send", key, "Login", json.dumps({"user": key, "password": PASSWORD}), 0.0))
    failing.drop("incoming/a.csv", f"my {PASSWORD}\n")
    failing.drop("incoming/b.csv", f"{PASSWORD}\n" * 100)
    one, two = [failing.export(f"r{run.number}", "--expect", "failure") for run in failing.life.runs("enter")]
    assert "pipeline.drop('incoming', 'a.csv', 'my **********\\n')" in statements(one)
    [copy] = failing.project.home.glob("tests/*_files/incoming/b.csv")
    assert PASSWORD not in copy.read_text()
    assert (one.passes(), two.passes()) == (True, True)


PEM = """-----BEGIN-----\nwo'n "t\\n\u00fc\n-----END-----"""


def test_a_secret_is_not_in_it_as_other_text_quotes_it_either(failing: Failing) -> None:
    about = {
        "said": json.dumps({"key": PEM}),
        "printed": f"{PEM!r}",
        "twice": repr(json.dumps([PEM])),
        "asked": f"https://ca.test/?key={quote(PEM)}",
        PEM: {f"the {PEM}": 1},
    }
    failing.life.append(Delivery("send", "k1", "Keys", json.dumps({"private": PEM, "about": about}), 0.0, 3))
    failing.life.settle()
    exported = failing.export(f"r{failing.dead('unlock')}", "--expect", "failure")
    assert "BEGIN" not in exported.text + failing.said
    assert "'**********': {'the **********': 1}" in statements(exported)[0]
    assert exported.passes()


@pytest.mark.parametrize(
    ("version", "came"), [(3, {"pem": [PASSWORD]}), (3, {"private": [PASSWORD]}), (2, {"cert": PASSWORD})]
)
def test_nor_is_one_of_an_event_that_is_not_valid_by_another_name_or_of_an_older_version(
    failing: Failing, version: int, came: dict[str, object]
) -> None:
    failing.life.append(Delivery("send", "k1", "Keys", json.dumps(came), 0.0, version))
    failing.life.settle()
    assert PASSWORD not in failing.export(f"r{failing.dead('unlock')}", "--expect", "failure").text


def test_a_secret_is_not_in_the_names_of_files_either(failing: Failing) -> None:
    key = f"my {PASSWORD}.csv"
    failing.life.append(Delivery("send", "l1", "Login", json.dumps({"user": key, "password": PASSWORD}), 0.0))
    failing.drop(f"incoming/{key}", LONG)
    exported = failing.export(f"r{failing.dead('enter')}", "--expect", "failure")
    assert [path.name for path in failing.project.home.glob("tests/*_files/incoming/*")] == ["my **********.csv"]
    assert PASSWORD not in exported.text + failing.said
    assert exported.passes()


def test_a_secret_that_is_the_name_of_a_field_leaves_the_field_its_name(failing: Failing) -> None:
    failing.life.append(Delivery("send", "l1", "Login", json.dumps({"user": "ann", "password": "password"}), 0.0))
    failing.life.settle()
    exported = failing.export(f"r{failing.dead('login')}", "--expect", "failure")
    assert statements(exported)[0] == "pipeline.deliver('Login', {'user': 'ann', 'password': '**********'})"
    assert exported.passes()


def test_a_secret_in_an_event_that_is_not_valid_is_left_out_too(failing: Failing) -> None:
    failing.life.append(Delivery("send", "l1", "Login", json.dumps({"password": ["s3", {"x": PASSWORD}]}), 0.0))
    failing.life.settle()
    exported = failing.export(f"r{failing.dead('login')}", "--expect", "failure")
    assert statements(exported)[0] == "pipeline.deliver('Login', {'password': ['**********', {'x': '**********'}]})"
    assert PASSWORD not in exported.text


def test_nothing_that_strangers_name_gets_into_the_code(failing: Failing) -> None:
    odd = '\\"""\nraise SystemExit'
    came = json.dumps({"user": odd, "password": PASSWORD, odd: PASSWORD})
    failing.life.append(Delivery(odd, odd, "Login", came, 0.0, 1, odd))
    failing.life.settle()
    exported = failing.export(f"r{failing.dead('login')}", "--expect", "failure")
    assert exported.passes()


def test_files_that_are_not_short_text_lie_beside_the_test(failing: Failing) -> None:
    failing.drop("incoming/sub/a.csv", LONG)
    exported = failing.export("e1", "--expect", "failure")
    [copy] = failing.project.home.glob("tests/test_0_files/incoming/sub/a.csv")
    assert copy.read_text() == LONG
    assert exported.passes()
    copy.write_text("else")
    assert not exported.passes()


def test_a_file_that_is_not_what_it_was_is_said_to_be_missing_and_may_be_put_there(failing: Failing) -> None:
    failing.drop("incoming/a.csv", "gone")
    failing.project.write("incoming/a.csv", "something else, later")
    exported = failing.export("r2", "--expect", "failure")
    lacks = "test_0_files/incoming/a.csv: what came as a.csv (4 bytes) is not to be had any more"
    assert (lacks in failing.said, lacks in exported.text) == (True, True)
    with pytest.raises(FileNotFoundError, match=r"test_0_files/incoming/a.csv"):
        exported.passes()
    failing.project.write("tests/test_0_files/incoming/a.csv", "gone")
    assert exported.passes()


def test_without_a_file_to_write_the_test_goes_to_stdout_and_says_what_it_lacks(failing: Failing) -> None:
    failing.drop("incoming/a.csv", LONG)
    answer = failing.project("export-test", "e1")
    assert 'FILES = Path(__file__).with_name("test_r2_files")' in answer.out
    assert (
        "missing: test_r2_files/incoming/a.csv: it is copied there where the test is written by --output" in answer.err
    )


def test_a_file_comes_with_its_marker(failing: Failing) -> None:
    failing.project.write("marked/day/a.csv", "x")
    failing.drop("marked/day/a.csv.ok", "")
    exported = failing.export(f"r{failing.dead('learn')}", "--expect", "failure")
    assert "pipeline.drop('marked', 'day/a.csv.ok', '')" in statements(exported)
    assert exported.passes()


def test_a_key_that_leads_out_of_a_folder_is_never_written_as_a_file(failing: Failing) -> None:
    told = {"key": "../../a.csv", "uri": "s3://b/../../a.csv", "size": 1, "version": "v"}
    failing.life.append(Delivery("incoming", "o1", "ObjectCreated", json.dumps(told), 0.0))
    failing.life.settle()
    exported = failing.export("r1", "--expect", "failure")
    assert statements(exported)[0].startswith("pipeline.deliver('ObjectCreated', {'key': '../../a.csv'")
    assert not list(failing.project.home.glob("tests/*_files"))


def test_places_begin_empty_which_is_said_or_with_what_is_there_now(failing: Failing) -> None:
    failing.project.write("models/one/m.bin", "weights")
    failing.drop("incoming/a.csv", "x")
    assert "It begins with nothing in models" in failing.export("e1").text
    exported = failing.export("e1", "--expect", "failure", "--with", "models")
    assert "It begins with" not in exported.text
    assert (failing.project.home / "tests/test_1_files/models/one/m.bin").read_text() == "weights"
    assert exported.passes()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["r1"], 1, "error: r1 is done and no attempt of it has failed; `triggers dead` lists"),
        (["e1"], 2, "e1 led to 2 dead runs; say which: r3 (make), r4 (make)"),
        (["e2"], 1, "error: nothing that e2 led to is dead; name the run, as in r7"),
        (["r3", "--app", "other.py"], 4, "error: app 'other' has no route 'split', by which r1 ran"),
        (["r3", "--with", "model"], 3, "error: app 'churn' has no place 'model' to copy; did you mean 'models'"),
        (["r3", "-o", "app.py"], 4, "error: app.py is there already; give another --output, or remove it"),
        (["r9"], 3, "error: no run r9 in this journal"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_said(failing: Failing, options: list[str], code: int, words: str) -> None:
    failing.project.write("other.py", "from triggers import App\napp = App('other')\n")
    failing.types["unmade"].update({1, 2})
    failing.send(failing.types["Order"](parts=3))
    answer = failing.project("export-test", *options)
    assert answer.code == code
    assert words in answer.err


def test_the_app_is_the_one_that_was_run_unless_another_is_named(project: Project) -> None:
    project.drain("bad.csv")
    assert "from app import app" in project("export-test", "e1").out
    project.write(
        "elsewhere/shop.py", project.home.joinpath("app.py").read_text().replace("app = ", "pipeline = app = ")
    )
    assert "from shop import pipeline as app" in project("export-test", "e1", "--app", "elsewhere/shop.py:pipeline").out
    (project.home / "app.py").unlink()
    sys.modules.pop("app")
    answer = project("export-test", "e1")
    assert answer.code == 3
    assert "`triggers run` has loaded app:app: call this where it does, or name it by --app" in answer.err


def test_a_journal_that_does_not_say_where_its_app_is_asks_for_it(failing: Failing) -> None:
    failing.drop("incoming/a.csv", "x")
    failing.life.stop()
    Life(failing.app, Path(".triggers/churn")).stop()
    answer = failing.project("export-test", "e1")
    assert (answer.code, "name it: --app MODULE[:APP]" in answer.err) == (2, True)


def test_it_runs_under_pytest_in_a_folder_that_holds_the_app_and_nothing_else(failing: Failing) -> None:
    failing.drop("incoming/a.csv", LONG)
    clean = failing.project.home / "clean"
    clean.mkdir()
    for name, expected in (("wanted", "success"), ("seen", "failure")):
        failing.project("export-test", "e1", "-o", f"clean/test_{name}.py", "--expect", expected)
    (failing.project.home / "app.py").rename(clean / "app.py")
    (failing.project.home / "incoming/a.csv").unlink()
    pytest_alone = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "triggers.testing"]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(pytest_alone, cwd=clean, env=env, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout
    assert "ValueError: cannot do a line of it" in done.stdout

"""`dead`, `retry`, `replay`, `send`: commands that change something."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Callable

import apsw
import pytest

from tests.commands.conftest import Process, Project
from triggers.state import StateFolder

HANDED_IN = "handed in: {} when `triggers run` next starts; no dispatcher is running now\n"


# --- dead letters --------------------------------------------------------------------------------


def test_dead_letters_are_listed_with_what_they_were_about(project: Project) -> None:
    project.drain("bad.csv", "a.csv")
    [line] = project("dead").out.splitlines()[1:]
    assert "train" in line
    assert "table=bad.csv" in line
    assert line.endswith("ValueError: this table is bad")
    assert project("dead").out == project("dead", "list").out
    assert project("dead", "--json").data == project("dead", "list", "--json").data
    assert project("dead", "list", "--route", "process").err == "no dead letters of process\n"
    assert project("dead", "--route", "process").err == "no dead letters of process\n"
    assert project("dead", "--type", "Processed", "--since", "1h").out == project("dead", "--route", "train").out != ""
    assert project("dead", "--since", "2000-01-01", "--type", "ObjectCreated").err == "no dead letters like that\n"


def test_a_dead_letter_is_shown_with_its_event_and_the_users_frames(project: Project) -> None:
    project.drain("bad.csv")
    answer = project("dead", "show", "r2")
    assert 'on e2 Processed from churn/process: {"table":"bad.csv"}' in answer.out
    assert f'File "{project.home}/app.py"' in answer.out
    assert "ValueError: this table is bad" in answer.out
    assert "/triggers/attempt.py" not in answer.out
    assert "`triggers dead redrive r2` runs it again" in answer.err
    shown = project("dead", "show", "2", "--json").data
    assert shown["on"]["data"] == {"table": "bad.csv"}
    assert [one["outcome"] for one in shown["attempts"]] == ["dead"]


def test_a_redriven_run_has_all_its_attempts_before_it(project: Project) -> None:
    project.drain("bad.csv")
    project.write("app.py", (project.home / "app.py").read_text().replace('"bad.csv"', '"worse.csv"'))
    answer = project("dead", "redrive", "r2")
    assert (answer.code, answer.out, answer.err) == (0, "", HANDED_IN.format("r2 will be redriven"))
    forget(project)
    assert project.drain().code == 0
    [run] = project("runs", "--json", "--route", "train").data
    assert (run["run"], run["state"], run["attempt"]) == ("r2", "done", 1)


def forget(project: Project) -> None:
    """Have the app imported anew, as a new process does."""
    import sys

    sys.modules.pop("app", None)
    for cached in (project.home / "__pycache__").glob("app.*"):
        cached.unlink()


def test_all_dead_letters_or_those_of_a_route_can_be_redriven(project: Project) -> None:
    project.drain("bad.csv")
    assert project("dead", "redrive", "--route", "process").err == "no dead letters of process\n"
    assert project("dead", "redrive", "--all", "--json").data == {"runs": {"r2": None}, "taken_in": False}
    assert project.drain().code == 1
    assert len(project("dead", "show", "r2", "--json").data["attempts"]) == 2


def test_a_dropped_run_is_no_dead_letter_and_can_be_taken_back(project: Project) -> None:
    project.drain("bad.csv")
    project("dead", "drop", "r2")
    assert project.drain().code == 0
    assert project("dead").err == "no dead letters\n"
    project("dead", "redrive", "r2")
    assert project.drain().code == 1


def test_a_request_is_carried_out_once(project: Project) -> None:
    project.drain("bad.csv")
    project("dead", "redrive", "r2")
    [batch] = (project.state / "requests").glob("*.jsonl")
    request = batch.read_text()
    project.drain()
    batch.write_text(request)
    project.drain()
    assert len(project("dead", "show", "r2", "--json").data["attempts"]) == 2


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["dead", "redrive"], 2, "say which: RUN..., --all or --route NAME"),
        (["dead", "redrive", "r1", "--all"], 2, "say which"),
        (["dead", "redrive", "r9"], 3, "no run r9"),
        (["dead", "redrive", "e1"], 2, "'e1' is no ID of a run, as in r7"),
        (["dead", "redrive", "r1"], 1, "r1 is done; only what is dead or delayed or dropped can run again"),
        (["dead", "drop", "r1"], 1, "r1 is done; only what is dead can be dropped"),
        (["retry", "r1"], 1, "r1 is done; only what is dead or delayed can be retried"),
        (["retry", "r9"], 3, "no run r9"),
        (["dead", "redrive", "--route", "tran"], 3, "no route 'tran' in this journal; did you mean 'train'?"),
        (["dead", "list", "--route", "tran"], 3, "no route 'tran' in this journal; did you mean 'train'?"),
        (["dead", "redrive", "--route", "process"], 0, "no dead letters of process"),
        (["dead", "--json", "drop", "r1"], 2, "write --json behind the command: triggers dead drop --json"),
        (["dead", "--route", "train", "show", "r1"], 2, "triggers dead show has no --route; leave it out"),
        (["dead", "--route", "train", "redrive"], 2, "write --route behind the command: triggers dead redrive --route"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(project: Project, args: list[str], code: int, said: str) -> None:
    project.drain("bad.csv")
    answer = project(*args)
    assert answer.code == code
    assert said in answer.err
    assert not list((project.state / "inbox").glob("*.jsonl"))


# --- replay --------------------------------------------------------------------------------------


def test_replay_only_lists_what_would_run(project: Project) -> None:
    project.drain("a.csv", "notes.txt")
    answer = project("replay", "--type", "ObjectCreated")
    [line] = answer.out.splitlines()[1:]  # the text file triggers nothing
    assert "process" in line
    assert "a.csv" in line
    assert answer.err == "1 event would start 1 run; add --yes to do it\n"
    assert not list((project.state / "inbox").glob("*.jsonl"))


def test_a_replay_makes_new_runs(project: Project) -> None:
    project.drain("a.csv")
    assert project("replay", "--route", "train", "--yes").err == HANDED_IN.format("e2 will be replayed")
    project.drain()
    runs = project("runs", "--json", "--route", "train").data
    assert [(run["event"], run["state"]) for run in runs] == [("e2", "done"), ("e2", "done")]
    assert len(project("runs", "--json", "--route", "process").data) == 1


def test_an_event_that_retention_deletes_before_its_replay_is_named(project: Project) -> None:
    project.drain("a.csv", "b.csv")
    held = StateFolder(project.state)
    held.acquire()
    app = threading.Thread(target=carry_out_what_is_left, args=(project, "DELETE FROM event WHERE number = 1"))
    app.start()
    answer = project("replay", "--event", "e1", "--yes")
    app.join()
    held.release()
    assert answer.code == 0
    assert answer.out == "replayed 0 events, 0 new runs\n"
    assert answer.err == "not replayed, since retention deleted it meanwhile: e1\n"


def carry_out_what_is_left(project: Project, prune: str) -> None:
    """Do as an app that prunes the journal before it takes a request in."""
    connection = apsw.Connection(str(project.state / "journal.db"))
    while not (batches := list((project.state / "requests").glob("*.jsonl"))):
        pass
    connection.execute(prune)
    request = json.loads(batches[0].read_text())
    identity = f"{request['source']}\0{request['id']}"
    connection.execute("INSERT INTO identity (key, event, at) VALUES (?, 99, 0)", (identity,))
    connection.close()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "say which events: --event, --type, --route, --since or --until"),
        (["--event", "e9"], 3, "no event e9"),
        (["--event", "r1"], 2, "'r1' is no ID of an event, as in e12"),
        (["--route", "tran"], 3, "the app has no route 'tran'; did you mean 'train'?"),
        (["--type", "Goo"], 3, "no event type 'Goo' in this journal; known: "),
        (["--type", "RunFailed"], 0, "nothing would run"),
        (["--until", "2001-01-01"], 0, "nothing would run"),
        (["--until", "2001-01-01", "--yes"], 0, "nothing to replay"),
    ],
)
def test_a_replay_of_nothing_says_why(project: Project, args: list[str], code: int, said: str) -> None:
    project.drain("a.csv")
    answer = project("replay", *args)
    assert answer.code == code
    assert said in answer.err


# --- send ----------------------------------------------------------------------------------------


def test_a_sent_event_is_durable_before_any_app_has_run(project: Project) -> None:
    answer = project("send", "Processed", '{"table": "a"}', "--app", "app", "--subject", "by hand")
    assert answer.code == 0
    assert "handed in 1 event to .triggers/churn; no dispatcher is running there" in answer.err
    project.drain()
    event = project("events", "--json", "--source", "send").data[0]
    assert (event["id"], event["subject"], event["data"]) == (answer.out.strip(), "by hand", {"table": "a"})


def test_a_batch_is_read_from_stdin(project: Project) -> None:
    answer = project("send", "Processed", "-", "--app", "app", input='{"table": "a"}\n\n{"table": "b"}\n')
    assert len(answer.out.split()) == 2
    assert len(list((project.state / "inbox").glob("*.jsonl"))) == 1
    project.drain()
    sent = project("events", "--json", "--source", "send").data
    assert [event["data"]["table"] for event in sent] == ["a", "b"]


def test_the_same_identity_counts_once(project: Project) -> None:
    for _ in range(2):
        project("send", "Processed", '{"table": "a"}', "--app", "app", "--id", "one")
    project.drain()
    assert len(project("events", "--json", "--source", "send").data) == 1


def test_without_an_app_only_the_limits_of_events_are_checked(project: Project) -> None:
    project.drain()
    assert project("send", "Whatever", '{"a": [1, 2]}').code == 0
    assert project("send", "Empty").code == 0


def test_json_tells_the_ids_and_where_they_went(project: Project) -> None:
    answer = project("send", "Processed", '{"table": "a"}', "--app", "app", "--id", "x", "--json")
    assert answer.data == {"ids": ["x"], "state": ".triggers/churn", "running": False}


SECRET = """
from pydantic import SecretStr
from triggers import App, Event

class Login(Event):
    token: SecretStr

app = App("churn")

@app.on(Login)
def login(event: Login) -> None: ...
"""


@pytest.mark.parametrize(
    ("args", "input", "code", "said"),
    [
        (["Procesed", "{}", "--app", "app"], "", 4, "has no event type 'Procesed'; did you mean 'Processed'?"),
        (["Processed", '{"tabel": "a"}', "--app", "app"], "", 4, "no field 'tabel'; did you mean 'table'?"),
        (["Processed", "{}", "--app", "app"], "", 4, "table: Field required"),
        (["Processed", "{'table'}", "--app", "app"], "", 4, "the data is not JSON"),
        (["Processed", "[1]", "--app", "app"], "", 4, "must be a JSON object"),
        (["Other", '{"x": NaN}', "--state", "s"], "", 4, "Other holds NaN or Infinity"),
        (["Other", '{"x": ' + "[" * 70 + "]" * 70 + "}", "--state", "s"], "", 4, "nested deeper than 64"),
        (["Other", json.dumps({"x": "y" * 300_000}), "--state", "s"], "", 4, "over the limit of 262,144"),
        (["Login", '{"token": "hunter2"}', "--app", "secret"], "", 4, "holds a secret"),
        (["triggers.redrive", '{"runs": [1]}', "--state", "s"], "", 4, "is a request"),
        (["Processed", "-", "--app", "app"], '{"table": "a"}\n{"table": 1}\n', 4, "line 2: Processed does not"),
        (["Processed", "-", "--app", "app", "--id", "x"], '{"table": "a"}\n' * 2, 2, "--id names one event, not 2"),
        (["Other", "{}"], "", 2, "which app is it for?"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_explained_and_nothing_is_handed_in(
    project: Project, args: list[str], input: str, code: int, said: str
) -> None:
    project.write("secret.py", SECRET)
    answer = project("send", *args, input=input)
    assert answer.code == code
    assert said in answer.err
    assert answer.out == ""
    assert not list(project.home.glob("**/*.jsonl"))


def test_an_attempt_without_an_error_is_shown_without_one(project: Project, start: Callable[..., Process]) -> None:
    project.write("slow.py", SLOW)
    project("send", "Job", "--app", "slow")
    process = start("run", "slow", "--grace", "0")
    process.until("wait r1  started")
    process.tell(signal.SIGTERM)
    assert process.end() == 143
    assert re.fullmatch(r"attempt 1 given back at [0-9:]+", project("dead", "show", "r1").out.splitlines()[-1])


SLOW = """
import asyncio
from triggers import App, Event

class Job(Event): ...

app = App("slow")

@app.on(Job)
async def wait(event: Job) -> None:
    await asyncio.sleep(600)
"""

"""`events`, `runs`, `trace`: what happened."""

from __future__ import annotations

import json

import pytest

from tests.commands.conftest import Project
from tests.journal.states import load


def test_runs_are_a_table_with_the_newest_last(project: Project) -> None:
    project.drain("a.csv", "bad.csv")
    lines = project("runs").out.splitlines()
    assert lines[0].split() == ["RUN", "ROUTE", "EVENT", "STATE", "TRY", "STARTED", "TOOK", "ERROR"]
    assert [line.split()[0] for line in lines[1:]] == ["r1", "r2", "r3", "r4"]
    assert any("dead" in line and line.endswith("ValueError: this table is bad") for line in lines)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([], 4),
        (["--route", "train"], 2),
        (["--type", "ObjectCreated"], 2),
        (["--state", "dead"], 1),
        (["--state", "dead", "--route", "process"], 0),
        (["--since", "1h"], 4),
        (["--since", "2000-01-01"], 4),
        (["--since", "2199-01-01"], 0),
        (["--limit", "3"], 3),
        (["--state", ".triggers/churn", "--state", "done"], 3),
    ],
)
def test_runs_can_be_filtered(project: Project, filters: list[str], count: int) -> None:
    project.drain("a.csv", "bad.csv")
    assert len(project("runs", "--json", *filters).data) == count


@pytest.mark.parametrize(
    ("filters", "count"),
    [([], 4), (["--type", "Trained"], 1), (["--source", "incoming"], 2), (["--since", "2199-01-01"], 0)],
)
def test_events_can_be_filtered(project: Project, filters: list[str], count: int) -> None:
    project.drain("a.csv", "notes.txt")
    assert len(project("events", "--json", *filters).data) == count


def test_the_json_of_an_event_holds_its_envelope_and_its_data(project: Project) -> None:
    project.drain("a.csv")
    event = project("events", "--json", "--type", "Processed").data[0]
    assert list(event) == [
        "event", "id", "source", "type", "version", "subject", "time", "recorded", "cause", "root", "depth",
        "duplicates", "data",
    ]  # fmt: skip
    assert (event["source"], event["cause"], event["root"], event["depth"]) == ("churn/process", "r1", "e1", 1)
    assert event["data"] == {"table": "a.csv"}


def test_the_json_of_a_run_has_these_fields(project: Project) -> None:
    project.drain("a.csv")
    run = project("runs", "--json").data[0]
    assert list(run) == [
        "run", "route", "event", "state", "attempt", "priority", "started", "ended", "seconds", "due", "error",
        "done", "total",
    ]  # fmt: skip


def test_a_long_list_is_told_by_its_first_items(project: Project) -> None:
    data = {"files": [f"2026/batch-{n}.csv" for n in range(40)], "rows": {str(n): n for n in range(40)}, "last": [1, 2]}
    project("send", "Batch", json.dumps(data), "--state", str(project.state))
    project.drain()
    [line] = project("events").out.splitlines()[1:]
    assert line.partition("files=")[2] == (
        '["2026/batch-0.csv", "2026/batch-1.csv", "2026/batch-2.csv", and 37 more] '
        'rows={"0": 0, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "7… last=[1, 2]'
    )
    assert project("events", "--json").data[0]["data"] == data


def test_duplicates_that_were_dropped_are_counted_with_the_event_that_stayed(project: Project) -> None:
    for _ in range(3):
        project("send", "Processed", '{"table": "a"}', "--app", "app", "--id", "same")
    project("send", "Processed", '{"table": "b"}', "--app", "app", "--id", "other")
    project.drain()
    assert [(event["id"], event["duplicates"]) for event in project("events", "--json", "--source", "send").data] == [
        ("same", 2),
        ("other", 0),
    ]
    assert "(2 duplicates dropped) table=a" in project("events").out
    assert "(2 duplicates dropped) table=a" in project("trace", "same").out.splitlines()[0]
    assert project("trace", "same", "--json").data["tree"]["duplicates"] == 2
    assert "dropped" not in project("trace", "other").out


def test_nothing_found_is_said_aside_and_is_an_empty_list(project: Project) -> None:
    project.drain()
    assert (project("events").out, project("events").err) == ("", "no events yet\n")
    assert project("runs", "--state", "dead").err == "no runs like that\n"
    assert project("runs", "--json").data == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["runs", "--route", "tran"], "no route 'tran' in this journal; did you mean 'train'?"),
        (["runs", "--type", "Traned"], "no event type 'Traned' in this journal; did you mean 'Trained'?"),
        (
            ["events", "--type", "Gone"],
            "no event type 'Gone' in this journal; known: MessageReceived, Missing, ",
        ),
        (["events", "--source", "incomming"], "no source 'incomming' in this journal; did you mean 'incoming'?"),
    ],
)
def test_a_name_that_neither_app_nor_journal_has_is_not_found(project: Project, args: list[str], said: str) -> None:
    project.drain("a.csv")
    answer = project(*args)
    assert (answer.code, answer.out) == (3, "")
    assert said in answer.err


@pytest.mark.parametrize(
    "args",
    [
        ["runs", "--route", "train"],
        ["runs", "--type", "RunFailed"],
        ["events", "--type", "Trained"],
        ["events", "--source", "incoming"],
        ["events", "--source", "send"],
        ["events", "--source", "churn"],
    ],
)
def test_a_name_of_which_there_is_nothing_yet_is_found(project: Project, args: list[str]) -> None:
    project.drain()
    assert project(*args).code == 0


def test_what_the_journal_remembers_is_found_though_the_app_has_it_no_more(project: Project) -> None:
    project.drain("a.csv")
    app = (project.home / "app.py").read_text()
    project.write("app.py", app.partition("@app.on(Processed")[0])
    project.drain()
    assert [run["run"] for run in project("runs", "--route", "train", "--json").data] == ["r2"]
    assert [event["type"] for event in project("events", "--type", "Trained", "--json").data] == ["Trained"]


@pytest.mark.parametrize("text", ["yesterday", "10", "5x", "2026-13-01", ""])
def test_a_moment_that_is_none_is_wrong_usage(project: Project, text: str) -> None:
    answer = project("runs", "--since", text)
    assert answer.code == 2
    assert "is no moment; write 10m, 2h or 3d (ago)" in answer.err


def test_what_a_sender_wrote_cannot_command_the_terminal(project: Project) -> None:
    project("send", "Processed", json.dumps({"table": "\x1b[2J\n\u202egnp.csv"}), "--app", "app")
    project.drain()
    for args in (["events"], ["trace", "e1"]):
        out = project(*args).out
        assert "\x1b" not in out
        assert "\u202e" not in out


def test_nor_does_it_as_json_which_says_the_same(project: Project) -> None:
    table = "\x1b[2J\x7f\x9b2J\x85\u2028\u202egnp\U000e0041.ä"
    project("send", "Processed", json.dumps({"table": table}), "--app", "app")
    project.drain()
    answer = project("events", "--json")
    assert answer.data[0]["data"]["table"] == table
    assert answer.out.replace("\n", "").isprintable()
    assert "ä" in answer.out


def test_colour_is_forced_and_forbidden_by_the_environment(project: Project) -> None:
    project.drain("a.csv")
    assert "\x1b[32m" in project("runs", env={"FORCE_COLOR": "1"}).out
    assert "\x1b" not in project("runs", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).out
    assert "\x1b" not in project("runs").out


# --- the state folder ----------------------------------------------------------------------------


def test_without_a_state_folder_a_reader_says_what_to_do(project: Project) -> None:
    answer = project("runs")
    assert answer.code == 3
    assert answer.err.startswith("error: no state folder here: .triggers/ holds none; start `triggers run` here")


def test_of_an_app_that_has_not_run_yet_a_reader_says_that_what_was_sent_waits_for_it(project: Project) -> None:
    project("send", "ObjectCreated", "{}", "--state", ".triggers/churn")
    said = "error: the app in .triggers/churn has not run yet, so it has no journal; what was sent waits there for"
    for args in ["runs"], ["runs", "--state", ".triggers/churn"]:
        answer = project(*args)
        assert (answer.code, answer.err.startswith(said)) == (3, True)


@pytest.mark.parametrize("args", [["events"], ["why", "e1"]])
def test_no_journal_is_promised_in_a_folder_of_something_else(project: Project, args: list[str]) -> None:
    project.write("foreign/notes.txt", "mine")
    answer = project(*args, "--state", "foreign")
    assert answer.code == 4
    assert answer.err == "error: foreign is not a state folder: it holds 'notes.txt'; name an empty one with --state\n"
    assert "foreign is not a state folder: it holds 'notes.txt'" in project("doctor", "--state", "foreign").out


def test_several_state_folders_are_listed(project: Project) -> None:
    project.drain()
    project("run", "app", "--drain", "--state", ".triggers/other")
    answer = project("runs")
    assert answer.code == 3
    assert "say which with --state: .triggers/churn, .triggers/other" in answer.err
    assert project("runs", "--state", ".triggers/other").code == 0
    assert project("runs", env={"TRIGGERS_STATE": ".triggers/other"}).code == 0


def test_the_folder_above_a_state_folder_names_the_one_below(project: Project) -> None:
    project.drain()
    assert "did you mean .triggers/churn?" in project("events", "--state", ".triggers").err


def test_what_is_no_journal_is_refused(project: Project) -> None:
    project.write("other/journal.db", "this is no database, and long enough that it cannot be one")
    answer = project("events", "--state", "other")
    assert answer.code == 4
    assert "is not a journal" in answer.err


# --- trace ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "command"), [(1, "runs"), (3, "plan"), (1, "doctor")])
def test_a_journal_that_is_too_old_to_tell_says_what_brings_it_forward(
    project: Project, version: int, command: str
) -> None:
    load(version, project.home / "old")
    said = project(command, "--state", "old")
    assert said.code == (1 if command == "doctor" else 4)
    told = f"{said.out}{said.err}"
    assert f"journal.db has schema version {version}, which does not tell that" in told
    assert "`triggers run --state old` brings it forward" in told


def test_a_trace_goes_from_the_root_down_and_marks_what_was_asked_for(project: Project) -> None:
    project.drain("bad.csv")
    lines = project("trace", "r2").out.splitlines()
    starts = ["e1 ObjectCreated from incoming", "└─ r1 process", "   └─ e2 Processed", "      └─ r2 train"]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=False)] == [True] * 4
    [marked] = [line for line in project("trace", "r2").out.splitlines() if "<- asked for" in line]
    assert "r2 train  dead" in marked
    assert "ValueError: this table is bad" in marked
    assert "RunFailed" in project("trace", "r2").out.splitlines()[-1]


def test_a_trace_is_found_by_an_events_full_id(project: Project) -> None:
    project.drain("a.csv")
    event = project("events", "--json", "--type", "Trained").data[0]
    [marked] = [line for line in project("trace", event["id"]).out.splitlines() if "<- asked for" in line]
    assert f"{event['event']} Trained" in marked


def test_a_trace_as_json_nests_runs_in_events_and_events_in_runs(project: Project) -> None:
    project.drain("a.csv")
    answer = project("trace", "e3", "--json").data
    assert (answer["asked"], answer["root"], answer["cut"]) == ("e3", "e1", False)
    run = answer["tree"]["runs"][0]["emitted"][0]["runs"][0]
    assert (run["route"], run["emitted"][0]["event"]) == ("train", "e3")


def test_a_long_chain_is_traced_and_can_be_cut(project: Project) -> None:
    project.write("chain.py", CHAIN)
    project("send", "Step", '{"left": 300}', "--app", "chain")
    assert project("run", "chain", "--drain", "-q").code == 0
    answer = project("trace", "e1", "--limit", "10")
    assert len(answer.out.splitlines()) == 20
    assert "later events of this chain than its first 10 are not shown" in answer.err
    assert len(project("trace", "e1", "--limit", "5000").out.splitlines()) == 602


CHAIN = """
from triggers import App, Event

class Step(Event):
    left: int

app = App("chain")

@app.on(Step, max_depth=5000)
async def step(event: Step) -> Step | None:
    return Step(left=event.left - 1) if event.left else None
"""


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("e99", "no event e99 in this journal; `triggers events` lists them"),
        ("r99", "no run r99 in this journal; `triggers runs` lists them"),
        ("1", "did you mean e1 or r1?"),
        ("nonsense", "write e12 for an event, r7 for a run"),
        ("e99999999999999999999", "nothing has the ID"),
        ("train", "'train' in this journal, which is a route; `triggers runs --route train` lists its runs"),
    ],
)
@pytest.mark.parametrize("command", ["trace", "why"])
def test_an_id_that_is_nowhere_is_not_found(project: Project, command: str, id: str, said: str) -> None:
    project.drain()
    answer = project(command, id)
    assert answer.code == 3
    assert said in answer.err


def test_an_id_of_two_sources_asks_which(project: Project) -> None:
    project.drain()
    project("send", "Processed", '{"table": "a"}', "--id", "same")
    inbox = project.state / "inbox"
    [batch] = inbox.glob("*.jsonl")
    (inbox / "0.jsonl").write_text(batch.read_text().replace('"send"', '"shell"'))
    project.drain()
    answer = project("trace", "same")
    assert answer.code == 2
    assert "several events have the id 'same'; say which: e" in answer.err

"""Where `send` hands events in, and as what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Project
from tests.test_state import write_bookmarks, write_newer_journal, write_text
from triggers import App, Event
from triggers.errors import EventError


@pytest.mark.parametrize("write", [write_bookmarks, write_newer_journal, write_text])
def test_nothing_is_handed_in_to_a_folder_that_is_not_ours(project: Project, write: Callable[[Path], None]) -> None:
    project.write("s/other", "")
    write(project.home / "s" / "journal.db")
    answer = project("send", "Processed", "--state", "s")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("error: s/journal.db ")
    assert "handed in" not in answer.err
    assert {path.name for path in (project.home / "s").iterdir()} == {"journal.db", "other"}


@pytest.mark.parametrize(
    "command", [["send", "Processed"], ["run", "app.py"], ["events"], ["doctor"], ["replay", "--type", "Processed"]]
)
def test_a_file_is_no_state_folder(project: Project, command: list[str]) -> None:
    answer = project(*command, "--state", "app.py")
    assert answer.code == (1 if command == ["doctor"] else 4)
    assert "app.py is a file; name a folder with --state\n" in answer.out + answer.err
    assert "Usage" not in answer.err


def test_a_state_folder_among_the_watched_files_is_refused(project: Project) -> None:
    answer = project("run", "app.py", "--state", "incoming/state", "--drain")
    assert answer.code == 4
    assert "error: the state folder incoming/state lies in the watched folder 'incoming' (incoming)" in answer.err
    assert list(project.incoming.iterdir()) == []


def test_the_version_of_what_is_sent_without_an_app_is_said_or_given(project: Project) -> None:
    project.drain()
    assert (
        "as version 1 of Processed (--version or --app says which); no dispatcher" in project("send", "Processed").err
    )
    said = project("send", "Processed", "--version", "3").err
    assert "handed in 1 event to .triggers/churn; no dispatcher" in said
    lines = [json.loads(batch.read_text()) for batch in sorted((project.state / "inbox").glob("*.jsonl"))]
    assert sorted(line["dataversion"] for line in lines) == [1, 3]


def test_an_app_knows_the_versions_of_its_types(project: Project) -> None:
    answer = project("send", "Processed", "--app", "app", "--version", "2")
    assert answer.code == 2
    assert "--app knows the version of its types; leave --version out" in answer.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["Processed", "{}", "--id", "x" * 1100],
            "error: id has 1,100 characters, over the limit of 1,024; shorten it",
        ),
        (["Processed", "{}", "--id", ""], "error: id must be text and not empty, not ''"),
        (["", "{}"], "error: type must be text and not empty, not ''"),
        (["Processed", "{}", "--subject", "\udcff"], "error: subject must be Unicode text"),
        (["Processed", '{"x": "\udcff"}'], "error: Processed: the data is not UTF-8: byte 8 is 0xff"),
        (["Processed", '{"x": NaN}'], "error: Processed holds NaN or Infinity, which JSON has no word for"),
        (["Processed", '{"x": ' + "[" * 70_000], "error: Processed: the data is nested deeper than 64"),
        (
            ["Processed", '{"x": ' + "9" * 4301 + "}"],
            "error: Processed: the data holds a whole number of more than 4,300",
        ),
    ],
    ids=range(8),
)
def test_what_the_app_would_not_take_in_is_refused_at_once(project: Project, args: list[str], said: str) -> None:
    answer = project("send", *args, "--state", "s")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith(said)
    assert not (project.home / "s").exists()


def test_a_line_of_stdin_that_is_not_utf_8_is_named(project: Project) -> None:
    answer = project("send", "Processed", "-", "--state", "s", input=b'{"x": 1}\n{"x":"\xff"}\n')
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("error: line 2: Processed: the data is not UTF-8: byte 7 is 0xff")
    assert answer.err.endswith("; nothing was handed in\n")


@pytest.mark.parametrize(
    ("input", "said"),
    [
        ("", "nothing was handed in: no line of stdin holds an event\n"),
        ("{}\n", "handed in 1 event to s; no dispatcher is running there, `triggers run` will take it in\n"),
        ("{}\n\n{}\n", "handed in 2 events to s; no dispatcher is running there, `triggers run` will take them in\n"),
    ],
)
def test_it_is_said_how_many_events_were_handed_in(project: Project, input: str, said: str) -> None:
    answer = project("send", "T", "-", "--version", "2", "--state", "s", input=input)
    assert (answer.code, answer.err) == (0, said)


def test_what_an_app_sends_is_refused_before_anything_is_handed_in(project: Project) -> None:
    class Sent(Event):
        value: Any = None

    app = App("churn")
    for last in (Sent(value=10**5000), "x", Sent):
        with pytest.raises(EventError, match=r"more than 4,300 digits|is no event"):
            app.send(Sent(), last)  # type: ignore[arg-type]  # what nobody checked
    assert not list(project.home.glob("**/*.jsonl"))


def test_a_drain_that_rejected_a_batch_fails_and_counts_it(project: Project) -> None:
    project.write(".triggers/churn/inbox/1.jsonl", "{}")
    answer = project.drain()
    assert answer.code == 1
    assert "drained: 0 events, 0 runs done, 1 batch rejected (see `triggers doctor`) in" in answer.err
    assert "1 batch in .triggers/churn/inbox/rejected" in project("doctor").out
    assert project.drain().code == 0

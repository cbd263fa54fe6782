"""Where `send` hands events in, and as what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Project
from tests.test_state import write_bookmarks, write_newer_journal, write_text


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

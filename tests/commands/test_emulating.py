"""An app on an emulated AWS: the same outcomes by a dispatcher and by its functions, packed and fed as in AWS."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.commands.conftest import Project
from triggers import App, Folder, ObjectCreated
from triggers.aws.server import Server, ServerEnded, Words
from triggers.commands.run import Session
from triggers.engine import Engine
from triggers.journal.views import open_reader, runs
from triggers.state import StateFolder


@pytest.mark.parametrize("how", [(), ("--lambda",)], ids=["by a dispatcher", "by functions"])
def test_what_lies_in_the_folders_is_uploaded_and_runs_through(project: Project, how: tuple[str, ...]) -> None:
    before = dict(os.environ)
    project.write("app.py", (project.home / "app.py").read_text().replace("retry=", "priority=1, retry="))
    project.drop("good.csv", "flaky.csv", "bad.csv", "notes.txt")
    answer = project("run", "app.py", "--aws", *how, "--upload", "--drain")
    assert answer.code == 1, answer.err  # there is a dead letter
    assert "uploaded 4 files of incoming to s3://churn-data/incoming" in answer.err
    assert "dead after attempt 1" in answer.err
    assert re.search(r"dead: train r\d+ after 1 attempt: ValueError: this table is bad", answer.err)
    assert "see `triggers dead`" not in answer.err
    assert answer.err.count("the disk had a moment") == 1
    assert ("note: route 'train': priority=" in answer.err) == bool(how)  # what is not kept by functions
    assert os.environ == before


def test_an_emulation_that_is_given_no_data_ends_well_and_names_all_that_it_listens_to(project: Project) -> None:
    project.write("queues.py", QUEUES)
    answer = project("run", "queues.py", "--aws", "--drain", "--bind", "orders=orders-staging")
    assert answer.code == 0
    assert "; listening to incoming (s3://churn-data/incoming), orders (queue orders-staging); state in" in answer.err
    assert "export AWS_ACCESS_KEY_ID=emulated" in answer.err
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:" in answer.err


def test_a_state_folder_that_is_named_is_where_the_history_is_looked_for(project: Project) -> None:
    project.write("elsewhere/notes.txt", "none of the routes takes it")
    bound = ("--upload", "--bind", "incoming=elsewhere")
    answer = project("run", "app.py", "--aws", "--drain", "--state", "my state", *bound)
    assert "uploaded 1 file of elsewhere to s3://churn-data/incoming" in answer.err
    assert f"  triggers runs --state '{project.home / 'my state'}'\n" in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lambda", "--upload"], "--lambda, --upload: only for an emulated AWS; add --aws"),
        (["--port", "5600"], "--port: only for an emulated AWS; add --aws"),
        (["--aws", "--requirement", "app.py"], "--requirement: only for packed functions; add --aws --lambda"),
        (
            ["--aws", "--drain", "--bind", "incoming=s3://acme"],
            "--bind incoming: with --aws a place is a bucket that is emulated",
        ),
        (
            ["--aws", "--drain", "--bind", "incoming=."],
            "--bind incoming: with --aws a place is a bucket that is emulated",
        ),
        (
            ["--aws", "--drain", "--upload", "--bind", "incoming=s3://acme"],
            "leave it out, or bind a source to the folder to --upload",
        ),
        (
            ["--aws", "--lambda", "--state", "x", "--grace", "3", "--adopt", "-q", "--log-format", "json"],
            "--state, --grace, --adopt, --quiet, --log-format: only for a dispatcher, and with --lambda there is none",
        ),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(project: Project, options: list[str], said: str) -> None:
    answer = project("run", "app.py", *options)
    assert answer.code == 2
    assert said in answer.err


QUEUES = """
from triggers import App, Folder, MessageReceived, Queue

app = App("churn", sources=[Folder("incoming"), Queue("orders")])

@app.on(MessageReceived)
def take(event: MessageReceived) -> None: ...
"""


def test_a_server_that_ends_ends_the_work_and_leaves_a_journal_that_goes_on(tmp_path: Path) -> None:
    app, state = App("churn", sources=[Folder(tmp_path / "incoming")]), StateFolder(tmp_path / "state")
    Path(tmp_path / "incoming").mkdir()
    Path(tmp_path / "incoming" / "a.csv").touch()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=PIPE, stderr=PIPE, text=True) as process:

        @app.on(ObjectCreated)
        async def take(event: ObjectCreated) -> None:
            process.kill()

        server = Server(process, "http://127.0.0.1:1", Words(process))
        session = Session(app, Engine(app, state, grace=60.0), drain=False, server=server)
        with pytest.raises(
            ServerEnded, match=r"killed by SIGKILL; the kernel .* with it all that it held: start again$"
        ):
            asyncio.run(session.work())
    with closing(open_reader(state)) as connection:
        assert [run.state for run in runs(connection)] == ["done"]


def test_a_file_that_the_emulation_cannot_take_is_named(project: Project) -> None:
    project.drop("two\nlines.csv")
    answer = project("run", "app.py", "--aws", "--upload", "--drain")
    assert answer.code == 4
    assert "error: key 'incoming/two\\nlines.csv' has a line feed, which S3 takes and moto does not" in answer.err

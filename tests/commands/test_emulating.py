"""An app on an emulated AWS: the same outcomes by a dispatcher and by its functions, packed and fed as in AWS."""

from __future__ import annotations

import os

import pytest

from tests.commands.conftest import Project


@pytest.mark.parametrize("how", [(), ("--lambda",)], ids=["by a dispatcher", "by functions"])
def test_what_lies_in_the_folders_is_uploaded_and_runs_through(project: Project, how: tuple[str, ...]) -> None:
    before = dict(os.environ)
    project.drop("good.csv", "flaky.csv", "bad.csv", "notes.txt")
    answer = project("run", "app.py", "--aws", *how, "--upload", "--drain")
    assert answer.code == 1, answer.err  # there is a dead letter
    assert "uploaded 4 files of incoming to s3://churn-data/incoming" in answer.err
    assert "dead after attempt 1" in answer.err
    assert "this table is bad" in answer.err
    assert answer.err.count("the disk had a moment") == 1
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


def test_a_file_that_the_emulation_cannot_take_is_named(project: Project) -> None:
    project.drop("two\nlines.csv")
    answer = project("run", "app.py", "--aws", "--upload", "--drain")
    assert answer.code == 4
    assert "error: key 'incoming/two\\nlines.csv' has a line feed, which S3 takes and moto does not" in answer.err

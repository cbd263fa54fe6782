"""`triggers template`."""

from __future__ import annotations

import json

import pytest

from tests.commands.conftest import Project

BIND = ("--bind", "incoming=s3://acme-incoming/raw")


def test_the_template_of_an_app_goes_to_stdout(project: Project) -> None:
    answer = project("template", "app", *BIND)
    assert answer.code == 0
    function = answer.data["Resources"]["ProcessFunction"]["Properties"]
    assert function["Environment"]["Variables"]["TRIGGERS_APP"] == "app:app"
    assert function["Runtime"] == "python3.13"


@pytest.mark.parametrize("command", ["template", "package"])
@pytest.mark.parametrize("python", ["banana", "3.10", "3.99"])
def test_a_python_that_functions_cannot_have_is_refused(project: Project, command: str, python: str) -> None:
    answer = project(command, "app", "--python", python, "-o", "made")
    assert answer.code == 2
    assert f"{python!r} is not one of '3.11', '3.12', '3.13'" in answer.err


def test_it_is_written_to_a_file_and_says_how_large_the_stack_is(project: Project) -> None:
    answer = project("template", "app.py", *BIND, "-o", "stack.json", "--arch", "arm64")
    assert answer.out == ""
    made = json.loads((project.home / "stack.json").read_text())
    assert answer.err == f"wrote stack.json ({len(made['Resources'])} resources)\n"
    assert made["Resources"]["ProcessFunction"]["Properties"]["Architectures"] == ["arm64"]


def test_what_aws_does_in_another_way_is_told_beside_it(project: Project) -> None:
    answer = project("template", "app", *BIND, "--job", "train")
    assert answer.err == "note: route 'train' is a Batch job: it was chosen to be one\n"
    assert "TrainJob" in answer.data["Resources"]


def test_a_dispatcher_elsewhere_needs_less(project: Project) -> None:
    answer = project("template", "app", *BIND, "--polled")
    assert list(answer.data["Resources"]) == ["IncomingQueue", "IncomingRule", "IncomingAccess", "Dispatcher"]


LOOP = """
from triggers import App, Folder, ObjectCreated, suffix

app = App("loop", sources=[Folder("in", name="incoming")], outputs=[Folder("out", name="tables")])

@app.on(ObjectCreated, writes={"tables"}, needs={"cpu": 4096})
def process(event: ObjectCreated) -> None: ...
"""


def test_what_is_wrong_with_the_wiring_is_refused_where_the_places_are_and_not_what_this_machine_lacks(
    project: Project,
) -> None:
    project.write("loop.py", LOOP)
    apart = ("--bind", "incoming=s3://acme/in", "--bind", "tables=s3://acme/out")
    large = project("template", "loop.py", *apart)
    assert large.code == 0, large.err
    assert "route 'process' is a Batch job: it needs 4096 cpu, which come with 7,245," in large.err
    within = project("template", "loop.py", *apart[:3], "tables=s3://acme/in/tables")
    assert within.code == 4
    assert "route 'process' writes" in within.err


def test_what_cannot_be_deployed_is_an_error_with_a_line_for_each_problem(project: Project) -> None:
    answer = project("template", "app", "--job", "trian")
    assert answer.code == 4
    assert answer.err.splitlines() == [
        "error: --job trian: app 'churn' has no such route; did you mean 'train'?",
        "error: place 'incoming' is a folder here and bound to no bucket; add --bind incoming=s3://BUCKET/PREFIX",
    ]

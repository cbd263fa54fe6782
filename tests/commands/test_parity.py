"""`triggers parity`: the same outcomes everywhere, or what differs, or what is wrong with the question."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Project

SCENARIOS = """
import os
from triggers import App, Context, Event, Folder, ObjectCreated, Retry, RunFailed
from triggers.parity import Put, Scenario, Send

class Named(Event):
    name: str

class Told(Event):
    yes: bool

app = App("where", sources=[Folder("incoming", name="incoming")], retry=Retry(on=OSError, attempts=2, initial=0))

@app.on(ObjectCreated)
def look(event: ObjectCreated, ctx: Context) -> Named:
    if ctx.attempt == 1:
        raise OSError("the disk had a moment")
    if event.key == "bad":
        raise ValueError("this one is bad")
    with event.open() as file:
        return Named(name=file.read().decode())

@app.on(RunFailed)
def tell(event: RunFailed) -> Named:
    return Named(name=f"{event.route} after {event.attempts}")

@app.on(Named, where={"name": ["in a function?"]})
def place(event: Named) -> Told:
    return Told(yes="AWS_LAMBDA_FUNCTION_NAME" in os.environ)

unlike = Scenario(
    app, [Put("incoming", "a", b"1"), Put("incoming", "bad", b"2", "sns"), Send(Named(name="in a function?"), id="1")]
)
nameless = Scenario(App("other"), [])
"""

POOR = """
from triggers import App, Folder
from triggers.parity import Put, Scenario

app = App("where", sources=[Folder("incoming", name="incoming")])
outside = Scenario(app, [Put("incoming", "../a", b"1")])
nothing = Scenario(app, [])
"""


@pytest.fixture
def scenarios(project: Project) -> Project:
    project.write("scenarios.py", SCENARIOS)
    return project


def test_what_is_not_the_same_in_every_place_is_shown_and_nothing_else(scenarios: Project) -> None:
    answer = scenarios("parity", "scenarios.py:unlike")
    assert answer.code == 1
    assert "unlike: 3 chains, differs in " in answer.err
    changed = [line for line in answer.out.splitlines() if line.startswith(("+", "-"))]
    assert [line.replace(" ", "") for line in changed] == [
        *("---adispatcheronfolders", "+++functionsinAWS"),
        *('-"yes":false', '+"yes":true'),
    ]


def test_a_scenario_that_cannot_be_carried_out_or_of_which_nothing_comes_proves_nothing(project: Project) -> None:
    project.write("poor.py", POOR)
    answer = project("parity", "poor.py")
    assert answer.code == 1
    assert "outside: not compared, because it could not be carried out" in answer.err
    assert "error: '../a' is no key in the place 'incoming'" in answer.err
    assert "nothing: nothing comes of it by a dispatcher on folders, so there is nothing to compare" in answer.err


def test_functions_that_cannot_start_are_given_up_with_what_they_failed_by(
    scenarios: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.parity.stages.PATIENCE", 10.0)
    scenarios.write("scenarios.py", f"{SCENARIOS}\nif 'AWS_LAMBDA_FUNCTION_NAME' in os.environ: raise OSError('no')\n")
    answer = scenarios("parity", "scenarios.py:unlike")
    assert answer.code == 1
    assert "after 10 s there is still something to do" in answer.err
    assert "The last function that failed was where-" in answer.err
    assert answer.err.endswith(": OSError: no\n")


def test_a_scenario_that_there_is_not_is_named_with_those_that_there_are(scenarios: Project) -> None:
    answer = scenarios("parity", "scenarios.py:unlik")
    assert answer.code == 3
    assert "scenarios.py has no scenario 'unlik'; did you mean 'unlike'?" in answer.err


def test_a_module_without_scenarios_is_told_how_to_make_one(project: Project) -> None:
    answer = project("parity", "app.py")
    assert answer.code == 3
    assert "app.py has no scenario; make one, NAME = triggers.parity.Scenario(app, [...])" in answer.err


def test_an_app_that_functions_could_not_import_is_named(scenarios: Project) -> None:
    answer = scenarios("parity", "scenarios.py:nameless")
    assert answer.code == 3
    assert "has no name for the app 'other' of 'nameless'" in answer.err


def test_a_scenario_must_be_named(project: Project) -> None:
    assert project("parity").code == 2

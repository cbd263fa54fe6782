"""`check`, `graph`, `doctor` and `new`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.commands.conftest import Project
from tests.test_state import write_bookmarks, write_newer_journal
from triggers.commands.doctor import file_system
from triggers.state import StateFolder


def test_an_app_without_errors_passes_the_check(project: Project) -> None:
    answer = project("check", "app")
    assert answer.code == 0
    assert answer.out == "warning: route 'train' emits Trained, which no route handles\n"
    assert answer.err == "app 'churn' (2 routes, 1 source): 0 errors, 1 warning\n"


def test_errors_fail_the_check(project: Project) -> None:
    project.write("wrong.py", WRONG)
    answer = project("check", "wrong")
    assert answer.code == 4
    assert answer.out.startswith("error: the routes f -> g -> f go round for ever; give one of them max_depth=")
    found = project("check", "wrong", "--json")
    assert found.code == 4
    assert found.data["ok"] is False
    assert found.data["problems"][0]["error"] is True


WRONG = """
from triggers import App, Event

class A(Event): ...
class B(Event): ...

app = App("wrong")

@app.on(A)
def f(event: A) -> B: ...

@app.on(B)
def g(event: B) -> A: ...
"""


def test_the_check_says_what_is_wrong_on_this_machine_though_the_app_may_be_right(project: Project) -> None:
    project.incoming.rmdir()
    answer = project("check", "app")
    assert answer.code == 0
    assert "warning: folder incoming (source 'incoming') does not exist; create it or bind" in answer.out
    project.write("elsewhere/a.csv", "")
    assert "source 'incoming'" not in project("check", "app", "--bind", "incoming=elsewhere").out
    assert "source 'incoming'" not in project("check", "app", env={"TRIGGERS_BIND_INCOMING": "elsewhere"}).out


def test_a_folder_is_bound_to_a_bucket_or_another_folder_and_to_nothing_else(project: Project) -> None:
    assert project("check", "app", "--bind", "incoming=s3://bucket/raw").code == 0
    answer = project("check", "app", "--bind", "incoming=gs://bucket/raw")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("error: 'incoming' cannot be bound to gs://bucket/raw; bind it to a folder or to a")


def test_a_check_refuses_what_a_start_refuses(project: Project) -> None:
    project.write("around.py", AROUND)
    for command in (("check", "around"), ("run", "around", "--drain")):
        answer = project(*command)
        assert answer.code == 4
        assert "the state folder .triggers/around lies in the watched folder 'here' (.)" in answer.out + answer.err
    answer = project("check", "around", "--state", "../state")
    assert (answer.code, answer.out) == (0, "")


AROUND = """
from triggers import App, Folder, ObjectCreated

app = App("around", sources=[Folder(".", name="here", ignore=["*.py"])])

@app.on(ObjectCreated)
def f(event: ObjectCreated) -> None: ...
"""


def test_a_schedule_that_is_over_is_warned_of(project: Project) -> None:
    project.write("once.py", ONCE)
    assert "warning: route 'f': at(2020-01-01T00:00:00+00:00) has passed" in project("check", "once").out


ONCE = """
from triggers import App, Tick, at

app = App("once")

@app.on(at("2020-01-01"))
def f(event: Tick) -> None: ...
"""


def test_what_is_refused_while_a_module_is_imported_is_told_by_its_line_alone(project: Project) -> None:
    project.write("wired.py", WIRED)
    answer = project("check", "wired.py")
    assert answer.code == 4
    assert answer.err == "error: wired.py:6: route 'f' has no option 'retrys'; did you mean 'retry'?\n"
    project.write("named.py", "from triggers import Event\n\nclass A(Event, version=0): ...\n")
    assert project("check", "named").err == "error: named.py:3: A: version must be 1 or more, not 0\n"


WIRED = """
from triggers import App, ObjectCreated

app = App("wired")

@app.on(ObjectCreated, retrys=3)
def f(event: ObjectCreated) -> None: ...
"""


@pytest.mark.parametrize(
    "wrong",
    [
        "cron('61 * * * *')",
        "every(minutes=0)",
        "cron('0 3 * * *', timezone='Mars/Olympus')",
        "Retry(attempts=0)",
        "Retry(on=3)",
    ],
)
def test_a_value_that_is_refused_where_it_is_made_is_told_by_the_users_line(project: Project, wrong: str) -> None:
    project.write("timed.py", f"from triggers import Retry, cron, every\n\nvalue = {wrong}\n")
    answer = project("check", "timed")
    assert answer.code == 4
    assert answer.err.startswith("error: timed.py:3: ")


def test_the_graph_is_mermaid_or_svg(project: Project) -> None:
    assert project("graph", "app").out.startswith("flowchart TD\n")
    assert project("graph", "app", "--format", "svg").out.startswith("<svg ")
    answer = project("graph", "app", "-o", "graph.svg")
    assert answer.err == "wrote graph.svg\n"
    assert ElementTree.parse(project.home / "graph.svg").getroot().tag.endswith("svg")
    assert project("graph", "app", "-o", "nowhere/graph.svg").code == 4


# --- doctor --------------------------------------------------------------------------------------


def verdicts(project: Project, *args: str) -> dict[str, tuple[str, str]]:
    return {one["what"]: (one["verdict"], one["seen"]) for one in project("doctor", "--json", *args).data["findings"]}


def test_a_state_folder_that_is_well_has_no_problems(project: Project) -> None:
    project.drain("a.csv")
    answer = project("doctor", "app")
    assert answer.code == 0
    assert "0 problems" in answer.err
    found = verdicts(project, "app")
    assert found["journal integrity"] == ("ok", "ok")
    assert found["journal"][1].startswith("3 events; 2 done; epoch ")
    assert found["folder incoming"] == ("ok", "incoming")


def test_a_machine_without_a_state_folder_can_be_examined(project: Project) -> None:
    answer = project("doctor")
    assert answer.code == 0
    assert "no state folder here" in answer.out


def test_a_state_folder_that_is_named_and_missing_is_a_problem(project: Project) -> None:
    assert project("doctor", "--state", "nowhere").code == 1


def test_an_open_state_folder_is_a_problem(project: Project) -> None:
    project.drain()
    project.state.chmod(0o755)
    answer = project("doctor")
    assert answer.code == 1
    assert "mode 0755, others can look into it: chmod 700" in answer.out


def test_a_damaged_journal_is_a_problem(project: Project) -> None:
    project.drain("a.csv")
    journal = project.state / "journal.db"
    content = bytearray(journal.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    journal.write_bytes(content)
    answer = project("doctor")
    assert answer.code == 1
    assert "keep the file, and restore a backup" in answer.out


@pytest.mark.parametrize(
    ("write", "advice"), [(write_bookmarks, "choose another --state"), (write_newer_journal, "upgrade the package")]
)
def test_a_journal_that_is_not_for_this_code_is_a_problem_that_no_backup_cures(
    project: Project, write: Callable[[Path], None], advice: str
) -> None:
    project.write("s/other", "")
    write(project.home / "s" / "journal.db")
    answer = project("doctor", "--state", "s")
    assert answer.code == 1
    assert advice in answer.out
    assert "backup" not in answer.out
    assert {path.name for path in (project.home / "s").iterdir()} == {"journal.db", "other"}


def test_dead_letters_and_rejected_batches_are_warnings(project: Project) -> None:
    project.drain("bad.csv")
    (project.state / "inbox" / "1.jsonl").write_text("no event\n")
    project.drain()
    found = verdicts(project)
    assert found["dead letters"][0] == "warning"
    assert found["inbox rejected"][0] == "warning"


def test_rejected_messages_are_a_warning(project: Project) -> None:
    project.drain()
    (project.state / "rejected").mkdir()
    for name in ("orders-m1.json", "orders-m1.json.reason"):
        (project.state / "rejected" / name).write_text("{}")
    level, seen = verdicts(project)["messages rejected"]
    assert level == "warning"
    assert "1 message in .triggers/churn/rejected" in seen


def test_the_holder_is_named(project: Project) -> None:
    project.drain()
    held = StateFolder(project.state)
    held.acquire()
    assert verdicts(project)["dispatcher"][1].startswith("process ")
    held.release()


def test_a_watched_folder_that_is_missing_is_a_problem(project: Project) -> None:
    project.incoming.rmdir()
    assert verdicts(project, "app")["folder incoming"][0] == "problem"


def test_file_systems_are_told_apart() -> None:
    assert file_system(Path("/proc")) == "proc"
    assert file_system(Path("/")) not in ("proc", "unknown")


# --- new -----------------------------------------------------------------------------------------


def test_a_new_project_runs_and_its_own_test_passes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = project("new", "houses")
    assert answer.code == 0
    assert "houses/app.py" in answer.out
    monkeypatch.chdir("houses")
    done = project("run", "app.py", "--drain")
    assert done.code == 0
    assert "price = 2.38 * size + 8.8" in done.err
    assert Path("reports/houses.csv.md").read_text().startswith("# houses.csv\n")
    assert project("check", "app.py").out == ""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "2 passed" in tested.stdout


def test_a_new_project_keeps_the_houses_rules(project: Project) -> None:
    project("new", "houses")
    project.write("ruff.toml", "line-length = 120\n[lint]\nselect = ['E', 'F', 'W', 'I', 'UP', 'B', 'RUF']\n")
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "houses"]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("two words", 2, "'two words' is no name for a project"),
        ("..", 2, "is no name"),
        ("1st", 2, "is no name"),
        ("incoming/x", 4, "there is no folder incoming to make x in"),
        ("two words/x", 4, "there is no folder two words to make x in"),
        ("taken", 4, "taken is there already and is not empty"),
    ],
)
def test_a_project_that_cannot_be_made_is_explained(project: Project, name: str, code: int, said: str) -> None:
    project.write("taken/file", "")
    project.incoming.rmdir()
    project.write("incoming", "a file")
    answer = project("new", name)
    assert answer.code == code
    assert said in answer.err

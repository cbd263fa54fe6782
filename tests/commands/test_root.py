"""The command line as a whole: what it loads, how it fails, what it completes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.commands.conftest import Project
from triggers.commands import GROUPS, cli

HEAVY = {"pydantic", "pydantic_core", "apsw", "rich", "asyncio", "watchdog", "tenacity"}


def loaded_by(*args: str) -> set[str]:
    code = (
        f"import sys; sys.argv = ['triggers', *{list(args)!r}]\n"
        "from triggers.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("args", [["--version"], ["--help"]])
def test_the_version_and_the_help_load_click_and_nothing_heavy(args: list[str]) -> None:
    loaded = loaded_by(*args)
    assert "click" in loaded
    assert not loaded & HEAVY


def test_the_completion_of_a_command_loads_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_TRIGGERS_COMPLETE", "bash_complete"), ("COMP_WORDS", "triggers re"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    assert not loaded_by() & HEAVY
    done = subprocess.run([sys.executable, "-m", "triggers"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,retry", "plain,resume", "plain,replay"]


def test_commands_that_only_read_do_not_load_pydantic(project: Project) -> None:
    project.drain("a.csv")
    assert "pydantic" not in loaded_by("runs") | loaded_by("events")


@pytest.mark.parametrize("name", [name for group in GROUPS.values() for name in group])
def test_every_command_has_a_help_that_begins_as_the_table_says(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    (line,) = [text for group in GROUPS.values() for key, (_, text) in group.items() if key == name]
    assert line.split()[0] in result.output
    assert all(len(text) <= 80 for text in result.output.splitlines())


def test_no_arguments_show_the_help_and_are_wrong_usage(project: Project) -> None:
    answer = project()
    assert answer.code == 2
    assert "Commands" in answer.err or "Work:" in answer.err
    assert answer.out == ""


def test_an_unknown_command_names_a_near_one(project: Project) -> None:
    answer = project("rnu")
    assert answer.code == 2
    assert "error: no command 'rnu'; did you mean 'run'?" in answer.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "--drian"], "error: no option '--drian'; did you mean '--drain'?"),
        (["run", "--bogus"], "error: no option '--bogus'; known: --state, --drain, --bind, "),
        (["runs", "-x"], "error: no option '-x'; known: --type, "),
    ],
)
def test_an_unknown_option_names_a_near_one_or_all(project: Project, args: list[str], said: str) -> None:
    answer = project(*args)
    assert answer.code == 2
    assert said in answer.err


def test_a_mistake_of_ours_keeps_its_traceback(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from triggers.journal import views

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    project.drain()
    monkeypatch.setattr(views, "runs", broken)
    answer = project("runs")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert "ZeroDivisionError: nobody foresaw this" in answer.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(project: Project, shell: str) -> None:
    answer = project("completion", shell)
    assert answer.code == 0
    assert "_TRIGGERS_COMPLETE" in answer.out

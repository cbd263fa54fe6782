"""`doctor --deep`: every row and file of a state folder, whether or not the app runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import apsw
import pytest

from tests.commands.conftest import Project
from tests.kit import Life
from tests.test_kernel import lay_out
from triggers import App, Event
from triggers.sources import Delivery, Site


class Job(Event):
    """Something to do."""


def doctor(project: Project) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = project("doctor", "--json").data["findings"]
    return findings


def found(project: Project) -> dict[str, list[tuple[str, str]]]:
    """Return what is said of rows and files, and how it is."""
    every = project("doctor", "--deep", "--json").data["findings"]
    return {
        what: [(one["verdict"], one["seen"]) for one in every if one["what"] == what]
        for what in ("journal rows", "state files")
    }


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_state_folder_that_is_well_is_said_to_be_and_is_not_changed(project: Project) -> None:
    project.drain("a.csv", "bad.csv")
    before = content(project.state)
    answer = project("doctor", "--deep")
    assert answer.code == 0
    assert "all fit together, by" in answer.out
    assert "each belongs to something" in answer.out
    assert content(project.state) == before


def test_the_journal_of_an_app_that_runs_is_looked_at_too(project: Project) -> None:
    app = App("churn")
    app.on(Job, not_before=60)(lambda event: None)
    life = Life(app, project.state)
    life.send(Job())
    assert [verdict for verdict, _ in found(project)["journal rows"]] == ["ok"]
    life.ask("UPDATE run SET due = NULL")
    assert found(project)["journal rows"] == [("problem", "r1 is delayed for ever; `triggers retry r1` has it run")]
    life.stop()


def test_rows_that_do_not_fit_together_are_problems_with_the_way_out(project: Project) -> None:
    project.drain("a.csv")
    connection = apsw.Connection(str(project.state / "journal.db"))
    connection.execute("DELETE FROM event WHERE number = 2")
    connection.close()
    answer = project("doctor", "--deep")
    assert answer.code == 1
    assert "r2 is there without its event e2; restore a backup of the state folder" in answer.out
    assert project("doctor").code == 0


def test_a_damaged_journal_is_said_to_be_and_its_rows_are_not_asked(project: Project) -> None:
    project.drain("a.csv")
    connection = apsw.Connection(str(project.state / "journal.db"))
    connection.execute("PRAGMA writable_schema = ON")
    other = "(SELECT rootpage FROM sqlite_schema WHERE name = 'run_event')"
    connection.execute(f"UPDATE sqlite_schema SET rootpage = {other} WHERE name = 'event_root'")
    connection.close()
    assert project("doctor", "--deep").code == 1
    assert found(project)["journal rows"] == [("warning", "not looked at, see above")]


LEFTOVERS = {
    "inbox/.1.jsonl.tmp": "1 batch in .triggers/churn/inbox whose sender was killed",
    "requests/.1.jsonl.tmp": "1 batch in .triggers/churn/requests whose sender was killed",
    "inbox/rejected/1.jsonl": "1.jsonl was rejected without a reason",
    "rejected/orders-1.json.reason": "orders-1.json.reason is about nothing that is there",
    "journal.db.bak": "journal.db.bak is none of ours; move it away",
}


def test_files_that_belong_to_nothing_are_warnings(project: Project) -> None:
    project.drain()
    for name in LEFTOVERS:
        os.utime(project.write(f".triggers/churn/{name}", "{}\n"), (0, 0))
    findings = found(project)["state files"]
    assert {verdict for verdict, _ in findings} == {"warning"}
    for (_, words), seen in zip(findings, LEFTOVERS.values(), strict=True):
        assert seen in words
    assert project("doctor", "--deep").code == 0


def test_what_is_just_being_handed_in_is_no_leftover(project: Project) -> None:
    project.drain()
    project.write(".triggers/churn/inbox/.1.jsonl.tmp", "{}\n")
    assert found(project)["state files"] == [("ok", "each belongs to something")]


def test_an_app_in_aws_has_no_state_folder_to_be_looked_at(project: Project) -> None:
    answer = project("doctor", "--deep", "--aws", "churn")
    assert answer.code == 2
    assert "give one of them" in answer.err


def test_who_keeps_isolated_runs_to_their_memory_is_told_with_the_reason(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.drain("a.csv")
    monkeypatch.setattr("triggers.kernel.CGROUP", tmp_path / "cgroup")
    seen = f"kept by watching, every 0.02 to 1 s: {tmp_path}/cgroup holds no control groups of version 2"
    assert ("memory limits", "ok", seen) in [tuple(one.values()) for one in doctor(project)]
    given = {"cgroup.type": "domain", "cgroup.controllers": "memory", "cgroup.procs": f"{os.getpid()}"}
    lay_out(tmp_path / "cgroup", {**given, "cgroup.subtree_control": ""})
    monkeypatch.setattr("triggers.kernel.membership", lambda process=None: "0::/" if process == os.getpid() else "")
    life = Life(App("churn"), project.state)  # the one that is at work is looked at, not who asks
    seen = f"kept by the kernel: in control group {tmp_path}/cgroup"
    assert ("memory limits", "ok", seen) in [tuple(one.values()) for one in doctor(project)]
    life.stop()


class Flaky:
    """A source that fails until it is mended, and then delivers, or finds nothing to deliver."""

    name = "flaky"
    mended = False

    def __init__(self, *, delivers: bool) -> None:
        self._delivers = delivers

    async def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        if not self.mended:
            raise OSError("the share is\ngone")
        if self._delivers:
            yield []
        site.idle(self.name)
        await asyncio.Event().wait()


def failing(state: Path, *, delivers: bool = True) -> tuple[Flaky, Life]:
    """Return a source that fails, and the life of its app."""
    source = Flaky(delivers=delivers)
    life = Life(App("churn", sources=[source]), state)
    life.until(lambda: life.engine.intake.failing and not life.dispatcher.pipeline.busy)
    return source, life


def of_the_source(project: Project) -> list[tuple[str, str]]:
    return [(one["verdict"], one["seen"]) for one in doctor(project) if one["what"] == "source flaky"]


@pytest.mark.parametrize("delivers", [True, False])
def test_a_source_that_fails_in_a_running_app_is_a_problem_until_it_has_looked_again(
    project: Project, delivers: bool
) -> None:
    source, life = failing(project.state, delivers=delivers)
    assert of_the_source(project) == [("problem", r"failing: the share is\ngone")]
    assert project("doctor").code == 1
    source.mended = True
    life.clock.step(life.clock.monotonic() + 60)
    life.settle()
    assert of_the_source(project) == []
    life.stop()


def test_a_source_that_failed_as_the_app_ended_is_no_problem_of_the_next_one(project: Project) -> None:
    source, life = failing(project.state)
    life.stop()
    assert of_the_source(project) == []
    source.mended = True
    life = Life(life.app, project.state, life.clock)
    life.settle()
    assert of_the_source(project) == []
    life.stop()


def test_the_commands_that_it_tells_are_of_the_state_folder_that_was_named(project: Project) -> None:
    project.drain("bad.csv")
    (project.state.parent).rename("kept here")
    told = project("doctor", "--state", "kept here/churn")
    assert "see `triggers dead --state 'kept here/churn'`" in told.out
    assert "`triggers run --state 'kept here/churn'` starts one" in told.out
    assert (
        "see `triggers dead show r2 --state 'kept here/churn'`"
        in project("why", "r2", "--state", "kept here/churn").out
    )
    assert "makes one there" in project("doctor", "--state", "none").out

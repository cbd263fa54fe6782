"""`triggers backup`: what it says, and with what it exits."""

from __future__ import annotations

import apsw

from tests.commands.conftest import Project


def test_a_backup_says_what_is_in_it_and_goes_on_by_itself(project: Project) -> None:
    project.drain("a.csv", "bad.csv")
    project("send", "Processed", '{"table": "b"}', "--state", str(project.state))
    answer = project("backup", "saved")
    assert (answer.code, answer.out) == (0, "saved\n")
    assert answer.err.startswith("6 events, 4 runs, 1 file beside the journal, 0.")
    made = project("backup", "again", "--json").data
    assert (made["folder"], made["events"], made["runs"], made["files"], made["flaws"]) == ("again", 6, 4, 1, [])
    assert project("run", "app.py", "--drain", "--state", "saved").code == 0
    assert len(project("runs", "--state", "saved", "--json").data) == 5
    assert len(project("runs", "--json").data) == 4


def test_a_backup_never_replaces_anything(project: Project) -> None:
    assert project("backup", "saved").code == 3
    project.drain("a.csv")
    answer = project("backup", "incoming")
    assert answer.code == 4
    assert "is there already; a backup is a new folder" in answer.err


def test_rows_that_do_not_fit_together_are_named_and_copied_all_the_same(project: Project) -> None:
    project.drain("a.csv")
    journal = apsw.Connection(str(project.state / "journal.db"))
    journal.execute("DELETE FROM event WHERE number = 2")
    journal.close()
    answer = project("backup", "saved")
    assert answer.code == 1
    assert "the journal has a flaw, as its copy has: r2 is there without its event e2" in answer.err
    assert (project.home / "saved" / "journal.db").exists()

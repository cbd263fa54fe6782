"""One commit: all of it or nothing; and whose claim counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.kit import PATIENCE
from triggers.errors import StateError
from triggers.journal import (
    DEAD,
    DELAYED,
    DONE,
    DROPPED,
    RUNNING,
    WAITING,
    AttemptRow,
    Change,
    CheckpointRow,
    Journal,
    Result,
    RunRow,
    SettleRow,
    next_due,
    transient,
    waiting,
)
from triggers.journal import journal as journal_module
from triggers.journal.punctuality import due
from triggers.journal.views import open_reader
from triggers.lineage import EventRow
from triggers.scheduling.terms import Terms
from triggers.state import StateFolder
from triggers.testing import FakeClock

Open = Callable[[], Journal]


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state").create()


@pytest.fixture
def opened(folder: StateFolder) -> Iterator[Open]:
    journals: list[Journal] = []

    def make() -> Journal:
        journals.append(Journal(folder, FakeClock(), durable=False, threaded=False))
        return journals[-1]

    yield make
    for journal in journals:
        journal.close()


def commit(journal: Journal, change: Change) -> Result:
    found = journal._apply(change)
    assert isinstance(found, Result), found
    return found


def event(number: int, cause: int | None = None) -> EventRow:
    return EventRow(number, f"id{number}", "s", "A", 1, None, 0.0, 0.0, "{}", cause, number, 0, 10)


def ask(journal: Journal, sql: str, *values: object) -> list[tuple[Any, ...]]:
    return list(journal._connection.execute(sql, values))


def filled(journal: Journal, runs: int = 3, state: int = WAITING, attempt: int = 0) -> Journal:
    change = Change(journal.epoch)
    for number in range(1, runs + 1):
        change.events.append(event(number))
        change.runs.append(RunRow(number, number, "r", Terms(0), state, attempt, journal.epoch if attempt else 0))
    commit(journal, change)
    return journal


def test_each_owner_has_an_epoch_of_its_own_and_the_journal_one_name(opened: Open) -> None:
    one, two = opened(), opened()
    assert (one.epoch, two.epoch) == (1, 2)
    assert one.id == two.id


def test_a_journal_is_that_of_one_app_until_another_adopts_it(folder: StateFolder) -> None:
    def open_for(app: str | None, *, adopt: bool = False) -> int:
        journal = Journal(folder, FakeClock(), app=app, adopt=adopt, durable=False, threaded=False)
        journal.close()
        return journal.epoch

    assert [open_for(None), open_for("churn"), open_for("churn")] == [1, 2, 3]
    with pytest.raises(StateError, match=r"is the journal of app 'churn', not of 'fraud'.*--state.*--adopt"):
        open_for("fraud")
    assert open_for("churn") == 4  # what was refused has voided nothing
    assert [open_for("fraud", adopt=True), open_for("fraud")] == [5, 6]
    with pytest.raises(StateError, match="is the journal of app 'fraud', not of 'churn'"):
        open_for("churn")


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_journal_that_is_gone_is_noticed_within_a_second_and_takes_nothing_more(
    folder: StateFolder, how: str
) -> None:
    clock = FakeClock()
    journal = Journal(folder, clock, durable=False, threaded=False)
    assert journal.lost() is None
    folder.path.rename(folder.path.with_name("away"))
    if how == "replaced":
        Journal(StateFolder(folder.path).create(), FakeClock(), durable=False, threaded=False).close()
    clock.step(clock.monotonic() + 1)
    answer = journal._apply(Change(journal.epoch, events=[event(1)]))
    assert "was deleted, moved or replaced" in str(answer)
    assert isinstance(answer, StateError)
    assert str(journal.lost()) == str(answer)
    journal.close()


def test_a_journal_that_its_disk_does_not_show_is_not_taken_for_one_that_is_gone(folder: StateFolder) -> None:
    clock = FakeClock()
    journal = Journal(folder, clock, durable=False, threaded=False)
    folder.path.rename(folder.path.with_name("away"))
    folder.path.symlink_to(folder.path)  # a name that leads nowhere: the system answers with an error, not with "no"
    clock.step(clock.monotonic() + 1)
    commit(journal, Change(journal.epoch, events=[event(1)]))
    assert journal.lost() is None
    journal.close()


def test_numbers_go_on_after_a_restart(opened: Open) -> None:
    filled(opened())
    journal = opened()
    assert (journal.number_event(), journal.number_run(), journal.open_runs) == (4, 4, 3)


def test_the_journal_syncs_every_commit_by_default_and_only_its_owner_may_read_it(folder: StateFolder) -> None:
    journal = Journal(folder, FakeClock(), threaded=False)
    assert journal._connection.pragma("synchronous") == 2
    assert journal._connection.pragma("journal_mode") == "wal"
    assert folder.journal.stat().st_mode & 0o777 == 0o600
    journal.close()


def test_a_sqlite_that_can_lose_commits_is_refused(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SAFE_SQLITE", 9_000_000)
    with pytest.raises(StateError, match=r"SQLite 3.* can lose commits; install apsw 3.51.3 or newer"):
        Journal(folder, FakeClock())


def test_a_change_that_fails_halfway_leaves_nothing_behind(opened: Open) -> None:
    journal = filled(opened())
    change = Change(journal.epoch, identities=[("k", 9, 0.0)], events=[event(9), event(1)])
    assert isinstance(journal._apply(change), apsw.ConstraintError)
    assert ask(journal, "SELECT count(*) FROM event") == [(3,)]
    assert ask(journal, "SELECT count(*) FROM identity") == [(0,)]


def test_a_question_that_fails_takes_the_change_back_so_that_it_can_be_handed_in_again(opened: Open) -> None:
    journal = opened()
    answers: list[Any] = [apsw.IOError("disk"), "answer"]

    def question(connection: apsw.Connection) -> Any:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    change = Change(journal.epoch, identities=[("k", 1, 0.0)], events=[event(1)], questions=[question])
    assert isinstance(journal._apply(change), apsw.IOError)
    again = commit(journal, change)
    assert (again.duplicates, again.replies) == (set(), ["answer"])


@pytest.mark.parametrize("value", ["\udcff", 2**70, object()])
def test_a_value_that_sqlite_cannot_hold_is_an_error_and_the_writer_lives_on(folder: StateFolder, value: Any) -> None:
    async def work() -> tuple[Any, Any]:
        journal = Journal(folder, FakeClock(), durable=False)
        loop = asyncio.get_running_loop()
        found = []
        for change in (Change(1, events=[event(1)._replace(subject=value)]), Change(1, events=[event(2)])):
            future = loop.create_future()
            journal.commit(change, future.set_result)
            found.append(await asyncio.wait_for(future, PATIENCE))
        journal.close()
        return found[0], found[1]

    bad, good = asyncio.run(work())
    assert isinstance(bad, Exception)
    assert not transient(bad)
    assert isinstance(good, Result)


def test_a_duplicate_within_one_change_and_across_changes_is_found(opened: Open) -> None:
    journal = opened()
    keys = [("a", 1, 0.0), ("b", 2, 0.0), ("a", 3, 0.0)]
    change = Change(journal.epoch, identities=keys, events=[event(n) for n in (1, 2, 3)])
    change.runs = [RunRow(n, n, "r", Terms(n)) for n in (1, 2, 3)]
    assert commit(journal, change).duplicates == {3}
    assert ask(journal, "SELECT number FROM event UNION ALL SELECT 10 * number FROM run") == [(1,), (2,), (10,), (20,)]
    assert commit(journal, Change(journal.epoch, identities=[("b", 4, 0.0)], events=[event(4)])).duplicates == {4}


def test_duplicates_are_found_over_more_rows_than_one_statement_holds(opened: Open) -> None:
    journal = opened()
    keys = [(f"k{n % 150}", n, 0.0) for n in range(1, 401)]
    change = Change(journal.epoch, identities=keys, events=[event(n) for n in range(1, 401)])
    assert commit(journal, change).duplicates == set(range(151, 401))
    assert ask(journal, "SELECT count(*), max(number) FROM event") == [(150, 150)]


@pytest.mark.parametrize(
    "claim", [(1, 2, 1), (1, 1, 2), (2, 1, 1), (9, 1, 1)], ids=["attempt", "epoch", "waiting", "unknown"]
)
def test_a_settle_counts_only_for_the_very_claim(opened: Open, claim: tuple[int, int, int]) -> None:
    journal = filled(opened(), 1, RUNNING, 1)
    commit(journal, Change(journal.epoch, events=[event(2)], runs=[RunRow(2, 2, "r", Terms(2))]))
    run, attempt, epoch = claim
    change = Change(journal.epoch, settles=[SettleRow(run, attempt, epoch, DONE, attempt, 1.0)])
    change.events, change.runs = [event(3, cause=run)], [RunRow(3, 3, "r", Terms(3))]
    change.attempts = [AttemptRow(run, attempt, epoch, 0.0, 1.0, "dead", "E", None)]
    assert commit(journal, change).stale == {run}
    assert ask(journal, "SELECT * FROM attempt") == []
    assert ask(journal, "SELECT state FROM run ORDER BY number") == [(RUNNING,), (WAITING,)]
    assert ask(journal, "SELECT max(number) FROM event") == [(2,)]


def test_what_a_source_delivered_counts_though_the_run_that_wrote_it_is_not_settled(opened: Open) -> None:
    journal = filled(opened(), 1, RUNNING, 1)
    change = Change(journal.epoch, settles=[SettleRow(1, 9, 1, DONE, 9, 1.0)])
    change.memories, change.identities = [("bucket", b"a", b"v1", 2)], [("bucket\0b", 3, 0.0)]
    change.events = [event(number, cause=1) for number in (2, 3, 4)]
    change.runs = [RunRow(number, number, "r", Terms(number)) for number in (2, 3, 4)]
    result = commit(journal, change)
    assert (result.stale, result.void) == ({1}, {4})
    assert ask(journal, "SELECT number FROM event") == ask(journal, "SELECT number FROM run") == [(1,), (2,), (3,)]


def test_a_run_ends_once(opened: Open) -> None:
    journal = filled(opened(), 1, RUNNING, 1)
    assert commit(journal, Change(journal.epoch, done={1: [1]})).stale == set()
    assert commit(journal, Change(journal.epoch, done={1: [1]})).stale == {1}
    assert commit(journal, Change(journal.epoch, settles=[SettleRow(1, 1, 1, DEAD, 1, 1.0)])).stale == {1}
    assert ask(journal, "SELECT state FROM run") == [(DONE,)]


def test_a_claim_takes_what_waits_and_what_an_older_epoch_held_and_nothing_else(opened: Open) -> None:
    filled(opened(), 1, RUNNING, 1)
    journal = opened()
    change = Change(journal.epoch)
    for number, state in enumerate((WAITING, RUNNING, DELAYED, DONE, DEAD), start=2):
        change.events.append(event(number))
        change.runs.append(RunRow(number, number, "r", Terms(0), state, 0, journal.epoch))
    commit(journal, change)
    numbers = [1, 2, 3, 4, 5, 6, 7]
    change = Change(journal.epoch, claims={2: [1], 1: numbers[1:]}, interrupted=[1], unread=[1, 2], again=[1])
    result = commit(journal, change)
    assert result.gone == {3, 4, 5, 6, 7}
    assert ask(journal, "SELECT number, attempt FROM run WHERE state = 1 AND epoch = 2") == [(1, 2), (2, 1), (3, 0)]
    assert {number: read.number for number, read in result.read.items()} == {1: 1, 2: 2}
    assert list(result.begun) == [1]
    assert ask(journal, "SELECT run, attempt, epoch, outcome FROM attempt") == [(1, 1, 1, "interrupted")]


def test_a_forgiven_claim_uses_no_attempt(opened: Open) -> None:
    filled(opened(), 2, RUNNING, 3)
    journal = opened()
    change = Change(journal.epoch, claims={4: [1], 3: [2]}, interrupted=[1, 2], forgiven=[2])
    assert commit(journal, change).gone == set()
    assert ask(journal, "SELECT number, attempt FROM run") == [(1, 4), (2, 3)]


def test_a_claim_of_more_runs_than_one_statement_holds(opened: Open) -> None:
    journal = filled(opened(), 1203)
    assert commit(journal, Change(journal.epoch, claims={1: list(range(1, 1205))})).gone == {1204}
    assert ask(journal, f"SELECT count(*) FROM run WHERE state = {RUNNING}") == [(1203,)]


def test_delayed_runs_are_promoted_when_due_the_earliest_first(opened: Open) -> None:
    journal = filled(opened(), 4, RUNNING, 1)
    settles = [SettleRow(n, 1, 1, DELAYED, 1, None, due=float(10 - n), due_time=0.0) for n in (1, 2, 3)]
    commit(journal, Change(journal.epoch, settles=settles))
    assert next_due(journal._connection) == 7.0
    assert [row.run for row in commit(journal, Change(journal.epoch, promote=(8.0, 1))).promoted] == [3]
    assert [row.run for row in commit(journal, Change(journal.epoch, promote=(8.0, 9))).promoted] == [2]
    assert next_due(journal._connection) == 9.0


def test_what_waits_is_read_in_order_of_rank_behind_a_rank(opened: Open) -> None:
    journal = opened()
    change = Change(journal.epoch, events=[event(n) for n in range(1, 7)])
    for number, priority in enumerate((0, 5, 0, 5, 9, 0), start=1):
        change.runs.append(RunRow(number, number, "r", Terms(-priority, priority)))
    commit(journal, change)

    def behind(rank: tuple[float, int], limit: int = 9) -> list[int]:
        return [row.number for row in waiting("r", journal.epoch, rank, limit)(journal._connection)]

    assert behind((-inf, 0)) == [5, 2, 4, 1, 3, 6]
    assert behind((-5, 2), 3) == [4, 1, 3]
    assert behind((0, 6)) == []
    assert waiting("other", 1, (-inf, 0), 9)(journal._connection) == []


def test_a_full_disk_stops_a_commit_and_the_same_change_goes_through_when_there_is_room(opened: Open) -> None:
    journal = opened()
    (pages,) = (journal._connection.execute("PRAGMA page_count").get,)
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    change = Change(journal.epoch, events=[event(n)._replace(data="x" * 5000) for n in range(1, 30)])
    error = journal._apply(change)
    assert isinstance(error, apsw.FullError)
    assert transient(error)
    assert not journal._connection.in_transaction
    journal._connection.execute("PRAGMA max_page_count = 100000")
    commit(journal, change)
    assert ask(journal, "SELECT count(*) FROM event") == [(29,)]


def test_a_reader_sees_only_what_is_committed_and_cannot_write(opened: Open, folder: StateFolder) -> None:
    journal = filled(opened())
    reader = open_reader(folder)
    journal._connection.execute("BEGIN IMMEDIATE")
    journal._connection.execute("DELETE FROM run")
    assert reader.execute("SELECT count(*) FROM run").get == 3
    journal._connection.execute("ROLLBACK")
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM run")
    reader.close()


def test_an_attempts_history_is_kept(opened: Open) -> None:
    journal = opened()
    commit(journal, Change(journal.epoch, attempts=[AttemptRow(1, 2, 1, 0.0, 1.0, "failed", "E", "T")]))
    assert ask(journal, "SELECT * FROM attempt") == [(1, 2, 1, 0.0, 1.0, "failed", "E", "T")]


def test_what_has_expired_is_not_claimed_unless_it_was_started_before(opened: Open) -> None:
    journal = opened()
    change = Change(journal.epoch, events=[event(n) for n in (1, 2, 3)])
    for number, (expires, started) in enumerate([(10.0, None), (11.0, None), (10.0, 5.0)], start=1):
        terms = Terms(0, expires=expires)
        change.runs.append(RunRow(number, number, "r", terms, started=started))
    commit(journal, change)
    assert commit(journal, Change(journal.epoch, claims={1: [1, 2, 3]}, at=10.0)).gone == {1}
    assert [run.number for run in due(20.0, 10)(journal._connection)[0]] == [1]
    assert ask(journal, "SELECT number, state FROM run") == [(1, DROPPED), (2, RUNNING), (3, RUNNING)]


@pytest.mark.parametrize(("attempt", "older", "kept"), [(1, 0, [("3",)]), (2, 0, []), (1, 1, [])])
def test_a_checkpoint_counts_only_for_the_claim_that_the_journal_knows(
    opened: Open, attempt: int, older: int, kept: list[tuple[str]]
) -> None:
    journal = filled(opened(), 1, RUNNING, 1)
    row = CheckpointRow(1, attempt, journal.epoch - older, "3", None, None, None, 0.0)
    commit(journal, Change(journal.epoch, checkpoints={1: row}))
    assert ask(journal, "SELECT value FROM checkpoint") == kept

"""Rows that do not fit together are found, each kind by what is said of it, and a journal that is well has none."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from tests.kit import Life
from triggers import App, Batch, Event, Later, Reject
from triggers.journal import prune
from triggers.journal.schema import DEAD, DONE
from triggers.journal.soundness import RULES, unsound
from triggers.sources import Delivery


class Job(Event):
    n: int


class Made(Event):
    n: int


def app() -> App:
    made = App("a")

    @made.on(Job)
    async def work(event: Job) -> Made:
        if event.n == 2:
            raise Reject("broken")
        if event.n == 3:
            raise Later(60)
        return Made(n=event.n)

    @made.on(Made, batch=Batch(2, within=60))
    async def load(events: list[Made]) -> None:
        """Take them."""

    @made.on(Job, where={"n": [4]}, not_before=60, expires=90)
    async def late(event: Job) -> None:
        """Start in time."""

    return made


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a journal with a run of each kind: done, dead, delayed, made of several events, and with a time limit."""
    folder = tmp_path_factory.mktemp("sound")
    life = Life(app(), folder)
    life.send(*(Job(n=n) for n in range(1, 5)))  # events 1 to 4, and as many runs of `work`
    found = Delivery("in", "v", "Job", '{"n": 1}', 0.0, memory=(b"a.csv", b"v"))
    life.append(found)
    life.settle()
    assert {state for state, _ in life.states()} == {"done", "dead", "delayed"}
    life.stop()
    return (folder / "journal.db").read_bytes()


@pytest.fixture
def journal(tmp_path: Path, sound: bytes) -> apsw.Connection:
    (tmp_path / "journal.db").write_bytes(sound)
    return apsw.Connection(str(tmp_path / "journal.db"))


FIRST = f"(SELECT min(number) FROM run WHERE state = {DONE})"
DELAYED = "(SELECT number FROM run WHERE route = 'late')"
MADE = "(SELECT min(number) FROM event WHERE type = 'Made')"

DAMAGE = (
    ("UPDATE event SET data = '{' WHERE number = 1", "what e1 says is no JSON"),
    (f"UPDATE event SET root = 99 WHERE number = {MADE}", "without e99, with which its chain begins"),
    (f"UPDATE event SET cause = 99 WHERE number = {MADE}", "without r99, which emitted it"),
    (f"UPDATE event SET root = 2 WHERE number = {MADE}", "of the chain of e2, but came of e1, which is of that of e1"),
    (f"UPDATE run SET state = 0, ended = NULL WHERE number = {FIRST}", "although r1, which emitted it, is not done"),
    ("INSERT INTO event SELECT 99, id, source, type, 1, '', 0, 0, data, cause, root, 1, 1 FROM event WHERE number = 5",
     "was emitted 2 times"),
    ("DELETE FROM event WHERE number = 2", "r2 is there without its event e2"),
    (f"UPDATE run SET state = 9 WHERE number = {FIRST}", "r1 is in state 9, which is none"),
    (f"UPDATE run SET ended = NULL WHERE number = {FIRST}", "r1 has ended and nobody knows when"),
    ("UPDATE run SET due = NULL WHERE route = 'late'", "is delayed for ever; `triggers retry r"),
    ("UPDATE run SET due = 9e999 WHERE route = 'late'", "waits for its turn, and has no place"),
    ("DELETE FROM moment", "expires, and nobody would notice"),
    (f"UPDATE run SET state = 1, ended = NULL, epoch = 9 WHERE number = {FIRST}", "claimed in epoch 9, which has not"),
    ("DELETE FROM event WHERE type = 'RunFailed'", "is dead, and no RunFailed tells of it"),
    ("UPDATE identity SET event = 99 WHERE event = 1", "counts as delivered, and its event e99 is not there"),
    ("UPDATE ledger SET event = 99", "in remembers 'a.csv' as told, and its event e99 is not there"),
    ("DELETE FROM identity WHERE event = 1", "e1 is not remembered as delivered"),
    ("UPDATE gathered SET event = 99 WHERE place = 1", "e99 is to come together with others for 'load'"),
    ("UPDATE gathered SET whole = 99", "has come together with others as e99, which is not there"),
    ("DELETE FROM run WHERE route = 'load'", "stands for events that came together for 'load', and has no run"),
    ("INSERT INTO attempt VALUES (99, 1, 1, 0, 0, 'dead', '', '')", "an attempt is there without r99; nothing is lost"),
    ("INSERT INTO usage VALUES (99, 1, 0, 0)", "what an attempt has used is there without r99"),
    ("INSERT INTO checkpoint VALUES (99, '1', 0, 0, 0, 0)", "a checkpoint is there without r99"),
    ("INSERT INTO place VALUES (99, 'work', NULL, 1)", "a place in the order of a route is there without r99"),
)  # fmt: skip


def test_a_journal_that_is_well_has_no_flaws(journal: apsw.Connection) -> None:
    assert unsound(journal) == []


@pytest.mark.parametrize(("damage", "words"), DAMAGE, ids=[words for _, words in DAMAGE])
def test_damage_is_found(journal: apsw.Connection, damage: str, words: str) -> None:
    journal.execute(damage)
    assert journal.changes()
    flaws = [str(flaw) for flaw in unsound(journal)]
    assert [flaw for flaw in flaws if words in flaw], flaws


def test_there_is_damage_for_each_rule() -> None:
    assert len(DAMAGE) == len(RULES)


def test_only_what_is_lost_or_stands_still_is_harmful(journal: apsw.Connection) -> None:
    journal.execute(DAMAGE[-1][0])
    assert [flaw.harmful for flaw in unsound(journal)] == [False]
    journal.execute("UPDATE run SET due = NULL WHERE route = 'late'")
    assert sorted(flaw.harmful for flaw in unsound(journal)) == [False, True]


def test_what_retention_has_deleted_is_not_missing(journal: apsw.Connection) -> None:
    far = 1e12
    dead = journal.execute(f"SELECT event FROM run WHERE state = {DEAD}").get
    assert prune(far, 0, 500)(journal)
    assert unsound(journal) == []
    left = {number for (number,) in journal.execute("SELECT number FROM event")}
    assert dead in left
    assert 1 not in left


def test_what_came_after_the_deleted_is_missing(journal: apsw.Connection) -> None:
    prune(0, 0, 500)(journal)
    journal.execute("DELETE FROM event WHERE number = 1")
    assert unsound(journal)

"""A backup is a state folder as the app's was at one moment, and the app goes on meanwhile."""

from __future__ import annotations

import os
import resource
import threading
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.kit import Life, Start
from triggers import App, Context, Event, Later, Retry
from triggers.backup import back_up
from triggers.cloudevents import to_text
from triggers.errors import StateError
from triggers.journal import Journal, snapshot
from triggers.journal.views import open_reader
from triggers.sources.inbox import write
from triggers.state import StateFolder
from triggers.testing import FakeClock


class A(Event):
    n: int


class B(Event):
    n: int


class Effects:
    """An app of two steps, and what its handlers did: the payload by the effect key."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.broken = True
        self.app = App("a")
        self.app.on(A, retry=Retry(attempts=5, initial=60, maximum=60))(self.first)
        self.app.on(B)(self.second)

    async def first(self, event: A, ctx: Context) -> B:
        if self.broken and event.n == 2:
            raise OSError("the warehouse is away")
        self._do(ctx, f"first {event.n}")
        return B(n=event.n)

    async def second(self, event: B, ctx: Context) -> None:
        if self.broken and event.n == 1:
            raise Later("not yet", seconds=60)
        self._do(ctx, f"second {event.n}")

    def _do(self, ctx: Context, what: str) -> None:
        assert self.keys.setdefault(ctx.effect_key, what) == what, "one key was used for two effects"


def restored(effects: Effects, folder: Path, clock: FakeClock) -> Life:
    return Life(effects.app, folder, clock)


def batch(state: Path, *numbers: int) -> Path:
    return write(state / "inbox", [to_text(f"i{n}", "shell", "A", 1, None, 0.0, f'{{"n": {n}}}') for n in numbers])


def test_what_was_open_at_the_backup_is_worked_off_and_no_effect_key_is_used_for_anything_else(
    start: Start, tmp_path: Path
) -> None:
    effects = Effects()
    life = start(effects.app)
    life.send(A(n=1), A(n=2), A(n=3))
    made = back_up(StateFolder(tmp_path / "state"), tmp_path / "backup")
    assert (made.summary.events, made.summary.runs["delayed"], made.flaws) == (5, 2, [])
    effects.broken = False
    life.send(A(n=4))  # which the backup does not have
    life.advance(100)
    assert sorted(effects.keys.values()) == [f"{step} {n}" for step in ("first", "second") for n in (1, 2, 3, 4)]
    life.stop()

    life = restored(effects, tmp_path / "backup", life.clock)
    life.send(A(n=5))
    life.advance(100)
    assert {state for state, _ in life.states()} == {"done"}
    assert len(life.runs()) == 8  # of 1, 2, 3 and 5
    life.stop()


def test_a_restored_journal_that_made_nothing_yet_gives_no_old_number_out_at_its_next_start_either(
    start: Start, tmp_path: Path
) -> None:
    effects = Effects()
    life = start(effects.app)
    life.send(A(n=3))
    back_up(StateFolder(tmp_path / "state"), tmp_path / "backup")
    restored(effects, tmp_path / "backup", life.clock).stop()
    life = restored(effects, tmp_path / "backup", life.clock)
    life.send(A(n=3))
    assert [run.number > 10**12 for run in life.runs()] == [False, False, True, True]
    life.stop()


def test_a_batch_that_waits_is_in_the_backup_and_one_that_was_taken_in_meanwhile_is_no_duplicate(
    start: Start, tmp_path: Path
) -> None:
    effects = Effects()
    life = start(effects.app)
    state = tmp_path / "state"
    life.stop()
    waiting, _ = batch(state, 6), batch(state, 7)
    kept = waiting.read_bytes()
    (state / "inbox" / ".half.jsonl.tmp").write_text("half")
    os.mkfifo(state / "inbox" / "pipe.jsonl")
    (state / "inbox" / "link.jsonl").symlink_to(waiting)
    assert back_up(StateFolder(state), tmp_path / "backup").files == 2
    os.remove(state / "inbox" / "pipe.jsonl")
    os.remove(state / "inbox" / "link.jsonl")

    life = restored(effects, tmp_path / "backup", life.clock)
    life.settle()
    assert sorted(life.data(B)) == ['{"n":6}', '{"n":7}']
    (tmp_path / "backup" / "inbox" / waiting.name).write_bytes(kept)  # as if its removal had been missed
    life.engine.intake.poke("inbox")
    life.settle()
    assert sorted(life.data(B)) == ['{"n":6}', '{"n":7}']
    life.stop()


def test_a_batch_that_is_taken_in_just_after_the_journal_was_copied_is_not_lost(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = Effects()
    life = start(effects.app)
    batch(tmp_path / "state", 6)
    copy = snapshot.copy

    def copy_and_go_on(source: apsw.Connection, target: Path, now: float) -> None:
        copy(source, target, now)
        life.engine.intake.poke("inbox")
        life.settle()
        assert life.data(B) == ['{"n":6}']

    monkeypatch.setattr(snapshot, "copy", copy_and_go_on)
    back_up(StateFolder(tmp_path / "state"), tmp_path / "backup")
    life.stop()
    life = restored(effects, tmp_path / "backup", life.clock)
    life.settle()
    assert life.data(B) == ['{"n":6}']
    life.stop()


def test_a_backup_is_its_owners_alone_and_holds_what_was_rejected(start: Start, tmp_path: Path) -> None:
    life = start(App("a"))
    life.run(life.engine.intake.reject("orders", "m1", "{", "it is no JSON"))
    back_up(StateFolder(tmp_path / "state"), tmp_path / "deep" / "backup")
    found = {str(path.relative_to(tmp_path / "deep")): path.stat().st_mode & 0o777
             for path in (tmp_path / "deep").rglob("*")}  # fmt: skip
    assert found == {
        "backup": 0o700,
        "backup/inbox": 0o700,
        "backup/requests": 0o700,
        "backup/rejected": 0o700,
        "backup/journal.db": 0o600,
        "backup/rejected/orders-m1.json": 0o600,
        "backup/rejected/orders-m1.json.reason": 0o600,
    }


def test_a_copy_is_of_one_moment_though_the_writer_never_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateFolder(tmp_path / "state").create()
    Journal(state, FakeClock()).close()
    monkeypatch.setattr(snapshot, "PAGES", 5)
    began, done = threading.Event(), threading.Event()
    written = 0

    def write_pairs() -> None:
        nonlocal written
        with closing(apsw.Connection(str(state.journal))) as writer:
            writer.pragma("synchronous", "OFF")
            writer.execute("CREATE TABLE one (x); CREATE TABLE other (x); CREATE TABLE much (x)")
            writer.execute("INSERT INTO much VALUES (zeroblob(10000000))")
            began.set()
            while not done.is_set() and written < 10_000:
                writer.execute("BEGIN; INSERT INTO one VALUES (1); INSERT INTO other VALUES (1); COMMIT")
                written += 1

    writing = threading.Thread(target=write_pairs)
    writing.start()
    began.wait()
    with closing(open_reader(state)) as reader:
        snapshot.copy(reader, tmp_path / "copy.db", 0.0)
    done.set()
    writing.join()
    with closing(apsw.Connection(str(tmp_path / "copy.db"))) as copied:
        one, other = copied.execute("SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM other)").get
        assert copied.pragma("integrity_check") == "ok"
    assert one == other < written


def test_a_target_that_is_there_or_inside_is_refused(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    Journal(state, FakeClock()).close()
    with pytest.raises(StateError, match="is there already; a backup is a new folder, so that it never replaces one"):
        back_up(state, tmp_path)
    with pytest.raises(StateError, match=r"lies in the state folder .* itself; name a folder elsewhere"):
        back_up(state, state.path / "backup")


def test_of_a_backup_that_fails_nothing_is_left(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    Journal(state, FakeClock()).close()
    with state.journal.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(StateError, match=r"the journal .* is damaged .*; keep it, and the backups that there are"):
        back_up(state, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_journal_whose_pages_are_read_and_do_not_fit_together_is_damaged_too(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    Journal(state, FakeClock()).close()
    with closing(apsw.Connection(str(state.journal))) as connection:
        connection.execute("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'attempt_run'")
    with pytest.raises(StateError, match=r"the journal .* is damaged \((.|\n)*never used\); keep it"):
        back_up(state, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_backup_for_which_there_is_no_room_says_so_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    Journal(state, FakeClock()).close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))  # as on a disk that is full
    try:
        with pytest.raises(StateError, match=r"the backup .* cannot be written \(.*\); nothing is left of it"):
            back_up(state, tmp_path / "backup")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]

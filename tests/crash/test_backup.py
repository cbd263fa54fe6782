"""A backup that is taken under load restores, with every chain whole; `TRIGGERS_TORTURE` says how many are taken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from tests.crash.chains import Home, unwell
from tests.kit import PATIENCE
from tests.torture import TIMES
from triggers.backup import back_up
from triggers.cloudevents import to_text
from triggers.sources.inbox import write
from triggers.state import StateFolder

FILES = 40
MOST = 100 * TIMES
"""How many batches are handed in at most."""


@contextmanager
def sending(state: Path) -> Iterator[list[str]]:
    """Hand batches in, one after the other, and yield the keys of those that are durable."""
    sent: list[str] = []
    over = threading.Event()

    def hand_in() -> None:
        for number in range(MOST):
            if over.wait(0.005):
                return
            key = f"sent {number}"
            write(state / "inbox", [to_text(key, "shell", "First", 1, None, 0.0, f'{{"key": "{key}"}}')])
            sent.append(key)

    thread = threading.Thread(target=hand_in)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


def effects(home: Home) -> dict[str, str]:
    """Return what was done, by the effect key."""
    return {path.name: path.read_text() for path in (home.path / "effects").iterdir() if path.suffix != ".tmp"}


def restored(home: Home, backup: Path) -> Home:
    """Work a backup off in a home of its own, whose files are those that were there."""
    other = Home(backup.with_name(f"{backup.name}-home"))
    (other.path / "in").rmdir()
    (other.path / "in").symlink_to(home.path / "in")
    backup.rename(other.path / "state")
    other.drain()
    return other


def check(home: Home, sent: list[str]) -> None:
    assert unwell(home.path / "state") == []
    with closing(apsw.Connection(str(home.path / "state" / "journal.db"))) as journal:
        assert list(journal.execute("SELECT DISTINCT state FROM run")) == [(3,)]
        assert list(journal.execute("SELECT count(*) FROM event WHERE type = 'ObjectCreated'")) == [(FILES,)]
        taken = {key for (key,) in journal.execute("SELECT id FROM event WHERE source = 'shell'")}
        assert set(sent) <= taken, "what was durable before the backup is in it"
        chains = journal.execute(
            "SELECT min(depth), count(*), count(DISTINCT type), max(type) FROM event GROUP BY root"
        )
        assert set(chains) == {(0, 4, 4, "Third"), (0, 3, 3, "Third")}


def test_a_backup_under_load_restores_with_every_chain_whole_and_no_key_of_another_effect(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.drop(FILES // 2)
    process = home.started()
    backups = []
    with sending(home.path / "state") as sent:
        home.drop(FILES // 2)
        home.wait(1)
        for number in range(TIMES):
            durable, target = list(sent), tmp_path / f"backup-{number}"
            assert back_up(StateFolder(home.path / "state"), target).flaws == []
            backups.append((target, durable))
    home.enough()
    process.join(PATIENCE)
    assert process.exitcode == 0
    for target, durable in backups:
        other = restored(home, target)
        check(other, durable)
        done, again = effects(home), effects(other)
        assert {key: done[key] for key in again.keys() & done.keys()}.items() <= again.items()

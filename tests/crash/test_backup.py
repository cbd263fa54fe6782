"""A backup that is taken under load restores, with every chain whole; `TRIGGERS_BACKUPS` says how many are taken."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from tests.crash.test_kill import drop, start
from triggers.backup import back_up
from triggers.cloudevents import to_text
from triggers.journal.soundness import unsound
from triggers.sources.inbox import write
from triggers.state import StateFolder

BACKUPS = int(os.environ.get("TRIGGERS_BACKUPS", "1"))
FILES = 40
MOST = 100 * BACKUPS
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


def effects(home: Path) -> dict[str, str]:
    """Return what was done, by the effect key."""
    return {path.name: path.read_text() for path in (home / "effects").iterdir() if path.suffix != ".tmp"}


def restored(home: Path, backup: Path) -> Path:
    """Work a backup off in a home of its own, whose files are those that were there."""
    other = backup.with_name(f"{backup.name}-home")
    (other / "effects").mkdir(parents=True)
    (other / "in").symlink_to(home / "in")
    backup.rename(other / "state")
    process = start(other)
    out, _ = process.communicate(timeout=60)
    assert out == "started\ndrained\n", (other / "stderr").read_text()[-3000:]
    return other


def check(home: Path, sent: list[str]) -> None:
    connection = apsw.Connection(str(home / "state" / "journal.db"))
    assert connection.pragma("integrity_check") == "ok"
    assert unsound(connection) == []
    assert list(connection.execute("SELECT DISTINCT state FROM run")) == [(3,)]
    assert list(connection.execute("SELECT count(*) FROM event WHERE type = 'ObjectCreated'")) == [(FILES,)]
    taken = {key for (key,) in connection.execute("SELECT id FROM event WHERE source = 'shell'")}
    assert set(sent) <= taken, "what was durable before the backup is in it"
    chains = connection.execute("SELECT min(depth), count(*), count(DISTINCT type), max(type) FROM event GROUP BY root")
    assert set(chains) == {(0, 4, 4, "Third"), (0, 3, 3, "Third")}
    connection.close()


def test_a_backup_under_load_restores_with_every_chain_whole_and_no_key_of_another_effect(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("in", "effects"):
        (home / name).mkdir(parents=True)
    drop(home, 0, FILES // 2)
    process = start(home)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    backups = []
    with sending(home / "state") as sent:
        drop(home, FILES // 2, FILES // 2)
        for number in range(BACKUPS):
            durable = list(sent)
            target = tmp_path / f"backup-{number}"
            assert back_up(StateFolder(home / "state"), target).flaws == []
            backups.append((target, durable))
    process.communicate(timeout=60)
    for target, durable in backups:
        other = restored(home, target)
        check(other, durable)
        done, again = effects(home), effects(other)
        assert {key: done[key] for key in again.keys() & done.keys()}.items() <= again.items()

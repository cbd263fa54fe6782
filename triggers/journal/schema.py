"""The tables of the journal, and how an older journal is brought forward.

A state is one integer in `run.state`; `STATES` gives the words. Open runs (waiting, running) and delayed ones are found
through partial indexes, so what has ended costs nothing. Only SQLite 3.35 features are used in the schema, so that
other tools can read a journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from triggers.errors import StateError
from triggers.state import APPLICATION_ID

WAITING, RUNNING, DELAYED, DONE, DEAD, DROPPED = range(6)
STATES: Final = ("waiting", "running", "delayed", "done", "dead", "dropped")

ENDLESS: Final = "9e999"
"""When a run is due that is delayed until others have ended: infinity, as SQL has it."""

_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

-- What a running app consists of, as its last owner declared it; `why`, `trace` and `graph` read it.
CREATE TABLE route (name TEXT PRIMARY KEY, trigger TEXT NOT NULL, source TEXT, pattern TEXT, policy TEXT NOT NULL,
                    emits TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE event (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL,
    subject TEXT, time REAL NOT NULL, recorded REAL NOT NULL, data TEXT NOT NULL,
    cause INTEGER, root INTEGER NOT NULL, depth INTEGER NOT NULL, budget INTEGER NOT NULL);
CREATE INDEX event_root ON event (root);

CREATE TABLE run (
    number INTEGER PRIMARY KEY, event INTEGER NOT NULL, route TEXT NOT NULL, priority INTEGER NOT NULL,
    state INTEGER NOT NULL, attempt INTEGER NOT NULL, epoch INTEGER NOT NULL,
    started REAL, ended REAL, due REAL, due_time REAL, error TEXT);
CREATE INDEX run_event ON run (event);
CREATE INDEX run_open ON run (route, priority DESC, number) WHERE state < 2;
CREATE INDEX run_delayed ON run (due) WHERE state = 2;
CREATE INDEX run_dead ON run (number) WHERE state = 4;

-- One row for every attempt that did not simply end in `done`: its error, its traceback, or that it was interrupted.
CREATE TABLE attempt (
    run INTEGER NOT NULL, attempt INTEGER NOT NULL, epoch INTEGER NOT NULL, started REAL, ended REAL,
    outcome TEXT NOT NULL, error TEXT, traceback TEXT);
CREATE INDEX attempt_run ON attempt (run);

-- Identities of what sources delivered, kept longer than the events, so that a late duplicate is still one.
CREATE TABLE identity (key TEXT PRIMARY KEY, event INTEGER NOT NULL, at REAL NOT NULL,
                       duplicates INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX identity_at ON identity (at);

-- What a source remembers, committed with the event that made it remember.
CREATE TABLE ledger (source TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, event INTEGER NOT NULL,
                     PRIMARY KEY (source, key)) WITHOUT ROWID;
"""

_SCHEDULING = f"""
-- `rank` orders what waits: the arrival in Unix seconds, less what the priority is worth. It never changes, so an index
-- keeps it. `key` is the flow's key, `size` the bytes of the input, both for the policy; moments are in Unix seconds.
-- `memory` is what an attempt may have where an earlier one died of too little.
ALTER TABLE run ADD COLUMN rank REAL NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN key TEXT;
ALTER TABLE run ADD COLUMN size INTEGER;
ALTER TABLE run ADD COLUMN deadline REAL;
ALTER TABLE run ADD COLUMN expires REAL;
ALTER TABLE run ADD COLUMN memory REAL;
UPDATE run SET rank = (SELECT recorded FROM event WHERE event.number = run.event) - 600 * priority
WHERE state <> {DONE};
DROP INDEX run_open;
CREATE INDEX run_open ON run (route, rank, number) WHERE state < 2;

-- When runs expire and miss their deadlines, until then. A table, as partial indexes cost each run that has neither.
CREATE TABLE moment (at REAL NOT NULL, run INTEGER NOT NULL, kind TEXT NOT NULL,
                     PRIMARY KEY (at, run, kind)) WITHOUT ROWID;

-- `took` is how many seconds the last attempt took, where `ended - started` does not say so: the machine slept, or the
-- clock was set. What a route's runs took of late is learned from.
ALTER TABLE run ADD COLUMN took REAL;
CREATE INDEX run_done ON run (route, number) WHERE state = {DONE};

-- What an isolated attempt was seen to use at most: bytes and seconds of its process and what that has started.
CREATE TABLE usage (run INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, memory REAL NOT NULL, cpu REAL NOT NULL);

-- How far a run had come, by its own account, kept until it is done; `origin` is how far when the attempt began.
CREATE TABLE checkpoint (run INTEGER PRIMARY KEY, value TEXT NOT NULL, done REAL, total REAL, origin REAL,
                         at REAL NOT NULL);

-- What rates count, each row until it counts no more: starts of runs (throttle), runs that were taken in (rate_limit).
CREATE TABLE counted (route TEXT NOT NULL, rate TEXT NOT NULL, key TEXT, until REAL NOT NULL, run INTEGER NOT NULL);
CREATE INDEX counted_key ON counted (route, rate, key, until);
CREATE INDEX counted_until ON counted (until);

-- Events that a route has taken, to make one run of several. A group is named by the event that came first; `place`
-- counts its events. It ends at `due`, or when it is whole: `ended` says how, `whole` which event was made of it.
CREATE TABLE gathered (
    number INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT, first INTEGER NOT NULL, place INTEGER NOT NULL,
    slot TEXT NOT NULL, event INTEGER NOT NULL, wanted INTEGER NOT NULL, opened REAL NOT NULL, due REAL NOT NULL,
    ended TEXT, whole INTEGER);
CREATE INDEX gathered_open ON gathered (route, key, first, place) WHERE ended IS NULL;
CREATE INDEX gathered_due ON gathered (due) WHERE ended IS NULL;
CREATE INDEX gathered_ends ON gathered (route, key, due) WHERE ended IS NULL;
CREATE INDEX gathered_ended ON gathered (route, key) WHERE ended IS NOT NULL;
CREATE INDEX gathered_untold ON gathered (first) WHERE ended IS NOT NULL AND whole IS NULL;
CREATE INDEX gathered_event ON gathered (event);
CREATE INDEX gathered_whole ON gathered (whole, first, place) WHERE whole IS NOT NULL;

-- The places of runs that go in the order of their data, while they are open or dead. `at` is text or a number.
CREATE TABLE place (run INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT, at NOT NULL);
CREATE INDEX place_key ON place (route, key, at);

-- The gates that hold back what waits, as the dispatcher last saw them, for readers: `every` run of a route, or
-- those of one key. `until` is in Unix seconds, NULL where no moment opens the gate.
CREATE TABLE closed (route TEXT NOT NULL, every INTEGER NOT NULL, key TEXT, until REAL, reason TEXT NOT NULL);
"""

_SLOTS = """
-- Whether an open group has an event in a slot: a fan-in asks it for each of its parts.
CREATE INDEX gathered_slot ON gathered (route, key, slot, first) WHERE ended IS NULL;
"""

_SCALES = """
-- About how large the inputs are of the runs that a gate holds back (`triggers.scheduling.terms.scale`); NULL for all.
ALTER TABLE closed ADD COLUMN scale INTEGER;
"""

MIGRATIONS: Final[Sequence[str]] = (_FIRST, _SCHEDULING, _SLOTS, _SCALES)
"""Script n brings version n to version n + 1. Released scripts never change; append to this list, and count up
`SCHEMA_VERSION` in `triggers/state.py`."""


def prepare(connection: apsw.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Create the tables in an empty journal, or bring an older one forward, each step in one transaction.

    Raises `StateError`, without having touched the file, when it is not a journal or is newer than this code.
    """
    check(connection, migrations)
    version = read_pragma(connection, "user_version")
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        with_commit = f"{script}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT"
        try:
            connection.execute(with_commit)
        except apsw.Error:
            connection.execute("ROLLBACK")
            raise
    if version < len(migrations):  # so that the file itself says what it is: who only looks need not read the log
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def check(connection: apsw.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Raise `StateError` when the open file is no journal, or newer than this code."""
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
        application = read_pragma(connection, "application_id")
        version = read_pragma(connection, "user_version")
    except apsw.NotADBError as error:
        raise StateError(f"{connection.filename} is not a journal: it is no SQLite file; move it away") from error
    if tables and application != APPLICATION_ID:
        raise StateError(f"{connection.filename} is another program's database, not a journal; choose another --state")
    if version > len(migrations):
        raise StateError(
            f"{connection.filename} has schema version {version}, this code knows {len(migrations)};"
            " it was written by a newer version of triggers: upgrade the package"
        )


def read_pragma(connection: apsw.Connection, name: str) -> int:
    """Return an integer pragma of the main database."""
    value = connection.pragma(name)
    return value if isinstance(value, int) else 0

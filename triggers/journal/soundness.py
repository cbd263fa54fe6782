"""Whether the rows of a journal fit together: what no crash and no order of events may ever bring about.

What retention has deleted is missing by right. `meta` has the number below which it has deleted (`pruned`); an event
from there on is there, and so is what belongs to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

import apsw

from triggers.journal.groups import GATHERED
from triggers.journal.schema import DEAD, DELAYED, DONE, DROPPED, ENDLESS, RUNNING, WAITING
from triggers.sources import RESERVED

MOST: Final = 10
"""How many flaws of one kind are named."""

RESTORE: Final = "restore a backup of the state folder"
RETRY: Final = "`triggers retry r{0}` has it run"
LEAVE: Final = "nothing is lost by it"


class Flaw(NamedTuple):
    """What does not fit together in a journal."""

    what: str
    way_out: str
    harmful: bool
    """Whether work is lost, or stands still for ever."""

    def __str__(self) -> str:
        return f"{self.what}; {self.way_out}"


def unsound(connection: apsw.Connection) -> list[Flaw]:
    """Return what does not fit together, at most `MOST` of each kind; nothing where all is well.

    All of it is read, each kind by one statement, so that what is written meanwhile is seen whole or not at all.
    """
    return list(_found(connection))


def _found(connection: apsw.Connection) -> Iterator[Flaw]:
    for rule in RULES:
        for row in connection.execute(f"{rule.sql} LIMIT {MOST}"):
            words = [os.fsdecode(value) if isinstance(value, bytes) else value for value in row]
            yield Flaw(rule.words.format(*words), rule.way_out.format(*words), rule.way_out != LEAVE)


class Rule(NamedTuple):
    """A kind of flaw: how it is found, and what is said of it and done about it, with the columns that were found."""

    sql: str
    words: str
    way_out: str


_PRUNED = "ifnull((SELECT value FROM meta WHERE name = 'pruned'), 0)"
_APP = "(SELECT value FROM meta WHERE name = 'name')"


def _no_event(column: str) -> str:
    return f"NOT EXISTS (SELECT 1 FROM event AS wanted WHERE wanted.number = {column})"


def _no_run(column: str) -> str:
    return f"NOT EXISTS (SELECT 1 FROM run AS wanted WHERE wanted.number = {column})"


_EVENTS: Final = (
    Rule("SELECT number FROM event WHERE NOT json_valid(data)", "what e{0} says is no JSON", RESTORE),
    Rule(
        f"""SELECT number, root FROM event WHERE root <> number AND root >= {_PRUNED} AND {_no_event("event.root")}""",
        "e{0} is there without e{1}, with which its chain begins",
        RESTORE,
    ),
    Rule(
        f"SELECT number, cause FROM event WHERE cause IS NOT NULL AND root >= {_PRUNED} AND {_no_run('event.cause')}",
        "e{0} is there without r{1}, which emitted it",
        RESTORE,
    ),
    Rule(
        """SELECT event.number, event.root, parent.number, parent.root FROM event JOIN run ON run.number = event.cause
        JOIN event AS parent ON parent.number = run.event WHERE event.root <> parent.root""",
        "e{0} is of the chain of e{1}, but came of e{2}, which is of that of e{3}",
        RESTORE,
    ),
    Rule(
        f"""SELECT event.number, run.number FROM event JOIN run ON run.number = event.cause
        WHERE event.source = {_APP} || '/' || run.route AND event.type <> 'RunFailed' AND run.state <> {DONE}""",
        "e{0} is there although r{1}, which emitted it, is not done",
        "its run may emit it once more: `triggers trace e{0}` shows what came of it",
    ),
    Rule(
        f"""SELECT id, count(*) FROM event WHERE substr(source, 1, length({_APP}) + 1) = {_APP} || '/'
        GROUP BY source, id HAVING count(*) > 1""",
        "the event {0} was emitted {1} times",
        "`triggers trace {0}` shows what came of each",
    ),
)

_RUNS: Final = (
    Rule(
        f"SELECT number, event FROM run WHERE {_no_event('run.event')}", "r{0} is there without its event e{1}", RESTORE
    ),
    Rule(
        f"SELECT number, state FROM run WHERE state NOT BETWEEN {WAITING} AND {DROPPED}",
        "r{0} is in state {1}, which is none",
        RESTORE,
    ),
    Rule(
        f"SELECT number FROM run WHERE (state > {DELAYED}) <> (ended IS NOT NULL)",
        "r{0} has ended and nobody knows when, or has not ended and has a moment for it",
        RESTORE,
    ),
    Rule(f"SELECT number FROM run WHERE state = {DELAYED} AND due IS NULL", "r{0} is delayed for ever", RETRY),
    Rule(
        f"""SELECT number FROM run WHERE state = {DELAYED} AND due = {ENDLESS}
        AND NOT EXISTS (SELECT 1 FROM place WHERE place.run = run.number)""",
        "r{0} waits for its turn, and has no place in any order",
        RETRY,
    ),
    Rule(
        f"""SELECT number FROM run WHERE state IN ({WAITING}, {DELAYED}) AND expires IS NOT NULL AND started IS NULL
        AND NOT EXISTS (SELECT 1 FROM moment WHERE moment.at = expires AND moment.run = run.number)""",
        "r{0} expires, and nobody would notice: it runs however late it is",
        LEAVE,
    ),
    Rule(
        f"""SELECT number, epoch FROM run WHERE state = {RUNNING}
        AND epoch > (SELECT value FROM meta WHERE name = 'epoch')""",
        "r{0} is claimed in epoch {1}, which has not begun",
        RESTORE,
    ),
    Rule(
        f"""SELECT run.number FROM run JOIN event AS parent ON parent.number = run.event
        WHERE run.state = {DEAD} AND run.event >= {_PRUNED} AND parent.type <> 'RunFailed' AND parent.budget > 0
        AND NOT EXISTS (SELECT 1 FROM event
                        WHERE event.root = parent.root AND event.cause = run.number AND event.type = 'RunFailed')""",
        "r{0} is dead, and no RunFailed tells of it",
        "`triggers dead` lists it; `triggers retry r{0}` has it run",
    ),
)

# A schedule goes on also where what it fires is a duplicate: its firing, and that of what is missing, has an identity.
_MEMORIES: Final = (
    Rule(
        f"""SELECT replace(key, char(0), '/'), event FROM identity
        WHERE event >= {_PRUNED} AND {_no_event("identity.event")}""",
        "{0} counts as delivered, and its event e{1} is not there",
        "have it sent again under another identity",
    ),
    Rule(
        f"""SELECT source, key, event FROM ledger WHERE source NOT IN {RESERVED}
        AND event >= max(1, {_PRUNED}) AND {_no_event("ledger.event")}""",
        "{0} remembers {1!r} as told, and its event e{2} is not there",
        "write it once more, so that it is new",
    ),
    Rule(
        f"""SELECT number, source FROM event WHERE cause IS NULL AND number >= {_PRUNED} AND type <> '{GATHERED}'
        AND NOT EXISTS (SELECT 1 FROM identity WHERE key = event.source || char(0) || event.id AND event = event.number)
        AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.source = event.source)""",
        "e{0} is not remembered as delivered: it would be taken in again where {1} has it once more",
        "see that it does not come again",
    ),
)

_GROUPS: Final = (
    Rule(
        f"SELECT event, route FROM gathered WHERE {_no_event('gathered.event')}",
        "e{0} is to come together with others for {1!r}, and is not there",
        RESTORE,
    ),
    Rule(
        f"SELECT event, whole FROM gathered WHERE whole IS NOT NULL AND {_no_event('gathered.whole')}",
        "e{0} has come together with others as e{1}, which is not there",
        "`triggers replay --event e{0} --yes` has it gathered again",
    ),
    Rule(
        f"""SELECT whole, route FROM gathered WHERE whole >= {_PRUNED}
        AND NOT EXISTS (SELECT 1 FROM run WHERE run.event = gathered.whole)""",
        "e{0} stands for events that came together for {1!r}, and has no run",
        "`triggers replay --event e{0} --yes` has it run",
    ),
)

_LEFTOVERS: Final = tuple(
    Rule(f"SELECT run FROM {table} WHERE {_no_run(f'{table}.run')}", f"{words} is there without r{{0}}", LEAVE)
    for table, words in (
        ("attempt", "an attempt"),
        ("usage", "what an attempt has used"),
        ("checkpoint", "a checkpoint"),
        ("place", "a place in the order of a route"),
    )
)

RULES: Final = (*_EVENTS, *_RUNS, *_MEMORIES, *_GROUPS, *_LEFTOVERS)

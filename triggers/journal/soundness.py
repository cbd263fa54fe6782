"""Whether the rows of a journal fit together: what no crash and no order of events may ever bring about."""

from __future__ import annotations

from collections.abc import Iterator

import apsw

from triggers.journal.schema import DELAYED, DONE, RUNNING


def unsound(connection: apsw.Connection) -> list[str]:
    """Return what does not fit together, in words; nothing where all is well."""
    return list(_found(connection))


def _found(connection: apsw.Connection) -> Iterator[str]:
    for sql, words in _RULES:
        for row in connection.execute(f"{sql} LIMIT 10"):
            yield words.format(*row)


_RULES = (
    (
        "SELECT number, event FROM run WHERE event NOT IN (SELECT number FROM event)",
        "r{0} is there without its event e{1}",
    ),
    (
        f"""SELECT event.number, run.number FROM event JOIN run ON run.number = event.cause
        WHERE event.source = (SELECT value FROM meta WHERE name = 'name') || '/' || run.route
        AND event.type <> 'RunFailed' AND run.state <> {DONE}""",
        "e{0} is there although r{1}, which emitted it, is not done",
    ),
    (
        """SELECT id, count(*) FROM event WHERE source LIKE (SELECT value FROM meta WHERE name = 'name') || '/%'
        GROUP BY source, id HAVING count(*) > 1""",
        "the event {0} was emitted {1} times",
    ),
    (
        f"SELECT number FROM run WHERE (state > {DELAYED}) <> (ended IS NOT NULL)",
        "r{0} has ended and nobody knows when, or has not ended and has a moment for it",
    ),
    (
        f"SELECT number FROM run WHERE state = {DELAYED} AND due IS NULL",
        "r{0} is delayed for ever",
    ),
    (
        f"""SELECT number, epoch FROM run WHERE state = {RUNNING}
        AND epoch > (SELECT value FROM meta WHERE name = 'epoch')""",
        "r{0} is claimed in epoch {1}, which has not begun",
    ),
    (
        "SELECT key, event FROM identity WHERE event NOT IN (SELECT number FROM event) AND at > ("
        "SELECT max(recorded) FROM event)",
        "the identity {0!r} is there without its event e{1}",
    ),
)

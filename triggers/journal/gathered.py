"""Events that come together: which group an event belongs to, and when a group ends.

It is decided in the very transaction that inserts the event, from the rows of its route and key, by the times at which
events were recorded and by their numbers. So neither timing nor a crash can change a group: one that has ended by the
time of an event is ended before the event is taken, whether or not anybody has looked meanwhile. What came of an ended
group is told in a later commit; until then its rows say that it is to be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import apsw

from triggers.gather import ALL, BATCH, DEBOUNCE, JOIN, MOST, Rule
from triggers.journal.change import COLUMNS
from triggers.journal.schema import DROPPED
from triggers.lineage import EventRow
from triggers.scheduling.terms import COLUMNS as TERMS
from triggers.scheduling.terms import Terms

WHOLE: Final = "whole"
"""How a group ended that has all its events."""
TIME: Final = "time"
"""How one ended whose time was over."""
MANY: Final = "many"
"""How one ended of whose events there are too many to come together: it has the first of them alone."""

TOLD: Final = 256
"""How many ended groups are told at once."""


class Arrival(NamedTuple):
    """An event that a route has taken, to make one run of several."""

    route: str
    key: str | None
    slot: str
    """Its type."""
    event: int
    at: float
    """When it was recorded, in Unix seconds."""


class Ended(NamedTuple):
    """A group that has ended, or an event that is in none: `ended` says how, or why not."""

    route: str
    key: str | None
    wanted: int
    ended: str
    rows: list[int]
    events: list[int]
    """In the order of the group."""
    last: EventRow
    """The event that was recorded last."""
    size: int
    """Characters of all payloads."""
    depth: int
    """How deep the deepest is in its chain."""
    budget: int
    """The least that any of their chains may still emit."""


class Open(NamedTuple):
    """An open group. Moments are in Unix seconds."""

    first: int
    """Its name: the event that came first."""
    place: int
    """The last place that is taken."""
    wanted: int
    """How many events it wants."""
    opened: float
    due: float


@dataclass(slots=True)
class Found:
    """What has ended and is not told yet, and when the next group ends, in Unix seconds."""

    ended: list[Ended] = field(default_factory=list)
    due: float | None = None
    more: bool = False
    """Whether more has ended than is told here."""


def gather(rules: Mapping[str, Rule], arrivals: Sequence[Arrival], now: float) -> Callable[[apsw.Connection], Found]:
    """Return the order that puts events into groups and ends the groups that are due at `now`."""

    def apply(connection: apsw.Connection) -> Found:
        for arrival in arrivals:
            if connection.execute("SELECT 1 FROM event WHERE number = ?", (arrival.event,)).get:  # else a duplicate
                _STEPS[rules[arrival.route].kind](connection, arrival, rules[arrival.route])
        for route in rules:
            connection.execute(_CLOSE, (TIME, route, now))
        return _untold(connection, rules)

    return apply


def gather_again(
    rules: Mapping[str, Rule], arrivals: Sequence[Arrival], now: float
) -> Callable[[apsw.Connection], Found]:
    """Return the order that gathers events once more: none of them is late, and what still waits is there already."""
    anew = {route: rule._replace(late="new") for route, rule in rules.items()}

    def apply(connection: apsw.Connection) -> Found:
        missing = [a for a in arrivals if not connection.execute(_WAITS, (a.event, a.route, WHOLE, TIME)).get]
        return gather(anew, missing, now)(connection)

    return apply


def _untold(connection: apsw.Connection, routes: Collection[str]) -> Found:
    """Return what has ended in some routes and is not told yet, the oldest first, and when the next group ends."""
    groups = _groups(connection, routes)
    due = connection.execute(_NEXT_DUE.replace("$", ",".join("?" * len(routes))), (*routes,)).get
    return Found([_ended(connection, rows) for rows in groups[:TOLD]], due, len(groups) > TOLD)


def told(rows: Sequence[int], whole: int) -> Callable[[apsw.Connection], None]:
    """Return the order that takes note of the event that was made of a group in the same commit."""

    def apply(connection: apsw.Connection) -> None:
        connection.execute(_TOLD, {"whole": whole, "rows": _listed(rows)})

    return apply


def forget(rows: Sequence[int]) -> Callable[[apsw.Connection], None]:
    """Return the order that lets go of events which have a run of their own now."""

    def apply(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM gathered WHERE number IN (SELECT value FROM json_each(?))", (_listed(rows),))

    return apply


def dropped(
    run: int, event: int, route: str, terms: Terms, error: str, now: float
) -> Callable[[apsw.Connection], None]:
    """Return the order that keeps, as a run that was dropped, that an event does not run, and why."""

    def apply(connection: apsw.Connection) -> None:
        connection.execute(_DROPPED, (run, event, route, now, error, *terms))

    return apply


def alone(route: str, key: str | None, event: int, whole: int, at: float) -> Callable[[apsw.Connection], None]:
    """Return the order that makes an event of a group a group of its own, of which an event was made."""

    def apply(connection: apsw.Connection) -> None:
        connection.execute(_ALONE, (route, key, event, event, at, at, TIME, whole, whole))

    return apply


def run_alone(pairs: Sequence[tuple[int, str]]) -> Callable[[apsw.Connection], None]:
    """Return the order that lets go of events which routes run one by one now, given as pairs of both."""

    def apply(connection: apsw.Connection) -> None:
        connection.executemany("DELETE FROM gathered WHERE event = ? AND route = ? AND whole IS NULL", pairs)

    return apply


def _batch(connection: apsw.Connection, a: Arrival, rule: Rule) -> None:
    _expire(connection, a)
    found = connection.execute(_LAST, (a.route, a.key)).get
    first, place, wanted, opened, due = found or (a.event, 0, rule.wanted, a.at, a.at + rule.within)
    _put(connection, a, first, place + 1, wanted, opened, due)
    if place + 1 >= wanted:
        _end(connection, a, first)


def _debounce(connection: apsw.Connection, a: Arrival, rule: Rule) -> None:
    _expire(connection, a)
    found = connection.execute(_LAST, (a.route, a.key)).get
    first, place, _, opened, _ = found or (a.event, 0, 0, a.at, 0)
    if found:
        reason = f"e{a.event} came after it (debounce=)"
        connection.execute(_PASS_OVER, (reason, a.route, a.key, first, None))
    _put(connection, a, first, place + 1, 1, opened, min(a.at + rule.quiet, opened + rule.within))


def _join(connection: apsw.Connection, a: Arrival, rule: Rule) -> None:
    if a.key is None:
        _refuse(connection, a, "it has no key to be joined by (by=)")
        return
    _expire(connection, a)
    oldest, group = _open(connection, a)
    if group is None and oldest and rule.repeated != "queue":
        if rule.repeated == "first":
            _refuse(connection, a, f"e{_held(connection, a, oldest)} was there before it (repeated='first')")
            return
        group = oldest
        reason = f"e{a.event} came after it (repeated='latest')"
        connection.execute(_PASS_OVER, (reason, a.route, a.key, group.first, a.slot))
    if group is None and _late(connection, a, rule):
        return
    first, place, wanted, opened, due = group or (a.event, 0, rule.wanted, a.at, a.at + rule.within)
    _put(connection, a, first, place + 1, wanted, opened, due)
    if place + 1 >= wanted and connection.execute(_COUNT, (a.route, a.key, first)).get >= wanted:  # some may have left
        _end(connection, a, first)


def _late(connection: apsw.Connection, a: Arrival, rule: Rule) -> bool:
    """Say whether an event comes too late for what it would have come together with; then note is taken of it."""
    late = rule.late == "drop" and bool(connection.execute(_HAD, (a.route, a.key, WHOLE, TIME)).get)
    if late and rule.kind == ALL:
        _refuse(connection, a, f"what {a.key} emitted had come together before it (batch=All)")
    elif late:
        _refuse(connection, a, f"the join of {a.key!r} had ended (late='drop')")
    return late


def _open(connection: apsw.Connection, a: Arrival) -> tuple[Open | None, Open | None]:
    """Return the oldest open group of an event's key, and the oldest that lacks one of its slot."""
    oldest = _group(connection, a, connection.execute(_OLDEST, (a.route, a.key)).get)
    if oldest is None or not _held(connection, a, oldest):
        return oldest, oldest
    if oldest.wanted == 2:  # the others have one of its slot, too: they would be whole, had they one of the other
        return oldest, None
    return oldest, _group(connection, a, connection.execute(_LACKING, a._asdict()).get)


def _group(connection: apsw.Connection, a: Arrival, first: int | None) -> Open | None:
    """Return an open group of an event's key by its name."""
    return None if first is None else Open(*connection.execute(_OPEN, (a.route, a.key, first)).get)


def _held(connection: apsw.Connection, a: Arrival, group: Open) -> int | None:
    """Return the event that an open group has in the slot of another one."""
    held: int | None = connection.execute(_HELD, (a.route, a.key, a.slot, group.first)).get
    return held


def _all(connection: apsw.Connection, a: Arrival, rule: Rule) -> None:
    """Put an event to those that other events of the same run have led to."""
    found = _origin(connection, a.event, rule.of)
    if found is None:
        _refuse(connection, a, f"no {rule.of} that a run emitted led to it (batch=All)")
        return
    part, cause, root = found
    a = a._replace(key=f"r{cause}", slot=f"e{part}")
    if many := connection.execute(_TOO_MANY, (a.route, a.key, MANY)).get:
        _refuse(connection, a, too_many(f"r{cause}", many, rule.of))
        return
    known = connection.execute(_WANTED, (a.route, a.key)).get  # to count them once more for each would take for ever
    if not known and _late(connection, a, rule):
        return
    siblings = int(known or connection.execute(_SIBLINGS, (root, cause, rule.of)).get)
    if siblings > MOST:  # what does not come together is one dead letter, and who comes for it says the same
        _put(connection, a, a.event, 1, siblings, a.at, a.at)
        _end(connection, a, a.event, MANY)
        return
    _join(connection, a, rule._replace(wanted=siblings))


def too_many(run: str, many: int, kind: str) -> str:
    """Return why nothing comes together of what a run has emitted so many of."""
    return (
        f"{run} emitted {many:,} {kind}, and {MOST:,} at most come together (batch=All); take the work apart in steps"
    )


def _origin(connection: apsw.Connection, event: int, kind: str) -> tuple[int, int, int] | None:
    """Return the nearest event of a type that led to another one: its number, the run that emitted it, its root."""
    while found := connection.execute(_PARENT, (event,)).get:
        event, name, cause, root = found
        if name == kind:
            return None if cause is None else (event, cause, root)
    return None


_STEPS: Final[Mapping[str, Callable[[apsw.Connection, Arrival, Rule], None]]] = {
    BATCH: _batch,
    DEBOUNCE: _debounce,
    JOIN: _join,
    ALL: _all,
}


def _expire(connection: apsw.Connection, a: Arrival) -> None:
    """End the groups whose time was over when an event was recorded."""
    connection.execute(_EXPIRE, (TIME, a.route, a.key, a.at))


def _put(
    connection: apsw.Connection, a: Arrival, first: int, place: int, wanted: int, opened: float, due: float
) -> None:
    row = (a.route, a.key, first, place, a.slot, a.event, wanted, opened, due, None)
    connection.execute(_PUT, row)


def _refuse(connection: apsw.Connection, a: Arrival, reason: str) -> None:
    """Take note of an event that comes into no group."""
    connection.execute(_PUT, (a.route, a.key, a.event, 1, a.slot, a.event, 1, a.at, a.at, reason))


def _end(connection: apsw.Connection, a: Arrival, first: int, how: str = WHOLE) -> None:
    connection.execute(_END, (how, a.route, a.key, first))


def _groups(connection: apsw.Connection, routes: Collection[str]) -> list[list[int]]:
    """Return the rows of what has ended, group by group; a row that is in none, by itself."""
    groups: dict[object, list[int]] = {}
    for number, route, key, first, ended in connection.execute(_UNTOLD):
        if route in routes:
            name = (route, key, first) if ended in (WHOLE, TIME) else number
            groups.setdefault(name, []).append(number)
            if len(groups) > TOLD + 1:  # those before this one are complete
                break
    return list(groups.values())


def _ended(connection: apsw.Connection, rows: list[int]) -> Ended:
    numbers = _listed(rows)
    route, key, wanted, ended = connection.execute(_GROUP, (rows[0],)).get
    events = [number for (number,) in connection.execute(_MEMBERS, (numbers,))]
    size, depth, budget, last = connection.execute(_SUMS, (numbers,)).get
    row = EventRow(*connection.execute(f"SELECT {COLUMNS} FROM event WHERE number = ?", (last,)).get)
    return Ended(route, key, wanted, ended, rows, events, row, size, depth, budget)


def _listed(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"


_MINE = "route = ? AND key IS ? AND ended IS NULL"

_EXPIRE = f"UPDATE gathered SET ended = ? WHERE {_MINE} AND due <= ?"

# By the index of what is due: that of the route would have all looked at that wait.
_CLOSE = "UPDATE gathered SET ended = ? WHERE ended IS NULL AND +route = ? AND due <= ?"

# Likewise.
_NEXT_DUE = "SELECT due FROM gathered WHERE ended IS NULL AND +route IN ($) ORDER BY due LIMIT 1"

# In a group that is open, or has ended and is not told yet.
_WAITS = """
SELECT 1 FROM gathered WHERE event = ? AND route = ? AND whole IS NULL AND (ended IS NULL OR ended IN (?, ?))"""

_LAST = f"SELECT first, place, wanted, opened, due FROM gathered WHERE {_MINE} ORDER BY first DESC, place DESC LIMIT 1"

_PUT = """
INSERT INTO gathered (route, key, first, place, slot, event, wanted, opened, due, ended)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_PASS_OVER = f"UPDATE gathered SET ended = ? WHERE {_MINE} AND first = ? AND slot = ifnull(?, slot)"

_END = f"UPDATE gathered SET ended = ? WHERE {_MINE} AND first = ?"

_COUNT = f"SELECT count(*) FROM gathered WHERE {_MINE} AND first = ?"

_OLDEST = f"SELECT min(first) FROM gathered WHERE {_MINE}"

_OPEN = (
    f"SELECT first, place, wanted, opened, due FROM gathered WHERE {_MINE} AND first = ? ORDER BY place DESC LIMIT 1"
)

_HELD = f"SELECT event FROM gathered WHERE {_MINE} AND slot = ? AND first = ?"

# From one open group to the next by the index, however many events each of them has.
_LACKING = """
WITH RECURSIVE open (first) AS (
    SELECT min(first) FROM gathered WHERE route = :route AND key IS :key AND ended IS NULL
    UNION ALL
    SELECT (SELECT min(first) FROM gathered
            WHERE route = :route AND key IS :key AND ended IS NULL AND first > open.first)
    FROM open WHERE first IS NOT NULL)
SELECT first FROM open WHERE first IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM gathered
    WHERE route = :route AND key IS :key AND slot = :slot AND ended IS NULL AND gathered.first = open.first)
LIMIT 1"""

_HAD = "SELECT 1 FROM gathered WHERE route = ? AND key IS ? AND ended IN (?, ?) LIMIT 1"

_TOO_MANY = "SELECT wanted FROM gathered WHERE route = ? AND key IS ? AND ended = ? LIMIT 1"

_PARENT = """
SELECT parent.number, parent.type, parent.cause, parent.root FROM event
JOIN run ON run.number = event.cause JOIN event AS parent ON parent.number = run.event WHERE event.number = ?"""

_WANTED = f"SELECT wanted FROM gathered WHERE {_MINE} LIMIT 1"

_SIBLINGS = "SELECT count(*) FROM event WHERE root = ? AND cause = ? AND type = ?"

_UNTOLD = """
SELECT number, route, key, first, ended FROM gathered WHERE ended IS NOT NULL AND whole IS NULL
ORDER BY first, route, key, number"""

_GROUP = "SELECT route, key, wanted, ended FROM gathered WHERE number = ?"

_IN_GROUP = "gathered.number IN (SELECT value FROM json_each(?))"

_MEMBERS = f"SELECT event FROM gathered WHERE {_IN_GROUP} ORDER BY place, number"

_SUMS = f"""
SELECT sum(length(data)), max(depth), min(budget), max(event.number)
FROM gathered JOIN event ON event.number = gathered.event WHERE {_IN_GROUP}"""

_TOLD = """
UPDATE gathered SET whole = :whole WHERE number IN (SELECT value FROM json_each(:rows))
AND EXISTS (SELECT 1 FROM event WHERE number = :whole)"""

_DROPPED = f"""
INSERT INTO run (number, event, route, state, attempt, epoch, ended, error, {TERMS})
VALUES (?, ?, ?, {DROPPED}, 0, 0, ?, ?, {",".join("?" * len(Terms._fields))})"""

_ALONE = """
INSERT INTO gathered (route, key, first, place, slot, event, wanted, opened, due, ended, whole)
SELECT ?, ?, ?, 1, '', ?, 1, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM event WHERE number = ?)"""

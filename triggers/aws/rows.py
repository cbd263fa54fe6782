"""A run record as rows of a journal: what is read out of an item of the table, by whoever looks at a deployed app."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from triggers.aws import wire
from triggers.aws.items import Item, number_in, text_in
from triggers.aws.records import PUT_ASIDE
from triggers.errors import EventError, TriggersError, shown
from triggers.journal import AttemptRow
from triggers.journal.views import RunView
from triggers.lineage import EventRow

WORDS: Final = {"running": "running", "waiting": "delayed", "done": "done", "dead": "dead", "dropped": "dropped"}
"""The states of a record as a journal calls them: a run waits only to be tried again."""
_ENDED: Final = ("done", "dead", "dropped")
LATEST: Final = 253_402_200_000
"""Unix seconds: the end of the year 9999, less a day for every time zone."""


class Unreadable(TriggersError):
    """What is in the table is no record as this version writes it."""


BROKEN: Final = (Unreadable, EventError, ValueError, LookupError, TypeError)
"""What reading such an item raises."""


class Rejection(NamedTuple):
    """What came and could be no event. It is no run, and only to be `dropped` can be asked of it; it is kept until it
    `expires`.

    `route` is the one that it came to, empty where it came to the function by another way; `id` is the message's.
    `time` is when it came.
    """

    number: int
    route: str
    source: str
    id: str
    body: str
    reason: str
    time: float
    expires: float
    dropped: bool


class Record(NamedTuple):
    """A run's record: when it was first claimed, the run, its event, its last attempt, and what it emitted."""

    first: float
    run: RunView
    event: EventRow
    attempt: AttemptRow | None
    emitted: Sequence[EventRow]


def record(item: Item, emitted: Iterable[EventRow]) -> Record:
    """Return what stands in the record of a run that emitted these events. Raises one of `BROKEN`."""
    return Record(number_in(item, "first"), _run(item), event(item), _attempt(item), [*emitted])


def rejection(item: Item, rest: str = "") -> Rejection:
    """Return what was rejected; `rest` is what the item had no room for."""
    route, source, id, body, reason = (
        text_in(item, name) for name in ("route", "source", "event_id", "event", "error")
    )
    number, dropped = int(text_in(item, "run")[1:]), text_in(item, "state") == PUT_ASIDE
    came, expires = _moment(item, "started"), _moment(item, "expires")
    return Rejection(number, route, source, id, body + rest, reason, came, expires, dropped)


def event(item: Item) -> EventRow:
    """Return the event of a run."""
    return wire.read(text_in(item, "event").encode(), _moment(item, "first"))


def _moment(item: Item, name: str) -> float:
    """Return a Unix time; raise `Unreadable` for one that no clock shows."""
    if not 0 <= (seconds := number_in(item, name)) < LATEST:
        raise Unreadable(f"{name}={seconds:g} is no time")
    return seconds


def _number_of_event(item: Item) -> int:
    return wire.number_of(text_in(item, "source"), text_in(item, "event_id"))


def _run(item: Item) -> RunView:
    """Return a record as the run that it is. One whose lease is past is of an older epoch: it was interrupted."""
    if (state := text_in(item, "state")) not in WORDS:
        raise Unreadable(f"the state {shown(state)} is not known here")
    lost = state == "running" and number_in(item, "lease") < time.time()
    return RunView(
        number=int(text_in(item, "run")[1:]),
        event=_number_of_event(item),
        route=text_in(item, "route"),
        state=WORDS[state],
        attempt=int(number_in(item, "counted")),
        epoch=-1 if lost else 0,
        priority=0,
        started=_moment(item, "started") or None,
        ended=_moment(item, "ended") or None,
        due_time=_moment(item, "due") or None,
        error=text_in(item, "error") or None,
    )


def _attempt(item: Item) -> AttemptRow | None:
    """Return the last attempt, where it failed: a record keeps no earlier one."""
    if not (error := text_in(item, "error")):
        return None
    outcome = "dead" if text_in(item, "state") in _ENDED else "later" if _is_put_off(item, error) else "failed"
    number, counted = int(text_in(item, "run")[1:]), int(number_in(item, "counted"))
    trace, ended = text_in(item, "traceback") or None, number_in(item, "ended") or number_in(item, "changed")
    return AttemptRow(number, counted, 0, number_in(item, "started"), ended, outcome, error, trace)


def _is_put_off(item: Item, error: str) -> bool:
    """Say whether it was `Later` that the last attempt ended by, which used none up."""
    return error.partition(":")[0] == "Later" and number_in(item, "counted") < number_in(item, "attempt")


__all__ = ["BROKEN", "WORDS", "Record", "Rejection", "Unreadable", "event", "record", "rejection"]

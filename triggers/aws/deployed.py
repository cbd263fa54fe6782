"""A deployed app as people look at it: its run records as a journal in memory, which is asked as any journal is.

A record's run, its event and what it emitted become rows with the numbers that they have in AWS. What is asked of runs
(to run again, to be put aside, an event to be replayed) is carried out at once, by a conditional write and a message.
"""

from __future__ import annotations

import heapq
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import apsw

from triggers.aws import names, rows, wire
from triggers.aws.bus import Bus
from triggers.aws.clients import client
from triggers.aws.entrance import Entrance
from triggers.aws.items import Item, number_in, text_in
from triggers.aws.records import EMITTED, PUT_ASIDE, REJECTED, REST, Records
from triggers.aws.refusals import explained
from triggers.cloudevents import LONGEST_NAME
from triggers.errors import TriggersError
from triggers.events import Event, new_id
from triggers.journal import STATES
from triggers.journal.mirror import mirror
from triggers.lineage import EventRow
from triggers.requests import Drop, Redrive

T = TypeVar("T")

DECLARED: Final = "app"
"""What the record of the app's own declaration is called; those of runs are called `r7`."""
NAMED: Final = 5
"""As many records are named that cannot be read."""
_STALE: Final = {"waiting": "delayed", "running": "interrupted"}
"""What states of a record are called in which it may be asked to begin again."""


def declared(app: str, routes: Sequence[Sequence[str | None]], sources: Sequence[str] = ()) -> dict[str, Any]:
    """Return the item that keeps what an app consists of beside its runs, for those who look without its code."""
    return {
        "run": {"S": DECLARED},
        "part": {"S": app},
        "routes": {"S": json.dumps(routes)},
        "sources": {"S": json.dumps(list(sources))},
    }


class Overdue(NamedTuple):
    """A run of which something should have come since a moment, in Unix seconds."""

    number: int
    since: float


class Rejected(TriggersError):
    """Something was asked of a run, and the number is that of what was rejected."""


class Deployed:
    """The app of that name in the account and region that botocore finds. Raises `TriggersError` where AWS does."""

    def __init__(self, app: str) -> None:
        self.app = app
        self.table = names.table(app)
        self._thing = f"run table {self.table!r} of app {app!r}"
        self._broken: dict[str, str] = {}
        with explained(self._thing):
            self._client = client("dynamodb")

    def left_out(self) -> list[str]:
        """Return what of the table has been passed over, as it could not be read: a line for each of the first, with
        its id and the way out."""
        more = len(self._broken) - NAMED
        said = [f"{id} is left out: {self._why(id)}" for id in islice(self._broken, NAMED)]
        return [*said, f"so are {more:,} others"] if more > 0 else said

    def holder(self) -> str:
        """Return who runs the app, as the dispatcher's process is named where there is one."""
        return "AWS"

    # --- looking

    def chain(self, *ids: str) -> apsw.Connection:
        """Return a journal with everything that has the root of what an ID names; an empty one where nothing has it.

        Raises `Rejected` for the number of what never became an event, and `Unreadable` for that of a run whose record
        cannot be read.
        """
        with explained(self._thing):
            found = [item for id in ids if (item := self._find(id))]
            roots = dict.fromkeys(text_in(item, "root") for item in found)
            items = [item for root in roots for item in self._query("by-root", "root", root)]
            return self._asked_for(map(str.lower, ids), self._journal(items, emitted=True))

    def newest(self, most: int, states: Collection[str] = STATES, *, emitted: bool = False) -> apsw.Connection:
        """Return a journal with the newest runs in some states; with what they `emitted`, which more is read for."""
        with explained(self._thing):
            kept = [state for state, word in rows.WORDS.items() if word in states]
            pages = [self._query("by-state", "state", state, newest_first=True) for state in kept]
            items: Iterator[Item] = heapq.merge(*pages, key=lambda item: -number_in(item, "changed"))
            return self._journal(list(islice(items, most)), emitted=emitted)

    def everything(self) -> apsw.Connection:
        """Return a journal with all that there is."""
        with explained(self._thing):
            items = [item for state in rows.WORDS for item in self._query("by-state", "state", state)]
            return self._journal(items, emitted=True)

    def overdue(self, before: float, most: int) -> list[Overdue]:
        """Return runs that wait although they were due before a moment, in Unix seconds, what waits longest first."""
        return self._over("waiting", "due", before, most)

    def abandoned(self, before: float, most: int) -> list[Overdue]:
        """Return runs of which an attempt began and never ended, and whose lease was over before a moment: likewise."""
        return self._over("running", "lease", before, most)

    def _over(self, state: str, moment: str, before: float, most: int) -> list[Overdue]:
        """Return runs in a state for which some moment was before another one, what has been so for longest first.

        No more than `most` are read, those first that have longest been in that state: what nobody is told of is among
        them before long.
        """
        with explained(self._thing):
            found = islice(self._query("by-state", "state", state), most)
            runs = [run for item in found if (run := self._read(item, partial(_overdue, moment=moment)))]
        return sorted((run for run in runs if run.since < before), key=lambda run: run.since)

    def rejections(self, most: int | None = None) -> list[rows.Rejection]:
        """Return what came and could be no event, the newest last; no more of it than `most`, the newest."""
        with explained(self._thing):
            found = self._query("by-state", "state", REJECTED, newest_first=True)
            return [one for item in islice(found, most) if (one := self._read(item, rows.rejection))][::-1]

    def rejection(self, number: int) -> rows.Rejection | None:
        """Return what was rejected under a number, dropped or not; None where that is a run's or nobody's. Raises
        `Unreadable` as `chain`."""
        with explained(self._thing):
            item = self._record(number)
            found = self._read(item, self._rejection) if item else None
        if (id := f"r{number}") in self._broken:
            raise self._unreadable(id)
        return found

    def _rejection(self, item: Item) -> rows.Rejection | None:
        if text_in(item, "state") not in (REJECTED, PUT_ASIDE):
            return None
        rest = self._parts(item, REST) if number_in(item, "parts") else ()
        return rows.rejection(item, "".join(text_in(part, "rest") for part in rest))

    def some(self, numbers: Iterable[int]) -> apsw.Connection:
        """Return a journal with the runs of these numbers, of those that there are. Raises `Rejected` and `Unreadable`
        as `chain`."""
        numbers = [*numbers]
        with explained(self._thing):
            found = self._journal([item for number in numbers if (item := self._run(number))])
        return self._asked_for((f"r{number}" for number in numbers), found)

    def _run(self, number: int) -> Item | None:
        item = self._record(number)
        if item and text_in(item, "state") in (REJECTED, PUT_ASIDE):
            raise Rejected(
                f"r{number} is no run: it came from {text_in(item, 'source')} and was rejected, so nothing ran"
                f" ({text_in(item, 'error')}); `triggers dead show r{number} --aws {self.app}` shows it"
            )
        return item

    def _record(self, number: int) -> Item | None:
        key = {"run": {"S": f"r{number}"}, "part": {"S": "run"}}
        item: Item | None = self._client.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        return item

    def _find(self, id: str) -> Item | None:
        """Return a record of the chain that an ID belongs to.

        That of an event which is no root has to be looked for in the whole table.
        """
        match = re.fullmatch(r"([erER])(\d{1,18})", id)
        if match and match[1] in "rR":
            return self._run(int(match[2]))
        if match and (chain := next(self._query("by-root", "root", f"e{match[2]}"), None)):
            return chain
        return next(self._searched(int(match[2]) if match else None, id), None)

    def _searched(self, number: int | None, id: str) -> Iterator[Item]:
        """Yield records of runs that took the event of this number, or of this id, or that emitted it."""
        pages = self._client.get_paginator("scan").paginate(TableName=self.table)
        for item in (item for page in pages for item in page["Items"]):
            is_run = text_in(item, "state") in rows.WORDS
            if is_run and (event := self._read(item, rows.event)) and _is_meant(event, number, id):
                yield item
            emitted = self._read(item, lambda item: [*_events_in(item, 0.0)]) or ()
            if any(_is_meant(event, number, id) for event in emitted) and (
                by := self._run(int(text_in(item, "run")[1:]))
            ):
                yield by

    def _query(self, index: str, name: str, value: str, *, newest_first: bool = False) -> Iterator[Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self.table,
            IndexName=index,
            KeyConditionExpression="#name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"S": value}},
            ScanIndexForward=not newest_first,
        )
        return (item for page in pages for item in page["Items"])

    def _journal(self, items: Sequence[Item], *, emitted: bool = False) -> apsw.Connection:
        """Return the records as a journal, the oldest first; with what the runs `emitted`, which more is read for."""
        known = [one for item in items if (one := self._read(item, partial(self._record_of, emitted=emitted)))]
        known.sort(key=lambda one: one.first)
        routes, sources = self._declaration()
        told = [event for one in known for event in one.emitted]
        told += [one.event for one in known]  # an event that has runs was recorded when its first run began
        events = {event.number: event for event in told}.values()
        return mirror(
            sorted(events, key=lambda event: (event.recorded, event.depth)),
            [one.run for one in known],
            [one.attempt for one in known if one.attempt],
            routes,
            {"name": self.app, "capacity": {}, "sources": sources},
        )

    def _record_of(self, item: Item, *, emitted: bool) -> rows.Record:
        return rows.record(item, self._emitted(item) if emitted else ())

    def _read(self, item: Item, read: Callable[[Item], T]) -> T | None:
        """Return what is read out of an item; None where that cannot be, which is noted."""
        try:
            return read(item)
        except rows.BROKEN as error:
            said = "" if isinstance(error, TriggersError) else f"{type(error).__name__}: "
            self._broken[text_in(item, "run")] = f"{said}{error}"
            return None

    def _asked_for(self, ids: Iterable[str], found: apsw.Connection) -> apsw.Connection:
        """Return what was found, or raise `Unreadable` where one of those asked for is not among it for that."""
        for id in ids:
            if id in self._broken:
                found.close()
                raise self._unreadable(id)
        return found

    def _unreadable(self, id: str) -> rows.Unreadable:
        return rows.Unreadable(f"{id}: {self._why(id)}")

    def _why(self, id: str) -> str:
        return (
            f"its record in the table {self.table!r} cannot be read ({self._broken[id]}); if a newer version of"
            " triggers wrote it, look with that one; else only a part of it is there: delete the item"
        )

    def _declaration(self) -> tuple[list[Sequence[str | None]], list[str]]:
        """Return the app's routes and the names of its sources, as it was deployed last."""
        key = {"run": {"S": DECLARED}, "part": {"S": self.app}}
        item: Item = self._client.get_item(TableName=self.table, Key=key).get("Item", {})
        return json.loads(text_in(item, "routes") or "[]"), json.loads(text_in(item, "sources") or "[]")

    def _emitted(self, item: Item) -> Iterator[EventRow]:
        if not number_in(item, "parts"):
            return
        for part in self._parts(item, f"{EMITTED}{number_in(item, 'attempt'):.0f}#"):
            for event in _events_in(part, number_in(item, "ended")):
                yield event._replace(recorded=event.time)

    def _parts(self, item: Item, beginning: str) -> Iterator[Item]:
        """Yield what is kept beside a record, of the parts that are called so."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="#run = :run AND begins_with(#part, :part)",
            ExpressionAttributeNames={"#run": "run", "#part": "part"},
            ExpressionAttributeValues={":run": item["run"], ":part": {"S": beginning}},
        )
        return (part for page in pages for part in page["Items"])

    # --- asking

    def carry_out(self, requests: Iterable[Event]) -> list[str]:
        """Carry out what is asked of runs; return nothing to wait for."""
        for request in requests:
            if isinstance(request, Redrive):
                self.redrive(request.runs)
            elif isinstance(request, Drop):
                self.drop(request.runs)
            else:
                raise TriggersError(f"{request.__event_type__} cannot be carried out in AWS")
        return []

    def redrive(self, runs: Iterable[int]) -> None:
        """Have runs begin again, with all their attempts before them: dead, dropped, waiting or interrupted ones."""
        for run in runs:
            with explained(self._thing):
                found = self._ended(run)
                entrance = Entrance.of(self.app, text_in(found, "route"))
                item = self._change(
                    run,
                    "SET #state = :state, #due = :now, #changed = :now, #redriven = :now, #counted = :zero"
                    " REMOVE #ended, #expires, #lease",
                    ("dead", "dropped", "waiting", "running"),
                    {":state": {"S": "waiting"}, ":zero": {"N": "0"}},
                    ("due", "redriven", "counted", "ended", "expires"),
                )
                again = f"r{run} is delayed and has no message: `triggers retry r{run} --aws {self.app}` sends it again"
                entrance.send(text_in(item, "event"), otherwise=again)

    def drop(self, runs: Iterable[int]) -> None:
        """Take runs off the dead letters; they stay, as dropped. So does what was rejected, until it expires."""
        for run in runs:
            with explained(self._thing):
                state = text_in(self._ended(run), "state")
                if state == PUT_ASIDE:
                    continue
                state, into = (REJECTED, PUT_ASIDE) if state == REJECTED else ("dead", "dropped")
                self._change(run, "SET #state = :state, #changed = :now", (state,), {":state": {"S": into}}, ())

    def replay(self, event: EventRow, route: str) -> None:
        """Give an event to a route again: as a copy with an id of its own, or its run would be known as done."""
        with explained(self._thing):
            copy = f"~{new_id()}"
            id = event.id[: LONGEST_NAME - len(copy)] + copy
            Entrance.of(self.app, route).send(wire.write(event._replace(id=id)))

    def _ended(self, run: int) -> Item:
        """Return the record of a run; that it ended dead is told by now, which after this nobody would do."""
        if (item := self._record(run)) is None:
            raise TriggersError(f"r{run} is no longer there; look again")
        if text_in(item, "state") == "dead" and not item["published"]["BOOL"]:
            records, bus = Records(self._client, self.table, 0.0), Bus(lambda: client("events"), self.app)
            start = int(number_in(item, "attempt"))
            bus.publish([bus.entry(wire.type_of(text), text) for text in records.emitted(run, start)])
            records.published(run, start, time.time())
        return item

    def _change(
        self, run: int, update: str, states: Sequence[str], values: Mapping[str, Any], named: Sequence[str]
    ) -> Item:
        """Update a run that is in one of these states, and return its record; raise `TriggersError` for any other.

        One that runs has been interrupted: a lease that goes on is somebody's, who is left alone.
        """
        marks = {f":was{number}": {"S": state} for number, state in enumerate(states)}
        try:
            answer = self._client.update_item(
                TableName=self.table,
                Key={"run": {"S": f"r{run}"}, "part": {"S": "run"}},
                UpdateExpression=update,
                ConditionExpression=f"#state IN ({', '.join(marks)}) AND NOT #published = :unsaid"
                " AND NOT #lease >= :now",
                ExpressionAttributeNames={
                    f"#{name}": name for name in ("state", "changed", "published", "lease", *named)
                },
                ExpressionAttributeValues={
                    **marks,
                    **values,
                    ":now": {"N": f"{time.time():.6f}"},
                    ":unsaid": {"BOOL": False},
                },
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            words = " or ".join(_STALE.get(state, state) for state in states)
            raise TriggersError(f"r{run} is no longer {words}; look again") from error
        item: Item = answer["Attributes"]
        return item


def _number(item: Item) -> int:
    return int(text_in(item, "run")[1:])


def _overdue(item: Item, moment: str) -> Overdue:
    return Overdue(_number(item), number_in(item, moment))


def _events_in(part: Item, now: float) -> Iterator[EventRow]:
    """Yield the emitted events that a part of a record holds."""
    for text in part.get("events", {"L": []})["L"]:
        yield wire.read(text["S"].encode(), now)


def _is_meant(event: EventRow, number: int | None, id: str) -> bool:
    return event.id == id if number is None else event.number == number


__all__ = ["Deployed", "Rejected", "declared"]

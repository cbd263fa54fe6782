"""A deployed app as people look at it: its run records as a journal in memory, which is asked as any journal is.

A record's run, its event and what it emitted become rows with the numbers that they have in AWS. What is asked of runs
(to run again, to be put aside, an event to be replayed) is carried out at once, by a conditional write and a message.
"""

from __future__ import annotations

import heapq
import json
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import apsw

from triggers.aws import names, wire
from triggers.aws.clients import client
from triggers.aws.records import REJECTED
from triggers.aws.refusals import explained
from triggers.errors import TriggersError
from triggers.events import Event, new_id
from triggers.journal import STATES, AttemptRow
from triggers.journal.mirror import mirror
from triggers.journal.views import RunView
from triggers.lineage import EventRow
from triggers.requests import Drop, Redrive

DECLARED: Final = "app"
"""What the record of the app's own declaration is called; those of runs are called `r7`."""
_WORDS: Final = {"running": "running", "waiting": "delayed", "done": "done", "dead": "dead", "dropped": "dropped"}
"""The states of a record as a journal calls them: a run waits only to be tried again."""
_ENDED: Final = ("done", "dead", "dropped")

Item = Mapping[str, Mapping[str, Any]]


def declared(app: str, routes: Sequence[Sequence[str | None]]) -> dict[str, Any]:
    """Return the item that keeps what an app consists of beside its runs, for those who look without its code."""
    text = json.dumps(routes)
    return {"run": {"S": DECLARED}, "part": {"S": app}, "routes": {"S": text}}


class Deployed:
    """The app of that name in the account and region that botocore finds. Raises `TriggersError` where AWS does."""

    def __init__(self, app: str) -> None:
        self.app = app
        self.table = names.table(app)
        self._thing = f"run table {self.table!r} of app {app!r}"
        with explained(self._thing):
            self._client = client("dynamodb")

    def holder(self) -> str:
        """Return who runs the app, as the dispatcher's process is named where there is one."""
        return "AWS"

    # --- looking

    def chain(self, id: str) -> apsw.Connection:
        """Return a journal with everything that has the root of what `id` names; an empty one where nothing has it."""
        with explained(self._thing):
            found = self._find(id)
            items = [] if found is None else list(self._query("by-root", "root", _text(found, "root")))
            return self._journal(items, emitted=True)

    def newest(self, most: int, states: Collection[str] = STATES) -> apsw.Connection:
        """Return a journal with the newest runs in some states."""
        with explained(self._thing):
            kept = [state for state, word in _WORDS.items() if word in states]
            pages = [self._query("by-state", "state", state, newest_first=True) for state in kept]
            items: Iterator[Item] = heapq.merge(*pages, key=lambda item: -_at(item, "changed"))
            return self._journal(list(islice(items, most)))

    def everything(self) -> apsw.Connection:
        """Return a journal with all that there is."""
        with explained(self._thing):
            items = [item for state in _WORDS for item in self._query("by-state", "state", state)]
            return self._journal(items, emitted=True)

    def rejections(self) -> list[str]:
        """Return why each of those was rejected that came and could be no event."""
        with explained(self._thing):
            return [_text(item, "error") for item in self._query("by-state", "state", REJECTED)]

    def some(self, numbers: Iterable[int]) -> apsw.Connection:
        """Return a journal with the runs of these numbers, of those that there are."""
        with explained(self._thing):
            return self._journal([item for number in numbers if (item := self._run(number))])

    def _run(self, number: int) -> Item | None:
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
            if _text(item, "state") in _WORDS and _is_meant(_event(item), number, id):
                yield item
            kept = item.get("events", {"L": []})["L"]
            emitted = any(_is_meant(wire.read(text["S"].encode(), 0.0), number, id) for text in kept)
            if emitted and (by := self._run(int(_text(item, "run")[1:]))):
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
        runs = sorted(items, key=lambda item: _at(item, "first"))
        rows = [event for item in runs for event in self._emitted(item)] if emitted else []
        rows += [_event(item) for item in runs]  # an event that has runs was recorded when its first run began
        events = {row.number: row for row in rows}.values()
        return mirror(
            sorted(events, key=lambda row: (row.recorded, row.depth)),
            map(_run, runs),
            [attempt for item in runs if (attempt := _attempt(item))],
            self._routes(),
            {"name": self.app, "capacity": {}, "sources": []},
        )

    def _routes(self) -> list[Sequence[str | None]]:
        key = {"run": {"S": DECLARED}, "part": {"S": self.app}}
        item = self._client.get_item(TableName=self.table, Key=key).get("Item")
        return [] if item is None else list(json.loads(item["routes"]["S"]))

    def _emitted(self, item: Item) -> Iterator[EventRow]:
        if not _at(item, "parts"):
            return
        pages = self._client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="#run = :run AND begins_with(#part, :part)",
            ExpressionAttributeNames={"#run": "run", "#part": "part"},
            ExpressionAttributeValues={":run": item["run"], ":part": {"S": f"emitted#{_at(item, 'attempt'):.0f}#"}},
        )
        for page in pages:
            for part in page["Items"]:
                for text in part["events"]["L"]:
                    event = wire.read(text["S"].encode(), _at(item, "ended"))
                    yield event._replace(recorded=event.time)

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
        """Have dead, dropped or waiting runs begin again, with all their attempts before them."""
        for run in runs:
            with explained(self._thing):
                item = self._change(
                    run,
                    "SET #state = :state, #due = :now, #changed = :now, #counted = :zero REMOVE #ended, #expires",
                    ("dead", "dropped", "waiting"),
                    {":state": {"S": "waiting"}, ":zero": {"N": "0"}},
                    ("due", "counted", "ended", "expires"),
                )
                self._send(_text(item, "route"), _text(item, "event"))

    def drop(self, runs: Iterable[int]) -> None:
        """Take runs off the dead letters; they stay, as dropped."""
        for run in runs:
            with explained(self._thing):
                self._change(run, "SET #state = :state, #changed = :now", ("dead",), {":state": {"S": "dropped"}}, ())

    def replay(self, event: EventRow, route: str) -> None:
        """Give an event to a route again: as a copy with an id of its own, or its run would be known as done."""
        with explained(self._thing):
            self._send(route, wire.write(event._replace(id=f"{event.id}~{new_id()}")))

    def _change(
        self, run: int, update: str, states: Sequence[str], values: Mapping[str, Any], named: Sequence[str]
    ) -> Item:
        """Update a run that is in one of these states, and return its record; raise `TriggersError` for any other."""
        marks = {f":was{number}": {"S": state} for number, state in enumerate(states)}
        try:
            answer = self._client.update_item(
                TableName=self.table,
                Key={"run": {"S": f"r{run}"}, "part": {"S": "run"}},
                UpdateExpression=update,
                ConditionExpression=f"#state IN ({', '.join(marks)})",
                ExpressionAttributeNames={f"#{name}": name for name in ("state", "changed", *named)},
                ExpressionAttributeValues={**marks, **values, ":now": {"N": f"{time.time():.6f}"}},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise TriggersError(f"r{run} is no longer {' or '.join(states)}; look again") from error
        item: Item = answer["Attributes"]
        return item

    def _send(self, route: str, text: str) -> None:
        """Send an event to a route's queue, the ordered one where it has one."""
        sqs = client("sqs")
        for fifo in (False, True):
            name = names.queue(self.app, route, fifo=fifo)
            try:
                url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            except sqs.exceptions.QueueDoesNotExist:
                continue
            order = {"MessageGroupId": "redriven", "MessageDeduplicationId": new_id()} if fifo else {}
            sqs.send_message(QueueUrl=url, MessageBody=text, **order)
            return
        raise TriggersError(f"route {route!r} of app {self.app!r} has no queue in AWS; is it deployed?")


def _event(item: Item) -> EventRow:
    return wire.read(_text(item, "event").encode(), _at(item, "first"))


def _is_meant(event: EventRow, number: int | None, id: str) -> bool:
    return event.id == id if number is None else event.number == number


def _number_of_event(item: Item) -> int:
    return wire.number_of(_text(item, "source"), _text(item, "event_id"))


def _run(item: Item) -> RunView:
    """Return a record as the run that it is. One whose lease is past is of an older epoch: it was interrupted."""
    state = _text(item, "state")
    lost = state == "running" and _at(item, "lease") < time.time()
    return RunView(
        number=int(_text(item, "run")[1:]),
        event=_number_of_event(item),
        route=_text(item, "route"),
        state=_WORDS[state],
        attempt=int(_at(item, "counted")),
        epoch=-1 if lost else 0,
        priority=0,
        started=_at(item, "started") or None,
        ended=_at(item, "ended") or None,
        due_time=_at(item, "due") or None,
        error=_text(item, "error") or None,
    )


def _attempt(item: Item) -> AttemptRow | None:
    """Return the last attempt, where it failed: a record keeps no earlier one."""
    if not (error := _text(item, "error")):
        return None
    outcome = "dead" if _text(item, "state") in _ENDED else "failed"
    number, counted = int(_text(item, "run")[1:]), int(_at(item, "counted"))
    trace = _text(item, "traceback") or None
    return AttemptRow(number, counted, 0, _at(item, "started"), _at(item, "changed"), outcome, error, trace)


def _text(item: Item, name: str) -> str:
    return str(item.get(name, {"S": ""})["S"])


def _at(item: Item, name: str) -> float:
    return float(item.get(name, {"N": "0"})["N"])


__all__ = ["Deployed", "declared"]

"""Run records: what the journal is to a dispatcher, a DynamoDB table is to functions.

A run is an item, `run` "r<number>" and `part` "run". Its attempt is claimed by one conditional write, with a lease;
what it emits is kept in parts of its own before it is settled, by another conditional write, and marked as published
when the bus has taken it. So whoever is given the same event again sees what is left to be done::

    absent ── claim ──> running ── settle ──> done or dead, not published ── mark ──> published
                        ^     └── settle ──> waiting ──┐
                        └── claim, when due, or when the lease is past ─┘

`attempt` counts the claims: it tells a holder from one whose lease has passed. `counted` counts the attempts that are
used up, this one included: what a handler and `retry=` are told.
"""

# without annotations as text, each of which a named tuple would compile

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final, NamedTuple

from triggers.attempt import Failure
from triggers.aws.items import Item, as_number, cut, number_in, pieces, plain, rounded, text_in
from triggers.aws.refusals import explained
from triggers.errors import TriggersError
from triggers.limits import FORGET
from triggers.lineage import EventRow

RUNNING: Final = "running"
WAITING: Final = "waiting"
DONE: Final = "done"
DEAD: Final = "dead"
REJECTED: Final = "rejected"
PUT_ASIDE: Final = "put aside"
"""The state of what was rejected and dropped: nobody is to see to it any more."""
KNOWN: Final = "known"
"""The state of a run that is none: its route was told before of what its event tells, or of what came after it."""

INDEXED: Final = (
    *("route", "source", "event_id", "event", "state", "attempt", "counted", "error"),
    *("first", "started", "ended", "due", "lease", "parts", "expires"),
)
"""What lists and chains of runs are read from, and so what the table's indexes hold beside their keys. What may be long
and only one who holds the run or looks at it alone asks for, its checkpoint and its traceback, is in no index."""

RUN: Final = "run"
EMITTED: Final = "emitted#"
REST: Final = "rejected#"

LARGEST_PART = 350_000
"""Bytes of emitted events in one part."""
LONGEST_ERROR = 2_000
LONGEST_REASON = 30_000
"""Bytes of why something was rejected: of each notice in a message."""
LONGEST_TRACEBACK = 30_000
"""Bytes of an error's message and traceback that are kept."""
SHORTEST_KEPT = 14.0
"""Days that a record is kept at least: so long may a queue keep a message and deliver it again."""

_DAY = 86_400.0


class Claim(NamedTuple):
    """An attempt that is ours until its lease ends."""

    run: int
    start: int
    """How many claims the run has had, this one included."""
    attempt: int
    """How many attempts are used up, this one included."""
    first: float
    """The moment of the first claim, or at which the run was redriven."""
    event: str
    """The event as it came first, on the wire: every attempt has the same one."""
    left: str = ""
    """The last checkpoint of the run, as JSON; empty where it has left none."""
    lost: tuple[float, float] = (0.0, 0.0)
    """When the attempt before this one began and its lease was over: all that is known of one that nobody settled."""


class Standing(NamedTuple):
    """Where a run stands. `start` is its last claim."""

    run: int
    state: str
    start: int
    until: float = 0.0
    """When to look again: the end of the lease of one that runs, the moment at which one that waits is due."""
    published: bool = True
    """Whether the bus has taken all that it emitted."""


class Sighting(NamedTuple):
    """What S3 said of an object that has no versions: what it holds, and when that came among all that it held."""

    etag: str
    sequencer: str


class Superseded(TriggersError):
    """A run was settled too late: its lease had passed, and another one has taken it over."""


_Updated = tuple[bool, Item]


class _Expression(NamedTuple):
    """An update with its condition, and the names that stand in it. All have a `#`: DynamoDB reserves many words."""

    update: str
    condition: str
    names: Mapping[str, str]


def _expression(update: str, condition: str) -> _Expression:
    return _Expression(update, condition, {name: name[1:] for name in re.findall(r"#\w+", f"{update} {condition}")})


_IS_OURS = "#attempt = :start AND #state = :running"

_CLAIMED = (
    "SET #route = :route, #event = if_not_exists(#event, :event), #source = :source, #event_id = :event_id,"
    " #root = if_not_exists(#root, :root), #state = :running,"
    " #attempt = if_not_exists(#attempt, :zero) + :one, #counted = if_not_exists(#counted, :zero) + :one,"
    " #lost_since = if_not_exists(#started, :now), #lost_until = if_not_exists(#lease, :now),"
    " #lease = :lease, #holder = :holder, #started = :now, #changed = :now, #first = if_not_exists(#first, :now)"
    " REMOVE #due, #ended"
)
_IS_FREE = (
    "(#source = :source AND #event_id = :event_id AND #route = :route AND"
    " ((#state = :running AND #lease < :now) OR (#state = :waiting AND #due <= :now)))"
)
_CLAIM = _expression(_CLAIMED, f"attribute_not_exists(#run) OR {_IS_FREE}")
_RESUME = _expression(_CLAIMED, _IS_FREE)
_WAIT = _expression(
    "SET #state = :state, #due = :due, #changed = :now, #counted = :counted, #error = :error, #traceback = :traceback,"
    " #checkpoint = :checkpoint REMOVE #lease",
    _IS_OURS,
)
_END = _expression(
    "SET #state = :state, #ended = :now, #changed = :now, #parts = :parts, #published = :published, #expires = :expires"
    " REMOVE #lease, #error, #traceback, #checkpoint",
    _IS_OURS,
)
_FAILED = (
    "#state = :state, #changed = :now, #parts = :parts, #published = :published, #expires = :expires,"
    " #counted = :counted, #error = :error, #traceback = :traceback, #checkpoint = :checkpoint REMOVE #lease"
)
_FAIL = _expression(f"SET #ended = :now, {_FAILED}", _IS_OURS)
_GIVE_UP = _expression(f"SET #started = :started, #ended = :ended, {_FAILED}", _IS_OURS)
_RENEW = _expression("SET #lease = :lease", "#state = :running AND #holder = :holder")
_MARK = _expression("SET #published = :true, #changed = :now", "#attempt = :start")

_SIGHT = _expression(
    "SET #etag = :etag, #sequencer = :sequencer, #event_id = :event_id, #expires = :expires",
    "attribute_not_exists(#run) OR (#etag <> :etag AND #sequencer <= :sequencer)",
)
_ADVANCE = _expression("SET #sequencer = :sequencer, #expires = :expires", "#etag = :etag AND #sequencer < :sequencer")

_RUNNING = {"S": RUNNING}
_FIXED = {":zero": {"N": "0"}, ":one": {"N": "1"}, ":running": _RUNNING, ":waiting": {"S": WAITING}}
_TRUE = {"BOOL": True}


class Records:
    """The table of run records. `client` is one of DynamoDB, `retention` days that what has ended is kept."""

    def __init__(self, client: Any, table: str, retention: float) -> None:
        self.table = table
        self._client = client
        self._kept = max(retention, SHORTEST_KEPT) * _DAY

    def is_new(self, route: str, event: EventRow, sighting: Sighting, now: float) -> bool:
        """Say whether a run of a route may begin on the `ObjectCreated` that was made of a sighting.

        It may where the key's current row, what the route was told of last, is of this very event, or becomes so: where
        it has other content, unless S3's sequencer says that this one is the earlier. The row outlives the
        runs, as an identity does.
        """
        key = _object(event.source, event.subject or "", route)
        sequencer = sighting.sequencer.upper().rstrip("0")
        expires = self._expires(now + FORGET * _DAY)
        seen = {":etag": {"S": sighting.etag}, ":sequencer": {"S": sequencer}, ":expires": expires}
        refused, item = self._update(key, _SIGHT, {**seen, ":event_id": {"S": event.id}})
        if not refused or text_in(item, "event_id") == event.id:
            return True
        if text_in(item, "etag") == sighting.etag:  # what is between the two of them is out of date
            self._update(key, _ADVANCE, seen)
        return False

    def claim(
        self,
        run: int,
        route: str,
        event: EventRow,
        text: str,
        holder: str,
        now: float,
        lease: float,
        *,
        begins: bool = True,
    ) -> Claim | Standing:
        """Claim an attempt of the run of a route on an event, until `lease`; or say why it is not to be made.

        `text` is the event's on the wire, `holder` names who claims. Unless it `begins`, only a run that there is goes
        on. Raises `TriggersError` where the run is one of another event, or its item is half made.
        """
        values = {
            **_FIXED,
            ":route": {"S": route},
            ":event": {"S": text},
            ":source": {"S": event.source},
            ":event_id": {"S": event.id},
            ":root": {"S": f"e{event.root}"},
            ":lease": as_number(lease),
            ":holder": {"S": holder},
            ":now": as_number(now),
        }
        refused, item = self._update(_key(run, RUN), _CLAIM if begins else _RESUME, values, answer="ALL_NEW")
        if refused:
            if not item:
                return Standing(run, KNOWN, 0)
            self._check_identity(run, route, event, item)
            ours = text_in(item, "holder") == holder and number_in(item, "started") == rounded(now)
            if not (ours and text_in(item, "state") == RUNNING):  # it is where an answer was lost and the call repeated
                return _standing(run, item)
        start, attempt = int(item["attempt"]["N"]), int(item["counted"]["N"])
        first = float((item.get("redriven") or item["first"])["N"])
        kept, left = text_in(item, "event") or text, text_in(item, "checkpoint")
        lost = number_in(item, "lost_since"), number_in(item, "lost_until")
        return Claim(run, start, attempt, first, kept, left, lost)

    def renew(self, run: int, holder: str, lease: float) -> None:
        """Have a run that `holder` has claimed be its until `lease`; nothing where it is its no more."""
        self._update(
            _key(run, RUN), _RENEW, {":running": _RUNNING, ":holder": {"S": holder}, ":lease": as_number(lease)}
        )

    def keep(self, claim: Claim, texts: Sequence[str], now: float) -> int:
        """Keep what the attempt emits, and return in how many parts. It counts once the run is settled with them."""
        parts = list(_parts(texts))
        for number, part in enumerate(parts):
            item = {
                **_key(claim.run, _part(claim.start, number)),
                "events": {"L": [{"S": text} for text in part]},
                "expires": self._expires(now),
            }
            self._put(item)
        return len(parts)

    def done(self, claim: Claim, parts: int, now: float) -> None:
        """Settle a run that ended well. Raises `Superseded`."""
        self._settle(claim, _END, DONE, now, self._ended(parts, now))

    def dead(self, claim: Claim, failure: Failure, parts: int, now: float) -> None:
        """Settle a run that failed for good. Raises `Superseded`."""
        self._settle(claim, _FAIL, DEAD, now, self._dead(claim, failure, parts, now))

    def give_up(self, claim: Claim, failure: Failure, parts: int, now: float, ended: float) -> None:
        """Settle a run that is dead since its last attempt was lost, which `ended` then at the latest.

        Raises `Superseded`.
        """
        lost = {":started": as_number(claim.lost[0]), ":ended": as_number(ended)}
        self._settle(claim, _GIVE_UP, DEAD, now, {**self._dead(claim, failure, parts, now), **lost})

    def wait(self, claim: Claim, failure: Failure | None, due: float, now: float, *, counted: bool) -> None:
        """Settle an attempt after which the run waits; where it is not `counted`, it is not used up.

        Raises `Superseded`.
        """
        used = as_number(claim.attempt if counted else claim.attempt - 1)
        values = {":due": as_number(due), ":counted": used, **_said(failure), **_left(claim)}
        self._settle(claim, _WAIT, WAITING, now, values)

    def published(self, run: int, start: int, now: float) -> None:
        """Mark a run: the bus has taken all that it emitted."""
        self._update(_key(run, RUN), _MARK, {":true": _TRUE, ":start": as_number(start), ":now": as_number(now)})

    def emitted(self, run: int, start: int) -> Iterator[str]:
        """Yield the events that the run emitted in the attempt by which it ended."""
        question: dict[str, Any] = {
            "TableName": self.table,
            "ConsistentRead": True,
            "KeyConditionExpression": "#run = :run AND begins_with(#part, :part)",
            "ExpressionAttributeNames": {"#run": "run", "#part": "part"},
            "ExpressionAttributeValues": {":run": {"S": f"r{run}"}, ":part": {"S": _part(start)}},
        }
        while True:
            with self._explained():
                page = self._client.query(**question)
            for item in page["Items"]:
                yield from (text["S"] for text in item["events"]["L"])
            if "LastEvaluatedKey" not in page:
                return
            question["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def reject(self, number: int, route: str, source: str, id: str, body: str, reason: str, now: float) -> None:
        """Keep what arrived and can be no event beside the reason; what a record has no room for in parts before it."""
        moment, (begin, *rest) = as_number(now), pieces(body)
        for count, piece in enumerate(rest, 1):
            part = f"{REST}{count:04d}"
            self._put({**_key(number, part), "rest": {"S": piece}, "expires": self._expires(now)})
        item = {
            **_key(number, RUN),
            "state": {"S": REJECTED},
            "route": {"S": route},
            "source": {"S": plain(source)},
            "event_id": {"S": plain(id)},
            "event": {"S": begin},
            "parts": as_number(len(rest)),
            "error": {"S": cut(reason, LONGEST_REASON)},
            "started": moment,
            "changed": moment,
            "ended": moment,
            "published": _TRUE,
            "expires": self._expires(now),
        }
        self._put(item)

    def _put(self, item: Item) -> None:
        with self._explained():
            self._client.put_item(TableName=self.table, Item=item)

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"table {self.table!r}")

    def _settle(self, claim: Claim, expression: _Expression, state: str, now: float, values: Item) -> None:
        asked = {
            ":start": as_number(claim.start),
            ":running": _RUNNING,
            ":state": {"S": state},
            ":now": as_number(now),
            **values,
        }
        refused, item = self._update(_key(claim.run, RUN), expression, asked)
        if not refused or (number_in(item, "attempt"), number_in(item, "changed")) == (claim.start, rounded(now)):
            return  # by an earlier call whose answer was lost, in the second case
        held = text_in(item, "state") or "gone"
        raise Superseded(f"run r{claim.run} was settled too late: its lease had passed, and it is {held} by another")

    def _dead(self, claim: Claim, failure: Failure, parts: int, now: float) -> Item:
        return {**self._ended(parts, now), ":counted": as_number(claim.attempt), **_said(failure), **_left(claim)}

    def _ended(self, parts: int, now: float) -> Item:
        return {":parts": as_number(parts), ":published": {"BOOL": not parts}, ":expires": self._expires(now)}

    def _expires(self, now: float) -> Mapping[str, str]:
        return as_number(int(now + self._kept))

    def _update(self, key: Item, expression: _Expression, values: Mapping[str, Any], answer: str = "NONE") -> _Updated:
        """Update an item, if the condition holds. Return whether it was refused, and what is there."""
        try:
            said = self._client.update_item(
                TableName=self.table,
                Key=key,
                UpdateExpression=expression.update,
                ConditionExpression=expression.condition,
                ExpressionAttributeNames=expression.names,
                ExpressionAttributeValues=values,
                ReturnValues=answer,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            told: Mapping[str, Any] = getattr(error, "response", None) or {}
            if told.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                with self._explained():
                    raise
            return True, told.get("Item", {})
        return False, said.get("Attributes", {})

    def _check_identity(self, run: int, route: str, event: EventRow, item: Item) -> None:
        ours = (event.source, event.id, route)
        theirs = tuple(text_in(item, name) for name in ("source", "event_id", "route"))
        if not any(theirs):  # in DynamoDB an update is whole or not there; moto without a lock shows the half of one
            raise TriggersError(
                f"run r{run} in table {self.table!r} is not there yet: its item has a key and nothing else; try again,"
                " and delete the item if it stays so"
            )
        if ours != theirs:
            raise TriggersError(
                f"run r{run} in table {self.table!r} is one of {theirs}, not of {ours}: two events have one number;"
                " send the event again under another id"
            )


def _standing(run: int, item: Item) -> Standing:
    state = text_in(item, "state")
    until = number_in(item, "lease" if state == RUNNING else "due")
    published = bool(item.get("published", {}).get("BOOL"))
    return Standing(run, state, int(number_in(item, "attempt")), until, published)


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        more = len(text.encode())
        if part and size + more > LARGEST_PART:
            yield part
            part, size = [], 0
        part.append(text)
        size += more
    if part:
        yield part


def _said(failure: Failure | None) -> Item:
    error, trace = (str(failure), failure.traceback) if failure else ("", "")
    return {":error": {"S": cut(error, LONGEST_ERROR)}, ":traceback": {"S": cut(trace, LONGEST_TRACEBACK, end=True)}}


def _left(claim: Claim) -> Item:
    return {":checkpoint": {"S": claim.left}}


@lru_cache(maxsize=16)
def _key(run: int, part: str) -> Item:
    """Return the key of an item. The last ones are kept: a run is claimed, settled and marked by the same one."""
    return {"run": {"S": f"r{run}"}, "part": {"S": part}}


def _object(source: str, key: str, route: str) -> Item:
    """Return the key of what a route was told of an object. A digest, as the two names may be longer than a key."""
    digest = hashlib.sha256(f"{source}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()
    return {"run": {"S": f"object-{digest}"}, "part": {"S": route}}


def _part(start: int, number: int | None = None) -> str:
    return f"{EMITTED}{start}#" + ("" if number is None else f"{number:04d}")


__all__ = [
    "DEAD",
    "DONE",
    "INDEXED",
    "KNOWN",
    "PUT_ASIDE",
    "REJECTED",
    "REST",
    "RUNNING",
    "WAITING",
    "Claim",
    "Records",
    "Sighting",
    "Standing",
    "Superseded",
]

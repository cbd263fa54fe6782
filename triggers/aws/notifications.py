"""What S3 says of its objects, out of every envelope that it comes in.

S3 tells a queue, a topic or a function itself, by records, or it tells EventBridge; a topic wraps what it hands on, and
a queue holds any of these as a message's text. In each of them it is the same notice::

    {"Records": [{"eventSource": "aws:s3", ...}]}                                 S3, also as a message's body
    {"Type": "Notification", "Message": "{\\"Records\\": [...]}"}                   by a topic to a queue
    {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "..."}}]}          by a topic to a function
    {"detail-type": "Object Created", "source": "aws.s3", "detail": {...}}        EventBridge, also as a body

The rules are from "Event message structure" and "EventBridge event message structure" in the S3 user guide. A record's
key is encoded as in a form (`+` is a space), EventBridge's is not. Fields that moto and other makes of S3 leave out may
be missing: sequencer, version, and whatever is not read here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, unquote_plus

from pydantic_core import to_json

from triggers.cloudevents import LONGEST_NAME
from triggers.errors import EventError, shown
from triggers.events import ObjectCreated, ObjectDeleted, read_json
from triggers.sources import Delivery

Kind = Literal["created", "deleted", "other"]
"""What became of the object.

- `created`: it has new content (`ObjectCreated:*`, whether put, posted, copied or completed as a multipart upload).
- `deleted`: it, or one version of it, was deleted, or got a delete marker; by a request or a lifecycle rule.
- `other`: its content is what it was. Restored from Glacier, replicated, moved to another class or tier, tagged, its
  access changed, lost by reduced redundancy; and whatever S3 may tell in future.
"""

_PREFIXES: Final[Mapping[str, Kind]] = {
    "ObjectCreated": "created",
    "ObjectRemoved": "deleted",
    "LifecycleExpiration": "deleted",
}
_DETAIL_TYPES: Final[Mapping[str, Kind]] = {"Object Created": "created", "Object Deleted": "deleted"}
_END_OF_TIME = 253_402_300_800  # Unix seconds of the year 10000, which no calendar here goes beyond
_MAJOR = "2"  # of `eventVersion`; S3 raises it when it changes the fields in a way that readers must know of


class Notice(NamedTuple):
    """What S3 says of one object. `time` is in Unix seconds, `reason` S3's own word for what happened.

    `version` is None where the bucket has no versions, and of a delete marker, which is no content. Sequencers of one
    key are compared by `is_later`.
    """

    kind: Kind
    bucket: str
    key: str
    version: str | None
    etag: str | None
    size: int | None
    sequencer: str | None
    time: float
    reason: str

    @property
    def content(self) -> str:
        """Return what names the content: the version, or where there is none the ETag."""
        return self.version or self.etag or ""


class Told(NamedTuple):
    """What S3 says in one body: its notices, and why other records can be none, by the place that is not as it must be.

    S3's test event says nothing, and has neither.
    """

    notices: Sequence[Notice]
    malformed: Sequence[str] = ()

    def rejection(self, refused: Sequence[tuple[Notice, EventError]]) -> str | None:
        """Return why some of it can be no events, if there are such; `refused` are notices that are well-formed.

        Of several each has its own reason.
        """
        all = len(self.notices) + len(self.malformed)
        why = [f"{one.reason} of {one.key[:80]!r}: {error}" if all > 1 else str(error) for one, error in refused]
        why += self.malformed
        if not why[1:]:
            return why[0] if why else None
        each = "; ".join(f"({number}) {reason}" for number, reason in enumerate(why, 1))
        return f"{len(why)} of its {all} notices can be no events: {each}"


def told(body: object) -> Told | None:
    """Return what a parsed JSON body says of objects, or None where it is not S3 that speaks.

    Raises `EventError` naming the place in the envelope that is not as it must be. Of several records in it each goes
    its own way: one that is malformed keeps no other from being read.
    """
    if isinstance(body, Mapping) and (topic := _of_topic(body)):
        found = [_said(_Part(place, _read(part.text("Message")))) for place, part in topic]
        said = [some for some in found if some is not None]
        whole = Told([one for some in said for one in some.notices], [why for some in said for why in some.malformed])
        return whole if len(said) == len(found) else None
    return _said(_Part("", body))


def is_later(one: str, other: str) -> bool:
    """Say whether one sequencer of a key follows another: as hexadecimal fractions, as AWS documents it."""
    return one.upper() > other.upper().ljust(len(one), "0")


# --- what is made of a notice


def creation(notice: Notice, source: str, key: str) -> Delivery:
    """Return the `ObjectCreated` that a notice stands for; `key` is relative to the source of that name."""
    uri = _uri(notice) + (f"?versionId={quote(notice.version, safe='')}" if notice.version else "")
    payload = {"key": key, "uri": uri, "size": notice.size, "version": notice.content}
    mark = f"-{notice.sequencer}" if notice.sequencer and not notice.version else ""
    return Delivery(
        source=source,
        id=_identity(key, notice.content + mark),
        type=ObjectCreated.__event_type__,
        data=to_json(payload).decode(),
        time=notice.time,
        subject=key,
    )


def deletion(notice: Notice, source: str, key: str, version: str) -> Delivery:
    """Return the `ObjectDeleted` that a notice stands for; `version` is what was told last."""
    mark = notice.sequencer or f"{int(notice.time * 1e6):x}"
    return Delivery(
        source=source,
        id=_identity(key, f"{version}-gone-{mark}"),
        type=ObjectDeleted.__event_type__,
        data=to_json({"key": key, "uri": _uri(notice), "version": version}).decode(),
        time=notice.time,
        subject=key,
    )


def _uri(notice: Notice) -> str:
    return f"s3://{notice.bucket}/{quote(notice.key)}"


def _identity(key: str, version: str) -> str:
    """Return an event's id: a key may be as long as an id, so one that leaves no room is named by its digest."""
    if len(key) + 1 + len(version) > LONGEST_NAME:
        key = hashlib.sha256(key.encode()).hexdigest()
    return f"{key}@{version}"


# --- envelopes


def _of_topic(body: Mapping[str, Any]) -> list[tuple[str, _Part]]:
    """Return the messages of a topic that a body holds, each with the place of its text; none if it is no topic's."""
    if body.get("Type") == "Notification":
        return [("Message: ", _Part("", body))]
    records = body.get("Records")
    if not isinstance(records, list) or not all(_source(record) == "aws:sns" for record in records):
        return []
    parts = [_Part(f"Records[{number}]", record).part("Sns") for number, record in enumerate(records)]
    return [(f"{part.place}.Message: ", part) for part in parts]


def _read(text: str) -> object:
    """Return what a topic's message holds, or None where it is not JSON: then it is not from S3."""
    try:
        return read_json("the message", text.encode("utf-8", "replace"))
    except EventError:
        return None


def _said(body: _Part) -> Told | None:
    """Return what an envelope that S3 or EventBridge made says."""
    fields = body.fields
    if not isinstance(fields, Mapping):
        return None
    if fields.get("Event") == "s3:TestEvent":
        return Told([])
    if fields.get("source") == "aws.s3":
        return Told([_from_bus(body)])
    records = fields.get("Records")
    if isinstance(records, list) and any(_is_s3(record) for record in records):
        return _from_records(body.place, records)
    return None


def _is_s3(record: object) -> bool:
    return _source(record).endswith(":s3")  # other makes of S3 put their own name before it


def _source(record: object) -> str:
    """Return who made a record; topics write the field with a capital."""
    found = (record.get("eventSource") or record.get("EventSource")) if isinstance(record, Mapping) else None
    return found if isinstance(found, str) else ""


def _from_records(place: str, records: list[object]) -> Told:
    found, malformed = list[Notice](), list[str]()
    for number, record in enumerate(records):
        try:
            found.append(_from_record(_Part(f"{place}Records[{number}]", record)))
        except EventError as error:
            malformed.append(str(error))
    return Told(found, malformed)


def _from_record(record: _Part) -> Notice:
    if not _is_s3(record.fields):
        raise EventError(f"{record.place} is not from S3, though others beside it are")
    _check_major(record)
    thing, reason = record.part("s3").part("object"), record.text("eventName").removeprefix("s3:")
    is_marker = reason.endswith(":DeleteMarkerCreated")
    return _checked(
        Notice(
            kind=_PREFIXES.get(reason.partition(":")[0], "other"),
            bucket=record.part("s3").part("bucket").text("name"),
            key=_decoded(thing),
            version=None if is_marker else _version(thing.optional("versionId")),
            etag=None if is_marker else _etag(thing),
            size=thing.count("size"),
            sequencer=thing.optional("sequencer"),
            time=record.moment("eventTime"),
            reason=reason,
        ),
        thing,
    )


def _from_bus(event: _Part) -> Notice:
    detail, name = event.part("detail"), event.text("detail-type")
    if not name.startswith("Object "):
        raise EventError(f"{event.at('detail-type')} {name[:80]!r} is not about an object; take it out of the rule")
    thing, is_marker = detail.part("object"), detail.optional("deletion-type") == "Delete Marker Created"
    return _checked(
        Notice(
            kind=_DETAIL_TYPES.get(name, "other"),
            bucket=detail.part("bucket").text("name"),
            key=thing.text("key"),
            version=None if is_marker else _version(thing.optional("version-id")),
            etag=None if is_marker else _etag(thing),
            size=thing.count("size"),
            sequencer=thing.optional("sequencer"),
            time=event.moment("time"),
            reason=f"{name} ({detail.optional('reason') or 'no reason given'})",
        ),
        thing,
    )


def _checked(notice: Notice, thing: _Part) -> Notice:
    """Return the notice; raise `EventError` where new content has nothing to be known by."""
    if notice.kind == "created":
        if not notice.content:
            raise EventError(f"{thing.place} has neither a version nor an ETag, so nobody knows which content it is")
        if notice.size is None:
            raise EventError(f"{thing.at('size')} is missing")
    return notice


def _check_major(record: _Part) -> None:
    version = record.optional("eventVersion")
    if version and version.partition(".")[0] != _MAJOR:
        raise EventError(
            f"{record.at('eventVersion')} is {version[:20]!r}, and this code reads {_MAJOR}.x; upgrade triggers"
        )


def _decoded(thing: _Part) -> str:
    """Return the key of a record, which S3 encodes as a form does."""
    text = thing.text("key")
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise EventError(f"{thing.at('key')} {text[:80]!r} does not stand for UTF-8 text") from error


def _version(given: str | None) -> str | None:
    return None if given == "null" else given  # what S3 calls the version of an object that was put without


def _etag(thing: _Part) -> str | None:
    return (thing.optional("eTag") or thing.optional("etag") or "").strip('"') or None


@dataclass(frozen=True, slots=True)
class _Part:
    """A JSON object in a body, with its place there for who has to mend it. What is read must be as it should."""

    place: str
    fields: Any

    def at(self, name: str) -> str:
        """Return the place of a field."""
        return f"{self.place}{name}" if self.place.endswith(": ") or not self.place else f"{self.place}.{name}"

    def part(self, name: str) -> _Part:
        """Return the object in a field."""
        found = _Part(self.at(name), self._get(name))
        found._get("")
        return found

    def text(self, name: str) -> str:
        """Return the text in a field, which must not be empty."""
        if not (found := self.optional(name)):
            raise EventError(f"{self.at(name)} must be text and not empty, not {shown(self._get(name))}")
        return found

    def optional(self, name: str) -> str | None:
        """Return the text in a field; None where there is none, or an empty one."""
        found = self._get(name)
        if found is not None and not isinstance(found, str):
            raise EventError(f"{self.at(name)} must be text, not {shown(found)}")
        if found and not _is_unicode(found):
            raise EventError(f"{self.at(name)} must be Unicode text, not {shown(found)}")
        return found or None

    def count(self, name: str) -> int | None:
        """Return the whole number in a field, 0 or more; None where there is none."""
        found = self._get(name)
        if found is None or (type(found) is int and found >= 0):
            return found
        raise EventError(f"{self.at(name)} must be a whole number, 0 or more, not {shown(found)}")

    def moment(self, name: str) -> float:
        """Return the time in a field as Unix seconds. moto's EventBridge writes it so; S3 writes RFC 3339."""
        found = self._get(name)
        seconds = found if isinstance(found, int | float) else _seconds(self.text(name))
        if seconds is None or not 0 <= seconds < _END_OF_TIME:
            raise EventError(f"{self.at(name)} must be a time like '2026-01-31T08:00:00.000Z', not {shown(found)}")
        return float(seconds)

    def _get(self, name: str) -> Any:
        if not isinstance(self.fields, Mapping):
            raise EventError(f"{self.place or 'the body'} must be a JSON object, not {shown(self.fields)}")
        return self.fields.get(name)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _seconds(text: str) -> float | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.timestamp() if instant.tzinfo else None


__all__ = ["Kind", "Notice", "Told", "creation", "deletion", "is_later", "told"]

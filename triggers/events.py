"""Events: typed facts in the past tense, the envelope around them, and how they become bytes and come back.

An event type is a frozen pydantic model. Its name and version travel with every event::

    class Processed(Event, version=2):
        table: str

The envelope follows CloudEvents 1.0 (`id`, `source`, `type`, `subject`, `time`) and adds the lineage
(`cause`, `root`, `depth`, `budget`). Payloads are JSON objects only: no `NaN`, no secrets, at most `MAX_BYTES`, nested
at most `MAX_DEPTH` deep, numbers of at most `MAX_DIGITS`, because every place that an app runs in must be able to carry
them, and every reader to read them back.
"""

# without annotations as text, which pydantic would have to evaluate: it takes as long as all else here

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from triggers.content import check_content, open_content
from triggers.errors import EventError, Reject, did_you_mean
from triggers.secrecy import holds_secret, may_hold_secret, secret_fields

MAX_BYTES = 256 * 1024
"""The largest payload, in bytes of JSON: what a DynamoDB item and an EventBridge entry can carry."""
MAX_DEPTH = 64
"""How deep arrays and objects may be nested in a payload."""
MAX_DIGITS = 4300
"""How many digits a whole number may have in a payload: as many as Python and pydantic read back."""

_BLOCK = MAX_DIGITS // 2  # characters; a longer number than is allowed fills at least one such block of the text
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH}; flatten it, or write it to a file and pass its key"
_TOO_LONG = f"holds a whole number of more than {MAX_DIGITS:,} digits, which no reader takes; pass it as text"
_NO_TEXT = "holds a \\u escape that is no character, like half of a surrogate pair; JSON text is Unicode"
_MEANT = {
    "recursion limit": _TOO_DEEP,
    "serialization depth": _TOO_DEEP,
    "out of range": _TOO_LONG,
    "hex escape": _NO_TEXT,
}  # what the parser and the serializer say, and what is meant

_MASK = "**********"  # what pydantic writes in place of a secret, unless a serializer reveals it


class Event(BaseModel):
    """The base of all event types: a frozen model whose class name is the event's type.

    Class keywords: `type` (the name on the wire, the class name if not given) and `version` (1 if not given).
    When a stored event is older than the class, `upgrade` is asked to bring its data forward.
    """

    model_config = ConfigDict(
        frozen=True,
        ser_json_inf_nan="constants",
        defer_build=True,
        validate_by_name=True,  # a field with an alias is written by its name, unless the type says otherwise
        validate_by_alias=True,
    )

    __event_type__: ClassVar[str] = "Event"
    __event_version__: ClassVar[int] = 1

    def __init_subclass__(cls, *, type: str | None = None, version: int = 1, **config: Any) -> None:
        super().__init_subclass__(**config)
        if (type or "").startswith("triggers.") and not cls.__module__.startswith("triggers."):
            raise EventError(f"{cls.__name__}: types that begin with 'triggers.' are our own; choose another type=")
        if version < 1:
            raise EventError(f"{cls.__name__}: version must be 1 or more, not {version}")
        cls.__event_type__ = type or cls.__name__
        cls.__event_version__ = version

    @classmethod
    def upgrade(cls, data: dict[str, Any], version: int) -> dict[str, Any]:
        """Return the payload of an older `version` in today's shape. Override it when `version=` is raised."""
        return data


class ObjectCreated(Event):
    """A complete object (a file, an S3 object) arrived or got new content.

    `key` is relative to its source, so that a handler is the same for a folder and for a bucket. `size` is in bytes.
    `version` names the content: a rename keeps it, every overwrite and every copy has another. `moved_from` is the
    key of the file that was renamed to this one, where the source tells deletions.
    """

    key: str
    uri: str
    size: int
    version: str
    moved_from: str | None = None

    def path(self) -> Path:
        """Return the local file; raises `Reject` if it is gone or no longer what the event named.

        It is looked at now; what is opened by the path later may be newer. `open` is sure. Of an object in a bucket it
        is a copy of the content that the event names, which is removed when the attempt ends.
        """
        if self.uri.startswith("s3://"):
            return self._copy()
        path = self._local()
        try:
            check_content(self.key, self.version, path.stat())
        except OSError as error:
            raise self._gone(error) from error
        return path

    def open(self) -> IO[bytes]:
        """Open the content for reading, in binary: nothing is read but the version that the event names.

        Raises `Reject` as `path` does; so does every read once the file is overwritten. Of an object in a bucket it is
        a copy in a file without a name, which is gone when it is closed.
        """
        if self.uri.startswith("s3://"):
            from triggers.aws.objects import open_object  # loads boto3 when it is called

            return open_object(self.key, self.uri, self.version)
        try:
            return open_content(self.key, self.version, self._local())
        except OSError as error:
            raise self._gone(error) from error

    def _copy(self) -> Path:
        from triggers.aws.objects import fetch
        from triggers.copies import copy_for

        last = self.key.rpartition("/")[2]
        name = "object" if last in ("", ".", "..") else last  # all of which a key may end in, and no file is called so
        return copy_for(self, name, lambda file: fetch(self.key, self.uri, self.version, file))

    def _local(self) -> Path:
        parts = urlsplit(self.uri)
        if parts.scheme != "file":
            raise Reject(
                f"{self.uri} is neither a local file nor an object in S3; only file:// and s3:// can be read here"
            )
        return Path(unquote_to_bytes(parts.path).decode("utf-8", "surrogateescape"))

    def _gone(self, error: OSError) -> Reject:
        return Reject(f"{self.key}: the file that arrived cannot be read now ({error.strerror})")


class ObjectDeleted(Event):
    """An object that was told is gone: it was deleted, moved away or renamed.

    `version` is the content that was told last. A folder tells it where it is declared with `deletions=True`.
    """

    key: str
    uri: str
    version: str


class MessageReceived(Event):
    """A message came from a queue. `attributes` are the message's own, as text."""

    body: str
    attributes: dict[str, str] = {}

    def json_body(self) -> Any:
        """Return the body parsed as JSON; raises `Reject` if it is not JSON."""
        try:
            return from_json(self.body, allow_inf_nan=False)
        except ValueError as error:
            raise Reject(f"the message body is not JSON: {error}") from error


class Tick(Event):
    """A schedule fired. `due` is the instant that was asked for (UTC), not the moment of delivery.

    `missed` is how many instants before this one came due and did not fire (1,000 stands for so many or more);
    `backfill` marks a firing that somebody asked for, of an instant that was past.
    """

    schedule: str
    due: datetime
    missed: int = 0
    backfill: bool = False


class RunFailed(Event):
    """A run failed for good and lies in the dead letters. Handle it to notify or to repair."""

    run: str
    route: str
    event_id: str
    event_type: str
    error: str
    message: str
    attempts: int


class Missing(Event):
    """An event that was expected has not come (`App.expect`).

    `since` is when the last one came, or when the app began to look; `due` by when the next one was expected, the grace
    not included; `missed` how many such moments have passed since (1,000 stands for so many or more).
    """

    expectation: str
    event_type: str
    since: datetime
    due: datetime
    missed: int


CREATED: Final = ObjectCreated.__event_type__
FAILED: Final = RunFailed.__event_type__
"""Two types as each run is asked for them: an attribute of a model's class takes as long as a call."""
GATHERED: Final = "triggers.gathered"
"""The type of an event that stands for several which came together."""


class Envelope(NamedTuple):
    """What travels around a payload: CloudEvents 1.0 attributes and the lineage.

    `cause` is the run that emitted the event (`r17`), `root` the event that the chain began with (`e3`), `depth` the
    number of runs between the two, `budget` how many more events this branch of the chain may emit.
    """

    number: int
    id: str
    source: str
    type: str
    version: int
    subject: str | None
    time: datetime
    cause: str | None
    root: str
    depth: int
    budget: int


def encode(event: Event) -> str:
    """Return the payload as JSON text, or raise `EventError` naming what no place could carry."""
    kind = type(event)
    try:
        text = kind.__pydantic_serializer__.to_json(event).decode()
    except (PydanticSerializationError, UnicodeError) as error:
        raise EventError(f"{kind.__event_type__} {_meant(error) or f'cannot be written as JSON: {error}'}") from error
    if (_MASK in text or may_hold_secret(kind)) and holds_secret(event):
        raise EventError(
            f"{kind.__event_type__} holds a secret; events are stored and shown, so pass the secret's name"
        )
    check_payload(kind.__event_type__, text)
    return text


def check_payload(name: str, text: str) -> None:
    """Raise `EventError` when the JSON text is no object, too large, too deep, or not what every reader takes."""
    size = len(text) if text.isascii() else len(text.encode())
    if size > MAX_BYTES:
        raise EventError(
            f"{name} is {size:,} bytes, over the limit of {MAX_BYTES:,}; write the data to a file and pass its key"
        )
    if not text.startswith("{"):
        raise EventError(f'the data of {name} must be a JSON object like {{"table": "a"}}, not {text[:40]}')
    if text.count("[") + text.count("{") > MAX_DEPTH and depth_of(text) > MAX_DEPTH:
        raise EventError(f"{name} {_TOO_DEEP}")
    if size > MAX_DIGITS and _may_hold_long_number(text):
        read_json(name, text.encode())
    if ("N" in text and "NaN" in text) or ("I" in text and "Infinity" in text):  # one character is found far faster
        try:
            from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise EventError(f"{name} holds NaN or Infinity, which JSON has no word for; use None (null)") from error


def read_json(name: str, text: bytes) -> Any:
    """Return what JSON text from outside holds; raise `EventError` saying what is wrong with `name`.

    `NaN` and `Infinity` are read, so that `check_payload` may say what to do about them.
    """
    try:
        return from_json(text)
    except ValueError as error:
        raise EventError(f"{name} {_not_unicode(text) or _meant(error) or f'is not JSON: {error}'}") from error


def _not_unicode(text: bytes) -> str:
    """Say where bytes are not UTF-8; nothing where they are."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8: byte {error.start + 1} is 0x{text[error.start]:02x}; convert it, as with iconv"
    return ""


def _meant(error: Exception) -> str:
    """Return our words for what the parser or the serializer says; nothing where we have none."""
    return next((words for said, words in _MEANT.items() if said in str(error)), "")


def _may_hold_long_number(text: str) -> bool:
    """Say whether a number in the text may be too long. It takes a small part of the time of parsing the text."""
    return any(text[first : first + _BLOCK].isdecimal() for first in range(0, len(text), _BLOCK))


def depth_of(text: str) -> int:
    """Return how deep arrays and objects are nested in JSON text, without parsing it into objects."""
    depth = deepest = 0
    for mark in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        if mark[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark[0] in "]}":
            depth -= 1
    return deepest


def decode(kind: type[Event], text: str, version: int) -> Event:
    """Return the event that `text` holds, brought forward from an older version where it is one.

    Raises `EventError` when it is newer than the class or does not validate.
    """
    try:
        if version == kind.__event_version__:
            return kind.__pydantic_validator__.validate_json(text)  # type: ignore[no-any-return]  # untyped in pydantic
        if version > kind.__event_version__:
            known = kind.__event_version__
            raise EventError(f"{kind.__event_type__} has version {version}, this code knows {known}; run newer code")
        return kind.model_validate(kind.upgrade(from_json(text), version))
    except ValidationError as error:
        raise EventError(f"{kind.__event_type__} does not validate: {_said(kind, error)}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise EventError(f"{kind.__event_type__} version {version} cannot be brought forward: {error!r}") from error


def parse(kind: type[Event], data: Mapping[str, Any]) -> Event:
    """Return an event from data that a person wrote: like `decode`, but an unknown field is an error."""
    unknown = set(data) - set(kind.model_fields)
    if unknown:
        name = min(unknown)
        raise EventError(f"{kind.__event_type__} has no field {name!r}{did_you_mean(name, kind.model_fields)}")
    try:
        return kind.model_validate(dict(data))
    except ValidationError as error:
        raise EventError(f"{kind.__event_type__} does not validate: {_said(kind, error)}") from error


def _said(kind: type[Event], error: ValidationError) -> str:
    """Return what is wrong, without the values where one of them may have been meant for a secret."""
    return describe(error, values=not secret_fields(kind))


def describe(error: ValidationError, *, values: bool = True) -> str:
    """Return a validation error as one line: `auc: Input should be a valid number (got 'high')`."""
    parts = []
    for item in error.errors(include_url=False):
        place = ".".join(str(step) for step in item["loc"])
        shown = repr(item["input"])
        shown = shown if len(shown) < 60 else f"{shown[:57]}..."
        given = f" (got {shown})" if values and item["type"] != "missing" else ""
        parts.append(f"{place + ': ' if place else ''}{item['msg']}{given}")
    return "; ".join(parts)


def new_id() -> str:
    """Return a new identity for an event. Later ones sort behind earlier ones, so the journal's index stays compact."""
    return (time.time_ns().to_bytes(8) + os.urandom(8)).hex()


def moment(seconds: float) -> datetime:
    """Return a Unix time as an aware UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


__all__ = ["Envelope", "Event", "MessageReceived", "Missing", "ObjectCreated", "ObjectDeleted", "RunFailed", "Tick"]

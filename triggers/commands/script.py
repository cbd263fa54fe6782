"""A failure's events as the statements of a test: files are dropped, events sent, and time passes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from keyword import iskeyword
from math import ceil, isfinite
from pathlib import PurePosixPath

from triggers.app import App
from triggers.commands.failures import NotFound
from triggers.commands.literals import block, literal
from triggers.commands.masking import Masked
from triggers.commands.origins import Failure, Origins
from triggers.commands.output import plain
from triggers.commands.reading import SENDERS
from triggers.errors import EventError, TriggersError, did_you_mean
from triggers.events import GATHERED, Event, ObjectCreated, decode
from triggers.gather import DEBOUNCE
from triggers.lineage import EventRow
from triggers.places import Place
from triggers.routing import Route
from triggers.sources import Source
from triggers.sources.bucket import Bucket
from triggers.sources.folder import Folder

INLINE = 600
"""Bytes of a text file that stands in the test itself."""
LARGEST = 10 * 1024 * 1024
"""Bytes of a file that is copied beside the test, and of a place."""
IN_ALL = 64 * 1024 * 1024
"""Bytes of all files that are copied: they are held in memory until the test is written."""

TAKEN = {"FILES", "Path", "UTC", "app", "datetime", "errors", "harness", "pipeline", "run", "seen", "shutil"}
"""Names that a test uses itself."""


@dataclass
class Script:
    """What a test does, statement by statement, and what it needs for that."""

    app: App
    masked: Masked
    folder: str
    """The folder beside the test that holds its files."""
    copies: bool = True
    """Whether files are copied. If not, what does not stand in the test is missing."""
    lines: list[str] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    """The modules of event types, by the name of the type."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What the folder is to hold, by path."""
    missing: list[str] = field(default_factory=list)
    """Files that are to be put there before the test can run, and why."""
    laid_out: set[str] = field(default_factory=set)
    """The places that do not begin empty."""
    _kinds: dict[str, type[Event]] = field(default_factory=dict)

    def give(self, inputs: Iterable[EventRow]) -> None:
        """Have events come as they came from outside. Those that are sent one after the other are sent together."""
        sent: list[str] = []
        for event in inputs:
            if call := self._constructed(event):
                sent.append(call)
                continue
            self._send(sent)
            told = self._told(event)
            if told:
                self._drop(event.source, told)
            else:
                self._deliver(event)
        self._send(sent)

    def lay_out(self, name: str) -> None:
        """Have what lies in a place now lie there from the start."""
        places = {name: place for name, place in self.app.places().items() if name not in self.app.sources}
        if name not in places:
            raise NotFound(f"app {self.app.name!r} has no place {name!r} to copy{did_you_mean(name, places)}")
        self.laid_out.add(name)
        for key, content in _held(places[name]):
            self._keep(f"{name}/{self.masked.text(key)}", self.masked.content(content))
        where = literal(name)
        self.lines.append(f"shutil.copytree(FILES / {where}, pipeline.folder / {where}, dirs_exist_ok=True)")

    def wait(self, seconds: int) -> None:
        """Have time pass, where there is something to wait for."""
        if seconds:
            self.lines.append(f"pipeline.advance({_span(seconds)})")

    def _constructed(self, event: EventRow) -> str | None:
        """Return the source of an event as its type's constructor takes it, None where that would be another event."""
        kind = self.app.event_types().get(event.type)
        data, hidden = self.masked.data(event)
        usual = event.source in SENDERS and event.subject is None and not hidden
        if kind is None or not (usual and all(map(_can_be_named, data)) and self._importable(kind)):
            return None
        try:
            if kind(**data) != decode(kind, event.data, event.version):
                return None
        except (TypeError, ValueError, EventError):
            return None
        self.imports[kind.__name__] = "triggers" if kind.__module__ == "triggers.events" else kind.__module__
        return _call(kind.__name__, [f"{name}={literal(value, 80)}" for name, value in data.items()])

    def _importable(self, kind: type[Event]) -> bool:
        """Say whether a test can import a type by its name, which nothing else in it has."""
        name = kind.__qualname__
        if name in TAKEN or self._kinds.setdefault(name, kind) is not kind or kind.__module__ == "__main__":
            return False
        return getattr(sys.modules.get(kind.__module__), name, None) is kind

    def _send(self, sent: list[str]) -> None:
        if sent:
            self.lines.append(_call("pipeline.send", sent))
            sent.clear()

    def _deliver(self, event: EventRow) -> None:
        data, hidden = self.masked.data(event)
        given = [literal(event.type), literal(data, 80)]
        given += [f"source={literal(self.masked.text(event.source))}"] if event.source not in SENDERS else []
        given += [f"subject={literal(self.masked.text(event.subject))}"] if event.subject is not None else []
        given += [f"version={event.version}"] if event.version != 1 else []
        if hidden:
            self.lines.append(f"# left out, being secret: {plain(', '.join(hidden))}")
        self.lines.append(_call("pipeline.deliver", given))

    def _told(self, event: EventRow) -> ObjectCreated | None:
        """Return what a folder or a bucket of the app has told, where that can be a file's name in a folder."""
        source = self.app.sources.get(event.source)
        if event.type != ObjectCreated.__event_type__ or not isinstance(source, Folder | Bucket):
            return None
        told = decode(ObjectCreated, event.data, event.version)
        assert isinstance(told, ObjectCreated)
        outside = "\0" in told.key or any(part in ("", ".", "..") for part in told.key.split("/"))  # as S3 allows
        return None if outside else told

    def _drop(self, source: str, told: ObjectCreated) -> None:
        key = self.masked.text(told.key)
        if key != told.key:
            self.lines.append("# left out, being secret: key")
        self.lines.append(_call("pipeline.drop", [literal(source), literal(key), self._content(source, key, told)]))
        if marker := _marker(self.app.sources[source], key):
            self.lines.append(_call("pipeline.drop", [literal(source), literal(marker), '""']))

    def _content(self, source: str, key: str, told: ObjectCreated) -> str:
        """Return the source of what a file holds: the text itself, or where it lies beside the test."""
        path = f"{source}/{key}"
        try:
            with told.open() as file:
                content = self.masked.content(file.read(LARGEST + 1))
        except (OSError, TriggersError) as error:
            self._miss(path, f"what came as {told.key} ({told.size:,} bytes) is not to be had any more ({error})")
        else:
            if len(content) <= INLINE and (text := _text(content)) is not None:
                return literal(text, 80)
            if len(content) > LARGEST:
                self._miss(path, f"what came as {told.key} ({told.size:,} bytes) is too large to be copied")
            else:
                self._keep(path, content)
        return f"(FILES / {literal(path)}).read_bytes()"

    def _keep(self, path: str, content: bytes) -> None:
        if not self.copies:
            self._miss(path, "it is copied there where the test is written by --output")
        elif sum(map(len, self.files.values())) + len(content) > IN_ALL:
            self._miss(path, f"there are more than {IN_ALL:,} bytes of files already")
        else:
            self.files[path] = content

    def _miss(self, path: str, why: str) -> None:
        self.missing.append(f"{self.folder}/{path}: {self.masked.text(why)}")


def _held(place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield what lies in a place, or raise `TriggersError` where it is too much."""
    room = LARGEST
    keys = place.keys()
    for key in keys:
        with place.open(key) as file:
            content = file.read(room + 1)
        if len(content) > room:
            raise TriggersError(
                f"the place {place.name!r} holds more than {LARGEST:,} bytes; copy what is needed by hand"
            )
        room -= len(content)
        yield key, content


def _can_be_named(field: str) -> bool:
    return field.isidentifier() and not iskeyword(field)


def _call(function: str, given: list[str]) -> str:
    """Return the source of a call, on one line where it fits."""
    line = f"{function}({', '.join(given)})"
    return line if len(line) <= 100 and "\n" not in line else block(f"{function}(", given, ")")


def _text(content: bytes) -> str | None:
    """Return a file's content as text that people can read, or None."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if all(mark.isprintable() or mark in "\r\n\t" for mark in text) else None


def _marker(source: Source, key: str) -> str | None:
    """Return the key of the marker that a file waits for, where its folder has any."""
    if not isinstance(source, Folder) or source.marker is None:
        return None
    path = PurePosixPath(key)
    return str(path.with_name(source.marker.replace("*", path.name)))


def waiting_time(app: App, failure: Failure, origins: Origins) -> int:
    """Return how many seconds must pass until all on the way to a failure has been tried."""
    total = 0.0
    for run in origins.runs:
        route, event = app.routes[run.route], origins.events[run.event]
        total += _gathering(route, event)
        if run.attempt > 1 or (run.number == failure.run.number and not failure.final):
            total += _retries(route)
        if run.started and (_gated(route) or run.number in origins.put_off):
            total += max(0.0, run.started - event.recorded)
    return ceil(total)


def _gathering(route: Route, event: EventRow) -> float:
    """Return how long a group is waited for, where it did not end by being whole."""
    if route.rule is None or (event.type == GATHERED and json.loads(event.data)["ended"] == "whole"):
        return 0.0
    seconds = route.rule.quiet if route.rule.kind == DEBOUNCE else route.rule.within
    return seconds if isfinite(seconds) else 0.0


def _retries(route: Route) -> float:
    """Return how long all attempts of a run wait at most; some time must pass even where they do not."""
    retry = route.policy.retry
    waits = (min(retry.maximum, retry.initial * 2.0**done) for done in range(min(retry.attempts - 1, 1000)))
    return max(1.0, sum(waits))


def _gated(route: Route) -> bool:
    policy = route.policy
    return any((policy.window, policy.price, policy.not_before, policy.throttle))


def _span(seconds: int) -> str:
    units = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
    return next(f"{name}={seconds // unit}" for name, unit in units if seconds % unit == 0)

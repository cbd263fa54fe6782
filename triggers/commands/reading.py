"""What reading commands share: the open journal, what an ID names, and rows as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import apsw
import click

from triggers.commands.failures import NotFound
from triggers.commands.output import count, iso, note, plain
from triggers.commands.parameters import find_state, looked_at, written
from triggers.errors import StateError, TriggersError, WiringError, did_you_mean
from triggers.journal import views
from triggers.journal.schema import read_pragma
from triggers.journal.views import RunView
from triggers.lineage import EventRow
from triggers.state import SCHEMA_VERSION, StateFolder

if TYPE_CHECKING:  # who looks at a state folder needs nothing of AWS
    from triggers.aws.deployed import Deployed

LONG = 60
"""Characters of a field that is no text, beyond which it is cut where people read it."""
TICK = "Tick"
"""The type of what schedules fire; to load the class takes long."""
INTERRUPTED = "interrupted"
"""The state of a run whose process has ended, while nobody has started it again."""
OBJECT_CREATED = "ObjectCreated"
"""The type of what a run may cause without emitting it: it has written the object."""
BUILT_IN = ("MessageReceived", "Missing", "ObjectCreated", "ObjectDeleted", "RunFailed", TICK)
"""The types that every app knows; to load the classes takes long."""
SENDERS = ("send", "cli")
"""The sources of what is handed in by `send`, and of what operators ask."""
FIRST = 3
"""How many items of a long list are shown."""


@contextmanager
def reader(folder: str | None) -> Iterator[tuple[StateFolder, apsw.Connection]]:
    """Open the journal of the state folder that a command means. Raises `StateError` where it is too old to tell."""
    state = find_state(folder)
    with closing(views.open_reader(state)) as connection, understood(state, connection):
        yield state, connection


@contextmanager
def understood(state: StateFolder, connection: apsw.Connection) -> Iterator[None]:
    """Raise `StateError` where what is asked of a journal is not in it, since an older version has made it."""
    try:
        yield
    except apsw.SQLError as error:
        if (version := read_pragma(connection, "user_version")) == SCHEMA_VERSION:
            raise
        raise StateError(
            f"{state.journal} has schema version {version}, which does not tell that ({error});"
            f" {written('run')} brings it forward to version {SCHEMA_VERSION}"
        ) from error


@contextmanager
def looking(
    folder: str | None, aws: str | None, look: Callable[[Deployed], apsw.Connection]
) -> Iterator[tuple[StateFolder | Deployed, apsw.Connection]]:
    """Open the journal that a command means; of an app in AWS, what it wants to `look` at."""
    if aws is None:
        with reader(folder) as found:
            yield found
        return
    if folder is not None:
        raise click.UsageError("--state and --aws name different places; give one of them")
    from triggers.aws.deployed import Deployed

    deployed = Deployed(aws)
    with known(aws):
        looked = look(deployed)
    before = deployed.left_out()
    _warn(before)
    with closing(looked) as connection:
        yield deployed, connection
    _warn(line for line in deployed.left_out() if line not in before)  # what else was asked for


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        note(f"warning: {line}")


@contextmanager
def known(app: str) -> Iterator[None]:
    """Look at an app in AWS, or raise `NotFound` where no such app is deployed."""
    from triggers.aws.refusals import is_missing
    from triggers.aws.stack import Stack

    try:
        yield
    except WiringError as error:
        if not is_missing(error):
            raise
        said = None
        with suppress(TriggersError):  # who may not look at stacks is told of the table
            stack = Stack(app)
            said = None if stack.look() else stack.absence()
        if said is None:
            raise
        raise NotFound(said) from error


def living_epoch(place: StateFolder | Deployed, connection: apsw.Connection) -> int:
    """Return the epoch whose claims are at work: the journal's, or where nobody owns the folder, one that is to come.

    The journal is read first, so that an owner who comes in between is never taken for one that has gone.
    """
    epoch = views.epoch(connection)
    return epoch if place.holder() else epoch + 1


def find_run(connection: apsw.Connection, number: int) -> RunView:
    """Return a run, or raise `NotFound`."""
    for run in views.runs(connection, number=number):
        return run
    raise NotFound(f"no run r{number} in {looked_at()}; {written('runs')} lists them")


def find_event(connection: apsw.Connection, number: int) -> EventRow:
    """Return an event, or raise `NotFound`."""
    for event in views.events(connection, number=number):
        return event
    raise NotFound(f"no event e{number} in {looked_at()}; {written('events')} lists them")


def require_names(
    connection: apsw.Connection, *, route: str | None = None, kind: str | None = None, source: str | None = None
) -> None:
    """Raise `NotFound` for a name that neither the app as it last ran nor any row of the journal has."""
    if route is not None and not views.runs(connection, route=route, limit=1):
        _require("route", route, views.routes(connection))
    if kind is not None and not views.events(connection, type=kind, limit=1):
        routes = views.routes(connection).values()
        _require("event type", kind, {*BUILT_IN, *(name for one in routes for name in (*one.takes, *one.emits))})
    app = views.app(connection)
    if source is not None and app and not views.events(connection, source=source, limit=1):
        _require("source", source, {*app.sources, app.name, *SENDERS})


def _require(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise NotFound(f"no {what} {name!r} in {looked_at()}{did_you_mean(name, known)}")


def find(connection: apsw.Connection, id: str) -> EventRow | RunView:
    """Return what an ID names: `e12`, `r7`, or an event's full id."""
    if match := re.fullmatch(r"([erER])(\d{1,18})", id):
        number = int(match[2])
        return find_run(connection, number) if match[1] in "rR" else find_event(connection, number)
    numbers = views.numbers_of(connection, id)
    if len(numbers) > 1:
        raise click.UsageError(f"several events have the id {id!r}; say which: {', '.join(f'e{n}' for n in numbers)}")
    if not numbers:
        hint = f"; did you mean e{id} or r{id}?" if id.isdigit() else "; write e12 for an event, r7 for a run"
        if id in views.routes(connection):
            hint = f", which is a route; `triggers runs --route {id}` lists its runs"
        raise NotFound(f"nothing has the ID {id!r} in {looked_at()}{hint}")
    return find_event(connection, numbers[0])


def event_json(event: EventRow, duplicates: Mapping[int, int]) -> dict[str, object]:
    """Return an event as `--json` shows it. `duplicates` are those that were dropped, by the events' numbers."""
    return {
        "event": f"e{event.number}",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "version": event.version,
        "subject": event.subject,
        "time": iso(event.time),
        "recorded": iso(event.recorded),
        "cause": None if event.cause is None else f"r{event.cause}",
        "root": f"e{event.root}",
        "depth": event.depth,
        "duplicates": duplicates.get(event.number, 0),
        "data": json.loads(event.data),
    }


def run_json(run: RunView, epoch: int) -> dict[str, object]:
    """Return a run as `--json` shows it."""
    return {
        "run": f"r{run.number}",
        "route": run.route,
        "event": f"e{run.event}",
        "state": state_of(run, epoch),
        "attempt": run.attempt,
        "priority": run.priority,
        "started": iso(started(run)),
        "ended": iso(run.ended),
        "seconds": duration(run),
        "due": iso(run.due_time),
        "error": run.error,
    }


def started(run: RunView) -> float | None:
    """Return when the last attempt of a run started, or None where none counts: it was given back, or put off."""
    return run.started if run.attempt else None


def duration(run: RunView) -> float | None:
    """Return how long a run's last attempt took, in seconds, where it has ended."""
    return None if run.started is None or run.ended is None else round(max(0.0, run.ended - run.started), 6)


def untried(run: RunView) -> bool:
    """Say whether a delayed run has never started, as `not_before=` holds it; one that `Later` put off has."""
    return run.due_time is not None and run.started is None


def state_of(run: RunView, epoch: int) -> str:
    """Return a run's state; one whose process is gone is `interrupted`. `epoch` is the living one."""
    return INTERRUPTED if run.state == "running" and run.epoch < epoch else run.state


def twice(event: EventRow, duplicates: Mapping[int, int]) -> str:
    """Return `(2 duplicates dropped) ` where some were, for the front of what an event is about."""
    many = duplicates.get(event.number, 0)
    return f"({count(many, 'duplicate')} dropped) " if many else ""


def digest(event: EventRow) -> str:
    """Return what an event is about, in a few words: its subject, or its first fields."""
    if event.type == TICK and event.subject:
        tick = json.loads(event.data)
        return f"{event.subject} {tick['due']}{' (backfill)' if tick.get('backfill') else ''}"
    if event.subject:
        return event.subject
    return " ".join(f"{key}={_brief(value)}" for key, value in json.loads(event.data).items())


def _brief(value: object) -> str:
    """Return a field's value; of a long list its first items, and how many more there are."""
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= LONG:
        return text
    if not isinstance(value, list):
        return plain(text, LONG)
    first = ", ".join(plain(json.dumps(item, ensure_ascii=False), LONG // 2) for item in value[:FIRST])
    return f"[{first}, and {len(value) - FIRST:,} more]" if len(value) > FIRST else f"[{first}]"

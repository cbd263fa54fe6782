"""`triggers send`: events handed in by hand or by a script."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping

import click
from pydantic_core import to_json

from triggers.app import App, default_state
from triggers.cloudevents import to_text
from triggers.commands.loading import load_app
from triggers.commands.output import count, note, say, say_json
from triggers.commands.parameters import HOME, find_state, json_option, state_option
from triggers.errors import EventError, did_you_mean
from triggers.events import (
    Event,
    MessageReceived,
    ObjectCreated,
    ObjectDeleted,
    check_payload,
    encode,
    new_id,
    parse,
    read_json,
)
from triggers.requests import REQUESTS
from triggers.sources.inbox import write
from triggers.state import StateFolder

SOURCE = "send"


@click.command()
@click.argument("kind", metavar="TYPE")
@click.argument("data", metavar="[JSON|-]", default="{}")
@click.option("--app", "target", metavar="MODULE[:APP]", help="Check the events by this app's types before.")
@state_option
@click.option(
    "--version", type=click.IntRange(min=1), metavar="N", help="The version of TYPE, without --app. [default: 1]"
)
@click.option("--id", "identity", metavar="ID", help="The event's identity: a second one with it is dropped.")
@click.option("--subject", help="What the event is about.")
@json_option
def send(
    kind: str,
    data: str,
    target: str | None,
    folder: str | None,
    version: int | None,
    identity: str | None,
    subject: str | None,
    as_json: bool,
) -> None:
    """Hand in an event of a TYPE with a JSON object as its data, or with - one for each line of stdin.

    The events are durable when it returns, whether or not the app runs, and their ids are printed. With --app they are
    checked first: unknown types and fields are refused. Nothing is handed in where one of them is not valid.
    """
    if target and version:
        raise click.UsageError("--app knows the version of its types; leave --version out")
    app = load_app(target) if target else None
    state = _state(app, folder)
    model = _model(app, kind) if app else None
    if kind in REQUESTS:
        raise EventError(f"{kind} is a request; use `triggers dead redrive`, `dead drop`, `retry` or `replay`")
    payloads = list(_payloads(kind, model, data))
    if identity is not None and len(payloads) != 1:
        raise click.UsageError(f"--id names one event, not {len(payloads)}; send them one by one")
    ids = [new_id() if identity is None else identity for _ in payloads]
    meant = model.__event_version__ if model else version or 1
    now = time.time()
    lines = [to_text(id, SOURCE, kind, meant, subject, now, text) for id, text in zip(ids, payloads, strict=True)]
    if lines:
        write(state.create().inbox, lines)
    running = bool(lines) and state.holder() is not None
    if as_json:
        say_json({"ids": ids, "state": str(state.path), "running": running})
        return
    for id in ids:
        say(id)
    if not ids:
        note("nothing was handed in: no line of stdin holds an event")
        return
    guess = "" if model or version else f" as version 1 of {kind} (--version or --app says which)"
    them = "it" if len(ids) == 1 else "them"
    waits = "" if running else f"; no dispatcher is running there, `triggers run` will take {them} in"
    note(f"handed in {count(len(ids), 'event')} to {state.path}{guess}{waits}")


def _state(app: App | None, folder: str | None) -> StateFolder:
    """Return the state folder to hand the events to; it need not have a journal yet."""
    if named := folder or os.environ.get("TRIGGERS_STATE"):
        return StateFolder(named)
    if app:
        return StateFolder(default_state(app.name))
    if not HOME.is_dir():
        raise click.UsageError("which app is it for? name it with --app MODULE[:APP], or its state folder with --state")
    return find_state(None)


def _model(app: App, kind: str) -> type[Event]:
    """Return the app's event type of that name."""
    known: dict[str, type[Event]] = {
        ObjectCreated.__event_type__: ObjectCreated,
        ObjectDeleted.__event_type__: ObjectDeleted,
        MessageReceived.__event_type__: MessageReceived,
    }
    known.update(app.event_types())
    if kind not in known:
        raise EventError(f"app {app.name!r} has no event type {kind!r}{did_you_mean(kind, known)}")
    return known[kind]


def _payloads(kind: str, model: type[Event] | None, data: str) -> Iterator[str]:
    """Yield the checked payloads as JSON text; an error names the line of stdin."""
    if data != "-":
        yield _payload(kind, model, os.fsencode(data))
        return
    for number, text in enumerate(sys.stdin.buffer, 1):
        if not text.isspace():
            try:
                yield _payload(kind, model, text)
            except EventError as error:
                raise EventError(f"line {number}: {error}; nothing was handed in") from error


def _payload(kind: str, model: type[Event] | None, text: bytes) -> str:
    found = read_json(f"{kind}: the data", text)
    if not isinstance(found, Mapping):
        raise EventError(f'{kind}: the data must be a JSON object like {{"table": "a"}}, not {str(found)[:40]!r}')
    if model:
        return encode(parse(model, found))
    payload = to_json(found, inf_nan_mode="constants").decode()
    check_payload(kind, payload)
    return payload

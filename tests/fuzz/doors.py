"""The doors by which text from outside comes in: each takes bytes, and refuses what it does not like by an own error.

`knock` is what every fuzzer calls: it holds that a door does nothing but take or refuse, in words that fit on a screen,
in little time. What a door lets in is used as the app uses it later, so that nothing comes in that fails there.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from triggers import App, Bucket, Event, MessageReceived, ObjectCreated, Queue
from triggers.aws import lineages, messages, notifications, wire
from triggers.aws.arrivals import Arrivals
from triggers.clock import SystemClock
from triggers.errors import TriggersError
from triggers.events import decode, moment
from triggers.lineage import EventRow
from triggers.patterns import Index, compile
from triggers.requests import REQUESTS
from triggers.routing import Router
from triggers.schedule import Window, cron, series
from triggers.simulate.logs import read_swf
from triggers.sources import Delivery, inbox
from triggers.sources.notices import Notices

SECONDS = 0.5
"""How long a door may take over a few kilobytes, on a busy machine. It is some milliseconds on an idle one."""
LONGEST = 2000
"""Characters of a refusal at most: it is logged, kept and shown."""
NOW = 1_767_225_600.0

Door = Callable[[bytes], object]


class Retrain(Event):
    """What the doors of typed events take."""

    model: str
    rows: int = 0


def _app() -> App:
    app = App("churn", sources=[Bucket("s3://acme/raw", name="raw"), Queue("orders", name="orders")])

    @app.on(Retrain)
    def retrain(event: Retrain) -> None: ...

    @app.on(MessageReceived)
    def take(event: MessageReceived) -> None: ...

    @app.on(ObjectCreated)
    def process(event: ObjectCreated) -> None: ...

    return app


APP = _app()
ROUTER = Router(APP.routes.values())
ARRIVALS = Arrivals(APP, ROUTER)
KNOWN = frozenset({"Retrain", "MessageReceived"})
SAMPLE = {"model": "churn", "rows": 12, "tags": ["a", {"b": None}], "at": "10.0.0.7", "deep": {"er": [1.5, True]}}


def _used(*found: Delivery | EventRow) -> None:
    """Use what came in as the engine does."""
    for one in found:
        moment(one.time)
        json.loads(one.data)
        "".join((one.type, one.source, one.id, one.subject or "")).encode()


def cloudevent(data: bytes) -> object:
    """One event, as queues and other programs send it; what comes in goes out again as the same."""
    event = wire.read(data, NOW)
    _used(event)
    assert wire.read(wire.write(event).encode(), NOW) == event
    return event


def batch(data: bytes) -> object:
    """A file in the inbox."""
    found = list(inbox.parse(data, NOW))
    _used(*found)
    return found


def payload(data: bytes) -> object:
    """The payload of a typed event."""
    return decode(Retrain, data.decode("utf-8", "replace"), 1)


def request(data: bytes) -> object:
    """What an operator asks, the number of the request first."""
    kinds = [*REQUESTS.values()]
    return decode(kinds[(data[:1] or b"\0")[0] % len(kinds)], data[1:].decode("utf-8", "replace"), 1)


def pattern(data: bytes) -> object:
    """An EventBridge pattern; what is one gives a verdict, alone and in an index, and says why not."""
    wanted, index = compile(data), Index()
    index.add("it", wanted)
    verdict = wanted.matches(SAMPLE)
    assert (index.match(SAMPLE) == {"it"}) == verdict
    assert (wanted.explain(SAMPLE) is None) == verdict
    assert compile(str(wanted)) == wanted
    return verdict


def event_of_pattern(data: bytes) -> object:
    """An event that a pattern is asked about, as text."""
    wanted = compile({"model": [{"wildcard": "c*n"}], "rows": [{"numeric": [">", 0]}], "at": [{"cidr": "10.0.0.0/8"}]})
    index = Index()
    index.add("it", wanted)
    verdict = wanted.matches(data)
    assert (index.match(data) == {"it"}) == verdict
    return verdict


def crontab(data: bytes) -> object:
    """A cron text."""
    schedule = cron(data.decode("utf-8", "replace"))
    return schedule.next(NOW), schedule.latest(NOW - 86_400, NOW)


def window(data: bytes) -> object:
    """The hours of a window."""
    found = Window(data.decode("utf-8", "replace"))
    return found.next(NOW), found.contains(NOW), Window(str(found)) == found


def prices(data: bytes) -> object:
    """A price list."""
    text = io.StringIO(data.decode("utf-8", "replace"), newline="")
    found = series.read("prices.csv", text, "Europe/Berlin")
    return found.cost(found.start, found.end - found.start)


def log(data: bytes) -> object:
    """A log in the Standard Workload Format: plain, as gzip, as zip, by its first byte."""
    with TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder) / ("log.swf", "log.swf.gz", "log.zip")[(data[:1] or b"\0")[0] % 3]
        path.write_bytes(data[1:])
        found = read_swf(path)
    assert all(0 < job.seconds < float("inf") and job.needs["cpu"] > 0 for job in found.jobs)
    assert all(abs(job.arrival) < float("inf") for job in found.jobs)
    return found.machine


def object_notice(data: bytes) -> object:
    """What S3 says of objects, in any envelope."""
    body = messages.as_json(data.decode("utf-8", "replace"))
    told = notifications.told(body)
    for notice in told.notices if told else ():
        if notice.kind == "created":
            _used(notifications.creation(notice, "raw", notice.key))
        else:
            _used(notifications.deletion(notice, "raw", notice.key, "v"))
    return told


def message(data: bytes) -> object:
    """A message of a queue, for a dispatcher and for a function."""
    raw = {"messageId": "m", "body": data.decode("utf-8", "replace"), "attributes": {"SentTimestamp": "1767225600000"}}
    read = messages.read(raw)
    _used(
        messages.delivery_of(read, "orders", NOW, KNOWN, {"raw", "timer"}),
        messages.event_of(read, "orders", NOW, KNOWN),
    )
    return read


def invocation(data: bytes) -> object:
    """What a function is invoked with."""
    found = list(ARRIVALS.read(messages.as_json(data.decode("utf-8", "replace")), NOW))
    for arrival in found:
        _used(*arrival.events)
        _check_words(arrival.rejection or "said")
        for event in arrival.events:
            ARRIVALS.routes(arrival, event)
    return found


def metadata(data: bytes) -> object:
    """The metadata of an object, a line for each: `NAME VALUE`."""
    lines = (line.partition(" ") for line in data.decode("utf-8", "replace").splitlines())
    return lineages.read({f"{lineages.MARK}{name}": value for name, _, value in lines})


def file_name(data: bytes) -> object:
    """The name of a file in a watched folder."""
    parts = data.replace(b"\0", b"").split(b"/")
    key = b"/".join(part for part in parts if part not in (b"", b".", b"..")) or b"x"
    status = os.stat(__file__)
    told = Notices("in", b"/data/in", SystemClock())
    delivery = told.created(key, b"@disk", None, status, {})
    _used(delivery, told.deleted(key, b"@disk", b"1-2-3@disk"))
    event = decode(ObjectCreated, delivery.data, 1)
    assert isinstance(event, ObjectCreated)
    assert os.fsencode(event._local()) == b"/data/in/" + key
    return event


DOORS: dict[str, Door] = {
    door.__name__: door
    for door in (cloudevent, batch, payload, request, pattern, event_of_pattern, crontab, window, prices, log)
} | {door.__name__: door for door in (object_notice, message, invocation, metadata, file_name)}

DECLARED = {pattern, crontab, window}
"""What the app's author writes: its refusals are his own text, however long."""


def knock(door: Door, data: bytes) -> str | None:
    """Hand bytes in; return why they are refused, None where they are taken. Whatever else happens is an error."""
    began = time.process_time()
    try:
        door(data)
        words = None
    except TriggersError as error:
        words = str(error)
        _check_words(words, inf if door in DECLARED else LONGEST)
    assert (took := time.process_time() - began) < SECONDS, f"{door.__name__} took {took:.1f} s"
    return words


def _check_words(words: str, longest: float = LONGEST) -> None:
    assert words, "it does not say why"
    assert len(words) <= longest, f"{len(words):,} characters: {words[:300]}"
    words.encode()

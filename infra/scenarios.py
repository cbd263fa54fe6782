"""The scenarios by which the places where an app can run are compared: `make parity`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from triggers import (
    App,
    Context,
    Event,
    Folder,
    Later,
    MessageReceived,
    ObjectCreated,
    Queue,
    Retry,
    RunFailed,
    Tick,
    at,
    suffix,
)
from triggers.events import MAX_BYTES
from triggers.parity import ENVELOPES, Message, Put, Scenario, Send

QUICK = Retry(on=OSError, attempts=3, initial=0, jitter=False)


class Processed(Event):
    """A table is ready."""

    table: str


class Trained(Event):
    """A model is ready."""

    model: str


class Part(Event):
    """A part of something."""

    number: int


class Text(Event):
    """What somebody has to say."""

    text: str


# --- chain: a file, and three steps ---------------------------------------------------------------

_chain = App("chain", sources=[Folder("incoming", name="incoming")], outputs=[Folder("models", name="models")])


@_chain.on(ObjectCreated, where={"key": suffix(".csv")}, source="incoming")
def process(event: ObjectCreated) -> Processed:
    """Read what arrived."""
    with event.open() as file:
        return Processed(table=file.read().decode())


@_chain.on(Processed, writes={"models"})
def train(event: Processed, ctx: Context) -> Trained:
    """Write a model."""
    with ctx.place("models").output(f"{event.table}.bin") as file:
        file.write(event.table.encode())
    return Trained(model=event.table)


@_chain.on(Trained, where={"model": ["one"]})
async def deploy(event: Trained) -> None:
    """Take one of the models only."""


chain = Scenario(
    _chain, [Put("incoming", "a.csv", b"one"), Put("incoming", "b/ c+ü.csv", b"two"), Put("incoming", "x.txt", b"-")]
)

# --- S3 in its envelopes ------------------------------------------------------------------------------

envelopes = Scenario(_chain, [Put("incoming", f"{way}/ c+ü.csv", way.encode(), way) for way in ENVELOPES])

again = Scenario(
    _chain,
    [
        Put("incoming", "a.csv", b"one", "s3-sqs"),
        Put("incoming", "a.csv", b"one", "s3-sqs"),
        Put("incoming", "a.csv", b"one", "sns"),
        Put("incoming", "a.csv", b"two", "eventbridge"),
        Put("incoming", "a.csv", b"one", "eventbridge-sqs"),
    ],
)

# --- fan-out: one event, many -----------------------------------------------------------------------

_fan = App("fan-out")


@_fan.on(Processed)
def split(event: Processed) -> list[Part]:
    """Emit more than one call of PutEvents takes."""
    return [Part(number=number) for number in range(25)]


@_fan.on(Part, where={"number": [{"numeric": [">=", 20]}]})
def take(event: Part, ctx: Context) -> Trained:
    """Take a few of them."""
    return Trained(model=f"{event.number} of depth {ctx.envelope.depth}")


fan_out = Scenario(_fan, [Send(Processed(table="t"), id="1")])

# --- retry, and dead letters ------------------------------------------------------------------------

_retry = App("retry", retry=QUICK)


@_retry.on(Processed)
def flaky(event: Processed, ctx: Context) -> Trained:
    """Succeed at the third attempt, or never."""
    if event.table == "never" or ctx.attempt < 3:
        raise OSError(f"attempt {ctx.attempt} of {event.table}")
    return Trained(model=event.table)


@_retry.on(RunFailed)
def tell(event: RunFailed) -> Text:
    """Take the news of a failure."""
    return Text(text=f"{event.route} failed with {event.error}: {event.message} after {event.attempts}")


retry = Scenario(_retry, [Send(Processed(table="thrice"), id="1")])
dead_letter = Scenario(_retry, [Send(Processed(table="never"), id="1")])

# --- Later ------------------------------------------------------------------------------------------

_later = App("later", retry=QUICK)
_waited: set[str] = set()


@_later.on(Processed)
def patient(event: Processed, ctx: Context) -> Trained:
    """Ask for more time once."""
    if ctx.effect_key not in _waited:
        _waited.add(ctx.effect_key)
        raise Later(seconds=1)
    return Trained(model=f"{event.table} in attempt {ctx.attempt}")


later = Scenario(_later, [Send(Processed(table="t"), id="1")])

# --- duplicates -------------------------------------------------------------------------------------

duplicate = Scenario(
    _fan, [Send(Processed(table="t"), id="1"), Send(Processed(table="t"), id="1"), Send(Processed(table="u"), id="2")]
)

# --- order, and queues with a message that is poison ----------------------------------------------------

_orders = App("orders", sources=[Queue("orders.fifo")], retry=QUICK)


@_orders.on(MessageReceived, source="orders")
def order(event: MessageReceived) -> Text:
    """Say what came."""
    return Text(text=f"{event.body} of {event.attributes['AWS.MessageGroupId']}")


fifo = Scenario(_orders, [Message("orders", f"{n}", group="ab"[n % 2]) for n in range(6)])

_serial = App("serial", retry=Retry(on=OSError, attempts=3, initial=0.5, maximum=0.5, jitter=False))


@_serial.on(Processed)
def parts(event: Processed) -> list[Part]:
    """Emit more than one batch."""
    return [Part(number=number) for number in range(15)]


@_serial.on(Part, overlap="queue")
def follow(event: Part, ctx: Context) -> None:
    """Fail twice on some: none after them goes before them, though they are hidden for a while."""
    if event.number in (0, 7) and ctx.attempt < 3:
        raise OSError(f"attempt {ctx.attempt} of {event.number}")


order_with_retries = Scenario(_serial, [Send(Processed(table="t"), id="1")])

_mixed = App("mixed", sources=[Queue("mixed")], retry=QUICK)


@_mixed.on(Processed)
def typed(event: Processed) -> Trained:
    """Take the typed ones, but for one."""
    if event.table == "bad":
        raise ValueError("this table is bad")
    return Trained(model=event.table)


@_mixed.on(MessageReceived, source="mixed")
def plain(event: MessageReceived, ctx: Context) -> Text:
    """Take the plain ones, some at the third attempt; it is given what the first one was, receipts included."""
    if "flaky" in event.body and ctx.attempt < 3:
        raise OSError(f"attempt {ctx.attempt} of {event.body}")
    return Text(text=f"{event.body}, {event.attributes['AWS.ApproximateReceiveCount']}")


def _typed(id: str, table: str) -> str:
    data = {"table": table}
    return json.dumps({"specversion": "1.0", "id": id, "source": "shell", "type": "Processed", "data": data})


poison = Scenario(
    _mixed,
    [
        Message("mixed", _typed("1", "good")),
        Message("mixed", _typed("2", "bad")),
        Message("mixed", '{"specversion": "1.0", "id": "3", "type": "Processed"}'),
        Message("mixed", "plain text", attributes={"from": "a person"}),
        Message("mixed", "flaky text"),
        Message("mixed", 'copy it to "s3"'),
        Message("mixed", '{"source": "aws.s3", "to": "s3"}'),
        Message("mixed", _typed("4", "fine")),
    ],
)

# --- what a queue brings that handlers emit, too --------------------------------------------------------

_both = App("both", sources=[Queue("both")], retry=QUICK)


@_both.on(MessageReceived, source="both")
def word(event: MessageReceived) -> Processed:
    """Emit what others send."""
    return Processed(table=event.body)


@_both.on(Processed, where={"table": ["one"]}, concurrency=1)
def count(event: Processed, ctx: Context) -> Text:
    """Take one of them, by a queue that is ordered."""
    return Text(text=f"{event.table} of depth {ctx.envelope.depth}")


@_both.on(Processed)
def any_of_them(event: Processed) -> Trained:
    """Take it wherever it is from."""
    return Trained(model=event.table)


@_both.on(RunFailed)
def failed(event: RunFailed) -> Text:
    """Take the news of a failure, whoever tells it."""
    return Text(text=f"{event.route} failed")


_news = {
    **{"run": "r1", "route": "elsewhere", "event_id": "1", "event_type": "Text"},
    **{"error": "OSError", "message": "no", "attempts": 1},
}

handed_on = Scenario(
    _both,
    [
        Message("both", "a word"),
        Message("both", _typed("1", "one")),
        Message("both", _typed("2", "two").replace("shell", "both/word")),
        Message("both", _typed("3", "three").replace("table", "tabel")),
        Message("both", _typed("4", "four").replace("Processed", "Trained")),
        Message(
            "both", json.dumps({"specversion": "1.0", "id": "5", "source": "me", "type": "RunFailed", "data": _news})
        ),
        Message("both", _typed("6", "six").replace("Processed", "Procesed")),
    ],
)

# --- a timer ----------------------------------------------------------------------------------------

_timer = App("timer")


@_timer.on(at("2099-12-31T23:59:59", timezone="Europe/Berlin"))
def ring(event: Tick) -> Text:
    """Fire once."""
    return Text(text=f"{event.schedule} {event.missed} {event.backfill}")


timer = Scenario(_timer, [], lasts=8, begins=datetime(2099, 12, 31, 22, 59, 54, tzinfo=UTC))

# --- what is too large ------------------------------------------------------------------------------

_large = App("large", retry=QUICK)


@_large.on(Processed)
def inflate(event: Processed) -> Text:
    """Return more than an event can carry."""
    return Text(text="x" * MAX_BYTES)


over_size = Scenario(_large, [Send(Processed(table="t"), id="1")])

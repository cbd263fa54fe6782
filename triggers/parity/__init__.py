"""Parity: one scenario carried out wherever an app can run, and the trees of events that come of it compared.

::

    from triggers.parity import Put, Scenario, Send

    chain = Scenario(app, [Put("incoming", "a.csv", b"1,2"), Send(Retrain(model="m"), id="1")])

`triggers parity MODULE:chain` carries it out by a dispatcher on folders, by a dispatcher that polls an emulated AWS,
and by the app's Lambda functions there. What differs by nature is erased before they are compared: ids, moments, and
where places are. Everything else must be the same: which runs there were, in how many attempts, what became of them
and why, what each emitted, and every payload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from triggers.app import App
from triggers.errors import WiringError, did_you_mean
from triggers.events import Event

ENVELOPES = ("s3", "s3-sqs", "sns", "sns-sqs", "eventbridge", "eventbridge-sqs")
"""The ways by which S3 tells of an object: who hands the notice on, and `-sqs` where a queue holds it."""


@dataclass(frozen=True, slots=True)
class Put:
    """An object comes to be in a place: a file in its folder, an object below its prefix.

    S3 tells of it as the template has it, or with an `envelope` in that one of the `ENVELOPES` alone. What polls a
    queue is given the envelope's form for queues. Raises `WiringError` for an envelope that there is not.
    """

    place: str
    key: str
    content: bytes
    envelope: str | None = None

    def __post_init__(self) -> None:
        if self.envelope is not None and self.envelope not in ENVELOPES:
            hint = did_you_mean(self.envelope, ENVELOPES)
            raise WiringError(f"envelope={self.envelope!r} is none of {', '.join(ENVELOPES)}{hint}")


@dataclass(frozen=True, slots=True)
class Send:
    """Somebody hands an event in, under an identity of its own: the same one again is a duplicate."""

    event: Event
    id: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message comes to a queue that is a source. Those of one `group` keep their order, in a FIFO queue.

    Where nothing is of AWS, the queue's reading of it is handed in by hand.
    """

    queue: str
    body: str
    group: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


Step = Put | Send | Message


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to an app, step by step: each is taken when nothing is left to do of those before it, but messages
    that follow one another come at once, ten at most.

    `lasts` are the seconds after the last step in which something is still to come by itself, as of a schedule.
    `begins` is the moment that the clock of schedules shows at the start, wherever the app runs; the present, if not
    given.
    """

    app: App
    steps: Sequence[Step]
    lasts: float = 0.0
    begins: datetime | None = None


__all__ = ["ENVELOPES", "Message", "Put", "Scenario", "Send", "Step"]

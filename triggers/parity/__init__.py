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

from triggers.app import App
from triggers.events import Event


@dataclass(frozen=True, slots=True)
class Put:
    """An object comes to be in a place: a file in its folder, an object below its prefix."""

    place: str
    key: str
    content: bytes


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
    """What happens to an app. `lasts` are the seconds after the last step in which something is still to come by
    itself, as of a schedule."""

    app: App
    steps: Sequence[Step]
    lasts: float = 0.0


__all__ = ["Message", "Put", "Scenario", "Send", "Step"]

"""Everything that can go wrong, as one tree.

TriggersError
├── WiringError         a route, handler or graph that cannot work; most of it is found before anything runs
│   ├── PatternError    a `where=` pattern that is not valid, with its path
│   └── ScheduleError   a cron text, interval or instant that is not valid
├── EventError          an event that cannot be accepted: too large, too deep, NaN, a secret, invalid
├── StateError          a state folder that is not ours, is newer than this code, or cannot be used
│   └── StateHeld       another dispatcher owns the state folder
├── Conflict            an object in a place is no longer what was seen: somebody else replaced it first
├── HandlerError        what a handler did wrong: an exit, a death, a time-out
│   └── MemoryExceeded  an isolated handler died of memory: it had more than its run may have, or there was no more
├── BatchFailure        raised by a handler of a batch: some of its events failed, the others are done
├── Reject              raised by a handler: never retry, straight to the dead letters
└── Later               raised by a handler: put the run back, no attempt used

Every message says what happened, with the value, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

SHOWN = 80
"""Characters of a value from outside that an error shows."""


class TriggersError(Exception):
    """The root of all errors that `triggers` raises."""


class WiringError(TriggersError):
    """A route, handler or graph that cannot work. Found at registration, by `triggers check`, or when a handler returns
    what its annotation does not name; a run that meets one is never retried.
    """


class PatternError(WiringError):
    """A `where=` pattern that is not valid. `path` names the place, as in `detail.size[0].numeric`."""

    def __init__(self, path: str, reason: str) -> None:
        place = path.encode(errors="backslashreplace").decode()  # a \\u escape in a name may be half of a character
        super().__init__(f"{place or 'pattern'}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[PatternError], tuple[str, str]]:
        return PatternError, (self.path, self.reason)


class ScheduleError(WiringError):
    """A cron text, an interval or an instant that is not valid."""


class EventError(TriggersError):
    """An event that cannot be accepted: too large, too deep, `NaN`, a secret, or not valid for its type."""


class StateError(TriggersError):
    """A state folder that is not ours, is newer than this code, or cannot be used."""


class StateHeld(StateError):
    """Another dispatcher owns the state folder; the message names the process."""


class Conflict(TriggersError):
    """An object in a place is not what the writer had seen: somebody else replaced it first. Look again."""


class HandlerError(TriggersError):
    """What a handler did wrong: exited, died, or ran out of time.

    `lost` marks an attempt that ended from outside (time-out, death of the process); it is retried whatever `retry=`
    names. An error from another process has the names of its classes in `kinds`, and (name, message, traceback) in
    `original`.
    """

    def __init__(
        self,
        message: str,
        *,
        lost: bool = False,
        kinds: tuple[str, ...] = (),
        original: tuple[str, str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.lost = lost
        self.kinds = kinds
        self.original = original


class MemoryExceeded(HandlerError):
    """An isolated handler died of memory: it had more than its run may have, or the machine had no more."""


class BatchFailure(TriggersError):
    """Raise in a handler of a batch to say which of its events failed; the others are done.

    `items` maps each of them, by its place in the list or as the event itself, to the reason: text, or an error. Each
    is then tried by itself, as a batch of one. Any other error fails the whole batch.
    """

    def __init__(self, items: Mapping[object, object]) -> None:
        if not items:
            raise ValueError("BatchFailure names the events that failed, as in BatchFailure({3: 'no such customer'})")
        self.items = dict(items)
        first = next(iter(self.items.values()))
        super().__init__(f"{len(self.items)} of the batch failed, the first with: {first}")


class Reject(TriggersError):
    """Raise in a handler to say that no retry can help: the run goes to the dead letters at once."""


class Later(TriggersError):
    """Raise in a handler to put the run back for a while. It uses no attempt.

    The delay is the sum of the arguments and must be positive: `raise Later(minutes=10)`.
    """

    delay = 60.0
    """Seconds; this many where a subclass does not say."""

    def __init__(
        self, reason: str = "", *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        delay = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        if delay <= timedelta(0):
            raise ValueError(f"Later needs a positive delay, not {delay}; write e.g. Later(minutes=10)")
        super().__init__(reason or f"put back for {delay}")
        self.delay = delay.total_seconds()


def shown(value: object) -> str:
    """Return a value as errors show it: what `repr` says, in 80 characters at most. Who sent it may have sent much."""
    from reprlib import repr as short  # only ever needed on the way to an error

    text = repr(value[:SHOWN]) if isinstance(value, str) else short(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'train'?"` for a near miss, or the known names, or nothing."""
    from difflib import get_close_matches  # only ever needed on the way to an error

    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""

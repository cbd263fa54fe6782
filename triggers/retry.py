"""Retries: from (error, attempt) to a decision, as a value.

The arithmetic is tenacity's: its waits and stops are asked, its loop is not used, because a durable run is not a
function that can be called again. The jitter is the "full jitter" of the AWS Architecture Blog's "Exponential Backoff
and Jitter", drawn from a seed, so that a simulation or a second look at the journal comes to the same decision.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from triggers.errors import EventError, HandlerError, Reject, WiringError
from triggers.quantities import is_whole
from triggers.spans import Span, seconds

_HOPELESS = (Reject, EventError, WiringError)
"""No attempt at the same event by the same code can end otherwise."""

_NEVER = {f"{kind.__module__}.{kind.__qualname__}" for kind in _HOPELESS}

Kinds = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """When a failed run is tried again, and when it is given up. `WiringError` if a value makes no sense.

    - `on`: the errors that a new attempt may cure, one type or several. `Reject`, `EventError` and `WiringError` are
      never among them.
    - `attempts`: starts in all, so 1 means no retry. A start whose process died counts.
    - `initial`, `maximum`: spans. The wait after the n-th attempt is at most `initial * 2**(n - 1)`, and `maximum`.
    - `jitter`: wait a random part of that, evenly from 0 on, so that failures of one cause do not come back as one.
    - `within`: a span. No attempt starts this long after the first start, or later.
    """

    on: Kinds
    attempts: int
    initial: float
    maximum: float
    jitter: bool
    within: float | None

    def __init__(
        self,
        on: Kinds = Exception,
        attempts: int = 3,
        initial: Span = 1.0,
        maximum: Span = 60.0,
        jitter: bool = True,
        within: Span | None = None,
    ) -> None:
        _check_kinds(on)
        if not is_whole(attempts) or attempts < 1:
            raise WiringError(
                f"Retry(attempts={attempts!r}): counts the first start too; write 1 for no retry, or more"
            )
        first, most = seconds("Retry", "initial", initial, zero=True), seconds("Retry", "maximum", maximum, zero=True)
        if first > most:
            raise WiringError(f"Retry(maximum={maximum!r}): write a longest wait of at least initial={initial!r}")
        last = None if within is None else seconds("Retry", "within", within)
        times = {"initial": first, "maximum": most, "within": last}
        for name, value in {"on": on, "attempts": attempts, "jitter": jitter, **times}.items():
            object.__setattr__(self, name, value)

    def decide(self, error: BaseException, attempt: int, *, seed: str) -> float | None:
        """Return the seconds until the next attempt, or None to give up.

        `attempt` is the number of the one that failed, from 1. `seed` names the run; the same arguments always give the
        same answer. Whether that attempt would come too late is for `starts` to say.
        An isolated handler's error comes as a `HandlerError` that carries `kinds`, see `kinds_of`.
        """
        if not self.cures(error):
            return None
        from tenacity import RetryCallState, Retrying, stop_after_attempt, wait_exponential

        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = attempt
        wait = wait_exponential(multiplier=self.initial, max=self.maximum, exp_base=2)(state)
        if self.jitter:
            wait = random.Random(f"{seed}:{attempt}").uniform(0, wait)  # noqa: S311  # spreads load, keeps no secret
        return None if stop_after_attempt(self.attempts)(state) else wait

    def cures(self, error: BaseException) -> bool:
        """Say whether the error is one that a new attempt may cure."""
        return _matches(error, _as_tuple(self.on))

    def starts(self, elapsed: float) -> bool:
        """Say whether an attempt may start so many seconds after the first one did."""
        return self.within is None or elapsed < self.within


def _check_kinds(on: Kinds) -> None:
    kinds = _as_tuple(on)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise WiringError(f"Retry(on={on!r}): not an exception type; write e.g. on=(OSError, TimeoutError)")


def kinds_of(error: BaseException) -> tuple[str, ...]:
    """Return the qualified names of an error's classes, as in `builtins.OSError`: what can cross a process border.

    An isolated handler's worker sends them, and they become the `kinds` of the `HandlerError` that stands for it.
    """
    return tuple(_name(kind) for kind in type(error).__mro__)


def _matches(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    names = getattr(error, "kinds", ()) if isinstance(error, HandlerError) else ()
    if names:
        return not _NEVER.intersection(names) and any(_name(kind) in names for kind in kinds)
    return isinstance(error, kinds) and not isinstance(error, _HOPELESS)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _as_tuple(on: Kinds) -> tuple[type[BaseException], ...]:
    return on if isinstance(on, tuple) else (on,)


__all__ = ["Retry", "kinds_of"]

"""The circuit of a downstream: closed while it answers, open while it is down, half open to see whether it is back."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from math import inf

from triggers.downstream import Breaker
from triggers.scheduling.gates import Closed
from triggers.scheduling.terms import Terms

KEPT = 1000
"""As many of the last attempts are looked at, however many there were in the time."""


class Circuit:
    """The turnstile of the routes of a downstream. Moments are Unix seconds.

    It begins closed, also after a restart: whoever starts an app again wants it to try. What is down is known again
    after a few failures.

    A trial that does not end is a failure, too: after a pause another run is let through. So neither a trial that hangs
    nor what hangs since before it opened keeps it from finding out that all is well.
    """

    by_run = False

    def __init__(self, name: str, breaker: Breaker) -> None:
        self.name = name
        self._breaker = breaker
        self._ended: deque[tuple[float, bool]] = deque(maxlen=KEPT)
        """When each of the last attempts ended, and whether it failed."""
        self._until: float | None = None
        """When it is tried again; None while the circuit is closed."""
        self._pause = breaker.pause
        self._why = ""
        self._trying: int | None = None
        """The run that was let through last, until it ends."""
        self._patience = -inf
        """Until when that one is waited for."""
        self._trials: set[int] = set()
        """All that were let through since it opened and have not ended: those before the last one hang."""

    @property
    def shut(self) -> bool:
        """Say whether runs are let through one by one at most."""
        return self._until is not None

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether its routes have to wait."""
        if self._until is None:
            return None
        self._until = min(self._until, now + self._pause)  # the wall clock may have been set back
        if now < self._until:
            at = datetime.fromtimestamp(self._until).astimezone().strftime("%H:%M:%S")
            reason = (
                f"breaker of {self.name} is open until {at} after {self._why}; then one run tries whether it is back"
            )
            return Closed(self._until, reason, opens=False)
        self._patience = min(self._patience, now + self._pause)
        if self._trying is not None and now < self._patience:
            reason = f"breaker of {self.name} was open after {self._why}, and r{self._trying} tries whether it is back"
            return Closed(self._patience, reason, opens=False)
        return None

    def lets(self, now: float, terms: Terms) -> tuple[str, int] | None:
        """Say that one run may try whether it is back, where it was open."""
        return (f"trial of {self.name}", 1) if self.shut else None

    def start(self, run: int, now: float) -> None:
        """Take note of a run that starts: a trial, if it was open. The one before it, which hangs, counts as failed."""
        if self._until is None or now < self._until:
            return
        if self._trying is not None:
            self._double()
        self._trying, self._patience = run, now + self._pause
        self._trials.add(run)

    def end(self, run: int, now: float, error: str | None) -> None:
        """Take note of an attempt that ended, by which `error` (None: well)."""
        if self._until is None:
            self._count(now, error)
        elif run in self._trials:  # else it began before the circuit opened: old news
            last = self._withdrawn(run)
            if error is None:
                self._close()
            elif last:  # who failed before it has been counted
                self._double()
                self._open(now, f"another failure: {error}")

    def withdraw(self, run: int) -> None:
        """Take note of an attempt that was given back or put off, of which nothing follows."""
        self._withdrawn(run)

    def _withdrawn(self, run: int) -> bool:
        """Forget a trial, and say whether it was the last one."""
        self._trials.discard(run)
        last = run == self._trying
        if last:
            self._trying = None
        return last

    def _close(self) -> None:
        self._until, self._pause, self._why, self._trying = None, self._breaker.pause, "", None
        self._ended.clear()
        self._trials.clear()

    def _double(self) -> None:
        self._pause = min(2 * self._pause, self._breaker.longest)

    def _count(self, now: float, error: str | None) -> None:
        breaker = self._breaker
        self._ended.append((now, error is not None))
        while self._ended and not now - breaker.within <= self._ended[0][0] <= now:
            self._ended.popleft()
        failures = sum(failed for _, failed in self._ended)
        if error is None or failures < breaker.failures or failures < breaker.share * len(self._ended):
            return
        self._ended.clear()
        self._open(now, f"{failures} failures: {error}" if failures > 1 else f"a failure: {error}")

    def _open(self, now: float, why: str) -> None:
        self._until, self._why = now + self._pause, why

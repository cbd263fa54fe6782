"""The circuit of a downstream: closed while it answers, open while it is down, half open to see whether it is back."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from math import inf

from triggers.downstream import Breaker
from triggers.gates import Closed
from triggers.terms import Terms

KEPT = 1000
"""As many of the last attempts are looked at, however many there were in the time."""


class Circuit:
    """The gate of the routes of a downstream. Moments are Unix seconds.

    It begins closed, also after a restart: whoever starts an app again wants it to try. What is down is known again
    after a few failures.
    """

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
        """The run that was let through."""

    @property
    def shut(self) -> bool:
        """Say whether no more than one run may be at work with it."""
        return self._until is not None

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether its routes have to wait."""
        if self._until is None:
            return None
        self._until = min(self._until, now + self._pause)  # the wall clock may have been set back
        if now < self._until:
            at = datetime.fromtimestamp(self._until).astimezone().strftime("%H:%M:%S")
            return Closed(self._until, f"breaker of {self.name} is open until {at} after {self._why}")
        if self._trying is not None:
            reason = f"breaker of {self.name} was open after {self._why}, and r{self._trying} tries whether it is back"
            return Closed(inf, reason)
        return None

    def start(self, run: int, now: float) -> None:
        """Take note of a run that starts."""
        if self._until is not None and now >= self._until and self._trying is None:
            self._trying = run

    def end(self, run: int, now: float, error: str | None) -> bool:
        """Take note of an attempt that ended, by which `error` (None: well), and say whether that changed anything."""
        if self._until is None:
            return self._count(now, error)
        if run != self._trying:  # it began before the circuit opened: old news
            return False
        self._trying = None
        if error is None:
            self._until, self._pause, self._why = None, self._breaker.pause, ""
            self._ended.clear()
        else:
            self._pause = min(2 * self._pause, self._breaker.longest)
            self._open(now, f"another failure: {error}")
        return True

    def withdraw(self, run: int) -> bool:
        """Take note of an attempt that was given back or put off, of which nothing follows; say as `end` does."""
        if run != self._trying:
            return False
        self._trying = None
        return True

    def _count(self, now: float, error: str | None) -> bool:
        breaker = self._breaker
        self._ended.append((now, error is not None))
        while self._ended and not now - breaker.within <= self._ended[0][0] <= now:
            self._ended.popleft()
        failures = sum(failed for _, failed in self._ended)
        if error is None or failures < breaker.failures or failures < breaker.share * len(self._ended):
            return False
        self._ended.clear()
        self._open(now, f"{failures} failures: {error}" if failures > 1 else f"a failure: {error}")
        return True

    def _open(self, now: float, why: str) -> None:
        self._until, self._why = now + self._pause, why

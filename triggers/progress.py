"""How far a run has come, as people read it."""

from __future__ import annotations

from typing import NamedTuple


class Progress(NamedTuple):
    """What a run has told last: so much `done` of so much in `total`, at that Unix time. None is not said."""

    done: float | None
    total: float | None
    at: float
    origin: float | None = None
    """How much had been done when its attempt began."""

    def rate(self, started: float | None) -> float | None:
        """Return how much an attempt that started then has done in each second, None where nothing tells."""
        if self.done is None or started is None or self.at <= started:
            return None
        return max(0.0, self.done - (self.origin or 0.0)) / (self.at - started)

    def left(self, started: float | None, now: float) -> float | None:
        """Return in how many seconds it will be through at that rate, None where nothing tells."""
        rate = self.rate(started)
        if not rate or self.done is None or self.total is None:
            return None
        return max(0.0, (self.total - self.done) / rate - (now - self.at))

    def text(self) -> str:
        """Return how much is done: `3,400 of 10,000 (34 %)`, empty where nothing is said."""
        if self.done is None:
            return ""
        if not self.total:
            return f"{self.done:,.10g} done"
        return f"{self.done:,.10g} of {self.total:,.10g} ({int(100 * self.done / self.total)} %)"

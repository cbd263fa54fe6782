"""The terms of a run: what the policy goes by, fixed when the run is made and kept in its row."""

from __future__ import annotations

from math import log2
from typing import NamedTuple

STEPS = 4
"""As many scales there are for each doubling of the size of inputs."""


class Terms(NamedTuple):
    """What ranks a run among those that wait. Moments are in Unix seconds."""

    rank: float
    """The arrival, less what the priority is worth: the smallest is served first. It never changes, so that an index of
    the journal can keep what waits in order."""
    priority: int = 0
    key: str | None = None
    """The flow's key: runs of one key are counted, ordered and gathered together."""
    size: int | None = None
    """Bytes of the input, by which run times are told apart."""
    deadline: float | None = None
    expires: float | None = None
    memory: float | None = None
    """Bytes that its attempts may have, where one has died of less. This alone changes, and ranks nothing."""

    def expired(self, now: float) -> bool:
        """Say whether the run must not start any more, unless it has been started before."""
        return self.expires is not None and self.expires <= now


def scale(size: int | None) -> int:
    """Return about how large an input is: runs of a route and of one scale take about as long. 0 is not known."""
    return 1 + round(STEPS * log2(size + 1)) if size else 0


COLUMNS = ",".join(Terms._fields)

"""Backing off when the machine is under pressure: while it is, nothing heavy starts but one run at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from triggers.errors import WiringError
from triggers.kernel import Strain
from triggers.quantities import is_number
from triggers.scheduling.gates import Closed
from triggers.scheduling.terms import Terms

LOOK = 5.0
"""Seconds for which a look at the machine counts, while anything heavy waits."""

ONE = "the one heavy run under pressure"
"""The resource of which each heavy run takes one where it starts under pressure."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """From when on the machine is under pressure. `WiringError` if a value makes no sense; None is not looked at.

    - `load`: processes that run or wait to, for each core: the mean of the last minute.
    - `memory`: the part of the memory that can still be had, the limit of a container counting.
    - `stall`: the part of the last ten seconds in which everything stood still for want of memory, or of the disk (the
      kernel's `full` pressure, where it has it).

    It is over when all are better by the part `ease` of their bounds: so it does not come and go with every run.
    """

    load: float | None = 2.0
    memory: float | None = 0.05
    stall: float | None = 0.2
    ease: float = 0.2

    def __post_init__(self) -> None:
        if self.load is not None and not (is_number(self.load) and 0 < self.load < inf):
            raise WiringError(f"Pressure(load={self.load!r}): write processes for each core, above 0, or None")
        for name in ("memory", "stall"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 < value < 1):
                raise WiringError(f"Pressure({name}={value!r}): write a part between 0 and 1, or None")
        if not (is_number(self.ease) and 0 <= self.ease < 1):
            raise WiringError(f"Pressure(ease={self.ease!r}): write a part, 0 or more and below 1")

    def reason(self, now: Strain, before: bool) -> str | None:
        """Return what is too much, None where nothing is. `before` says that something was at the last look."""
        ease = self.ease if before else 0.0
        if self.load is not None and now.load > self.load * (1 - ease):
            return f"load {now.load:.1f} for each core, over {self.load * (1 - ease):g}"
        if self.memory is not None and now.memory < self.memory * (1 + ease):
            return f"{now.memory:.1%} of the memory left, below {self.memory * (1 + ease):.1%}"
        if self.stall is not None and now.stall > self.stall * (1 - ease):
            return f"{now.stall:.0%} of the time stalled, over {self.stall * (1 - ease):.0%}"
        return None


class Relief:
    """The turnstile of the routes that are heavy. It looks at the machine when it is asked, once in `LOOK` seconds at
    most.

    Where nothing heavy is at work, one run may start all the same: what presses may be others' work, which ends never.
    That one is a resource of the choice, like any other: whoever the policy prefers of those that fit has it.
    """

    by_run = False

    def __init__(self, pressure: Pressure, look: Callable[[], Strain]) -> None:
        self._pressure = pressure
        self._look = look
        self._at = -inf
        self._reason: str | None = None
        self._at_work: set[int] = set()

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say whether a run has to wait."""
        if not self._at <= now < self._at + LOOK:
            self._at, self._reason = now, self._pressure.reason(self._look(), self._reason is not None)
        if self._reason is None or not self._at_work:
            return None
        reason = f"the machine is under pressure: {self._reason}; it is looked at every {LOOK:g} s"
        return Closed(self._at + LOOK, reason, opens=False)

    def lets(self, now: float, terms: Terms) -> tuple[str, int] | None:
        """Say that one run may start under pressure."""
        return None if self._reason is None else (ONE, 1)

    def start(self, run: int) -> None:
        """Take note of a run that starts."""
        self._at_work.add(run)

    def end(self, run: int) -> None:
        """Take note of a run that has left its attempt."""
        self._at_work.discard(run)

"""What each share has of the machine: the runs at work, counted for the shares that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from triggers.journal import Ended
from triggers.policy import Shares
from triggers.scheduling.flows import Flow


@dataclass(slots=True)
class Sharing:
    """Counts runs for shares. Nothing of it is kept in the journal: a restart reckons it anew from the runs there."""

    shares: Shares
    now: Callable[[], float]
    _counted: dict[int, tuple[str, float]] = field(default_factory=dict)
    """The share that each run at work counts for, and the part of the machine that it holds."""

    def begin(self, run: int, flow: Flow, key: str | None) -> None:
        """Count a run that starts."""
        self._counted[run] = flow.route.share(key), flow.part
        self.shares.begin(*self._counted[run], self.now())

    def end(self, run: int) -> None:
        """Count a run no more."""
        self.shares.end(*self._counted.pop(run), self.now())

    def usage(self, names: Iterable[str]) -> Mapping[str, float]:
        """Return what the policy goes by: what these shares had of late and hold, over their weights."""
        return self.shares.usage(self.now(), names)

    def recall(self, past: Iterable[Ended], flows: Mapping[str, Flow]) -> None:
        """Reckon in the runs that ended before this start."""
        now = self.now()
        for run in past:
            if flow := flows.get(run.route):
                self.shares.recall(flow.route.share(run.key), flow.part, run.started, run.ended, now)

"""Runs whose place another run has taken: what is done here about a run that the journal has dropped (`overlap=`).

The journal decides in the commit that inserts the newer run, when the older one may be waiting, at work, or at its end
with that news still on its way to the journal, which is then going to refuse it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from triggers.executor import REPLACED, Outcome, Run
from triggers.journal import DEAD, Journal
from triggers.journal.overlaps import Verdict
from triggers.options import ALLOW
from triggers.pipeline import Pipeline, Turn
from triggers.scheduling.admission import Admission
from triggers.scheduling.overlap import Judged

log = logging.getLogger("triggers.dispatcher")

NAMED = 5
"""How many runs a log line names."""


class Displaced:
    """The runs that were dropped and are not gone yet. `running` is the dispatcher's; `tell` tells its listeners."""

    def __init__(
        self,
        journal: Journal,
        pipeline: Pipeline,
        admission: Admission,
        running: dict[int, Run],
        counts: Counter[str],
        tell: Callable[[Run, Outcome], None],
    ) -> None:
        self._journal = journal
        self._pipeline = pipeline
        self._admission = admission
        self._running = running
        self._counts = counts
        self._tell = tell
        self._ending: dict[int, Run] = {}
        """Those at work, until their attempts have ended."""
        self._overtaken: set[int] = set()
        """Those that had ended before they were dropped."""

    def drop(self, flow: Judged, verdict: Verdict) -> None:
        """Let go of runs that the journal has dropped, and end those that are at work."""
        flow.forget(verdict.dropped)
        self._journal.open_runs -= len(verdict.dropped)
        self._counts["dropped"] += len(verdict.dropped)
        policy = flow.route.policy
        words = [] if policy.overlap == ALLOW else [f"overlap={policy.overlap!r}"]
        words += [] if policy.rate_limit is None else [f"rate_limit={policy.rate_limit}"]
        log.info("route %r: %s dropped (%s)", flow.route.name, named(verdict.dropped), ", ".join(words))
        for number in verdict.ended:
            run = self._running.pop(number, None)
            if run is None:
                self._overtake(number)
                continue
            self._ending[number] = run
            self._tell(run, REPLACED)
            run.stop()

    def ended(self, run: Run) -> None:
        """Free what a dropped run had taken, now that its attempt has ended; others were given back before."""
        if self._ending.pop(run.number, None):
            self._admission.release(run.number)
            self._pipeline.touch()

    def expected(self, stale: set[int]) -> set[int]:
        """Return those of the refused ends that are no surprise, and forget them."""
        known = stale & self._overtaken
        self._overtaken -= known
        return known

    def _overtake(self, run: int) -> None:
        """Count the end of a run no more that is in the pending turn."""
        turn: Turn = self._pipeline.turn
        done = any(run in runs for runs in turn.change.done.values())
        turn.ended -= done or any(row.run == run and row.state == DEAD for row in turn.change.settles)
        self._overtaken.add(run)


def named(runs: Sequence[int]) -> str:
    """Return `r1, r2`, or how many there are beyond a few."""
    return ", ".join(f"r{number}" for number in runs) if len(runs) <= NAMED else f"{len(runs):,} runs"

"""What has its moment: runs that expire if they have not been started, and deadlines that are missed."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from triggers.executor import Run
from triggers.journal import Journal
from triggers.journal.punctuality import Untimely, due, next_moment
from triggers.journal.turns import Ended
from triggers.pipeline import Pipeline
from triggers.scheduling.admission import Admission
from triggers.scheduling.alarm import Alarm
from triggers.scheduling.displaced import named
from triggers.scheduling.flows import WINDOW
from triggers.scheduling.terms import Terms

log = logging.getLogger("triggers.dispatcher")


class Punctuality:
    """Drops what expires, and says which deadlines are missed: each once, when it has passed.

    The journal keeps the moments, so that it does not matter where a run waits.
    """

    def __init__(
        self,
        journal: Journal,
        pipeline: Pipeline,
        admission: Admission,
        counts: Counter[str],
        dropped: Callable[[Sequence[Ended]], None],
    ) -> None:
        self._journal = journal
        self._pipeline = pipeline
        self._admission = admission
        self._counts = counts
        self._dropped = dropped
        """Called with runs that were dropped: others may have waited for them."""
        self._clock = journal.clock
        self._alarm = Alarm(journal.clock.sleep_until, self.look)

    def look(self) -> None:
        """Drop what has expired by now, tell what is late, and wait for the next moment."""
        self._pipeline.order(due(self._clock.now(), WINDOW), lambda found: self._seen(*found))
        self._pipeline.ask(next_moment, self._alarm.set)

    def watch(self, terms: Terms) -> None:
        """Reckon with the moments of a new run."""
        self._alarm.set(terms.expires)
        self._alarm.set(terms.deadline)

    def begun(self, run: Run) -> None:
        """Say of a run that starts where its deadline drives it, and that it will be late if it will."""
        name, policy = run.route.name, run.route.policy
        if run.deadline is None:
            return
        at, due = run.started, _iso(run.deadline)
        if policy.window is not None and not policy.window.contains(at):
            log.warning("route %r: r%d starts outside its window %s, for its deadline %s leaves no other time",
                        name, run.number, policy.window, due)  # fmt: skip
        expected, _ = self._admission.forecast(name, None)
        if expected is not None and at < run.deadline < at + expected:
            log.warning("route %r: r%d will miss its deadline %s: it starts now, and is expected to take %.0f s",
                        name, run.number, due, expected)  # fmt: skip

    def close(self) -> None:
        """Wait for nothing more."""
        self._alarm.close()

    def _seen(self, expired: Sequence[Untimely], late: Sequence[Untimely]) -> None:
        for route, numbers in _by_route(expired):
            log.info("route %r: %s dropped: not started by when they expire (expires=)", route, named(numbers))
            self._counts["dropped"] += len(numbers)
            flow = self._admission.flows.get(route)
            if flow is not None:
                flow.forget(numbers)
                self._journal.open_runs -= len(numbers)
        if expired:
            self._dropped([(run.route, run.key, run.number) for run in expired])
        for route, numbers in _by_route(late):
            first = min(run.moment for run in late if run.route == route)
            self._counts["late"] += len(numbers)
            log.warning("route %r: %s not ended by the deadline (%s); `triggers why` tells what each waited for",
                        route, named(numbers), _iso(first))  # fmt: skip


def _by_route(runs: Iterable[Untimely]) -> Iterator[tuple[str, list[int]]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for run in runs:
        found[run.route].append(run.number)
    yield from found.items()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")

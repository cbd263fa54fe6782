"""Claims: from a run that waits to one that may start.

A claim counts the attempt and rides in a commit; the handler starts after it. A run that finds a free slot and nobody
before it is claimed in the very commit that inserts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from triggers.executor import Dead, Failure, Run
from triggers.journal import RUNNING, WAITING, Change, Journal, Result, RunRow, event_row, waiting
from triggers.journal.counted import starts
from triggers.journal.overlaps import Verdict
from triggers.lineage import EventRow
from triggers.pipeline import Pipeline, Turn
from triggers.places import Place
from triggers.routing import ONE
from triggers.scheduling.admission import Admission, Choice
from triggers.scheduling.flows import Flow, Head
from triggers.scheduling.overlap import Judged
from triggers.scheduling.terms import Terms


class Claims:
    """Makes the claims of each turn. `settle` is called for a run whose attempts are used up before it can start,
    `dropped` with what was decided about runs that must not overlap."""

    def __init__(
        self,
        journal: Journal,
        pipeline: Pipeline,
        admission: Admission,
        places: Mapping[str, Place],
        settle: Callable[[Run, Dead, int, float], None],
        dropped: Callable[[Judged, Verdict], None],
    ) -> None:
        self._journal = journal
        self._clock = journal.clock
        self._pipeline = pipeline
        self._admission = admission
        self._places = places
        self._settle = settle
        self._dropped = dropped

    def take(self, turn: Turn, run: RunRow, event: EventRow, now: float) -> None:
        """Claim a new run at once, or let it wait."""
        if flow := self._admission.admit(run):
            self._begin(turn, flow, run, event, now)
        elif waits := self._admission.add(run, event):
            turn.fresh.append(waits)

    def choose(self, turn: Turn) -> None:
        """Claim what the policy chooses, and ask the journal for more where a window runs low."""
        now = turn.change.at = self._clock.now()
        if turn.starts and (self._admission.bars or self._admission.fleeting):
            self._hold_back(turn)
        choice = self._admission.choose(now)
        for flow, row, event in choice.starts:
            self._begin(turn, flow, row, event, now)
        turn.claims = choice.claims
        turn.change.forgiven.extend(choice.forgiven)
        for flow, head in choice.claims:
            self._claim(turn.change, flow, head)
        for flow, head in choice.buried:
            self._bury(flow, head)
        if self._admission.paced:
            self._count(turn, choice)
        for judged in self._admission.judged:
            if judged.new:
                self._decide(turn, judged)
        for flow in self._admission.low():
            self._fill(flow)
        for flow, head in turn.fresh:
            flow.handed_over(head)

    def granted(self, turn: Turn, result: Result) -> Iterator[Run]:
        """Yield the runs whose claims are durable now, and give back what the others had taken."""
        for run in turn.starts:
            if run.event.number in result.void:
                self._admission.withdraw(run.number, self._admission.flows[run.route.name], run.key)
            else:
                run.members = result.members.get(run.event.number, ())
                yield run
        if result.void:
            for flow, head in turn.fresh:
                if head.event in result.void:
                    flow.remove(head)
        for flow, head in turn.claims:
            if head.number in result.gone:
                self._admission.withdraw(head.number, flow, head.terms.key)
                continue
            event = head.kept or result.read[head.event]
            run = self._run(flow, head.number, head.attempt + 1, event, turn.change.at, head.terms)
            run.first = result.begun.get(head.number)
            run.members = result.members.get(head.event, ())
            if head.number in result.left:
                run.restored, run.origin = result.left[head.number]
            yield run

    def _hold_back(self, turn: Turn) -> None:
        """Let those wait after all that were claimed at once, and whose route was paused, or which have expired, while
        the commit before theirs was under way."""
        rows = {row.number: row for row in turn.change.runs}
        starts, turn.starts = turn.starts, []
        for run in starts:
            row, flow = rows[run.number], self._admission.flows[run.route.name]
            if run.route.name not in self._admission.bars and not row.terms.expired(turn.change.at):
                turn.starts.append(run)
                continue
            self._admission.withdraw(run.number, flow, run.key)
            row.state, row.attempt, row.epoch, row.started = WAITING, 0, 0, None
            if waits := self._admission.add(row, run.event):
                turn.fresh.append(waits)

    def _claim(self, change: Change, flow: Flow, head: Head) -> None:
        attempt = head.attempt + 1
        change.claims.setdefault(attempt, []).append(head.number)
        if flow.route.shape != ONE:
            change.groups.append(head.event)
        if head.interrupted:
            change.interrupted.append(head.number)
        if flow.route.takes_context:
            change.resumed.append(head.number)
        if not head.kept:
            change.unread.append(head.event)
        if attempt > 1 and flow.route.policy.retry.within is not None:
            change.again.append(head.number)

    def _count(self, turn: Turn, choice: Choice) -> None:
        """Have the starts counted of routes that are throttled."""
        began = [(flow, row.number) for flow, row, _ in choice.starts]
        began += [(flow, head.number) for flow, head in choice.claims]
        for name in self._admission.paced:
            rate = self._admission.flows[name].route.policy.throttle
            if rate and (runs := [run for flow, run in began if flow.route.name == name]):
                turn.change.orders.append(starts(name, runs, rate, turn.change.at))
                turn.order_answers.append(lambda _: None)

    def _decide(self, turn: Turn, flow: Judged) -> None:
        """Have it decided, in the commit that inserts them, which new runs go on and which runs are dropped."""
        order, new = flow.order(self._clock.now(), self._journal.epoch)

        def decided(verdict: Verdict) -> None:
            for number in verdict.passed:
                self._admission.passed(flow, new[number])
            if verdict.parked:
                flow.forget(verdict.parked)
            if verdict.dropped:
                self._dropped(flow, verdict)

        turn.change.orders.append(order)
        turn.order_answers.append(decided)

    def _fill(self, flow: Flow) -> None:
        question = waiting(flow.route.name, self._journal.epoch, flow.ask(), flow.window)
        self._pipeline.ask(question, lambda rows: self._admission.fill(flow, rows))

    def _bury(self, flow: Flow, head: Head) -> None:
        """Settle a run as dead whose process died in its last attempt."""
        attempt, epoch = head.interrupted or (0, 0)
        message = (
            f"the process died in attempt {attempt} of {flow.route.policy.retry.attempts}; isolate=True contains it"
        )
        dead = Dead(Failure("HandlerError", message, ""))

        def found(event: EventRow) -> None:
            now = self._clock.now()
            self._settle(self._run(flow, head.number, attempt, event, now, head.terms), dead, epoch, now)

        self._pipeline.ask(event_row(head.event), found)

    def _begin(self, turn: Turn, flow: Flow, row: RunRow, event: EventRow, now: float) -> None:
        """Turn a row that has not been handed over yet into a claimed one, which starts after this commit."""
        row.state, row.attempt, row.epoch, row.started = RUNNING, 1, self._journal.epoch, now
        turn.starts.append(self._run(flow, row.number, 1, event, now, row.terms))
        if flow.route.shape != ONE:
            turn.change.groups.append(event.number)

    def _run(self, flow: Flow, number: int, attempt: int, event: EventRow, started: float, terms: Terms) -> Run:
        return Run(
            number, attempt, flow.route, event, started, self._journal.id, self._places, key=terms.key,
            memory=self._admission.memory(flow, terms), deadline=terms.deadline, size=terms.size,
        )  # fmt: skip

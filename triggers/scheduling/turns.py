"""Runs that go in the order of their data: whose turn it is, now that others have ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from triggers.attempt import Run
from triggers.journal.turns import Ended, advance, look
from triggers.options import HOLD
from triggers.pipeline import Pipeline, Turn
from triggers.routing import Route
from triggers.scheduling.admission import Admission


class Turns:
    """Has the journal let runs of ordered routes go on when those before them have ended."""

    def __init__(self, routes: Mapping[str, Route], pipeline: Pipeline, admission: Admission) -> None:
        ordered = {name: route.policy for name, route in routes.items() if route.policy.in_order is not None}
        self._holds = {name: policy.if_dead == HOLD for name, policy in ordered.items()}
        self._pipeline = pipeline
        self._admission = admission
        self._ended: list[Ended] = []

    def look(self) -> None:
        """Look at all that wait for their turn, at the start: the last process may have ended before it did."""
        self._pipeline.order(look(self._holds), self._admission.promote)

    def ended(self, run: Run) -> None:
        """Take note of a run of an ordered route that is done, or dead, in the pending turn."""
        self.dropped([(run.route.name, run.key, run.number)])

    def dropped(self, runs: Iterable[Ended]) -> None:
        """Take note of runs that the journal has dropped: what waited for them goes on in the pending turn."""
        if ended := [run for run in runs if run[0] in self._holds]:
            self._ended += ended
            self._pipeline.touch()

    def prepare(self, turn: Turn) -> None:
        """Have those go on, in the commit that has the ends, whose turn comes by them."""
        if self._ended:
            turn.change.orders.append(advance(self._ended, self._holds))
            turn.order_answers.append(self._admission.promote)
            self._ended = []

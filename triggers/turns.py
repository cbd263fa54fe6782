"""Runs that go in the order of their data: whose turn it is, now that others have ended."""

from __future__ import annotations

from collections.abc import Mapping

from triggers.admission import Admission
from triggers.attempt import Run
from triggers.journal.turns import Ended, advance, look
from triggers.options import HOLD
from triggers.pipeline import Pipeline, Turn
from triggers.routing import Route


class Turns:
    """Has the journal let runs of ordered routes go on when those before them have ended."""

    def __init__(self, routes: Mapping[str, Route], pipeline: Pipeline, admission: Admission) -> None:
        ordered = {name: route.policy for name, route in routes.items() if route.policy.in_order is not None}
        self._holds = {name: policy.if_dead == HOLD for name, policy in ordered.items()}
        self._pipeline = pipeline
        self._admission = admission
        self._ended: list[Ended] = []

    def look(self) -> None:
        """Look at all that wait for their turn: at the start, and where others were dropped."""
        self._pipeline.order(look(self._holds), self._admission.promote)

    def dropped(self) -> None:
        """Look again where runs may have been dropped, if any are in order."""
        if self._holds:
            self.look()

    def ended(self, run: Run) -> None:
        """Take note of a run that is done, or dead, in the pending turn."""
        if run.route.name in self._holds:
            self._ended.append((run.route.name, run.key, run.number))

    def prepare(self, turn: Turn) -> None:
        """Have those go on, in the commit that has the ends, whose turn comes by them."""
        if self._ended:
            turn.change.orders.append(advance(self._ended, self._holds))
            turn.order_answers.append(self._admission.promote)
            self._ended = []

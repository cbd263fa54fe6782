"""Routes that are paused: what comes for them is recorded and waits, and nothing starts until they are resumed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import inf

from triggers.journal.pauses import Pause, pause_of
from triggers.scheduling.admission import Admission
from triggers.scheduling.gates import Closed
from triggers.scheduling.terms import Terms

log = logging.getLogger("triggers.dispatcher")


class Pauses:
    """What is paused, as the journal has it. The routes stand behind a gate that no moment opens."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.known: Mapping[str, Pause] = {}
        """By the names of routes, with `APP` for all of them."""

    def of(self, route: str) -> Pause | None:
        """Return what pauses a route."""
        return pause_of(route, self.known)

    def set(self, pauses: Mapping[str, Pause]) -> None:
        """Let nothing start of what is paused from now on, and the rest go on."""
        for name in pauses.keys() - self.known.keys():
            log.warning("%s: %s", f"route {name!r}" if name else "all routes", pauses[name])
        self.known = pauses
        paused = {name: pause for name in self._admission.flows if (pause := self.of(name))}
        self._admission.bar({name: _Halt(pause) for name, pause in paused.items()})


class _Halt:
    """The gate of a route that is paused."""

    by_run = False

    def __init__(self, pause: Pause) -> None:
        self._closed = Closed(inf, str(pause))

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        """Say that every run must wait."""
        return self._closed

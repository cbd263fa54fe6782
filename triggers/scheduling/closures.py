"""The gates that hold back what waits, written down for readers in other processes: the dispatcher alone knows them.

They are in the journal as they were at the last look, rewritten only when they change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import inf

from triggers.journal import Shut
from triggers.scheduling.flows import Flow, Kind, RowKind
from triggers.scheduling.gates import Closed

MOST = 100
"""How many keys and scales of a route are written down where their gates differ; of more, that there are so many."""

FEW = 10
"""As many are rewritten with any commit."""

PAUSE = 1.0
"""Seconds between two commits that hold more, or only other words about gates that were closed before."""


class Closures:
    """What was found closed at one look, and what the journal has of it."""

    def __init__(self) -> None:
        self.barred: Collection[str] = ()
        """The routes that are closed from outside: of these the journal says so itself, from that very commit on."""
        self._found: dict[str, dict[Kind | RowKind, Closed]] = {}
        self._flows: dict[str, Flow] = {}
        self._written: list[Shut] = []
        self._at = -inf
        self.due: float | None = None
        """When what was not written at the last look may be, in Unix seconds: so that it is, whatever happens."""

    def begin(self) -> None:
        """Begin another look."""
        self._found.clear()

    def add(self, flow: Flow, kind: Kind | RowKind, closed: Closed) -> None:
        """Take note of a lane whose first run a gate holds back, or of a row of them."""
        self._flows[flow.route.name] = flow
        self._found.setdefault(flow.route.name, {})[kind] = closed

    def of(self, route: str) -> Collection[Closed]:
        """Return the gates of a route that were closed at the last look."""
        return self._found.get(route, {}).values()

    def news(self, now: float, writing: bool) -> list[Shut] | None:
        """Return what is to be written, None where the journal has it. `writing` says that there is a commit anyway.

        A commit of its own is for gates that were closed or opened. One whose words change at each look would
        otherwise keep the disk busy, and each commit has the dispatcher look again. So would many keys, of which some
        gates open with every commit: they are written once in a while.
        """
        self.due = None
        if not self._found and not self._written:
            return None
        found = [row for route in self._found if route not in self.barred for row in self._rows(route)]
        if found == self._written:
            return None
        others = set(map(_whose, found)) != set(map(_whose, self._written))
        rested = not self._at <= now < self._at + PAUSE
        if not (rested or ((writing or others) and len(found) <= FEW)):
            if set(map(_until, found)) != set(map(_until, self._written)):  # other words alone can wait for ever
                self.due = self._at + PAUSE
            return None
        self._written, self._at = found, now
        return found

    def _rows(self, route: str) -> Iterator[Shut]:
        """Yield a row for the whole route where all that waits of it is held back alike, else for each key and scale.

        What readers find in the journal anyway is left out. Of too many keys there is one row, which names none: of a
        key that were left out it would be said that nothing holds it back.
        """
        closed = {kind: gate for kind, gate in self._found[route].items() if not gate.recorded}
        if not closed:
            return
        flow = self._flows[route]
        whole = closed.keys() >= flow.lanes.keys() or (flow.rows and closed.keys() >= flow.rows.keys())
        if whole and len(set(closed.values())) == 1:
            yield _shut(next(iter(closed.values())), route, True, None, None)
            return
        some = {_of(kind, flow.scaled): gate for kind, gate in closed.items()}
        if len(some) > MOST:
            what = "kinds of runs" if flow.scaled else "keys"
            yield Shut(route, True, None, inf, f"{len(some):,} of its {what} are behind gates, too many to note which")
            return
        for of, gate in some.items():
            yield _shut(gate, route, *of)


def _whose(row: Shut) -> tuple[object, ...]:
    return row.route, row.every, row.key, row.scale


def _until(row: Shut) -> tuple[object, ...]:
    return *_whose(row), row.until


def _of(kind: Kind | RowKind, scaled: bool) -> tuple[bool, str | None, int | None]:
    """Return what is written of a lane, or of a row, which is every key: (every, key, scale)."""
    key = kind[1] if len(kind) == 4 else None
    return len(kind) == 3, key, kind[-1] if scaled else None


def _shut(closed: Closed, route: str, every: bool, key: str | None, scale: int | None) -> Shut:
    """Return what readers are told: a moment where it opens then, none where it is only looked at again."""
    return Shut(route, every, key, closed.until if closed.opens else inf, closed.reason, scale)

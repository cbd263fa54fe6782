"""What a seed has happen: faults, drawn at the points that a scenario comes by.

A point is a place where something can go wrong, such as just before a commit, counted from 1 in each scenario. What
happens there depends on the seed and on the points before it, so a seed always gives the same scenario; and what has
happened is a list of faults, of which any part can be carried out by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from triggers.errors import WiringError
from triggers.faults.loop import Crash

POINTS: Final = {
    "turn": ("order", "clock", "crash"),
    "commit": ("crash",),
    "committed": ("crash", "slow"),
    "begin": ("crash",),
    "attempt": ("slow", "fail", "cheat"),
    "end": ("crash",),
    "effect": ("crash",),
    "delivery": ("late", "twice"),
}
"""The points, and what can happen at each."""

WORDS: Final = {
    "order": "what is ready is done in another order, at turn {at} of the loop",
    "clock": "the wall clock is set by {amount:+.0f} s for a while, at turn {at} of the loop",
    "crash": "the process dies {where} {at}",
    "slow": "{what} {at} takes {amount:.1f} s",
    "fail": "attempt {at} fails before its handler is called",
    "cheat": "attempt {at} fails although its handler has ended well",
    "late": "delivery {at} comes {amount:.1f} s late",
    "twice": "delivery {at} comes a second time, {amount:.1f} s later",
}

_WHERE: Final = {
    "turn": "at turn of the loop",
    "commit": "before commit",
    "committed": "after commit",
    "begin": "before the handler of attempt",
    "end": "after the handler of attempt",
    "effect": "at boundary",
}

_CHANCES: Final = {
    "order": (0.0, 0.02, 0.2, 1.0),
    "clock": (0.0, 0.0, 0.002, 0.02),
    "crash": (0.0, 0.005, 0.02, 0.1),
    "slow": (0.0, 0.05, 0.3),
    "fail": (0.0, 0.05, 0.2),
    "cheat": (0.0, 0.05, 0.2),
    "late": (0.0, 0.2, 0.7),
    "twice": (0.0, 0.1, 0.4),
}
"""How likely a fault is at a point where it can happen. Each scenario draws its own: some faults meet only where others
are rare."""

KINDS: Final = tuple(_CHANCES)
"""What can happen."""

MOST_CRASHES = 3


class Fault(NamedTuple):
    """Something that goes wrong at a point: `crash@commit:3` is a crash just before the third commit."""

    kind: str
    point: str
    at: int
    amount: float = 0.0

    def __str__(self) -> str:
        amount = f"={self.amount:.10g}" if self.amount else ""
        return f"{self.kind}{amount}@{self.point}:{self.at}"

    @property
    def words(self) -> str:
        """Return what happens, for people."""
        where = _WHERE.get(self.point, "")
        what = "commit" if self.point == "committed" else "the handler of attempt"
        return WORDS[self.kind].format(at=self.at, amount=self.amount, where=where, what=what)


def read(text: str) -> list[Fault]:
    """Return the faults of a schedule as a report shows it. Raises `WiringError` where it is none."""
    found = []
    for word in text.split():
        what, _, place = word.partition("@")
        kind, _, amount = what.partition("=")
        point, _, at = place.partition(":")
        try:
            fault = Fault(kind, point, int(at), float(amount or 0))
        except ValueError:
            fault = None
        if fault is None or kind not in POINTS.get(point, ()):
            raise WiringError(f"no fault is called {word!r}; copy the schedule from the report: crash@commit:3 ...")
        found.append(fault)
    return found


class Faults:
    """The faults of one scenario: those that a seed draws among the `kinds`, or the `given` ones."""

    def __init__(self, seed: int = 0, kinds: Iterable[str] = KINDS, given: Sequence[Fault] | None = None) -> None:
        self.seed = seed
        self.taken: list[Fault] = []
        """What has happened so far."""
        self.story: list[str] = []
        """The same for people, with what the app did meanwhile."""
        self.may_die: Callable[[], bool] = lambda: True
        self.died: Callable[[], None] = lambda: None
        """Called when the process dies."""
        self._given = None if given is None else {(fault.point, fault.at): fault for fault in given}
        self._counts = dict.fromkeys(POINTS, 0)
        self._random = Random(seed)  # noqa: S311  # it draws faults, and keeps no secret
        self._chances = {kind: self._random.choice(_CHANCES[kind]) if kind in kinds else 0.0 for kind in KINDS}
        self._crashes = self._random.randint(0, MOST_CRASHES)

    def at(self, point: str, *kinds: str) -> Fault | None:
        """Come by a point, and return what happens there, of these kinds if they are given."""
        self._counts[point] += 1
        at = self._counts[point]
        given = self._given
        fault = self._draw(point, at, kinds or POINTS[point]) if given is None else given.get((point, at))
        if fault is None:  # as nearly always
            return None
        if fault.kind == "crash" and not self.may_die():
            return None
        self.taken.append(fault)
        return fault

    def boundary(self, point: str) -> Fault | None:
        """Come by a point at which the process may die: raises `Crash` if it does, or else as `at`."""
        fault = self.at(point)
        if fault and fault.kind == "crash":
            self.die(fault)
        return fault

    def die(self, fault: Fault) -> None:
        """Have the process die."""
        self.story.append(fault.words)
        self.died()
        raise Crash

    def arrange(self, ready: MutableSequence[Any]) -> Fault | None:
        """Put what is ready into another order, if that is what happens, and return what else does."""
        fault = self.at("turn") if len(ready) > 1 else self.at("turn", "clock", "crash")
        if fault and fault.kind == "order":
            Random(int(fault.amount)).shuffle(ready)  # noqa: S311  # the same
            return None
        return fault

    def _draw(self, point: str, at: int, kinds: Iterable[str]) -> Fault | None:
        left, chances = self._random.random(), self._chances
        for kind in kinds:
            left -= chances[kind]
            if left < 0:
                return self._drawn(kind, point, at)
        return None

    def _drawn(self, kind: str, point: str, at: int) -> Fault | None:
        if kind == "crash":
            self._crashes -= 1
            return Fault(kind, point, at) if self._crashes >= 0 else None
        if kind == "order":
            return Fault(kind, point, at, self._random.randrange(1, 1 << 20))
        if kind == "clock":
            return Fault(kind, point, at, self._random.choice((-1, 1)) * round(10 ** self._random.uniform(0, 5)))
        if kind in ("slow", "late", "twice"):
            return Fault(kind, point, at, round(10 ** self._random.uniform(-1, 1.5), 1))
        return Fault(kind, point, at)


_at_work: list[Faults] = []


def begin(faults: Faults) -> None:
    """Have these faults happen from now on."""
    _at_work.append(faults)


def end(faults: Faults) -> None:
    """Have them happen no more."""
    _at_work.remove(faults)


def boundary() -> None:
    """Say that here an effect has become visible, so that a process may die just before or after it.

    Called by what stands in for other systems in a test under `simulate`; elsewhere it does nothing. A handler's start
    and end are such boundaries already, and so is every `await`.
    """
    for faults in _at_work:
        faults.boundary("effect")

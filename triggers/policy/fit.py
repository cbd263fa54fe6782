"""What starts: an order against what is free. Whatever the order says, no more is taken than there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from triggers.policy.standing import Kept, late
from triggers.policy.view import Busy, Lane, View

RESERVED = 1
"""How many late runs at once have what they need kept."""


class Reservation(NamedTuple):
    """What a late run waits for: it could start `at` this moment, and so much would be left `beside` it then."""

    at: float
    beside: dict[str, int]


def fit(view: View, order: Iterable[int], kept: Callable[[View], Kept] = late) -> list[int]:
    """Return the lanes whose next head starts, in order; a lane appears once for each of its runs that starts.

    Who does not fit is passed over, so that the machine is not idle while work could run. For one that is late its
    needs are kept (EASY, Lifka 1995): behind it others start only if they are predicted to end before it could start,
    or if there is room for them beside it. What an order leaves out comes behind, by rank; what it names too often, or
    what is no lane, is passed over. An order must end.
    """
    started: list[int] = []
    room = _Room(view, kept, started)
    if room.full:
        return started
    over = [0] * len(view.lanes)
    for index in chain(order, _left_out(view, over)):
        if not isinstance(index, int) or not 0 <= index < len(over):
            continue
        heads = view.lanes[index].heads
        if over[index] == len(heads):
            continue
        if not room.take(index, over[index]):
            over[index] = len(heads)
            continue
        started.append(index)
        if room.full:
            break
        over[index] += 1
    return started


class _Room:
    """What is left while runs are started, and what of it is kept for the late."""

    def __init__(self, view: View, kept: Callable[[View], Kept], started: Sequence[int]) -> None:
        self._view = view
        self._left = dict(view.free)
        self._started = started
        self._reservations: list[Reservation] = []
        self._makes_kept = kept
        self._kept: Kept | None = None
        self._gone = {name for name, amount in view.free.items() if amount <= 0}
        self.full = bool(self._gone) and self._used_up()
        """Whether nothing that waits can fit any more, as far as it costs little to see."""

    def take(self, index: int, head: int) -> bool:
        """Take what a head needs, if it fits; keep it for one that is late and does not."""
        lane, left = self._view.lanes[index], self._left
        if not _holds(left, lane.needs):
            self._keep(index, head)
            return False
        if self._reservations and not self._beside(lane):
            return False
        for name, amount in lane.needs.items():
            left[name] -= amount
            if not left[name]:
                self._gone.add(name)
                self.full = self._used_up()
        return True

    def _beside(self, lane: Lane) -> bool:
        """Take it from what is left beside the late, if it is enough for those that do not end before they start."""
        beside = [one.beside for one in self._reservations if not _ends_before(one, self._view.now, lane)]
        if not all(_holds(left, lane.needs) for left in beside):
            return False
        for left in beside:
            _subtract(left, lane.needs)
        return True

    def _used_up(self) -> bool:
        """Say whether each that waits needs something of which nothing is left."""
        return not any(map(self._gone.isdisjoint, [lane.needs for lane in self._view.lanes]))

    def _keep(self, index: int, head: int) -> None:
        if len(self._reservations) == RESERVED:
            return
        self._kept = self._kept or self._makes_kept(self._view)
        if self._kept(index, head):
            running = [*self._view.running, *map(self._begun, self._started)]
            self._reservations += reserve(self._view.now, self._view.lanes[index], self._left, running)

    def _begun(self, index: int) -> Busy:
        """Return a run that is started here."""
        lane = self._view.lanes[index]
        return Busy(lane.needs, math.inf if lane.longest is None else self._view.now + lane.longest)


def reserve(now: float, lane: Lane, left: Mapping[str, int], running: Iterable[Busy]) -> list[Reservation]:
    """Return the reservation for a run that does not fit: none if it would not even when all others have ended.

    Who runs for longer than predicted, or for nobody knows how long, may end at any moment: it is taken to end now, so
    that nothing is started in the hope that it goes on.
    """
    then = dict(left)
    for busy in sorted(running, key=lambda busy: busy.until):
        at = busy.until if busy.until < math.inf else now
        for name, amount in busy.needs.items():
            then[name] = then.get(name, 0) + amount
        if _holds(then, lane.needs):
            _subtract(then, lane.needs)
            return [Reservation(at, then)]
    return []


def _left_out(view: View, over: Sequence[int]) -> Iterator[int]:
    """Yield the lanes that still wait when an order has ended, by the ranks of their heads; `over` is how many have had
    their turn of each."""
    rest = [(rank, index) for index, lane in enumerate(view.lanes) for rank in lane.heads[over[index] :]]
    for _, index in sorted(rest):
        yield index


def _holds(left: Mapping[str, int], needs: Mapping[str, int]) -> bool:
    for name, amount in needs.items():  # noqa: SIM110  # half as long as all() of a generator
        if left.get(name, 0) < amount:
            return False
    return True


def _subtract(left: dict[str, int], needs: Mapping[str, int]) -> None:
    for name, amount in needs.items():
        left[name] -= amount


def _ends_before(reservation: Reservation, now: float, lane: Lane) -> bool:
    return lane.longest is not None and now + lane.longest <= reservation.at

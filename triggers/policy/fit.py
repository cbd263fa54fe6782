"""What starts: an order against what is free. Whatever the order says, no more is taken than there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from triggers.policy.standing import overdue, pressing, typical
from triggers.policy.view import Busy, Lane, View

RESERVED = 1
"""How many late runs at once have what they need kept."""

Kept = Callable[[View, Lane, int], bool]
"""Says whether what a lane's n-th head needs is kept for it when it does not fit."""


class Reservation(NamedTuple):
    """What a late run waits for: it could start `at` this moment, and this much would be left `beside` it then."""

    at: float
    beside: dict[str, int]


def late(view: View, lane: Lane, taken: int) -> bool:
    """Say whether a head is late, or must start now to meet its deadline."""
    top = max(lane.priority for lane in view.lanes)
    if overdue(view.now, view.aging, top, lane.heads[taken][0]):
        return True
    return bool(lane.deadlines) and pressing(view, lane, taken, typical(view.lanes)) < math.inf


def fit(view: View, order: Iterable[int], kept: Kept = late) -> list[int]:
    """Return the lanes whose next head starts, in order; a lane appears once for each of its runs that starts.

    Who does not fit is passed over, so that the machine is not idle while work could run. For one that is late its
    needs are kept (EASY, Lifka 1995): behind it others start only if they are predicted to end before it could start,
    or if there is room for them beside it. What an order leaves out comes behind, by rank; what it names too often, or
    what is no lane, is passed over. An order must end.
    """
    left = dict(view.free)
    started: list[int] = []
    running = list(view.running)
    reservations: list[Reservation] = []
    taken = [0] * len(view.lanes)
    closed = [not lane.heads for lane in view.lanes]
    for index in _all(view, order):
        if closed[index]:
            continue
        lane = view.lanes[index]
        if not _holds(left, lane.needs):
            closed[index] = True
            if len(reservations) < RESERVED and kept(view, lane, taken[index]):
                reservations += reserve(view, lane, left, running)
            continue
        if not all(_spares(reservation, view.now, lane) for reservation in reservations):
            closed[index] = True
            continue
        for reservation in reservations:
            _beside(reservation, view.now, lane)
        for name, amount in lane.needs.items():
            left[name] -= amount
        started.append(index)
        running.append(Busy(lane.needs, view.now + (math.inf if lane.longest is None else lane.longest)))
        taken[index] += 1
        closed[index] = taken[index] == len(lane.heads)
    return started


def reserve(view: View, lane: Lane, left: Mapping[str, int], running: Iterable[Busy]) -> list[Reservation]:
    """Return the reservation for a run that does not fit: none if it would not even when all others have ended.

    Who runs for longer than predicted, or for nobody knows how long, may end at any moment: it is taken to end now, so
    that nothing is started in the hope that it goes on.
    """
    then = dict(left)
    at = view.now
    for busy in sorted(running, key=lambda busy: busy.until):
        at = max(at, busy.until if busy.until < math.inf else view.now)
        for name, amount in busy.needs.items():
            then[name] = then.get(name, 0) + amount
        if _holds(then, lane.needs):
            for name, amount in lane.needs.items():
                then[name] -= amount
            return [Reservation(at, then)]
    return []


def _all(view: View, order: Iterable[int]) -> Iterator[int]:
    count = len(view.lanes)
    named = [0] * count
    for index in order:
        if isinstance(index, int) and 0 <= index < count:
            named[index] += 1
            yield index
    rest = [(rank, index) for index, lane in enumerate(view.lanes) for rank in lane.heads[named[index] :]]
    for _, index in sorted(rest):
        yield index


def _holds(left: Mapping[str, int], needs: Mapping[str, int]) -> bool:
    return all(left.get(name, 0) >= amount for name, amount in needs.items())


def _ends_before(reservation: Reservation, now: float, lane: Lane) -> bool:
    return lane.longest is not None and now + lane.longest <= reservation.at


def _spares(reservation: Reservation, now: float, lane: Lane) -> bool:
    return _ends_before(reservation, now, lane) or _holds(reservation.beside, lane.needs)


def _beside(reservation: Reservation, now: float, lane: Lane) -> None:
    if not _ends_before(reservation, now, lane):
        for name, amount in lane.needs.items():
            reservation.beside[name] -= amount

"""A policy of the app's own, and the default one where that fails.

It is called on the event loop at every decision, so what it does wrong must not stand in anybody's way: for a decision
that it fails to make the default one takes over, and the log says why, once a minute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from math import inf
from types import MappingProxyType

from triggers.errors import TriggersError
from triggers.policy import Lane, Policy, View, order

log = logging.getLogger("triggers.dispatcher")

MOST = 0.05
"""Seconds that one decision may take: nothing else is done meanwhile."""

REST = 20
"""After a decision that took too long it is not asked for so many times as long: it may have a part of the loop's
time, and not all of it. What does not return at all can't be ended."""

PAUSE = 60.0
"""Seconds between two messages."""


class Refused(TriggersError):
    """What a policy returned is no order of the lanes."""


class Preference:
    """Asks a policy of the app's own. `failed` counts the decisions that it did not make."""

    def __init__(self, policy: Policy, monotonic: Callable[[], float], default: Policy = order) -> None:
        self.failed = 0
        self._policy = policy
        self._monotonic = monotonic
        self._default = default
        self._rests = self._told = -inf
        self._untold = 0

    def __call__(self, view: View) -> Iterable[int]:
        """Return the order of its choice, or the default one."""
        now = self._monotonic()
        if now < self._rests:
            return self._fail(view, now, None)
        try:
            chosen = checked(self._policy(_guarded(view)), view.lanes)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a plugin raises: it must not end the app, or have it stand still
            return self._fail(view, now, f"it failed: {error!r}" if not isinstance(error, Refused) else str(error))
        taken = self._monotonic() - now
        if taken > MOST:
            self._rests = now + taken + REST * taken
            return self._fail(view, now, f"it took {taken:.3g} s, and {MOST:g} are the most; it rests for a while")
        return chosen

    def _fail(self, view: View, now: float, why: str | None) -> Iterable[int]:
        self.failed += 1
        self._untold += 1
        if why is not None and now >= self._told + PAUSE:
            name, many = name_of(self._policy), self._untold
            decisions = "decision" if many == 1 else "decisions"
            log.error("policy %s: %s; the default policy took over, for %d %s so far", name, why, many, decisions)
            self._told, self._untold = now, 0
        return self._default(view)


def name_of(policy: Policy) -> str:
    """Return `module:name` of a policy, by which people know it."""
    return f"{policy.__module__}:{getattr(policy, '__qualname__', type(policy).__qualname__)}"


def checked(chosen: Iterable[int], lanes: Sequence[Lane]) -> list[int]:
    """Return an order as a list. `Refused` where it names what is no lane, or a lane more often than it has heads.

    It may leave lanes out: they come behind.
    """
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise Refused(f"it returned {chosen!r}, which is no sequence of indexes; return the lanes' in order")
    found, left = [], [len(lane.heads) for lane in lanes]
    for index in chosen:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(left):
            raise Refused(f"it named {index!r}, which is none of the {len(left)} lanes; name them from 0 on")
        if not left[index]:
            raise Refused(f"it named lane {index} more than {len(lanes[index].heads)} times, once for each of its runs")
        left[index] -= 1
        found.append(index)
    return found


def _guarded(view: View) -> View:
    """Return the view so that nothing of it can be changed: some of it is the dispatcher's own."""
    lanes = tuple(lane._replace(heads=tuple(lane.heads), needs=MappingProxyType(lane.needs)) for lane in view.lanes)
    free, capacity = MappingProxyType(view.free), MappingProxyType(view.capacity)
    return view._replace(lanes=lanes, free=free, capacity=capacity, running=tuple(view.running))

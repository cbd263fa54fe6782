"""Views to decide on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from triggers.policy.view import Busy, Lane, View

NOW = 1_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR


def lane(
    *numbers: int, wait: float = 0.0, priority: int = 0, p: float | None = 60.0, p90: float | None = None,
    due: Sequence[float] = (), share: str | None = None, aging: float = 600.0, **needs: int,
) -> Lane:  # fmt: skip
    """Return a lane whose runs all came `wait` seconds ago, with deadlines in `due` seconds from now."""
    heads = [(NOW - wait - aging * priority, number) for number in numbers]
    deadlines = [NOW + seconds for seconds in due]
    return Lane(heads, needs or {"slot": 1}, priority, p, p90 if p90 is not None else p, deadlines, share, 0.1)


def view(
    *lanes: Lane, running: Sequence[Busy] = (), usage: Mapping[str, float] | None = None,
    capacity: Mapping[str, int] | None = None, **free: int,
) -> View:  # fmt: skip
    """Return a view with so much free of each resource, by default one slot."""
    left = free or {"slot": 1}
    return View(NOW, lanes, left, capacity or dict.fromkeys(left, 10), running, usage or {})

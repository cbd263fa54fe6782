"""Which waiting run starts next: pure functions of a bounded view, with no I/O and no clock.

`order` ranks what waits, `fit` takes an order against what is free.
"""

from __future__ import annotations

from triggers.policy.fit import fit
from triggers.policy.order import by_rank, order
from triggers.policy.view import Busy, Lane, Policy, Rank, View

__all__ = ["Busy", "Lane", "Policy", "Rank", "View", "by_rank", "fit", "order"]

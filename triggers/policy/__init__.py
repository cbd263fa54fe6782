"""Which waiting run starts next: pure functions of a bounded view, with no I/O and no clock.

`order` ranks what waits, `fit` takes an order against what is free.
"""

from __future__ import annotations

from triggers.policy.fit import fit
from triggers.policy.order import by_rank, dominant, order
from triggers.policy.shares import FORGOTTEN, Shares
from triggers.policy.view import Busy, Lane, Policy, Rank, View

__all__ = ["FORGOTTEN", "Busy", "Lane", "Policy", "Rank", "Shares", "View", "by_rank", "dominant", "fit", "order"]

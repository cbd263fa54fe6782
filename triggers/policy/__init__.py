"""Which waiting run starts next: pure functions of a bounded view, with no I/O and no clock.

`order` ranks what waits, `fit` takes an order against what is free. `Rank`, `View` and `choose` are still those of the
engine as it stands; those that take their place are in `triggers.policy.view`.
"""

from __future__ import annotations

from triggers.policy.choose import Rank, View, choose

__all__ = ["Rank", "View", "choose"]

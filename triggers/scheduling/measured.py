"""What is measured against what was declared: how much memory is in use that nobody has taken."""

from __future__ import annotations

from collections.abc import Mapping

HEADROOM = 0.05
"""What part of the memory is left to the kernel and to everybody else, when more is to be started."""


def unseen(capacity: int, taken: Mapping[int, int], held: Mapping[int, int], available: int) -> int:
    """Return how much less memory is free than the capacity leaves beside what runs have taken.

    `taken` is what each run at work has taken, `held` what those of them have whose processes are measured, `available`
    what the machine really has left. What is free then is the smaller of two: what is left of the capacity, each run
    counting for what it has taken or for what it has, whichever is more; and what the machine has left, less the
    headroom, and less what runs have taken and may still come to use. Where nothing is measured, nothing is corrected.
    """
    known = {run: amount for run, amount in held.items() if run in taken}
    if not known:
        return 0
    beyond = sum(max(0, amount - taken[run]) for run, amount in known.items())
    to_come = sum(max(0, taken[run] - amount) for run, amount in known.items())
    left = capacity - sum(taken.values())
    return left - min(left - beyond, available - round(HEADROOM * capacity) - to_come)

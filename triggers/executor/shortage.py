"""Attempts that died of memory: how they are told from others, and how much the next one gets."""

from __future__ import annotations

import signal

from triggers.attempt import Run
from triggers.errors import MemoryExceeded
from triggers.executor.meter import Reading
from triggers.quantities import in_bytes

GROWTH = 1.5
"""How many times as much the attempt after one that died of memory gets."""


def cause(run: Run, fate: int | None, reading: Reading, error: Exception) -> Exception:
    """Return why an attempt ended whose process is gone; `fate` is how that ended.

    An attempt that died of memory wants more for the next one. Of which process it has ended for want of memory, the
    kernel tells in a control group only. Without one it was this if it was killed, nobody here did it, and the kernel
    killed some process meanwhile. And it was this if it had most of what it may have: there are others than the kernel
    who kill for memory.
    """
    if not (reading.exceeded or (fate == -signal.SIGKILL and (reading.ran_out() or reading.near()))):
        return error
    if reading.used_up():
        reading.most = max(reading.most, run.memory or 0.0)
    run.wants = GROWTH * max(run.memory or 0.0, reading.most)
    name, had, more = run.route.name, in_bytes(reading.most), in_bytes(run.wants)
    if reading.exceeded:
        assert run.memory
        what = f"had {had} of memory, more than the {in_bytes(run.memory)} that its run may have"
    elif reading.used_up():
        what = f"had all of the {had} of memory that its run may have and took more, so the kernel ended it"
    else:
        of = f", its run may have {in_bytes(run.memory)}" if run.memory else ""
        what = f"was killed by SIGKILL, as the kernel does when memory runs out; it had {had}{of}"
    return MemoryExceeded(
        f"handler {name!r} {what}. Another attempt may have {more}, or all there is; declare what it takes,"
        " needs={'memory': ...}, `triggers profile` says how much",
        lost=True,
    )

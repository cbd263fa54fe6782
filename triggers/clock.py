"""The only place that knows time, so that tests and the simulation own it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

LONGEST_SLEEP = 60.0
"""Seconds after which a sleeper looks at the wall clock again."""


class Clock(Protocol):
    """What the engine asks of time."""

    def now(self) -> float:
        """Return the wall clock in seconds since the Unix epoch. For schedules and for people."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow within one boot, counted through suspend. For back-off."""
        ...

    def awake(self) -> float:
        """Return seconds that only grow within one boot, while the machine is awake. For how long work took."""
        ...

    def boot(self) -> str:
        """Return what names this boot: `monotonic` of two boots cannot be compared."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of `monotonic`."""
        ...

    async def sleep_until(self, moment: float) -> None:
        """Wait until `now` shows the Unix time `moment`, also when the wall clock is set meanwhile.

        Returns early where the wall clock has been set back: who asked may have reckoned with a moment that it was
        never to show.
        """
        ...


class SystemClock:
    """The machine's own clock (`CLOCK_BOOTTIME`, which goes on while a laptop sleeps)."""

    def now(self) -> float:
        """Return `time.time()`."""
        return time.time()

    def monotonic(self) -> float:
        """Return `CLOCK_BOOTTIME`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def awake(self) -> float:
        """Return `time.monotonic()`, which stands still while the machine is suspended."""
        return time.monotonic()

    def boot(self) -> str:
        """Return the kernel's random identity of this boot."""
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    async def sleep(self, seconds: float) -> None:
        """Sleep, looking again once a minute: the event loop's own clock stands still while the machine sleeps."""
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:  # noqa: ASYNC110  # no event tells that the machine woke up
            await asyncio.sleep(min(left, LONGEST_SLEEP))

    async def sleep_until(self, moment: float) -> None:
        """Sleep, looking at the wall clock again once a minute: it may be set, or the machine may have slept."""
        before = self.now()
        while before <= (now := self.now()) < moment:  # no event tells that the wall clock was set
            before = now
            await asyncio.sleep(min(moment - now, LONGEST_SLEEP))

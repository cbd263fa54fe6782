"""An alarm: one timer, set to the earliest moment that anybody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Alarm:
    """Rings at the earliest moment that it was set to, on the clock of `sleep_until`."""

    def __init__(self, sleep_until: Callable[[float], Awaitable[object]], ring: Callable[[], None]) -> None:
        self.due: float | None = None
        self._sleep_until = sleep_until
        self._ring = ring
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def set(self, due: float | None) -> None:
        """Ring at `due`, unless it is set to an earlier moment already."""
        if self._closed or due is None or (self.due is not None and self.due <= due):
            return
        self.cancel()
        self.due = due
        self._task = asyncio.get_running_loop().create_task(self._wait(due))

    def cancel(self) -> None:
        """Forget it."""
        if self._task:
            self._task.cancel()
        self._task = self.due = None

    def close(self) -> None:
        """Forget it, and ring no more."""
        self._closed = True
        self.cancel()

    async def _wait(self, due: float) -> None:
        await self._sleep_until(due)
        self._task = self.due = None
        self._ring()

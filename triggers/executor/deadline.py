"""A coroutine's attempt within its time.

Apart from the attempt itself, so that who only calls plain functions need not load asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from triggers.attempt import Outcome, Run, call_coroutine, ended, judge, not_at_work, timed_out


async def run_coroutine(run: Run, late: Late) -> Outcome:
    """Await a coroutine handler and return what came of it. Only a cancellation from outside escapes.

    `late` is called with the deadline of a run whose `timeout=` has just cancelled it.
    """
    try:
        if not run.route.ends:
            return await call_coroutine(run)
        with Deadline(run, run.route.policy.timeout, late):
            return await call_coroutine(run)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # SystemExit would otherwise end the loop
        return judge(run, error)


class Deadline:
    """What `asyncio.timeout` does for a run, and a word when it does it, so that a handler that runs on is noticed.

    Meanwhile the run can be ended from outside, which raises CancelledError in it.

    asyncio's own tells nobody that it has expired, and a second timer for each run would be paid for by all of them.
    """

    def __init__(self, run: Run, seconds: float | None, late: Late) -> None:
        self.run = run
        self.over = False
        """Whether the handler has ended."""
        self._seconds = seconds
        self._late = late
        self._expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task
        self._task, self._before = task, task.cancelling()
        if self.run.end is ended:
            raise asyncio.CancelledError
        self.run.end = task.cancel
        loop = asyncio.get_running_loop()
        self._timer = None if self._seconds is None else loop.call_later(self._seconds, self._expire)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.over = True
        self.run.end = not_at_work
        if self._timer:
            self._timer.cancel()
        if self._expired:
            ours = self._task.uncancel() <= self._before  # nobody else has cancelled it
            if isinstance(error, TimeoutError) or (ours and isinstance(error, asyncio.CancelledError)):
                raise timed_out(self.run.route) from None

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
        self._late(self)


Late = Callable[[Deadline], None]

"""Coroutine handlers in a function: on one event loop, which lives as long as the environment does.

What a handler keeps between invocations, a session or an `async` resource, stays usable, being of the same loop.
Apart from the rest, so that a function with plain handlers alone never loads asyncio.
"""

from __future__ import annotations

import asyncio
from contextvars import Context

from triggers.attempt import Done, Outcome, Run, call_coroutine, cancelled, judge, timed_out
from triggers.errors import HandlerError


class Coroutines:
    """The event loop of an environment."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def carry_out(self, run: Run, seconds: float) -> Outcome:
        """Await a coroutine handler, within its route's `timeout=` and within so many seconds in any case."""
        task = self._loop.create_task(_attempt(run, seconds), context=Context())
        return self._loop.run_until_complete(task)

    def close(self) -> None:
        """Let go of the loop."""
        self._loop.close()


async def _attempt(run: Run, seconds: float) -> Outcome:
    try:
        return await _in_time(run, seconds)
    except asyncio.CancelledError:
        return cancelled(run)
    except BaseException as error:  # SystemExit would otherwise end the loop
        return judge(run, error)


async def _in_time(run: Run, seconds: float) -> Done:
    timeout = run.route.policy.timeout
    limit = seconds if timeout is None else min(seconds, timeout)
    try:
        async with asyncio.timeout(limit) as bound:
            return await call_coroutine(run)
    except TimeoutError:
        if not bound.expired():
            raise  # the handler's own
    raise (
        timed_out(run.route)
        if limit == timeout
        else HandlerError(
            f"handler {run.route.name!r} was ended before the function's own time-out; give the function more time,"
            " or the handler less to do",
            lost=True,
        )
    )


__all__ = ["Coroutines"]

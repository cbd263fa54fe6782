"""An event loop in virtual time: where nothing is ready, the clock moves to the next moment that anybody waits for.

It has no descriptors, no signals and no threads, and what goes to a thread is done on the spot. So the order of
everything is this loop's, and the same order always gives the same run.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from triggers.harness import FakeClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE = 86_400.0
"""Virtual seconds after which something that should end by itself counts as stuck: a wake-up was lost."""


class Crash(BaseException):
    """The process has died. Nothing may be done that could be seen from outside."""


class StuckError(Exception):
    """What was waited for does not come, although time goes on."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop on a fake clock. `arrange` may put what is ready into another order before each turn."""

    def __init__(self, clock: FakeClock, arrange: Callable[[list[asyncio.Handle]], None]) -> None:
        super().__init__()
        self._clock = clock
        self._arrange = arrange
        self._next: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._idlers: list[asyncio.Future[None]] = []
        self.dead = False
        """Whether the process is gone: nothing runs on this loop any more."""

    def run(self, work: Coroutine[Any, Any, T], patience: float = PATIENCE) -> T:
        """Carry work out and return its result; raise `Crash` if the process dies, `StuckError` if it never ends."""
        task: asyncio.Task[T] = self.create_task(work)
        until = self._clock.monotonic() + patience
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, lambda _: None)  # nobody closes the generators of a dead process
        asyncio._set_running_loop(self)
        try:
            while not task.done():
                self._turn(until)
        finally:
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        return task.result()

    def _turn(self, until: float) -> None:
        """Run what is ready; where nothing is, wake those who are due next."""
        if not self._next:
            self._wake(until)
        ready, self._next = self._next, []
        self._arrange(ready)
        for handle in ready:
            if self.dead:
                raise Crash
            if not handle.cancelled():
                handle._run()
        if self.dead:
            raise Crash

    def _wake(self, until: float) -> None:
        """Wake who waits until nothing is ready, or else those who are due next."""
        if self._idlers:
            for future in self._idlers:
                future.set_result(None)
            self._idlers.clear()
            return
        if not self._clock.step(until):
            raise StuckError("the app waits for something that does not come: a wake-up was lost")
        while self._clock.step(self._clock.monotonic()):
            pass

    async def idle(self) -> None:
        """Wait until nothing is ready: who was woken has had its turn."""
        future = self.create_future()
        self._idlers.append(future)
        await future

    def bury(self) -> None:
        """Let go of what a dead process left behind, once nothing is looked at any more. What it says is not heard."""
        self.dead = True
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio.gather sets it, too
                close(task.get_coro())
        logging.disable(before)

    # --- what asyncio asks of a loop

    def time(self) -> float:
        """Return the clock's monotonic seconds."""
        return self._clock.monotonic()

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a function in the next turn."""
        handle = asyncio.Handle(callback, args, self, context)
        self._next.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Do the same: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a function when the clock shows that moment."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._clock.wake(when, _Due(self._next_time, handle))
        return handle

    def _next_time(self, handle: asyncio.Handle) -> None:
        self._next.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is found to be done when its moment comes."""

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> asyncio.Task[Any]:
        """Return a new task, which begins in the next turn."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name="simulated", context=context)
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: object, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """Call a function on the spot, whatever thread it was meant for."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Raise what a callback has failed with. What a task has failed with is told by who waits for it."""
        error = context.get("exception")
        if "handle" in context and isinstance(error, BaseException) and not isinstance(error, Crash):
            raise error

    def is_running(self) -> bool:
        """Say whether the loop runs at this moment."""
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Say whether the process is gone."""
        return self.dead


class _Due:
    """A timer, as the clock wakes it."""

    def __init__(self, ready: Callable[[asyncio.Handle], None], handle: asyncio.Handle) -> None:
        self._ready = ready
        self._handle = handle

    def done(self) -> bool:
        return self._handle.cancelled()

    def set_result(self, _: None) -> None:
        self._ready(self._handle)


def close(coroutine: Any) -> None:
    """End a coroutine of a dead process. It may ignore that it is over, or fail to clean up: nobody looks any more."""
    with suppress(BaseException):
        coroutine.close()

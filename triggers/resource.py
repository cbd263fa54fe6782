"""What handlers share and what is costly to make: a client, a pool of connections, a loaded model.

::

    @app.resource
    def features() -> Iterator[FeatureStore]:
        with FeatureStore.connect(URL) as store:
            yield store

    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return fit(features().read(event.table))

It is made when it is first asked for, once in each process: the dispatcher's, each of isolated handlers, each
environment of a Lambda function. What follows the `yield` is carried out when the app stops; a process that is killed
takes its resources with it.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from triggers.errors import WiringError

if TYPE_CHECKING:  # a resource that is no coroutine needs no loop
    import asyncio

T = TypeVar("T")

log = logging.getLogger("triggers.resource")


class Resource(Generic[T]):
    """A function that makes a value, or yields it once and cleans up behind it; called, it returns the one value.

    Any number of threads may ask at once. A failure is not kept: the next one who asks tries again.
    """

    def __init__(self, make: Callable[[], T | Iterator[T]]) -> None:
        update_wrapper(self, make)
        self.name = make.__qualname__
        self._make = make
        self._lock = threading.Lock()
        self._values: list[T] = []
        self._cleaning: Iterator[T] | None = None

    def __call__(self) -> T:
        """Return the value; raises whatever making it raises."""
        with self._lock:
            if not self._values:
                self._values.append(self._made())
            return self._values[0]

    async def close(self) -> None:
        """Clean up behind the value, if there is one; who asks later gets a new one."""
        with self._lock:
            cleaning, self._cleaning = self._cleaning, None
            self._values.clear()
            if cleaning and next(cleaning, self) is not self:
                raise _yields_again(self.name)

    def forget(self) -> object:
        """Let go of the value as a process does that dies; return what would have cleaned up, and does not."""
        cleaning, self._cleaning = self._cleaning, None
        self._values.clear()
        return cleaning

    def _made(self) -> T:
        if not inspect.isgeneratorfunction(self._make):
            return cast(T, self._make())
        self._cleaning = cast(Iterator[T], self._make())
        for value in self._cleaning:
            return value
        raise WiringError(f"resource {self.name!r} yields nothing; yield the value that handlers are to get")


class AsyncResource(Generic[T]):
    """The same of an `async` function, for coroutine handlers: one value for each event loop, got by `await`."""

    def __init__(self, make: Callable[[], Awaitable[T] | AsyncIterator[T]]) -> None:
        update_wrapper(self, make)
        self.name = make.__qualname__
        self._make = make
        self._making: asyncio.Task[T] | None = None
        self._cleaning: AsyncIterator[T] | None = None

    async def __call__(self) -> T:
        """Return the value; raises whatever making it raises."""
        import asyncio

        making, loop = self._making, asyncio.get_running_loop()
        if making is None or making.get_loop() is not loop or (making.done() and _failed(making)):
            making = self._making = loop.create_task(self._made())
        return await asyncio.shield(making)  # one who is cancelled does not take it from the others

    async def close(self) -> None:
        """Clean up behind the value, if there is one; who asks later gets a new one."""
        cleaning, self._cleaning, self._making = self._cleaning, None, None
        if cleaning and await anext(cleaning, self) is not self:
            raise _yields_again(self.name)

    def forget(self) -> object:
        """Let go of the value as a process does that dies; return what would have cleaned up, and does not."""
        left, self._cleaning, self._making = (self._cleaning, self._making), None, None
        return left

    async def _made(self) -> T:
        made = self._make()
        if not inspect.isasyncgen(made):
            return await cast(Awaitable[T], made)
        self._cleaning = cleaning = cast(AsyncIterator[T], made)
        async for value in cleaning:
            return value
        raise WiringError(f"resource {self.name!r} yields nothing; yield the value that handlers are to get")


def make_resource(owner: str, make: Callable[[], Any]) -> Resource[Any] | AsyncResource[Any]:
    """Return the resource that a function makes; raise `WiringError` for a function that asks for something."""
    if not inspect.isfunction(make):
        raise WiringError(f"{owner}: @app.resource belongs above a function that makes a value, not above {make!r}")
    if needed := [name for name, asked in inspect.signature(make).parameters.items() if asked.default is asked.empty]:
        raise WiringError(
            f"{owner}: resource {make.__qualname__!r} is made without arguments, so nobody gives it {needed[0]!r};"
            " give it a default, or read what it needs inside"
        )
    asynchronous = inspect.iscoroutinefunction(make) or inspect.isasyncgenfunction(make)
    return AsyncResource(make) if asynchronous else Resource(make)


async def close_all(resources: Iterable[Resource[Any] | AsyncResource[Any]]) -> None:
    """Clean up behind all of them, the last one first, as it may use the ones before; what fails is said, once each."""
    for resource in reversed(list(resources)):
        try:
            await resource.close()
        except Exception:
            log.exception("resource %r failed to clean up", resource.name)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


def _yields_again(name: str) -> WiringError:
    return WiringError(f"resource {name!r} yields more than once; it yields the value, and then cleans up")


__all__ = ["AsyncResource", "Resource", "make_resource"]

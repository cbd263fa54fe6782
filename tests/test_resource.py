from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from triggers import App, Event
from triggers.errors import WiringError
from triggers.resource import close_all
from triggers.testing import Harness


class Asked(Event):
    pass


class Answered(Event):
    value: int


def test_a_resource_is_made_once_for_all_threads() -> None:
    app, made, both = App("shared"), [], threading.Barrier(8)

    @app.resource
    def client() -> object:
        made.append(1)
        return object()

    def ask(_: int) -> object:
        both.wait()
        return client()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert made == [1]


def test_a_resource_that_nobody_asks_for_is_not_made() -> None:
    app, made = App("shared"), []

    @app.resource
    def client() -> None:
        made.append(1)

    asyncio.run(close_all(app.made_once))
    assert made == []


def test_what_failed_to_be_made_is_made_by_the_next_who_asks() -> None:
    app, answers = App("shared"), [OSError("away"), 7]

    @app.resource
    def client() -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return int(str(answer))

    with pytest.raises(OSError, match="away"):
        client()
    assert client() == 7


def test_a_coroutines_resource_that_failed_is_made_by_the_next_who_asks() -> None:
    app, answers = App("shared"), [OSError("away"), 7]

    @app.resource
    async def client() -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return int(str(answer))

    async def ask() -> int:
        with pytest.raises(OSError, match="away"):
            await client()
        return await client()

    assert asyncio.run(ask()) == 7


def test_who_is_cancelled_while_a_resource_is_made_does_not_take_it_from_the_others() -> None:
    app = App("shared")

    async def ask() -> int:
        may = asyncio.Event()

        @app.resource
        async def client() -> int:
            await may.wait()
            return 7

        one, other = asyncio.ensure_future(client()), asyncio.ensure_future(client())
        await asyncio.sleep(0)
        one.cancel()
        may.set()
        return await other

    assert asyncio.run(ask()) == 7


def test_an_app_cleans_up_behind_its_resources_when_it_stops_the_last_one_first(tmp_path: Path) -> None:
    app, told = App("shared"), []

    @app.resource
    def connection() -> Iterator[int]:
        yield 3
        told.append("connection closed")

    @app.resource
    async def client() -> AsyncIterator[int]:
        yield connection() + 4
        told.append("client closed")

    @app.on(Asked)
    async def answer(event: Asked) -> Answered:
        return Answered(value=await client())

    pipeline = Harness(app, tmp_path)
    pipeline.send(Asked(), Asked())
    assert pipeline.events(Answered) == [Answered(value=7)] * 2
    assert told == []
    pipeline.close()
    assert told == ["client closed", "connection closed"]


def test_a_resource_that_fails_to_clean_up_is_said_and_does_not_keep_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, told = App("shared"), []

    @app.resource
    def first() -> Iterator[int]:
        yield 1
        told.append("first closed")

    @app.resource
    def second() -> Iterator[int]:
        yield 2
        raise OSError("already gone")

    first(), second()
    with caplog.at_level(logging.ERROR):
        asyncio.run(close_all(app.made_once))
    assert told == ["first closed"]
    assert "second' failed to clean up" in caplog.text


def test_a_function_that_yields_nothing_or_twice_is_refused_when_it_does_so() -> None:
    app = App("shared")

    @app.resource
    def nothing() -> Iterator[int]:
        yield from ()

    @app.resource
    def twice() -> Iterator[int]:
        yield from (1, 2)

    with pytest.raises(WiringError, match="nothing' yields nothing"):
        nothing()
    twice()
    with pytest.raises(WiringError, match="twice' yields more than once"):
        asyncio.run(twice.close())


def test_a_function_that_asks_for_something_is_refused() -> None:
    app = App("shared")
    with pytest.raises(WiringError, match="is made without arguments, so nobody gives it 'url'"):

        @app.resource
        def client(url: str) -> str:
            return url


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(WiringError, match="belongs above a function"):
        App("shared").resource(3)  # type: ignore[call-overload]

"""The machine's own clock, where the wall clock is set while somebody waits for a moment of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.kit import PATIENCE
from triggers.clock import SystemClock

HOUR = 3600.0


class Settable(SystemClock):
    """The machine's clock, with a wall clock that a test may set."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Settable:
    monkeypatch.setattr("triggers.clock.LONGEST_SLEEP", 0.001)
    return Settable()


def while_asleep(sleep: Callable[[], Awaitable[None]], happens: Callable[[], None]) -> None:
    """Fall asleep, have something happen then, and wait until the sleeper is awake."""

    async def waiting() -> None:
        sleeper = asyncio.ensure_future(sleep())
        asyncio.get_running_loop().call_later(0.01, happens)
        await asyncio.wait_for(sleeper, PATIENCE)

    asyncio.run(waiting())


def test_who_waits_for_a_moment_hears_of_a_wall_clock_that_is_set_back(clock: Settable) -> None:
    moment = clock.now() + HOUR
    while_asleep(lambda: clock.sleep_until(moment), lambda: setattr(clock, "ahead", -24 * HOUR))
    assert clock.now() < moment - 24 * HOUR


def test_who_waits_for_a_moment_hears_of_a_wall_clock_that_is_set_forward_beyond_it(clock: Settable) -> None:
    moment = clock.now() + HOUR
    while_asleep(lambda: clock.sleep_until(moment), lambda: setattr(clock, "ahead", 24 * HOUR))
    assert clock.now() >= moment


def test_who_waits_for_a_moment_does_not_wake_before_it_where_the_wall_clock_is_set_forward_by_less(
    clock: Settable,
) -> None:
    moment = clock.now() + HOUR + 0.05
    while_asleep(lambda: clock.sleep_until(moment), lambda: setattr(clock, "ahead", HOUR))
    assert clock.now() >= moment


def test_who_waits_for_so_long_does_not_care_how_the_wall_clock_is_set(clock: Settable) -> None:
    before = clock.monotonic()
    while_asleep(lambda: clock.sleep(0.05), lambda: setattr(clock, "ahead", -24 * HOUR))
    assert clock.monotonic() - before >= 0.05

"""Spans of time, wherever one is declared."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from triggers import App, Batch, Breaker, Bucket, Debounce, Event, Folder, Join, Prices, Rate, Retry, Tick, every
from triggers.errors import WiringError
from triggers.schedule.timetable import manner
from triggers.spans import in_words, seconds, span


class Left(Event):
    n: int


class Right(Event):
    n: int


@pytest.mark.parametrize(
    ("value", "found"),
    [(90, 90), (0.5, 0.5), ("90m", 5400), ("1d12h", 129_600), ("1w 2s", 604_802), (0, 0), ("0s", 0)],
)
def test_a_span_is_seconds_or_amounts_with_their_units(value: float | str, found: float) -> None:
    assert span(value) == found


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.34, "340 ms"), (12.1, "12.1 s"), (130, "2 min 10 s"), (12_000, "3 h 20 min"), (52 * 3600, "2 d 4 h")],
)
def test_a_span_is_told_in_two_units_at_most(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


OTHER = ["", "30", "2 hours", "h", "-1h", "1.5h", -1, True, None, float("nan"), float("inf"), 1e12, "52143w"]
OTHER += [pytest.param("9" * 400 + "d", id="text"), pytest.param(10**400, id="number")]  # no float holds them


@pytest.mark.parametrize("value", OTHER)
def test_nothing_else_is_one(value: object) -> None:
    assert span(value) is None
    with pytest.raises(WiringError, match=r"a: wait=.* is (no span of time|missing)"):
        seconds("a", "wait", value, zero=True)


def timed(**options: object) -> object:
    app = App("a")
    on: Callable[..., Callable[..., object]] = app.on
    on(Left, name="one", **options)(one)
    (found,) = (getattr(app.routes["one"].policy, name) for name in options)
    return found


async def one(event: Left) -> None: ...


async def tick(event: Tick) -> None: ...


@pytest.mark.parametrize(
    "declared",
    [
        lambda wait: Batch(3, within=wait).within,
        lambda wait: Debounce(wait).quiet,
        lambda wait: Debounce(1, longest=wait).longest,
        lambda wait: Join(Left, Right, by="n", within=wait).within,
        lambda wait: Rate(3, per=wait).per,
        lambda wait: Retry(initial=wait, maximum=wait).initial,
        lambda wait: Retry(initial=0, maximum=wait).maximum,
        lambda wait: Retry(within=wait).within,
        lambda wait: Breaker(within=wait).within,
        lambda wait: Breaker(pause=wait, longest=wait).pause,
        lambda wait: Prices("p.csv", within=wait).within,
        lambda wait: Prices("p.csv", step=wait).step,
        lambda wait: Folder("in", settle=wait).settle,
        lambda wait: Folder("in", poll=wait).poll,
        lambda wait: Bucket("s3://acme/in", audit=wait).audit,
        lambda wait: App("a", aging=wait).limits.aging,
        lambda wait: timed(timeout=wait),
        lambda wait: timed(deadline=wait).seconds,
        lambda wait: timed(expires=wait).seconds,
        lambda wait: timed(not_before=wait).seconds,
        lambda wait: manner(every(hours=9, missed_within=wait)).within,
        lambda wait: manner(every(hours=9, jitter=wait)).jitter,
    ],
)
def test_every_option_that_is_a_span_takes_text_and_seconds(declared: Callable[[object], object]) -> None:
    assert declared("2h") == declared(7200) == 7200

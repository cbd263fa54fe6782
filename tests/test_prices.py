"""Where a run is cheapest, held against every second of it; and price lists that will not do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triggers import Prices
from triggers.errors import ScheduleError, WiringError
from triggers.schedule.series import Row, Series, read, series
from triggers.schedule.window import Interval

STEP = 5


def made(prices: list[float]) -> Series:
    return series("p", [Row(float(STEP * n), price, f"row {n}") for n, price in enumerate(prices)])


@given(
    prices=st.lists(st.integers(-5, 9).map(float), min_size=2, max_size=12),
    seconds=st.integers(1, 30),
    first=st.integers(0, 30),
    latest=st.integers(0, 60),
    open_at=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=3),
)
@example([5.0, 1.0], 4, 0, 3, [(0, 40)])
@settings(max_examples=150)
def test_no_second_would_have_been_cheaper_to_start_at(
    prices: list[float], seconds: int, first: int, latest: int, open_at: list[tuple[int, int]]
) -> None:
    where = [Interval(start, start + length) for start, length in open_at]
    offers = made(prices).offers(seconds, where)
    offers.cheapest(first + 7, latest + 9)  # what was asked before changes nothing
    found = offers.cheapest(first, latest)

    def cost(start: int) -> float:
        return sum(prices[second // STEP] for second in range(start, start + seconds))

    fits = [
        start
        for start in range(first, min(latest, STEP * len(prices) - seconds) + 1)
        if any(one.start <= start and start + seconds <= one.end for one in where)
    ]
    costs = {start: cost(start) for start in fits}
    assert found == (min(fits, key=lambda start: (costs[start], start)) if fits else None)


def lines(text: str, timezone: str = "UTC") -> Series:
    return read("p.csv", text.splitlines(), timezone)


def test_a_list_may_have_a_heading_offsets_local_times_or_unix_seconds() -> None:
    wanted = lines("0,1\n3600,2.5")
    assert lines("time,price,unit\n1970-01-01T00:00Z,1,EUR\n1970-01-01 02:00:00+01:00,2.5,EUR\n\n") == wanted
    assert lines("1970-01-01T01:00,1\n1970-01-01T02:00,2.5", "Europe/Berlin") == wanted
    assert (wanted.start, wanted.end, wanted.cost(1800, 3600)) == (0, 7200, 1800 + 2.5 * 1800)


def test_local_times_go_through_both_changes_of_the_clocks_without_a_gap() -> None:
    spring = "\n".join(f"2026-03-29T{hour:02}:00,{hour}" for hour in (0, 1, 3, 4))
    autumn = "\n".join(f"2026-10-25T{hour:02}:00,{hour}" for hour in (0, 1, 2, 2, 3, 4))
    assert len(lines(spring, "Europe/Berlin").prices) == 4
    assert list(lines(autumn, "Europe/Berlin").prices) == [0, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "0,1\n60,1\n120,1\n240,1\n300,1",
            "p.csv, line 4: between 1970-01-01T00:02:00Z and 1970-01-01T00:04:00Z is a gap",
        ),
        (
            "0,1\n60,1\n60,2",
            "p.csv, line 3: 1970-01-01T00:01:00Z does not come after 1970-01-01T00:01:00Z; sort the rows",
        ),
        ("0,1\n60,nan\n120,1", "p.csv, line 2: the price nan is no number"),
        ("0,1\n60,\n120,1", "p.csv, line 2: '60,' is no moment with a price"),
        ("0,1\nnoon,1", "p.csv, line 2: 'noon,1' is no moment with a price"),
        ("0,1\n60", "p.csv, line 2: '60' has no second column; write moment,price"),
        ("2026-01-01T00:00,1.O\n2026-01-01T01:00,2", "p.csv, line 1: '2026-01-01T00:00,1.O' is no moment with a price"),
        ("2026-O1-01T00:00,1\n2026-01-01T01:00,2", "p.csv, line 1: '2026-O1-01T00:00,1' is no moment with a price"),
        ("0,1", "p.csv has one price; it takes two at least"),
        ("time,price", "p.csv has no price; it takes two at least"),
    ],
)
def test_a_list_that_will_not_do_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        lines(text)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Prices(5), r"Prices\(5\) is neither a file nor a function"),  # type: ignore[arg-type]
        (lambda: Prices("p.csv", within=0), "Prices: within=0 is no span of time above 0"),
        (lambda: Prices("p.csv", timezone="Berlin"), "no time zone named 'Berlin'"),
    ],
)
def test_prices_that_make_no_sense_are_refused(make: Callable[[], Prices], words: str) -> None:
    with pytest.raises(WiringError, match=words):
        make()


def test_the_mark_that_windows_writes_before_a_text_hides_no_price(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("\ufeff0,1\n60,2\n", encoding="utf-8")
    known = Prices(file).require()
    assert known is not None
    assert list(known.prices) == [1, 2]


def test_a_file_is_read_again_when_it_has_changed_and_what_was_known_outlives_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "p.csv"
    file.write_text("0,1\n60,2\n")
    prices = Prices(file)
    first = prices.between(0, 100, now=0)
    assert first is not None
    file.write_text("0,1\n60,2\n120,3\n")
    os.utime(file, ns=(1, 1))
    assert prices.between(0, 100, now=30) is first  # it looks once a minute
    second = prices.between(0, 100, now=70)
    assert second is not None
    assert list(second.prices) == [1, 2, 3]
    assert prices.between(0, 100, now=140) is second
    file.unlink()
    assert prices.between(0, 100, now=210) is second
    assert prices.between(0, 100, now=280) is second
    assert caplog.text.count("p.csv cannot be read: No such file or directory") == 1


def test_a_function_is_asked_for_each_step_and_not_for_each_run() -> None:
    asked: list[float] = []

    def meter(moment: float) -> float:
        asked.append(moment)
        return moment

    prices = Prices(meter, step=60)
    one = prices.between(30, 300, now=30)
    assert one is not None
    assert (one.start, one.end, asked) == (0, 300, [0, 60, 120, 180, 240])
    assert prices.between(31, 200, now=31) is one
    later = prices.between(32, 400, now=32)
    assert later is not None
    assert later.end >= 400

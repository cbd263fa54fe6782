"""What a placement finds out once for all runs that take as long, though each has a deadline of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from triggers import Prices, Window
from triggers.schedule.series import Offers, Row, Series, series
from triggers.schedule.window import Interval
from triggers.scheduling.gates import KEPT, Placement
from triggers.scheduling.terms import Terms

HOUR = 3600.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
MANY = 20_000

asked: list[float] = []


class Counted(Window):
    """A window that notes how often it is looked through."""

    def fits(self, moment: float, seconds: float) -> Interval | None:
        asked.append(seconds)
        return super().fits(moment, seconds)


class Noted(Series):
    """A series that notes how often it is looked through."""

    def offers(self, seconds: float, where: Iterable[Interval]) -> Offers:
        asked.append(seconds)
        return super().offers(seconds, where)


def placement(window: Window | None, prices: list[float] | None, within: float = 24 * HOUR) -> Placement:
    """Return a placement by prices for each hour from noon on."""
    if prices is None:
        return Placement("r", window, None, 600)
    made = series("p", [Row(NOON + HOUR * n, price, f"row {n}") for n, price in enumerate(prices)])

    class Known(Prices):
        def between(self, start: float, end: float, now: float) -> Series:
            return noted

    noted = Noted(made.edges, made.prices, made.sums)
    return Placement("r", window, Known("p.csv", within=within), 600)


def starts(made: Placement, terms: Callable[[int], Terms]) -> list[float]:
    """Return when many runs of an hour start, of which it is asked at noon."""
    asked.clear()
    return [made.start(NOON, terms(n), HOUR).at for n in range(MANY)]


def test_runs_with_deadlines_of_their_own_are_placed_in_their_window_by_one_look_at_it() -> None:
    night = placement(Counted("22:00-06:00"), None)
    found = starts(night, lambda n: Terms(NOON, deadline=NOON + 2 * HOUR + 2 * n))
    opens = NOON + 10 * HOUR
    assert found == [min(opens, NOON + HOUR + 2 * n) for n in range(MANY)]
    assert asked == [HOUR]


def test_runs_with_deadlines_of_their_own_are_placed_where_it_is_cheapest_by_one_look_at_the_prices() -> None:
    falling = placement(None, [5, 4, 9, 3, 9, 9, 9, 9, 9])
    found = starts(falling, lambda n: Terms(NOON, deadline=NOON + 1.5 * HOUR + n))
    assert [found[n] - NOON for n in (0, 1800, 5400)] == [HOUR / 2, HOUR, HOUR]
    assert found[-1] == NOON + 3 * HOUR
    assert asked == [HOUR]


def test_of_very_many_lengths_only_some_are_remembered() -> None:
    night = placement(Counted("22:00-06:00"), [1.0] * 48)
    for n in range(2 * KEPT):
        night.start(NOON, Terms(NOON), HOUR + n)
    assert len(night._bargains) == KEPT


def test_a_price_is_not_waited_for_until_a_run_expires() -> None:
    night = placement(None, [5, 4, 9, 3, 9, 1])
    expires = NOON + 3 * HOUR

    def start(expires: float, now: float = NOON) -> float:
        return night.start(now, Terms(NOON, expires=expires), HOUR).at - NOON

    assert [start(NOON + hours * HOUR) / HOUR for hours in (9, 4, 2)] == [5, 3, 1]
    assert start(NOON + 3 * HOUR + 59) == 3 * HOUR - 1  # a minute is left to the dispatcher
    assert start(NOON + 30) == 0
    assert start(expires, expires + HOUR) == 5 * HOUR  # it has been started before: now it expires no more


def test_who_plays_the_future_again_finds_the_openings_that_are_first_then() -> None:
    night = placement(Counted("22:00-06:00"), None)
    later = Terms(NOON + 24 * HOUR)
    assert [night.start(now, later, HOUR).at - NOON for now in (NOON, NOON + 24 * HOUR)] == [10 * HOUR, 34 * HOUR]
    assert night.start(NOON, later, HOUR).at - NOON == 10 * HOUR


def test_a_price_is_waited_for_so_long_after_the_event_came_whatever_its_priority_and_whenever_it_is_asked() -> None:
    falling = placement(None, [9, 8, 7, 6, 5, 4, 3], within=2 * HOUR)
    urgent = Terms(NOON - 2 * 600, priority=2)
    assert [falling.start(NOON + n * HOUR, urgent, HOUR).at - NOON for n in (0, 1)] == [2 * HOUR] * 2


def test_prices_are_looked_through_again_as_time_goes_on_and_where_it_goes_back() -> None:
    made = placement(None, [9, 8, 9, 9, 9, 2, 9, 9, 9], within=2 * HOUR)
    assert made.start(NOON, Terms(NOON), HOUR).at == NOON + HOUR
    assert made.start(NOON + 3 * HOUR, Terms(NOON + 3 * HOUR), HOUR).at == NOON + 5 * HOUR
    assert made.start(NOON, Terms(NOON), HOUR).at == NOON + HOUR


def test_what_was_cheapest_is_past_but_for_who_comes_a_moment_late() -> None:
    made = placement(None, [9, 1, 9, 2, 9, 9])
    terms = Terms(NOON)
    assert made.start(NOON, terms, HOUR).at == NOON + HOUR
    assert made.start(NOON + HOUR + 30, terms, HOUR).at == NOON + HOUR
    assert made.start(NOON + 2 * HOUR, terms, HOUR).at == NOON + 3 * HOUR

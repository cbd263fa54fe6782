"""What starts of an order: never more than there is, and nothing that would delay the late."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.views import DAY, NOW, lane, view
from triggers.policy.fit import fit
from triggers.policy.order import by_rank, order
from triggers.policy.standing import nobody
from triggers.policy.view import PATIENCE, Busy, Lane, View

LATE = 2 * DAY


def test_who_does_not_fit_is_passed_over_so_that_nothing_is_idle() -> None:
    assert fit(view(lane(1, cpu=4), lane(2, 3, 4, cpu=1), cpu=3), [0, 1, 1, 1]) == [1, 1, 1]


def test_a_need_that_nobody_has_is_never_met() -> None:
    assert fit(view(lane(1, gpu=1), cpu=9), [0]) == []
    assert fit(view(lane(1, cpu=1), cpu=0), [0]) == []
    assert fit(view(lane(1, cpu=1), cpu=-1), [0]) == []


def test_what_an_order_leaves_out_comes_behind_by_rank() -> None:
    lanes = lane(1, wait=5), lane(2, wait=9), lane(3, 4, wait=7)
    assert fit(view(*lanes, slot=9), [0]) == [0, 1, 2, 2]
    assert fit(view(*lanes, slot=9), []) == [1, 2, 2, 0]


def test_what_is_no_lane_or_is_named_too_often_is_passed_over() -> None:
    said: list[Any] = [7, -1, 1, 1, 1, "x", None, 0.0, 0]
    assert fit(view(lane(1), lane(2), slot=9), said) == [1, 0]


def test_what_the_late_waits_for_is_kept_until_it_can_start() -> None:
    late, big = lane(1, wait=LATE, cpu=4), [Busy({"cpu": 2}, NOW + 100)]
    short, long = lane(2, p=99, p90=100, cpu=1), lane(3, p=99, p90=101, cpu=1)
    assert fit(view(late, short, running=big, cpu=2), [0, 1]) == [1]
    assert fit(view(late, long, running=big, cpu=2), [0, 1]) == []


def test_beside_the_late_there_is_room_for_what_it_leaves() -> None:
    late, running = lane(1, wait=LATE, cpu=4), [Busy({"cpu": 4}, NOW + 100)]
    long = lane(2, 3, 4, p=DAY, cpu=1)
    assert fit(view(late, long, running=running, cpu=2), [0, 1, 1, 1]) == [1, 1]
    other = lane(5, p=DAY, gpu=1)
    assert fit(view(late, other, running=[Busy({"cpu": 4}, NOW + 100)], cpu=0, gpu=1), [0, 1]) == [1]


def test_what_starts_before_the_late_in_the_order_is_counted_when_it_could_start() -> None:
    first, late = lane(2, p=50, cpu=2), lane(1, wait=LATE, cpu=4)
    assert fit(view(first, late, lane(3, p=50, cpu=1), lane(4, p=51, cpu=1), cpu=4), [0, 1, 2, 3]) == [0, 2]


def test_who_is_not_late_has_nothing_kept() -> None:
    waits = lane(1, wait=PATIENCE - 1, cpu=4)
    assert fit(view(waits, lane(2, p=DAY, cpu=1), running=[Busy({"cpu": 2}, NOW + 9)], cpu=2), [0, 1]) == [1]


def test_for_who_must_start_now_to_meet_a_deadline_it_is_kept_too() -> None:
    urgent = lane(1, p=60, due=[60], cpu=4)
    seen = view(urgent, lane(2, p=DAY, cpu=1), running=[Busy({"cpu": 2}, NOW + 9)], cpu=2)
    assert fit(seen, [0, 1]) == []
    assert fit(seen, [0, 1], nobody) == [1]


@pytest.mark.parametrize("until", [math.inf, NOW - 5])
def test_an_end_that_nobody_knows_is_not_hoped_to_be_far(until: float) -> None:
    late = lane(1, wait=LATE, cpu=4)
    assert fit(view(late, lane(2, p=1, cpu=1), running=[Busy({"cpu": 2}, until)], cpu=2), [0, 1]) == []


def test_a_run_of_unknown_length_starts_beside_the_late_only() -> None:
    late, unknown = lane(1, wait=LATE, cpu=4), lane(2, 3, p=None, cpu=1)
    running = [Busy({"cpu": 3}, NOW + 9 * DAY)]
    assert fit(view(late, unknown, running=running, cpu=2), [0, 1, 1]) == [1]


def test_the_late_who_could_not_start_if_all_were_free_keeps_nothing() -> None:
    assert fit(view(lane(1, wait=LATE, cpu=99), lane(2, p=DAY, cpu=1), cpu=2), [0, 1]) == [1]


needs = st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), max_size=3)
views = st.builds(
    lambda lanes, free, running: View(NOW, lanes, free, dict.fromkeys("abc", 12), running),
    st.lists(
        st.builds(
            lambda count, wait, needs, p: Lane([(NOW - wait, n) for n in range(count)], needs, 0, p, p),
            st.integers(0, 6), st.sampled_from([0.0, LATE]), needs, st.none() | st.floats(0, DAY),
        ),
        max_size=6,
    ),
    st.dictionaries(st.sampled_from("abc"), st.integers(-1, 12), max_size=3),
    st.lists(st.builds(Busy, needs, st.floats(NOW - 9, NOW + DAY) | st.just(math.inf)), max_size=4),
)  # fmt: skip


@given(views, st.lists(st.integers(-3, 9), max_size=60))
def test_whatever_an_order_says_what_starts_fits(seen: View, said: list[int]) -> None:
    before = dict(seen.free)
    started = fit(seen, said)
    assert seen.free == before
    for index, one in enumerate(seen.lanes):
        assert started.count(index) <= len(one.heads)
        assert not started.count(index) or all(name in before for name, amount in one.needs.items() if amount)
    for name, amount in before.items():
        assert sum(seen.lanes[index].needs.get(name, 0) for index in started) <= max(0, amount)


@given(views)
def test_where_nothing_is_kept_nothing_that_fits_is_left_waiting(seen: View) -> None:
    started = fit(seen, order(seen), nobody)
    left = dict(seen.free)
    for index in started:
        for name, amount in seen.lanes[index].needs.items():
            left[name] = left.get(name, 0) - amount
    for index, one in enumerate(seen.lanes):
        if started.count(index) < len(one.heads):
            assert any(left.get(name, 0) < amount for name, amount in one.needs.items())


@given(views)
def test_the_first_of_an_order_starts_if_it_fits(seen: View) -> None:
    first = next(iter(by_rank(seen)), None)
    if first is not None:
        fits = all(seen.free.get(name, 0) >= amount for name, amount in seen.lanes[first].needs.items())
        assert (fit(seen, by_rank(seen))[:1] == [first]) == fits


def test_a_thousand_random_workloads_of_needs_never_pass_the_capacity() -> None:
    for seed in range(1000):
        drawn = random.Random(seed)
        free = {name: drawn.randrange(0, 20) for name in "abc"}
        lanes = [
            lane(*range(drawn.randrange(5)), wait=drawn.choice([1, LATE]), p=drawn.uniform(1, 99),
                 **{name: drawn.randrange(1, 6) for name in drawn.sample("abc", drawn.randrange(1, 4))})
            for _ in range(drawn.randrange(8))
        ]  # fmt: skip
        seen = view(*lanes, capacity=dict.fromkeys("abc", 20), **free)
        started = fit(seen, order(seen))
        for name, amount in free.items():
            assert sum(lanes[index].needs.get(name, 0) for index in started) <= amount

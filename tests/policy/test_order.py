"""In which order what waits should start."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.policy.views import DAY, HOUR, NOW, lane, view
from triggers.policy.order import by_rank, order
from triggers.policy.view import PATIENCE, Busy, Lane, View


def placed(*lanes: Lane, **more: Any) -> list[int]:
    return list(order(view(*lanes, **more)))


def test_nothing_that_waits_has_no_order() -> None:
    assert placed() == []
    assert placed(lane()) == []


def test_who_has_waited_longest_for_its_own_length_is_first() -> None:
    long, short = lane(1, wait=300, p=600), lane(2, wait=100, p=60)
    assert placed(long, short) == [1, 0]


def test_long_work_ages_until_it_passes_short_work_that_came_later() -> None:
    long, short = lane(1, wait=2000, p=600), lane(2, wait=100, p=60)
    assert placed(long, short) == [0, 1]


def test_below_ten_seconds_nobody_is_shorter() -> None:
    assert placed(lane(2, wait=5, p=0.001), lane(1, wait=6, p=9)) == [1, 0]


def test_of_equals_the_lower_number_is_first() -> None:
    assert placed(lane(3, wait=9), lane(1, wait=9), lane(2, wait=9)) == [1, 2, 0]


def test_what_nobody_knows_stands_as_the_median_of_what_is_known() -> None:
    short, unknown, long = lane(1, wait=60, p=20), lane(2, wait=60, p=None), lane(3, wait=60, p=900)
    middle = lane(4, wait=61, p=100)
    assert placed(long, unknown, middle, short) == [3, 2, 1, 0]


def test_the_higher_priority_is_first_whatever_its_ratio() -> None:
    assert placed(lane(1, wait=500, p=10), lane(2, wait=1, p=9000, priority=1)) == [1, 0]


def test_what_a_priority_counts_as_a_wait_is_no_wait_of_the_ratio() -> None:
    assert placed(lane(1, wait=5, p=10, priority=2), lane(2, wait=60, p=100, priority=2)) == [1, 0]


def test_a_run_ages_past_a_higher_priority_once_all_that_wait_there_rank_behind_it() -> None:
    low = lane(1, wait=601, p=9000)
    assert placed(low, lane(2, wait=0, p=10, priority=1)) == [0, 1]
    older = lane(3, wait=2, p=9000, priority=1)
    assert placed(low, lane(2, wait=0, p=10, priority=1), older) == [2, 1, 0]


def test_the_late_are_first_by_rank_whatever_their_ratio() -> None:
    day, more = lane(1, wait=PATIENCE + 1, p=10 * HOUR), lane(2, wait=PATIENCE + 2, p=20 * HOUR)
    assert placed(lane(3, wait=HOUR, p=10), day, more) == [2, 1, 0]


def test_who_could_be_passed_for_its_priority_is_late_only_after_as_much_more() -> None:
    old, fresh, high = lane(2, wait=2 * DAY, priority=1), lane(3, priority=1), lane(4, wait=HOUR, p=10, priority=1)
    assert placed(lane(1, wait=PATIENCE + 599, p=10 * HOUR), old, fresh, high) == [1, 3, 2, 0]
    assert placed(lane(1, wait=PATIENCE + 601, p=10 * HOUR), old, fresh, high) == [1, 0, 3, 2]


def test_what_must_start_now_for_its_deadline_is_before_all_else_the_earliest_deadline_first() -> None:
    late, high = lane(1, wait=2 * DAY), lane(2, wait=99, priority=9)
    soon, sooner = lane(3, p=60, p90=100, due=[100]), lane(4, p=60, p90=100, due=[90])
    assert placed(late, high, soon, sooner)[:2] == [3, 2]


def test_of_equal_deadlines_the_lower_number_is_first() -> None:
    assert placed(lane(2, p=60, due=[60]), lane(1, p=60, due=[60])) == [1, 0]


def test_a_deadline_that_is_far_or_cannot_be_met_any_more_presses_nobody() -> None:
    other = lane(1, wait=30)
    assert placed(lane(2, wait=1, p=60, p90=100, due=[101]), other) == [1, 0]
    assert placed(lane(2, wait=1, p=60, p90=100, due=[59]), other) == [1, 0]
    assert placed(lane(2, wait=1, p=60, p90=100, due=[60]), other) == [0, 1]


def test_a_deadline_presses_as_soon_as_waiting_for_what_runs_now_would_miss_it() -> None:
    other, urgent = lane(1, wait=30), lane(2, wait=1, p=60, p90=100, due=[400])
    assert placed(other, urgent, running=[Busy({"slot": 1}, NOW + 299)]) == [0, 1]
    assert placed(other, urgent, running=[Busy({"slot": 1}, NOW + 301)]) == [1, 0]


def test_a_head_answers_for_the_deadlines_behind_it() -> None:
    assert placed(lane(1, wait=30), lane(2, 3, p=60, due=[9000, 60])) == [1, 1, 0]


def test_the_share_that_used_least_is_first_and_what_it_takes_now_counts() -> None:
    rich, poor = lane(1, 2, share="rich", wait=99), lane(3, 4, 5, share="poor")
    assert placed(rich, poor, usage={"rich": 0.15}) == [1, 1, 0, 1, 0]  # a slot is a tenth of the machine


def test_who_counts_for_nobody_is_a_share_like_the_others() -> None:
    assert placed(lane(1), lane(2, share="acme"), usage={"": 0.5, "acme": 0.1}) == [1, 0]


def test_by_rank_the_first_to_come_is_first_and_priority_counts_as_a_wait() -> None:
    lanes = lane(1, wait=700, p=9000), lane(2, wait=101, priority=1), lane(3, wait=99, priority=1)
    assert list(by_rank(view(*lanes))) == [1, 0, 2]


lanes = st.lists(
    st.builds(
        lambda count, wait, priority, p, share, due: lane(
            *range(count), wait=wait, priority=priority, p=p, share=share, due=[due] * count if due else ()
        ),
        st.integers(0, 4), st.floats(0, 2 * DAY), st.integers(-2, 2), st.none() | st.floats(0, DAY),
        st.sampled_from([None, "a", "b"]), st.none() | st.floats(-HOUR, HOUR),
    ),
    max_size=6,
)  # fmt: skip


@given(lanes)
def test_every_order_names_each_lane_once_for_each_of_its_heads(lanes: list[Lane]) -> None:
    seen = view(*lanes)
    for policy in (order, by_rank):
        named = list(policy(seen))
        assert [named.count(index) for index in range(len(lanes))] == [len(one.heads) for one in lanes]


@given(lanes, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_how_lanes_are_listed(lanes: list[Lane], random: Random) -> None:
    numbered = [
        Lane([(rank, 10 * index + number) for rank, number in one.heads], *one[1:]) for index, one in enumerate(lanes)
    ]

    def numbers(listed: list[Lane]) -> list[int]:
        heads = [iter(one.heads) for one in listed]
        return [next(heads[index])[1] for index in order(view(*listed))]

    turned = list(numbered)
    random.shuffle(turned)
    assert numbers(numbered) == numbers(turned)


@given(lanes)
def test_a_lane_in_which_nothing_waits_changes_nothing(lanes: list[Lane]) -> None:
    numbered = [
        Lane([(rank, 10 * index + number) for rank, number in one.heads], *one[1:]) for index, one in enumerate(lanes)
    ]
    assert list(order(view(*numbered))) == list(order(view(*numbered, lane(p=None))))


def test_a_lane_named_first_is_told_before_the_others_are_looked_at() -> None:
    many = View(NOW, [lane(number, wait=number) for number in range(1, 1001)], {"slot": 1}, {"slot": 1})
    assert list(islice(order(many), 2)) == [999, 998]

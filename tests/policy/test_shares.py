"""What counts of what a share had."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.policy import Shares
from triggers.policy.shares import KEPT

NOW = 1_000_000.0
HOUR = 3600.0


def test_what_was_taken_a_half_life_ago_counts_half() -> None:
    shares = Shares({}, half_life=HOUR)
    shares.begin("a", 0.5, NOW)
    shares.end("a", 0.5, NOW + HOUR)
    assert shares.usage(NOW + HOUR) == {"a": pytest.approx(0.25)}
    assert shares.usage(NOW + 2 * HOUR) == {"a": pytest.approx(0.125)}


def test_what_is_held_now_counts_at_once_and_by_weight() -> None:
    shares = Shares({"b": 2.0})
    for name in "ab":
        shares.begin(name, 0.5, NOW)
    assert shares.usage(NOW) == {"a": 0.5, "b": 0.25}


def test_what_is_recalled_counts_as_if_it_had_been_followed() -> None:
    followed, recalled = Shares({}), Shares({})
    followed.begin("a", 0.3, NOW)
    followed.end("a", 0.3, NOW + HOUR)
    recalled.recall("a", 0.3, NOW, NOW + HOUR, NOW + 5 * HOUR)
    assert recalled.usage(NOW + 5 * HOUR) == pytest.approx(followed.usage(NOW + 5 * HOUR))


def test_a_clock_that_was_set_back_adds_nothing_and_takes_nothing() -> None:
    shares = Shares({})
    shares.begin("a", 0.5, NOW)
    shares.end("a", 0.5, NOW + HOUR)
    then = shares.usage(NOW + HOUR)
    shares.recall("a", 0.5, NOW + 2 * HOUR, NOW + 3 * HOUR, NOW + HOUR)
    assert shares.usage(NOW) == then


steps = st.lists(
    st.tuples(st.sampled_from([0.2, 0.0, -0.2]), st.sampled_from([0.0, 1.0, HOUR, 90 * HOUR])), max_size=20
)


@given(steps)
def test_the_floor_of_a_share_never_falls_and_it_has_no_less_than_that(steps: list[tuple[float, float]]) -> None:
    shares, now, floor, held = Shares({"a": 3.0}), NOW, -math.inf, 0
    for part, later in steps:
        if part > 0:
            shares.begin("a", part, now)
        elif part and held:
            shares.end("a", -part, now)
        held = held + 1 if part > 0 else max(0, held - bool(part))
        now += later
        usage, higher = shares.standing("a", now)
        assert higher >= floor - 1e-9
        assert usage == shares.usage(now).get("a", 0.0)
        assert shares.least(higher, now) <= usage * (1 + 1e-9)
        assert held or shares.least(higher, now) == pytest.approx(usage, abs=1e-9)
        floor = higher


def test_of_very_many_shares_those_are_remembered_that_had_most_or_hold_something() -> None:
    shares = Shares({})
    shares.begin("holds", 1e-6, NOW)
    for n in range(3 * KEPT):
        part = 0.5 if n < 5 else 0.01
        shares.begin(f"s{n}", part, NOW)
        shares.end(f"s{n}", part, NOW + 1)
    left = shares.usage(NOW + 1)
    assert len(left) <= 2 * KEPT + 1
    assert {"holds", *(f"s{n}" for n in range(5))} <= left.keys()

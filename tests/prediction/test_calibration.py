"""Whether predictions held, as the journal tells it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from triggers.journal.times import Took
from triggers.prediction.calibration import Score, calibrate
from triggers.prediction.forecast import Range

TEN = Range(5.0, 10.0, 20.0, 30)


def runs(count: int, spread: float = 0.4, at_once: int = 1) -> Iterator[Took]:
    drawn, now = random.Random(1), 0.0
    for n in range(count):
        seconds = drawn.lognormvariate(2, spread)
        yield Took("train", 100, now, now + seconds, seconds)
        now += seconds if n % at_once == at_once - 1 else 0


def scored(below: int, inside: int, above: int) -> Score:
    score = Score()
    for seconds, times in ((1, below), (10, inside), (90, above)):
        for _ in range(times):
            score.add(seconds, TEN)
    return score


def test_predictions_of_runs_like_those_before_hold() -> None:
    score = calibrate(runs(2000), 0.0, 30)["train"]
    assert score.count == 1969  # what is known is reckoned anew for every sixteenth more
    assert score.verdict() == "good"
    assert score.bias == pytest.approx(1, rel=0.05)


def test_a_run_is_predicted_from_those_that_had_ended_when_it_began() -> None:
    assert calibrate(runs(30, 0.0, at_once=10), 0.0, 15)["train"].count == 10


def test_only_runs_that_began_since_a_moment_are_scored_and_all_are_learned_from() -> None:
    found = list(runs(100))
    assert calibrate(found, found[90].started, 30)["train"].count == 10


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((100, 800, 100), "good"),
        ((200, 600, 200), "too narrow"),
        ((10, 980, 10), "too wide"),
        ((2, 16, 2), "too few to tell"),
    ],
)
def test_nothing_is_claimed_of_ranges_that_the_numbers_do_not_bear_out(
    counts: tuple[int, int, int], verdict: str
) -> None:
    assert scored(*counts).verdict() == verdict


def test_scores_of_routes_add_up() -> None:
    both = scored(1, 8, 1) + scored(0, 5, 5)
    assert (both.below, both.inside, both.above) == (1, 13, 6)
    assert (both.share, both.bias, both.width) == (0.65, 1.0, pytest.approx(4))

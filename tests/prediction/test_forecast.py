"""What is said of how long runs will take, from those that ended."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.forecasts import HANDLERS, MODELS, predictions
from triggers.prediction.forecast import LAST, LEAST, Range, RunTimes

MIB = 2**20


def taught(seconds: Callable[[random.Random, int], float], *sizes: int, seed: int = 1) -> RunTimes:
    """Return what is known after a run of each size."""
    drawn, times = random.Random(seed), RunTimes()
    for size in sizes:
        times.learn("train", size, seconds(drawn, size))
    return times


def known(times: RunTimes, size: int | None = MIB) -> Range:
    found = times.range("train", size)
    assert found is not None
    return found


def test_nothing_is_said_of_a_route_that_few_runs_are_known_of() -> None:
    times = taught(lambda drawn, size: 10, *[MIB] * (LEAST - 1))
    assert times.range("train", MIB) is None
    assert times.predict("train", MIB) == (None, None)
    assert times.range("other", MIB) is None


def test_the_fewer_runs_are_known_the_wider_is_the_range() -> None:
    def typical_width(count: int) -> float:
        widths = []
        for seed in range(99):
            found = known(taught(lambda drawn, size: drawn.lognormvariate(3, 0.4), *[MIB] * count, seed=seed))
            assert found.runs == count
            widths.append(found.p90 / found.p10)
        return sorted(widths)[49]

    assert all(more < few for few, more in pairwise(map(typical_width, (3, 5, 8, 50))))


def test_the_size_of_the_input_is_told_apart_and_followed_beyond_those_seen() -> None:
    drawn = random.Random(7)
    sizes = [int(2 ** drawn.uniform(20, 26)) for _ in range(50)]
    times = taught(lambda drawn, size: size / MIB * drawn.lognormvariate(0, 0.1), *sizes)
    small, large, huge = (known(times, size) for size in (2 * MIB, 32 * MIB, 4096 * MIB))
    assert small.p90 < 4
    assert 25 < large.p50 < 40
    assert 2500 < huge.p50 < 6500
    assert huge.p90 / huge.p10 > 1.1 * large.p90 / large.p10


@pytest.mark.parametrize(("larger", "told_apart"), [(1.9, False), (2.2, True)])
def test_sizes_are_told_apart_from_one_doubling_on(larger: float, told_apart: bool) -> None:
    times = taught(lambda drawn, size: (1 if size == MIB else 4) * drawn.lognormvariate(0, 0.1),
                   *[MIB, int(larger * MIB)] * 30)  # fmt: skip
    assert (known(times, MIB) != known(times, int(larger * MIB))) == told_apart


def test_a_size_that_makes_no_difference_makes_none() -> None:
    drawn = random.Random(7)
    times = taught(
        lambda drawn, size: drawn.lognormvariate(3, 0.3), *[int(2 ** drawn.uniform(10, 30)) for _ in range(60)]
    )
    assert times.range("train", 1) == times.range("train", 2**40) == times.range("train", None)


@pytest.mark.parametrize("count", [3, 6, 10, 20])
def test_what_comes_lies_in_the_range_as_often_as_is_said_however_few_are_known(count: int) -> None:
    inside = 0
    for seed in range(1000):
        drawn, times = random.Random(seed), RunTimes()
        for _ in range(count):
            times.learn("train", MIB, drawn.lognormvariate(3, 0.4))
        found = known(times)
        inside += found.p10 <= drawn.lognormvariate(3, 0.4) <= found.p90
    assert 770 <= inside <= 830


def test_what_takes_longer_of_late_is_known_soon() -> None:
    times = RunTimes()
    for n in range(200):
        times.learn("train", MIB, 10 if n < 160 else 60)
    assert known(times).p50 == pytest.approx(60)


def test_a_night_that_a_machine_slept_through_turns_no_prediction() -> None:
    drawn = random.Random(3)
    sizes = [int(2 ** drawn.uniform(20, 22.5)) for _ in range(39)]

    def seconds(drawn: random.Random, size: int) -> float:
        return size / MIB * drawn.lognormvariate(0, 0.1) + (30_000 if size == MIB else 0)

    assert 3.5 < known(taught(seconds, *sizes[:35], MIB, *sizes[35:]), 4 * MIB).p50 < 4.5


def test_no_more_is_remembered_than_the_last_runs() -> None:
    times = taught(lambda drawn, size: 5, *range(10 * LAST))
    assert known(times).runs == LAST
    assert len(times._routes["train"].ended) <= 1.1 * LAST


def test_what_is_said_does_not_depend_on_when_anybody_asked() -> None:
    drawn, asked, silent = random.Random(5), RunTimes(), RunTimes()
    for _ in range(250):
        size, seconds = drawn.randrange(1, MIB), drawn.lognormvariate(2, 1)
        asked.learn("train", size, seconds)
        silent.learn("train", size, seconds)
        if drawn.random() < 0.5:
            asked.range("train", MIB)
        if drawn.random() < 0.05:
            assert known(asked) == known(silent)


def test_runs_that_ended_before_a_start_come_before_those_since() -> None:
    times = RunTimes()
    times.learn("train", 1, 3.0)
    times.load({"train": [(1, 1.0), (1, 2.0)], "other": []})
    assert list(times._routes["train"].ended) == [(1, 1.0), (1, 2.0), (1, 3.0)]


def test_eight_of_ten_times_lie_in_the_range_whatever_the_handler(tmp_path: Path) -> None:
    found = predictions(tmp_path, "line", seeds=3, handlers=7 * len(HANDLERS), behind=30)
    assert all(75 <= share <= 85 for share in found["shares"])


def test_the_model_loses_less_than_those_that_were_not_taken(tmp_path: Path) -> None:
    losses = {model: sum(predictions(tmp_path, model, seeds=1, handlers=14, behind=60)["losses"]) for model in MODELS}
    assert min(losses, key=lambda model: losses[model]) == "line"

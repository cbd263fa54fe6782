import math

import numpy as np
import pytest

from handlers import sample
from handlers.drift import BINS, binned, chi_square_quantile, limit, psi, reference, stability
from handlers.schema import parse


def test_psi_is_what_the_definition_gives_by_hand():
    # (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5) = 0.25 ln 2 + 0.25 ln 1.5 = 0.25 ln 3
    assert psi([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.25 * math.log(3))


def test_psi_of_equal_distributions_is_zero_and_it_is_symmetric():
    assert psi([0.2, 0.8], [0.2, 0.8]) == 0
    assert psi([0.2, 0.8], [0.6, 0.4]) == pytest.approx(psi([0.6, 0.4], [0.2, 0.8]))


def test_bins_are_smoothed_by_half_a_row_and_leave_out_what_is_missing():
    shares = binned(np.array([1.0, 1.5, 9.0, np.nan]), [1.2, 5.0, 10.0])
    assert shares.tolist() == [1.5 / 5, 1.5 / 5, 1.5 / 5, 0.5 / 5]


def test_values_beyond_the_reference_fall_into_the_outer_bins():
    assert binned(np.array([-1e9, 1e9]), [0.0]).tolist() == [0.5, 0.5]


def test_a_reference_has_a_tenth_of_the_rows_in_each_bin():
    made = reference(np.tile(np.arange(100.0)[:, None], (1, 30)))
    assert np.array(made.shares) == pytest.approx(np.full((30, BINS), 0.1))
    assert made.rows == 100


@pytest.mark.parametrize(("level", "expected"), [(0.95, 16.919), (0.99, 21.666), (0.999, 27.877)])
def test_the_chi_square_quantile_is_within_a_percent_of_the_printed_table_for_nine_degrees(level, expected):
    assert chi_square_quantile(level, 9) == pytest.approx(expected, rel=0.01)


def test_the_limit_is_high_for_few_rows_and_the_rule_of_thumb_for_many():
    assert limit(130, 60) > 0.8
    assert limit(100_000, 100_000) == 0.2


def test_the_limit_gives_no_alarm_on_random_files_without_drift():
    random = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        old, new = random.normal(size=(150, 30)), random.normal(size=(60, 30))
        alarms += next(iter(stability(reference(old), new).values())) > limit(150, 60)
    assert alarms <= 1  # one in a thousand by design


def test_the_second_lab_has_drifted_where_its_lengths_and_areas_are_and_the_first_has_not():
    first, *others = (parse(text.encode(), name).values for name, text in sample.regular().items())
    known = reference(np.concatenate([first, *others[:2]]))
    for values in others[2:]:
        assert next(iter(stability(known, values).values())) < limit(known.rows, len(values))
    moved = stability(known, parse(next(iter(sample.drifted().values())).encode(), "lab-2.csv").values)
    drifted = [name for name, value in moved.items() if value > limit(known.rows, 90)]
    assert {"mean_radius", "mean_perimeter", "mean_area"} <= set(drifted)
    assert all("radius" in name or "perimeter" in name or "area" in name for name in drifted)

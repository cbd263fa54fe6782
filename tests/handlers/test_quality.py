from dataclasses import replace

import numpy as np
import pytest

from handlers import sample
from handlers.quality import check
from handlers.schema import FEATURES, Rows, parse
from tests.handlers.conftest import NOW
from triggers import Reject


def reason(rows: Rows) -> str:
    with pytest.raises(Reject) as caught:
        check(rows, "bad.csv", NOW)
    return str(caught.value)


def with_value(rows: Rows, row: int, column: str, value: float) -> Rows:
    values = rows.values.copy()
    values[row, FEATURES.index(column)] = value
    return replace(rows, values=values)


def test_every_good_sample_file_passes_and_so_do_the_drifted_ones():
    for name, text in (sample.regular() | sample.drifted()).items():
        check(parse(text.encode(), name), name, NOW)


def test_a_value_out_of_range_names_the_row_and_the_value(rows):
    assert reason(with_value(rows, 4, "mean_area", -12)) == "bad.csv, row 5: mean_area is -12, outside 0 to 20000"


def test_the_first_of_several_values_out_of_range_counts_the_others(rows):
    wrong = with_value(with_value(rows, 4, "mean_area", -12), 9, "worst_symmetry", 7)
    assert reason(wrong) == "bad.csv, row 5: mean_area is -12, outside 0 to 20000 (and 1 more)"


def test_a_column_with_too_many_gaps_is_rejected(rows):
    values = rows.values.copy()
    values[:4, 2] = np.nan
    assert reason(replace(rows, values=values)) == (
        "bad.csv: mean_perimeter is missing in 4 of 60 rows (7%); at most 5% may be"
    )


def test_three_gaps_in_sixty_rows_are_allowed(rows):
    values = rows.values.copy()
    values[:3, 2] = np.nan
    check(replace(rows, values=values), "good.csv", NOW)


def test_two_readings_of_a_sample_at_one_time_are_rejected(rows):
    twice = rows.take(np.array([0, 1, 0]))
    assert reason(twice) == "bad.csv, row 3: sample S0000 at 2024-03-04 08:00 is in row 1 too"


def test_two_readings_of_a_sample_at_different_times_are_a_correction(rows):
    times = rows.times.copy()
    times[1] += np.timedelta64(1, "h")
    check(replace(rows.take(np.array([0, 0])), times=times[:2]), "good.csv", NOW)


def test_a_reading_from_the_future_is_rejected(rows):
    times = rows.times.copy()
    times[2] = np.datetime64("2062-01-01T00:00", "us")
    assert reason(replace(rows, times=times)) == (
        "bad.csv, row 3: measured_at is 2062-01-01T00:00:00+00:00, after the file arrived (2024-06-01 12:00 UTC)"
    )

from datetime import UTC, datetime

import numpy as np
import pytest

from handlers.schema import COLUMNS, FEATURES, moment, parse, stamp
from triggers import Reject


def test_a_sample_file_becomes_rows_with_gaps_as_nan(rows):
    assert len(rows) == 60
    assert rows.values.shape == (60, 30)
    assert np.isnan(rows.values).sum() == 2
    assert moment(rows.times[0]) == datetime(2024, 3, 4, 8, tzinfo=UTC)
    assert set(rows.labels.tolist()) == {0, 1}


def test_the_order_of_columns_does_not_matter(text, rows):
    turned = "\n".join(",".join(reversed(line.split(","))) for line in text.splitlines())
    again = parse(turned.encode(), "turned.csv")
    np.testing.assert_array_equal(again.values, rows.values)
    assert again.ids.tolist() == rows.ids.tolist()


def test_times_in_any_offset_become_utc(edit):
    rows = parse(edit(1, "measured_at", "2024-03-04T10:00:00+02:00"), "offset.csv")
    assert moment(rows.times[0]) == datetime(2024, 3, 4, 8, tzinfo=UTC)


def test_stamps_and_moments_are_each_other_s_inverse():
    now = datetime(2024, 3, 4, 8, 15, 30, 123456, tzinfo=UTC)
    assert moment(stamp(now)) == now


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("mean_area", "wide", "bad.csv, row 7: mean_area is 'wide', not a number"),
        ("mean_area", "nan", "bad.csv, row 7: mean_area is 'nan'; leave a missing value empty"),
        ("mean_area", "inf", "bad.csv, row 7: mean_area is 'inf'; leave a missing value empty"),
        ("diagnosis", "unsure", "bad.csv, row 7: diagnosis is 'unsure', not one of benign, malignant"),
        ("diagnosis", "", "bad.csv, row 7: diagnosis is '', not one of benign, malignant"),
        ("sample_id", " ", "bad.csv, row 7: sample_id is missing"),
        ("measured_at", "04.03.2024", "bad.csv, row 7: measured_at is '04.03.2024', not an ISO 8601 time"),
        (
            "measured_at",
            "2024-03-04T08:00:00",
            "bad.csv, row 7: measured_at is '2024-03-04T08:00:00' without an offset; write e.g. 2024-03-04T08:00:00Z",
        ),
    ],
)
def test_a_value_that_breaks_the_schema_is_rejected_with_row_column_and_value(edit, column, value, reason):
    with pytest.raises(Reject) as caught:
        parse(edit(7, column, value), "bad.csv")
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad.csv is empty; the first line must name the columns"),
        (b"\xff\xfe", "bad.csv is not UTF-8 text: invalid start byte at byte 0"),
        (",".join(COLUMNS).encode(), "bad.csv has a header and no rows"),
        (b"sample_id\n", "bad.csv lacks 32 of 33 columns: measured_at, mean_radius, mean_texture,"),
        (",".join((*COLUMNS, "price")).encode(), "bad.csv has columns that the schema does not know: price"),
        (",".join((*COLUMNS, FEATURES[0])).encode(), "bad.csv has the column mean_radius twice"),
        (",".join(COLUMNS).encode() + b"\nS1,2024-03-04T08:00Z\n", "bad.csv, row 1 has 2 values for 33 columns"),
        (b'"a"b', "bad.csv is not a CSV file: "),
    ],
)
def test_a_file_of_another_shape_is_rejected_with_what_is_wrong(data, reason):
    with pytest.raises(Reject) as caught:
        parse(data, "bad.csv")
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)

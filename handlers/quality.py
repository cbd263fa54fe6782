"""Is a file that fits the schema believable? Each check raises `Reject` with the row and the value."""

from datetime import datetime, timedelta

import numpy as np

from handlers.schema import FEATURES, UPPER, Rows, moment, stamp
from triggers import Reject

MAX_MISSING = 0.05
"""The share of values that may be missing in a column: the model imputes a gap, not a column."""
CLOCK_SKEW = timedelta(days=1)
"""How far a reading may lie in the future: clocks differ, but one row from 2062 would hide all that comes before it."""


def check(rows: Rows, file: str, arrived: datetime) -> None:
    """Run all checks on the rows of `file`, which arrived at that time."""
    check_ranges(rows, file)
    check_missing(rows, file)
    check_duplicates(rows, file)
    check_times(rows, file, arrived)


def check_ranges(rows: Rows, file: str) -> None:
    """Refuse a value that cannot be: below 0 or above its measure's upper end."""
    wrong = (rows.values < 0) | (rows.values > UPPER)  # a comparison with NaN is false: missing is not out of range
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        more = f" (and {wrong.sum() - 1} more)" if wrong.sum() > 1 else ""
        raise Reject(
            f"{file}, row {row + 1}: {FEATURES[column]} is {rows.values[row, column]:g}, "
            f"outside 0 to {UPPER[column]:g}{more}"
        )


def check_missing(rows: Rows, file: str) -> None:
    """Refuse a column with too many gaps."""
    share = np.isnan(rows.values).mean(axis=0)
    worst = int(share.argmax())
    if share[worst] > MAX_MISSING:
        gaps = int(np.isnan(rows.values[:, worst]).sum())
        raise Reject(
            f"{file}: {FEATURES[worst]} is missing in {gaps} of {len(rows)} rows ({share[worst]:.0%}); "
            f"at most {MAX_MISSING:.0%} may be"
        )


def check_duplicates(rows: Rows, file: str) -> None:
    """Refuse two readings of one sample at one time: nobody could say which is right."""
    seen: dict[tuple[str, np.datetime64], int] = {}
    for row, key in enumerate(zip(rows.ids.tolist(), rows.times, strict=True), 1):
        first = seen.setdefault(key, row)
        if first != row:
            raise Reject(f"{file}, row {row}: sample {key[0]} at {moment(key[1]):%Y-%m-%d %H:%M} is in row {first} too")


def check_times(rows: Rows, file: str, arrived: datetime) -> None:
    """Refuse a reading that was taken after its file arrived."""
    late = rows.times > stamp(arrived + CLOCK_SKEW)
    if late.any():
        row = int(late.argmax())
        raise Reject(
            f"{file}, row {row + 1}: measured_at is {moment(rows.times[row]).isoformat()}, "
            f"after the file arrived ({arrived:%Y-%m-%d %H:%M} UTC)"
        )

"""The contract of an incoming file: its columns, their types, and what values can be true.

The data is the Breast Cancer Wisconsin (Diagnostic) set: ten measures of the cell nuclei in an image, each as mean,
standard error and worst. A row is one reading of one sample at one time, with the diagnosis that was confirmed.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from triggers import Reject

_UPPER = {
    "radius": 100.0, "texture": 150.0, "perimeter": 700.0, "area": 20_000.0, "smoothness": 1.0,
    "compactness": 3.0, "concavity": 3.0, "concave_points": 1.0, "symmetry": 2.0, "fractal_dimension": 1.0,
}  # fmt: skip
"""The largest value that is possible, per measure: several times what was ever seen. Drift is no error; nonsense is."""

FEATURES: tuple[str, ...] = (
    *(f"mean_{measure}" for measure in _UPPER),
    *(f"{measure}_error" for measure in _UPPER),
    *(f"worst_{measure}" for measure in _UPPER),
)
UPPER = np.array(list(_UPPER.values()) * 3)
"""The upper end of each feature's range, in the order of `FEATURES`; the lower end is 0."""
LABELS = ("benign", "malignant")
"""The diagnoses; a label is stored as its place here, so `malignant` is the positive class."""
COLUMNS = ("sample_id", "measured_at", *FEATURES, "diagnosis")


@dataclass(frozen=True, slots=True)
class Rows:
    """A table by columns. Times are UTC in microseconds; a missing value is NaN."""

    ids: NDArray[np.str_]
    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> "Rows":
        """Return the rows at `index` (positions or a mask), in that order."""
        return Rows(self.ids[index], self.times[index], self.values[index], self.labels[index])


def stamp(moment: datetime) -> np.datetime64:
    """Return an aware moment as the store keeps it: UTC, microseconds."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def moment(stamp: np.datetime64) -> datetime:
    """Return a stored time as an aware datetime."""
    value = stamp.astype("datetime64[us]").item()
    assert isinstance(value, datetime)
    return value.replace(tzinfo=UTC)


def parse(data: bytes, file: str) -> Rows:
    """Return the rows of a CSV file, or raise `Reject` with the row, the column and the value at fault."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise Reject(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise Reject(f"{file} is not a CSV file: {error}") from error
    if not lines:
        raise Reject(f"{file} is empty; the first line must name the columns")
    header, body = lines[0], lines[1:]
    _check_columns(header, file)
    if not body:
        raise Reject(f"{file} has a header and no rows")
    place = [header.index(name) for name in COLUMNS]  # any order of columns is welcome
    parsed = [_parse_row(line, place, len(header), f"{file}, row {number}") for number, line in enumerate(body, 1)]
    ids, times, values, labels = zip(*parsed, strict=True)
    return Rows(
        np.array(ids, dtype=np.str_),
        np.array(times, dtype="datetime64[us]"),
        np.array(values, dtype=np.float64),
        np.array(labels, dtype=np.int8),
    )


def _check_columns(header: Sequence[str], file: str) -> None:
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise Reject(f"{file} lacks {len(missing)} of {len(COLUMNS)} columns: {', '.join(missing[:5])}")
    extra = [name for name in header if name not in COLUMNS]
    if extra:
        raise Reject(f"{file} has columns that the schema does not know: {', '.join(extra[:5])}")
    if len(header) > len(COLUMNS):
        twice = next(name for name in header if header.count(name) > 1)
        raise Reject(f"{file} has the column {twice} twice")


def _parse_row(
    line: Sequence[str], place: Sequence[int], width: int, where: str
) -> tuple[str, np.datetime64, list[float], int]:
    if len(line) != width:
        raise Reject(f"{where} has {len(line)} values for {width} columns")
    sample, time, *values, label = (line[index].strip() for index in place)
    if not sample:
        raise Reject(f"{where}: sample_id is missing")
    if label not in LABELS:
        raise Reject(f"{where}: diagnosis is {label!r}, not one of {', '.join(LABELS)}")
    numbers = [_number(text, name, where) for text, name in zip(values, FEATURES, strict=True)]
    return sample, _time(time, where), numbers, LABELS.index(label)


def _time(text: str, where: str) -> np.datetime64:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise Reject(f"{where}: measured_at is {text!r}, not an ISO 8601 time") from None
    if value.tzinfo is None:
        raise Reject(f"{where}: measured_at is {text!r} without an offset; write e.g. {text}Z")
    return stamp(value)


def _number(text: str, name: str, where: str) -> float:
    if not text:
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        raise Reject(f"{where}: {name} is {text!r}, not a number") from None
    if not np.isfinite(value):
        raise Reject(f"{where}: {name} is {text!r}; leave a missing value empty")
    return value

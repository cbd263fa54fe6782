"""Sample data: the Breast Cancer Wisconsin set that ships in scikit-learn, cut into files as a lab would send them.

    python -m handlers drop             five days of readings, 60 samples each (`--count 3`: the next three)
    python -m handlers drop --bad       two files that must be rejected
    python -m handlers drop --drift     the next file of a second lab, whose microscope reads every length 40 % larger

The rows are real. Made up are the sample ids, the times, two missing values per file, and the second lab.
"""

import csv
import io
from datetime import UTC, datetime, timedelta

import numpy as np

from handlers.schema import COLUMNS, FEATURES, LABELS
from triggers import Place

START = datetime(2024, 3, 4, 8, tzinfo=UTC)
REGULAR = 5
REGULAR_ROWS = 60
DRIFTED = 2
DRIFTED_ROWS = 90
MAGNIFIED = 1.4
"""How much longer the second lab reads a length; its areas grow by the square."""


def regular() -> dict[str, str]:
    """Return the regular files: name to text, one a day."""
    return {
        f"lab-1-{_day(day):%Y-%m-%d}.csv": _text(_rows(day * REGULAR_ROWS, REGULAR_ROWS), _day(day))
        for day in range(REGULAR)
    }


def drifted() -> dict[str, str]:
    """Return the second lab's files: the first raises the alarm, the second falls into the cool-down."""
    files = {}
    for number in range(DRIFTED):
        day = _day(REGULAR + number)
        rows = _rows(REGULAR * REGULAR_ROWS + number * DRIFTED_ROWS, DRIFTED_ROWS)
        files[f"lab-2-{day:%Y-%m-%d}.csv"] = _text([_magnified(row) for row in rows], day)
    return files


def bad() -> dict[str, str]:
    """Return files that must be rejected: a negative area, and a column that is missing."""
    rows = _rows(REGULAR * REGULAR_ROWS, REGULAR_ROWS)
    lines = list(csv.reader(io.StringIO(_text(rows, _day(REGULAR)))))
    column = COLUMNS.index("mean_area")
    short = [line[:column] + line[column + 1 :] for line in lines]
    lines[17] = [*lines[17][:column], f"-{lines[17][column]}", *lines[17][column + 1 :]]
    return {"bad-value.csv": _csv(lines), "bad-columns.csv": _csv(short)}


def drop(files: dict[str, str], incoming: Place) -> list[str]:
    """Put the files into the place, each whole at once, and return where they are."""
    for name, text in files.items():
        with incoming.output(name) as file:
            file.write(text.encode())
    return [f"{incoming}/{name}" for name in files]


def _rows(start: int, count: int) -> list[tuple[str, list[float], str]]:
    from sklearn.datasets import load_breast_cancer  # scikit-learn is loaded where it is needed

    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.data))[start : start + count]
    names = [LABELS[0] if target else LABELS[1] for target in data.target[order]]  # the set says 1 for benign
    ids = [f"S{start + number:04d}" for number in range(count)]
    return list(zip(ids, data.data[order].tolist(), names, strict=True))


def _magnified(row: tuple[str, list[float], str]) -> tuple[str, list[float], str]:
    power = [2 if "area" in name else 1 if "radius" in name or "perimeter" in name else 0 for name in FEATURES]
    sample, values, label = row
    return sample, [round(value * MAGNIFIED**p, 6) for value, p in zip(values, power, strict=True)], label


def _text(rows: list[tuple[str, list[float], str]], day: datetime) -> str:
    lines: list[list[str]] = [list(COLUMNS)]
    for number, (sample, values, label) in enumerate(rows):
        texts = [repr(value) for value in values]
        if number in (20, 40):  # life has gaps; the quality check allows a few
            texts[number % len(FEATURES)] = ""
        taken = day + timedelta(minutes=5 * number)
        lines.append([sample, f"{taken:%Y-%m-%dT%H:%M:%SZ}", *texts, label])
    return _csv(lines)


def _csv(lines: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def _day(number: int) -> datetime:
    return START + timedelta(days=number)

"""What is said of the figures, beside the raw data that they were taken as."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chart import draw
from benchmarks.readme import number, table, updated

ROOT = Path(__file__).parents[1]


@pytest.fixture
def measured() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text())
    return document


def test_the_table_of_the_readme_says_what_was_measured(measured: dict[str, Any]) -> None:
    page = (ROOT / "README.md").read_text()
    assert updated(page, measured) == page


def test_the_chart_shows_what_was_measured(measured: dict[str, Any]) -> None:
    assert (ROOT / "docs" / "benchmarks.svg").read_text() == draw(measured)


def test_a_peer_that_was_measured_has_a_column_and_bars_of_its_own(measured: dict[str, Any]) -> None:
    (row,) = [one for one in measured["benchmarks"]["chains"]["rows"] if one["figure"] == "chains of three handlers"]
    row["medians"], row["ratios"] = {"triggers": 4000.0, "huey": 400.0, "dbos": 50.0}, {"huey": 10.0, "dbos": 80.0}
    assert "| 4,000/s | 400/s (10x) | 50/s (80x) |" in table(measured)
    assert re.search(r'class="dbos".*\n.*>80x DBOS<.*\n.*>4,000 against 50 chains/s<', draw(measured))


@pytest.mark.parametrize(
    ("value", "text"), [(19290.6, "19,300"), (358.9, "359"), (0.5409, "0.541"), (9.9951, "10"), (0.0, "0")]
)
def test_figures_are_written_with_three_digits(value: float, text: str) -> None:
    assert number(value) == text

"""Has the data moved? The population stability index (PSI), per feature, against the champion's training rows.

PSI = sum over bins of (actual - expected) * ln(actual / expected), with bins at the deciles of the reference. The
usual reading, 0.1 moderate and 0.2 to 0.25 major, goes back to Lewis, "An Introduction to Credit Scoring" (1994), and
was made for thousands of rows. With 60 new rows and 30 features chance alone gives a PSI of 0.4 somewhere. So a
feature counts as drifted above 0.2 *and* above what chance gives: PSI is near (1/n + 1/m) * chi-square with bins - 1
degrees of freedom (Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk
Model Validation, 2020), at a level divided by the number of features (Bonferroni).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from handlers.schema import FEATURES

BINS = 10
THRESHOLD = 0.2
"""The least PSI that counts, however many rows there are: a shift that matters, not only one that can be seen."""
FALSE_ALARM = 0.001
"""How often a file without drift may raise an alarm."""
MIN_ROWS = 30
"""Fewer rows than this say nothing about ten bins."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the training rows looked like: per feature the inner bin edges and the share of rows in each bin."""

    edges: list[list[float]]
    shares: list[list[float]]
    rows: int


def reference(values: NDArray[np.float64]) -> Reference:
    """Return the reference distribution of these rows, small enough for a model's card."""
    cuts = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.nanquantile(values, cuts, axis=0).T
    shares = [binned(column, edge).tolist() for column, edge in zip(values.T, edges, strict=True)]
    return Reference(edges.tolist(), shares, len(values))


def binned(column: NDArray[np.float64], edges: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of values in each bin, smoothed by half a row so that an empty bin has a logarithm."""
    known = column[~np.isnan(column)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.asarray((counts + 0.5) / (len(known) + 0.5 * len(counts)), dtype=np.float64)


def psi(expected: Sequence[float] | NDArray[np.float64], actual: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the population stability index of two distributions over the same bins; no share may be 0."""
    old, new = np.asarray(expected), np.asarray(actual)
    return float(((new - old) * np.log(new / old)).sum())


def limit(reference_rows: int, new_rows: int, features: int = len(FEATURES)) -> float:
    """Return the PSI above which a feature has drifted: `THRESHOLD`, or what chance can give if that is more."""
    chance = chi_square_quantile(1 - FALSE_ALARM / features, BINS - 1) * (1 / reference_rows + 1 / new_rows)
    return max(THRESHOLD, chance)


def chi_square_quantile(level: float, freedom: int) -> float:
    """Return the chi-square quantile by Wilson and Hilferty's cube (1931): within 1 % here, and no SciPy to load."""
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + NormalDist().inv_cdf(level) * part**0.5) ** 3)


def stability(old: Reference, values: NDArray[np.float64]) -> dict[str, float]:
    """Return the PSI of every feature, the most moved first."""
    moved = {
        name: psi(old.shares[column], binned(values[:, column], old.edges[column]))
        for column, name in enumerate(FEATURES)
    }
    return dict(sorted(moved.items(), key=lambda item: -item[1]))

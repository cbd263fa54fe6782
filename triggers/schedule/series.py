"""A series of prices (of money, carbon, whatever there is to save), and where in it work is cheapest."""

from __future__ import annotations

import csv
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from math import isfinite
from typing import NamedTuple

from triggers.errors import SHOWN, ScheduleError, shown
from triggers.schedule.window import Interval
from triggers.schedule.zones import zone

_END_OF_TIME = 253_402_300_800  # Unix seconds of the year 10000, which no calendar here goes beyond


class Row(NamedTuple):
    """A price, from a moment on."""

    moment: float
    price: float
    place: str
    """Where it stands, as people find it: `line 7`."""


@dataclass(frozen=True, slots=True)
class Series:
    """Prices without a gap: one for each stretch between two edges, in Unix seconds."""

    edges: Sequence[float]
    prices: Sequence[float]
    sums: Sequence[float]
    """What all costs until each edge."""

    @property
    def start(self) -> float:
        """Return from when on there are prices."""
        return self.edges[0]

    @property
    def end(self) -> float:
        """Return until when there are."""
        return self.edges[-1]

    def cost(self, start: float, seconds: float) -> float:
        """Return the integral of the price over a run, in price times seconds. It must lie within the series."""
        return self._until(start + seconds) - self._until(start)

    def offers(self, seconds: float, where: Iterable[Interval]) -> Offers:
        """Return where a run of so many seconds may cost least, that lies wholly in one of the intervals."""
        return Offers(self, seconds, where)

    def _until(self, moment: float) -> float:
        index = min(max(bisect_right(self.edges, moment) - 1, 0), len(self.prices) - 1)
        return self.sums[index] + (moment - self.edges[index]) * self.prices[index]


class Offers:
    """Where runs of so many seconds may start: wholly in one of the intervals and in the series.

    The starts that may cost least are found once for all such runs, so that each finds its own by a few comparisons.
    """

    def __init__(self, prices: Series, seconds: float, where: Iterable[Interval]) -> None:
        self._series = prices
        self._seconds = seconds
        self._open = sorted(self._clipped(where))
        self._starts = sorted({start for one in self._open for start in self._bends(one)})
        self._costs = [prices.cost(start, seconds) for start in self._starts]
        self._tolerance = 1e-9 * max([abs(prices.sums[-1]), *map(abs, self._costs)])
        self._from = -1
        self._best: list[int] = []
        """The cheapest of the starts from `_from` on up to each."""

    def cheapest(self, first: float, latest: float) -> float | None:
        """Return when between two moments a run costs least, or None where it does not fit.

        Of starts that cost the same the earliest is taken.
        """
        low, high = bisect_left(self._starts, first), bisect_right(self._starts, latest)
        found = [(start, self._series.cost(start, self._seconds)) for start in (first, latest) if self._allows(start)]
        if low < high:
            index = self._cheapest_from(low)[high - 1 - low]
            found.append((self._starts[index], self._costs[index]))
        if not found or first > latest:
            return None
        least = min(cost for _, cost in found) + self._tolerance
        return min(start for start, cost in found if cost <= least)

    def _clipped(self, where: Iterable[Interval]) -> Iterator[Interval]:
        """Yield from when to when a run may start."""
        for one in where:
            start, end = max(one.start, self._series.start), min(one.end, self._series.end) - self._seconds
            if start <= end:
                yield Interval(start, end)

    def _bends(self, where: Interval) -> Iterator[float]:
        """Yield the starts that may cost least: the cost bends only where a run begins or ends at an edge."""
        yield from where
        edges = self._series.edges
        for shift in (0.0, self._seconds):
            low, high = bisect_right(edges, where.start + shift), bisect_left(edges, where.end + shift)
            yield from (edge - shift for edge in edges[low:high])

    def _allows(self, start: float) -> bool:
        return any(one.start <= start <= one.end for one in self._open)

    def _cheapest_from(self, low: int) -> list[int]:
        """Return the cheapest of the starts from that one on up to each: most runs ask from the same moment on."""
        if low != self._from:
            costs, tolerance = self._costs, self._tolerance

            def cheaper(best: int, other: int) -> int:
                return other if costs[other] < costs[best] - tolerance else best

            self._from, self._best = low, list(accumulate(range(low, len(costs)), cheaper))
        return self._best


def series(name: str, rows: Sequence[Row]) -> Series:
    """Return the series that rows amount to, each of which lasts as long as most do.

    Raises `ScheduleError`, which names the place, where a row is missing, is no later than the one before it, or has a
    price that is no number.
    """
    if len(rows) < 2:
        there = "one price" if rows else "no price"
        raise ScheduleError(f"{name} has {there}; it takes two at least, to say how long each lasts")
    steps = [after.moment - row.moment for row, after in pairwise(rows)]
    step = Counter(steps).most_common(1)[0][0]
    for (row, after), found in zip(pairwise(rows), steps, strict=True):
        if found <= 0:
            raise ScheduleError(f"{name}, {after.place}: {_iso(after)} does not come after {_iso(row)}; sort the rows")
        if found != step:
            raise ScheduleError(
                f"{name}, {after.place}: between {_iso(row)} and {_iso(after)} is a gap: {found:,.0f} s, where the"
                f" prices are {step:,.0f} s apart; add what is missing"
            )
    for row in rows:
        if not isfinite(row.price):
            raise ScheduleError(f"{name}, {row.place}: the price {row.price!r} is no number; write one")
    edges = [*(row.moment for row in rows), rows[-1].moment + step]
    prices = [row.price for row in rows]
    return Series(edges, prices, [0.0, *accumulate(step * price for price in prices)])


def read(name: str, lines: Iterable[str], timezone: str) -> Series:
    """Return the series that stands in the lines of a CSV file: a moment and a price in the first two columns.

    A moment is an ISO 8601 text, read in `timezone` where it has no offset, or Unix seconds. A first line that has
    neither is a heading. Raises `ScheduleError`, which names the line.
    """
    rows: list[Row] = []
    for number, cells in enumerate(_cells(name, lines), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        place = f"line {number}"
        if len(cells) < 2:
            raise ScheduleError(f"{name}, {place}: {shown(','.join(cells))} has no second column; write moment,price")
        try:
            rows.append(Row(_moment(cells[0], timezone, rows[-1].moment if rows else None), float(cells[1]), place))
        except ValueError as error:
            if number > 1 or _is_moment(cells[0]) or _is_price(cells[1]):  # else it is a heading
                raise ScheduleError(
                    f"{name}, {place}: {shown(','.join(cells))} is no moment with a price ({str(error)[:SHOWN]}); write"
                    " e.g. 2026-12-01T03:00:00+01:00,87.5"
                ) from error
    return series(name, rows)


def _is_moment(text: str) -> bool:
    try:
        _moment(text, "UTC", None)
    except ValueError:
        return False
    return True


def _is_price(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cells(name: str, lines: Iterable[str]) -> Iterator[list[str]]:
    reader = csv.reader(lines)
    try:
        yield from reader
    except csv.Error as error:
        raise ScheduleError(f"{name}, line {reader.line_num}: {error}; write a moment and a price") from error


def _moment(text: str, timezone: str, before: float | None) -> float:
    """Return the Unix time; of a wall time that occurs twice the second, where the first has been."""
    try:
        moment = _seconds(text.strip(), timezone, before)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    if not 0 <= moment < _END_OF_TIME:
        raise ValueError("it is not in the years 1970 to 9999")
    return moment


def _seconds(text: str, timezone: str, before: float | None) -> float:
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    found = datetime.fromisoformat(text)
    if found.utcoffset() is not None:
        return found.timestamp()
    tz = zone(timezone).tz
    first, second = (found.replace(tzinfo=tz, fold=fold).timestamp() for fold in (0, 1))
    return second if before is not None and first <= before < second else first


def _iso(row: Row) -> str:
    return datetime.fromtimestamp(row.moment, UTC).isoformat().replace("+00:00", "Z")

"""The chart: how many times better triggers does than huey, as an SVG that reads on light and on dark ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

SHOWN = (
    "durable events, one process",
    "durable events from another process",
    "chains of three handlers",
    "sent to handler start, p50",
    "sent to handler start, p99",
    "blocking handlers, share of the ideal",
)
WIDTH, LEFT, RIGHT, ROW, TOP, BAR = 860, 300, 210, 44, 84, 22

_STYLE = """
text { font: 14px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
.title { font-size: 18px; font-weight: 600 } .small { font-size: 12px; fill: #59636e } .ratio { font-weight: 600 }
.bar { fill: #2f6feb } .line { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .bar { fill: #4c8dff } .line { stroke: #9198a1 }
}"""


def draw(document: dict[str, Any]) -> str:
    """Return the chart of a run's raw data as SVG."""
    every = [row for one in document["benchmarks"].values() for row in one["rows"]]
    rows = [row for name in SHOWN for row in every if row["figure"] == name and row["ratio"]]
    most = max([row["ratio"] for row in rows], default=1.0)
    least = min([row["ratio"] for row in rows], default=1.0)
    scale = Scale(min(1.0, least), most)
    height = TOP + ROW * len(rows) + 40
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title description">',
        '<title id="title">triggers beside huey</title>',
        f'<desc id="description">{escape(_summary(rows))}</desc>',
        f"<style>{_STYLE}</style>",
        '<text class="title" x="16" y="30">triggers beside huey on SQLite, both synced before they acknowledge</text>',
        '<text class="small" x="16" y="52">How many times better, on a logarithmic scale; right of the line '
        "triggers is ahead. Medians, taken in turn.</text>",
        *(part for index, row in enumerate(rows) for part in _row(row, TOP + ROW * index, scale)),
        f'<line class="line" x1="{scale.at(1):.1f}" x2="{scale.at(1):.1f}" y1="{TOP - 10}" y2="{height - 36}"/>',
        f'<text class="small" x="16" y="{height - 14}">{escape(_where(document))}</text>',
        "</svg>\n",
    ])  # fmt: skip


class Scale:
    """From a ratio to a place on the logarithmic axis."""

    def __init__(self, least: float, most: float) -> None:
        self._least = math.log(least)
        self._width = (WIDTH - LEFT - RIGHT) / (math.log(max(most, 1.1)) - self._least)

    def at(self, ratio: float) -> float:
        """Return the place in pixels."""
        return LEFT + (math.log(ratio) - self._least) * self._width


def _row(row: dict[str, Any], y: int, scale: Scale) -> Sequence[str]:
    start, end = sorted((scale.at(1), scale.at(row["ratio"])))
    middle = y + BAR // 2 + 5
    ours, theirs = (_number(value) for value in row["medians"])
    said = f"{ours} against {theirs} {row['unit']}".strip()
    return (
        f'<text x="{LEFT - 14}" y="{middle}" text-anchor="end">{escape(row["figure"])}</text>',
        f'<rect class="bar" x="{start:.1f}" y="{y}" width="{max(1.0, end - start):.1f}" height="{BAR}" rx="2"/>',
        f'<text class="ratio" x="{max(end, scale.at(1)) + 8:.1f}" y="{middle - 3}">{row["ratio"]:.3g}x</text>',
        f'<text class="small" x="{max(end, scale.at(1)) + 8:.1f}" y="{middle + 12}">{escape(said)}</text>',
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    return "; ".join(f"{row['figure']}: {row['ratio']:.3g} times" for row in rows)


def _where(document: dict[str, Any]) -> str:
    machine = document["machine"]
    versions = machine["versions"]
    return (
        f"{machine['cores']} cores, Python {machine['python']}, {machine['file_system']}, "
        f"huey {versions['huey']}, {machine['taken'][:10]}. How: benchmarks/README.md"
    )

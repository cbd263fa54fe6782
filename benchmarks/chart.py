"""The chart: how many times better triggers does than its peers, as an SVG that reads on light and on dark ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from benchmarks.readme import SIDES, number

SHOWN = (
    "durable events, one process",
    "durable events from another process",
    "chains of three handlers",
    "sent to handler start, p50",
    "sent to handler start, p99",
    "blocking handlers, share of the ideal",
)
WIDTH, LEFT, RIGHT, ROW, TOP, BAR = 860, 300, 250, 36, 84, 20

_STYLE = """
text { font: 14px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
.title { font-size: 18px; font-weight: 600 } .small { font-size: 12px; fill: #59636e } .ratio { font-weight: 600 }
.huey { fill: #2f6feb } .dbos { fill: #1a7f64 } .line { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .line { stroke: #9198a1 }
  .huey { fill: #4c8dff } .dbos { fill: #3fb992 }
}"""


def draw(document: dict[str, Any]) -> str:
    """Return the chart of a run's raw data as SVG."""
    every = [row for one in document["benchmarks"].values() for row in one["rows"]]
    bars = [(row, peer) for name in SHOWN for row in every if row["figure"] == name for peer in row["ratios"]]
    ratios = [row["ratios"][peer] for row, peer in bars]
    scale = Scale(min([1.0, *ratios]), max([1.0, *ratios]))
    height = TOP + ROW * len(bars) + 40
    peers = " and ".join(words.split()[0] for side, words in SIDES.items() if any(side == peer for _, peer in bars))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title description">',
        f'<title id="title">triggers beside {peers} on SQLite</title>',
        f'<desc id="description">{escape(_summary(bars))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="16" y="30">triggers beside {peers} on SQLite, every commit synced</text>',
        '<text class="small" x="16" y="52">How many times better, on a logarithmic scale; right of the line '
        "triggers is ahead. Medians, taken in turn.</text>",
        *(part for index, (row, peer) in enumerate(bars) for part in _bar(row, peer, TOP + ROW * index, scale)),
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


def _bar(row: dict[str, Any], peer: str, y: int, scale: Scale) -> Sequence[str]:
    ratio = row["ratios"][peer]
    start, end = sorted((scale.at(1), scale.at(ratio)))
    middle, after = y + BAR // 2 + 5, max(end, scale.at(1)) + 8
    said = f"{number(row['medians']['triggers'])} against {number(row['medians'][peer])} {row['unit']}".strip()
    first = peer == next(iter(row["ratios"]))
    return (
        f'<text x="{LEFT - 14}" y="{middle}" text-anchor="end">{escape(row["figure"]) if first else ""}</text>',
        f'<rect class="{peer}" x="{start:.1f}" y="{y}" width="{max(1.0, end - start):.1f}" height="{BAR}" rx="2"/>',
        f'<text class="ratio" x="{after:.1f}" y="{middle - 5}">{number(ratio)}x {SIDES[peer].split()[0]}</text>',
        f'<text class="small" x="{after:.1f}" y="{middle + 9}">{escape(said)}</text>',
    )


def _summary(bars: Sequence[tuple[dict[str, Any], str]]) -> str:
    return "; ".join(f"{row['figure']}: {number(row['ratios'][peer])} times {peer}" for row, peer in bars)


def _where(document: dict[str, Any]) -> str:
    machine = document["machine"]
    versions = ", ".join(f"{name} {found}" for name, found in machine["versions"].items() if name in SIDES)
    return (
        f"{machine['cores']} cores, Python {machine['python']}, {machine['file_system']}, "
        f"{versions}, {machine['taken'][:10]}. How: benchmarks/README.md"
    )

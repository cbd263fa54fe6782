"""Lines in a coordinate system, as SVG that reads on light and on dark ground."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDE, HIGH = 860.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 210.0, 46.0, 48.0
LIGHT = ("#2f6feb", "#bf4b00", "#1a7f37", "#8250df", "#bf3989", "#57606a")
DARK = ("#6ea8ff", "#ffa657", "#56d364", "#d2a8ff", "#ff9bce", "#9198a1")
_STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 } .small { font-size: 12px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 } .line { fill: none; stroke-width: 2; stroke-linejoin: round }
.paper { fill: #ffffff }"""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to places: between which values, linear or logarithmic, with what marks."""

    least: float
    most: float
    marks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 being the least and 1 the most."""
        least, most, value = (_log(x) if self.logarithmic else x for x in (self.least, self.most, value))
        return min(1.0, max(0.0, (value - least) / (most - least))) if most > least else 0.0


@dataclass(frozen=True, slots=True)
class Plot:
    """One coordinate system with lines in it, each with its name."""

    title: str
    about: str
    """What the axes are, in a line."""
    across: Axis
    up: Axis
    lines: Sequence[tuple[str, Points]]


def draw(title: str, plots: Sequence[Plot]) -> str:
    """Return plots below one another as a complete SVG document."""
    high = HIGH * len(plots) + 12
    about = "; ".join(f"{plot.title}: {', '.join(name for name, _ in plot.lines)}" for plot in plots)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE:.0f} {high:.0f}" width="{WIDE:.0f}"'
        f' height="{high:.0f}" role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title><desc id="description">{escape(about)}</desc>',
        f"<style>{_STYLE}{style()}</style>",
        f'<rect class="paper" width="{WIDE:.0f}" height="{high:.0f}"/>',
    ]
    for number, plot in enumerate(plots):
        parts += _plot(plot, HIGH * number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def style() -> str:
    """Return the colours `c0`, `c1`, and what changes on dark ground."""
    light = " ".join(f".c{n} {{ stroke: {colour} }} .f{n} {{ fill: {colour} }}" for n, colour in enumerate(LIGHT))
    dark = " ".join(f".c{n} {{ stroke: {colour} }} .f{n} {{ fill: {colour} }}" for n, colour in enumerate(DARK))
    return (
        f"\n{light}\n@media (prefers-color-scheme: dark) {{ text {{ fill: #f0f6fc }} .small {{ fill: #9198a1 }}"
        f" .grid {{ stroke: #3d444d }} .paper {{ fill: #0d1117 }} {dark} }}"
    )


def _plot(plot: Plot, top: float) -> Iterator[str]:
    floor, wide = top + HIGH - BOTTOM, WIDE - LEFT - RIGHT
    tall = HIGH - TOP - BOTTOM

    def across(value: float) -> float:
        return LEFT + wide * plot.across.share(value)

    def up(value: float) -> float:
        return floor - tall * plot.up.share(value)

    yield f'<text class="title" x="16" y="{top + 22:.0f}">{escape(plot.title)}</text>'
    for value, mark in plot.up.marks:
        y = up(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="small" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(mark)}</text>'
    for value, mark in plot.across.marks:
        x = across(value)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 5}"/>'
        yield f'<text class="small" x="{x:.1f}" y="{floor + 19:.1f}" text-anchor="middle">{escape(mark)}</text>'
    yield f'<text class="small" x="{LEFT}" y="{floor + 37:.1f}">{escape(plot.about)}</text>'
    for number, (name, points) in enumerate(plot.lines):
        colour = number % len(LIGHT)
        yield f'<path class="line c{colour}" d="{_path(points, across, up)}"/>'
        key = top + TOP + 22 * number
        yield f'<rect class="f{colour}" x="{LEFT + wide + 18}" y="{key:.0f}" width="14" height="4"/>'
        yield f'<text x="{LEFT + wide + 40}" y="{key + 6:.0f}">{escape(name)}</text>'


def _path(points: Points, across: Callable[[float], float], up: Callable[[float], float]) -> str:
    return " ".join(f"{'L' if n else 'M'}{across(x):.1f} {up(y):.1f}" for n, (x, y) in enumerate(points))


def _log(value: float) -> float:
    return math.log10(max(value, 1e-9))

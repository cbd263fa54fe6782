"""The next hours of an app, route by route: what runs, what is expected, when schedules fire and windows are open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import NamedTuple

from triggers.prediction.outlook import Moments

WIDE, LABEL, MARGIN = 1000.0, 190.0, 16.0
TOP, BAR, GAP, LANES = 84.0, 13.0, 12.0, 6
STEPS = (300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0, 86_400.0)
MARKS = 13
"""As many marks of time as there is room for."""

_STYLE = """
text { font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 } .small { font-size: 11px; fill: #59636e } .route { font-weight: 600 }
.paper { fill: #ffffff } .grid { stroke: #d1d9e0 } .open { fill: #e6f4ea } .running { fill: #2f6feb }
.expected { fill: #9cc0f8 } .range { stroke: #2f6feb; stroke-width: 1.5 }
.fires { fill: #bf4b00 } .rule { stroke: #eaeef2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .paper { fill: #0d1117 } .grid { stroke: #3d444d }
  .open { fill: #12301c } .running { fill: #4c8dff } .expected { fill: #264f8f } .range { stroke: #9cc0f8 }
  .fires { fill: #ffa657 } .rule { stroke: #21262d } }"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A run that is at work, or is expected. No end is one that nobody knows."""

    run: int
    running: bool
    start: Moments
    end: Moments | None
    after: int | None = None
    """The run that it comes after in the order of its data."""


class Dropped(NamedTuple):
    """A run that expires before it could start, and when."""

    run: int
    at: float


class Coming(NamedTuple):
    """Events that come together to one run."""

    events: int
    wanted: int
    """How many make it whole; 1 of a burst, of which the last one runs."""
    full: float | None
    """When it will be whole at the present pace, if it will by then."""
    ends: float
    """When its time is up."""

    @property
    def at(self) -> float:
        """Return when it ends, as far as anybody can say."""
        return self.ends if self.full is None else self.full

    def told(self) -> str:
        """Return it in a few words, to be said of the moment at which it ends."""
        if self.wanted <= 1:
            return "a burst is over, if nothing more comes"
        there = f"{self.events:,} of {self.wanted:,} events come together"
        return there if self.full is None else f"{there}, full at this pace; by {_clock(self.ends)} at the latest"


@dataclass(slots=True)
class Line:
    """What is to come of a route."""

    route: str
    bars: list[Bar] = field(default_factory=list)
    """In the order of their starts."""
    waiting: int = 0
    unforeseen: int = 0
    """How many of those that wait have no expected start."""
    reason: str = ""
    """Why they wait, where a gate is closed."""
    fires: Sequence[float] = ()
    opens: Sequence[tuple[float, float]] | None = None
    """When its window is open; None where it has none."""
    coming: list[Coming] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    expects: str | None = None
    """The type of event that it waits for, where it is no route but something that is expected."""
    missing: float | None = None
    """When that is told as missing, if none comes."""

    def told(self) -> str:
        """Return what there is beside the bars, in a few words."""
        parts = [f"{self.waiting:,} waiting"] if self.waiting else []
        parts += [f"{self.unforeseen:,} unforeseen"] if self.unforeseen else []
        expire = "1 expires before it" if len(self.dropped) == 1 else f"{len(self.dropped):,} expire before they"
        parts += [f"{expire} could start"] if self.dropped else []
        return ", ".join([*parts, self.reason] if self.reason else parts)

    def moments(self) -> Iterator[tuple[float, str]]:
        """Yield what happens at a moment, in words."""
        yield from ((moment, "fires") for moment in self.fires)
        yield from ((one.at, one.told()) for one in self.coming)
        if self.missing is not None:
            yield self.missing, f"{self.expects} is told as missing, if none comes"


@dataclass(frozen=True, slots=True)
class Timeline:
    """All routes of an app between two moments, in Unix seconds."""

    app: str
    begin: float
    end: float
    lines: Sequence[Line]
    """The routes', and behind them those of what is expected."""


def svg(timeline: Timeline) -> str:
    """Return the timeline as a complete SVG document."""
    shown = [[bar for bar in line.bars if bar.start.middle < timeline.end] for line in timeline.lines]
    lanes = [_lanes(bars, timeline.end) for bars in shown]
    tops, high = [], TOP
    for rows in lanes:
        tops.append(high)
        high += max(2, len(rows)) * (BAR + 2) + GAP
    high += 30
    title = f"{timeline.app}, from {_clock(timeline.begin, '%Y-%m-%d %H:%M')}"
    about = "; ".join(f"{line.route}: {len(line.bars)} runs, {line.told()}" for line in timeline.lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE:.0f} {high:.0f}" width="{WIDE:.0f}"'
        f' height="{high:.0f}" role="img" aria-labelledby="title description">',
        f'<title id="title">The next hours of {escape(timeline.app)}</title>',
        f'<desc id="description">{_text(about)}</desc><style>{_STYLE}</style>',
        f'<rect class="paper" width="{WIDE:.0f}" height="{high:.0f}"/>',
        f'<text class="title" x="{MARGIN}" y="28">{_text(title)}</text>',
        *_legend(),
        *_axis(timeline, high - 26),
    ]
    for line, rows, top in zip(timeline.lines, lanes, tops, strict=True):
        parts += _line(line, rows, top, timeline)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _lanes(bars: Sequence[Bar], end: float) -> list[list[Bar]]:
    """Return bars in lanes, so that in each they follow one another; the last one takes what finds no room."""
    lanes: list[list[Bar]] = []
    free: list[float] = []
    for bar in bars:
        until = bar.end.high if bar.end else end
        place = next((n for n, moment in enumerate(free) if moment <= bar.start.low), len(free))
        if place == len(free) and place < LANES:
            lanes.append([])
            free.append(until)
        place = min(place, LANES - 1)
        lanes[place].append(bar)
        free[place] = max(free[place], until)
    return lanes


def _x(timeline: Timeline, moment: float) -> float:
    share = (moment - timeline.begin) / (timeline.end - timeline.begin)
    return LABEL + (WIDE - LABEL - MARGIN) * min(1.0, max(0.0, share))


def _line(line: Line, rows: Sequence[Sequence[Bar]], top: float, timeline: Timeline) -> Iterator[str]:
    tall = max(2, len(rows)) * (BAR + 2)
    for opens, closes in line.opens or ():
        x, until = _x(timeline, opens), _x(timeline, closes)
        yield f'<rect class="open" x="{x:.1f}" y="{top - 3:.1f}" width="{until - x:.1f}" height="{tall + 4:.1f}"/>'
    yield f'<text class="route" x="{MARGIN}" y="{top + 11:.1f}">{_cut(line.route, 24)}</text>'
    yield f'<text class="small" x="{MARGIN}" y="{top + 25:.1f}">{_cut(line.told(), 30)}</text>'
    y = top + tall + GAP / 2
    yield f'<line class="rule" x1="{MARGIN}" x2="{WIDE - MARGIN}" y1="{y:.1f}" y2="{y:.1f}"/>'
    for number, bars in enumerate(rows):
        for bar in bars:
            yield _bar(bar, top + number * (BAR + 2), timeline)
    for moment, what in line.moments():
        if moment < timeline.end:
            x = _x(timeline, moment)
            yield (
                f'<path class="fires" d="M{x:.1f} {top + tall - 9:.1f} l4.5 8 h-9 z"><title>{_clock(moment)}: '
                f"{_text(what)}</title></path>"
            )


def _bar(bar: Bar, y: float, timeline: Timeline) -> str:
    start, until = _x(timeline, bar.start.middle), _x(timeline, bar.end.middle if bar.end else timeline.end)
    word = "running" if bar.running else "expected"
    ends = f", ends at about {_clock(bar.end.middle)}" if bar.end else ", nobody knows until when"
    open_ended = "" if bar.end else ' fill-opacity="0.45"'
    shown = (
        f'<rect class="{word}" x="{start:.1f}" y="{y:.1f}" width="{max(1.5, until - start):.1f}" height="{BAR}" rx="2"'
        f"{open_ended}><title>r{bar.run} {word}, from {_clock(bar.start.middle)}{ends}</title></rect>"
    )
    if bar.end and bar.end.high - bar.end.low > 1:
        low, high, middle = _x(timeline, bar.end.low), _x(timeline, bar.end.high), y + BAR / 2
        shown += f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
    return shown


def _axis(timeline: Timeline, floor: float) -> Iterator[str]:
    span = timeline.end - timeline.begin
    step = next((step for step in STEPS if span / step <= MARKS), span / MARKS)
    offset = datetime.fromtimestamp(timeline.begin).astimezone().utcoffset()
    shift = offset.total_seconds() if offset else 0.0
    moment = ((timeline.begin + shift) // step + 1) * step - shift
    while moment <= timeline.end:
        x = _x(timeline, moment)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 14}" y2="{floor}"/>'
        form = "%H:%M" if step < 86_400 else "%m-%d"
        yield f'<text class="small" x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{_clock(moment, form)}</text>'
        moment += step


def _legend() -> Iterator[str]:
    x = MARGIN
    for word, said in (("running", "runs"), ("expected", "expected"), ("open", "window open")):
        yield f'<rect class="{word}" x="{x}" y="42" width="18" height="11" rx="2"/>'
        yield f'<text class="small" x="{x + 24}" y="52">{said}</text>'
        x += 44 + 7.0 * len(said)
    yield f'<line class="range" x1="{x}" x2="{x + 18}" y1="47.5" y2="47.5"/>'
    yield f'<text class="small" x="{x + 24}" y="52">end, eight of ten times</text>'
    yield f'<path class="fires" d="M{x + 180} 43 l4.5 8 h-9 z"/>'
    yield f'<text class="small" x="{x + 192}" y="52">fires, or is due</text>'


def _clock(moment: float, form: str = "%H:%M:%S") -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime(form)


def _cut(text: str, most: int) -> str:
    return _text(text if len(text) <= most else text[: most - 1] + "…")


def _text(text: str) -> str:
    return escape("".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text))

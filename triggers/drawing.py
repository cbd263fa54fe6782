"""The pipeline as a picture: sources, schedules, events and routes, as Mermaid text or as SVG.

Where everything goes in the SVG is the matter of `layers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

from triggers.app import App
from triggers.events import Event, ObjectCreated
from triggers.layers import Box, Layout, lay_out
from triggers.routing import Route

SOURCE: Final = "source"
SCHEDULE: Final = "schedule"
EVENT: Final = "event"
ROUTE: Final = "route"


@dataclass(frozen=True, slots=True)
class Node:
    """Something in the picture. `note` is a second, smaller line."""

    key: str
    kind: str
    label: str
    note: str = ""


@dataclass(slots=True)
class Picture:
    """What is to be drawn: nodes by their keys, and edges from key to key."""

    title: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    _joined: set[tuple[str, str]] = field(default_factory=set)

    def add(self, kind: str, name: str, note: str = "", label: str | None = None) -> str:
        """Add a node unless it is there, and return its key."""
        key = f"{kind}:{name}"
        self.nodes.setdefault(key, Node(key, kind, label or name, note))
        return key

    def join(self, start: str, end: str) -> None:
        """Add an edge from one node to another, unless it is there."""
        if start != end and (start, end) not in self._joined:
            self._joined.add((start, end))
            self.edges.append((start, end))


def picture(app: App) -> Picture:
    """Return what an app consists of."""
    found = Picture(app.name)
    for name, source in app.sources.items():
        place = getattr(source, "path", None)
        found.add(SOURCE, name, f"{type(source).__name__.lower()} {place}" if place else type(source).__name__.lower())
    for route in app.routes.values():
        here = found.add(ROUTE, route.name, _conditions(route))
        if route.schedule:
            found.join(found.add(SCHEDULE, route.name, label=str(route.schedule)), here)
        else:
            for taken in route.takes:
                found.join(_trigger(app, found, route, taken), here)
        for kind in route.emits:
            found.join(here, found.add(EVENT, kind))
        for name in sorted(route.policy.writes & set(app.sources)):
            found.join(here, f"{SOURCE}:{name}")
    return found


def _trigger(app: App, found: Picture, route: Route, kind: type[Event]) -> str:
    """Return the key of an event that a route takes; an `ObjectCreated` is one for each source it comes from."""
    if kind is not ObjectCreated:
        return found.add(EVENT, kind.__event_type__)
    sources = [route.source] if route.source in app.sources else list(app.sources)
    suffix = f" from {route.source}" if route.source and len(app.sources) > 1 else ""
    event = found.add(EVENT, f"{ObjectCreated.__event_type__}{suffix}")
    for name in sources:
        found.join(f"{SOURCE}:{name}", event)
    return event


def _conditions(route: Route) -> str:
    """Return a route's pattern in a few words: `key: *.csv`."""
    if route.where is None:
        return ""
    return ", ".join(f"{key}: {_operand(value)}" for key, value in route.where.pattern.items())


def _operand(value: object) -> str:
    if isinstance(value, list):
        return " or ".join(_operand(item) for item in value)
    if isinstance(value, Mapping):
        word, operand = next(iter(value.items()), ("", ""))
        text = _operand(operand)
        short = {"suffix": f"*{text}", "prefix": f"{text}*", "wildcard": text, "anything-but": f"not {text}"}
        return short.get(str(word), f"{word} {text}")
    return str(value)


# --- Mermaid -------------------------------------------------------------------------------------

_SHAPES: Final = {SOURCE: ('[("', '")]'), SCHEDULE: ('(["', '"])'), EVENT: ('(["', '"])'), ROUTE: ('["', '"]')}


def mermaid(drawn: Picture) -> str:
    """Return the picture as a Mermaid flowchart, which GitHub and many editors show."""
    names = {key: f"n{number}" for number, key in enumerate(drawn.nodes)}
    lines = ["flowchart TD", f"  accTitle: The pipeline {_mermaid_text(drawn.title)}"]
    for key, node in drawn.nodes.items():
        opening, closing = _SHAPES[node.kind]
        note = f"<br/><small>{_mermaid_text(node.note)}</small>" if node.note else ""
        lines.append(f"  {names[key]}{opening}{_mermaid_text(node.label)}{note}{closing}:::{node.kind}")
    lines += [f"  {names[start]} --> {names[end]}" for start, end in drawn.edges]
    lines += [f"  classDef {kind} fill:{fill},stroke:{line},color:#1f2933" for kind, (fill, line) in COLOURS.items()]
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    return re.sub(r'["<>&#;`]', lambda found: f"#{ord(found[0])};", text)


# --- SVG -----------------------------------------------------------------------------------------

COLOURS: Final = {
    SOURCE: ("#e6f4ea", "#2f855a"),
    SCHEDULE: ("#fdf3dc", "#b7791f"),
    EVENT: ("#eef2f7", "#64748b"),
    ROUTE: ("#e3edfb", "#2b6cb0"),
}
FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Roboto, Helvetica, Arial, sans-serif"
HIGH: Final = 34.0
HIGH_WITH_NOTE: Final = 48.0
BETWEEN: Final = 38.0
MARGIN: Final = 28.0
HEADER: Final = 62.0
LEGEND: Final = ((SOURCE, "source"), (SCHEDULE, "schedule"), (EVENT, "event"), (ROUTE, "route"))


def svg(drawn: Picture) -> str:
    """Return the picture as a complete SVG document, with a title and a description for screen readers."""
    layout = lay_out({key: _width(node) for key, node in drawn.nodes.items()}, drawn.edges)
    boxes = [box for layer in layout.layers for box in layer]
    left = min((box.x - box.width / 2 for box in boxes), default=0.0)
    for box in boxes:
        box.x += MARGIN - left
    wide = max([box.x + box.width / 2 + MARGIN for box in boxes] + [430.0])
    tops, high = _rows(layout, drawn.nodes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}"'
        f' viewBox="0 0 {wide:.0f} {high:.0f}" role="img" aria-labelledby="title desc" font-family="{FONT}">',
        f'<title id="title">The pipeline {_text(drawn.title)}</title>',
        f'<desc id="desc">{_text(_description(drawn))}</desc>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto-start-reverse"><path d="M0 0.5 8 4 0 7.5z" fill="#7b8794"/></marker></defs>',
        f'<rect width="{wide:.0f}" height="{high:.0f}" fill="#ffffff"/>',
        *_heading(drawn.title),
        *(_edge(path, tops, drawn.nodes, number in layout.back) for number, path in enumerate(layout.paths)),
        *(_box(box, drawn.nodes[box.key], tops[box.layer]) for box in boxes if not box.passing),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _width(node: Node) -> float:
    return max(64.0, _measure(node.label, 13.5, bold=node.kind == ROUTE), _measure(_cut(node.note), 11)) + 28


def _measure(text: str, size: float, *, bold: bool = False) -> float:
    """Return about how wide a text is, rather too much: fonts differ from place to place."""
    narrow = sum(mark in "iljtfrI.,:;'|!()[] -" for mark in text)
    wide = sum(mark in "mwMW@%" or ord(mark) > 0x2E80 for mark in text)
    em = 0.62 * (len(text) - narrow - wide) + 0.40 * narrow + 1.0 * wide
    return em * size * (1.07 if bold else 1.0)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _rows(layout: Layout, nodes: Mapping[str, Node]) -> tuple[list[tuple[float, float]], float]:
    """Return (top, height) of every layer, and the height of the whole picture."""
    rows, top = [], HEADER
    for layer in layout.layers:
        high = max(_high(nodes.get(box.key)) for box in layer) if layer else HIGH
        rows.append((top, high))
        top += high + BETWEEN
    return rows, top - (BETWEEN if rows else 0) + MARGIN


def _high(node: Node | None) -> float:
    return HIGH_WITH_NOTE if node and node.note else HIGH


def _box(box: Box, node: Node, row: tuple[float, float]) -> str:
    fill, line = COLOURS[node.kind]
    high = _high(node)
    left, top = box.x - box.width / 2, row[0] + (row[1] - high) / 2
    radius = {EVENT: high / 2, SCHEDULE: high / 2, ROUTE: 5.0, SOURCE: 2.0}[node.kind]
    weight = ' font-weight="600"' if node.kind == ROUTE else ""
    baseline = top + (19.0 if node.note else high / 2 + 4.7)
    note = (
        f'<text x="{box.x:.1f}" y="{top + 36:.1f}" font-size="11" fill="#52606d" text-anchor="middle">'
        f"{_text(_cut(node.note))}</text>"
        if node.note
        else ""
    )
    return (
        f'<g><title>{_text(f"{node.kind} {node.label}")}</title><rect x="{left:.1f}" y="{top:.1f}" '
        f'width="{box.width:.1f}" height="{high:.1f}" rx="{radius:.1f}" fill="{fill}" stroke="{line}"/>'
        f'<text x="{box.x:.1f}" y="{baseline:.1f}" font-size="13.5" fill="#1f2933" text-anchor="middle"{weight}>'
        f"{_text(node.label)}</text>{note}</g>"
    )


def _edge(path: list[Box], rows: list[tuple[float, float]], nodes: Mapping[str, Node], turned: bool) -> str:
    """Return an edge: a curve between layers, straight where it passes one."""
    points: list[tuple[float, float]] = []
    for box in path:
        top, high = rows[box.layer]
        tall = high if box.passing else _high(nodes[box.key])
        middle = top + high / 2
        points += [(box.x, middle - tall / 2), (box.x, middle + tall / 2)]
    points = points[1:-1]
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for number, ((x, y), (next_x, next_y)) in enumerate(pairwise(points)):
        if number % 2:  # along a stand-in
            steps.append(f"L{next_x:.1f} {next_y:.1f}")
        else:
            bend = (y + next_y) / 2
            steps.append(f"C{x:.1f} {bend:.1f} {next_x:.1f} {bend:.1f} {next_x:.1f} {next_y:.1f}")
    marker = "marker-start" if turned else "marker-end"
    dashes = ' stroke-dasharray="5 3"' if turned else ""
    return f'<path d="{"".join(steps)}" fill="none" stroke="#7b8794" stroke-width="1.4"{dashes} {marker}="url(#tip)"/>'


def _heading(title: str) -> list[str]:
    parts = [f'<text x="{MARGIN:.0f}" y="26" font-size="16" font-weight="700" fill="#1f2933">{_text(title)}</text>']
    x = MARGIN
    for kind, word in LEGEND:
        fill, line = COLOURS[kind]
        radius = 5.5 if kind in (EVENT, SCHEDULE) else 2
        parts.append(
            f'<rect x="{x:.0f}" y="36" width="16" height="11" rx="{radius}" fill="{fill}" stroke="{line}"/>'
            f'<text x="{x + 21:.0f}" y="45.5" font-size="11" fill="#52606d">{word}</text>'
        )
        x += 42 + _measure(word, 11)
    return parts


def _description(drawn: Picture) -> str:
    words = {key: f"{node.kind} {node.label}" for key, node in drawn.nodes.items()}
    return "; ".join(f"{words[start]} leads to {words[end]}" for start, end in drawn.edges) or "nothing is connected"


def _text(text: str) -> str:
    return escape("".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text))


__all__ = ["Picture", "mermaid", "picture", "svg"]

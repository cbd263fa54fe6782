"""The README's table of figures, made from the raw data, so that it says nothing that was not measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

BEGIN, END = "<!-- Figures: made by `python -m benchmarks publish` -->\n", "<!-- end of figures -->\n"
SIDES = {"triggers": "triggers", "huey": "huey on SQLite", "dbos": "DBOS on SQLite"}

ABOUT = {
    "huey": "huey is a well-kept Python queue that needs no server either.",
    "dbos": "DBOS makes Python functions durable workflows, and needs none on SQLite.",
}


class Line(NamedTuple):
    """A line of the table: what it is about, the figures in it, how they are written, whether a ratio follows."""

    words: str
    figures: tuple[str, ...]
    text: str
    ratio: bool = False


LINES = (
    Line("durable events, sent to handled, one process", ("durable events, one process",), "{}/s", True),
    Line("events sent by another process in batches", ("durable events from another process",), "{}/s", True),
    Line("chains of three handlers", ("chains of three handlers",), "{}/s", True),
    Line("one event on an idle app, to the handler's start, median (99 %)",
         ("sent to handler start, p50", "sent to handler start, p99"), "{} ({}) ms"),
    Line("the same, sent by another process",
         ("sent by another process, p50", "sent by another process, p99"), "{} ({}) ms"),
    Line("a file closed, to the handler's start",
         ("file closed to handler start, p50", "file closed to handler start, p99"), "{} ({}) ms"),
    Line("1,000 blocking handlers, 32 at a time, of the ideal time", ("blocking handlers, share of the ideal",), "{}"),
    Line("`kill -9` to the next handler's start", ("restart after kill -9 to the first handler",), "{} s"),
    Line("runs cut short or lost by a kill, of 600", ("runs lost to the kill",), "{}"),
    Line("idle: processor, peers polling every 5 ms", ("idle processor time",), "{} %"),
    Line("idle: processor, peers polling by default", ("idle processor time, peers by default",), "{} %"),
    Line("idle: memory", ("idle memory, resident",), "{} MB"),
)  # fmt: skip


def updated(page: str, document: Mapping[str, Any]) -> str:
    """Return the page with the table of this raw data between its marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table(document) + END + rest.split(END)[1]


def table(document: Mapping[str, Any]) -> str:
    """Return the table, with a column for each side that was measured, who they are, and where it was taken."""
    rows = {row["figure"]: row for one in document["benchmarks"].values() for row in one["rows"]}
    sides = [side for side in SIDES if any(side in row["medians"] for row in rows.values())]
    lines = [[line.words, *(_cell(line, rows, side) for side in sides)] for line in LINES if line.figures[0] in rows]
    head = [["", *(SIDES[side] for side in sides)], ["---"] * (len(sides) + 1)]
    about = "\n".join([*(ABOUT[side] for side in sides if side in ABOUT), _taken(document)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [*head, *lines]) + f"\n{about}\n"


def number(value: float) -> str:
    """Return a number with three digits that count."""
    if not value:
        return "0"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.0f}" if places <= 0 else f"{round(value, places):g}"


def _cell(line: Line, rows: Mapping[str, Any], side: str) -> str:
    medians = [rows[figure]["medians"].get(side) for figure in line.figures]
    if None in medians:
        return "-"
    said = line.text.format(*map(number, medians))
    ratio = rows[line.figures[0]]["ratios"].get(side)
    return f"{said} ({number(ratio)}x)" if line.ratio and ratio else said


def _taken(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    names = [name for name in ("huey", "dbos") if machine["versions"].get(name, "none") != "none"]
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in names)
    return (
        f"Medians of {document['runs']} on {machine['cores']} cores, {machine['cpu']}, {machine['file_system']}, "
        f"Python {machine['python']}, {versions}; {machine['taken'][:10]}."
    )

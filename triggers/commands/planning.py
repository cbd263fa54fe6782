"""`triggers plan`: the next hours, route by route."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import apsw
import click

from triggers.commands.foresight import best, outlook, own_policy, said, shown
from triggers.commands.holdups import Holdups
from triggers.commands.output import can_write, clock, note, paint, plain, print_table, save, say, say_json
from triggers.commands.output import iso as as_iso
from triggers.commands.parameters import Finite, json_option, state_option
from triggers.commands.reading import living_epoch, reader
from triggers.errors import ScheduleError
from triggers.journal import pauses, views
from triggers.journal.orders import Shut
from triggers.journal.views import RouteView
from triggers.prediction.outlook import Outlook
from triggers.prediction.timeline import Bar, Line, Timeline, svg
from triggers.schedule import Window, firings
from triggers.schedule.reading import read
from triggers.schedule.window import Interval

FIRINGS = 500
"""Of each schedule, so many firings are shown at most."""
ROWS = 100
"""Lines that are printed of a plan where nobody sees colours."""
MARKS = ("█", "▒", "▲", "·", " "), ("#", "=", "^", ".", " ")
"""What runs, what is expected, what fires, an open window or none, a closed window."""
COLOURS = ("blue", "cyan", "yellow", "bright_black", None)


@click.command()
@click.option("--hours", type=Finite(min=0.1, max=24 * 31), default=12.0, show_default=True, help="How far to look.")
@click.option("--svg", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw it there.")
@state_option
@json_option
def plan(hours: float, file: Path | None, folder: str | None, as_json: bool) -> None:
    """Show the next hours: what runs and until when, what waits and when it is expected, firings and windows."""
    now = time.time()
    with reader(folder) as (state, connection):
        found = timeline(connection, living_epoch(state, connection), now, now + hours * 3600)
        idle, own = state.holder() is None, own_policy(views.app(connection))
    if idle:
        note("no dispatcher is running; what is expected is so if one is started now")
    if own:
        note(f"what is expected is {own.removeprefix('; ')}")
    if file is not None:
        save(file, svg(found))
        note(f"wrote {file}")
    if as_json:
        say_json(_json(found))
    elif sys.stdout.isatty():
        _chart(found)
    elif file is None:
        _list(found)


def timeline(connection: apsw.Connection, epoch: int, now: float, until: float) -> Timeline:
    """Return what is to come of every route of the app as it last ran."""
    app, routes = views.app(connection), views.routes(connection)
    found = outlook(connection, epoch, now)
    paused = pauses.paused(connection)
    lines = {name: _line(route, paused, now, until) for name, route in routes.items()}
    throttled = [name for name, route in routes.items() if route.policy.get("throttle")]
    for gate in [*views.closed(connection), *_first_shut(connection, epoch, routes, throttled)]:
        if gate.route in lines and not lines[gate.route].reason:
            opens = f" until {clock(gate.until)}" if gate.until < math.inf else ""
            lines[gate.route].reason = f"{plain(gate.reason)}{opens}"
    _place(found, lines)
    return Timeline(app.name if app else "", now, until, list(lines.values()))


def _first_shut(
    connection: apsw.Connection, epoch: int, routes: Mapping[str, RouteView], names: Iterable[str]
) -> Iterator[Shut]:
    """Yield what holds back the best-ranked run of each route that anything holds back."""
    holdups = Holdups(connection, epoch, routes)
    for name in names:
        yield from islice(filter(None, map(holdups.shut, best(connection, name, epoch))), 1)


def _line(route: RouteView, paused: Iterable[str], now: float, until: float) -> Line:
    line = Line(route.name)
    schedule, window = route.policy.get("schedule"), route.policy.get("window")
    if schedule and route.name in paused:
        line.reason = "paused"
    elif schedule:
        try:
            line.fires = list(islice(firings(read(schedule), now, until), FIRINGS))
        except ScheduleError:
            line.reason = f"it fires by {schedule}"  # which the app alone knows
    if window:
        line.opens = list(_openings(Window(window), now, until))
    return line


def _openings(window: Window, now: float, until: float) -> Iterator[Interval]:
    """Yield when a window is open that opens before a moment, each to its end."""
    for one in window.intervals(now, until):
        yield window.next(one.start) if one.end == until else one


def _place(found: Outlook, lines: dict[str, Line]) -> None:
    """Put what is expected into the lines."""
    for number, expected in found.runs.items():
        line = lines[expected.route]
        if expected.start is None:
            line.waiting += 1
            line.unforeseen += 1
            continue
        line.waiting += not expected.running
        line.bars.append(Bar(number, expected.running, expected.start, expected.end))
    for route, behind in found.behind.items():
        if route in lines:
            lines[route].waiting += behind
            lines[route].unforeseen += behind
    for line in lines.values():
        line.bars.sort(key=lambda bar: (bar.start.middle, bar.run))


# --- as a chart


def _chart(found: Timeline) -> None:
    marks = MARKS[0] if can_write("".join(MARKS[0])) else MARKS[1]
    label = min(24, max([len(line.route) for line in found.lines], default=0))
    wide = max(20, shutil.get_terminal_size().columns - label - 2)
    say(f"{' ' * label}  {_hours(found, wide)}")
    for line in found.lines:
        cells = _cells(line, found, wide)
        drawn = "".join(paint(marks[cell] * count, COLOURS[cell]) for cell, count in _runs(cells))
        say(f"{paint(plain(line.route, label).ljust(label), None, bold=True)}  {drawn}")
        if told := line.told():
            say(paint(f"{' ' * label}  {plain(told, wide)}", "bright_black"))
    words = ("runs", "expected", "fires", "nothing", "window closed")
    say(paint("  ".join(f"{mark} {word}" for mark, word in zip(marks, words, strict=True)).rstrip(), "bright_black"))


def _cells(line: Line, found: Timeline, wide: int) -> list[int]:
    """Return what there is in each stretch of time, as places in `MARKS`."""
    step = (found.end - found.begin) / wide

    def span(start: float, end: float) -> range:
        first, last = int((start - found.begin) / step), math.ceil((end - found.begin) / step)
        return range(max(0, first), min(wide, max(last, first + 1)))

    cells = [3 if line.opens is None else 4] * wide
    for opens, closes in line.opens or ():
        for place in span(opens, closes):
            cells[place] = 3
    for moment in line.fires:
        for place in span(moment, moment):
            cells[place] = 2
    for bar in line.bars:
        for place in span(bar.start.middle, bar.end.middle if bar.end else found.end):
            cells[place] = 0 if bar.running else min(cells[place], 1)
    return cells


def _runs(cells: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield equal neighbours together, with how many there are."""
    start = 0
    for place in range(1, len(cells) + 1):
        if place == len(cells) or cells[place] != cells[start]:
            yield cells[start], place - start
            start = place


def _hours(found: Timeline, wide: int) -> str:
    """Return the clock above the chart."""
    marks = max(1, wide // 12)
    step = (found.end - found.begin) / marks
    cells = [clock(found.begin + n * step)[-8:][:5].ljust(wide // marks) for n in range(marks)]
    return "".join(cells)[:wide]


# --- as lines, JSON and SVG


def _list(found: Timeline) -> None:
    rows = sorted((row for line in found.lines for row in _rows(line, found)), key=lambda row: row[0])
    if rows:
        print_table(["when", "route", "what"], [[clock(at), plain(route, 24), what] for at, route, what in rows[:ROWS]])
    else:
        note("nothing runs, waits or fires")
    if len(rows) > ROWS:
        note(f"and {len(rows) - ROWS:,} more; --json has all")
    for line in found.lines:
        if told := line.told():
            note(f"{line.route}: {told}")


def _rows(line: Line, found: Timeline) -> Iterator[tuple[float, str, str]]:
    for bar in line.bars:
        ends = f"ends {said(bar.end, found.begin)}" if bar.end else "nobody knows until when"
        if bar.running:
            yield bar.start.middle, line.route, f"r{bar.run} runs, {ends}"
        elif bar.start.middle < found.end:
            yield bar.start.middle, line.route, f"r{bar.run} starts {said(bar.start, found.begin)}, {ends}"
    for moment in line.fires:
        yield moment, line.route, "fires"
    for opens, closes in line.opens or ():
        yield opens, line.route, f"window open until {clock(closes)}"


def _json(found: Timeline) -> dict[str, object]:
    return {
        "app": found.app,
        "from": as_iso(found.begin),
        "until": as_iso(found.end),
        "routes": [_line_json(line) for line in found.lines],
    }


def _line_json(line: Line) -> dict[str, object]:
    return {
        "route": line.route,
        "waiting": line.waiting,
        "unforeseen": line.unforeseen,
        "reason": line.reason or None,
        "runs": [
            {"run": f"r{bar.run}", "running": bar.running, "starts": shown(bar.start), "ends": shown(bar.end)}
            for bar in line.bars
        ],
        "fires": [as_iso(moment) for moment in line.fires],
        "window": None if line.opens is None else [[as_iso(opens), as_iso(closes)] for opens, closes in line.opens],
    }

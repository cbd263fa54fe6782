"""`triggers plan`: the next hours, route by route."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import click

from triggers.commands.foresight import best, outlook, own_policy, said, shown
from triggers.commands.holdups import Holdups
from triggers.commands.output import can_write, clock, note, paint, plain, print_table, save, say, say_json
from triggers.commands.output import iso as as_iso
from triggers.commands.parameters import Finite, json_option, state_option
from triggers.commands.reading import living_epoch, reader
from triggers.errors import ScheduleError
from triggers.expectation import Expectation
from triggers.gather import BATCH
from triggers.journal import pauses, views
from triggers.journal.arrivals import last_told
from triggers.journal.dues import Forming, forming
from triggers.journal.orders import Shut
from triggers.journal.views import RouteView
from triggers.prediction.outlook import Outlook
from triggers.prediction.timeline import Bar, Coming, Dropped, Line, Timeline, svg
from triggers.schedule import Window, firings
from triggers.schedule.reading import read
from triggers.schedule.window import Interval

FIRINGS = 500
"""Of each schedule, so many firings are shown at most."""
GROUPS = 500
"""As many groups of events are shown as end first."""
ROWS = 100
"""Lines that are printed of a plan where nobody sees colours."""
MARKS = ("█", "▒", "▲", "·", " "), ("#", "=", "^", ".", " ")
"""What runs, what is expected, what fires or is due, an open window or none, a closed window."""
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
    _gather(connection, routes, lines, now)
    expected = [_awaited(connection, name, one, now, until) for name, one in (app.expected if app else {}).items()]
    return Timeline(app.name if app else "", now, until, [*lines.values(), *expected])


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
        yield (one.end == until and window.next(one.start)) or one


def _place(found: Outlook, lines: dict[str, Line]) -> None:
    """Put what is expected into the lines."""
    for number, expected in found.runs.items():
        line = lines[expected.route]
        line.waiting += not expected.running
        if expected.after is not None and not line.reason:
            before = f"r{expected.after}" if expected.after else "a dead one"
            line.reason = f"r{number} is behind {before} in the order of its data"
        if expected.start is not None:
            line.bars.append(Bar(number, expected.running, expected.start, expected.end, expected.after))
        elif expected.expires is not None:
            line.dropped.append(Dropped(number, expected.expires))
        else:
            line.unforeseen += 1
    for route, behind in found.behind.items():
        if route in lines:
            lines[route].waiting += behind
            lines[route].unforeseen += behind
    for line in lines.values():
        line.bars.sort(key=lambda bar: (bar.start.middle, bar.run))


def _gather(
    connection: apsw.Connection, routes: Mapping[str, RouteView], lines: Mapping[str, Line], now: float
) -> None:
    """Put into the lines which events come together, and when."""
    for group in forming(connection, GROUPS):
        if group.route in lines:
            batch = (routes[group.route].policy.get("gathers") or {}).get("kind") == BATCH
            full = _full(group, now) if batch else None
            lines[group.route].coming.append(Coming(group.events, group.wanted, full, max(now, group.due)))


def _full(group: Forming, now: float) -> float | None:
    """Return when a batch is full if events come as they have, None where its time is up by then."""
    if group.events < 2:
        return None
    full = group.opened + (now - group.opened) * (group.wanted - 1) / (group.events - 1)
    return full if full < group.due else None


def _awaited(connection: apsw.Connection, name: str, expected: Mapping[str, Any], now: float, until: float) -> Line:
    """Return the line of what is expected to come: when it is told as missing, if it does not."""
    line = Line(name, expects=expected["kind"])
    arrived, told = last_told(connection, name)
    try:
        by = read(expected["by"]) if expected["by"] else None
    except ScheduleError:
        line.reason = f"a {line.expects} is expected by {expected['by']}"  # which the app alone knows
        return line
    one = Expectation(name, expected["kind"], expected["grace"], expected["every"] or math.inf, by)
    missing = math.inf if arrived is None else one.next(arrived, told) + one.grace
    if missing < math.inf:
        line.missing = max(now, missing)
        line.reason = f"missing at {clock(missing)}, if none comes" if missing >= until else ""
    return line


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
    words = ("runs", "expected", "fires, or is due", "nothing", "window closed")
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
    for moment, _ in line.moments():
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
            after = f", behind r{bar.after}" if bar.after else ""
            yield bar.start.middle, line.route, f"r{bar.run} starts {said(bar.start, found.begin)}, {ends}{after}"
    for run, at in line.dropped:
        if at < found.end:
            yield at, line.route, f"r{run} expires before it could start"
    for moment, what in line.moments():
        if moment < found.end:
            yield moment, line.route, what
    for opens, closes in line.opens or ():
        yield opens, line.route, f"window open until {clock(closes)}"


def _json(found: Timeline) -> dict[str, object]:
    return {
        "app": found.app,
        "from": as_iso(found.begin),
        "until": as_iso(found.end),
        "routes": [_line_json(line) for line in found.lines if line.expects is None],
        "expected": [
            {"name": line.route, "event_type": line.expects, "missing": as_iso(line.missing)}
            for line in found.lines
            if line.expects is not None
        ],
    }


def _line_json(line: Line) -> dict[str, object]:
    return {
        "route": line.route,
        "waiting": line.waiting,
        "unforeseen": line.unforeseen,
        "reason": line.reason or None,
        "runs": [
            {
                "run": f"r{bar.run}",
                "running": bar.running,
                "starts": shown(bar.start),
                "ends": shown(bar.end),
                "after": f"r{bar.after}" if bar.after else None,
            }
            for bar in line.bars
        ],
        "expire": [{"run": f"r{run}", "at": as_iso(at)} for run, at in line.dropped],
        "gather": [
            {"events": one.events, "wanted": one.wanted, "full": as_iso(one.full), "ends": as_iso(one.ends)}
            for one in line.coming
        ],
        "fires": [as_iso(moment) for moment in line.fires],
        "window": None if line.opens is None else [[as_iso(opens), as_iso(closes)] for opens, closes in line.opens],
    }

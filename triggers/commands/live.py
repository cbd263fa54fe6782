"""The live view of `triggers run` on a terminal.

It repaints when something has happened, and once a second while something runs; never while nothing does. It is never
higher than the terminal: what fails, what runs and the routes with a backlog come first, and the rest is counted.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from triggers.commands.logs import log_run, subject_of
from triggers.commands.output import clock, count, pace, plain, span
from triggers.executor import REPLACED, Again, Dead, Outcome, Run
from triggers.progress import Progress

if TYPE_CHECKING:
    from triggers.engine import Engine

PAUSE = 0.125
"""The least seconds between two repaints."""
TICK = 1.0
"""Seconds between two repaints while something runs and nothing else happens."""
WIDE = 80
"""Columns from which on there is room for what waiting runs wait for."""
LEAST = 4
"""The lines that each table gets, where there are so many, before one of them gets more."""


class Display:
    """Shows what an engine is doing. `listen` is a listener of its dispatcher; `show` repaints until cancelled."""

    def __init__(self, engine: Engine, handler: logging.Handler) -> None:
        self.engine = engine
        self.console = Console(stderr=True)
        self.failures: deque[tuple[float, str]] = deque(maxlen=4)
        self.by_route: Counter[tuple[str, str]] = Counter()
        self._ends: deque[float] = deque(maxlen=10_000)
        self._handler = handler

    def listen(self, run: Run, outcome: Outcome | None) -> None:
        """Take note of what a run does."""
        if outcome is None or outcome == REPLACED:  # which was dropped
            return
        word = {Again: "again", Dead: "dead"}.get(type(outcome), "done")
        self.by_route[run.route.name, word] += 1
        self._ends.append(time.monotonic())
        if isinstance(outcome, Dead):
            self.failures.append((time.time(), f"r{run.number} {run.route.name}: {outcome.failure}"))
        if isinstance(outcome, Again) and outcome.failure:
            log_run(run, outcome)

    async def show(self) -> None:
        """Repaint whenever something has happened, until the terminal is gone."""
        self._handler.setStream(_Above(self.console))  # type: ignore[attr-defined]  # it is a StreamHandler
        with suppress(OSError):  # work goes on without a terminal
            await self._repaint()

    async def _repaint(self) -> None:
        both = sys.stdout.isatty()  # what handlers print must not write over the view
        with Live(self.render(), console=self.console, auto_refresh=False, redirect_stdout=both) as live:
            try:
                while True:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(TICK if self.engine.dispatcher.running else None):
                            await self.engine.dispatcher.pipeline.changed()
                    live.update(self.render(), refresh=True)
                    await asyncio.sleep(PAUSE)
                    live.update(self.render(), refresh=True)
            finally:
                live.update(self.render(), refresh=True)

    def abandon(self) -> None:
        """Leave the terminal usable; the process is about to end."""
        self.console.show_cursor(True)

    def render(self) -> Group:
        """Return the picture of this moment."""
        head, alarms = self._head(), list(self._alarms())
        room = self.console.size.height - 1 - len(self.console.render_lines(head)) - len(alarms)
        parts = [self._running(), self._routes(), self._sources()]
        lines = share(room, [len(rows) + 1 if rows else 0 for rows, _, _ in parts])
        tables = (_table(rows, most - 1, what, titles) for (rows, what, titles), most in zip(parts, lines, strict=True))
        return Group(head, *alarms, *(table for table in tables if table))

    def _head(self) -> Text:
        engine, dispatcher = self.engine, self.engine.dispatcher
        counts = dispatcher.counts
        text = Text.assemble((engine.app.name, "bold"), f"  {engine.state.path}  ", ("Ctrl-C stops\n", "bright_black"))
        text.append(f"{count(counts['events'] + counts['emitted'], 'event')}, {counts['done']:,} done, ")
        text.append(f"{counts['dead']:,} dead", "red" if counts["dead"] else "")
        text.append(
            f" since the start; {count(len(dispatcher.running), 'run')} at work, {engine.journal.open_runs:,} open"
        )
        if rate := self._rate():
            text.append(f", {rate}")
        if dispatcher.alarm.due is not None:
            due = time.time() + dispatcher.alarm.due - dispatcher.clock.monotonic()
            text.append(f"; the next delayed run is due at {clock(due)}", "yellow")
        if dispatcher.pipeline.refused:
            text.append(
                f"\nthe journal cannot be written: {dispatcher.pipeline.refused}; work stands still", "bold red"
            )
        return text

    def _rate(self) -> str:
        now = time.monotonic()
        while self._ends and self._ends[0] < now - 10:
            self._ends.popleft()
        rate = len(self._ends) / 10
        return f"{rate:,.0f} runs/s" if rate >= 1 else ""

    def _alarms(self) -> Iterator[Text]:
        for source, why in self.engine.intake.failing.items():
            yield _line(f"source {source} failing: {why}")
        for when, text in self.failures:
            yield _line(f"{clock(when)} {text}")

    def _running(self) -> Part:
        runs = sorted(self.engine.dispatcher.running.values(), key=lambda run: run.started)
        now, rows = time.time(), []
        told = [pace(_progress(run, now), run.started) for run in runs]
        for place, run in enumerate(runs):
            again = f" (attempt {run.attempt})" if run.attempt > 1 else ""
            expected, _ = self.engine.dispatcher.times.predict(run.route.name, run.size)
            left = "" if expected is None else _left(run.started + expected - now)
            cells = [f"r{run.number}", run.route.name + again, span(now - run.started), left, subject_of(run)]
            rows.append(Row(-place, [*cells, told[place]] if any(told) else cells))
        return rows, "run", ["run", "route", ">for", ">left", "event", *(["progress"] if any(told) else [])]

    def _routes(self) -> Part:
        running = Counter(run.route.name for run in self.engine.dispatcher.running.values())
        colours, rows = ("cyan", "blue", "green", "yellow", "red"), []
        wide = self.console.size.width >= WIDE
        for name in self.engine.app.routes:
            done, again, dead = (self.by_route[name, word] for word in ("done", "again", "dead"))
            flow = self.engine.dispatcher.admission.flows[name]
            numbers = (flow.held, running[name], done, again, dead)
            paused = Text(f"{name} (paused)", "yellow") if self.engine.dispatcher.pauses.of(name) else name
            cells: list[str | Text] = [paused]
            for number, colour in zip(numbers, colours, strict=True):
                cells.append(Text(f"{number:,}", colour if number else "bright_black"))
            if flow.horizon is not None and flow.held:
                cells[1] = Text(f"{flow.held:,}+", "cyan")  # there is more in the journal, which nobody has counted
            if wide:
                cells.append(Text(plain(self.engine.dispatcher.admission.waits_for(name)), "bright_black"))
            rows.append(Row((flow.held + running[name] > 0, dead > 0, again > 0, done > 0), cells))
        titles = ["route", ">waiting", ">running", ">done", ">again", ">dead"]
        return rows, "route", [*titles, "waits for"] if wide else titles

    def _sources(self) -> Part:
        intake, places, rows = self.engine.intake, self.engine.app.places(), []
        for name in intake.sources:
            if name not in ("inbox", "requests"):
                fails = name in intake.failing
                health = Text("failing", "red") if fails else Text("ok", "green")
                rows.append(Row(fails, [name, str(places.get(name, "")), health]))
        return rows, "source", ["source", "", ""]


def _left(seconds: float) -> str:
    """Return for how long a run will go on, by half of those before it; nothing where it has run for longer."""
    return f"~{span(seconds)}" if seconds > 0 else ""


class Row(NamedTuple):
    """A row of a table, and what decides whether it is shown where not all of them are: the greatest are."""

    weight: Any
    cells: Sequence[str | Text]


Part = tuple[Sequence[Row], str, Sequence[str]]
"""The rows of a table, what one of them is, and the titles of the columns."""


def share(room: int, wanted: Sequence[int]) -> list[int]:
    """Return how many lines each table gets: `LEAST` for each in turn, then what is left, in the same order."""
    given, room = [0] * len(wanted), max(0, room)
    for most in (LEAST, room):
        for place, want in enumerate(wanted):
            more = min(max(0, min(want, most) - given[place]), room)
            given[place] += more
            room -= more
    return given


def _progress(run: Run, now: float) -> Progress | None:
    """Return what a run at work has told last."""
    return Progress(*run.keeper.progress, now, run.origin) if run.keeper else None


class _Above:
    """A stream that prints above the live view."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        """Print the text as it is."""
        self._console.print(Text.from_ansi(text.rstrip("\n")), highlight=False)
        return len(text)

    def flush(self) -> None:
        """Do nothing; every write is complete."""


def _line(text: str) -> Text:
    return Text(plain(text), "red", overflow="ellipsis", no_wrap=True)


def _table(rows: Sequence[Row], most: int, what: str, titles: Sequence[str]) -> Table | None:
    """Return a table of at most so many rows below its titles; the last one may count those that are left out.

    Where there is no room for all, text in the columns behind the first gives way: names and numbers stay.
    """
    if not rows or most < 1:
        return None
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for place, title in enumerate(titles):
        number = title.startswith(">")
        table.add_column(title.lstrip(">"), justify="right" if number else "left", no_wrap=number or not place)
    shown = set(range(len(rows)))
    if len(rows) > most:
        shown = set(sorted(shown, key=lambda place: rows[place].weight, reverse=True)[: most - 1])
    for place in sorted(shown):
        table.add_row(*map(_cell, rows[place].cells))
    if left := len(rows) - len(shown):
        table.add_row(_cell(f"and {count(left, f'more {what}')}"))
    return table


def _cell(told: str | Text) -> Text:
    """Return what stands in one line, whatever room there is."""
    cell = Text(told) if isinstance(told, str) else told
    cell.no_wrap, cell.overflow = True, "ellipsis"
    return cell

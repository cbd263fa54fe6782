"""The live view of `triggers run` on a terminal.

It repaints when something has happened, and once a second while something runs; never while nothing does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from triggers.commands.logs import log_run, subject_of
from triggers.commands.output import clock, count, plain, span
from triggers.executor import Again, Dead, Outcome, Run

if TYPE_CHECKING:
    from triggers.engine import Engine

PAUSE = 0.125
"""The least seconds between two repaints."""
TICK = 1.0
"""Seconds between two repaints while something runs and nothing else happens."""
ROWS = 8
"""How many running runs are shown."""


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
        if outcome is None:
            return
        word = {Again: "again", Dead: "dead"}.get(type(outcome), "done")
        self.by_route[run.route.name, word] += 1
        self._ends.append(time.monotonic())
        if isinstance(outcome, Dead):
            self.failures.append((time.time(), f"r{run.number} {run.route.name}: {outcome.failure}"))
        if isinstance(outcome, Again) and outcome.failure:
            log_run(run, outcome)

    async def show(self) -> None:
        """Repaint whenever something has happened."""
        self._handler.setStream(_Above(self.console))  # type: ignore[attr-defined]  # it is a StreamHandler
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
        return Group(self._head(), *self._sources(), *self._routes(), *self._running(), *self._failures())

    def _head(self) -> Text:
        engine, dispatcher = self.engine, self.engine.dispatcher
        counts = dispatcher.counts
        text = Text.assemble((engine.app.name, "bold"), f"  {engine.state.path}  ", ("Ctrl-C stops\n", "bright_black"))
        text.append(f"{count(counts['events'] + counts['emitted'], 'event')}, {counts['done']:,} done, ")
        text.append(f"{counts['dead']:,} dead", "red" if counts["dead"] else "")
        text.append(f", {count(len(dispatcher.running), 'run')} at work, {engine.journal.open_runs:,} open")
        if rate := self._rate():
            text.append(f", {rate}")
        if dispatcher.alarm.due is not None:
            due = time.time() + dispatcher.alarm.due - dispatcher.clock.monotonic()
            text.append(f"; the next retry is due at {clock(due)}", "yellow")
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

    def _sources(self) -> Iterator[Table]:
        intake = self.engine.intake
        table = _table("source", "", "")
        places = self.engine.app.places()
        for name in intake.sources:
            failing = intake.failing.get(name)
            if name in ("inbox", "requests") and not failing:
                continue
            health = Text(f"failing: {plain(failing)}", "red") if failing else Text("ok", "green")
            table.add_row(name, str(places.get(name, "")), health)
        if table.row_count:
            yield table

    def _routes(self) -> Iterator[Table]:
        table = _table("route", ">running", ">done", ">again", ">dead")
        running = Counter(run.route.name for run in self.engine.dispatcher.running.values())
        for name in self.engine.app.routes:
            done, again, dead = (self.by_route[name, word] for word in ("done", "again", "dead"))
            colours = ("blue", "green", "yellow", "red")
            numbers = zip((running[name], done, again, dead), colours, strict=True)
            cells = [Text(f"{number:,}", colour if number else "bright_black") for number, colour in numbers]
            table.add_row(name, *cells)
        if table.row_count:
            yield table

    def _running(self) -> Iterator[Table]:
        runs = sorted(self.engine.dispatcher.running.values(), key=lambda run: run.started)
        if not runs:
            return
        table = _table("run", "route", ">for", "event")
        now = time.time()
        for run in runs[:ROWS]:
            again = f" (attempt {run.attempt})" if run.attempt > 1 else ""
            table.add_row(f"r{run.number}", run.route.name + again, span(now - run.started), subject_of(run))
        if len(runs) > ROWS:
            table.add_row("", f"and {len(runs) - ROWS} more", "", "")
        yield table

    def _failures(self) -> Iterator[Text]:
        for when, text in self.failures:
            yield Text(f"{clock(when)} {plain(text)}", "red", overflow="ellipsis", no_wrap=True)


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


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for title in titles:
        side = "right" if title.startswith(">") else "left"
        table.add_column(title.lstrip(">"), justify=side, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    return table

"""Make the pictures of the docs from a real run: `python -m infra.pictures`, or `make pictures`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from handlers import app, sample
from triggers.app import default_state
from triggers.commands.live import Display
from triggers.engine import Engine
from triggers.state import StateFolder

DOCS = Path(__file__).resolve().parent.parent / "docs"
FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg"><title>triggers run handlers</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></svg>"""
"""Rich's picture of a terminal, with the reader's own fonts: nothing is fetched from anywhere."""


async def photograph() -> str:
    """Run the reference pipeline here over its first files, and return its live view while a model is evaluated."""
    places = app.places()
    for place in places.values():
        place.path.mkdir(parents=True)
    console = Console(record=True, width=96, file=io.StringIO(), force_terminal=True)
    async with Engine(app, StateFolder(default_state(app.name))) as engine:
        display = Display(engine, logging.StreamHandler(io.StringIO()))
        display.console = console
        engine.dispatcher.listeners.append(display.listen)
        await asyncio.to_thread(sample.drop, sample.bad(), places["incoming"])
        await asyncio.to_thread(sample.drop, dict(list(sample.regular().items())[:3]), places["incoming"])
        while not any(run.route.name == "evaluate" for run in engine.dispatcher.running.values()):
            await engine.dispatcher.pipeline.changed()
        console.print(display.render())
        await engine.drained()
    return console.export_svg(title="triggers run handlers", theme=MONOKAI, code_format=FORMAT, unique_id="run")


def main() -> None:
    """Write docs/run.svg and docs/pipeline.svg."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        picture = asyncio.run(photograph())
    (DOCS / "run.svg").write_text(picture)
    target = str(DOCS / "pipeline.svg")
    subprocess.run([sys.executable, "-m", "triggers", "graph", "handlers", "--format", "svg", "-o", target], check=True)


if __name__ == "__main__":
    main()

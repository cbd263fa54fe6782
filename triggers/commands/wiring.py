"""`triggers check` and `triggers graph`: an app as it is declared, without running it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from triggers.app import default_state
from triggers.check.foresight import foreseen
from triggers.check.graph import check as problems_of
from triggers.check.graph import check_here
from triggers.commands.failures import INVALID, OK
from triggers.commands.loading import bind, load_app
from triggers.commands.output import count, note, paint, save, say, say_json
from triggers.commands.parameters import bind_option, json_option, state_option
from triggers.drawing import mermaid, picture, svg
from triggers.state import StateFolder


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@bind_option
@state_option
@json_option
def check(target: str, binds: tuple[tuple[str, str], ...], folder: str | None, as_json: bool) -> int:
    """Find what is wrong with an app's wiring, without running it. Exits with 4 if there is an error.

    An error keeps the app from running, but for what a look ahead finds: work that is too long for its window, or times
    that contradict one another. A warning does not, but for a source folder that is missing on this machine.
    """
    app = bind(load_app(target), dict(binds))
    now, state = time.time(), Path(folder or default_state(app.name))
    here = [*check_here(app, now, state), *foreseen(app, StateFolder(state), now)]
    found = sorted([*problems_of(app), *here], key=lambda problem: not problem.error)
    errors = sum(problem.error for problem in found)
    if as_json:
        problems = [{"error": problem.error, "message": problem.message} for problem in found]
        say_json({"app": app.name, "ok": not errors, "problems": problems})
    else:
        for problem in found:
            word = paint("error:", "red", bold=True) if problem.error else paint("warning:", "yellow", bold=True)
            say(f"{word} {problem.message}")
        wrong = f"{count(errors, 'error')}, {count(len(found) - errors, 'warning')}" if found else "nothing is wrong"
        size = f"{count(len(app.routes), 'route')}, {count(len(app.sources), 'source')}"
        note(f"app {app.name!r} ({size}): {wrong}")
    return INVALID if errors else OK


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "svg"]),
    help="[default: svg if the file is called so, else mermaid]",
)  # fmt: skip
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write it there, not to stdout.")
def graph(target: str, form: str | None, output: str | None) -> None:
    """Draw what flows where: sources, schedules, events and routes, as Mermaid text or as an SVG picture."""
    app = load_app(target)
    draw: Callable[..., str] = svg if (form or (output or "").rpartition(".")[2].lower()) == "svg" else mermaid
    text = draw(picture(app))
    if output is None:
        say(text.rstrip("\n"))
        return
    save(Path(output), text)
    note(f"wrote {output}")

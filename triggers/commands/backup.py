"""`triggers backup`: one more state folder, as this one is now."""

from __future__ import annotations

import time
from pathlib import Path

import click

from triggers.backup import back_up
from triggers.commands.failures import FAILED, OK
from triggers.commands.output import count, note, plain, say, say_json, span
from triggers.commands.parameters import find_state, json_option, state_option


@click.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path))
@state_option
@json_option
def backup(target: Path, folder: str | None, as_json: bool) -> int:
    """Copy a state folder to DIR, a new one, while its app goes on: journal, inbox, requests and what was rejected.

    `triggers run --state` goes on with a copy of it. Exits with 1 where rows of the journal do not fit together.
    """
    state, began = find_state(folder), time.monotonic()
    made = back_up(state, target)
    took = time.monotonic() - began
    if as_json:
        runs = sum(made.summary.runs.values())
        say_json({
            "folder": str(target), "events": made.summary.events, "runs": runs, "files": made.files,
            "bytes": made.size, "seconds": round(took, 3), "flaws": made.flaws,
        })  # fmt: skip
    else:
        say(str(target))
        held = f"{count(made.summary.events, 'event')}, {count(sum(made.summary.runs.values()), 'run')}"
        note(f"{held}, {count(made.files, 'file')} beside the journal, {made.size / 1e6:,.1f} MB, in {span(took)}")
    for flaw in made.flaws:
        note(f"the journal has a flaw, as its copy has: {plain(flaw)}")
    return FAILED if made.flaws else OK

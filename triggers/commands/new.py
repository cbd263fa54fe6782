"""`triggers new`: a small project that runs."""

from __future__ import annotations

import re
import shlex
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from triggers.commands.output import note, plain, say
from triggers.errors import StateError

PLACE = "PROJECT"
"""What the project's name stands for in the skeleton's files."""


@click.command()
@click.argument("name", metavar="NAME")
def new(name: str) -> None:
    """Make a small project that runs: an app, its test, sample data and a README, in the folder NAME."""
    folder = Path(name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", folder.name):
        raise click.UsageError(f"{plain(name)!r} is no name for a project; write letters, digits, - and _, as in churn")
    if not folder.parent.is_dir():
        raise StateError(f"there is no folder {folder.parent} to make {folder.name} in; make it, or give a name alone")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StateError(f"{folder} is there already and is not empty; choose another name")
    made = list(_copy(resources.files("triggers") / "skeleton", folder, folder.name))
    for path in sorted(made):
        say(str(path))
    note(
        f"\nNow:\n  cd {shlex.quote(str(folder))}\n  triggers run app.py --drain    work off what lies in incoming/\n"
        "  triggers runs                  see what ran\n  pytest                         try its test"
    )


def _copy(source: Traversable, target: Path, name: str) -> list[Path]:
    """Copy the skeleton; a file's last suffix, which hides it from our own tools, is left out."""
    made = []
    try:
        target.mkdir(exist_ok=True)
        for item in source.iterdir():
            if item.is_dir():
                made += _copy(item, target / item.name, name)
            elif item.name.endswith(".txt"):
                path = target / item.name.removesuffix(".txt")
                path.write_text(item.read_text(encoding="utf-8").replace(PLACE, name), encoding="utf-8")
                made.append(path)
    except OSError as error:
        raise StateError(f"{target} cannot be made: {error.strerror}") from error
    return made

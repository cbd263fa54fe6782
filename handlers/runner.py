"""The engine by its command line, as a person would use it: `triggers run`, `triggers dead`, `triggers events`."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from handlers.app import HOME, app

LIMIT = 180.0
"""Seconds that a command may take: a part of the story takes ten, and what takes minutes stands still."""
OK, DEAD = 0, 1
"""The exit codes of a drained run: all went well, or a run went to the dead letters, as it may."""


class EngineFailed(Exception):
    """The engine could not do what it was told; the message is what it said."""


class Engine:
    """The app over the places in `home`. Its state is where `triggers` looks for it, if `home` is the usual one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = Path(".triggers") / app.name if home == HOME else home / "state"

    def drain(self) -> None:
        """Run the app until there is nothing left to do."""
        code, _, said = _call([*self._run(), "--drain", "--quiet"])
        if code not in (OK, DEAD):
            raise EngineFailed(said.strip() or f"`triggers run` ended with {code}")

    def ask(self, *words: str) -> list[dict[str, Any]]:
        """Return what a reading command knows: `ask("events", "--type", "Deployed")`."""
        if not (self.state / "journal.db").exists():
            return []
        code, answer, said = _call([*_TRIGGERS, *words, "--state", _path(self.state), "--json"])
        if code != OK:
            raise EngineFailed(said.strip() or f"`triggers {shlex.join(words)}` ended with {code}")
        found: list[dict[str, Any]] = json.loads(answer)
        return found

    def watch(self) -> NoReturn:
        """Become `triggers run`: its live view, its signals, its exit code."""
        sys.stdout.flush()
        command = self._run()
        os.execv(command[0], command)  # noqa: S606 - our own interpreter, no shell

    def command(self, words: str) -> str:
        """Return a `triggers` command as a person can type it here."""
        return f"{program('triggers')} {words}" + ("" if self.home == HOME else f" --state {_path(self.state)}")

    def own(self, words: str) -> str:
        """Return a command of `python -m handlers` as a person can type it here."""
        home = "" if self.home == HOME else f"--home {_path(self.home)} "
        return f"{program('python')} -m handlers {home}{words}"

    def _run(self) -> list[str]:
        # Every place is named, so that a triggers.toml or a variable that lies about cannot lead us elsewhere.
        binds = [word for name in app.places() for word in ("--bind", f"{name}={self.home / name}")]
        return [*_TRIGGERS, "run", "handlers:app", "--state", _path(self.state), *binds]


_TRIGGERS = [sys.executable, "-m", "triggers"]


def program(name: str) -> str:
    """Return how to call a program of our environment in a shell here: by its name if it is found by that."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(beside):
        return name
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))


def _path(path: Path) -> str:
    text = str(path)
    return f"./{text}" if text.startswith("-") else text


def _call(command: Sequence[str]) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code and what it wrote.

    It has a process group of its own: Ctrl-C reaches us alone, and we hand it on, once, so that the command can end
    in order however it was meant.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as child:
        try:
            out, said = child.communicate(timeout=LIMIT)
        except KeyboardInterrupt:
            _stop(child)
            raise
        except subprocess.TimeoutExpired:
            said = _stop(child)
            raise EngineFailed(f"`{shlex.join(command)}` did not end within {LIMIT:g} s. It said:\n{said}") from None
    return child.returncode, out, said


def _stop(child: "subprocess.Popen[str]") -> str:
    """Have the command stop as Ctrl-C would, and return what it said; a second Ctrl-C ends it at once."""
    while True:
        child.send_signal(signal.SIGINT)
        try:
            return child.communicate()[1]
        except KeyboardInterrupt:
            continue
